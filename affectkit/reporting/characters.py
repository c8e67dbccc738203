"""Curves in characters: of braille where colours tell them apart, else of a letter for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from rich.text import Text

from affectkit.results.words import shown

STEEP = 50  # times the lowest value; a wider range stands on a logarithmic axis
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a braille cell, by column and row
LEAST_WIDTH, LEAST_HEIGHT = 8, 3  # of what is drawn in, in cells


@dataclass(frozen=True)
class Curve:
    """name: of the legend, which begins with the letter that draws it. values: [n], NaN where unknown."""

    name: str
    values: Sequence[float]
    colour: str


@dataclass(frozen=True)
class Chart:
    """Curves over one x. places: [n], rising. unit: of x. mark: the x of what was chosen."""

    title: str
    curves: Sequence[Curve]
    places: Sequence[float]
    unit: str = "epoch"
    mark: float | None = None


@dataclass(frozen=True)
class Pen:
    """How many dots a cell has, and what frames and bars are made of."""

    across: int
    down: int
    side: str
    floor: str
    corner: str
    mark: str
    full: str
    empty: str


BRAILLE = Pen(2, 4, "┤", "─", "└", "▲", "━", "─")
LETTERS = Pen(1, 1, "|", "-", "+", "^", "#", "-")


def drawn(chart: Chart, width: int, height: int, pen: Pen) -> list[Text]:
    """The chart as `height` lines of `width` cells each: title, curves with the ends of both axes, ticks."""
    ends = _ends(chart)
    if ends is None:
        return [_title(chart, width, pen), Text("no figures yet"[:width]), *[Text()] * (height - 2)]
    low, high, log = ends
    lines = [_title(chart, width, pen, " (log)" * log)]
    labels = [shown(math.exp(value) if log else value) for value in (high, (low + high) / 2, low)]
    margin = max(map(len, labels))
    columns, rows = max(width - margin - 2, LEAST_WIDTH), max(height - 3, LEAST_HEIGHT)
    cells = _cells(chart, columns, rows, (low, high), log, pen)
    for row in range(rows):
        label = {0: labels[0], rows - 1: labels[2]}.get(row, labels[1] if rows % 2 and row == rows // 2 else "")
        line = Text(f"{label:>{margin}} {pen.side}")
        row_cells = (cells.get((column, row), (" ", "")) for column in range(columns))
        for colour, run in groupby(row_cells, key=lambda cell: cell[1]):
            line.append("".join(mark for mark, _ in run), colour)
        lines.append(line)
    return [*lines, *_floor(chart, columns, margin, pen)]


def _title(chart: Chart, width: int, pen: Pen, scale: str = "") -> Text:
    """What it shows, and the last value of each curve."""
    title = Text(chart.title + scale, "bold")
    for curve in chart.curves:
        known = [value for value in curve.values if math.isfinite(value)]
        title.append(f"  {curve.name} {shown(known[-1]) if known else '-'}", curve.colour)
    title.truncate(width, overflow="ellipsis" if pen is BRAILLE else "crop")
    return title


def _ends(chart: Chart) -> tuple[float, float, bool] | None:
    """Of the y axis, and whether it is logarithmic; None where there is nothing to draw."""
    known = [value for curve in chart.curves for value in curve.values if math.isfinite(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    if log := low > 0 and high > STEEP * low:
        low, high = math.log(low), math.log(high)
    room = 0.0 if high > low else abs(high) * 0.05 or 0.5
    return low - room, high + room, log


def _cells(
    chart: Chart, columns: int, rows: int, ends: tuple[float, float], log: bool, pen: Pen
) -> dict[tuple[int, int], tuple[str, str]]:
    """(column, row) -> character and colour; a later curve stands before an earlier one."""
    across, down = columns * pen.across, rows * pen.down
    x = (np.asarray(chart.places, float) - chart.places[0]) * (across - 1) / _extent(chart)
    bits: dict[tuple[int, int], int] = {}
    cells: dict[tuple[int, int], tuple[str, str]] = {}
    for curve in chart.curves:
        values = np.asarray(curve.values, float)
        y = (ends[1] - (np.log(values) if log else values)) / (ends[1] - ends[0]) * (down - 1)
        for place, (top, bottom) in enumerate(zip(*_strokes(x, y, across), strict=True)):
            for dot in range(round(top), round(bottom) + 1) if top <= bottom else ():
                cell = place // pen.across, dot // pen.down
                bits[cell] = bits.get(cell, 0) | DOTS[place % pen.across][dot % pen.down]
                cells[cell] = curve.name[0] if pen is LETTERS else chr(0x2800 + bits[cell]), curve.colour
    return cells


def _extent(chart: Chart) -> float:
    return float(chart.places[-1] - chart.places[0]) or 1.0


def _strokes(x: np.ndarray, y: np.ndarray, across: int) -> tuple[np.ndarray, np.ndarray]:
    """[across] highest and lowest dots of each column of dots that a line through points, [n] each, touches: at the
    edges of the column, and at points within it. NaN where there is none: the line is broken at NaN."""
    edges = np.interp(np.arange(across + 1) - 0.5, x, y, left=np.nan, right=np.nan)
    top, bottom = np.fmin(edges[:-1], edges[1:]), np.fmax(edges[:-1], edges[1:])
    columns = np.rint(x).astype(int)
    np.fmin.at(top, columns, y)
    np.fmax.at(bottom, columns, y)
    return top, bottom


def _floor(chart: Chart, columns: int, margin: int, pen: Pen) -> list[Text]:
    """The x axis with the mark, and its ends."""
    first, last = chart.places[0], chart.places[-1]
    axis = [pen.floor] * columns
    if chart.mark is not None and first <= chart.mark <= last:
        axis[round((chart.mark - first) / _extent(chart) * (columns - 1))] = pen.mark
    left, right = f"{first:.0f}", f"{last:.0f}" if last > first else ""
    room = columns - len(left) - len(right)
    unit = chart.unit if len(chart.unit) + 2 <= room else ""
    return [
        Text(" " * (margin + 1) + pen.corner + "".join(axis)),
        Text(" " * (margin + 2) + left + unit.center(max(room, 1)) + right),
    ]
