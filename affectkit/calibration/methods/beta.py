"""Beta calibration of each class against the rest: three numbers a class

Kull et al. 2017: sigmoid(a ln p - b ln(1 - p) + c) with a, b >= 0, which has the identity in it (1, 1, 0) and no more
than one bend, at the least summed NLL of the fit rows plus pull / 2 times the squared distance to the identity. Of two
classes the second is calibrated; of more, each against the rest, then every row over its sum.
"""

from __future__ import annotations

import numpy as np

from affectkit.artifacts.arrays import LARGEST, checked
from affectkit.calibration.methods._probabilities import PULL, EachClass, PullOpt, check_pull
from affectkit.calibration.methods._scaling import fit_beta
from affectkit.evaluation.temperature import logits


def build(*, pull: PullOpt = PULL) -> Beta:
    """The method. Raises "usage" for a pull that is not above 0."""
    return Beta(pull=check_pull(pull))


class Beta(EachClass):
    """Parameters: `a`, `b` and `c` of every calibrated class, by its name in `classes`."""

    name = "beta"

    def fit_class(self, p: np.ndarray, hit: np.ndarray) -> dict[str, float]:
        return dict(zip("abc", fit_beta(_features(p), hit, self.options["pull"]).tolist(), strict=True))

    def check_class(self, parameters: dict[str, float]) -> None:
        for name in "abc":
            checked(name, parameters[name], [], low=-LARGEST if name == "c" else 0)

    def apply_class(self, parameters: dict[str, float], p: np.ndarray) -> np.ndarray:
        above, below = _features(p)
        score = parameters["a"] * above + parameters["b"] * below + parameters["c"]
        return np.exp(-np.logaddexp(0.0, -score))


def _features(p: np.ndarray) -> np.ndarray:
    """[2, N]: ln p and -ln(1 - p) of [N] probabilities, each clipped at 1e-12."""
    return logits(np.column_stack([p, 1 - p])) * np.array([[1.0], [-1.0]])
