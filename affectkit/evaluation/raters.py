"""Agreement between raters: how far people who answered the same rows answered alike, beyond chance.

Krippendorff's alpha is 1 - observed / expected disagreement, for any number of raters with gaps; ratings that are the
only one of their row say nothing (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"). Cohen's kappa is of
two raters. Each is a formula of sums over rows, which intervals resample.

Values of classes are their places 0, 1, ...; NaN where a rater did not rate the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from affectkit.evaluation.intervals import (
    BELOW_ONE,
    DEFAULT,
    SHARE,
    Estimate,
    Interval,
    Resampling,
    as_units,
    interval,
    intervals,
)
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.rows import ratio, statistics, tallies
from affectkit.labels import Target

Level = Literal["nominal", "ordinal", "interval"]
LEVELS: dict[str, Level] = {"class": "nominal", "ordinal": "ordinal", "number": "interval"}  # of a target's kind
KAPPAS = {None: "kappa", "linear": "kappa_linear", "quadratic": "kappa_quadratic"}
OF_PAIRS = {
    "class": ("kappa", "accuracy"),
    "ordinal": ("kappa", "kappa_quadratic", "accuracy"),
    "number": ("ccc", "mae"),
}
MOST_PAIRS = 45  # those of ten raters


@dataclass(frozen=True)
class Ratings:
    """Who rated which row how, one entry each: what crowds need, where most raters see few rows.

    items, raters: [A] int64 places; values: [A] float64, none of them NaN. No rater rates a row twice.
    """

    items: np.ndarray
    raters: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, table: Any) -> Ratings:
        """From [R, N], NaN where a rater did not rate the row."""
        table = np.asarray(table, float)
        if table.ndim != 2:
            raise ValueError(f"ratings are [R, N], not of {table.ndim} dimensions")
        items, raters = np.nonzero(~np.isnan(table.T))
        return cls(items, raters, table[raters, items])

    def paired(self) -> Ratings:
        """Those of rows that were rated twice or more, which are all that agreement is about."""
        several = np.bincount(self.items)[self.items] > 1
        return Ratings(self.items[several], self.raters[several], self.values[several])

    @property
    def undefined(self) -> str:
        """Why nothing can be said of agreement; "" where something can."""
        values = self.paired().values
        if not len(values):
            return "no row was rated twice"
        return "all ratings are the same" if (values == values[0]).all() else ""


def krippendorff_alpha(values: Any, level: Level) -> float:
    """Krippendorff's alpha of [R, N] ratings, at most 1; NaN where no row was rated twice or all ratings are the same.

    level: what two values differ by: "nominal" whether they do, "ordinal" how many ratings lie between them,
    "interval" their squared difference.

    >>> round(krippendorff_alpha([[0, 1, 2, 2, 1], [0, 1, 2, 1, np.nan]], "nominal"), 4)
    0.6667
    """
    sums, alpha = alpha_of(Ratings.of(values), level)
    return float(alpha.of(sums.sum(axis=0)))


def cohen_kappa(a: Any, b: Any, weights: Literal["linear", "quadratic"] | None = None) -> float:
    """Cohen's kappa of two raters, [N] class places each, over the rows that both rated; in [-1, 1], NaN where chance
    agreement is certain or no row was rated by both. weights: by the distance of ordered classes, or its square.

    >>> cohen_kappa([0, 0, 1, 1, np.nan], [0, 1, 1, 1, 0])
    0.5
    """
    a, b = (
        np.where(np.isnan(side), -1, side).astype(np.int64) for side in (np.asarray(a, float), np.asarray(b, float))
    )
    classes = 1 + max(a.max(initial=0), b.max(initial=0))
    return float(METRICS[KAPPAS[weights]].estimate.of(tallies(a, b, int(classes))[0]))


# --- What a manifest says of its raters


def between_raters(
    ratings: Ratings, target: Target, names: Sequence[str], resampling: Resampling = DEFAULT
) -> dict[str, Any]:
    """Agreement of all raters and of each two, with intervals over rows, as `summary.json` has it.

    names: of the raters. Of many raters the pairs that share most rows are told, and how many are left out.
    """
    paired = ratings.paired()
    rows, items = np.unique(paired.items, return_inverse=True)
    paired = replace(paired, items=items)
    units, level = as_units(None, len(rows), seed=resampling.seed), LEVELS[target.kind]
    summed = {"alpha": alpha_of(paired, level, units.codes, units.count)}
    if target.kind != "number":
        summed["observed_agreement"] = observed_agreement(paired, units.codes, units.count)
    figures = {name: Interval(np.nan) for name in summed}
    pairs: list[dict[str, Any]] = []
    left_out = 0
    if len(rows):
        figures = {n: interval(of, sums, resampling, groups=units.groups) for n, (sums, of) in summed.items()}
        pairs, left_out = _pairs(paired, target, names, resampling)
    return {
        "level": level,
        "rows": len(rows),
        "raters": len(np.unique(paired.raters)),
        **{name: figure.plain() for name, figure in figures.items()},
        **({"undefined": paired.undefined} if paired.undefined else {}),
        "pairs": pairs,
        **({"pairs_left_out": left_out} if left_out else {}),
    }


def _pairs(
    paired: Ratings, target: Target, names: Sequence[str], resampling: Resampling
) -> tuple[list[dict[str, Any]], int]:
    """The figures of each two raters, those with most rows in common first, and of how many none are told."""
    by_rater = np.lexsort((paired.items, paired.raters))
    ends = np.searchsorted(paired.raters[by_rater], np.arange(len(names) + 1))
    rated = [by_rater[start:end] for start, end in pairwise(ends)]
    # The jackknife at any number of rows: of kappa its interval is the bootstrap's to .001, in a fiftieth of the time.
    resampling = replace(resampling, method="jackknife")
    of_pair = {("agreement" if name == "accuracy" else name): METRICS[name].estimate for name in OF_PAIRS[target.kind]}
    told, every = [], _by_common_rows(paired, len(names))
    for a, b in every[:MOST_PAIRS]:
        _, of_a, of_b = np.intersect1d(
            paired.items[rated[a]], paired.items[rated[b]], assume_unique=True, return_indices=True
        )
        x, y = paired.values[rated[a][of_a]], paired.values[rated[b][of_b]]
        if target.kind != "number":
            x, y = x.astype(np.int64), y.astype(np.int64)
        units = as_units(None, len(of_a), seed=resampling.seed)
        sums = statistics(target, x, y, units.codes, units.count)
        found = intervals(of_pair, sums, resampling, groups=units.groups)
        told.append({"raters": [names[a], names[b]], "rows": len(of_a), **{k: v.plain() for k, v in found.items()}})
    return told, len(every) - len(told)


def _by_common_rows(paired: Ratings, raters: int) -> list[tuple[int, int]]:
    from scipy.sparse import csr_array, triu

    seen = csr_array((np.ones(len(paired.items), int), (paired.raters, paired.items)), (raters, paired.items.max() + 1))
    common = triu(seen @ seen.T, k=1).tocoo()
    order = np.lexsort((common.col, common.row, -common.data))
    return list(zip(common.row[order].tolist(), common.col[order].tolist(), strict=True))


def against_others(ratings: Ratings, target: Target, raters: int) -> list[dict[str, Any]]:
    """For each rater how many `answers`, and against the others of the same rows: of classes the share of their
    answers that are the same (`agreement`), of numbers the mean difference to their mean (`bias`) and its size
    (`mae`). NaN for who has no row with others."""
    answers = np.bincount(ratings.raters, minlength=raters)
    paired = ratings.paired()
    told = {name: _mean_by(paired.raters, cells, raters) for name, cells in _beside(paired, target)}
    return [
        {"answers": int(n), **{name: float(means[rater]) for name, means in told.items()}}
        for rater, n in enumerate(answers)
    ]


def _beside(paired: Ratings, target: Target) -> Iterator[tuple[str, np.ndarray]]:
    """Of every rating, how it stands to the others of its row."""
    others = np.bincount(paired.items)[paired.items] - 1
    if target.kind == "number":
        total = np.bincount(paired.items, paired.values)[paired.items] if len(others) else paired.values
        apart = paired.values - (total - paired.values) / others
        yield from (("bias", apart), ("mae", np.abs(apart)))
        return
    cells = paired.items * len(target.classes) + paired.values.astype(np.int64)
    _, place, times = np.unique(cells, return_inverse=True, return_counts=True)
    yield "agreement", (times[place] - 1) / others


def _mean_by(codes: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return ratio(np.bincount(codes, values, minlength=count), np.bincount(codes, minlength=count))


# --- Alpha as a formula of sums over rows


def alpha_of(
    ratings: Ratings, level: Level, units: np.ndarray | None = None, count: int = 1
) -> tuple[np.ndarray, Estimate]:
    """The statistics [count, *S] of which alpha is a formula, and the formula.

    units: of every row [N], what intervals resample it with.
    """
    paired = ratings.paired()
    if units is None:
        units = np.zeros(int(ratings.items.max(initial=-1)) + 1, dtype=np.int64)
    summed, formula = _FORMULAS[level]
    return summed(paired, units, count), Estimate(formula, BELOW_ONE)


def observed_agreement(
    ratings: Ratings, units: np.ndarray | None = None, count: int = 1
) -> tuple[np.ndarray, Estimate]:
    """The same of percent agreement: the share of a row's pairs of ratings that are equal, mean over rows (the observed
    agreement of Fleiss 1971), in [0, 1]."""
    paired = ratings.paired()
    if units is None:
        units = np.zeros(int(ratings.items.max(initial=-1)) + 1, dtype=np.int64)
    item, _, times = _tallied(paired)
    sizes = np.bincount(paired.items)
    equal = np.bincount(item, weights=times * (times - 1.0), minlength=len(sizes))
    rated = np.flatnonzero(sizes)
    shares = equal[rated] / (sizes[rated] * (sizes[rated] - 1.0))
    columns = (np.ones(len(rated)), shares)
    sums = np.stack([np.bincount(units[rated], column, minlength=count) for column in columns], axis=1)
    return sums, Estimate(lambda s: ratio(s[..., 1], s[..., 0]), SHARE)


def _tallied(paired: Ratings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which row has which value, by its place among all, how often; one entry for each that occurs."""
    _, codes = np.unique(paired.values, return_inverse=True)
    width = int(codes.max(initial=0)) + 1
    cells, times = np.unique(paired.items * width + codes, return_counts=True)
    return cells // width, cells % width, times


