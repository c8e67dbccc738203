"""`report.html`: one file, no script, no network, under 500 kB, a pure function of `metrics.json` and the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from affectkit import __version__
from affectkit.artifacts.reports import class_targets
from affectkit.plain import without_nan
from affectkit.reporting import words
from affectkit.reporting.figures import Figure
from affectkit.reporting.svg import inline

LARGEST = 480_000  # bytes; figures that would go beyond stay in their own files
PLAIN = ("n", "groups", "recall", "precision", "mean", "sd")  # columns that are no metrics
LONGEST_TABLE = 200  # rows; the CSV beside the report has them all


def render(report: Mapping[str, Any], figures: Sequence[Figure] = (), *, title: str = "Evaluation") -> str:
    """The page. Every number stands in `<data value="...">` with all its digits, and rounded for the eye.

    report: what `metrics.json` holds.
    """
    report = {"declared": [], "corpora": [], "inputs": [], "targets": [], **without_nan(dict(report))}
    template = _environment().get_template("report.html.j2")
    page = template.render(_context(report, title), drawn=figures, left_out=[f.name for f in figures])
    room = LARGEST - len(page.encode())
    return template.render(_context(report, title), drawn=figures, left_out=_beyond(figures, room))


def _beyond(figures: Iterable[Figure], room: int) -> set[str]:
    """The names of the figures that find no room, the earlier ones served first."""
    left_out = set()
    for figure in figures:
        room -= len(figure.plot.svg.encode())
        if room < 0:
            left_out.add(figure.name)
            room += len(figure.plot.svg.encode())
    return left_out


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["plain"] = repr
    environment.filters["shown"] = shown
    environment.filters["inline"] = lambda svg: Markup(inline(svg))  # our own; matplotlib has escaped its labels
    return environment


def shown(value: float) -> str:
    """A number for the eye: three decimals; counts and large numbers whole, tiny ones in three digits."""
    if isinstance(value, int) or abs(value) >= 10_000:
        return f"{value:.0f}"
    if abs(value) < 1e-9:  # rounding noise, such as the R2 of a mean
        return "0.000"
    return f"{value:.3g}" if abs(value) < 0.0005 else f"{value:.3f}"


def _context(report: Mapping[str, Any], title: str) -> dict[str, Any]:
    metrics = report["metrics"]
    floors = report.get("floors") or {}
    return {
        "report": report,
        "title": title,
        "css": Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8")),
        "version": __version__,
        "words": words,
        "judged": words.judged(report),
        "seen": words.seen(report),
        "normalization": words.NORMALIZATION[report.get("normalization", "unknown")],
        "warnings": words.warnings(report),
        "interval_text": words.interval(report),
        "cards": [_card(name, metrics[name], report) for name in headline(metrics)],
        "floor_names": [words.FLOORS.get(name, name) for name in floors],
        "metrics": [_metric_row(name, metrics[name], floors) for name in words.meaningful(report)],
        "class_targets": [_class_section(name, details) for name, _, details in class_targets(report)],
        "groups": _table(report.get("per_group") or {}),
        "slices": _slice_table(report.get("slices") or {}),
        "folds": _fold_table(report.get("folds") or {}),
        "number_targets": [t["name"] for t in report["targets"] if t["kind"] == "number"],
        "glossary": _glossary(words.meaningful(report)),
    }


def headline(metrics: Mapping[str, Any], most: int = 8) -> list[str]:
    """The names of the key figures, at most `most` of them, means over targets before single targets."""
    ranked = [
        (words.HEADLINE.index(name.rpartition(".")[2]), "." in name, position, name)
        for position, name in enumerate(metrics)
        if name.rpartition(".")[2] in words.HEADLINE
    ]
    return [name for *_, name in sorted(ranked)][:most]


def _card(name: str, figure: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    floors = [
        {"text": f"floor, {words.FLOORS.get(floor, floor)}", "value": values[name]}
        for floor, values in (report.get("floors") or {}).items()
        if values.get(name) is not None
    ]
    for _, prefix, details in class_targets(report):
        if name == f"{prefix}ece" and details.get("calibration"):
            floors.append(
                {"text": "calibrated model, 95th percentile", "value": details["calibration"]["null"]["ece_p95"]}
            )
    return {"title": words.title(name), "low": None, "high": None, **figure, "floors": floors}


def _metric_row(name: str, figure: Mapping[str, Any], floors: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    said = {"title": words.title(name), "better": words.better(name)}
    return {**said, "low": None, "high": None, **figure, "floors": [values.get(name) for values in floors.values()]}


def _class_section(name: str, details: Mapping[str, Any]) -> dict[str, Any]:
    per_class = details.get("per_class") or {}

    def one(row: Mapping[str, Any]) -> dict[str, Any]:
        recall = {"value": row.get("recall"), "low": row.get("recall_low"), "high": row.get("recall_high")}
        return {"n": row["n"], "recall": recall, "precision": row.get("precision"), "f1": row.get("f1")}

    table = _table({key: one(row) for key, row in per_class.items()})
    return {"name": name, "table": table, "null": (details.get("calibration") or {}).get("null")}


def _fold_table(folds: Mapping[str, Any]) -> dict[str, Any]:
    found = folds.get("metrics") or {}
    rows = {words.title(name): {"mean": found[name]["mean"], "sd": found[name]["sd"]} for name in headline(found)}
    return {**_table(rows), "count": folds.get("count")}


def _slice_table(slices: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    names = headline(next(iter(slices.values()))["metrics"], 4) if slices else []
    rows = {
        part: {"n": row["n"], "groups": row.get("groups"), **{name: row["metrics"].get(name) for name in names}}
        for part, row in slices.items()
    }
    return _table(rows)


def _table(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Columns in words, the first rows, and how many more there are."""
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    columns = [key if key in PLAIN else words.title(key) for key in keys]
    body = [{"name": name, "cells": [row.get(key) for key in keys]} for name, row in list(rows.items())[:LONGEST_TABLE]]
    return {"columns": columns, "body": body, "more": max(len(rows) - LONGEST_TABLE, 0)}


def _glossary(metrics: Iterable[str]) -> list[dict[str, str]]:
    names = dict.fromkeys(name.rpartition(".")[2] for name in metrics)
    return [{"title": words.title(name), "meaning": words.meaning(name)} for name in names if words.meaning(name)]
