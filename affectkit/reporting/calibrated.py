"""The page of a calibration: what it changed on rows that were not fitted on, and what it makes of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.files import read_json, sha256
from affectkit.artifacts.models import BEST, TRAIN_REPORT, read_spec
from affectkit.artifacts.predictions import Predictions, places_of, read_predictions
from affectkit.artifacts.records import read_started
from affectkit.artifacts.sources import PREDICTIONS, called
from affectkit.artifacts.tables import read_table, to_numbers
from affectkit.evaluation.coverage import central, risk_coverage_of, standardized
from affectkit.evaluation.parts import calibration
from affectkit.evaluation.rows import answered_parts, prefix
from affectkit.labels import Target
from affectkit.reporting.figures import calibrations
from affectkit.reporting.page import Figure, Page, Section, Sentence, Table, figure, past
from affectkit.results import words
from affectkit.results.lineage import digests_at_start
from affectkit.results.words import shown

MAP = "calibration_map.csv"
STEPS = ("isotonic", "histogram")  # methods whose map is one of steps
LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.7, 0.8, 0.9, 0.95])
Sides = Mapping[str, tuple[Predictions, Predictions]]  # part -> its rows before and after, in one order


@dataclass(frozen=True)
class _Run:
    """What a calibration left: `train_report.json`, its targets, all rows, and those that may be judged by part; the
    last are empty where the predictions before it are not to be had."""

    folder: Path
    report: Mapping[str, Any]
    targets: Sequence[Target]
    rows: int
    sides: Sides


def draw(folder: Path, before: Predictions | None = None) -> Page:
    """The page of the folder that `calibrate` wrote. What shows both sides is drawn where the predictions that were
    calibrated still lie where they did.

    before: these predictions, where they are at hand already: a large table takes as long to read as to calibrate.
    """
    report, started = read_json(folder / TRAIN_REPORT), read_started(folder)
    targets = [Target.from_json(target) for target in read_spec(folder / BEST)["targets"]]
    path, source = Path(started["options"]["predictions"]), started["inputs"][0]
    table = path / PREDICTIONS if "files" in source else path
    [file] = digests_at_start(source)
    after = read_predictions(folder / PREDICTIONS, targets=targets)
    if before is None and table.is_file() and sha256(table) == file["sha256"]:
        before = read_predictions(table, targets=targets)
    run = _Run(folder, report, targets, len(after.frame), _sides(before, after) if before else {})
    methods = ", ".join(f"{name}: {method}" for name, method in report["method"].items())
    lead = f"{methods}; {words.fitted(report)}"
    missing = f"{called(table)} has gone or has changed since: figures of before and after are left out"
    return Page(
        f"Calibration of {called(table)}",
        [lead],
        [_section(run, target) for target in targets],
        warnings=report["warnings"] if before else [*report["warnings"], missing],
        **past(report, "warnings", "inputs"),
        inputs=[{**file, "name": f"model: {file['name']}"}],
        source=TRAIN_REPORT,
        summary=[Section("", text=[lead, *_lines(report)])],
    )


def _sides(before: Predictions, after: Predictions) -> Sides:
    """The same rows before and after, with the truth that the run had, which may be a manifest's."""
    parts, sides = answered_parts(after, quiet=True), {}  # the run has said it
    for part, rows in parts.items():
        same = before.take(places_of(rows, before))
        truth = {name: rows.frame[name] for name in rows.targets if name in rows.frame}
        sides[part] = replace(same, frame=same.frame.assign(**truth)), rows
    return sides


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    """For a terminal."""
    for part, targets in report["changes"].items():
        for name, change in (item for changes in targets.values() for item in changes.items()):
            if change["before"] is not None:
                low, high = change["difference"]["low"], change["difference"]["high"]
                reach = f"  [{shown(low)}, {shown(high)}]" if low is not None and high is not None else ""
                yield f"{part} {name}: {shown(change['before'])} -> {_shown(change['after'])}{reach}"
    per = report.get("per_value") or {}
    for target, fits in per.get("targets", {}).items():
        for value, fit in fits.items():
            yield f"{target} of {per['column']} {value}: {fit['rows']} rows, {_parameters(fit['parameters'])}"
    for part, targets in report["coverage"].items():
        for target, rows in targets.items():
            for name, row in rows.items():
                yield f"{part} {target} coverage of {name}: {_shown(row['value'])}, mean size {_shown(row['size'])}"
    for part, targets in report["variance_coverage"].items():
        for target, levels in targets.items():
            for level, share in levels.items():
                sides = f"{_shown(share['before'])} -> {_shown(share['after'])}"
                yield f"{part} {target}: {float(level):.0%} intervals of its variance hold {sides}"
    for target, chosen in report["selective"].items():
        threshold = "none" if chosen["threshold"] is None else shown(chosen["threshold"])
        for part, kept in chosen["parts"].items():
            yield f"{part} {target}: above {threshold}, {kept['coverage']:.0%} of rows, error {_shown(kept['error'])}"
    for name, count in report["clamped"].items():
        if count:
            yield f"{name}: {count} rows clamped to the scale"


def _shown(value: float | None) -> str:
    return "-" if value is None else shown(value)


# --- Sections


def _section(run: _Run, target: Target) -> Section:
    tables = [_change_table(part, changes[target.name]) for part, changes in run.report["changes"].items()]
    tables += _value_tables(run.report, target.name)
    tables += _held_tables(run.report["coverage"], target.name)
    tables += _candidate_tables(run.report["compared"].get(target.name), target)
    text: list[Sentence] = []
    if target.kind == "number" and target.scale is not None:
        count, (low, high) = run.report["clamped"][target.name], target.scale
        text = [f"{count} of {run.rows} rows were clamped to the scale {low:g} to {high:g}."]
    drawn = _number_figures(run, target) if target.kind == "number" else _class_figures(run, target)
    return Section(target.name, text=text, tables=tables, figures=[*drawn, *_map_figures(run, target)])


