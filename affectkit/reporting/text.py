"""The report's key figures as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.reporting import words
from affectkit.reporting.html import headline, shown


def key_lines(report: Mapping[str, Any]) -> list[str]:
    """What was judged, a table of the key figures with interval and floors, and what to be wary of."""
    where = f" of split {report['split']}" if report.get("split") else ""
    lines = [f"{report['n']} rows{where} ({', '.join(report.get('seen', [])) or 'seen unknown'})", ""]
    lines += _aligned(_cells(report))
    lines += ["", f"intervals: {words.interval(report)}"]
    lines += [f"declared: {sentence}" for sentence in report.get("declared", [])]
    return lines + [f"warning: {text}" for text in report.get("warnings", [])]


def _cells(report: Mapping[str, Any]) -> list[list[str]]:
    floors = report.get("floors") or {}
    metrics = report["metrics"]
    rows = [["metric", "value", "interval", *(name.replace("_", " ") for name in floors)]]
    for name in headline(metrics, 12):
        figure = metrics[name]
        low, high = figure.get("low"), figure.get("high")
        brackets = "" if low is None or high is None else f"[{_number(low)}, {_number(high)}]"
        rows.append([name, _number(figure["value"]), brackets, *(_number(of.get(name)) for of in floors.values())])
    return rows


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else shown(value)


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell; names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join([first, *others]).rstrip())
    return lines
