"""The sections of the page that `calibrate` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import Output, Rows
from affectkit.artifacts.reports import file_name
from affectkit.calibration.calibrate import Calibrated, curve
from affectkit.evaluation.coverage import central, standardized
from affectkit.labels import Target
from affectkit.reporting import words
from affectkit.reporting.figures.calibrations import calibration_map, interval_coverage, reliability_pair
from affectkit.reporting.figures.calibrations import risk_coverage as risk_coverage_plot
from affectkit.reporting.page import Figure, Section, Table

UNMAPPED = ("conformal", "variance-scaling")  # they leave the answers as they are
LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.7, 0.8, 0.9, 0.95])


def sections(
    found: Calibrated,
    report: Mapping[str, Any],
    reports: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Mapping[str, Any]],
    targets: Sequence[Target],
) -> list[Section]:
    """The sections of the page. report: what `train_report.json` says. reports, before: `assess` of each part, after
    and before."""
    made = []
    for target in targets:
        tables = [_change_table(part, of[target.name]) for part, of in report["changes"].items()]
        tables += _held_tables(report.get("coverage") or {}, target.name)
        tables += _candidate_tables(found, target)
        figures = _class_figures(found, report, reports, before, target)
        figures += _number_figures(found, target) + _map_figures(found, target)
        made.append(Section(target.name, text=_clamped(found, target), tables=tables, figures=figures))
    return made


def _change_table(part: str, changes: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = {words.title(n): [c["before"], c["after"], c["difference"], c["better"]] for n, c in changes.items()}
    columns = ["before", "after", "difference", "better beyond chance"]
    caption = f"{words.SEEN.get(part, part)} rows ({part}); differences are paired over groups"
    return Table(caption, "metric", columns, rows)


def _held_tables(said: Mapping[str, Any], target: str) -> list[Table]:
    made = []
    for part, of in said.items():
        rows = {name: [row, row["size"], row["n"]] for name, row in of.get(target, {}).items()}
        if rows:
            made.append(
                Table(f"Share of {part} rows whose truth is held", "rows", ["coverage", "mean size", "n"], rows)
            )
    return made


def _candidate_tables(found: Calibrated, target: Target) -> list[Table]:
    candidates = found.compared.get(target.name)
    if not candidates:
        return []
    loss = "MSE" if target.kind == "number" else "NLL"
    rows = {
        c.method + (" (chosen)" if c.chosen else ""): [c.score, c.against.difference.plain() if c.against else None]
        for c in candidates
    }
    return [Table("What auto compared, cross-fitted", "method", [loss, "difference to none"], rows)]


def _clamped(found: Calibrated, target: Target) -> list[str]:
    count = int(found.clamped[target.name].sum())
    if target.kind != "number" or target.scale is None:
        return []
    low, high = target.scale
    return [f"{count} of {len(found.clamped[target.name])} rows were clamped to the scale {low:g} to {high:g}."]


def _class_figures(
    found: Calibrated,
    report: Mapping[str, Any],
    reports: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Mapping[str, Any]],
    target: Target,
) -> list[Figure]:
    if target.kind == "number":
        return []
    made = []
    for part, (old, new) in found.parts.items():
        pair_of = [_calibration(one[part], target) for one in (before, reports)]
        prefix = "" if target.name == "label" else f"{target.name}."
        eces = tuple(one[part]["metrics"][f"{prefix}ece"]["value"] for one in (before, reports))
        if pair_of[0] and pair_of[1] and None not in eces:
            plot = partial(
                reliability_pair,
                pair_of[0]["bins"],
                pair_of[1]["bins"],
                ece=eces,
                null=(pair_of[0]["null"], pair_of[1]["null"]),
            )
            caption = f"{part} rows. {words.RELIABILITY_PAIR}"
            made.append(Figure(file_name(f"reliability_{target.name}_{part}"), caption, plot))
        curves = {"before": curve(old, target), "after": curve(new, target)}
        said = report["selective"].get(target.name, {})
        kept = said.get("parts", {}).get(part, {})
        chosen = {"coverage": kept["coverage"], "risk": kept["error"], "threshold": said["threshold"]}
        plot = partial(
            risk_coverage_plot,
            {name: (one.coverage, one.risk) for name, one in curves.items()},
            error="error of the rows kept",
            wanted=said.get("wanted_error"),
            chosen=chosen if chosen["risk"] is not None else None,
        )
        caption = f"{part} rows. {words.RISK_COVERAGE}" + words.CHOSEN_THRESHOLD * (chosen["risk"] is not None)
        made.append(Figure(file_name(f"risk_coverage_{target.name}_{part}"), caption, plot))
    return made


def _calibration(report: Mapping[str, Any], target: Target) -> Mapping[str, Any] | None:
    other = report["other_targets"].get(target.name)
    return (other or report).get("calibration")


def _number_figures(found: Calibrated, target: Target) -> list[Figure]:
    if target.kind != "number":
        return []
    made = []
    for part, (old, new) in found.parts.items():
        tables = {"before": old, "after": new}
        shares = {name: share for name, t in tables.items() if (share := central(t, target, LEVELS)) is not None}
        if shares:
            scores = {name: z for name, t in tables.items() if (z := standardized(t, target)) is not None}
            plot = partial(interval_coverage, LEVELS, shares, scores, name=target.name)
            caption = f"{part} rows. {words.INTERVAL_COVERAGE}{words.RESIDUALS}"
            made.append(Figure(file_name(f"coverage_{target.name}_{part}"), caption, plot))
    return made


def _map_figures(found: Calibrated, target: Target) -> list[Figure]:
    """What the final fit makes of each value; of a class's probability, with the rest spread evenly over the others."""
    method = found.model.method(target.name)
    if method is None or method.name in UNMAPPED:
        return []
    if target.kind == "number":
        values = found.before.output(target.name).values
        scale = target.scale or (float(np.nanmin(values)), float(np.nanmax(values)))
        grid = np.linspace(*scale, 201)
        curves = {target.name: (grid, _applied(found, target, grid, method.columns))}
    else:
        scale, grid, count = (0.0, 1.0), np.linspace(0, 1, 201), len(target.classes)
        curves = {}
        for k, name in enumerate(target.classes):
            shares = np.repeat(((1 - grid) / max(count - 1, 1))[:, None], count, axis=1)
            shares[:, k] = grid
            curves[name] = (grid, _applied(found, target, shares, method.columns)[:, k])
    steps = method.name in ("isotonic", "histogram")
    plot = partial(calibration_map, curves, xlabel="before", ylabel="after", steps=steps, scale=scale)
    return [Figure(file_name(f"map_{target.name}"), words.CALIBRATION_MAP, plot)]


def _applied(found: Calibrated, target: Target, values: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    blank = np.full(len(values), "")
    rows = Rows(np.full(len(values), np.nan), blank, dict.fromkeys(columns, blank))
    return found.model.apply(Output.of(target, values), rows).values
