"""Is one set of predictions better than another on the same rows? Paired over groups, never over rows of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation import intervals
from affectkit.evaluation.intervals import DEFAULT, Estimate, Interval, Resamples, Resampling, Units
from affectkit.evaluation.measure import Repeats, averaged, repeats
from affectkit.evaluation.metrics import METRICS, Metric
from affectkit.evaluation.probability_metrics import left_out_auroc
from affectkit.evaluation.rows import missing, pair, prefix, statistics
from affectkit.labels import Target

# --- What one metric reads of a table of predictions, as arrays; the metric of them, and its statistics per unit


@dataclass(frozen=True)
class TargetMetric:
    """A metric of a table by its flat name (`uar`, `valence.ccc`, `ccc`): of which targets, and how it reads.

    definition: its row of `METRICS`. targets: one class target, or the numbers whose mean it is.
    """

    name: str
    targets: tuple[Target, ...]

    @property
    def definition(self) -> Metric:
        return METRICS[self.name.rpartition(".")[2]]

    @property
    def key(self) -> str:
        """The name that it has among all metrics of a report: a class metric's target may go unnamed when asked for."""
        if self.definition.takes == "numbers":
            return self.name
        return prefix(self.targets[0]) + self.definition.name

    @property
    def figure(self) -> Estimate:
        """Its formula of `MetricInputs.statistics`, and its interval scale."""
        return averaged(self.definition.estimate)

    def gain(self, value: float) -> float:
        """A difference as a gain: positive is better."""
        return value if self.definition.higher_is_better else -value


@dataclass(frozen=True)
class MetricInputs:
    """What a metric reads of N rows: missing is -1 or NaN.

    truths: [N] of each of its targets, class indices or numbers. predictions: [N] of each, as the truth; of a metric of
    probabilities [N, K].
    """

    metric: TargetMetric
    truths: Sequence[np.ndarray]
    predictions: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.truths[0])

    @property
    def known(self) -> np.ndarray:
        """[N] bool: the rows that have a truth and an answer of every target."""
        arrays = [*self.truths, *self.predictions]
        return ~np.any([missing(a) if a.ndim == 1 else np.isnan(a).any(axis=1) for a in arrays], axis=0)

    def take(self, keep: np.ndarray) -> MetricInputs:
        """The rows at `keep`, [N] bool."""
        return MetricInputs(self.metric, [a[keep] for a in self.truths], [a[keep] for a in self.predictions])

    def statistics(self, codes: np.ndarray | None = None, count: int = 1) -> np.ndarray:
        """Sufficient statistics per unit, [U, T, *S] of T targets, of a metric that is a formula of them."""
        columns = zip(self.metric.targets, self.truths, self.predictions, strict=True)
        return np.stack([statistics(*of_target, codes, count) for of_target in columns], axis=1)

    @property
    def value(self) -> float:
        if self.metric.definition.of is None:
            return float(self.metric.definition.function(self.truths[0], self.predictions[0]))
        return float(self.metric.figure.of(self.statistics()[0]))


def metric_inputs(table: Predictions, metric: TargetMetric) -> MetricInputs:
    """Raises "input" for a table without the probabilities that the metric takes."""
    pairs = [pair(table, target) for target in metric.targets]
    truths, predictions = ([of_target[side] for of_target in pairs] for side in (0, 1))
    if metric.definition.takes == "probabilities":
        target, declined = metric.targets[0], missing(predictions[0])
        predictions = [np.where(declined[:, None], np.nan, table.output(target.name).aligned(target).values)]
    return MetricInputs(metric, truths, predictions)


@dataclass(frozen=True)
class Comparison:
    """first - second on the same rows, paired: positive `gain` means that the first is better.

    difference: with its interval and p-value; both are NaN for a metric that is no formula of sums, such as ECE.
    """

    measured: TargetMetric
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
        return all(self.measured.gain(end) > 0 for end in (self.difference.low, self.difference.high))

    def plain(self) -> dict[str, Any]:
        gap = self.difference
        facts = {"metric": self.measured.name, "first": self.first, "second": self.second, "difference": gap.plain()}
        return facts | {"p": gap.p, "method": gap.method, "groups": gap.groups, "n": self.n, "better": self.better}


def target_metric(name: str, targets: Mapping[str, Target]) -> TargetMetric:
    """The metric called `name` of a table with these targets. Raises "usage" with near misses."""
    target, _, metric = name.rpartition(".")
    classes = [t for t in targets.values() if t.kind != "number"]
    numbers = [t for t in targets.values() if t.kind == "number"]
    chosen: list[Target] = []
    if metric in METRICS:
        chosen = numbers if METRICS[metric].takes == "numbers" else classes
        if target:
            chosen = [t for t in chosen if t.name == target]
        elif chosen is classes:
            chosen = [t for t in classes if t.name == "label"] or classes[:1]
    if not chosen:
        names = [m.name for m in METRICS.values() if (numbers if m.takes == "numbers" else classes)]
        remedy = did_you_mean(name, names + [f"{t.name}.{n}" for t in targets.values() for n in names])
        raise AffectkitError("usage", f"there is no metric '{name}' of {', '.join(targets)}", remedy=remedy)
    return TargetMetric(name, tuple(chosen))


