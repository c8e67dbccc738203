"""Metrics of predicted numbers: functions `(truth, prediction) -> float`.

`truth` and `prediction` are [N] numbers in the target's units; rows where either is NaN are left out. Each is written
as its formula, `<metric>.of`, which takes `rows.moments` [..., 10] and gives [...]: what intervals resample. Variances
have ddof 0 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from affectkit.evaluation.rows import (
    AA,
    AB,
    ABSOLUTE,
    BB,
    COUNT,
    ERROR,
    SCALED,
    SQUARED,
    A,
    B,
    metric_of,
    moments,
    ratio,
)

ROUNDING = 1e-12  # a variance this small beside its second moment is what rounding leaves of zero
UNDEFINED = "CCC is undefined: truth and prediction are one and the same constant, or there are no rows"


def _moments(truth: Any, prediction: Any) -> np.ndarray:
    return moments(truth, prediction)[0]


def _scaled(truth: Any, prediction: Any, *, scale: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    return moments(truth, prediction, width=scale[1] - scale[0])[0]


@metric_of(_moments, undefined=UNDEFINED)
def ccc(statistics: np.ndarray) -> np.ndarray:
    """Concordance correlation coefficient (Lin 1989), in [-1, 1]; not invariant to the scale of either side.

    2 cov / (var_t + var_p + (mean_t - mean_p)^2). A constant prediction gives 0; NaN, with a warning in the log, where
    truth and prediction are the same constant.

    >>> ccc([1, 2, 3], [2, 3, 4])
    0.5714285714285715
    """
    truth, prediction, both = _variances(statistics)
    return ratio(2 * both, truth + prediction + _mean(statistics, ERROR) ** 2)


@metric_of(_moments)
def pearson(statistics: np.ndarray) -> np.ndarray:
    """Pearson's correlation, cov / (sd_t sd_p), in [-1, 1]; NaN where either side is constant.

    >>> round(pearson([1, 2, 3], [2, 4, 5]), 6)
    0.981981
    """
    truth, prediction, both = _variances(statistics)
    return np.clip(ratio(both, np.sqrt(truth) * np.sqrt(prediction)), -1.0, 1.0)


@metric_of(_moments)
def mae(statistics: np.ndarray) -> np.ndarray:
    """Mean absolute error, mean |p - t|, in the target's units.

    >>> mae([1, 2, 3], [2, 2, 5])
    1.0
    """
    return _mean(statistics, ABSOLUTE)


@metric_of(_moments)
def mse(statistics: np.ndarray) -> np.ndarray:
    """Mean squared error, mean (p - t)^2, in the target's units squared.

    >>> mse([1, 2, 3], [2, 2, 5])
    1.6666666666666667
    """
    return _mean(statistics, SQUARED)


@metric_of(_moments)
def rmse(statistics: np.ndarray) -> np.ndarray:
    """Root mean squared error, in the target's units.

    >>> rmse([1, 2, 3], [3, 4, 5])
    2.0
    """
    return np.sqrt(_mean(statistics, SQUARED))


@metric_of(_moments)
def r2(statistics: np.ndarray) -> np.ndarray:
    """Coefficient of determination, 1 - MSE / var_t, at most 1; 0 is what the judged rows' own mean earns.

    NaN where the truth is constant.

    >>> r2([1, 2, 3], [1, 2, 4])
    0.5
    """
    return 1 - ratio(_mean(statistics, SQUARED), _variances(statistics)[0])


@metric_of(_scaled)
def one_minus_mae(statistics: np.ndarray) -> np.ndarray:
    """The "accuracy" of apparent personality: 1 - MAE with the scale brought to [0, 1] (Ponce-López et al. 2016).

    About .88 is the train mean's on First Impressions: print that floor beside it.

    >>> one_minus_mae([1, 3, 5], [2, 3, 4], scale=(1, 5))
    0.8333333333333334
    """
    return 1 - _mean(statistics, SCALED)


def spearman(truth: Any, prediction: Any) -> float:
    """Spearman's rank correlation, Pearson's of the ranks, ties sharing their mean; in [-1, 1], NaN where either side
    is constant.

    No formula of sums: it is none of the metrics of every report, but of `evaluate --agreement`.

    >>> spearman([1, 2, 3, 4], [1, 3, 2, 40])
    0.8
    """
    truth, prediction = np.asarray(truth, float), np.asarray(prediction, float)
    known = ~(np.isnan(truth) | np.isnan(prediction))
    units = np.zeros(int(known.sum()), dtype=np.int64)
    return left_out_spearman(truth[known], prediction[known], units, 1)[0]


def left_out_spearman(
    truth: np.ndarray, prediction: np.ndarray, units: np.ndarray, count: int
) -> tuple[float, np.ndarray]:
    """Spearman's correlation of numbers [N] without gaps, and [count] the same with each unit left out, ranked anew.

    Ranks that stay as they were would give another variance: what a unit does to the ranks of all others counts too.
    Nothing is sorted again: a rank is how many rows lie below, from counts of the distinct values.
    """
    rising = np.argsort(truth)  # so that ranks are looked up in the order in which they lie
    sides = [np.unique(values[rising], return_inverse=True)[1] for values in (truth, prediction)]
    tallies, units = [np.bincount(codes) for codes in sides], units[rising]
    order = np.argsort(units, kind="stable")
    ends = np.searchsorted(units[order], np.arange(count + 1))
    nobody = order[:0]
    value = _rank_correlation(sides, tallies, nobody)
    left_out = [_rank_correlation(sides, tallies, order[a:b]) for a, b in pairwise(ends)]
    return value, np.array(left_out, dtype=float)


def _rank_correlation(sides: Sequence[np.ndarray], tallies: Sequence[np.ndarray], without: np.ndarray) -> float:
    """Of all rows but those at `without`. sides: [N] codes in the order of the values; tallies: rows of each code."""
    count = len(sides[0]) - len(without)
    ranks, spreads = [], []
    for codes, tally in zip(sides, tallies, strict=True):
        kept = tally - np.bincount(codes[without], minlength=len(tally))
        rank = np.cumsum(kept) - (kept - 1) / 2 - (count + 1) / 2  # of each value, from the mean rank
        spreads.append(float((kept * rank**2).sum()))
        ranks.append((rank[codes], rank[codes[without]]))
    together = float(ranks[0][0] @ ranks[1][0] - ranks[0][1] @ ranks[1][1])
    if not spreads[0] or not spreads[1]:
        return np.nan
    return float(np.clip(together / np.sqrt(spreads[0] * spreads[1]), -1.0, 1.0))


def _variances(statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance of the truth, variance of the prediction, covariance."""
    truth = _variance(_mean(statistics, A), _mean(statistics, AA))
    prediction = _variance(_mean(statistics, B), _mean(statistics, BB))
    both = _mean(statistics, AB) - _mean(statistics, A) * _mean(statistics, B)
    return truth, prediction, np.where((truth == 0) | (prediction == 0), 0.0, both)


def _variance(mean: np.ndarray, second: np.ndarray) -> np.ndarray:
    variance = second - mean**2
    return np.where(variance <= ROUNDING * second, 0.0, variance)


def _mean(statistics: np.ndarray, column: int) -> np.ndarray:
    return ratio(statistics[..., column], statistics[..., COUNT])
