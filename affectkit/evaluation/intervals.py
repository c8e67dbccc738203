"""The suite's one way to say how sure a figure is: resample groups, never rows of a group.

Every additive metric is a formula of sums over units (`statistics`), so leaving one unit out or drawing units with
replacement costs one subtraction or one matrix product for all metrics together.

    interval = inverse(forward(value) -+ t(G - 1) * standard error on the interval scale)

The standard error is the delete-one-group jackknife's (default below 40 groups) or the cluster bootstrap's (from 40),
the scale is the metric's (`IntervalScale`), so that intervals keep to the range and cover near its ends: for a UAR of
.93 and 4 speakers the plain scale covered .89, the logit .95. Percentile and BCa intervals of the same bootstrap
covered up to three points less at 40 and 91 groups, up to four less than the jackknife. With 2, 4, 10, 24 and 91
simulated speakers tests/evaluation/test_coverage.py finds .93-.97 for every metric. Beyond what it simulates: squared
errors whose size differs tenfold between speakers fall to .85-.93, groups of very unequal size to .90-.93 (the report
says so).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from affectkit.splits import distinct

# --- A metric's range, and the scale on which its interval is symmetric: near a bound the plain one is not


@dataclass(frozen=True)
class IntervalScale:
    """A strictly increasing map from a range to the real line, its inverse and its slope; low, high: the range."""

    low: float
    high: float
    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    slope: Callable[[Any], Any]


def between(low: float, high: float) -> IntervalScale:
    """The logit of the place between two ends; between -1 and 1 it is twice Fisher's z."""
    width = high - low
    return IntervalScale(
        low,
        high,
        forward=lambda v: np.log((v - low) / (high - v)),
        inverse=lambda z: low + width / (1 + np.exp(-z)),
        slope=lambda v: width / ((v - low) * (high - v)),
    )


ANY = IntervalScale(-np.inf, np.inf, lambda v: v, lambda z: z, np.ones_like)
SHARE = between(0.0, 1.0)
CORRELATION = between(-1.0, 1.0)
ABOVE_ZERO = IntervalScale(0.0, np.inf, np.log, np.exp, lambda v: 1 / v)
BELOW_ONE = IntervalScale(-np.inf, 1.0, lambda v: -np.log(1 - v), lambda z: 1 - np.exp(-z), lambda v: 1 / (1 - v))

# --- What is resampled, how, and what comes out of it

Method = Literal["auto", "jackknife", "bootstrap", "none"]
BOOTSTRAP_FROM = 40  # groups
MOST_UNITS = 1000  # more groups are dealt at random into 1,000 blocks: the error of the error is then 2 %
CHUNK = 500  # resamples at a time, which bounds memory
SPARSE = 16  # where no more than one of so many statistics is not 0, zeros are left out


@dataclass(frozen=True)
class Interval:
    """A figure and its confidence interval; low and high are NaN where none can be estimated.

    method: "jackknife", "bootstrap" or "none". groups: what was resampled, which are rows where there are no groups.
    p: of a difference, two-sided for 0, by the same t; NaN for any other figure, and where there is no interval.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    method: str = "none"
    groups: int = 0
    p: float = np.nan

    def plain(self) -> dict[str, float]:
        """`{"value", "low", "high"}`, as reports have it."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Resampling:
    """How to estimate: the method, the level of the intervals, and the bootstrap's number of resamples and seed."""

    method: Method = "auto"
    level: float = 0.95
    resamples: int = 10_000
    seed: int = 0

    def method_for(self, units: int) -> str:
        """What `units` units get: "auto" decides by their number, and one unit allows none."""
        if units < 2:
            return "none"
        return self.method if self.method != "auto" else "bootstrap" if units >= BOOTSTRAP_FROM else "jackknife"

    def units(self, groups: np.ndarray | None, rows: np.ndarray) -> Units:
        """What is resampled of some rows, [N] bool; see `as_units`. groups: [N] text of all of them."""
        return as_units(None if groups is None else groups[rows], int(rows.sum()), seed=self.seed)


@dataclass(frozen=True)
class Units:
    """What resampling leaves out or repeats. codes: [N] the unit of each row. groups: before any were merged."""

    codes: np.ndarray
    count: int
    groups: int


