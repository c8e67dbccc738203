"""The two kinds of sources: sets of features, on which an estimator is trained, and tables of predictions, which a rule
fuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.ablation.study import AblationSetup, digest, drawn_folds, metric_for, metric_of, scheme
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, target_columns, with_outputs
from affectkit.artifacts.sources import Source
from affectkit.console import unwatched
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.estimators._estimator import Estimator, Matrix
from affectkit.estimators._fit import FitSettings
from affectkit.estimators._train import Dataset, load_dataset, train_model
from affectkit.evaluation.parts import train_rows
from affectkit.evaluation.rows import missing, pair
from affectkit.fusion.align import AlignedSources, align
from affectkit.fusion.ensemble import fixed_weights, parse_weights
from affectkit.fusion.fuse import fit_rule, with_metric
from affectkit.fusion.rule import SourceTable, build_rule
from affectkit.labels import Target
from affectkit.leakage.crossfit import FitOn, FitPlan, plan_fit
from affectkit.leakage.held_out import groups_of
from affectkit.splits import apart, outer_folds

if TYPE_CHECKING:
    import pandas as pd


# --- Subsets of sets of features: an estimator is trained on those of a subset together


@dataclass(frozen=True)
class FeatureSets:
    """data: of all sources, a block for each; rows that one of them lacks are in none. rows: for each seed, with its
    folds. settings: but for the seed, which is that of the repeat."""

    setup: AblationSetup
    data: Dataset
    rows: Sequence[pd.DataFrame]
    estimator: Estimator
    settings: FitSettings

    def answer(self, sources: Sequence[str], repeat: int) -> Predictions:
        places = [self.setup.names.index(name) for name in sources]
        blocks, encoders = ([column[place] for place in places] for column in (self.data.blocks, self.data.encoders))
        manifest = replace(self.data.manifest, rows=self.rows[repeat])
        data = replace(self.data, manifest=manifest, blocks=blocks, encoders=encoders)
        settings = replace(self.settings, seed=self.setup.seeds[repeat])
        targets = list(self.setup.targets.values())
        return train_model(data, self.estimator, targets, settings, cv=True, progress=unwatched).predictions

    def made_of(self, sources: Sequence[str]) -> dict[str, Any]:
        return {
            "model": self.estimator.name,
            "options": dict(self.estimator.options),
            "normalize": self.settings.normalize,
            "class_weight": self.settings.class_weight,
            "rows": self._digests["rows"],
            "sources": {name: self._digests["sources"][name] for name in sources},
        }

    @cached_property
    def _digests(self) -> dict[str, Any]:
        blocks = zip(self.setup.names, self.data.blocks, strict=True)
        groups = groups_of(self.data.manifest, self.data.group)[1]
        return {
            "rows": digest(groups, *(rows.to_csv(index=False) for rows in self.rows)),
            "sources": {name: digest(*_block_arrays(block)) for name, block in blocks},
        }


def of_features(
    manifest: Manifest,
    features: Mapping[str, Path],
    estimator: Estimator,
    targets: Sequence[Target],
    settings: FitSettings,
    *,
    metric: str | None = None,
    group: str | None = None,
    missing: str = "stop",
    seeds: int = 1,
    cv_folds: int | None = None,
) -> FeatureSets:
    """Sets of features, by name.

    missing: "drop" leaves rows that any of them lacks out of every subset, "stop" raises naming the first. cv_folds:
    draw that many folds of whole groups; by default the manifest's own, else as `train --cv` does. A repeat's seed is
    that of its folds, where they are drawn, and of the estimator.
    """
    data = load_dataset(manifest, list(features.values()), group=group, missing=missing)
    if "split" not in data.manifest.rows:
        data = replace(data, manifest=replace(data.manifest, rows=data.manifest.rows.assign(split="train")))
    fit = data.manifest.rows["split"].isin(["train", "val"]).to_numpy()
    if not fit.any():
        raise AffectkitError("input", "the manifest has no train or val rows", file=manifest.path, remedy="give them")
    rows, schemes = zip(*(_with_folds(data, fit, targets[0], cv_folds, seed) for seed in range(seeds)), strict=True)
    chosen = {target.name: target for target in targets}
    setup = AblationSetup(
        names=list(features),
        predicting=list(features),
        targets=chosen,
        compared=metric_of(metric, chosen),
        seeds=list(range(seeds)),
        scheme=schemes[0],
        group=groups_of(data.manifest, group)[0],
        train=data.manifest.rows[fit],
    )
    return FeatureSets(setup, data, rows, estimator, settings)


def _with_folds(
    data: Dataset, fit: np.ndarray, target: Target, count: int | None, seed: int
) -> tuple[pd.DataFrame, str]:
    """The rows with the folds of those fitted on, and the folds in words."""
    table = data.manifest.rows
    stored = set(table["fold"].astype(str).to_numpy()[fit]) - {""} if "fold" in table else set()
    if count is None and stored:
        return table, f"the manifest's own {len(stored)} folds"
    column, groups = groups_of(data.manifest, data.group)
    groups = groups[fit]
    if count is None:
        folds = outer_folds(groups, grouped=column is not None, seed=seed)
    else:
        ids, labels = (table[name].to_numpy()[fit] for name in ("id", target.name))
        folds = drawn_folds(ids, groups, column, labels, count, seed)
    cells = np.full(len(fit), "", dtype=object)
    cells[fit] = folds.astype(str)
    return table.assign(fold=cells), scheme(folds, groups, column)


def _block_arrays(block: Matrix) -> list[np.ndarray]:
    return [block] if isinstance(block, np.ndarray) else [block.indptr, block.indices, block.data]


# --- Subsets of tables of predictions: one alone is itself, several are fused


@dataclass(frozen=True)
class PredictionTables:
    """options: of the rule, by target. plans: one for each seed."""

    setup: AblationSetup
    aligned: AlignedSources
    rule: str
    options: Mapping[str, Mapping[str, Any]]
    plans: Sequence[FitPlan]

    def answer(self, sources: Sequence[str], repeat: int) -> Predictions:
        plan, rows = self.plans[repeat], self.aligned.rows
        answers = {t: {name: answers[name] for name in sources} for t, answers in self.aligned.answers.items()}
        outputs = [self._answer(AlignedSources(rows, answers), target, plan) for target in rows.targets.values()]
        return with_outputs(rows, outputs, plan.seen(list(rows.frame["seen"])))

    def _answer(self, aligned: AlignedSources, target: Target, plan: FitPlan) -> TargetPrediction:
        first, *others = aligned.answers[target.name].values()
        if not others and isinstance(first, TargetPrediction):
            return first
        options = _of_subset(self.options[target.name], self.setup.names, list(aligned.answers[target.name]))
        return fit_rule(aligned, target, self.rule, options, plan).output

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
        by_target = self.aligned.answers.values()
        return {
            "rows": digest(self.aligned.rows.frame.to_csv(index=False), *plans),
            "sources": {
                name: digest(*(array for answers in by_target for array in _answer_arrays(answers[name])))
                for name in self.setup.names
            },
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
) -> PredictionTables:
    """Sources to be fused by `rule`.

    targets: names, by default all that every source predicts. metric: compared, and what rules choose by where they
    choose. cv_folds: draw that many folds of whole groups instead of those of `plan_fit`.
    Seeds that draw the same folds give the same answers: only the first of them is kept.
    """
    build_rule(rule, options)
    _of_subset(options, [source.name for source in sources], [])
    aligned = _only(align(sources, fit_on=fit_on), sources, targets)
    rows = aligned.rows
    compared = metric_of(metric, rows.targets)
    plans: dict[int, FitPlan] = {}
    for seed in range(seeds):
        plan = plan_fit(rows, fit_on=fit_on, group=group, seed=seed)
        if cv_folds is not None:
            plan = _redrawn(plan, rows, cv_folds, seed)
        if not any(_same_folds(plan.folds, other.folds) for other in plans.values()):
            plans[seed] = plan
    for target in compared.targets:
        if missing(pair(rows, target)[0]).all():
            what = f"no row has a truth for {target.name}"
            raise AffectkitError("input", what, file=rows.path, remedy="pass the --manifest that has it")
    answers = next(iter(aligned.answers.values()))
    setup = AblationSetup(
        names=list(answers),
        predicting=[name for name, answer in answers.items() if isinstance(answer, TargetPrediction)],
        targets=rows.targets,
        compared=compared,
        seeds=list(plans),
        scheme=plans[0].scheme + (", whatever the seed" if len(plans) < seeds else ""),
        group=plans[0].group,
        train=train_rows(rows, list(rows.targets.values())),
        notes=_notes(aligned, plans[0]),
    )
    by_target = {
        name: with_metric(rule, options, metric_for(compared, target)) for name, target in rows.targets.items()
    }
    return PredictionTables(setup, aligned, rule, by_target, list(plans.values()))


def _answer_arrays(answer: TargetPrediction | SourceTable) -> list[np.ndarray]:
    arrays = (answer.values, answer.var) if isinstance(answer, TargetPrediction) else (answer.values,)
    return [array for array in arrays if array is not None]


def _notes(aligned: AlignedSources, plan: FitPlan) -> list[str]:
    notes = []
    columns = [name for name, a in next(iter(aligned.answers.values())).items() if isinstance(a, SourceTable)]
    if columns:
        notes.append(f"judged beside predictions only, being no predictions: {', '.join(columns)}")
    if aligned.rows.foreign:
        notes.append(
            "nothing says how these predictions were made (no column 'seen'): their rows are taken as held out"
        )
    if plan.single:
        notes.append(f"all fit rows are of one {plan.group}: what holds for others is not known")
    return notes


def _only(aligned: AlignedSources, sources: Sequence[Source], names: Sequence[str]) -> AlignedSources:
    """Only the targets called `names` (all that are common where there are none), and no other's columns."""
    for name in names:
        if name not in aligned.rows.targets:
            remedy = did_you_mean(name, list(aligned.rows.targets))
            raise AffectkitError("usage", f"the sources do not all predict '{name}'", remedy=remedy)
    targets = {name: aligned.rows.targets[name] for name in names or aligned.rows.targets}
    tables = [source.predictions for source in sources if source.predictions is not None]
    others = [target for table in tables for name, target in table.targets.items() if name not in targets]
    stale = {column for target in others for column in target_columns(target)}
    frame = aligned.rows.frame.drop(columns=[column for column in aligned.rows.frame if column in stale])
    return AlignedSources(
        replace(aligned.rows, frame=frame, targets=targets), {name: aligned.answers[name] for name in targets}
    )


