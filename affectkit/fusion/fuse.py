"""Fusing sources: a rule fitted on the rows of a plan and cross-fitted for exactly those, and whether it helps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.artifacts.predictions import Predictions, with_outputs
from affectkit.errors import AffectkitError
from affectkit.evaluation.comparison import Comparison, McNemar, compare, mcnemar, target_metric, value_of
from affectkit.evaluation.intervals import DEFAULT, Resampling
from affectkit.evaluation.rows import missing, pair, rows_of
from affectkit.fusion.align import AlignedSources
from affectkit.fusion.ensemble import DEFAULT_METRIC
from affectkit.fusion.rule import FusionModel, Sources, SourceTable, build_rule
from affectkit.labels import Target
from affectkit.leakage.crossfit import FitPlan, cross_fit
from affectkit.training.journal import name_of_fit, within

log = logging.getLogger(__name__)

BEST, MEAN = "best", "mean"


@dataclass(frozen=True)
class Verdict:
    """Whether fusing helps for one target, on one part of the rows ("oof", "val" or "test").

    best: fused against the single source that is best on the rows fitted on, all of them: chosen anew in each fold, of
    two equal sources the one would be taken where the other is better, and "helps" claimed too often.
    mean: against equal weights; None where the rule is that. singles: the metric of each source, over its own rows.
    """

    target: str
    part: str
    best: Comparison
    best_name: str
    mean: Comparison | None
    mcnemar: McNemar | None
    singles: Mapping[str, float]

    @property
    def helps(self) -> bool:
        return self.best.better

    def plain(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "part": self.part,
            "helps": self.helps,
            "best_single": self.best_name,
            "against_best": self.best.plain(),
            "against_mean": self.mean.plain() if self.mean else None,
            "rescued": self.mcnemar.rescued if self.mcnemar else None,
            "degraded": self.mcnemar.degraded if self.mcnemar else None,
            "mcnemar_p": self.mcnemar.p if self.mcnemar else None,
            "singles": dict(self.singles),
        }


@dataclass(frozen=True)
class Fused:
    """model: the final fits. predictions: all rows. verdicts: per target and part. fell_back: targets for which the
    single source was kept. recalibrated: targets that had a calibration of the rule's own.
    uncalibrated: all rows before it, None where there is none. routed: of a rule that takes each row from one source.
    """

    model: FusionModel
    predictions: Predictions
    verdicts: Sequence[Verdict]
    fell_back: Sequence[str]
    recalibrated: Sequence[str]
    uncalibrated: Predictions | None
    routed: Routed | None = None


@dataclass(frozen=True)
class Routed:
    """by: the column. rows: source -> how many it is needed for. unanswered: source -> how many of these it has no
    answer for. unknown: values that no source is called -> how many rows have them. policy: what becomes of those."""

    by: str
    rows: Mapping[str, int]
    unanswered: Mapping[str, int]
    unknown: Mapping[str, int]
    policy: str


class RuleFit(NamedTuple):
    """final: {"rule", "options", "parameters"} of the final fit. output: the answers for all rows, cross-fitted for
    those of the plan. uncalibrated: the same before a calibration of the rule's own, None where it has none."""

    final: dict[str, Any]
    output: TargetPrediction
    uncalibrated: TargetPrediction | None


