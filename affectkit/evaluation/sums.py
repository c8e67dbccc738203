"""Sufficient statistics, summed per unit: what every additive metric is computed from.

A unit is what a resample leaves out or repeats: a speaker, a block of speakers, or (without groups) a row. Sums add up
over units, so leaving one out is a subtraction and resampling is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError

SMALLEST_PROBABILITY = 1e-12  # its logarithm stands for log 0: one row can cost a mean NLL at most 27.6 / n

# The columns of `moments`: a is the truth and b the prediction, each less its median; e is prediction less truth.
COUNT, A, B, AA, BB, AB, ERROR, SQUARED, ABSOLUTE, SCALED = range(10)


def encode(labels: Any, classes: Sequence[Any]) -> np.ndarray:
    """Labels [N] as indices [N] int64 into `classes`; -1 where missing ("", None or NaN).

    Raises AffectkitError "input" with the row of a label that is not a class.
    """
    index = {None: -1, "": -1} | {name: code for code, name in enumerate(classes)}
    cells = np.asarray(labels).tolist()
    codes = np.array([-1 if cell != cell else index.get(cell, -2) for cell in cells], dtype=np.int64)
    if (codes == -2).any():
        row = int((codes == -2).argmax())
        raise AffectkitError("input", f"label '{cells[row]}' is not in {', '.join(map(str, classes))}", row=row + 1)
    return codes


def union(*labels: Any) -> list[Any]:
    """The classes that occur in any of `labels`, sorted, missing ones left out."""
    found = {cell for one in labels for cell in np.asarray(one).tolist() if cell == cell}
    return sorted(found - {"", None})


def confusions(
    truth: np.ndarray, prediction: np.ndarray, classes: int, units: np.ndarray | None = None, count: int = 1
) -> np.ndarray:
    """Confusion matrices [count, K, K] int64, rows the truth, of class indices [N]; rows with a -1 are left out."""
    _check_lengths(truth, prediction)
    known = (truth >= 0) & (prediction >= 0)
    cells = truth[known] * classes + prediction[known]
    if units is not None:
        cells += units[known] * classes**2
    return np.bincount(cells, minlength=count * classes**2).reshape(count, classes, classes)


def losses(truth: np.ndarray, probabilities: np.ndarray, units: np.ndarray | None = None, count: int = 1) -> np.ndarray:
    """[count, 3] float64: rows, sum of -log p(truth), sum of the squared distances to the one-hot truth.

    truth: [N] class indices; probabilities: [N, K]. Rows without truth or with a NaN probability are left out.
    """
    _check_lengths(truth, probabilities)
    known = (truth >= 0) & ~np.isnan(probabilities).any(axis=1)
    truth, probabilities = truth[known], np.asarray(probabilities, float)[known]
    of_truth = probabilities[np.arange(len(truth)), truth]
    surprise = -np.log(np.clip(of_truth, SMALLEST_PROBABILITY, 1.0))
    one_hot = np.eye(probabilities.shape[1])[truth]
    distance = ((probabilities - one_hot) ** 2).sum(axis=1)
    return _per_unit([np.ones(len(truth)), surprise, distance], None if units is None else units[known], count)


def moments(
    truth: Any, prediction: Any, units: np.ndarray | None = None, count: int = 1, width: float | None = None
) -> np.ndarray:
    """[count, 10] float64: rows; sums of a, b, aa, bb, ab; of e, ee, |e| and |e| / width. Rows with a NaN are left out.

    a and b are taken from their medians: sums of raw squares lose all digits where the mean is far above the spread,
    and a constant stays exactly constant.
    """
    truth, prediction = np.asarray(truth, float), np.asarray(prediction, float)
    _check_lengths(truth, prediction)
    known = ~(np.isnan(truth) | np.isnan(prediction))
    truth, prediction = truth[known], prediction[known]
    a = truth - np.median(truth) if len(truth) else truth
    b = prediction - np.median(prediction) if len(truth) else prediction
    e = prediction - truth
    scaled = np.abs(e) / width if width else np.full(len(e), np.nan)
    columns = [np.ones(len(a)), a, b, a * a, b * b, a * b, e, e * e, np.abs(e), scaled]
    return _per_unit(columns, None if units is None else units[known], count)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where `whole` is 0 or NaN."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _per_unit(columns: Sequence[np.ndarray], units: np.ndarray | None, count: int) -> np.ndarray:
    if units is None:
        units = np.zeros(len(columns[0]), dtype=np.int64)
    summed = [np.bincount(units, weights=column, minlength=count) for column in columns]
    return np.stack(summed, axis=1).astype(float)  # bincount of nothing has whole numbers


def _check_lengths(truth: Any, prediction: Any) -> None:
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} truths and {len(prediction)} predictions")
