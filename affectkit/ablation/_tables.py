"""Subsets of tables of predictions: one alone is itself, several are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from affectkit.ablation._study import Setup, digest, drawn_folds, metric_for, metric_of, scheme
from affectkit.artifacts.outputs import Output
from affectkit.artifacts.predictions import Predictions, target_columns, with_outputs
from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.comparison import Measured
from affectkit.evaluation.floors import train_rows
from affectkit.evaluation.rows import missing, pair
from affectkit.fusion._fuse import fitted, with_metric
from affectkit.fusion._model import build_rule
from affectkit.fusion._rule import Table
from affectkit.fusion._simplex import fixed_weights, parse_weights
from affectkit.fusion._sources import Joined, join
from affectkit.labels import Target
from affectkit.leakage.crossfit import FitOn, FitPlan, plan_fit
from affectkit.splits import apart


@dataclass(frozen=True)
class Tables:
    """options: of the rule, by target. plans: one for each seed."""

    setup: Setup
    joined: Joined
    rule: str
    options: Mapping[str, Mapping[str, Any]]
    plans: Sequence[FitPlan]

    def answer(self, sources: Sequence[str], repeat: int) -> Predictions:
        plan, rows = self.plans[repeat], self.joined.rows
        own = {name: {source: of[source] for source in sources} for name, of in self.joined.answers.items()}
        outputs = [self._answer(Joined(rows, own), target, plan) for target in rows.targets.values()]
        return with_outputs(rows, outputs, plan.seen(list(rows.frame["seen"])))

    def _answer(self, joined: Joined, target: Target, plan: FitPlan) -> Output:
        first, *others = joined.answers[target.name].values()
        if not others and isinstance(first, Output):
            return first
        options = _of_subset(self.options[target.name], self.setup.names, list(joined.answers[target.name]))
        return fitted(joined, target, self.rule, options, plan)[1]

    def made_of(self, sources: Sequence[str]) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "options": {name: dict(options) for name, options in self.options.items()},
            "rows": self._digests["rows"],
            "sources": {name: self._digests["sources"][name] for name in sources},
        }

    @cached_property
    def _digests(self) -> dict[str, Any]:
        plans = [array for plan in self.plans for array in (plan.fit, plan.folds, plan.groups)]
        answers = self.joined.answers.values()
        return {
            "rows": digest(self.joined.rows.frame.to_csv(index=False), *plans),
            "sources": {name: digest(*(a for of in answers for a in _arrays(of[name]))) for name in self.setup.names},
        }


def of_predictions(
    sources: Sequence[Source],
    rule: str,
    options: Mapping[str, Any],
    *,
    targets: Sequence[str] = (),
    metric: str | None = None,
    fit_on: FitOn | None = None,
    group: str | None = None,
    seeds: int = 1,
    cv_folds: int | None = None,
) -> Tables:
    """Sources to be fused by `rule`.

    targets: names, by default all that every source predicts. metric: compared, and what rules choose by where they
    choose. cv_folds: draw that many folds of whole groups instead of those of `plan_fit`.
    Seeds that draw the same folds give the same answers: only the first of them is kept.
    """
    build_rule(rule, options)
    _of_subset(options, [source.name for source in sources], [])
    joined = _only(join(sources, fit_on=fit_on), sources, targets)
    rows = joined.rows
    of = metric_of(metric, rows.targets)
    plans: dict[int, FitPlan] = {}
    for seed in range(seeds):
        plan = plan_fit(rows, fit_on=fit_on, group=group, seed=seed)
        if cv_folds is not None:
            plan = _redrawn(plan, rows, cv_folds, seed)
        if not any(_same_parts(plan.folds, other.folds) for other in plans.values()):
            plans[seed] = plan
    _require_truth(rows, of)
    answers = next(iter(joined.answers.values()))
    setup = Setup(
        names=list(answers),
        speaking=[name for name, answer in answers.items() if isinstance(answer, Output)],
        targets=rows.targets,
        of=of,
        seeds=list(plans),
        scheme=plans[0].scheme + (", whatever the seed" if len(plans) < seeds else ""),
        group=plans[0].group,
        train=train_rows(rows, list(rows.targets.values())),
        notes=_notes(joined, plans[0]),
    )
    own = {name: with_metric(rule, options, metric_for(of, target)) for name, target in rows.targets.items()}
    return Tables(setup, joined, rule, own, list(plans.values()))


def _require_truth(rows: Predictions, of: Measured) -> None:
    for target in of.targets:
        if missing(pair(rows, target)[0]).all():
            what = f"no row has a truth for {target.name}"
            raise AffectkitError("input", what, file=rows.path, remedy="pass the --manifest that has it")


def _arrays(answer: Output | Table) -> list[np.ndarray]:
    found = (answer.values, answer.var) if isinstance(answer, Output) else (answer.values,)
    return [array for array in found if array is not None]


def _notes(joined: Joined, plan: FitPlan) -> list[str]:
    said = []
    columns = [name for name, a in next(iter(joined.answers.values())).items() if isinstance(a, Table)]
    if columns:
        said.append(f"judged beside predictions only, being no predictions: {', '.join(columns)}")
    if joined.rows.foreign:
        said.append("nothing says how these predictions were made (no column 'seen'): their rows are taken as held out")
    if plan.single:
        said.append(f"all fit rows are of one {plan.group}: what holds for others is not known")
    return said


def _only(joined: Joined, sources: Sequence[Source], names: Sequence[str]) -> Joined:
    """Only the targets called `names` (all that are common where there are none), and no other's columns."""
    for name in names:
        if name not in joined.rows.targets:
            remedy = did_you_mean(name, list(joined.rows.targets))
            raise AffectkitError("usage", f"the sources do not all predict '{name}'", remedy=remedy)
    targets = {name: joined.rows.targets[name] for name in names or joined.rows.targets}
    tables = [source.predictions for source in sources if source.predictions is not None]
    others = [target for table in tables for name, target in table.targets.items() if name not in targets]
    stale = {column for target in others for column in target_columns(target)}
    frame = joined.rows.frame.drop(columns=[column for column in joined.rows.frame if column in stale])
    return Joined(replace(joined.rows, frame=frame, targets=targets), {name: joined.answers[name] for name in targets})


def _of_subset(options: Mapping[str, Any], names: Sequence[str], subset: Sequence[str]) -> Mapping[str, Any]:
    """A rule's options for a subset: of fixed weights its own, and equal ones where those are all 0.

    Raises "usage" where there are not as many weights as sources.
    """
    weights = parse_weights(options.get("weights") or "")
    if not weights or len(subset) == len(names):
        return options
    of = fixed_weights(weights, names)
    own = [of[name] for name in subset]
    return {**options, "weights": ",".join(repr(weight) for weight in (own if any(own) else [1.0] * len(own)))}


def _redrawn(plan: FitPlan, rows: Predictions, count: int, seed: int) -> FitPlan:
    """The plan with other folds."""
    ids, own = rows.frame["id"].astype(str).to_numpy()[plan.fit], plan.groups[plan.fit]
    column = None if plan.single else plan.group
    groups = apart(ids, own)
    first = next(iter(rows.targets))
    labels = rows.frame[first].to_numpy()[plan.fit] if first in rows.frame else None
    folds = drawn_folds(ids, groups, column, labels, count, seed)
    return replace(plan, folds=folds, scheme=scheme(folds, groups, column))


def _same_parts(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two assignments of folds part the rows alike, whatever the folds are called."""
    pairs = len(set(zip(one.tolist(), other.tolist(), strict=True)))
    return pairs == len(np.unique(one)) == len(np.unique(other))
