"""Is one set of predictions better than another on the same rows? Paired over groups, never over rows of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.answers import Answers, Measured, answers
from affectkit.evaluation.intervals import DEFAULT, Interval, Resamples, Resampling, as_units, difference, resample
from affectkit.evaluation.measure import Repeats, over_repeats, repeats
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.probability_metrics import left_out_auroc
from affectkit.evaluation.rows import missing, pair
from affectkit.labels import Target


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
    first: Repeats,
    second: Repeats,
    of: Measured,
    groups: np.ndarray | None,
    resampling: Resampling = DEFAULT,
) -> Comparison:
    """Compare two tables of the same rows in the same order, over the rows that both answer; or the means over repeats
    of each, as `measure` has them.

    groups: [N] text, None for rows that are taken as independent.
    """
    sides = (repeats(first), repeats(second))
    tables = [table for side in sides for table in side]
    if any(list(table.frame["id"]) != list(tables[0].frame["id"]) for table in tables):
        raise ValueError("the tables compared must have the same rows")
    said = [[answers(table, of) for table in side] for side in sides]
    known = np.all([one.known for side in said for one in side], axis=0)
    said = [[one.take(known) for one in side] for side in said]
    units = as_units(None if groups is None else groups[known], int(known.sum()), seed=resampling.seed)
    if of.metric.of is None:
        one, two = (float(np.mean([one.value for one in side])) for side in said)
        return Comparison(of, one, two, Interval(one - two, groups=units.groups), int(known.sum()))
    figure = over_repeats(of.figure)
    ours, theirs = (np.stack([one.sums(units.codes, units.count) for one in side], axis=1) for side in said)
    one, two = (float(figure.of(sums.sum(axis=0))) for sums in (ours, theirs))
    found = difference(figure, ours, theirs, resampling, groups=units.groups)
    return Comparison(of, one, two, found, int(known.sum()))


def resampled(said: Answers, groups: np.ndarray | None, resampling: Resampling = DEFAULT) -> Resamples:
    """A metric of rows that all have a truth and an answer, to be compared with others of the same rows.

    A calibration error is there without resamples, and so without intervals; AUROC always has the jackknife's.
    """
    of, units = said.of, as_units(groups, len(said), seed=resampling.seed)
    if of.metric.of is not None:
        return resample(of.figure, said.sums(units.codes, units.count), resampling, groups=units.groups)
    if of.metric.name == "auroc" and resampling.method_for(units.count) != "none":
        value, again = left_out_auroc(said.truths[0], said.predictions[0], units.codes, units.count)
        return Resamples(value, again, of.metric.link, "jackknife", units.count, units.groups, resampling.level)
    return Resamples(said.value, np.empty(0), of.metric.link, "none", units.count, units.groups, resampling.level)


def value_of(table: Predictions, of: Measured) -> float:
    """The metric over the rows of a table that have a truth and an answer."""
    said = answers(table, of)
    return said.take(said.known).value


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
