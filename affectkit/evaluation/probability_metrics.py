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
    below, above = _won(score, positive)
    # As floats: bincount of nothing has whole numbers.
    pairs = np.bincount(units[positive], weights=below[positive], minlength=count).astype(float)
    pairs += np.bincount(units[~positive], weights=above[~positive], minlength=count)
    if count < len(units):  # with a row to a unit, no pair lies within one
        pairs -= _within(score, positive, units, count)
    up = positive.sum() - np.concatenate([[0], np.bincount(units[positive], minlength=count)])
    down = (~positive).sum() - np.concatenate([[0], np.bincount(units[~positive], minlength=count)])
    return ratio(below[positive].sum() - np.concatenate([[0.0], pairs]), up * down)


def _won(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N], [N]: how many negatives lie below each positive row, how many positives above each negative, ties half."""
    from scipy.stats import rankdata

    overall = rankdata(score)
    within = np.empty(len(score))
    within[positive] = rankdata(score[positive])
    within[~positive] = rankdata(score[~positive])
    return overall - within, positive.sum() - (overall - within)


def _within(score: np.ndarray, positive: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """[count]: won pairs of which both rows are of the unit. With units ranked one above the other, a positive row
    lies above the negatives of all units before its own, and those are counted off again."""
    from scipy.stats import rankdata

    below, _ = _won(units * (len(score) + 1.0) + rankdata(score), positive)
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
    return codes[known], probabilities[known]
