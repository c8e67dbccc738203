"""Calibrating a table: every target fitted on the rows of a plan, cross-fitted for exactly those, applied to all."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.artifacts.predictions import Predictions, places_of, with_outputs
from affectkit.calibration.method import LEAST_ROWS, NONE, CalibrationModel, Method, build_method
from affectkit.calibration.methods import _probabilities
from affectkit.errors import AffectkitError
from affectkit.evaluation.comparison import Comparison, MetricInputs, Paired, metric_inputs, target_metric
from affectkit.evaluation.coverage import RiskCoverage, central, coverage, covered, risk_coverage_of
from affectkit.evaluation.rows import answered_parts, answers_any, prefix, rows_of, unseen
from affectkit.labels import Target
from affectkit.leakage.crossfit import FitPlan, cross_fit, held_out

logger = logging.getLogger(__name__)


AUTO = "auto"
# What `auto` compares, the simplest first: parameters for K classes are 1, 2 K, 3 K, and steps.
CANDIDATES = {"class": ("temperature", "vector", "beta", "isotonic"), "number": ("linear", "isotonic")}


@dataclass(frozen=True)
class Candidate:
    """A method as `auto` judged it. score: NLL or MSE on cross-fitted rows; lower is better. against: none, paired."""

    method: str
    score: float
    against: Comparison | None
    chosen: bool = False


@dataclass(frozen=True)
class Calibrated:
    """model: the final fits. predictions: all rows, those fitted on cross-fitted. clamped: target -> [N] bool, the rows
    that were brought back to the target's scale. compared: target -> what `auto` looked at. unseen: class
    target -> the classes that none of the rows fitted on has."""

    model: CalibrationModel
    before: Predictions
    predictions: Predictions
    clamped: Mapping[str, np.ndarray]
    compared: Mapping[str, Sequence[Candidate]]
    unseen: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def parts(self) -> dict[str, tuple[Predictions, Predictions]]:
        """Part -> the rows that may be judged, before and after, in one order."""
        after = answered_parts(self.predictions, quiet=True)  # their report says it
        rows = {part: places_of(table, self.before) for part, table in after.items()}
        return {part: (self.before.take(rows[part]), table) for part, table in after.items()}


def calibrate(
    predictions: Predictions, method: str, options: Mapping[str, Any], plan: FitPlan, targets: Sequence[Target]
) -> Calibrated:
    """Fit `method`, or of `auto` the best that the rows can tell, for each target.

    Raises "usage" for a method that takes none of the targets, "input" where rows or columns that it needs lack.
    """
    outputs, fitted, clamped, compared = [], {}, {}, {}
    for target in targets:
        name, answers = method, None
        if method == AUTO:
            name, compared[target.name], answers = _choose(predictions, plan, target, options)
        built = None if name == NONE else build_method(name, options)
        parameters, free = _fitted(predictions, plan, target, built, answers)
        fitted[target.name] = {"method": name, "options": built.options if built else {}, "parameters": parameters}
        output, clamped[target.name] = held_to_scale(free)
        outputs.append(output)
    after = with_outputs(predictions, outputs, plan.seen(list(predictions.frame["seen"])))
    lacking = {target.name: unseen(predictions, target, plan.fit) for target in targets}
    return Calibrated(CalibrationModel(fitted), predictions, after, clamped, compared, lacking)


def needed_columns(method: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns of text that the method needs of every row. Raises "usage" for an unknown method or option."""
    if method == AUTO:
        if typed := [option for option in options if option not in ("per", "min_rows")]:
            raise registry.no_option("methods", AUTO, typed[0], {})
        return (options["per"],) if options.get("per") else ()
    return build_method(method, options).columns


def taken(method: str, options: Mapping[str, Any], targets: Sequence[Target]) -> list[Target]:
    """Those of `targets` that the method calibrates. Raises "usage" where it is none of them."""
    if method == AUTO:
        return list(targets)
    matching = _of_its_kinds(targets, build_method(method, options))
    if not matching:
        able = [name for name in registry.names("methods") if _of_its_kinds(targets, build_method(name, {}))]
        names = ", ".join(f"{target.name} ({target.kind})" for target in targets)
        raise AffectkitError("usage", f"{method} does not calibrate {names}", remedy=f"use {', '.join(able)}")
    return matching


