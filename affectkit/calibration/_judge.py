"""What a calibration changed, on rows that were not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.calibration._calibrate import Calibrated
from affectkit.evaluation.calibration_error import top_label
from affectkit.evaluation.comparison import compare, measured
from affectkit.evaluation.coverage import central, coverage, covered
from affectkit.evaluation.rows import missing, pair, prefix
from affectkit.evaluation.selective import RiskCoverage, risk_coverage
from affectkit.labels import Target
from affectkit.leakage.crossfit import FitPlan

OF_CLASSES = (
    "nll", "brier", "ece", "classwise_ece", "ece_adaptive", "ece_debiased", "smece", "accuracy", "uar",
)  # fmt: skip
OF_NUMBERS = ("ccc", "mse", "mae", "pearson")


def before_and_after(found: Calibrated, plan: FitPlan, targets: Sequence[Target]) -> dict[str, dict[str, Any]]:
    """Part -> target -> metric -> `before`, `after`, `difference` with its interval, and whether that is better.

    The rows fitted on are cross-fitted; the others had the final fit.
    """
    return {
        part: {target.name: _changes(before, after, plan, target) for target in targets}
        for part, (before, after) in found.parts.items()
    }


def _changes(before: Predictions, after: Predictions, plan: FitPlan, target: Target) -> dict[str, Any]:
    groups = after.groups(plan.group)
    changes = {}
    for name in OF_NUMBERS if target.kind == "number" else OF_CLASSES:
        one = compare(after, before, measured(prefix(target) + name, {target.name: target}), groups)
        changes[prefix(target) + name] = {
            "before": one.second,
            "after": one.first,
            "difference": one.difference.plain(),
            "better": one.better,
        }
    return changes


def selective(found: Calibrated, targets: Sequence[Target], wanted: float) -> dict[str, Any]:
    """The threshold that keeps the error of the fit rows, cross-fitted, at `wanted`, and what it does elsewhere.

    Class targets only. Part -> `coverage`, `error` and `aurc`; the threshold is chosen on the first part alone.
    """
    result: dict[str, Any] = {}
    for target in (t for t in targets if t.kind != "number"):
        curves = {part: curve(after, target) for part, (_, after) in found.parts.items()}
        fitted = next(iter(curves.values()))
        point = fitted.for_error(wanted)
        threshold = point[0] if point else None
        result[target.name] = {
            "wanted_error": wanted,
            "threshold": threshold,
            "parts": {part: _kept(one, threshold) for part, one in curves.items()},
        }
    return result


def curve(table: Predictions, target: Target) -> RiskCoverage:
    truth, predicted = pair(table, target)
    output = table.output(target.name)
    known = ~(missing(truth) | missing(predicted)) & output.known
    return risk_coverage(*top_label(truth[known], output.values[known]))


def _kept(found: RiskCoverage, threshold: float | None) -> dict[str, float | None]:
    kept = np.flatnonzero(found.threshold >= threshold) if threshold is not None else np.empty(0, int)
    if not len(kept):
        return {"coverage": 0.0, "error": None, "aurc": found.area}
    return {"coverage": float(found.coverage[kept[-1]]), "error": float(found.risk[kept[-1]]), "aurc": found.area}


def variance_coverage(found: Calibrated, targets: Sequence[Target]) -> dict[str, Any]:
    """Part -> target -> level -> `before`, `after`: the share of rows whose truth lies in the central Gaussian interval
    of their predicted variance. Targets without variances are left out."""
    result: dict[str, Any] = {}
    levels = np.array([0.68, 0.95])
    for part, (old, new) in found.parts.items():
        for target in (t for t in targets if t.kind == "number"):
            before, after = (central(table, target, levels) for table in (old, new))
            if after is None:
                continue
            result.setdefault(part, {})[target.name] = {
                f"{level:g}": {"before": None if before is None else float(before[place]), "after": float(after[place])}
                for place, level in enumerate(levels)
            }
    return result


def held(found: Calibrated, plan: FitPlan, targets: Sequence[Target], by: Sequence[str] = ()) -> dict[str, Any]:
    """Part -> target -> `coverage` of sets or intervals with its interval, mean `size`, and both by column value."""
    result: dict[str, Any] = {}
    for part, (_, table) in found.parts.items():
        for target in targets:
            of = covered(table, target)
            if of is None:
                continue
            groups = table.groups(plan.group)
            rows = {"all": np.ones(len(table.frame), bool)}
            for column in by:
                cells = table.groups(column)
                assert cells is not None
                rows |= {f"{column}={value}": cells == value for value in sorted(set(cells) - {""})}
            result.setdefault(part, {})[target.name] = {
                name: {
                    **coverage(of.inside[keep], None if groups is None else groups[keep]).plain(),
                    "size": float(np.nanmean(of.size[keep])) if keep.any() else None,
                    "n": int((keep & ~np.isnan(of.inside)).sum()),
                }
                for name, keep in rows.items()
            }
    return result
