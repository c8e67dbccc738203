"""Choosing among runs: those that the data cannot tell from the best are a tie, which other criteria decide.

The tie set. Every run is compared with the one of the highest figure, on the same rows, paired over groups; p-values
are Holm's over the runs. As the best was picked on these very rows, a run as good as the best can be left out: some of
20 equal runs was in 18 % of simulations, some of 200 in 44 % (10 groups). To allow for that too, by all K(K - 1) / 2
pairs, would keep far worse runs in: on EmoDB a UAR of .606 tied with one of .756, and was the simpler. The first
mistake costs a simpler equal, the second costs accuracy.

Where nothing can be told. By a calibration error (which has no interval), or with few groups, every run ties, good or
bad: of two speakers and 6 runs, noise of macro-F1 .13 tied with .64. So ties count only from three groups on, and where
the same test tells the best run from a constant answer. Elsewhere, and for a run that could not be tested, the figure
decides.

Intervals are the jackknife's for any number of groups: 200 runs take .1 s, bootstrapped 2.4 to 4.7 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.candidates import Judged, common_targets, same_rows
from affectkit.evaluation.comparison import MetricInputs, TargetMetric, holm, resampled, target_metric
from affectkit.evaluation.complexity import Facts
from affectkit.evaluation.intervals import Interval, Resamples, Resampling, as_units
from affectkit.evaluation.requirements import GAP, UNDECIDABLE, Requirement, gap_of, parse
from affectkit.evaluation.rows import constant_answers
from affectkit.labels import Target

# --- What runs are chosen by: a metric on the rows of a split, `simplest`, `earliest`


SPLITS = ("val", "oof", "test")
SIMPLEST, EARLIEST = "simplest", "earliest"
DIGITS = 12  # figures that agree to so many decimals are equal


@dataclass(frozen=True)
class Criterion:
    """`val_macro_f1`, or `simplest` or `earliest`, which have no split and no metric (`target_metric`)."""

    text: str
    split: str = ""
    target_metric: TargetMetric | None = None

    @property
    def metric(self) -> TargetMetric:
        assert self.target_metric is not None
        return self.target_metric

    def loss(self, value: float) -> float:
        """What figures are sorted by, the better first and the undefined last."""
        return np.inf if np.isnan(value) else -round(self.metric.gain(value), DIGITS)

    def key(self, name: str, facts: Facts, values: Mapping[str, Mapping[str, float]]) -> tuple[Any, ...]:
        """What runs are sorted by. values: by criterion, then by run. A run without a model is never the simplest."""
        if self.target_metric is not None:
            return (self.loss(values[self.text][name]),)
        if self.text == EARLIEST:
            return (facts.made, name)
        return (facts.complexity is None, facts.complexity)


def figure_criterion(text: str, targets: Mapping[str, Target]) -> Criterion:
    """`val_macro_f1` of tables with these targets. Raises "usage" with near misses."""
    split, mark, name = text.partition("_")
    if not mark or split not in SPLITS:
        remedy = f"write {did_you_mean(text, [f'{s}_{text}' for s in SPLITS]).removeprefix('did you mean ')}"
        raise AffectkitError("usage", f"'{text}' names no split, as val_macro_f1 does", remedy=remedy.rstrip("?"))
    return Criterion(text, split, target_metric(name, targets))


def criterion(text: str, targets: Mapping[str, Target]) -> Criterion:
    """As `figure_criterion`, or `simplest`, or `earliest`."""
    if text in (SIMPLEST, EARLIEST):
        return Criterion(text)
    if text.partition("_")[0] not in SPLITS:
        remedy = did_you_mean(text, [SIMPLEST, EARLIEST, *(f"{s}_{text}" for s in SPLITS)])
        raise AffectkitError("usage", f"'{text}' is no criterion", remedy=remedy)
    return figure_criterion(text, targets)


# --- What a run must reach to be chosen


@dataclass(frozen=True)
class RunRequirement:
    """`ece<=.03`, of the figure that `criterion` names; that of a gap has no metric."""

    stated: Requirement
    criterion: Criterion

    @property
    def text(self) -> str:
        return self.stated.text

    def figures(self, runs: Mapping[str, Source], judged: Mapping[str, Judged]) -> dict[str, dict[str, float]]:
        """What each run comes to. Raises "input" for a gap of a run that says none."""
        if self.criterion.target_metric is None:
            return {name: {"value": gap_of(run.path)["value"]} for name, run in runs.items()}
        rows, bounded = judged[self.criterion.text], {}
        for name, inputs in rows.inputs.items():
            interval = resampled(inputs, rows.groups, RESAMPLING).interval()
            bounded[name] = {**interval.plain(), "value": inputs.value}
        return bounded


def requirement(text: str, split: str, targets: Mapping[str, Target]) -> RunRequirement:
    """split: of a metric that names none. Raises "usage"."""
    stated = parse(text, splits=SPLITS).of(targets)
    if stated.metric is None:
        return RunRequirement(stated, Criterion(GAP))
    split = stated.split or split
    return RunRequirement(stated, Criterion(f"{split}_{stated.name}", split, stated.metric))


@dataclass(frozen=True)
class Required:
    """figures: requirement -> run -> value and interval. kept: the runs that meet all that are not given up. given_up:
    the last one that no run meets along with those after it, None where all are met."""

    requirements: Sequence[RunRequirement]
    figures: Mapping[str, Mapping[str, Mapping[str, float]]]
    kept: Sequence[str]
    given_up: RunRequirement | None

    def undecided(self, run: str) -> list[str]:
        """What a run's interval holds the threshold of."""
        each = [(r.text, r.stated.state(self.figures[r.text][run])) for r in self.requirements]
        return [text for text, state in each if state == UNDECIDABLE]

    def plain(self) -> dict[str, Any]:
        values = {text: {name: f["value"] for name, f in by_run.items()} for text, by_run in self.figures.items()}
        stated = {each.text: each.stated for each in self.requirements}
        judged = {t: {name: stated[t].judged(f) for name, f in by_run.items()} for t, by_run in self.figures.items()}
        given_up = self.given_up.text if self.given_up else None
        return {"figures": values, "judged": judged, "kept": list(self.kept), "given_up": given_up}