def _of_its_kinds(targets: Sequence[Target], method: Method) -> list[Target]:
    return [t for t in targets if ("number" if t.kind == "number" else "class") in method.kinds]


def _fitted(
    predictions: Predictions, plan: FitPlan, target: Target, method: Method | None, answers: TargetPrediction | None
) -> tuple[dict[str, Any], TargetPrediction]:
    """The final fit's parameters, and the answers for all rows. answers: those of `_held_out`, where they are known."""
    output = predictions.output(target.name)
    if method is None:
        return {}, output
    fit = _Fitting(predictions, plan, target, method)
    return cross_fit(plan, fit.usable, fit.fit, fit.apply, answers)


class _Fitting:
    """A method on some rows of a table, given by their positions [M]. usable: [N] bool, rows to fit on."""

    def __init__(self, predictions: Predictions, plan: FitPlan, target: Target, method: Method) -> None:
        plan.require_groups(method.name, single_group=method.single_group)
        self.output = predictions.output(target.name)
        self.rows = rows_of(predictions, target, plan.groups, method.columns)
        self.usable = ~np.isnan(self.rows.truth) & self.output.known
        self.method = method.planned(self.rows.take(plan.fit[self.usable[plan.fit]]))

    def fit(self, positions: np.ndarray) -> dict[str, Any]:
        return self.method.fit(self.output.take(positions), self.rows.take(positions))

    def apply(self, parameters: dict[str, Any], positions: np.ndarray) -> TargetPrediction:
        # Numbers before they are clamped, so that the rows that are can be counted.
        apply = self.method.unclamped if self.output.target.kind == "number" else self.method.apply
        return apply(parameters, self.output.take(positions), self.rows.take(positions))


def _choose(
    predictions: Predictions, plan: FitPlan, target: Target, options: Mapping[str, Any]
) -> tuple[str, list[Candidate], TargetPrediction | None]:
    """The simplest method that the best one does not beat, and none where the best does not beat none; and its answers
    for the rows fitted on.

    Judged on those rows, cross-fitted: classes by NLL, numbers by MSE, differences paired over groups.
    """
    kind = "number" if target.kind == "number" else "class"
    metric = target_metric("nll" if kind == "class" else f"{target.name}.mse", {target.name: target})
    groups = plan.groups[plan.fit] if plan.group else None
    before = metric_inputs(predictions.take(plan.fit), metric)
    inputs, answers = {NONE: before}, {}
    methods = [build_method(name, options) for name in CANDIDATES[kind]]
    methods = [method for method in methods if method.single_group or not plan.single]

    def cross_fitted(method: Method) -> TargetPrediction:
        fit = _Fitting(predictions, plan, target, method)
        return held_out(plan, fit.usable, fit.fit, fit.apply, pool.map)

    # Two methods at a time, for memory, whose folds threads share; the slowest methods, which stand last, begin first.
    with ThreadPoolExecutor(2) as waiting, ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = list(waiting.map(cross_fitted, methods[::-1]))[::-1]
        for method, output in zip(methods, outputs, strict=True):
            answers[method.name] = output
            inputs[method.name] = replace(before, predictions=[held_to_scale(output)[0].values])
    against = {name: _compared(inputs[name], before, groups) for name in inputs}
    best = min(against, key=lambda name: against[name].first)  # the first of equals, and they stand by simplicity
    chosen = NONE
    if against[best].better:
        chosen = next(n for n in answers if not _compared(inputs[best], inputs[n], groups).better)
        chosen = chosen if against[chosen].better else best
    candidates = [Candidate(n, c.first, c if n != NONE else None, n == chosen) for n, c in against.items()]
    return chosen, candidates, answers.get(chosen)


def _compared(first: MetricInputs, second: MetricInputs, groups: np.ndarray | None) -> Comparison:
    return Paired.of([[first], [second]], groups).compare(first.metric)


def held_to_scale(output: TargetPrediction) -> tuple[TargetPrediction, np.ndarray]:
    """Numbers clamped to their scale, and [N] bool: the rows that were; class probabilities as they are."""
    return _probabilities.clamped(output) if output.target.kind == "number" else (output, np.zeros(len(output), bool))


