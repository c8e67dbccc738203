"""Linear correction of a number: a + b * prediction by least squares, b >= 0

A variance becomes b^2 times itself and an interval's ends are corrected alike; answers are held to the target's scale.
Shrinking towards the mean (b < 1) lowers the squared error and can lower the CCC: look at both.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.method import Method
from affectkit.calibration.methods._probabilities import clamped, order, require_rows, variances
from affectkit.labels import Target

log = logging.getLogger(__name__)

EQUAL = 1e-9  # predictions closer than this share of their size differ by rounding only; tables have 9 digits


def build() -> LinearCorrection:
    """The method; it has no options."""
    return LinearCorrection()


class LinearCorrection(Method):
    """Parameters: `a`, in units of the target, and `b`.

    Predictions that are all equal say nothing of a slope: b stays 1 and `a` is what they lack on average. Where
    predictions fall as the truth rises, b is 0: every answer is the fit rows' mean, its variance and interval unknown.
    """

    name = "linear"
    kinds = ("number",)

    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        require_rows(rows)
        sort = order(rows.truth, output.values)
        a, b = _line(output.values[sort], rows.truth[sort])
        if b < 0:
            message = "predictions fall as the truth rises (slope %.3g); every answer becomes the mean of the fit rows"
            log.warning("%s: " + message, output.target.name, b)
            a, b = float(rows.truth[sort].mean()), 0.0
        return {"a": a, "b": b}

    def check(self, parameters: dict[str, Any], target: Target) -> None:
        checked("a", parameters["a"], [])
        checked("b", parameters["b"], [], low=0)

    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        return clamped(self.unclamped(parameters, output, rows))[0]

    def unclamped(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        a, b = parameters["a"], parameters["b"]
        unknown = 0.0 if b else np.nan
        ends = {name: getattr(output, name) for name in ("low", "high")}
        moved = {name: a + b * end + unknown for name, end in ends.items() if end is not None}
        var = None if output.var is None else b * b * variances(output) + unknown
        return replace(output, mean=a + b * output.values, var=var, **moved)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of the least squares line of y on x, both [N]."""
    if x.max() - x.min() <= EQUAL * abs(x).max():
        return float(y.mean() - x.mean()), 1.0
    if y.min() == y.max():
        return float(y[0]), 0.0
    from_mean = x - x.mean()
    b = float(from_mean @ (y - y.mean()) / (from_mean @ from_mean))
    return float(y.mean() - b * x.mean()), b
