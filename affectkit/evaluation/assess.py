"""Judging a table of predictions: everything that a report says, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation import parts
from affectkit.evaluation.alerts import Alert, judge_alerts
from affectkit.evaluation.intervals import Method, Resampling, as_units
from affectkit.evaluation.measure import measure
from affectkit.evaluation.rows import judged, judged_targets
from affectkit.labels import Target
from affectkit.plain import without_nan
from affectkit.splits import group_column

if TYPE_CHECKING:
    import pandas as pd

FACE, FOUND, NONE = "face", "found", "none"  # a column of what a face expert says, and of what is fused with it


def assess(
    predictions: Predictions,
    *,
    split: str | None = None,
    group: str | None = None,
    slices: Sequence[str] = (),
    level: float = 0.95,
    method: Method = "auto",
    resamples: int = 10_000,
    seed: int = 0,
    floor_rows: pd.DataFrame | None = None,
    alerts: Sequence[Alert] = (),
) -> dict[str, Any]:
    """What `metrics.json` holds, for the rows of one split (`rows.judged`); None where a figure is undefined.

    group: the column that intervals resample, by default the first of `splits.GROUP_COLUMNS` that the table has.
    floor_rows: train rows with target columns, for the floors; by default those that the table carries.
    alerts: decisions at given thresholds, judged under `alerts` (which is absent without any).
    A column `face`, which a face expert writes, is a slice without being asked for: rows without a face stand alone.
    Raises "leak" for in-sample rows, "input" for a missing column or where no row has a truth, "usage" for an alert
    that the table knows nothing of.
    """
    name, rows = judged(predictions, split)
    targets = judged_targets(rows)
    group = group_column(rows.frame, group, file=rows.path)
    groups = rows.groups(group)
    resampling = Resampling(method, level, resamples, seed)
    faces = rows.frame[FACE] if FACE in rows.frame and set(rows.frame[FACE]) <= {FOUND, NONE, ""} else None
    slices = list(dict.fromkeys([*slices, *([] if faces is None else [FACE])]))
    metrics = measure(rows, targets, groups, resampling)
    units = as_units(groups, len(rows.frame))
    report = {
        "split": name,
        "seen": sorted(rows.frame["seen"].unique()),
        "n": len(rows.frame),
        "groups": {"column": group, "count": units.groups} if groups is not None else None,
        "interval": {"method": resampling.method_for(units.count), "level": level},
        "targets": [target.to_json() for target in targets],
        "metrics": {key: figure.plain() for key, figure in metrics.items()},
        "floors": parts.floors(
            rows, targets, parts.train_rows(predictions, targets) if floor_rows is None else floor_rows
        ),
        **_class_details(rows, targets, groups, resampling),
        "per_group": parts.per_group(rows, targets, groups) if groups is not None else {},
        "folds": parts.fold_means(rows, targets),
        "slices": parts.slices(rows, targets, slices, groups, resampling),
        "warnings": parts.caveats(rows, targets, group, groups, metrics),
    }
    if faces is not None:  # what is said of faces is said of the rows alone in which one was found
        report["faces"] = {"found": int((faces == FOUND).sum()), "of": int((faces != "").sum())}
    if alerts:
        report["alerts"], warnings = judge_alerts(rows, alerts, slices, group, groups, resampling)
        report["warnings"] = [*report["warnings"], *warnings]
    return without_nan(report)


def _class_details(rows: Predictions, targets: Sequence[Target], groups: Any, resampling: Resampling) -> dict[str, Any]:
    """Per-class table, confusion, mistakes and calibration of the first class target; of further ones under
    `other_targets`."""
    details: dict[str, dict[str, Any]] = {}
    for target in targets:
        if target.kind != "number":
            details[target.name] = {
                "per_class": parts.per_class(rows, target, groups, resampling),
                "confusion": parts.confusion(rows, target),
                "mistakes": parts.mistakes(rows, target, groups, resampling),
                "calibration": parts.calibration(rows, target, seed=resampling.seed),
            }
    first = details.pop(
        next(iter(details), ""), {"per_class": {}, "confusion": None, "mistakes": [], "calibration": None}
    )
    return {**first, "other_targets": details}
