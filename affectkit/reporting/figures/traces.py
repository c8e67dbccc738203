"""A sequence over time, before and after smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.palette import BAND, BLUE, INK, ORANGE, SHADE, WIDTH
from affectkit.reporting.figures.svg import canvas, finite, shorten, to_plot
from affectkit.reporting.page import Plot
from affectkit.results.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAMES = 2000  # up to this many, every one is drawn
COLUMNS = 400  # of a longer sequence, each drawn from its lowest to its highest value, so that no peak is lost
PAUSE = 4  # typical steps without a frame break the lines

LOOKS: dict[str, dict[str, Any]] = {
    "raw": {"color": ORANGE, "linewidth": 0.9},
    "truth": {"color": INK, "linewidth": 1.1, "linestyle": (0, (4, 2))},
    "smoothed": {"color": BLUE, "linewidth": 1.6},
}


def trace(
    time: Any,
    raw: Any,
    smoothed: Any,
    truth: Any = None,
    gated: Any = None,
    *,
    name: str,
    sequence: str = "",
    note: str = "",
    unit: str = "s",
) -> Plot:
    """One sequence: predictions raw and smoothed, the truth, and below it where frames were gated.

    time, raw, smoothed, truth: [T]; rows without a time are left out, other NaN break the line. gated: [T] bool.
    note: the figures that belong to it, for the title.
    """
    time = finite(time)
    order = np.argsort(time, kind="stable")[: int(np.isfinite(time).sum())]  # NaN sort last
    time = time[order]
    curves = {"raw": raw, "smoothed": smoothed, "truth": truth}
    curves = {label: finite(values)[order] for label, values in curves.items() if values is not None}
    held = np.zeros(len(time), bool) if gated is None else np.asarray(gated, bool)[order]
    with canvas(3.3, 1.75 * WIDTH) as figure:
        axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(9, 1))
        for label, values in curves.items():
            draw_over_time(axes, time, values, LOOKS[label], label, PAUSE * _step(time))
        axes.set_ylabel(shorten(name))
        axes.set_title(": ".join(filter(None, (shorten(sequence), note))), loc="left")
        _strip(strip, time, held)
        if len(time):
            axes.set_xlim(time[0], time[-1] + _step(time))
        every = f"; lowest to highest of {len(time)} frames in {COLUMNS} columns" if len(time) > FRAMES else ""
        strip.set_xlabel(f"time ({unit}){every}", loc="left")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
        return to_plot(figure, _spoken(name, sequence, note, unit, time, curves, held), wide=True)


def draw_over_time(
    axes: Axes, time: np.ndarray, values: np.ndarray, look: Mapping[str, Any], label: str, pause: float
) -> None:
    """Every frame, or of more than `FRAMES` a band. time: [T], ascending. pause: time without a frame that breaks the
    line."""
    if len(time) > FRAMES:
        _band(axes, time, values, look["color"], label)
    else:
        _line(axes, time, values, look, label, pause)


def _line(axes: Axes, time: np.ndarray, values: np.ndarray, look: Mapping[str, Any], label: str, pause: float) -> None:
    """Every frame; a dot where a frame stands alone and no line would show it."""
    breaks = np.flatnonzero(np.diff(time, prepend=time[:1]) > pause)
    x, y = np.insert(time, breaks, time[breaks]), np.insert(values, breaks, np.nan)
    axes.plot(x, y, label=label, **look)
    known = np.concatenate([[False], np.isfinite(y), [False]])
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    axes.plot(x[alone], y[alone], "o", color=look["color"], markersize=3)


def _band(axes: Axes, time: np.ndarray, values: np.ndarray, colour: str, label: str) -> None:
    """From the lowest to the highest value in each column; nothing where a column has none."""
    edges, column_of = _columns(time)
    middle = (edges[:-1] + edges[1:]) / 2
    low, high = np.full(COLUMNS, np.nan), np.full(COLUMNS, np.nan)
    np.fmin.at(low, column_of, values)
    np.fmax.at(high, column_of, values)
    axes.fill_between(middle, low, high, color=colour, alpha=0.75, linewidth=0.7, label=label)


def _columns(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[COLUMNS + 1] edges of equal steps, [T] the column of each frame."""
    edges = np.linspace(time[0], time[-1] + _step(time), COLUMNS + 1)
    return edges, np.clip(np.searchsorted(edges, time, side="right") - 1, 0, COLUMNS - 1)


def _strip(axes: Axes, time: np.ndarray, held: np.ndarray) -> None:
    """The share of gated frames: a bar for every frame, or column, that has any."""
    left, right, share = time, time + np.minimum(np.diff(time, append=np.inf), _step(time)), held.astype(float)
    if len(time) > FRAMES:
        edges, column_of = _columns(time)
        left, right = edges[:-1], edges[1:]
        count = np.bincount(column_of, minlength=COLUMNS)
        share = np.bincount(column_of, weights=held, minlength=COLUMNS) / np.maximum(count, 1)
    corners = np.stack([left, left, right, right], axis=1)[share > 0].ravel()
    heights = np.stack([0 * share, share, share, 0 * share], axis=1)[share > 0].ravel()
    axes.fill_between(corners, heights, color=INK, linewidth=0)
    axes.set(ylim=(0, 1), yticks=[], facecolor=SHADE)
    axes.set_ylabel(f"gated\n{held.mean() if len(held) else 0:.1%}", rotation=0, ha="right", va="center")
    axes.spines["left"].set_color(BAND)


def _step(time: np.ndarray) -> float:
    """The typical time from one frame to the next; 1 where there is none."""
    steps = np.diff(time)
    return float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0


def _spoken(
    name: str, sequence: str, note: str, unit: str, time: np.ndarray, curves: Mapping[str, np.ndarray], held: np.ndarray
) -> str:
    """The text alternative."""
    text = f"{name} over time{f' in {sequence}' if sequence else ''}: {len(time)} frame{'' if len(time) == 1 else 's'}"
    if len(time):
        text += f" from {shown(float(time[0]))} to {shown(float(time[-1]))} {unit}, {int(held.sum())} gated"
    for label, values in curves.items():
        known = values[np.isfinite(values)]
        ends = f"{shown(float(known.min()))} to {shown(float(known.max()))}" if len(known) else "unknown"
        text += f"; {label} {ends}"
    return f"{text}. {note}".strip()
