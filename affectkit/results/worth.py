"""What each branch of a mixture and each stage of a training was worth: paired differences on the rows judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.comparison import TargetMetric, compare, target_metric
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.rows import answered_parts
from affectkit.plain import is_file_name

if TYPE_CHECKING:
    from affectkit.finetuning.finetune import Finetuned

STAGES, BRANCHES = "stages", "branches"


def stages_of(finetuned: Finetuned) -> dict[str, Predictions]:
    """After each stage, the last one's being those of the model; none of a training of one stage."""
    last = finetuned.fits[0].stages[-1]["name"]
    return {**finetuned.stages, last: finetuned.predictions} if finetuned.stages else {}


def tables_of(finetuned: Finetuned) -> dict[str, Predictions]:
    """By the file's name in the run folder: `stages/<name>.csv` and `branches/<name>.csv`."""
    stages = enumerate(stages_of(finetuned).items(), start=1)
    named = {f"{STAGES}/{name if is_file_name(name) else f'stage-{n}'}.csv": table for n, (name, table) in stages}
    return named | {f"{BRANCHES}/{name}.csv": table for name, table in finetuned.branches.items()}


def worth_of(finetuned: Finetuned) -> dict[str, Any]:
    """What `train_report.json` says: by the metric that chose the epoch, where it is one of predictions.

    branches: the mixture less each branch alone. stages: after each stage less after the one before; undone: where it
    brought no better epoch to the final fit, whose weights are then those of before; folds_undone: in how many folds.
    """
    model, metric = finetuned.predictions, _metric(finetuned)
    group = finetuned.model.spec["group"]
    tables = list(stages_of(finetuned).items())
    branches = [
        {"name": name, **row}
        for name, alone in finetuned.branches.items()
        for row in _compared(model, alone, metric, group)
    ]
    stages = [
        {"name": name, "over": before, **_undone(finetuned, name), **row}
        for (before, old), (name, new) in pairwise(tables)
        for row in _compared(new, old, metric, group)
    ]
    return {"metric": metric.name, BRANCHES: branches, STAGES: stages}


def _metric(finetuned: Finetuned) -> TargetMetric:
    targets = finetuned.predictions.targets
    watched = (finetuned.fits[0].monitor or "").removeprefix("val_")
    default = "ccc" if all(target.kind == "number" for target in targets.values()) else "uar"
    known = METRICS.get(watched.rpartition(".")[2])
    return target_metric(watched if known and known.of is not None else default, targets)


def _compared(
    first: Predictions, second: Predictions, metric: TargetMetric, group: str | None
) -> Iterator[Mapping[str, Any]]:
    """Of each part of the rows."""
    others = answered_parts(second, quiet=True)
    for part, table in answered_parts(first, quiet=True).items():
        if part in others:
            yield {"part": part, **compare(table, others[part], metric, table.groups(group)).plain()}


def _undone(finetuned: Finetuned, name: str) -> dict[str, Any]:
    """Whether a stage left the weights of the one before."""
    order = [stage["name"] for stage in finetuned.fits[0].stages]
    ended: Sequence[bool] = [not _kept_by(fit.history, order, name) for fit in finetuned.fits]
    return {"undone": ended[0], "folds_undone": sum(ended[1:]), "folds": len(ended) - 1}


def _kept_by(history: Sequence[Mapping[str, Any]], order: Sequence[str], name: str) -> bool:
    """Whether the best epoch, up to the end of a stage, is one of its own."""
    upto = order[: order.index(name) + 1]
    best = [row["stage"] for row in history if row["best"] and row["stage"] in upto]
    return bool(best) and best[-1] == name