def _change_table(part: str, changes: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = {words.title(n): [c["before"], c["after"], c["difference"], c["better"]] for n, c in changes.items()}
    return _changes_of(f"{words.SEEN.get(part, part)} rows ({part})", rows)


def _changes_of(rows_of: str, rows: dict[str, list[Any]]) -> Table:
    columns = ["before", "after", "difference", "better beyond chance"]
    return Table(f"{rows_of}; differences are paired over groups", "metric", columns, rows)


def _value_tables(report: Mapping[str, Any], target: str) -> Iterator[Table]:
    """What was fitted for each value of a column, and what it changed there."""
    per = report.get("per_value") or {}
    fits = per.get("targets", {}).get(target, {})
    if not fits:
        return
    rows = {value: [fit["rows"], _parameters(fit["parameters"])] for value, fit in fits.items()}
    yield Table(
        f"Fits for each {per['column']} of {per['min_rows']} rows or more", per["column"], ["rows", "fit"], rows
    )
    for part in report["changes"]:
        of_values = {value: changes[part].get(target) for value, changes in per["changes"].items() if part in changes}
        changed = {
            f"{value}: {words.title(name)}": [c["before"], c["after"], c["difference"], c["better"]]
            for value, changes in of_values.items()
            for name, c in (changes or {}).items()
        }
        yield _changes_of(f"{words.SEEN.get(part, part)} rows ({part}) by {per['column']}", changed)


def _parameters(fitted: Mapping[str, Any] | None) -> str:
    """Numbers by name; of a fit of many numbers, that it is there."""
    if fitted is None:
        return "that of all rows"
    numbers = {name: value for name, value in fitted.items() if isinstance(value, (int, float))}
    return ", ".join(f"{name} {shown(value)}" for name, value in numbers.items()) or "its own"


def _held_tables(coverage: Mapping[str, Any], target: str) -> list[Table]:
    tables = []
    for part, targets in coverage.items():
        rows = {name: [row, row["size"], row["n"]] for name, row in targets.get(target, {}).items()}
        if rows:
            caption = f"Share of {part} rows whose truth is held"
            tables.append(Table(caption, "rows", ["coverage", "mean size", "n"], rows))
    return tables


def _candidate_tables(candidates: Sequence[Mapping[str, Any]] | None, target: Target) -> list[Table]:
    if not candidates:
        return []
    rows = {}
    for c in candidates:
        difference = c["against_none"]["difference"] if c["against_none"] else None
        rows[c["method"] + " (chosen)" * c["chosen"]] = [c["score"], difference]
    columns = ["MSE" if target.kind == "number" else "NLL", "difference to none"]
    return [Table("What auto compared, cross-fitted", "method", columns, rows)]


# --- Figures


def _class_figures(run: _Run, target: Target) -> Iterator[Figure]:
    selective = run.report["selective"][target.name]
    for part, (before, after) in run.sides.items():
        pair = [details for side in (before, after) if (details := calibration(side, target))]
        errors = run.report["changes"][part][target.name][f"{prefix(target)}ece"]
        ece = errors["before"], errors["after"]
        if len(pair) == 2 and None not in ece:
            bins, null = [[details[key] for details in pair] for key in ("bins", "null")]
            name, caption = f"reliability_{target.name}_{part}", f"{part} rows. {words.RELIABILITY_PAIR}"
            yield figure(name, caption, calibrations.reliability_pair, *bins, ece=ece, null=null)
        kept, curves = selective["parts"][part], {}
        for name, side in (("before", before), ("after", after)):
            curve = risk_coverage_of(side, target)
            curves[name] = curve.coverage, curve.risk
        chosen = {"coverage": kept["coverage"], "risk": kept["error"], "threshold": selective["threshold"]}
        reached = kept["error"] is not None
        yield figure(
            f"risk_coverage_{target.name}_{part}",
            f"{part} rows. {words.RISK_COVERAGE}" + words.CHOSEN_THRESHOLD * reached,
            calibrations.risk_coverage,
            curves,
            error="error of the rows kept",
            wanted=selective["wanted_error"],
            chosen=chosen if reached else None,
        )


def _number_figures(run: _Run, target: Target) -> Iterator[Figure]:
    for part, pair in run.sides.items():
        sides = dict(zip(("before", "after"), pair, strict=True))
        shares = {name: share for name, t in sides.items() if (share := central(t, target, LEVELS)) is not None}
        if shares:
            scores = {name: z for name, t in sides.items() if (z := standardized(t, target)) is not None}
            name, caption = f"coverage_{target.name}_{part}", f"{part} rows. {words.INTERVAL_COVERAGE}{words.RESIDUALS}"
            yield figure(name, caption, calibrations.interval_coverage, LEVELS, shares, scores, name=target.name)


def _map_figures(run: _Run, target: Target) -> list[Figure]:
    table = read_table(run.folder / MAP) if (run.folder / MAP).exists() else None
    if table is None or target.name not in set(table["target"]):
        return []
    curves = {}
    for name, rows in table[table["target"] == target.name].groupby("class", sort=False):
        curves[name or target.name] = (to_numbers(list(rows["before"])), to_numbers(list(rows["after"])))
    before = next(iter(curves.values()))[0]
    steps, scale = run.report["method"][target.name] in STEPS, (before[0], before[-1])
    look: dict[str, Any] = {"xlabel": "before", "ylabel": "after", "steps": steps, "scale": scale}
    return [figure(f"map_{target.name}", words.CALIBRATION_MAP, calibrations.calibration_map, curves, **look)]
