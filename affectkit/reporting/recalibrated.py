"""What `fuse` leaves and says of a rule that ends with a calibration of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectkit.artifacts.reports import report_tables
from affectkit.artifacts.tables import write_table
from affectkit.calibration.calibrate import Calibrated, before_and_after
from affectkit.calibration.method import CalibrationModel
from affectkit.evaluation.assess import assess
from affectkit.evaluation.rows import prefix
from affectkit.fusion.fuse import Fused
from affectkit.leakage.crossfit import FitPlan
from affectkit.reporting import words
from affectkit.reporting.combined import Reports, flat
from affectkit.reporting.page import Sentence

COUNTS, CALIBRATED = "confusion_counts", "confusion_calibrated"


@dataclass(frozen=True)
class Recalibrated:
    """What the calibration changed. facts: for `train_report.json`. sentences: one for each target and part."""

    facts: Mapping[str, Any]
    sentences: Sequence[Sentence]


def write_recalibrated(folder: Path, found: Fused, reports: Reports, plan: FitPlan) -> Recalibrated:
    """Write `val_confusion_calibrated.csv` and `test_confusion_calibrated.csv`, of the parts of rows that there are.

    reports: what `combined.judge` says of the calibrated predictions. The facts are `uncalibrated_metrics`, under the
    names of `metrics`, and `changes`, as `calibrate` tells them. Nothing where the rule has no calibration of its own.
    """
    if found.uncalibrated is None:
        return Recalibrated({}, [])
    parts = {part: _called(part, report, plan) for part, report in reports.items()}
    for part, report in reports.items():
        for name, table in report_tables(report).items():
            if name.endswith(COUNTS):  # of further targets, with their names before
                write_table(folder / f"{parts[part]}_{name.removesuffix(COUNTS)}{CALIBRATED}.csv", table)
    both = Calibrated(CalibrationModel({}), found.uncalibrated, found.predictions, {}, {})
    before = {part: assess(old, group=plan.group) for part, (old, _) in both.parts.items()}
    changes = before_and_after(both, plan, [found.predictions.targets[name] for name in found.recalibrated])
    sentences = [
        _sentence(found, target, parts[part], change) for part, of in changes.items() for target, change in of.items()
    ]
    return Recalibrated({"uncalibrated_metrics": flat(before), "changes": changes}, sentences)


def _called(part: str, report: Mapping[str, Any], plan: FitPlan) -> str:
    """The rows fitted on by the name of what they were: cross-fitted val rows are val rows."""
    return plan.origin if part == "oof" and report["n"] == len(plan.fit) else part


def _sentence(found: Fused, target: str, part: str, changes: Mapping[str, Mapping[str, Any]]) -> Sentence:
    of = found.predictions.targets[target]
    if of.kind == "number":
        metric, how = f"{prefix(of)}ccc", "recalibrated"
    else:
        metric, how = (
            f"{prefix(of)}nll",
            f"at temperature {found.model.targets[target]['parameters']['temperature']:.3g}",
        )
    change = changes[metric]
    head = f"{part} rows: {target} {how}: {words.title(metric)} "
    return [head, change["after"], ", uncalibrated ", change["before"], "; difference ", change["difference"]]
