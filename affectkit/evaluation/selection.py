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
from affectkit.errors import AffectkitError
from affectkit.evaluation.agreement import common_targets
from affectkit.evaluation.answers import Answers
from affectkit.evaluation.candidates import Judged, same_rows
from affectkit.evaluation.comparison import holm, resampled
from affectkit.evaluation.complexity import Facts
from affectkit.evaluation.criteria import EARLIEST, SIMPLEST, Criterion, criterion, default_by, figure_criterion
from affectkit.evaluation.intervals import Interval, Resamples, Resampling
from affectkit.evaluation.optimism import Optimism, optimism
from affectkit.labels import Target

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
    was left out of the rows, and what is not known of them."""

    by: Criterion
    then: Sequence[Criterion]
    ranking: Sequence[Ranked]
    best: str
    decided: str
    telling: bool | None
    on: Judged
    optimism: Optimism | None
    warnings: Sequence[str]

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
) -> Selection:
    """Rank `runs` by a figure of rows that they were not fitted on; the criteria of `then` decide inside the tie set.

    by: by default `val_macro_f1` of classes, `val_ccc` of numbers. then: `earliest` always comes last. ties: False
    ranks by the figure alone, and the criteria decide between equal figures only.
    Raises "usage" for an unknown metric, "input" or "leak" where runs cannot be compared.
    """
    targets = common_targets({name: run.table() for name, run in runs.items()})
    first = figure_criterion(by or default_by(targets), targets)
    others = [criterion(text, targets) for text in dict.fromkeys([*then, EARLIEST])]
    judged = _judged(runs, [first, *others], targets, group)
    values = {c.text: {name: one.value for name, one in judged[c.text].answers.items()} for c in others if c.of}
    keys = {name: tuple(c.key(name, facts[name], values) for c in others) for name in runs}
    on, of = judged[first.text], first.metric
    found = {name: resampled(one, on.groups, RESAMPLING) for name, one in on.answers.items()}
    best = min(found, key=lambda name: (first.loss(found[name].value), keys[name]))
    if np.isnan(found[best].value):
        raise AffectkitError(
            "input", f"{of.name} is undefined for every run on these rows", remedy="take another metric"
        )
    telling = _telling(found[best], on.answers[best], on.groups, len(runs)) if len(runs) > 1 else None
    ranked = family(found, best, values)
    ranking, decided = _in_order(ranked, first, others, keys, ties=ties and bool(telling))
    warnings = list(dict.fromkeys(said for rows in judged.values() for said in rows.warnings))
    nested = optimism(on, found)
    return Selection(first, others, ranking, best, decided, telling, on, nested, warnings)


def _judged(
    runs: Mapping[str, Source], criteria: Sequence[Criterion], targets: Mapping[str, Target], group: str | None
) -> dict[str, Judged]:
    """The rows and answers of each criterion that has a metric, by its text."""
    figures = [c for c in criteria if c.of]
    rows = {split: same_rows(runs, split, targets, group) for split in dict.fromkeys(c.split for c in figures)}
    return {c.text: rows[c.split].judged(c.metric) for c in figures}


def family(found: Mapping[str, Resamples], best: str, values: Mapping[str, Mapping[str, float]]) -> list[Ranked]:
    """Every run beside the best, in no order yet."""
    differences = {name: figure.minus(found[best]) for name, figure in found.items()}
    adjusted = dict(zip(found, holm([difference.p for difference in differences.values()]), strict=True))
    return [
        Ranked(
            name,
            figure.interval(),
            differences[name],
            adjusted[name],
            not (np.isnan(figure.value) or adjusted[name] < 1 - LEVEL),
            {text: of_runs[name] for text, of_runs in values.items()},
        )
        for name, figure in found.items()
    ]


def _in_order(
    runs: Sequence[Ranked],
    by: Criterion,
    then: Sequence[Criterion],
    keys: Mapping[str, tuple[Any, ...]],
    *,
    ties: bool,
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


def _telling(best: Resamples, said: Answers, groups: np.ndarray | None, runs: int) -> bool:
    """Whether the test that makes the ties tells the best run from an answer that looks at nothing."""
    if best.method == "none" or best.units < LEAST:
        return False
    difference = best.minus(resampled(_constant(said), groups, RESAMPLING))
    return said.of.gain(difference.value) > 0 and difference.p * runs < 1 - LEVEL


def _constant(said: Answers) -> Answers:
    """Always the most frequent class, with the shares of all classes, or always the mean, of the very rows."""
    found = []
    for truth, answer in zip(said.truths, said.predictions, strict=True):
        if truth.dtype.kind == "f":
            found.append(np.full(len(truth), truth.mean()))
            continue
        counts = np.bincount(truth, minlength=len(said.of.targets[0].classes))
        shares = np.tile(counts / len(truth), (len(truth), 1))
        found.append(shares if answer.ndim > 1 else np.full(len(truth), counts.argmax()))
    return replace(said, predictions=found)
