"""Vector scaling: a scale and a bias for each class's logit, drawn to no change

Guo et al. 2017, section 4.2: softmax(s z + b), z = log(clip(p, 1e-12, 1)), at the least summed NLL of the fit rows plus
pull / 2 (|s - 1|^2 + |b|^2). The pull is what a normal prior around no change comes to: it weighs as much with 50 rows
as with a million. A class that no fit row has keeps its probability, and the others share the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.method import Method
from affectkit.calibration.methods._probabilities import PULL, PullOpt, answered, check_pull, order, truths, with_unseen
from affectkit.calibration.methods._scaling import fit_vector
from affectkit.evaluation.temperature import logits, softmax
from affectkit.labels import Target


def build(*, pull: PullOpt = PULL) -> Vector:
    """The method. Raises "usage" for a pull that is not above 0."""
    return Vector(pull=check_pull(pull))


class Vector(Method):
    """Parameters: `scale` and `bias`, [K] in the order of the classes; `unseen`, the places of classes that no fit row
    has, if there are any (`with_unseen`)."""

    name = "vector"

    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        truth, count = truths(rows), output.values.shape[1]
        sort = order(truth, *output.values.T)
        seen, codes = np.unique(truth[sort], return_inverse=True)
        scale, bias = np.ones(count), np.zeros(count)
        scale[seen], bias[seen] = fit_vector(logits(output.values[sort][:, seen]), codes, self.options["pull"])
        unseen = np.setdiff1d(np.arange(count), seen).tolist()
        return {"scale": scale.tolist(), "bias": bias.tolist()} | ({"unseen": unseen} if unseen else {})

    def check(self, parameters: dict[str, Any], target: Target) -> None:
        for name in ("scale", "bias"):
            checked(name, parameters[name], [len(target.classes)])
        checked("unseen", parameters.get("unseen", []), [None], low=0, high=len(target.classes) - 1)

    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        scale, bias = (np.array(parameters[name])[:, None] for name in ("scale", "bias"))
        seen = ~np.isin(np.arange(len(scale)), parameters.get("unseen", []))
        return answered(output, lambda p: with_unseen(softmax(logits(p) * scale + bias).T, p, seen))
