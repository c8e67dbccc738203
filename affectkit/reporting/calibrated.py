"""What `calibrate` leaves in its run folder, and says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.sources import Source, called
from affectkit.calibration.calibrate import Calibrated, Candidate, before_and_after, held, selective, variance_coverage
from affectkit.calibration.method import NONE
from affectkit.errors import AffectkitError
from affectkit.evaluation.assess import assess
from affectkit.labels import Target
from affectkit.leakage.crossfit import FitPlan
from affectkit.reporting.calibrated_page import sections
from affectkit.reporting.combined import judge, past, write_combined, write_page
from affectkit.reporting.words import shown


def write_calibrated(
    folder: Path,
    found: Calibrated,
    source: Source,
    plan: FitPlan,
    targets: Sequence[Target],
    *,
    wanted_error: float,
    abstain: bool,
    by: Sequence[str] = (),
    bundle: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Write the run folder. Returns what `train_report.json` says of the change, and lines for the terminal."""
    said = past([source])
    reports = judge(found.predictions, plan, said)
    before = {part: assess(old, group=plan.group) for part, (old, _) in found.parts.items()}
    methods = {name: fitted["method"] for name, fitted in found.model.targets.items()}
    report = {
        "method": methods,
        "changes": before_and_after(found, plan, targets),
        "selective": selective(found, targets, wanted_error),
        "coverage": held(found, plan, targets, by),
        "variance_coverage": variance_coverage(found, targets),
        "clamped": {name: int(rows.sum()) for name, rows in found.clamped.items()},
        "compared": {name: [_plain(c) for c in candidates] for name, candidates in found.compared.items()},
    }
    predictions = _abstaining(found.predictions, report["selective"]) if abstain else found.predictions
    spec = {"kind": "calibration", "method": ", ".join(sorted(set(methods.values())))}
    write_combined(folder, found.model, spec, predictions, plan, [source], said, reports, report, bundle=bundle)
    drawn = sections(found, report, reports, before, targets)
    lead = [_lead(methods, plan)]
    write_page(
        folder, f"Calibration of {called(source.path)}", lead, drawn, [source], said, warnings=_warnings(found, plan)
    )
    return report, [*lead, *_lines(report), *(f"warning: {text}" for text in _warnings(found, plan))]


def _plain(candidate: Candidate) -> dict[str, Any]:
    against = candidate.against.plain() if candidate.against else None
    return {"method": candidate.method, "score": candidate.score, "against_none": against, "chosen": candidate.chosen}


def _abstaining(predictions: Predictions, said: Mapping[str, Any]) -> Predictions:
    """With a column `abstain`: true where the first class target's confidence is below its threshold."""
    if not said:
        raise AffectkitError("usage", "--abstain is for class targets")
    name, of = next(iter(said.items()))
    confidence = predictions.output(name).values.max(axis=1)
    keep = confidence >= of["threshold"] if of["threshold"] is not None else np.zeros(len(confidence), bool)
    frame = predictions.frame.assign(abstain=np.where(keep, "false", "true"))
    return replace(predictions, frame=frame)


def _lead(methods: Mapping[str, str], plan: FitPlan) -> str:
    said = ", ".join(f"{name}: {method}" for name, method in methods.items())
    return f"{said}; fitted on {len(plan.fit)} {plan.origin} rows, cross-fitted ({plan.scheme})"


def _lines(report: Mapping[str, Any]) -> list[str]:
    lines = []
    for part, of in report["changes"].items():
        for changes in of.values():
            for name, change in changes.items():
                if change["before"] is not None:
                    low, high = change["difference"]["low"], change["difference"]["high"]
                    reach = f"  [{shown(low)}, {shown(high)}]" if np.isfinite([low, high]).all() else ""
                    lines.append(f"{part} {name}: {shown(change['before'])} -> {shown(change['after'])}{reach}")
    for part, of in report["coverage"].items():
        for target, rows in of.items():
            for name, row in rows.items():
                lines.append(
                    f"{part} {target} coverage of {name}: {shown(row['value'])}, mean size {shown(row['size'])}"
                )
    for part, of in report["variance_coverage"].items():
        for target, levels in of.items():
            for level, share in levels.items():
                before = "-" if share["before"] is None else shown(share["before"])
                after = shown(share["after"])
                lines.append(f"{part} {target}: {float(level):.0%} intervals of its variance hold {before} -> {after}")
    for target, said in report["selective"].items():
        for part, kept in said["parts"].items():
            error = "-" if kept["error"] is None else shown(kept["error"])
            threshold = "none" if said["threshold"] is None else shown(said["threshold"])
            lines.append(f"{part} {target}: above {threshold}, {kept['coverage']:.0%} of rows, error {error}")
    lines += [f"{name}: {count} rows clamped to the scale" for name, count in report["clamped"].items() if count]
    return lines


def _warnings(found: Calibrated, plan: FitPlan) -> list[str]:
    said = []
    if plan.group is None:
        said.append("no groups are known: rows of one speaker may stand on both sides of a fold")
    if plan.single:
        said.append(f"all fit rows are of one {plan.group}: what holds for others is not known")
    if found.before.foreign:
        said.append("nothing says how these predictions were made (no column 'seen'): taken as held out on request")
    unchanged = [name for name, fitted in found.model.targets.items() if fitted["method"] == NONE]
    if unchanged:
        said.append(f"no calibration is better than none beyond chance: {', '.join(unchanged)} left as they are")
    return said