def fuse(
    aligned: AlignedSources,
    rule: str,
    options: Mapping[str, Any],
    plan: FitPlan,
    *,
    metric: str | None = None,
    fallback: bool = False,
    resampling: Resampling = DEFAULT,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Fused:
    """Fit `rule` for every target, and beside it the best single source and equal weights, on the same rows and folds.

    metric: by which the single source is chosen and rules compared, `uar` and `ccc` by default. fallback: keep the
    single source for a target where fusing does not help on the cross-fitted rows; test rows have no say.
    seed: of a rule that draws at random. progress: called with the rule's fits so far, and how many there will be.
    """
    fits, verdicts, fell_back = {}, [], []
    names = list(next(iter(aligned.answers.values())))
    learns = build_rule(rule, options, seed=seed).learns
    if fallback and not learns:
        remedy = "leave it out"
        raise AffectkitError("usage", f"--fallback best is chosen on rows, and {rule} learns from none", remedy=remedy)
    alike = {"recalibrate": True} if options.get("recalibrate") else {}  # what equal weights share with the rule
    fits_in_all, fitted = len(aligned.answers) * (len(np.unique(plan.folds)) + 1), count(1)

    def step() -> None:
        if progress:
            progress(next(fitted), fits_in_all)

    targets = aligned.rows.targets
    for number, (name, target) in enumerate(targets.items(), start=1):
        chosen_by = metric or DEFAULT_METRIC[target.kind]
        with within(name if len(targets) > 1 else "", number, len(targets)):
            how = with_metric(rule, options, chosen_by)
            fits[name] = fit_rule(aligned, target, rule, how, plan, seed=seed, step=step)
        if not learns and not _comparable(aligned, target, plan):
            continue
        single = fit_rule(aligned, target, BEST, with_metric(BEST, {}, chosen_by), plan)
        reference = FusionModel(names, {name: single.final}).apply(name, aligned.outputs(name))  # as it is, all rows
        beside = {"fused": fits[name].output, BEST: reference}
        if rule != MEAN:
            beside[MEAN] = fit_rule(aligned, target, MEAN, alike, plan).output
        judged = _judge(aligned, target, chosen_by, plan, beside, single.final, resampling)
        if fallback and not judged[0].helps:
            fell_back.append(name)
            fits[name] = single
        verdicts += judged
    model = FusionModel(names, {name: fit.final for name, fit in fits.items()})
    cells = _cells(aligned, model.columns)
    wanted = None if learns else model.wanted(cells)
    seen = plan.seen(list(aligned.rows.frame["seen"])) if wanted is None else _seen_by(aligned, wanted)
    before = [fit.output if fit.uncalibrated is None else fit.uncalibrated for fit in fits.values()]
    recalibrated = [name for name, fit in fits.items() if fit.uncalibrated is not None]
    return Fused(
        model,
        with_outputs(aligned.rows, [fit.output for fit in fits.values()], seen),
        verdicts,
        fell_back,
        recalibrated,
        with_outputs(aligned.rows, before, seen) if recalibrated else None,
        _routed(aligned, model, cells, wanted) if wanted else None,
    )


def _comparable(aligned: AlignedSources, target: Target, plan: FitPlan) -> bool:
    """Whether any row of the plan has a truth, and an answer of all sources."""
    known = [output.known[plan.fit] for output in aligned.outputs(target.name).values()]
    labelled = ~missing(pair(aligned.rows, target)[0][plan.fit])
    return bool(np.all([labelled, *known], axis=0).any())


def _cells(aligned: AlignedSources, columns: Sequence[str]) -> GroundTruth:
    [target, *_] = aligned.rows.targets.values()
    return rows_of(aligned.rows, target, np.full(len(aligned.rows.frame), ""), columns)


def _seen_by(aligned: AlignedSources, wanted: Mapping[str, np.ndarray]) -> np.ndarray:
    """[N] how the source that a row needs saw it; `heldout` where it needs none."""
    seen = np.full(len(aligned.rows.frame), "heldout", dtype=object)
    for name, rows in wanted.items():
        marked = rows & (aligned.seen[name] != "")
        seen[marked] = aligned.seen[name][marked]
    return seen


def _routed(
    aligned: AlignedSources, model: FusionModel, cells: GroundTruth, wanted: Mapping[str, np.ndarray]
) -> Routed:
    """Warns of sources that have no answer to rows that they are needed for."""
    rows = {name: int(of_source.sum()) for name, of_source in wanted.items()}
    known = {name: np.any([aligned.outputs(target)[name].known for target in model.targets], axis=0) for name in wanted}
    unanswered = {name: int((wanted[name] & ~known[name]).sum()) for name in wanted}
    for name in filter(unanswered.get, wanted):
        what = "%s has no answer for %d of the %d rows that go to it: they are declined"
        log.warning(what, name, unanswered[name], rows[name])
    target = next(iter(model.targets))
    rule, parameters = model.rule(target), model.targets[target]["parameters"]
    return Routed(rule.columns[0], rows, unanswered, rule.unknown(parameters, cells), rule.policy)


def fit_rule(
    aligned: AlignedSources,
    target: Target,
    rule: str,
    options: Mapping[str, Any],
    plan: FitPlan,
    *,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> RuleFit:
    """The rule fitted on the rows of the plan, and cross-fitted for them. step: called after each fit.

    Raises "input" where a rule may not be fitted on one group.
    """
    built = build_rule(rule, options, seed=seed)
    plan.require_groups(f"rule {rule}", single_group=built.single_group)
    sources = aligned.answers[target.name] if built.takes_tables else aligned.outputs(target.name)
    rows = rows_of(aligned.rows, target, plan.groups, built.columns)
    if not built.learns:
        parameters = built.fit(sources, rows)
        output = built.apply(parameters, sources, rows)
        return RuleFit({"rule": rule, "options": built.options, "parameters": parameters}, output, None)
    answered = np.any([source.known for source in sources.values()], axis=0)
    before: TargetPrediction | None = None
    numbers, total = count(), len(np.unique(plan.folds)) + 1

    def fit(positions: np.ndarray) -> dict[str, Any]:
        number = next(numbers)
        with within(name_of_fit(number), number + 1, total):
            parameters = built.fit(_taken(sources, positions), rows.take(positions))
        step()
        return parameters

    def apply(parameters: dict[str, Any], positions: np.ndarray) -> TargetPrediction:
        nonlocal before
        taken = _taken(sources, positions)
        raw = built.uncalibrated(parameters, taken)
        before = raw if raw is None or before is None else before.put(positions, raw)
        return built.apply(parameters, taken, rows.take(positions))

    parameters, output = cross_fit(plan, ~np.isnan(rows.truth) & answered, fit, apply)
    return RuleFit({"rule": rule, "options": built.options, "parameters": parameters}, output, before)


def _taken(sources: Sources, positions: np.ndarray) -> dict[str, TargetPrediction | SourceTable]:
    return {name: source.take(positions) for name, source in sources.items()}


def with_metric(rule: str, options: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """The options, with the metric where the rule chooses by one."""
    takes = registry.options(registry.load("rules", rule).build)
    return {**options, "metric": metric} if "metric" in takes else dict(options)


def _judge(
    aligned: AlignedSources,
    target: Target,
    metric: str,
    plan: FitPlan,
    outputs: Mapping[str, TargetPrediction],
    single: Mapping[str, Any],
    resampling: Resampling,
) -> list[Verdict]:
    """A verdict on the rows fitted on, cross-fitted, then one on the test rows, where there are any."""
    compared = target_metric(metric if target.name == "label" else f"{target.name}.{metric}", {target.name: target})
    seen_before = aligned.rows.frame["seen"]
    seen = plan.seen(list(seen_before))
    tables = {name: with_outputs(aligned.rows, [output], seen) for name, output in outputs.items()}
    singles = {name: with_outputs(aligned.rows, [o], seen_before) for name, o in aligned.outputs(target.name).items()}
    labelled = ~missing(pair(aligned.rows, target)[0])
    verdicts = []
    for part, rows in _parts(aligned.rows, plan, seen).items():
        keep = rows & labelled
        if part == "test" and not keep.any():
            continue
        kept = {name: table.take(keep) for name, table in tables.items()}
        groups = plan.groups[keep] if plan.group else None
        fused, best_name = kept.pop("fused"), str(single["parameters"].get("source", ""))
        against = {name: compare(fused, table, compared, groups, resampling) for name, table in kept.items()}
        flips = mcnemar(fused, kept[BEST], target) if target.kind != "number" else None
        values = {name: value_of(table.take(keep), compared) for name, table in singles.items()}
        verdicts.append(Verdict(target.name, part, against[BEST], best_name, against.get(MEAN), flips, values))
    return verdicts


def _parts(rows: Predictions, plan: FitPlan, seen: np.ndarray) -> dict[str, np.ndarray]:
    inside = np.zeros(len(rows.frame), bool)
    inside[plan.fit] = True
    split = rows.frame["split"].to_numpy() if "split" in rows.frame else np.full(len(rows.frame), "")
    return {plan.origin: inside, "test": (split == "test") & (seen != "fit") & ~inside}
