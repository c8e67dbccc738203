"""How steady predictions over time are, and how far they trail behind the truth.

Values are those of sequences laid end to end: [N] numbers or [N, K] class probabilities (of a truth: one-hot), in the
order of time, NaN where there is none. starts: [S] where each sequence begins; by default there is one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

MAX_LAG = 30  # frames: a second of video
FEWEST = 10  # pairs of frames; a correlation of fewer says little
TIED = 1e-9  # correlations this close are equal: of a periodic truth every period fits


def jitter(values: Any, starts: Any = (0,)) -> float:
    """Mean |x_t - x_(t-1)| over neighbouring frames of a sequence, in the values' units; NaN where there are none.

    Of class probabilities the distance is half the sum over classes (total variation), so that it lies in [0, 1].

    >>> jitter([1, 2, 4])
    1.5
    """
    total, count = (part.sum() for part in steps(values, starts))
    return float(total / count) if count else float("nan")


def steps(values: Any, starts: Any = (0,)) -> tuple[np.ndarray, np.ndarray]:
    """Of each sequence, the sum of |x_t - x_(t-1)| and how many there are, both [S]; pairs with a NaN are left out."""
    table, starts = _columns(values), np.asarray(starts)
    codes = _codes(starts, len(table))
    change = np.abs(np.diff(table, axis=0)).sum(axis=1) / (2 if table.shape[1] > 1 else 1)
    known = (codes[1:] == codes[:-1]) & ~np.isnan(change)
    inside = codes[1:][known]
    return np.bincount(inside, change[known], len(starts)), np.bincount(inside, minlength=len(starts))


class Lag(NamedTuple):
    """Frames by which predictions trail the truth, negative where they lead; NaN where undefined.

    pooled: over all sequences. each: [S].
    """

    pooled: float
    each: np.ndarray


def lag(truth: Any, prediction: Any, starts: Any = (0,), *, most: int = MAX_LAG) -> Lag:
    """The shift L in [-most, most] at which prediction_t goes best with truth_(t-L): the largest cross-correlation.

        r(L) = sum_s cov_s(L) / sqrt(sum_s var_s(L) sum_s var'_s(L))

    Covariances and variances are those within a sequence s, over the pairs of frames that this shift makes, summed
    over classes: neither an offset nor a scale of the predictions matters. Shifts that leave fewer than half of the
    pairs, or fewer than ten, are not tried; of equal correlations the smallest shift counts. NaN where truth or
    prediction does not vary within a sequence, such as one label throughout.

    >>> lag([0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0]).pooled
    2.0
    """
    a, b, starts = _columns(prediction), _columns(truth), np.asarray(starts)
    lengths = np.diff(starts, append=len(a))
    codes = _codes(starts, len(a))
    a, b = _centred(a, codes, len(starts)), _centred(b, codes, len(starts))
    varied = _varies(a, codes, len(starts)) & _varies(b, codes, len(starts))
    if not varied.any():
        return Lag(float("nan"), np.full(len(starts), np.nan))
    reach = int(min(most, lengths[varied].max() // 2))
    shifts = np.array(sorted(range(-reach, reach + 1), key=lambda shift: (abs(shift), -shift)))
    inside = varied[codes]
    table = _pair_sums(a[inside], b[inside], lengths[varied], shifts, reach)
    each = np.full(len(starts), np.nan)
    each[varied] = _best(table, shifts)
    return Lag(float(_best(table.sum(axis=1, keepdims=True), shifts)[0]), each)


def _pair_sums(a: np.ndarray, b: np.ndarray, lengths: np.ndarray, shifts: np.ndarray, reach: int) -> np.ndarray:
    """[shifts, S, 4]: pairs, covariance, variance of `a` and of `b` (sums of squares, not means) at each shift.

    Sequences are laid out with `reach` empty places between them, so that a shift is a slice and none meets another.
    """
    places = np.arange(len(a)) + reach * (1 + np.repeat(np.arange(len(lengths)), lengths))
    starts = np.cumsum(lengths) - lengths + reach * np.arange(len(lengths))
    size = len(a) + reach * (len(lengths) + 1)
    found = np.zeros((len(shifts), len(lengths), 4))
    for values, others in zip(a.T, b.T, strict=True):
        (x, xx, kx), (y, yy, ky) = (_laid_out(column, places, size) for column in (values, others))
        middle = slice(reach, size - reach)
        for place, shift in enumerate(shifts):
            moved = slice(reach - shift, size - reach - shift)
            products = ((kx, ky), (x, ky), (kx, y), (xx, ky), (kx, yy), (x, y))
            n, sx, sy, sxx, syy, sxy = (np.add.reduceat(p[middle] * q[moved], starts) for p, q in products)
            some = np.maximum(n, 1)
            found[place] += np.stack([n, sxy - sx * sy / some, sxx - sx * sx / some, syy - sy * sy / some], axis=-1)
    found[:, :, 0] /= a.shape[1]
    return found


def _laid_out(column: np.ndarray, places: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values, their squares and 1 where there is a value, each 0 elsewhere."""
    values, known = np.zeros(size), np.zeros(size)
    there = ~np.isnan(column)
    values[places[there]] = column[there]
    known[places[there]] = 1.0
    return values, values * values, known


def _best(table: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """[S] the shift of the largest correlation; `shifts` come in the order in which ties are settled."""
    count, together, first, second = np.moveaxis(table, -1, 0)
    enough = (count >= FEWEST) & (count >= count.max(axis=0) / 2) & (np.minimum(first, second) > 0)
    correlation = np.full(count.shape, -np.inf)
    scale = np.sqrt(np.maximum(first, 0)) * np.sqrt(np.maximum(second, 0))
    np.divide(together, scale, out=correlation, where=enough)
    top = correlation.max(axis=0)
    best = shifts[(correlation >= top - TIED).argmax(axis=0)].astype(float)
    return np.where(np.isfinite(top), best, np.nan)


def _centred(table: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Less the mean of its sequence: sums of squares far from 0 would lose their digits."""
    known = ~np.isnan(table)
    filled = np.where(known, table, 0.0)
    centred = np.empty_like(table)
    for place in range(table.shape[1]):
        sizes = np.maximum(np.bincount(codes, known[:, place], count), 1)
        centred[:, place] = table[:, place] - (np.bincount(codes, filled[:, place], count) / sizes)[codes]
    scale = np.abs(filled).max(initial=0.0)
    centred[np.abs(centred) <= 1e-12 * scale] = 0.0  # a constant is exactly constant
    return centred


def _varies(centred: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """[S] bool: whether anything of a sequence differs from its mean."""
    return np.bincount(codes, np.nan_to_num(centred).any(axis=1), count) > 0


def _columns(values: Any) -> np.ndarray:
    table = np.asarray(values, float)
    return table.reshape(len(table), -1)


def _codes(starts: np.ndarray, rows: int) -> np.ndarray:
    return np.repeat(np.arange(len(starts)), np.diff(starts, append=rows))
