"""The quantile of calibration scores that covers a wanted share of new ones."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def split_quantile(scores: np.ndarray, coverage: float) -> float | None:
    """The ceil((n + 1) coverage)-th smallest of [n] scores (Vovk et al. 2005), None (infinite) where n is too small.

    A new score exchangeable with these is at most that with a probability of at least `coverage`, and of less than
    coverage + 1 / (n + 1) where no two are equal.
    """
    rank = math.ceil((len(scores) + 1) * _exact(coverage))
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else None


def group_quantile(scores: np.ndarray, groups: np.ndarray, coverage: float) -> float | None:
    """The quantile for rows of a group that was never met (Lee, Barber and Willett 2023, hierarchical conformal).

    Each of the K groups weighs 1 / (K + 1), shared by its rows, and the new one's 1 / (K + 1) lies at infinity: None
    with fewer groups than are `needed`. scores: [n]; groups: [n] text.
    """
    _, code, size = np.unique(groups, return_inverse=True, return_counts=True)
    if len(size) < needed(coverage):
        return None
    weight = 1 / ((len(size) + 1) * size[code])
    sort = np.lexsort((weight, scores))
    reached = np.cumsum(weight[sort]) >= coverage - 1e-12
    return float(scores[sort][reached.argmax()])


def needed(coverage: float) -> int:
    """How many rows `split_quantile` needs, and groups `group_quantile`: 1 / alpha - 1, so 9 at .9 and 19 at .95."""
    return math.ceil(_exact(coverage) / (1 - _exact(coverage)))


def _exact(coverage: float) -> Fraction:
    """.9 as 9/10: in binary it is a little more, and 9 rows would not do for what 9 rows can do."""
    return Fraction(repr(float(coverage)))
