"""Judging a table of predictions: everything that a report says, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation import parts
from affectkit.evaluation.agreement import agreement as judge_agreement
from affectkit.evaluation.agreement import subject_column
from affectkit.evaluation.alerts import Alert, judge_alerts
from affectkit.evaluation.intervals import Method, Resampling, as_units
from affectkit.evaluation.measure import measure
from affectkit.evaluation.rows import answers_any, judged, judged_targets
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
    prevalences: Sequence[float] = (),
    agreement: bool = False,
) -> dict[str, Any]:
    """What `metrics.json` holds, for the rows of one split (`rows.judged`); None where a figure is undefined.

    group: the column that intervals resample, by default the first of `splits.GROUP_COLUMNS` that the table has.
    floor_rows: train rows with target columns, for the floors; by default those that the table carries.
    alerts: decisions at given thresholds, judged under `alerts` (which is absent without any); prevalences: shares of
    positives at which their predictive values are stated too. agreement: judge under `agreement` how far numbers and
    ordered classes agree between and within subjects.
    A column `face`, which a face expert writes, is a slice without being asked for: rows without a face stand alone.
    Raises "leak" for in-sample rows, "input" for a missing column or where no row has a truth, "usage" for an alert
    that the table knows nothing of, and where nothing tells the subjects of an agreement.
    """
    name, rows = judged(predictions, split)
    targets = judged_targets(rows)
    asked, group = group, group_column(rows.frame, group, file=rows.path)
    groups = rows.groups(group)
    resampling = Resampling(method, level, resamples, seed)
    faces = rows.frame[FACE] if FACE in rows.frame and set(rows.frame[FACE]) <= {FOUND, NONE, ""} else None
    slices = list(dict.fromkeys([*slices, *([] if faces is None else [FACE])]))
    subjects = subject_column(group, asked) if agreement else None
    metrics = measure(rows, targets, groups, resampling)
    units = as_units(groups, len(rows.frame))
    train = parts.train_rows(predictions, targets) if floor_rows is None else floor_rows
    report: dict[str, Any] = {
        "split": name,
        "seen": sorted(rows.frame["seen"].unique()),
        "n": len(rows.frame),
        "groups": {"column": group, "count": units.groups} if groups is not None else None,
        "interval": {"method": resampling.method_for(units.count), "level": level},
        "targets": [target.to_json() for target in targets],
        "metrics": {key: figure.plain() for key, figure in metrics.items()},
        "floors": parts.floors(rows, targets, train),
        **_class_details(rows, targets, groups, resampling),
        "per_group": parts.per_group(rows, targets, groups) if groups is not None else {},
        "folds": parts.fold_means(rows, targets),
        "slices": parts.slices(rows, targets, slices, groups, resampling),
        "warnings": parts.caveats(rows, targets, group, groups, metrics),
    }
    if faces is not None:  # what is said of faces is said of the rows alone in which one was found
        report["faces"] = {"found": int((faces == FOUND).sum()), "of": int((faces != "").sum())}
    if subjects is not None:
        report["agreement"], warnings = judge_agreement(rows, targets, subjects, resampling, train)
        report["warnings"] += warnings
    if alerts:
        report["alerts"], warnings = judge_alerts(rows, alerts, slices, group, groups, resampling, prevalences)
        report["warnings"] += warnings
    return without_nan(report)


BESIDE = ("split", "seen", "n", "groups", "interval", "metrics", "floors", "agreement", "alerts", "warnings")


def beside(predictions: Predictions, **how: Any) -> dict[str, dict[str, Any]]:
    """What stands beside a report of held-out test rows where the table has cross-fitted rows too: `{"oof": ...}` with
    the same figures of those. They are of other models, fold by fold, and never pooled with any.

    how: as `assess` takes it. Nothing where no test rows are judged by default, or no cross-fitted row has a truth.
    """
    frame = predictions.frame
    if "split" not in frame or not (frame["split"] == "test").any():
        return {}
    rows = predictions.take(((frame["seen"] == "oof") & (frame["split"] != "test")).to_numpy())
    if not any(answers_any(rows, target) for target in rows.targets.values()):
        return {}
    report = assess(rows, **{**how, "slices": (), "split": "oof"})
    return {"oof": {key: report[key] for key in BESIDE if key in report}}


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
