"""Temperature scaling: one divisor of all logits; no predicted class changes

Guo et al. 2017, section 4.2: softmax(z / T), T at the least NLL of the fit rows, z = log(clip(p, 1e-12, 1)).
"""

from __future__ import annotations

import logging
from typing import Any

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.method import Method
from affectkit.calibration.methods._probabilities import answered, truths
from affectkit.evaluation.temperature import BOUND, fit_sharpness, sharpened
from affectkit.labels import Target

log = logging.getLogger(__name__)


def build() -> Temperature:
    """The method; it has no options."""
    return Temperature()


class Temperature(Method):
    """Parameters: `temperature`, in [e^-10, e^10]; above 1 the model was too confident."""

    name = "temperature"
    single_group = True

    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        b = fit_sharpness(output.values, truths(rows))
        if b in (BOUND, 1 / BOUND):
            why = "every fit row is predicted right" if b > 1 else "the fit rows' probabilities tell nothing"
            log.warning("temperature of %s ends at its bound, %.3g: %s", output.target.name, 1 / b, why)
        return {"temperature": 1 / b}

    def check(self, parameters: dict[str, Any], target: Target) -> None:
        # At a bound the inverse of the sharpness is rounded.
        checked("temperature", parameters["temperature"], [], low=0.999 / BOUND, high=1.001 * BOUND)

    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        return answered(output, lambda p: sharpened(p, 1 / parameters["temperature"]))