# --- What a calibration changed, on rows that were not fitted on


OF_CLASSES = (
    "nll", "brier", "ece", "classwise_ece", "ece_adaptive", "ece_debiased", "smece", "accuracy", "uar",
)  # fmt: skip
OF_NUMBERS = ("ccc", "mse", "mae", "pearson")


def before_and_after(
    calibrated: Calibrated, plan: FitPlan, targets: Sequence[Target], only: tuple[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Part -> target -> metric -> `before`, `after`, `difference` with its interval, and whether that is better.

    only: a column, and the value of it that rows must have.
    The rows fitted on are cross-fitted; the others had the final fit.
    """

    def of_part(sides: tuple[Predictions, Predictions]) -> dict[str, Any]:
        before, after = sides
        if only is not None:
            rows = np.asarray(after.groups(only[0]) == only[1])
            before, after = before.take(rows), after.take(rows)
        answered = [target for target in targets if only is None or answers_any(after, target)]
        return {target.name: _changes(before, after, plan, target) for target in answered}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        changes = dict(zip(calibrated.parts, pool.map(of_part, calibrated.parts.values()), strict=True))
    return {part: of_target for part, of_target in changes.items() if of_target}


def _changes(before: Predictions, after: Predictions, plan: FitPlan, target: Target) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    paired: dict[str, Paired] = {}  # by what metrics take
    for name in OF_NUMBERS if target.kind == "number" else OF_CLASSES:
        metric = target_metric(prefix(target) + name, {target.name: target})
        if (takes := metric.definition.takes) not in paired:
            sides = [[metric_inputs(table, metric)] for table in (after, before)]
            paired[takes] = Paired.of(sides, after.groups(plan.group))
        comparison = paired[takes].compare(metric)
        changes[prefix(target) + name] = {
            "before": comparison.second,
            "after": comparison.first,
            "difference": comparison.difference.plain(),
            "better": comparison.better,
        }
    return changes


def of_values(
    calibrated: Calibrated, plan: FitPlan, targets: Sequence[Target], options: Mapping[str, Any]
) -> dict[str, Any]:
    """`column`, `min_rows`; `targets` -> value -> its `rows`, and its `parameters`, None for the fit of all; `changes`
    -> value -> as `before_and_after` has them. Nothing of what was fitted for all values at once."""
    parameters = {name: fitted["parameters"] for name, fitted in calibrated.model.targets.items()}
    fitted = {name: fits["values"] for name, fits in parameters.items() if "overall" in fits}
    if not fitted:
        return {}
    column = options["per"]
    values = sorted({value for of_target in fitted.values() for value in of_target})
    changes = {value: before_and_after(calibrated, plan, targets, (column, value)) for value in values}
    facts = {"column": column, "min_rows": options.get("min_rows", LEAST_ROWS)}
    return {**facts, "targets": fitted, "changes": changes}


def selective(calibrated: Calibrated, targets: Sequence[Target], wanted: float) -> dict[str, Any]:
    """The threshold that keeps the error of the fit rows, cross-fitted, at `wanted`, and what it does elsewhere.

    Class targets only. Part -> `coverage`, `error` and `aurc`; the threshold is chosen on the first part alone.
    """
    result: dict[str, Any] = {}
    for target in (t for t in targets if t.kind != "number"):
        curves = {part: risk_coverage_of(after, target) for part, (_, after) in calibrated.parts.items()}
        point = next(iter(curves.values())).for_error(wanted)
        threshold = point[0] if point else None
        parts = {part: _kept(curve, threshold) for part, curve in curves.items()}
        result[target.name] = {"wanted_error": wanted, "threshold": threshold, "parts": parts}
    return result


def _kept(curve: RiskCoverage, threshold: float | None) -> dict[str, float | None]:
    kept = np.flatnonzero(curve.threshold >= threshold) if threshold is not None else np.empty(0, int)
    share, error = (float(curve.coverage[kept[-1]]), float(curve.risk[kept[-1]])) if len(kept) else (0.0, None)
    return {"coverage": share, "error": error, "aurc": curve.area}


def abstaining(predictions: Predictions, thresholds: Mapping[str, Any]) -> Predictions:
    """With a column `abstain`: true where the first class target's confidence is below its threshold (`selective`)."""
    if not thresholds:
        raise AffectkitError("usage", "--abstain is for class targets")
    name, chosen = next(iter(thresholds.items()))
    confidence = predictions.output(name).values.max(axis=1)
    threshold = chosen["threshold"]
    keep = confidence >= threshold if threshold is not None else np.zeros(len(confidence), bool)
    return replace(predictions, frame=predictions.frame.assign(abstain=np.where(keep, "false", "true")))


def variance_coverage(calibrated: Calibrated, targets: Sequence[Target]) -> dict[str, Any]:
    """Part -> target -> level -> `before`, `after`: the share of rows whose truth lies in the central Gaussian interval
    of their predicted variance. Targets without variances are left out."""
    result: dict[str, Any] = {}
    levels = np.array([0.68, 0.95])
    numbers = [target for target in targets if target.kind == "number"]
    for (part, tables), target in product(calibrated.parts.items(), numbers):
        before, after = (central(table, target, levels) for table in tables)
        if after is None:
            continue
        result.setdefault(part, {})[target.name] = {
            f"{level:g}": {"before": None if before is None else float(before[place]), "after": float(after[place])}
            for place, level in enumerate(levels)
        }
    return result


def held(calibrated: Calibrated, plan: FitPlan, targets: Sequence[Target], by: Sequence[str] = ()) -> dict[str, Any]:
    """Part -> target -> `coverage` of sets or intervals with its interval, mean `size`, and both by column value."""
    result: dict[str, Any] = {}
    for (part, (_, table)), target in product(calibrated.parts.items(), targets):
        truths, groups = covered(table, target), table.groups(plan.group)
        if truths is None:
            continue
        rows = {"all": np.ones(len(table.frame), bool)}
        for column in by:
            cells = table.groups(column)
            assert cells is not None
            rows |= {f"{column}={value}": cells == value for value in sorted(set(cells) - {""})}
        result.setdefault(part, {})[target.name] = {
            name: {
                **coverage(truths.inside[keep], None if groups is None else groups[keep]).plain(),
                "size": float(np.nanmean(truths.size[keep])) if keep.any() else None,
                "n": int((keep & ~np.isnan(truths.inside)).sum()),
            }
            for name, keep in rows.items()
        }
    return result


UNMAPPED = ("conformal", "variance-scaling")  # they leave the answers as they are
MAPPED = 201  # values of a target's scale
ROUGHLY_MAPPED = 21  # where more than 100 classes are mapped, each by itself


def mapped(calibrated: Calibrated, target: Target) -> list[dict[str, Any]]:
    """`target`, `class` ("" of numbers), `before`, `after`: what the final fit makes of each value of the scale; of a
    class's probability, with the rest spread evenly over the others. Nothing of a method that leaves the answers."""
    method = calibrated.model.method(target.name)
    if method is None or method.name in UNMAPPED:
        return []
    points = MAPPED if len(target.classes) <= 100 else ROUGHLY_MAPPED
    blank = np.full(points, "")
    rows = GroundTruth(np.full(points, np.nan), blank, dict.fromkeys(method.columns, blank))
    if target.kind == "number":
        values = calibrated.before.output(target.name).values
        scale = target.scale or (float(np.nanmin(values)), float(np.nanmax(values)))
        grid = np.linspace(*scale, points)
        curves = {"": calibrated.model.apply(TargetPrediction.of(target, grid), rows).values}
    else:
        grid, count, curves = np.linspace(0, 1, points), len(target.classes), {}
        for k, name in enumerate(target.classes):
            shares = np.repeat(((1 - grid) / max(count - 1, 1))[:, None], count, axis=1)
            shares[:, k] = grid
            curves[name] = calibrated.model.apply(TargetPrediction.of(target, shares), rows).values[:, k].copy()
    return [
        {"target": target.name, "class": name, "before": before, "after": after}
        for name, curve in curves.items()
        for before, after in zip(grid.tolist(), curve.tolist(), strict=True)
    ]
