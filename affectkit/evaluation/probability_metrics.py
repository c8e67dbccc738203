"""Metrics of predicted probabilities: proper scores, and ranking.

`truth` is [N] labels, `probabilities` [N, K] in the order of `classes`; without `classes`, labels are the indices
0..K-1. Rows without truth or with a NaN probability are left out. Those written with `metric_of` are their formula,
`<metric>.of`, on `rows.losses` [..., 3].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from affectkit.evaluation.rows import encode, losses, mean_of_defined, metric_of, ratio


def _losses(truth: Any, probabilities: Any, *, classes: Sequence[Any] | None = None) -> np.ndarray:
    return losses(*known_rows(truth, probabilities, classes))[0]


@metric_of(_losses)
def nll(statistics: np.ndarray) -> np.ndarray:
    """Negative log-likelihood, mean -ln p(truth), in nats, at least 0; probabilities are clipped at 1e-12.

    >>> round(nll([0, 1], [[0.5, 0.5], [0.25, 0.75]]), 6)
    0.490415
    """
    return ratio(statistics[..., 1], statistics[..., 0])


@metric_of(_losses)
def brier(statistics: np.ndarray) -> np.ndarray:
    """Brier score (Brier 1950), mean over rows of sum_k (p_k - y_k)^2, in [0, 2]: the sum over classes, not their mean.

    >>> brier([0, 1], [[0.5, 0.5], [0.25, 0.75]])
    0.3125
    """
    return ratio(statistics[..., 2], statistics[..., 0])


def auroc(truth: Any, probabilities: Any, *, classes: Sequence[Any] | None = None) -> float:
    """Area under the ROC curve, in [0, 1], ties counted half: of the second of two classes; of more, one against the
    rest, mean over the classes that some rows have and some have not (Hand and Till 2001, section 1).

    >>> auroc([0, 0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])
    0.75
    """
    codes, probabilities = known_rows(truth, probabilities, classes)
    return left_out_auroc(codes, probabilities, np.zeros(len(codes), dtype=np.int64), 1)[0]


def left_out_auroc(
    truth: np.ndarray, probabilities: np.ndarray, units: np.ndarray, count: int
) -> tuple[float, np.ndarray]:
    """AUROC of class indices [N], and [count] the same with each unit left out.

    The area counts pairs of a positive and a negative row in the right order. Without unit u it is all pairs, less
    those with a positive of u, less those with a negative of u, plus those with both (counted twice): nothing is
    ranked anew over all rows.
    """
    positives = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    areas = [_left_out_areas(probabilities[:, k], truth == k, units, count) for k in positives]
    means = mean_of_defined(np.array(areas).reshape(len(areas), count + 1), axis=0)
    return float(means[0]), means[1:]


def _left_out_areas(score: np.ndarray, positive: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """[1 + count]: the area of one class, then that without each unit."""
    if not len(score):
        return np.full(count + 1, np.nan)
    order = np.argsort(score)
    below, above = _won(score[order], positive[order])
    unit, hit = units[order], positive[order]
    # As floats: bincount of nothing has whole numbers.
    pairs = np.bincount(unit[hit], weights=below[hit], minlength=count).astype(float)
    pairs += np.bincount(unit[~hit], weights=above[~hit], minlength=count)
    if count < len(units):  # with a row to a unit, no pair lies within one
        pairs -= _within(score[order], hit, unit, count)
    up = positive.sum() - np.concatenate([[0], np.bincount(units[positive], minlength=count)])
    down = (~positive).sum() - np.concatenate([[0], np.bincount(units[~positive], minlength=count)])
    return ratio(below[hit].sum() - np.concatenate([[0.0], pairs]), up * down)


def _won(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N], [N] of rows in rising order: how many negatives lie below each row, how many positives above, ties half."""
    starts = np.flatnonzero(np.append(True, score[1:] != score[:-1]))
    sizes = np.diff(np.append(starts, len(score)))
    ups = np.add.reduceat(positive.astype(np.int64), starts)
    downs = sizes - ups
    below = np.cumsum(downs) - downs / 2
    above = ups.sum() - np.cumsum(ups) + ups / 2
    return np.repeat(below, sizes), np.repeat(above, sizes)


def _within(score: np.ndarray, positive: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """[count]: won pairs of which both rows are of the unit, of rows in rising order. With units ranked one above the
    other, a positive row lies above the negatives of all units before its own, and those are counted off again."""
    rank = np.cumsum(np.append(0, score[1:] != score[:-1]))
    order = np.argsort(units, kind="stable")
    units, positive = units[order], positive[order]
    below, _ = _won(units * len(score) + rank[order], positive)
    down = np.bincount(units[~positive], minlength=count)
    before = np.cumsum(down) - down
    return np.bincount(units[positive], weights=(below - before[units])[positive], minlength=count)


def known_rows(truth: Any, probabilities: Any, classes: Sequence[Any] | None) -> tuple[np.ndarray, np.ndarray]:
    """Class indices [n] and probabilities [n, K] float64 of the rows that have both."""
    probabilities = np.asarray(probabilities, float)
    codes = encode(truth, range(probabilities.shape[1]) if classes is None else classes)
    if probabilities.shape != (len(codes), probabilities.shape[1] if classes is None else len(classes)):
        raise ValueError(f"probabilities of shape {probabilities.shape} for {len(codes)} rows")
    known = (codes >= 0) & ~np.isnan(probabilities).any(axis=1)
    return (codes, probabilities) if known.all() else (codes[known], probabilities[known])
