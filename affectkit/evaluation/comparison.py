"""Is one set of predictions better than another on the same rows? Paired over groups, never over rows of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.intervals import DEFAULT, Figure, Interval, Resampling, as_units, difference
from affectkit.evaluation.measure import number_figures, width
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.rows import missing, pair
from affectkit.evaluation.sums import confusions, losses, moments
from affectkit.labels import Target


@dataclass(frozen=True)
class Measured:
    """A metric of a table by its flat name (`uar`, `valence.ccc`, `ccc`): of which targets, and how it reads.

    of: the metric of `METRICS`. targets: one class target, or the numbers whose mean it is.
    """

    name: str
    targets: tuple[Target, ...]

    @property
    def metric(self) -> Any:
        return METRICS[self.name.rpartition(".")[2]]

    @property
    def higher_is_better(self) -> bool:
        return self.metric.higher_is_better

    def gain(self, value: float) -> float:
        """A difference as a gain: positive is better."""
        return value if self.higher_is_better else -value


@dataclass(frozen=True)
class Comparison:
    """first - second on the same rows, paired: positive `gain` means that the first is better.

    difference: with its interval and p-value; both are NaN for a metric that is no formula of sums, such as ECE.
    """

    measured: Measured
    first: float
    second: float
    difference: Interval
    n: int

    @property
    def gain(self) -> float:
        return self.measured.gain(self.difference.value)

    @property
    def better(self) -> bool:
        """Whether the interval of the difference lies on the better side of 0 altogether."""
        ends = [self.measured.gain(end) for end in (self.difference.low, self.difference.high)]
        return all(end > 0 for end in ends)

    def plain(self) -> dict[str, Any]:
        return {
            "metric": self.measured.name,
            "first": self.first,
            "second": self.second,
            "difference": self.difference.plain(),
            "p": self.difference.p,
            "method": self.difference.method,
            "groups": self.difference.groups,
            "n": self.n,
            "better": self.better,
        }


def measured(name: str, targets: Mapping[str, Target]) -> Measured:
    """The metric called `name` of a table with these targets. Raises "usage" with near misses."""
    target, _, metric = name.rpartition(".")
    classes = [t for t in targets.values() if t.kind != "number"]
    numbers = [t for t in targets.values() if t.kind == "number"]
    known = METRICS.get(metric)
    chosen: Sequence[Target] = []
    if known is not None and (target == "" or target in targets):
        pool = numbers if known.takes == "numbers" else classes
        if target:
            chosen = [t for t in pool if t.name == target]
        else:
            chosen = numbers if known.takes == "numbers" else [t for t in classes if t.name == "label"] or classes[:1]
    if not chosen:
        names = [m.name for m in METRICS.values() if (numbers if m.takes == "numbers" else classes)]
        remedy = did_you_mean(name, names + [f"{t.name}.{n}" for t in targets.values() for n in names])
        raise AffectkitError("usage", f"there is no metric '{name}' of {', '.join(targets)}", remedy=remedy)
    return Measured(name, tuple(chosen))


def compare(
    first: Predictions,
    second: Predictions,
    of: Measured,
    groups: np.ndarray | None,
    resampling: Resampling = DEFAULT,
) -> Comparison:
    """Compare two tables of the same rows in the same order, over the rows that both answer.

    groups: [N] text, None for rows that are taken as independent.
    """
    if list(first.frame["id"]) != list(second.frame["id"]):
        raise ValueError("the tables compared must have the same rows")
    known = _answered(first, of) & _answered(second, of)
    units = as_units(None if groups is None else groups[known], int(known.sum()), seed=resampling.seed)
    ours, theirs = (_sums(table.take(known), of, units.codes, units.count) for table in (first, second))
    if ours is None or theirs is None:
        one, two = (_value(table.take(known), of) for table in (first, second))
        return Comparison(of, one, two, Interval(one - two, groups=units.groups), int(known.sum()))
    figure = _figure(of)
    one, two = (float(figure.of(sums.sum(axis=0))) for sums in (ours, theirs))
    found = difference(figure, ours, theirs, resampling, groups=units.groups)
    return Comparison(of, one, two, found, int(known.sum()))


def value_of(table: Predictions, of: Measured) -> float:
    """The metric over the rows of a table that have a truth and an answer."""
    return _value(table.take(_answered(table, of)), of)


def _answered(table: Predictions, of: Measured) -> np.ndarray:
    known = np.ones(len(table.frame), bool)
    for target in of.targets:
        known &= ~np.logical_or(*map(missing, pair(table, target)))
        if of.metric.takes == "probabilities":
            known &= table.output(target.name).known
    return known


def _sums(table: Predictions, of: Measured, codes: np.ndarray | None, count: int) -> np.ndarray | None:
    """Sums per unit, [U, K, K], [U, 3] or [U, T, 10]; None for a metric that is no formula of sums."""
    target = of.targets[0]
    if of.metric.of is None:
        return None
    if of.metric.takes == "classes":
        return confusions(*pair(table, target), len(target.classes), codes, count)
    if of.metric.takes == "probabilities":
        return losses(pair(table, target)[0], table.output(target.name).values, codes, count)
    return np.stack([moments(*pair(table, t), codes, count, width(t)) for t in of.targets], axis=1)


def _figure(of: Measured) -> Figure:
    metric = of.metric
    if metric.takes != "numbers":
        return Figure(metric.of, metric.link)
    return number_figures(of.targets)[metric.name]


def _value(table: Predictions, of: Measured) -> float:
    sums = _sums(table, of, None, 1)
    if sums is not None:
        return float(_figure(of).of(sums[0]))
    target = of.targets[0]
    return float(of.metric.function(pair(table, target)[0], table.output(target.name).values))


@dataclass(frozen=True)
class Turned:
    """Rows that the first gets right and the second wrong, and the other way; p of McNemar's exact test on both."""

    rescued: int
    degraded: int
    p: float


def turned(first: Predictions, second: Predictions, target: Target) -> Turned:
    """Rescued and degraded rows of a class target. McNemar's test is of accuracy alone, and takes rows as apart."""
    from scipy.stats import binomtest

    truth, ours = pair(first, target)
    theirs = pair(second, target)[1]
    known = ~(missing(truth) | missing(ours) | missing(theirs))
    right, was = (ours == truth)[known], (theirs == truth)[known]
    rescued, degraded = int((right & ~was).sum()), int((~right & was).sum())
    p = float(binomtest(rescued, rescued + degraded).pvalue) if rescued + degraded else 1.0
    return Turned(rescued, degraded, p)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family (Holm 1979): step-down, monotone, at most 1; NaN stays NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, float)
    order = [i for i in np.argsort(values) if not np.isnan(values[i])]
    adjusted, highest = values.copy(), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * values[place]))
        adjusted[place] = highest
    return [round(float(v), 15) for v in adjusted]
