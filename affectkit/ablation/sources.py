"""The two kinds of sources: sets of features, on which an estimator is trained, and tables of predictions, which a rule
fuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.ablation.study import AblationSetup, AblationStudy, digest, drawn_folds, metric_for, metric_of
from affectkit.artifacts.columns import Table
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, with_outputs
from affectkit.artifacts.sources import Source
from affectkit.console import unwatched
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Estimator, Matrix
from affectkit.estimators._fit import FitSettings
from affectkit.estimators._train import load_dataset, train_model
from affectkit.evaluation.parts import train_rows
from affectkit.evaluation.rows import fittable
from affectkit.fusion.align import AlignedSources, align, only
from affectkit.fusion.ensemble import fixed_weights, parse_weights
from affectkit.fusion.fuse import fit_rule, with_metric
from affectkit.fusion.rule import SourceTable, build_rule
from affectkit.labels import Target
from affectkit.leakage.crossfit import FitOn, FitPlan, plan_fit
from affectkit.leakage.held_out import groups_of
from affectkit.splits import apart

if TYPE_CHECKING:
    import pandas as pd


# --- Subsets of sets of features: an estimator is trained on those of a subset together


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
    exclude: Sequence[str] = (),
) -> AblationStudy:
    """Sets of features, by name; rows that one of them lacks are in no subset.

    settings: but for the seed, which is that of the repeat. missing: "drop" leaves rows that any of them lacks out of
    every subset, "stop" raises naming the first. exclude: columns of tables to leave out. cv_folds: draw that many
    folds of whole groups; by default the manifest's own, else as `train --cv` does. A repeat's seed is that of its
    folds, where they are drawn, and of the estimator.
    """
    paths = list(features.values())
    data = load_dataset(manifest, paths, group=group, missing=missing, targets=targets, exclude=exclude)
    if "split" not in data.manifest.rows:
        data = replace(data, manifest=replace(data.manifest, rows=data.manifest.rows.assign(split="train")))
    fit = fit_rows(data.manifest)
    drawn = (with_folds(data.manifest, group, fit, targets[0], cv_folds, seed) for seed in range(seeds))
    rows, schemes = zip(*drawn, strict=True)
    column, groups = groups_of(data.manifest, group)
    known: dict[str, Any] = {"schemes": schemes, "group": column, "train": data.manifest.rows[fit]}
    setup = AblationSetup.of_trained(list(features), targets, metric=metric, **known)

    def answer(sources: Sequence[str], repeat: int) -> Predictions:
        places = [setup.names.index(name) for name in sources]
        blocks, encoders = ([each[place] for place in places] for each in (data.blocks, data.encoders))
        chosen: dict[str, Any] = {"blocks": blocks, "encoders": encoders, "names": tuple(sources)}
        part = replace(data, manifest=replace(data.manifest, rows=rows[repeat]), **chosen)
        seeded = replace(settings, seed=setup.seeds[repeat])
        return train_model(part, estimator, list(targets), seeded, cv=True, progress=unwatched).predictions

    facts: dict[str, Any] = {"model": estimator.name, "options": dict(estimator.options)}
    facts |= {"normalize": settings.normalize, "class_weight": settings.class_weight}
    facts |= {
        name: value
        for name in ("impute", "select_features")
        if (value := vars(settings)[name]) != vars(FitSettings)[name]
    }
    made_of_rows = digest(groups, *(table.to_csv(index=False) for table in rows))
    digests = {name: _block_digest(block) for name, block in zip(features, data.blocks, strict=True)}
    return AblationStudy(setup, answer, facts, made_of_rows, digests)


def fit_rows(manifest: Manifest) -> np.ndarray:
    """[N] bool: train and val rows; all of a manifest without splits. Raises "input" where there are none."""
    if "split" not in manifest.rows:
        return np.ones(len(manifest.rows), dtype=bool)
    fit = manifest.rows["split"].isin(["train", "val"]).to_numpy()
    if not fit.any():
        raise AffectkitError("input", "the manifest has no train or val rows", file=manifest.path, remedy="give them")
    return fit


def with_folds(
    manifest: Manifest, group: str | None, fit: np.ndarray, target: Target, count: int | None, seed: int
) -> tuple[pd.DataFrame, str]:
    """The rows with the folds of those fitted on, and the folds in words. fit: [N] bool. count: see `of_features`."""
    table = manifest.rows
    stored = set(table["fold"].astype(str).to_numpy()[fit]) - {""} if "fold" in table else set()
    if count is None and stored:
        return table, f"the manifest's own {len(stored)} folds"
    column, groups = groups_of(manifest, group)
    ids, labels = (table[name].to_numpy()[fit] for name in ("id", target.name))
    folds, scheme = drawn_folds(ids, groups[fit], column, labels, count, seed)
    cells = np.full(len(fit), "", dtype=object)
    cells[fit] = folds.astype(str)
    return table.assign(fold=cells), scheme


def _block_digest(block: Matrix) -> str:
    if isinstance(block, Table):
        return digest(str(block.columns), *(cells.astype(str) for cells in block.cells))
    return digest(block) if isinstance(block, np.ndarray) else digest(block.indptr, block.indices, block.data)


# --- Subsets of tables of predictions: one alone is itself, several are fused


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
) -> AblationStudy:
    """Sources to be fused by `rule`.

    targets: names, by default all that every source predicts. metric: compared, and what rules choose by where they
    choose. cv_folds: draw that many folds of whole groups instead of those of `plan_fit`.
    Seeds that draw the same folds give the same answers: only the first of them is kept.
    """
    build_rule(rule, options)
    _of_subset(options, [source.name for source in sources], [])
    aligned = only(align(sources, fit_on=fit_on), sources, targets)
    plans = _plans(aligned.rows, seeds, cv_folds, fit_on=fit_on, group=group)
    first = plans[0]
    learnt = fittable(aligned.rows, aligned.rows.targets.values(), first.fit)
    aligned = only(aligned, sources, [target.name for target in learnt])
    rows = aligned.rows
    compared = metric_of(metric, rows.targets)
    answers = next(iter(aligned.answers.values()))
    setup = AblationSetup(
        names=list(answers),
        predicting=list(aligned.outputs(next(iter(rows.targets)))),
        targets=rows.targets,
        compared=compared,
        seeds=list(plans),
        scheme=first.scheme + (", whatever the seed" if len(plans) < seeds else ""),
        group=first.group,
        train=train_rows(rows, list(rows.targets.values())),
        notes=_notes(aligned, first),
    )
    by_target = {t.name: with_metric(rule, options, metric_for(compared, t)) for t in rows.targets.values()}

    def answer(names: Sequence[str], repeat: int) -> Predictions:
        plan = plans[setup.seeds[repeat]]
        chosen = {target: {name: sources[name] for name in names} for target, sources in aligned.answers.items()}
        subset = AlignedSources(rows, chosen)
        weighed = {name: _of_subset(options, setup.names, names) for name, options in by_target.items()}
        outputs = [_fused(subset, target, rule, weighed[name], plan) for name, target in rows.targets.items()]
        return with_outputs(rows, outputs, plan.seen(list(rows.frame["seen"])))

    folds = [array for plan in plans.values() for array in (plan.fit, plan.folds, plan.groups)]
    made_of_rows = digest(rows.frame.to_csv(index=False), *folds)
    digests = {name: digest(*_arrays(aligned, name)) for name in setup.names}
    return AblationStudy(setup, answer, {"rule": rule, "options": by_target}, made_of_rows, digests)


def _fused(
    aligned: AlignedSources, target: Target, rule: str, options: Mapping[str, Any], plan: FitPlan
) -> TargetPrediction:
    """One source of predictions alone is itself."""
    first, *others = aligned.answers[target.name].values()
    if not others and isinstance(first, TargetPrediction):
        return first
    return fit_rule(aligned, target, rule, options, plan).output


def _arrays(aligned: AlignedSources, name: str) -> list[np.ndarray]:
    """Values and variances of a source, of every target."""
    sources = [answers[name] for answers in aligned.answers.values()]
    arrays = [array for source in sources for array in (source.values, getattr(source, "var", None))]
    return [array for array in arrays if array is not None]


def _notes(aligned: AlignedSources, plan: FitPlan) -> list[str]:
    notes = []
    columns = [name for name, a in next(iter(aligned.answers.values())).items() if isinstance(a, SourceTable)]
    if columns:
        notes.append(f"judged beside predictions only, being no predictions: {', '.join(columns)}")
    if aligned.rows.foreign:
        unknown = "nothing says how these predictions were made (no column 'seen')"
        notes.append(f"{unknown}: their rows are taken as held out")
    if plan.single:
        notes.append(f"all fit rows are of one {plan.group}: what holds for others is not known")
    return notes


def _of_subset(options: Mapping[str, Any], names: Sequence[str], subset: Sequence[str]) -> Mapping[str, Any]:
    """A rule's options for a subset: of fixed weights its own, and equal ones where those are all 0; no gate where it
    lacks its source, or is of it alone.

    Raises "usage" where there are not as many weights as sources.
    """
    if (gate := options.get("gate")) in names and (gate not in subset or len(subset) < 2):
        return {**options, "gate": ""}
    weights = parse_weights(options.get("weights") or "")
    if not weights or len(subset) == len(names):
        return options
    by_name = fixed_weights(weights, names)
    chosen = [by_name[name] for name in subset]
    if not any(chosen):
        chosen = [1.0] * len(chosen)
    return {**options, "weights": ",".join(map(repr, chosen))}


def _plans(rows: Predictions, seeds: int, count: int | None, **how: Any) -> dict[int, FitPlan]:
    """By seed, those of `plan_fit`, with `count` drawn folds where there is one; of plans that divide the rows alike,
    whatever the folds are called, the first."""
    plans: dict[int, FitPlan] = {}
    for seed in range(seeds):
        plan = plan_fit(rows, seed=seed, **how)
        if count is not None:
            ids = rows.frame["id"].astype(str).to_numpy()[plan.fit]
            first = next(iter(rows.targets))
            labels = rows.frame[first].to_numpy()[plan.fit] if first in rows.frame else None
            groups, column = apart(ids, plan.groups[plan.fit]), None if plan.single else plan.group
            folds, scheme = drawn_folds(ids, groups, column, labels, count, seed)
            plan = replace(plan, folds=folds, scheme=scheme)
        if not any(_same_folds(plan.folds, other.folds) for other in plans.values()):
            plans[seed] = plan
    return plans


def _same_folds(folds: np.ndarray, others: np.ndarray) -> bool:
    pairs = len(set(zip(folds.tolist(), others.tolist(), strict=True)))
    return pairs == len(np.unique(folds)) == len(np.unique(others))
