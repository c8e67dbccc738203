"""The report's key figures as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.artifacts.reports import class_targets
from affectkit.reporting import words
from affectkit.reporting.html import headline, shown

ALERT_RATES = ("sensitivity", "fpr", "precision")  # what fits a terminal; the others are in alerts.csv


def all_key_lines(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`key_lines` of each part that was judged, one after the other."""
    return [line for report in reports.values() for line in key_lines(report)]


def key_lines(report: Mapping[str, Any]) -> list[str]:
    """What was judged, a table of the key figures with interval and floors, and what to be wary of."""
    lines = [f"{report['n']} {words.judged(report)}, {words.seen(report)}", ""]
    lines += aligned(_cells(report))
    if report.get("alerts"):
        lines += ["", *aligned(_alert_cells(report["alerts"]))]
    lines += ["", f"intervals: {words.interval(report)}", *_null_lines(report), *_face_lines(report)]
    lines += [f"declared: {sentence}" for sentence in report.get("declared", [])]
    return lines + [f"warning: {text}" for text in words.warnings(report)]


def _null_lines(report: Mapping[str, Any]) -> list[str]:
    """What ECE comes to at this size when nothing is wrong: it has no interval, and 0 is not its floor."""
    lines = []
    for _, prefix, details in class_targets(report):
        null = (details.get("calibration") or {}).get("null")
        if null:
            mean, high = _number(null["ece_mean"]), _number(null["ece_p95"])
            lines.append(f"{prefix}ece of a calibrated model: {mean} on average, 95 % below {high}")
    return lines


def _face_lines(report: Mapping[str, Any]) -> list[str]:
    """How many rows a face expert could speak of, and the others on their own."""
    found = words.faces(report)
    lines = [found] if found else []
    without = (report.get("slices") or {}).get("face=none")
    if found and without:
        said = (f"{name} {_figure(without['metrics'][name])[0]}" for name in headline(without["metrics"], 4))
        lines.append(f"without a face, {without['n']} rows: {', '.join(said)}")
    return lines


def _cells(report: Mapping[str, Any]) -> list[list[str]]:
    floors = report.get("floors") or {}
    metrics = report["metrics"]
    rows = [["metric", "value", "interval", *(name.replace("_", " ") for name in floors)]]
    for name in headline(metrics, 12):
        value, brackets = _figure(metrics[name])
        rows.append([name, value, brackets, *(_number(of.get(name)) for of in floors.values())])
    return rows


def _alert_cells(alerts: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    rows = [["alert", "positive", "raised", *(cell for rate in ALERT_RATES for cell in (words.title(rate), ""))]]
    for name, alert in alerts.items():
        figures = (cell for rate in ALERT_RATES for cell in _figure(alert["metrics"][rate]))
        rows.append([name, str(alert["positives"]), str(alert["raised"]), *figures])
    return rows


def _figure(figure: Mapping[str, Any]) -> list[str]:
    """A value, and its interval in brackets."""
    low, high = figure.get("low"), figure.get("high")
    return [_number(figure["value"]), "" if low is None or high is None else f"[{_number(low)}, {_number(high)}]"]


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else shown(value)


def aligned(rows: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell; names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def one(row: list[str]) -> str:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        return "  ".join([row[0].ljust(widths[0]), *numbers]).rstrip()

    return [one(row) for row in rows]