class Estimate(NamedTuple):
    """A metric as intervals see it: its formula on summed statistics [..., *S] giving [...], and its interval scale."""

    of: Callable[[np.ndarray], np.ndarray]
    interval_scale: IntervalScale = ANY


@dataclass(frozen=True)
class Resamples:
    """A figure, and again [R] what it comes to in every resample: all that its interval needs, and its differences."""

    value: float
    again: np.ndarray
    interval_scale: IntervalScale
    method: str
    units: int
    groups: int
    level: float = 0.95

    def interval(self) -> Interval:
        from scipy.special import stdtrit

        error = self._standard_error()
        with np.errstate(divide="ignore", invalid="ignore"):
            place = self.interval_scale.forward(np.float64(self.value))
            known = np.isfinite(error + place)
        if not known:  # a value at its bound, which resamples miss by rounding alone, among them
            return Interval(self.value, method=self.method, groups=self.groups)
        reach = stdtrit(self.units - 1, 0.5 + self.level / 2) * error
        with np.errstate(over="ignore"):
            low, high = self.interval_scale.inverse(place - reach), self.interval_scale.inverse(place + reach)
        return Interval(self.value, float(low), float(high), self.method, self.groups)

    def minus(self, other: Resamples) -> Interval:
        """The paired difference to a figure of the same units in the same resamples, with its p-value."""
        from scipy.special import stdtr, stdtrit

        value, again = self.value - other.value, self.again - other.again
        interval = replace(self, value=value, again=again, interval_scale=ANY).interval()
        reach = (interval.high - interval.low) / 2
        if not np.isfinite(reach) or reach == 0:
            return interval
        error = reach / stdtrit(self.units - 1, 0.5 + self.level / 2)
        return replace(interval, p=float(2 * stdtr(self.units - 1, -abs(value) / error)))

    def _standard_error(self) -> float:
        """On the interval scale; by the delta method where a resample reaches the metric's bound, which the scale sends
        to infinity. NaN where a resample is undefined, or where all are equal: no width is not certainty."""
        if self.method == "none" or np.isnan(self.value) or np.isnan(self.again).any():
            return np.nan
        if np.ptp(self.again) <= 1e-12 * max(1.0, abs(self.value)):
            return np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = self.interval_scale.forward(self.again)
            slope = float(self.interval_scale.slope(np.float64(self.value)))
        return float(self._spread(moved) if np.isfinite(moved).all() else slope * self._spread(self.again))

    def _spread(self, again: np.ndarray) -> float:
        """Standard error from resampled values; both estimates are the usual unbiased one for a mean over units."""
        if self.method == "jackknife":
            return np.sqrt((self.units - 1) * again.var())
        return np.sqrt(self.units / (self.units - 1)) * again.std()


DEFAULT = Resampling()

# --- Figures of statistics per unit, with their intervals


def as_units(groups: Any | None, rows: int, *, seed: int = 0) -> Units:
    """Units of `rows` rows from their groups [N], or one unit per row where `groups` is None (i.i.d.).

    A row whose group is "" belongs to no other row. Beyond 1,000 groups, whole groups are dealt into 1,000 blocks.
    """
    codes = np.arange(rows)
    if groups is not None:
        names, codes = distinct(groups)
        alone = np.asarray(groups) == ""
        codes = np.where(alone, len(names) + np.cumsum(alone), codes)
        codes = np.unique(codes, return_inverse=True)[1]
    count = int(codes.max()) + 1 if rows else 0
    if count <= MOST_UNITS:
        return Units(codes, count, count)
    block = np.random.default_rng(seed).permutation(count) % MOST_UNITS
    return Units(block[codes], MOST_UNITS, count)


