"""A page as HTML: one file, no script, no network, under 500 kB, the same bytes on a rerun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from affectkit import __version__
from affectkit.artifacts.files import write_text
from affectkit.artifacts.reports import PAGE
from affectkit.plain import without_nan, xml_text
from affectkit.reporting.figures.svg import inline
from affectkit.reporting.page import Figure, Page, Section, Table
from affectkit.results import words
from affectkit.results.words import shown

LARGEST = 480_000  # bytes; figures that would go beyond stay in their own files
WITHOUT_FIGURES = LARGEST // 2  # bytes that the tables and sentences may take; longer tables are cut
LONGEST_TABLES = (200, 80, 30, 10)  # rows, the first number at which the page fits
BESIDE_FIGURES = 12  # rows; a longer table stands below the figures of its section
NARROW = 4  # columns, an interval being one; a table of more takes the whole width


def write_page(folder: Path, page: Page, name: str = PAGE) -> None:
    """Write the page, and its figures beside it."""
    for figure in page.figures:
        write_text(folder / f"{figure.name}.svg", figure.plot.svg)
    write_text(folder / name, render(page))


def render(page: Page) -> str:
    """The HTML. Every number stands in `<data value="...">` with all its digits, and rounded for the eye."""
    metrics = dict.fromkeys(name.rpartition(".")[2] for name in page.metrics)
    context: dict[str, Any] = {
        "page": page,
        "normalization": words.NORMALIZATION[page.normalization],
        "corpora": [{"title": "", "licence": "", "citation": "", **corpus} for corpus in page.corpora],
        "glossary": [(words.title(name), words.meaning(name)) for name in metrics if words.meaning(name)],
        "css": Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8")),
        "version": __version__,
        "words": words,
    }
    template = _environment().get_template("page.html.j2")
    filled = [s for s in page.sections if s.text or s.cards or s.tables or s.figures]
    for longest in LONGEST_TABLES:
        context["sections"] = [_section(section, longest) for section in filled]
        context["inputs"] = [{"size": None, "sha256": "", **item} for item in page.inputs[:longest]]
        size = len(xml_text(template.render(context, left_out=[f.name for f in page.figures])).encode())
        if size <= WITHOUT_FIGURES:
            break
    return xml_text(template.render(context, left_out=_beyond(page.figures, LARGEST - size)))


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


@cache
def _environment() -> Environment:
    """Of all pages of a process, since to compile the template takes longer than to fill it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["known"] = _cell
    environment.filters["plain"] = repr
    environment.filters["shown"] = shown
    environment.filters["inline"] = lambda svg: Markup(inline(svg))  # our own; matplotlib has escaped its labels
    return environment


def _section(section: Section, longest: int) -> dict[str, Any]:
    tables = [_table(table, longest) for table in section.tables]
    short, long = ([table for table in tables if table["short"] == is_short] for is_short in (True, False))
    return {**vars(section), "tables": short, "long_tables": long}


def _table(table: Table, longest: int) -> dict[str, Any]:
    """Its first rows, how many more there are, and of each column whether it holds numbers and intervals."""
    names, count = list(table.rows), len(table.columns)
    cells = [[_cell(cell) for cell in table.rows[name]][:count] for name in names[:longest]]
    cells = [row + [None] * (count - len(row)) for row in cells]
    columns = [_column(name, [row[place] for row in cells]) for place, name in enumerate(table.columns)]
    body = [{"name": str(n), "better": table.better.get(n), "cells": row} for n, row in zip(names, cells, strict=False)]
    return {
        **vars(table),
        "columns": columns,
        "body": body,
        "short": len(names) <= BESIDE_FIGURES and not table.folded,
        "wide": sum(2 if column["spread"] else 1 for column in columns) > NARROW,
    }


def _column(name: str, cells: Sequence[Any]) -> dict[str, Any]:
    figures = [cell for cell in cells if isinstance(cell, dict)]
    spread = any(figure["low"] is not None and figure["high"] is not None for figure in figures)
    return {"name": name, "numeric": not any(isinstance(cell, str) for cell in cells), "spread": spread}


def _cell(value: Any) -> Any:
    """As plain values, None for NaN; of a figure all three."""
    value = without_nan(dict(value) if isinstance(value, Mapping) else value)
    return {"value": None, "low": None, "high": None, **value} if isinstance(value, dict) else value
