"""Many answers into one: weighted mean, median and maximum of the rows of each aggregate."""

from __future__ import annotations

from typing import Literal

import numpy as np

Pool = Literal["mean", "median", "max"]
ROUNDING = 1e-9  # of an aggregate's weight: sums of weights this close to its half are its half


def pool(rule: Pool, values: np.ndarray, codes: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """[count, K] from values [M, K]: codes [M] says which aggregate a row belongs to; NaN for one without a row.

    weights: [M], positive. The maximum has no use for them. The median is the value at which the weight below and above
    is half of all, the mean of both neighbours where it falls between two: with equal weights, the usual median.
    """
    found = np.full((count, values.shape[1]), np.nan)
    if not len(values):
        return found
    if rule == "mean":
        total = np.bincount(codes, weights, count)
        for place, column in enumerate(values.T):
            sums = np.bincount(codes, weights * column, count)
            np.divide(sums, total, out=found[:, place], where=total > 0)
        return found
    for place, column in enumerate(values.T):
        order = np.lexsort((column, codes))
        present, starts = np.unique(codes[order], return_index=True)
        ends = np.append(starts[1:], len(order)) - 1
        ranked = column[order]
        found[present, place] = ranked[ends] if rule == "max" else _median(ranked, weights[order], starts, ends)
    return found


def _median(ranked: np.ndarray, weights: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """[G] of aggregates that lie end to end, ascending within each."""
    lengths = ends - starts + 1
    running = np.cumsum(weights)
    below = np.repeat(running[starts] - weights[starts], lengths)
    total = running[ends] - running[starts] + weights[starts]
    half, slack = np.repeat(total / 2, lengths), np.repeat(total * ROUNDING, lengths)
    lower = starts + np.add.reduceat((running - below < half - slack).astype(int), starts)
    upper = starts + np.add.reduceat((running - below <= half + slack).astype(int), starts)
    return (ranked[np.minimum(lower, ends)] + ranked[np.minimum(upper, ends)]) / 2


def pool_probabilities(
    rule: Pool, values: np.ndarray, codes: np.ndarray, weights: np.ndarray, count: int
) -> np.ndarray:
    """As `pool`, of probabilities [M, K]: medians and maxima are brought back to a sum of 1.

    Where all medians are 0 (three windows, each sure of another class) the means stand in for them.
    """
    found = pool(rule, values, codes, weights, count)
    if rule == "mean":
        return found
    total = found.sum(axis=1)
    nothing = total == 0
    if nothing.any():
        found[nothing] = pool("mean", values, codes, weights, count)[nothing]
        total = found.sum(axis=1)
    return found / total[:, None]
