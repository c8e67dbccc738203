"""Class probabilities as logits and back, and what every method does to the rows that have an answer.

Arrays of scores are [K, N], a class after the other and contiguous: sums over classes are then K additions of whole
vectors, in one order for any number of rows, so a row's answer has the same bits alone as among others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from affectkit.artifacts.outputs import Output, Rows
from affectkit.errors import AffectkitError
from affectkit.evaluation.sums import SMALLEST_PROBABILITY


def logits(probabilities: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """[K, N] of [N, K] probabilities: log(clip(p, 1e-12, 1)), so that 0 and 1 have finite ones."""
    scores: np.ndarray = np.array(probabilities.T, dtype=dtype, order="C")  # a copy, whichever way the table lies
    np.clip(scores, SMALLEST_PROBABILITY, 1.0, out=scores)
    return np.log(scores, out=scores)


def softmax(scores: np.ndarray) -> np.ndarray:
    """[K, N] of [K, N] scores: exp over its sum along the classes."""
    weights = np.exp(scores - scores.max(axis=0))
    return weights / total(weights)


def total(rows: np.ndarray) -> np.ndarray:
    """[N]: the sum of [K, N] along the classes, added in their order."""
    added = rows[0].copy()
    for row in rows[1:]:
        added += row
    return added


def normalised(shares: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """[N, K] of [K, N] shares >= 0, each row over its sum; rows of zeros become those of `instead` [N, K]."""
    sums = total(shares)
    found = sums > 0
    scaled = (shares / np.where(found, sums, 1.0)).T
    fallback = instead / total(np.ascontiguousarray(instead.T))[:, None]
    return np.where(found[:, None], scaled, fallback)


def answered(output: Output, change: Callable[[np.ndarray], np.ndarray]) -> Output:
    """`output` with [n, K] probabilities changed to others in the rows that were not declined. What was said of
    prediction sets is dropped: it was said of the old probabilities."""
    assert output.probabilities is not None
    known = output.known
    changed = np.full(output.probabilities.shape, np.nan)
    changed[known] = change(output.probabilities[known])
    return replace(output, probabilities=changed, sets=None)


def truths(rows: Rows) -> np.ndarray:
    """[N] class indices int64. Raises "input" without a row."""
    require_rows(rows)
    return rows.truth.astype(np.int64)


def require_rows(rows: Rows) -> None:
    if not len(rows):
        raise AffectkitError("input", "there is no labelled row to fit a calibration on")


def order(truth: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """[N] positions that sort the rows by what is in them: fits that add up floats take them in this order, so that
    the order in which they came changes no bit."""
    return np.lexsort((truth, *columns))