def required(
    requirements: Sequence[RunRequirement], runs: Mapping[str, Source], judged: Mapping[str, Judged]
) -> Required:
    """Where no run meets all, the first requirement is given up, then the second, and so on; the last never. The
    figures decide, whether or not their intervals hold the threshold.

    Raises "unmet", naming the run that comes nearest, where no run meets the last.
    """
    figures = {each.text: each.figures(runs, judged) for each in requirements}
    reached = {r.text: {name: r.stated.reached(f) for name, f in figures[r.text].items()} for r in requirements}
    for given_up in range(max(len(requirements), 1)):
        left = requirements[given_up:]
        kept = [name for name in runs if all(each.stated.holds(reached[each.text][name]) for each in left)]
        if kept:
            return Required(requirements, figures, kept, requirements[given_up - 1] if given_up else None)
    last = requirements[-1]
    nearest = min(runs, key=lambda name: last.stated.loss(figures[last.text][name]))
    what = f"--require: no run meets {last.text}: the nearest is {nearest}, {last.criterion.text}"
    remedy = "require less, or make a better run"
    raise AffectkitError("unmet", f"{what} {reached[last.text][nearest]:.4g}", remedy=remedy)


# --- How much better the highest of several figures looks than what choosing it is worth on rows that had no say


BLOCKS = 10  # of groups, for a calibration error, which costs a pass over the rows for every run and block


@dataclass(frozen=True)
class Optimism:
    """naive: the highest figure. nested: the pooled figure of the runs chosen without each group, on that group.
    folds: how many choices were made. chosen: how many different runs they fell on."""

    naive: float
    nested: float
    folds: int
    chosen: int

    def plain(self) -> dict[str, Any]:
        return {**vars(self), "difference": self.naive - self.nested}


