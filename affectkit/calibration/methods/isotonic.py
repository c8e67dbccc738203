"""Isotonic regression: a rising curve of steps for each class, or for a number

Zadrozny and Elkan 2002 (pool adjacent violators). Between its knots the curve is a straight line, beyond them flat. It
makes ties: different probabilities of one step become equal, so ranks and the predicted class can change, and
probabilities of exactly 0 and 1 occur, which the NLL punishes: on CIFAR-10 it raised the NLL with 1,000 fit rows and
lowered it with 5,000. Of classes, each is calibrated against the rest, then every row divided by its sum. A number
loses its variance and interval: a step curve says nothing of spread.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from affectkit.artifacts.arrays import LARGEST, checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.methods._probabilities import EachClass, clamped, require_rows
from affectkit.labels import Target


def build() -> Isotonic:
    """The method; it has no options."""
    return Isotonic()


class Isotonic(EachClass):
    """Parameters: `at`, rising, and `value`, the knots of the curve; of a class target, of every calibrated class."""

    name = "isotonic"
    kinds = ("class", "number")

    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        require_rows(rows)
        return super().fit(output, rows) if output.mean is None else self.fit_class(output.values, rows.truth)

    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        if output.mean is None:
            return super().apply(parameters, output, rows)
        return clamped(self.unclamped(parameters, output, rows))[0]

    def unclamped(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        return replace(output, mean=self.apply_class(parameters, output.values), var=None, low=None, high=None)

    def check(self, parameters: dict[str, Any], target: Target) -> None:
        if target.kind == "number":
            self._check_curve(parameters, LARGEST)
        else:
            super().check(parameters, target)

    def check_class(self, parameters: dict[str, Any]) -> None:
        self._check_curve(parameters, 1.0)

    def _check_curve(self, parameters: dict[str, Any], high: float) -> None:
        low = 0.0 if high == 1 else -high
        at = checked("at", parameters["at"], [None], low=low, high=high, rising=True)
        checked("value", parameters["value"], [max(len(at), 1)], low=low, high=high, rising=True)

    def fit_class(self, p: np.ndarray, hit: np.ndarray) -> dict[str, Any]:
        from sklearn.isotonic import IsotonicRegression

        curve = IsotonicRegression(out_of_bounds="clip").fit(p, hit)  # sorts by p, then hit: no order of rows matters
        return {"at": curve.X_thresholds_.tolist(), "value": curve.y_thresholds_.tolist()}

    def apply_class(self, parameters: dict[str, Any], p: np.ndarray) -> np.ndarray:
        return np.interp(p, parameters["at"], parameters["value"])