def resample(
    figures: Mapping[str, Estimate],
    statistics: np.ndarray,
    resampling: Resampling = DEFAULT,
    *,
    groups: int | None = None,
) -> dict[str, Resamples]:
    """Each figure of the summed `statistics` [U, *S] in every resample, to be compared with others of the same units.

    Units without any row must be left out of them. groups: how many there were before merging, otherwise U.
    """
    units, total = len(statistics), statistics.sum(axis=0)
    method, merged = resampling.method_for(units), units if groups is None else groups
    drawn = _resampled(figures, statistics, method, resampling)
    resamples = {}
    for name, figure in figures.items():
        value, scale = float(figure.of(total)), figure.interval_scale
        resamples[name] = Resamples(value, drawn[name], scale, method, units, merged, resampling.level)
    return resamples


def intervals(
    figures: Mapping[str, Estimate],
    statistics: np.ndarray,
    resampling: Resampling = DEFAULT,
    *,
    groups: int | None = None,
) -> dict[str, Interval]:
    """Each figure with its interval; see `resample`."""
    resamples = resample(figures, statistics, resampling, groups=groups)
    return {name: figure.interval() for name, figure in resamples.items()}


def interval(
    figure: Estimate, statistics: np.ndarray, resampling: Resampling = DEFAULT, *, groups: int | None = None
) -> Interval:
    """One figure with its interval; see `resample`."""
    return intervals({"": figure}, statistics, resampling, groups=groups)[""]


def difference(
    figure: Estimate,
    statistics: np.ndarray,
    others: np.ndarray,
    resampling: Resampling = DEFAULT,
    *,
    groups: int | None = None,
) -> Interval:
    """The paired difference figure(statistics) - figure(others) of two predictions of the same rows, both [U, *S].

    The units, and so every resample, are the same for both; that is what makes it paired.
    """
    ours, theirs = (resample({"": figure}, sums, resampling, groups=groups)[""] for sums in (statistics, others))
    return ours.minus(theirs)


def from_left_out(
    value: float,
    left_out: np.ndarray,
    scale: IntervalScale,
    resampling: Resampling = DEFAULT,
    *,
    groups: int | None = None,
) -> Resamples:
    """The jackknife of a figure that is no formula of sums, from its values [U] with each unit left out."""
    units = len(left_out)
    method = "none" if resampling.method_for(units) == "none" else "jackknife"
    return Resamples(value, left_out, scale, method, units, units if groups is None else groups, resampling.level)


def _resampled(
    figures: Mapping[str, Estimate], statistics: np.ndarray, method: str, resampling: Resampling
) -> dict[str, np.ndarray]:
    """Each figure with every unit left out [U] (jackknife), or of every resample [R] (bootstrap)."""
    if method == "none":
        return {name: np.empty(0) for name in figures}
    if method == "jackknife":
        left_out = statistics.sum(axis=0) - statistics
        return {name: figure.of(left_out) for name, figure in figures.items()}
    weights = _weights(len(statistics), resampling.resamples, resampling.seed)
    flat = statistics.reshape(len(statistics), -1).astype(float)
    table = _sparse(flat) if np.count_nonzero(flat) * SPARSE < flat.size else flat
    again = {name: np.empty(len(weights)) for name in figures}
    for start in range(0, len(weights), CHUNK):
        drawn = _product(weights[start : start + CHUNK].astype(float), table).reshape(-1, *statistics.shape[1:])
        for name, figure in figures.items():
            again[name][start : start + CHUNK] = figure.of(drawn)
    return again


def _sparse(flat: np.ndarray) -> Any:
    """Of many classes most tallies of a unit are 0: as CSR [S, U]; sums of whole numbers stay exact."""
    from scipy.sparse import csr_array

    return csr_array(flat.T)


def _product(weights: np.ndarray, table: Any) -> np.ndarray:
    """[R, S] sums of every resample."""
    return weights @ table if isinstance(table, np.ndarray) else np.ascontiguousarray((table @ weights.T).T)


@lru_cache(maxsize=4)
def _weights(units: int, resamples: int, seed: int) -> np.ndarray:
    """[R, U] uint8: how often each unit was drawn, U draws with replacement per resample."""
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, units), dtype=np.uint8)  # more than 255 draws of one of 1,000 units never happen
    for start in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - start)
        cells = rng.integers(units, size=(rows, units)) + np.arange(rows)[:, None] * units
        weights[start : start + rows] = np.bincount(cells.ravel(), minlength=rows * units).reshape(rows, units)
    return weights
