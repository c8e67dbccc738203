"""Correlations between targets, or between the metrics of a training, as a square of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from affectkit.reporting.figures.palette import INK, SHADE, WIDTH
from affectkit.reporting.figures.svg import canvas, shorten, to_plot
from affectkit.reporting.page import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUMBERED = 10  # above this many names, cells hold the sign of strong correlations alone
CELL = 0.15  # inches that a name needs
STRONG = 0.3
SPOKEN = 12


def correlation_of(columns: np.ndarray) -> np.ndarray:
    """[K, K] Pearson's correlations of columns [N, K] over the rows that both have; NaN of a constant column, and of
    fewer than three rows."""
    count = columns.shape[1]
    found = np.full((count, count), np.nan)
    for i in range(count):
        for j in range(i, count):
            both = np.isfinite(columns[:, i]) & np.isfinite(columns[:, j])
            a, b = columns[both, i], columns[both, j]
            if both.sum() > 2 and np.ptp(a) > 0 and np.ptp(b) > 0:
                found[i, j] = found[j, i] = 1.0 if i == j else np.clip(np.corrcoef(a, b)[0, 1], -1, 1)
    return found


def correlations(matrix: np.ndarray, names: Sequence[str], *, label: str, alt: str) -> Plot:
    """matrix: [K, K] in [-1, 1], or differences in [-2, 2]; NaN is grey. Names stand once, their numbers above."""
    size = len(names)
    names = [shorten(name) for name in names]
    width = max(WIDTH, 2.6 + CELL * size)
    top = 2.0 if np.nanmax(np.abs(matrix), initial=0.0) > 1 else 1.0
    with canvas(max(1.0 + 0.3 * size, 0.6 + CELL * size) if size <= NUMBERED else 0.9 + CELL * size, width) as figure:
        axes = figure.subplots()
        axes.set_facecolor(SHADE)
        grid = axes.pcolormesh(matrix, cmap="PuOr_r", vmin=-top, vmax=top, edgecolor="white", linewidth=0.5)
        grid.set_rasterized(size > NUMBERED)
        places = np.arange(size) + 0.5
        axes.set_yticks(places, [f"{name}  {number}" for number, name in enumerate(names, start=1)])
        axes.set_xticks(places, [str(number) for number in range(1, size + 1)])
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
        axes.set_ylim(size, 0)
        _cells(axes, matrix, top)
        bar = figure.colorbar(grid, ax=axes, shrink=0.8, label=label)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8)
        return to_plot(figure, f"{alt} {_spoken(matrix, names)}".strip(), wide=width > WIDTH)


def _cells(axes: Axes, matrix: np.ndarray, top: float) -> None:
    for row, column in np.argwhere(np.isfinite(matrix)):
        value = matrix[row, column]
        text = _digits(value) if len(matrix) <= NUMBERED else _sign(value)
        colour = "white" if abs(value) > 0.65 * top else INK
        if text:
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, color=colour)


def _digits(value: float) -> str:
    """Two, without the zero before them: a cell is narrow."""
    return f"{round(value):d}" if abs(abs(value) - 1) < 0.005 else f"{value:.2f}".replace("0.", ".", 1)


def _sign(value: float) -> str:
    """In grey print both ends of the scale are dark."""
    return "" if abs(value) < STRONG else "+" if value > 0 else "\N{MINUS SIGN}"


def _spoken(matrix: np.ndarray, names: Sequence[str]) -> str:
    pairs = [(i, j) for i in range(len(names)) for j in range(i) if np.isfinite(matrix[i, j])]
    strongest = sorted(pairs, key=lambda pair: -abs(matrix[pair]))[:SPOKEN]
    texts = (f"{names[j]} and {names[i]} {matrix[i, j]:+.2f}" for i, j in strongest)
    return f"The strongest: {', '.join(texts)}." if pairs else "None is defined."
