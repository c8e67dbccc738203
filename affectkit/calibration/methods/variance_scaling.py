"""Variance of a number set to a + b * variance, from its residuals; means stay

a, b >= 0 at the least Gaussian NLL of the fit rows (Laves et al. 2020 for b alone; `a` is what the passes do not see).
b is 0 where it does not help. A row without a variance gets the mean squared residual. No variance is below 1e-6.
What was said of an interval is dropped: it was said with the old variance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.method import Method
from affectkit.calibration.methods._probabilities import SMALLEST_VARIANCE, require_rows, variances
from affectkit.calibration.methods._variance import fit_variance
from affectkit.labels import Target


def build() -> VarianceScaling:
    """The method; it has no options."""
    return VarianceScaling()


class VarianceScaling(Method):
    """Parameters: `a` and `constant` (of rows without a variance), in squared units of the target, and `b`."""

    name = "variance-scaling"
    kinds = ("number",)

    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        require_rows(rows)
        residual, var = rows.truth - output.values, variances(output)
        known = ~np.isnan(var)
        constant = float(np.sort(residual * residual).mean())
        a, b = fit_variance(residual[known], var[known]) if known.any() else (constant, 0.0)
        return {"a": a, "b": b, "constant": constant}

    def check(self, parameters: dict[str, Any], target: Target) -> None:
        for name in ("a", "b", "constant"):
            checked(name, parameters[name], [], low=0)

    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        var = variances(output)
        scaled = parameters["a"] + parameters["b"] * var
        scaled = np.maximum(np.where(np.isnan(var), parameters["constant"], scaled), SMALLEST_VARIANCE)
        return replace(output, var=np.where(output.known, scaled, np.nan), low=None, high=None)
