"""A page as lines for a terminal: its summary, what is declared, and what to be wary of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectkit.console import Outcome
from affectkit.plain import printable
from affectkit.reporting.page import Page, Section, Sentence, Table
from affectkit.results.words import by_part, is_number, ranged, shown, signed


def outcome(
    path: Path, facts: Mapping[str, Any], pages: Page | Mapping[str, Page], verdict: Exception | None = None
) -> Outcome:
    """How a command ends that has a page, or one for each part of the rows, by the part's name.

    What is to be read before the figures are warnings, which --quiet keeps; they name the part where others lack them.
    """
    if isinstance(pages, Page):
        pages = {"": pages}
    warnings = by_part({part: page.caveats for part, page in pages.items()})
    told = [line for page in pages.values() for line in lines(page)]
    return Outcome(path, facts, told, warnings, verdict=verdict)


def lines(page: Page) -> list[str]:
    """The page's summary in blocks with an empty line between them; sentences that follow each other are one block."""
    blocks: list[list[str]] = [[]]
    for section in page.summary or [Section("", text=page.lead)]:
        if section.title:
            blocks.append([section.title])
        blocks += [aligned(table) for table in section.tables]
        if section.title or section.tables:
            blocks.append([])
        blocks[-1] += map(plain, section.text)
    blocks[-1] += [f"declared: {sentence}" for sentence in page.declared]
    blocks[-1] += [f"texts: {sentence}" for sentence in page.texts]
    first, *others = filter(None, blocks)
    return [*first, *(line for block in others for line in ("", *block))]


def plain(sentence: Sentence) -> str:
    """A sentence as text, its numbers rounded for the eye."""
    parts = [sentence] if isinstance(sentence, str) else sentence
    return "".join(ranged(part) if isinstance(part, Mapping) else _cell(part) for part in parts)


def aligned(table: Table) -> list[str]:
    """Columns as wide as their widest cell, names to the left, the others to the right; the caption below, if any."""
    columns = [[table.first, *map(str, table.rows)]]
    for place, heading in enumerate(table.columns):
        cells = [row[place] for row in table.rows.values()]
        sign = "+" if heading in table.signed else ""
        columns.append([heading, *(_cell(cell, sign) for cell in cells)])
        if any(isinstance(cell, Mapping) for cell in cells):
            figures = [cell if isinstance(cell, Mapping) else {} for cell in cells]
            columns.append([table.brackets, *(ranged(figure, sign).partition(" ")[2] for figure in figures)])
    columns = [list(map(printable, column)) for column in columns]
    widths = [max(map(len, column)) for column in columns]
    rows = [[name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])] for name, *cells in zip(*columns, strict=True)]
    return ["  ".join(row).rstrip() for row in rows] + [table.caption] * bool(table.caption)


def _cell(value: Any, sign: str = "") -> str:
    if isinstance(value, Mapping):
        value = value["value"]
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not is_number(value):
        return "-"
    return signed(value, sign) if sign else shown(value)
