"""Held-out and cross-fitted figures side by side, never pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.evaluation.metrics import meaningful
from affectkit.reporting.agreed import beside_rows
from affectkit.reporting.page import Section, Table
from affectkit.results import words

NEVER_POOLED = (
    "Held-out rows are predicted by the one model that was fitted on all the others; cross-fitted rows by models of "
    "the folds, each on groups that it never saw. These are figures of different models and of different rows: read "
    "both, average neither."
)
SCREENING = {"sensitivity": "sensitivity", "specificity": "specificity", "precision": "PPV", "npv": "NPV"}


def parts_of(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The report itself and what stands beside it, by what they are called; nothing where nothing does."""
    others = report.get("beside") or {}
    if not others:
        return {}
    return {"held out": report} | {words.SEEN.get(part, part): other for part, other in others.items()}


def beside_section(report: Mapping[str, Any]) -> list[Section]:
    """The key figures of each part with its rows, groups, intervals and floors."""
    parts = parts_of(report)
    if not parts:
        return []
    columns = [column for part in parts for column in (part, "floor")]
    column = (report.get("groups") or {}).get("column")
    groups = f"groups ({column})" if column else "groups"
    rows: dict[str, list[Any]] = {"rows": [cell for part in parts.values() for cell in (part["n"], None)]}
    rows[groups] = [cell for part in parts.values() for cell in ((part.get("groups") or {}).get("count"), None)]
    for name in words.headline(_shown(report), 12, report["targets"]):
        figures = [(part["metrics"].get(name), _floor(part, name)) for part in parts.values()]
        rows[words.title(name)] = [cell for pair in figures for cell in pair]
    further = {title: _figures(part) for title, part in parts.items()}
    for name in next(iter(further.values())):
        rows[name] = [cell for figures in further.values() for cell in (figures.get(name), None)]
    how = "; ".join(f"{title}: {words.interval(part)}" for title, part in parts.items())
    table = Table(f"Key figures of each part. Intervals: {how}.", "figure", columns, rows, file="beside.csv")
    return [Section("Held out and cross-fitted, side by side", text=[NEVER_POOLED], tables=[table])]


def beside_columns(report: Mapping[str, Any], names: list[str]) -> dict[str, list[Any]]:
    """What a terminal shows beside a report's own figures: a column for each other part."""
    others = list(parts_of(report).items())[1:]
    return {title: [part["metrics"].get(name) for name in names] for title, part in others}


def beside_lines(report: Mapping[str, Any]) -> list[str]:
    others = list(parts_of(report).items())[1:]
    return [
        f"{title}: {part['n']} rows, intervals: {words.interval(part)}; beside the held-out ones, never pooled"
        for title, part in others
    ]


def beside_warnings(report: Mapping[str, Any]) -> list[str]:
    """What must be read of the other parts and does not hold of the report's own rows."""
    own = report.get("warnings") or []
    others = list(parts_of(report).items())[1:]
    return [f"{title} rows: {text}" for title, part in others for text in part["warnings"] if text not in own]


def _shown(report: Mapping[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(meaningful(report["metrics"], report["targets"]))


def _floor(part: Mapping[str, Any], name: str) -> float | None:
    floors = (part.get("floors") or {}).values()
    return next((floor[name] for floor in floors if floor.get(name) is not None), None)


def _figures(part: Mapping[str, Any]) -> dict[str, Any]:
    """Of agreement and of alerts."""
    alerts = {
        f"{alert}, {title}": row["metrics"].get(key)
        for alert, row in (part.get("alerts") or {}).items()
        for key, title in SCREENING.items()
    }
    return {**beside_rows(part), **alerts}
