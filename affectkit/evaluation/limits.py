"""Limits of agreement of repeated measurements (Bland and Altman 2007, section 3: the true value varies).

Differences of one subject are alike, so their variance has two parts, between and within subjects, which a one-way
analysis of variance of the differences tells apart:

    s_w^2 = MS_within,  s_b^2 = (MS_between - MS_within) / m_0 (0 where negative),  m_0 = (N - sum m_i^2 / N) / (S - 1)
    limits = bias -+ 1.96 sqrt(s_b^2 + s_w^2),  bias = the mean difference over rows

With a row per subject that is the standard deviation as usual. The plain one over all rows is too small where subjects
differ and have few rows each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from affectkit.evaluation.intervals import ABOVE_ZERO, ANY, Estimate, Interval, Resampling, Units, intervals
from affectkit.evaluation.rows import ratio

REACH = 1.959963984540054  # of a standard normal distribution, 95 % lie within it
SUBJECTS, ROWS, TOTAL, SQUARES, OF_SUBJECTS, SIZES = range(6)  # the columns of `_sums`


def limits_of_agreement(
    differences: np.ndarray, codes: np.ndarray, units: Units, resampling: Resampling
) -> dict[str, Any]:
    """`bias`, `sd`, `lower`, `upper`, each with its interval; `sd_between` and `sd_within`.

    differences: [N] prediction - truth. codes: [N] the subject of each. units: of subjects.

    The interval of a limit joins those of bias and standard deviation (Zou 2013, by MOVER), because that of a standard
    deviation is no symmetric one.
    """
    middle = float(np.median(differences)) if len(differences) else 0.0
    sums = _sums(differences - middle, codes, units)
    estimates = {"bias": Estimate(lambda s: middle + ratio(s[..., TOTAL], s[..., ROWS]), ANY)}
    estimates["sd"] = Estimate(_total, ABOVE_ZERO)
    figures = intervals(estimates, sums, resampling)
    figures |= {"lower": _limit(figures, -1), "upper": _limit(figures, 1)}
    between, within = _parts(sums.sum(axis=0))
    parts = {"sd_between": float(np.sqrt(between)), "sd_within": float(np.sqrt(within))}
    return {**{name: figure.plain() for name, figure in figures.items()}, **parts}


def _sums(differences: np.ndarray, codes: np.ndarray, units: Units) -> np.ndarray:
    """[U, 6] of each unit: subjects, rows, sum of differences, of their squares, of (a subject's sum)^2 / its rows, of
    rows^2."""
    count = len(units.codes)
    size = np.bincount(codes, minlength=count).astype(float)
    total = np.bincount(codes, weights=differences, minlength=count)
    squares = np.bincount(codes, weights=differences**2, minlength=count)
    columns = (np.ones(count), size, total, squares, ratio(total**2, size), size**2)
    return np.stack([np.bincount(units.codes, weights=c, minlength=units.count) for c in columns], axis=1)


def _parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance between and within subjects: NaN within where each has one row, and between where there is one
    subject."""
    subjects, rows = sums[..., SUBJECTS], sums[..., ROWS]
    within = ratio(np.maximum(sums[..., SQUARES] - sums[..., OF_SUBJECTS], 0.0), rows - subjects)
    mean_square = ratio(sums[..., OF_SUBJECTS] - ratio(sums[..., TOTAL] ** 2, rows), subjects - 1)
    weight = ratio(rows - ratio(sums[..., SIZES], rows), subjects - 1)
    # With a row per subject all that differs is between them.
    known = np.where(np.isnan(within), 0.0, within)
    return np.maximum(ratio(mean_square - known, weight), 0.0), within


def _total(sums: np.ndarray) -> np.ndarray:
    between, within = _parts(sums)
    return np.sqrt(between + np.where(np.isnan(within), 0.0, within))


def _limit(figures: dict[str, Interval], side: int) -> Interval:
    """bias + side * 1.96 sd. Its far end takes the far end of both, its near end the near end."""
    bias, sd = figures["bias"], figures["sd"]
    value = bias.value + side * REACH * sd.value
    below, above = bias.value - bias.low, bias.high - bias.value
    less, more = REACH * (sd.value - sd.low), REACH * (sd.high - sd.value)
    if side < 0:
        less, more = more, less
    return Interval(value, value - float(np.hypot(below, less)), value + float(np.hypot(above, more)), bias.method)
