"""The sharpness 1/T at which class probabilities have the least NLL, and probabilities at a sharpness.

Arrays of scores are [K, N], a class after the other and contiguous: sums over classes are then K additions of whole
vectors, in one order for any number of rows, so a row's answer has the same bits alone as among others.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from affectkit.evaluation.rows import SMALLEST_PROBABILITY

BOUND = math.exp(10.0)  # 1/T stays within 1/BOUND and BOUND
CELLS = 1 << 17  # of rows that are worked on together: 1 MB, which a core's cache holds
MANY = 64_000  # rows from which on float32 is used, and an eighth of them gives the start
CLOSE = 1e-6  # a step of this relative size is the last, as what is left is about its cube
CLOSE_32 = 4e-3  # in float32, which ends at 1e-7
STEPS = 100
CREEP = 8  # every so many steps a wide range is halved: where the NLL is all but straight, Halley's steps are tiny
STRIDES = 3  # steps towards an end of the range before that end itself is tried


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


def fit_sharpness(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The b = 1/T in [e^-10, e^10] with the least NLL of softmax(b log p), for [N, K] rows and [N] class indices
    (Guo et al. 2017, section 4.2). weights: [N] what each row counts, 1 by default.

    The NLL is convex in b (a log-sum-exp of linear functions, less a linear one): its minimum is where the slope
    changes sign, or at an end of the range. Of many rows, some give the start, and all in float32 the end: it is off
    by up to 1e-7 of b, where 64,000 rows leave 1e-3 to chance. The order of rows changes no bit.
    """
    if len(truth) < MANY:
        return _minimum(Logits.of(probabilities, truth, weights, np.float64), 1.0, CLOSE)
    # About an eighth of the rows (none are fine), by a multiplicative hash of their first probability and not by where
    # they stand.
    bits = np.array(probabilities[:, 0], dtype=np.float64).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    some = bits < np.uint64(1 << 61)
    few = Logits.of(probabilities[some], truth[some], None if weights is None else weights[some], np.float32)
    start = _minimum(few, 1.0, CLOSE_32)
    return _minimum(Logits.of(probabilities, truth, weights, np.float32), start, CLOSE_32)


def _minimum(rows: Logits, at: float, close: float) -> float:
    """Where the first derivative changes sign: Halley's steps, kept between the nearest points known on either side.

    A first derivative of 0 at the start means that there is nothing to gain, and the start is the answer.
    """
    low, high = 1 / BOUND, BOUND
    below = above = 0  # points tried on either side
    for number in range(1, STEPS + 1):
        slope, curvature, bend = rows.derivatives(at)
        if slope == 0 or (slope < 0 and at == high) or (slope > 0 and at == low):
            return at
        if slope < 0:
            low, below = at, below + 1
        else:
            high, above = at, above + 1
        there = _halley(at, slope, curvature, bend)
        if not above and (below > STRIDES or there > high):
            there = high
        elif not below and (above > STRIDES or there < low):
            there = low
        elif not low < there < high or (number % CREEP == 0 and high > 2 * low):
            there = math.sqrt(low * high)
        if abs(there - at) <= close * at:
            return there
        at = there
    return at


def _halley(at: float, slope: float, curvature: float, bend: float) -> float:
    """Halley's step towards a zero of the slope; Newton's where that would turn back, infinite without curvature."""
    if curvature <= 0:
        return math.copysign(math.inf, -slope)
    newton = slope / curvature
    turn = 1 - newton * bend / (2 * curvature)
    return at - newton / (turn if turn > 0 else 1)


@dataclass(frozen=True)
class Logits:
    """below: [K, N] logits less the row's largest, so that no exponential overflows; truth_below: [N] the true class's,
    in float64. weights: [N] what each row counts; None for 1 each."""

    below: np.ndarray
    truth_below: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(cls, probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray | None, dtype: type) -> Logits:
        count, classes = probabilities.shape
        below: np.ndarray = np.empty((classes, count), dtype)
        truth_below = np.empty(count)

        def fill(rows: slice) -> None:
            scores = logits(probabilities[rows], dtype)
            scores -= scores.max(axis=0)
            below[:, rows] = scores
            truth_below[rows] = scores[truth[rows], np.arange(scores.shape[1])]

        _each(fill, probabilities.shape)
        return cls(below, truth_below, weights)

    def derivatives(self, b: float) -> tuple[float, float, float]:
        """The first three of the summed NLL along b: with d the logits under the softmax at b, their mean less that of
        the truth, their variance and their third central moment."""
        derivatives = np.empty((3, len(self.truth_below)))

        def fill(rows: slice) -> None:
            below = self.below[:, rows]
            shares = np.exp(below * below.dtype.type(b))
            mass = total(shares)
            moments = []
            for _ in range(3):
                shares *= below
                moments.append(total(shares) / mass)
            mean, square, cube = moments
            derivatives[0, rows] = mean - self.truth_below[rows]
            derivatives[1, rows] = square - mean * mean
            derivatives[2, rows] = cube - 3 * mean * square + 2 * mean * mean * mean

        _each(fill, self.below.T.shape)
        if self.weights is not None:
            derivatives *= self.weights
        first, second, third = (exact_sum(row) for row in derivatives)
        return first, second, third


def chunks_of(rows: int, classes: int) -> list[slice]:
    """`rows` rows of `classes` classes, `CELLS` at a time."""
    step = max(CELLS // classes, 1)
    return [slice(start, start + step) for start in range(0, rows, step)]


def _each(work: Callable[[slice], None], shape: tuple[int, ...]) -> None:
    """`work` on every chunk of [N, K]: numpy lets go of the interpreter, so threads share many out."""
    chunks = chunks_of(*shape)
    if len(chunks) < 4:
        list(map(work, chunks))
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, chunks))


def exact_sum(values: np.ndarray) -> float:
    """The sum of [N] floats, the same in any order: each is rounded to a multiple of a power of two so large that sums
    of N of them still fit the 53 bits of a float, and so add up exactly. A value is off by at most N / 2^52 of the
    largest, upwards as often as downwards."""
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if not largest:
        return 0.0
    scale = math.ldexp(1.0, min(53 - math.frexp(largest)[1] - len(values).bit_length(), 1000))
    return float(np.rint(values * scale).sum()) / scale


def sharpened(probabilities: np.ndarray, b: float) -> np.ndarray:
    """[N, K] softmax(b log p) of [N, K] probabilities, with the same most probable class in every row.

    Two classes whose probabilities differ in the last digits can round to equal ones; the one that was ahead then stays
    ahead by the last digit.
    """
    changed: np.ndarray = np.empty(probabilities.shape)

    def fill(rows: slice) -> None:
        some = softmax(logits(probabilities[rows]) * b).T
        top = probabilities[rows].argmax(axis=1)
        moved = np.flatnonzero(some.argmax(axis=1) != top)
        some[moved, top[moved]] = np.nextafter(some[moved].max(axis=1), 2.0)
        changed[rows] = some

    _each(fill, probabilities.shape)
    return changed
