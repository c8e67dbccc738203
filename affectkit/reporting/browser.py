"""A page as HTML: one file, no script, no network, under 500 kB, the same bytes on a rerun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from affectkit import __version__
from affectkit.artifacts.files import write_text
from affectkit.artifacts.reports import PAGE
from affectkit.plain import without_nan
from affectkit.reporting.figures.svg import inline
from affectkit.reporting.page import Figure, Page, Section, Table
from affectkit.results import words
from affectkit.results.words import shown

LARGEST = 480_000  # bytes; figures that would go beyond stay in their own files
WITHOUT_FIGURES = LARGEST // 2  # bytes that the tables and sentences may take; longer tables are cut
LONGEST_TABLES = (200, 80, 30, 10)  # rows, the first number at which the page fits
BESIDE_FIGURES = 12  # rows; a longer table stands below the figures of its section
NARROW = 5  # columns, an interval being one; a table of more takes the whole width


def write_page(folder: Path, page: Page, name: str = PAGE) -> None:
    """Write the page, and its figures beside it."""
    for figure in page.figures:
        write_text(folder / f"{figure.name}.svg", figure.plot.svg)
    write_text(folder / name, render(page))


def render(page: Page) -> str:
    """The HTML. Every number stands in `<data value="...">` with all its digits, and rounded for the eye."""
    context = {
        "title": page.title,
        "lead": without_nan(list(page.lead)),
        "warnings": page.caveats,
        "declared": page.declared,
        "normalization": words.NORMALIZATION[page.normalization],
        "corpora": [{"title": "", "licence": "", "citation": "", **corpus} for corpus in page.corpora],
        "glossary": _glossary(page.metrics),
        "source": page.source,
        "css": Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8")),
        "version": __version__,
        "words": words,
    }
    template = _environment().get_template("page.html.j2")
    filled = [s for s in page.sections if s.text or s.cards or s.tables or s.figures]
    for longest in LONGEST_TABLES:
        context |= {"sections": [_section(s, longest) for s in filled], "inputs": _inputs(page.inputs, longest)}
        size = len(template.render(context, left_out=[f.name for f in page.figures]).encode())
        if size <= WITHOUT_FIGURES:
            break
    return template.render(context, left_out=_beyond(page.figures, LARGEST - size))


def _beyond(figures: Iterable[Figure], room: int) -> set[str]:
    """The names of the figures that find no room, the earlier ones served first."""
    left_out = set()
    for figure in figures:
        size = len(figure.plot.svg.encode())
        if size > room:
            left_out.add(figure.name)
        else:
            room -= size
    return left_out


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["plain"] = repr
    environment.filters["shown"] = shown
    environment.filters["inline"] = lambda svg: Markup(inline(svg))  # our own; matplotlib has escaped its labels
    return environment


def _section(section: Section, longest: int) -> dict[str, Any]:
    tables = [_table(table, longest) for table in section.tables]
    return {
        "title": section.title,
        "text": without_nan(list(section.text)),
        "cards": [
            {"title": c.title, "figure": _cell(c.figure), "notes": without_nan(list(c.notes))} for c in section.cards
        ],
        "tables": [table for table in tables if table["short"]],
        "figures": section.figures,
        "long_tables": [table for table in tables if not table["short"]],
        "note": without_nan(section.note),
    }


def _table(table: Table, longest: int) -> dict[str, Any]:
    """Its first rows, how many more there are, and of each column whether it holds numbers and intervals."""
    names = list(table.rows)
    cells = [[_cell(cell) for cell in table.rows[name]][: len(table.columns)] for name in names[:longest]]
    cells = [row + [None] * (len(table.columns) - len(row)) for row in cells]
    columns = [_column(name, [row[place] for row in cells]) for place, name in enumerate(table.columns)]
    body = [{"name": str(n), "better": table.better.get(n), "cells": row} for n, row in zip(names, cells, strict=False)]
    return {
        "caption": table.caption,
        "first": table.first,
        "columns": columns,
        "body": body,
        "total": len(names),
        "file": table.file,
        "folded": table.folded,
        "short": len(names) <= BESIDE_FIGURES and not table.folded,
        "wide": sum(2 if column["spread"] else 1 for column in columns) > NARROW,
    }


def _column(name: str, cells: Sequence[Any]) -> dict[str, Any]:
    numeric = not any(isinstance(cell, str) for cell in cells)
    return {"name": name, "numeric": numeric, "spread": any(_has_interval(cell) for cell in cells)}


def _cell(value: Any) -> Any:
    value = without_nan(dict(value) if isinstance(value, Mapping) else value)
    return {"value": None, "low": None, "high": None, **value} if isinstance(value, dict) else value


def _has_interval(cell: Any) -> bool:
    return isinstance(cell, dict) and cell["low"] is not None and cell["high"] is not None


def _inputs(inputs: Sequence[Mapping[str, Any]], longest: int) -> dict[str, Any]:
    body = [{"size": None, "sha256": "", **item} for item in list(inputs)[:longest]]
    return {"body": body, "total": len(inputs)}


def _glossary(metrics: Iterable[str]) -> list[dict[str, str]]:
    names = dict.fromkeys(name.rpartition(".")[2] for name in metrics)
    return [{"title": words.title(name), "meaning": words.meaning(name)} for name in names if words.meaning(name)]