def optimism(judged: Judged, figures: Mapping[str, Resamples]) -> Optimism | None:
    """Nested selection: choose the highest figure on all groups but one, judge it on that one, and pool.

    figures: of all rows, resampled by the jackknife. None where there is nothing to choose, or to leave out.
    """
    inputs, units = list(judged.inputs.values()), as_units(judged.groups, judged.count)
    if units.count < 2 or len(inputs) < 2:
        return None
    metric, codes = inputs[0].metric, units.codes
    if all(len(figure.again) == units.count for figure in figures.values()):
        without = np.stack([figures[name].again for name in judged.inputs])
    else:
        codes = codes % min(units.count, BLOCKS)
        without = np.array([[each.take(codes != b).value for b in range(codes.max() + 1)] for each in inputs])
    winners = np.where(np.isnan(without), -np.inf, metric.gain(1.0) * without).argmax(axis=0)
    highest = max((figure.value for figure in figures.values() if not np.isnan(figure.value)), key=metric.gain)
    return Optimism(highest, _pooled(inputs, winners[codes]).value, len(winners), len(set(winners.tolist())))


def _pooled(inputs: Sequence[MetricInputs], winners: np.ndarray) -> MetricInputs:
    """Of each row, what the run chosen for it says. winners: [N]."""
    of_targets = zip(*(each.predictions for each in inputs), strict=True)
    chosen = [np.stack(of_runs)[winners, np.arange(len(winners))] for of_runs in of_targets]
    return replace(inputs[0], predictions=chosen)


# --- The runs in their order, and those that the data cannot tell from the best

LEVEL = 0.95
RESAMPLING = Resampling("jackknife", LEVEL)
LEAST = 3  # groups: of two, the t of one degree of freedom leaves everything a tie


@dataclass(frozen=True)
class Ranked:
    """A run in its place. difference: to the best. adjusted: its p-value, for the family. tie: not told from the best.
    criteria: what each further metric comes to."""

    name: str
    figure: Interval
    difference: Interval
    adjusted: float
    tie: bool
    criteria: Mapping[str, float]


@dataclass(frozen=True)
class Selection:
    """ranking: the chosen run first. best: the run of the highest figure. decided: the criterion that the chosen run
    owes its place to. telling: whether ties say anything; None for a run alone. on: the rows judged by. warnings: what
    was left out of the rows, and what is not known of them. required: what the runs had to reach."""

    by: Criterion
    then: Sequence[Criterion]
    ranking: Sequence[Ranked]
    best: str
    decided: str
    telling: bool | None
    on: Judged
    optimism: Optimism | None
    warnings: Sequence[str]
    required: Required

    @property
    def chosen(self) -> str:
        return self.ranking[0].name

    @property
    def tie_set(self) -> list[str]:
        return [run.name for run in self.ranking if run.tie]


def select(
    runs: Mapping[str, Source],
    facts: Mapping[str, Facts],
    *,
    by: str | None = None,
    then: Sequence[str] = (SIMPLEST,),
    group: str | None = None,
    ties: bool = True,
    require: Sequence[str] = (),
) -> Selection:
    """Rank `runs` by a figure of rows that they were not fitted on; the criteria of `then` decide inside the tie set.

    by: by default `val_macro_f1` of classes, `val_ccc` of numbers. then: `earliest` always comes last. ties: False
    ranks by the figure alone, and the criteria decide between equal figures only. require: what the chosen run must
    reach; where the first of several is given up (`required`), its figure alone ranks the runs that meet the others
    (a gap ranks none).
    Raises "usage" for an unknown metric, "input" or "leak" where runs cannot be compared.
    """
    targets = common_targets({name: run.table() for name, run in runs.items()})
    default = "val_macro_f1" if any(target.kind != "number" for target in targets.values()) else "val_ccc"
    first = figure_criterion(by or default, targets)
    others = [criterion(text, targets) for text in dict.fromkeys([*then, EARLIEST])]
    requirements = [requirement(text, first.split, targets) for text in dict.fromkeys(require)]
    judged = _judged(runs, [first, *others, *(each.criterion for each in requirements)], targets, group)
    eligible = required(requirements, runs, judged)
    if eligible.given_up is not None and eligible.given_up.criterion.target_metric is not None:
        first, ties = eligible.given_up.criterion, False
    inputs = {c.text: judged[c.text].inputs for c in others if c.target_metric}
    values = {text: {name: each.value for name, each in by_run.items()} for text, by_run in inputs.items()}
    keys = {name: tuple(c.key(name, facts[name], values) for c in others) for name in eligible.kept}
    rows = replace(judged[first.text], inputs={name: judged[first.text].inputs[name] for name in eligible.kept})
    figures = {name: resampled(each, rows.groups, RESAMPLING) for name, each in rows.inputs.items()}
    best = min(figures, key=lambda name: (first.loss(figures[name].value), keys[name]))
    if np.isnan(figures[best].value):
        what = f"{first.metric.name} is undefined for every run on these rows"
        raise AffectkitError("input", what, remedy="take another metric")
    telling = _telling(figures[best], rows.inputs[best], rows.groups, len(figures)) if len(figures) > 1 else None
    ranked = family(figures, best, values)
    ranking, decided = _in_order(ranked, first, others, keys, ties=ties and bool(telling))
    warnings = list(dict.fromkeys(sentence for judged_rows in judged.values() for sentence in judged_rows.warnings))
    return Selection(first, others, ranking, best, decided, telling, rows, optimism(rows, figures), warnings, eligible)


