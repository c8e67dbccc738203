"""The suite's metrics as `evaluate.Metric`s, for trainers and scripts of the Hugging Face world; offline.

hub.load("uar").compute(predictions=["sad", "happy"], references=["sad", "sad"])  ->  {"uar": 0.5}
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.metrics import METRICS, Metric

if TYPE_CHECKING:
    import evaluate


def load(name: str, **settings: Any) -> evaluate.Metric:
    """The metric called `name` in the suite's table. settings: those of `evaluate.Metric` (`cache_dir`, `num_process`).

    `compute(predictions=, references=)` gives `{name: value}` and passes further arguments (`classes`, `scale`) on.
    Predictions are class names, class indices, rows of probabilities or numbers, as the metric takes them.
    Raises "usage" with near misses for an unknown name.
    """
    if name not in METRICS:
        raise AffectkitError("usage", f"there is no metric '{name}'", remedy=did_you_mean(name, list(METRICS)))
    return _metric_class(name)(**{"keep_in_memory": settings.get("num_process", 1) == 1, **settings})


@cache
def _metric_class(name: str) -> type[evaluate.Metric]:
    import evaluate

    row = METRICS[name]

    def _info(self: evaluate.Metric) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{row.description}; {'higher' if row.higher_is_better else 'lower'} is better",
            citation="",
            inputs_description=row.function.__doc__ or "",
            features=_features(row),
        )

    def _compute(self: evaluate.Metric, predictions: Any, references: Any, **arguments: Any) -> dict[str, float]:
        return {row.name: row.function(references, predictions, **arguments)}

    title = "".join(part.capitalize() for part in name.split("_"))
    return type(title, (evaluate.Metric,), {"_info": _info, "_compute": _compute, "__doc__": row.description})


def _features(row: Metric) -> Any:
    """The accepted types, the first that fits; a class is a name or an index."""
    from datasets import Features, Sequence, Value

    if row.takes == "numbers":
        return Features({"predictions": Value("float64"), "references": Value("float64")})
    labels = [Value(kind) for kind in ("int64", "string")]
    probabilities = Sequence(Value("float64")) if row.takes == "probabilities" else None
    return [Features({"predictions": probabilities or label, "references": label}) for label in labels]