def compare(
    first: Repeats, second: Repeats, metric: TargetMetric, groups: np.ndarray | None, resampling: Resampling = DEFAULT
) -> Comparison:
    """Compare two tables of the same rows in the same order, over the rows that both answer; or the means over repeats
    of each, as `measure` has them.

    groups: [N] text, None for rows that are taken as independent.
    """
    sides = (repeats(first), repeats(second))
    tables = [table for side in sides for table in side]
    if any(list(table.frame["id"]) != list(tables[0].frame["id"]) for table in tables):
        raise ValueError("the tables compared must have the same rows")
    inputs = [[metric_inputs(table, metric) for table in side] for side in sides]
    return Paired.of(inputs, groups, resampling).compare(metric)


@dataclass(frozen=True)
class Paired:
    """What metrics of one kind read of two sides, each with its repeats, over the n rows that all of them answer."""

    sides: Sequence[Sequence[MetricInputs]]
    units: Units
    n: int
    resampling: Resampling

    @classmethod
    def of(
        cls, sides: Sequence[Sequence[MetricInputs]], groups: np.ndarray | None, resampling: Resampling = DEFAULT
    ) -> Paired:
        """sides: of the same N rows in the same order. groups: [N] text, None for rows taken as independent."""
        known = np.all([each.known for side in sides for each in side], axis=0)
        if not known.all():
            sides = [[each.take(known) for each in side] for side in sides]
        return cls(sides, resampling.units(groups, known), int(known.sum()), resampling)

    @cached_property
    def sums(self) -> list[np.ndarray]:
        """[U, R, T, *S] statistics of each side, of R repeats."""
        codes, count = self.units.codes, self.units.count
        return [np.stack([each.statistics(codes, count) for each in side], axis=1) for side in self.sides]

    def compare(self, metric: TargetMetric) -> Comparison:
        """By a metric that takes what these do, of the same targets."""
        units = self.units
        if metric.definition.of is None:
            inputs = [[replace(each, metric=metric) for each in side] for side in self.sides]
            values = [float(np.mean([each.value for each in side])) for side in inputs]
            gap = Interval(values[0] - values[1], groups=units.groups)
            return Comparison(metric, values[0], values[1], gap, self.n)
        figure = {metric.name: averaged(metric.figure)}
        drawn = [intervals.resample(figure, sums, self.resampling, groups=units.groups) for sums in self.sums]
        ours, theirs = (figures[metric.name] for figures in drawn)
        return Comparison(metric, ours.value, theirs.value, ours.minus(theirs), self.n)


def resampled(inputs: MetricInputs, groups: np.ndarray | None, resampling: Resampling = DEFAULT) -> Resamples:
    """A metric of rows that all have a truth and an answer, to be compared with others of the same rows.

    A calibration error is there without resamples, and so without intervals; AUROC always has the jackknife's.
    """
    metric, units = inputs.metric, intervals.as_units(groups, len(inputs), seed=resampling.seed)
    if metric.definition.of is not None:
        sums = inputs.statistics(units.codes, units.count)
        return intervals.resample({metric.name: metric.figure}, sums, resampling, groups=units.groups)[metric.name]
    scale = metric.definition.interval_scale
    if metric.definition.name == "auroc":
        area, left_out = left_out_auroc(inputs.truths[0], inputs.predictions[0], units.codes, units.count)
        return intervals.from_left_out(area, left_out, scale, resampling, groups=units.groups)
    return Resamples(inputs.value, np.empty(0), scale, "none", units.count, units.groups, resampling.level)


def value_of(table: Predictions, metric: TargetMetric) -> float:
    """The metric over the rows of a table that have a truth and an answer."""
    inputs = metric_inputs(table, metric)
    return inputs.take(inputs.known).value


@dataclass(frozen=True)
class McNemar:
    """Rows that the first gets right and the second wrong, and the other way; p of McNemar's exact test on both."""

    rescued: int
    degraded: int
    p: float


def mcnemar(first: Predictions, second: Predictions, target: Target) -> McNemar:
    """The discordant rows of a class target. McNemar's test is of accuracy alone, and takes rows as apart."""
    from scipy.stats import binomtest

    truth, ours = pair(first, target)
    theirs = pair(second, target)[1]
    known = ~(missing(truth) | missing(ours) | missing(theirs))
    right, was = (ours == truth)[known], (theirs == truth)[known]
    rescued, degraded = int((right & ~was).sum()), int((~right & was).sum())
    p = float(binomtest(rescued, rescued + degraded).pvalue) if rescued + degraded else 1.0
    return McNemar(rescued, degraded, p)


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