def _nominal_sums(paired: Ratings, units: np.ndarray, count: int) -> np.ndarray:
    """[count, 1 + K]: observed disagreement, summed over pairs of a row, each pair weighing 1 / (m - 1) of a row with m
    ratings; and how often each value was given."""
    item, code, times = _tallied(paired)
    sizes = np.bincount(paired.items)
    of_rows = (sizes[item] - times) * times / (sizes[item] - 1.0)
    width = int(code.max(initial=0)) + 1
    given = np.bincount(units[item] * width + code, times, minlength=count * width).reshape(count, width)
    return np.concatenate([np.bincount(units[item], of_rows, minlength=count)[:, None], given], axis=1)


def _nominal(sums: np.ndarray) -> np.ndarray:
    given = sums[..., 1:]
    n = given.sum(-1)
    return 1 - ratio((n - 1) * sums[..., 0], n**2 - (given**2).sum(-1))


def _coincidences(paired: Ratings, units: np.ndarray, count: int) -> np.ndarray:
    """[count, K, K]: how often two values stand in one row, each pair weighing 1 / (m - 1) of a row with m ratings."""
    item, code, times = _tallied(paired)
    rows, places = np.unique(item, return_inverse=True)
    counts = np.zeros((len(rows), int(code.max(initial=0)) + 1))
    counts[places, code] = times
    weighed = counts / (np.bincount(paired.items)[rows, None] - 1.0)
    unit = units[rows]
    order = np.argsort(unit, kind="stable")
    blocks = np.split(order, np.searchsorted(unit[order], np.arange(1, count)))
    own = np.stack([np.diag(weighed[block].sum(axis=0)) for block in blocks])  # no rating is paired with itself
    return np.stack([counts[block].T @ weighed[block] for block in blocks]) - own