def _judged(
    runs: Mapping[str, Source], criteria: Sequence[Criterion], targets: Mapping[str, Target], group: str | None
) -> dict[str, Judged]:
    """The rows and answers of each criterion that has a metric, by its text."""
    figures = [c for c in criteria if c.target_metric]
    rows = {split: same_rows(runs, split, targets, group) for split in dict.fromkeys(c.split for c in figures)}
    return {c.text: rows[c.split].judged(c.metric) for c in figures}


def family(figures: Mapping[str, Resamples], best: str, values: Mapping[str, Mapping[str, float]]) -> list[Ranked]:
    """Every run beside the best, in no order yet."""
    differences = [figure.minus(figures[best]) for figure in figures.values()]
    adjusted = holm([difference.p for difference in differences])
    runs = []
    for (name, figure), difference, p in zip(figures.items(), differences, adjusted, strict=True):
        tie = not (np.isnan(figure.value) or p < 1 - LEVEL)
        criteria = {text: by_run[name] for text, by_run in values.items()}
        runs.append(Ranked(name, figure.interval(), difference, p, tie, criteria))
    return runs


def _in_order(
    runs: Sequence[Ranked], by: Criterion, then: Sequence[Criterion], keys: Mapping[str, tuple[Any, ...]], *, ties: bool
) -> tuple[list[Ranked], str]:
    """The runs, the chosen one first, and the criterion that it owes its place to.

    Further criteria decide among runs of the highest figure and, with ties, among those that were tested and not told
    from it; the figure decides among the rest.
    """
    least = min(by.loss(run.figure.value) for run in runs)

    def place(run: Ranked) -> tuple[Any, ...]:
        loss = by.loss(run.figure.value)
        first = loss == least or (ties and run.adjusted >= 1 - LEVEL)
        return (0, least, keys[run.name]) if first else (1, loss, keys[run.name])

    ranking = sorted(runs, key=place)
    if len(ranking) < 2 or place(ranking[1])[0]:
        return ranking, by.text
    first, second = (keys[run.name] for run in ranking[:2])
    return ranking, next(c.text for c, a, b in zip(then, first, second, strict=True) if a != b)


def _telling(best: Resamples, inputs: MetricInputs, groups: np.ndarray | None, runs: int) -> bool:
    """Whether the test that makes the ties tells the best run from an answer that looks at nothing."""
    if best.method == "none" or best.units < LEAST:
        return False
    columns = zip(inputs.metric.targets, inputs.truths, inputs.predictions, strict=True)
    constants = [constant_answers(t, truth, len(truth), probabilities=answer.ndim > 1) for t, truth, answer in columns]
    difference = best.minus(resampled(replace(inputs, predictions=constants), groups, RESAMPLING))
    return inputs.metric.gain(difference.value) > 0 and difference.p * runs < 1 - LEVEL
