"""Calibrations of one number at a time made into calibrations of class probabilities.

Zadrozny and Elkan 2002: every class against the rest, then each row over its sum. Of two classes only the second is
calibrated, and the first gets what remains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import Output, Rows
from affectkit.calibration._probabilities import answered, normalised, truths

Fit = Callable[[np.ndarray, np.ndarray], dict[str, Any]]  # ([N] probabilities, [N] 0.0 or 1.0) -> parameters
Change = Callable[[dict[str, Any], np.ndarray], np.ndarray]  # (parameters, [N]) -> [N]


def fit_each(fit: Fit, output: Output, rows: Rows) -> dict[str, Any]:
    """`{"classes": {name: parameters}}` of the classes that are calibrated."""
    truth = truths(rows)
    names = output.target.classes
    fitted = {
        names[k]: fit(np.ascontiguousarray(output.values[:, k]), (truth == k).astype(float))
        for k in calibrated_classes(len(names))
    }
    return {"classes": fitted}


def apply_each(change: Change, parameters: dict[str, Any], output: Output) -> Output:
    """Each class's shares, normalised; a row in which all are 0 keeps its probabilities, as the fit rows say nothing
    of it that could be true."""
    names = output.target.classes

    def of_rows(probabilities: np.ndarray) -> np.ndarray:
        shares = [
            change(parameters["classes"][names[k]], np.ascontiguousarray(probabilities[:, k]))
            for k in calibrated_classes(len(names))
        ]
        if len(names) == 2:
            shares = [1 - shares[0], shares[0]]
        return normalised(np.stack(shares), probabilities)

    return answered(output, of_rows)


def calibrated_classes(count: int) -> range:
    return range(1, 2) if count == 2 else range(count)