def _of_subset(options: Mapping[str, Any], names: Sequence[str], subset: Sequence[str]) -> Mapping[str, Any]:
    """A rule's options for a subset: of fixed weights its own, and equal ones where those are all 0.

    Raises "usage" where there are not as many weights as sources.
    """
    weights = parse_weights(options.get("weights") or "")
    if not weights or len(subset) == len(names):
        return options
    by_name = fixed_weights(weights, names)
    chosen = [by_name[name] for name in subset]
    if not any(chosen):
        chosen = [1.0] * len(chosen)
    return {**options, "weights": ",".join(map(repr, chosen))}


def _redrawn(plan: FitPlan, rows: Predictions, count: int, seed: int) -> FitPlan:
    """The plan with other folds."""
    ids = rows.frame["id"].astype(str).to_numpy()[plan.fit]
    column = None if plan.single else plan.group
    groups = apart(ids, plan.groups[plan.fit])
    first = next(iter(rows.targets))
    labels = rows.frame[first].to_numpy()[plan.fit] if first in rows.frame else None
    folds = drawn_folds(ids, groups, column, labels, count, seed)
    return replace(plan, folds=folds, scheme=scheme(folds, groups, column))


def _same_folds(folds: np.ndarray, others: np.ndarray) -> bool:
    """Whether two assignments of folds divide the rows alike, whatever the folds are called."""
    pairs = len(set(zip(folds.tolist(), others.tolist(), strict=True)))
    return pairs == len(np.unique(folds)) == len(np.unique(others))
