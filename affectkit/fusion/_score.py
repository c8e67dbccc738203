"""How good answers are on the fit rows: the one number that rules choose by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.measure import width
from affectkit.evaluation.metrics import METRICS, Metric
from affectkit.evaluation.sums import confusions, losses, moments
from affectkit.fusion._panel import Panel
from affectkit.labels import Target

DEFAULT_METRIC = {"class": "uar", "ordinal": "uar", "number": "ccc"}
SHARED_ROWS = 20  # sources are compared on the rows that all have, if these are at least so many
DIGITS = 6  # of a score; what differs less is rounding


@dataclass(frozen=True)
class Scorer:
    """Scores [N, C] values against truth [N], rows without an answer left out; higher is better, -inf undefined."""

    metric: Metric
    target: Target
    truth: np.ndarray

    def __call__(self, values: np.ndarray) -> float:
        known = ~np.isnan(values).any(axis=1)
        value = self._value(self.truth[known], values[known]) if known.any() else np.nan
        value = value if self.metric.higher_is_better else -value
        return -np.inf if np.isnan(value) else float(f"{value:.{DIGITS}g}")

    def _value(self, truth: np.ndarray, values: np.ndarray) -> float:
        of = self.metric.of
        if self.metric.takes == "numbers":
            assert of is not None
            return float(of(moments(truth, values[:, 0], width=width(self.target))[0]))
        codes = truth.astype(np.int64)
        if self.metric.takes == "classes":
            assert of is not None
            return float(of(confusions(codes, values.argmax(axis=1), values.shape[1])[0]))
        return float(of(losses(codes, values)[0]) if of else self.metric.function(codes, values))

    def plain(self, score: float) -> float | None:
        """A score as the metric has it."""
        return None if np.isinf(score) else score if self.metric.higher_is_better else -score


def check_metric(name: str) -> str:
    """Raises "usage" for what is neither a metric nor auto."""
    if name != "auto" and name not in METRICS:
        raise AffectkitError("usage", f"--metric: there is no '{name}'", remedy=did_you_mean(name, list(METRICS)))
    return name


def scorer(name: str, target: Target, truth: np.ndarray) -> Scorer:
    """name: of a metric, or auto (uar, ccc). Raises "usage" for one that does not suit the target."""
    metric = METRICS[DEFAULT_METRIC[target.kind] if name == "auto" else name]
    if (metric.takes == "numbers") != (target.kind == "number"):
        suit = [m.name for m in METRICS.values() if (m.takes == "numbers") == (target.kind == "number")]
        what = f"--metric {name} does not suit {target.name}"
        raise AffectkitError("usage", what, remedy=f"use one of {', '.join(suit)}")
    if metric.name == "one_minus_mae" and width(target) is None:
        raise AffectkitError("usage", f"--metric {name} needs the scale of {target.name}", remedy="use mae")
    return Scorer(metric, target, truth)


def ranking(of: Panel, scorer: Scorer) -> list[tuple[str, float]]:
    """Sources from the best to the worst with their scores; of equals, the first named.

    They are compared on the rows that all of them have, so that a source which answers only what is easy gains nothing
    by it; where these are fewer than `SHARED_ROWS`, each on its own. A source without any row is last.
    """
    shared = np.asarray(of.known[of.known.any(axis=1)].all(axis=0))
    if shared.sum() >= SHARED_ROWS:
        of, scorer = of.take(shared), replace(scorer, truth=scorer.truth[shared])
    shown = of.shown()
    found = [(name, scorer(shown[of.names.index(name)])) for name in of.given]
    return sorted(found, key=lambda one: -one[1])


def first_known(of: Panel, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """[N, C] values and [N] variances of the first source of `names` that a row has; NaN without any."""
    values = np.full(of.values.shape[1:], np.nan)
    var = None if of.var is None else np.full(len(of), np.nan)
    for name in reversed(names):
        at = of.names.index(name)
        known = of.known[at]
        values[known] = of.values[at][known]
        if var is not None and of.var is not None:
            var[known] = of.var[at][known]
    return values, var