def _ordinal(sums: np.ndarray) -> np.ndarray:
    """Two values differ by the ratings from one to the other, those at both ends counting half: by their mid-ranks."""
    given = sums.sum(-1)
    n = given.sum(-1)
    ranks = given.cumsum(-1) - given / 2 - n[..., None] / 2
    products = (sums * ranks[..., None, :]).sum(-1)
    squares = (given * ranks**2).sum(-1)
    observed = 2 * (squares - (products * ranks).sum(-1))
    return 1 - ratio((n - 1) * observed, 2 * (n * squares - (given * ranks).sum(-1) ** 2))


def _interval_sums(paired: Ratings, units: np.ndarray, count: int) -> np.ndarray:
    """[count, 4]: ratings; sums of v and v^2, from the median; observed disagreement as of nominal values."""
    sizes = np.maximum(np.bincount(paired.items), 1)
    v = paired.values - np.median(paired.values) if len(paired.values) else paired.values
    means = np.bincount(paired.items, v) / sizes
    apart = 2 * sizes[paired.items] / (sizes[paired.items] - 1.0) * (v - means[paired.items]) ** 2
    columns = (np.ones(len(v)), v, v**2, apart)
    return np.stack([np.bincount(units[paired.items], c, minlength=count) for c in columns], axis=1).astype(float)


def _interval(sums: np.ndarray) -> np.ndarray:
    n = sums[..., 0]
    return 1 - ratio((n - 1) * sums[..., 3], 2 * (n * sums[..., 2] - sums[..., 1] ** 2))


_FORMULAS: dict[str, tuple[Callable[..., np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "nominal": (_nominal_sums, _nominal),
    "ordinal": (_coincidences, _ordinal),
    "interval": (_interval_sums, _interval),
}
