"""Points with whiskers, one below the other: what every figure of intervals is drawn with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from affectkit.reporting.numbers import ranged, values_of
from affectkit.reporting.plots import NAMED_GROUPS
from affectkit.reporting.svg import BAND, INK, Plot, canvas, style, to_plot

NAME = 26  # characters of a row's name; what is cut is its middle, because subsets differ at both ends
SPOKEN = 12  # rows that the text alternative of a longer figure reads out
STRETCH = 5  # an interval reaching further beyond all values than this many typical widths is cut, with an arrow

Row = Mapping[str, Any]  # `value`, `low`, `high`; any of them may be None


@dataclass(frozen=True)
class Look:
    """How a row is drawn; shape and filling say the same as the colour."""

    colour: str
    marker: str = "o"
    filled: bool = True


def whiskers(
    rows: Mapping[str, Row],
    looks: Sequence[Look],
    keys: Sequence[tuple[str, Look]],
    alt: str,
    *,
    xlabel: str,
    line: tuple[str, float] | None,
    sign: str = "",
) -> Plot:
    """A point with its interval for each row; above 40 rows they stand side by side, by number instead of name."""
    value, low, high = (values_of(list(rows.values()), key) for key in ("value", "low", "high"))
    named = len(rows) <= NAMED_GROUPS
    with style():
        figure = canvas(1.2 + 0.19 * len(rows) if named else 3.6)
        axes = figure.subplots()
        if line is not None:
            draw = axes.axvline if named else axes.axhline
            draw(line[1], color=INK, linewidth=1, linestyle="--", label=line[0] or None, zorder=0.5)
        place = -np.arange(len(rows), dtype=float) if named else np.arange(1.0, len(rows) + 1)
        limits = _limits(value, low, high, None if line is None else line[1])
        for look in dict.fromkeys(looks):
            of = np.array([other == look for other in looks])
            _points(axes, place[of], value[of], low[of], high[of], look, limits, upright=not named)
        for label, look in keys:
            axes.plot([], [], look.marker, color=look.colour, label=label)
        if named:
            name_lines(axes, place, list(rows), value, sign)
            axes.set(xlabel=xlabel, xlim=limits, ylim=(min(place, default=0) - 0.7, 0.7))
        else:
            axes.set(xlabel="row of the table", ylabel=xlabel, ylim=limits)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside upper center", ncols=3)
        return to_plot(figure, alt)


def _points(
    axes: Axes,
    place: np.ndarray,
    value: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    look: Look,
    limits: tuple[float, float],
    *,
    upright: bool,
) -> None:
    """Points and whiskers; an arrow head where a whisker goes on beyond the axis."""
    has = np.isfinite(low) & np.isfinite(high)
    start, end = np.clip(low[has], *limits), np.clip(high[has], *limits)
    draw = axes.vlines if upright else axes.hlines
    draw(place[has], start, end, color=look.colour, linewidth=0.8 if upright else 1.6, alpha=0.6 if upright else 1)
    for beyond, edge, heads in ((low < limits[0], limits[0], "<v"), (high > limits[1], limits[1], ">^")):
        ends = np.full(int((has & beyond).sum()), edge)
        pair = (place[has & beyond], ends) if upright else (ends, place[has & beyond])
        axes.plot(*pair, heads[upright], color=look.colour, markersize=4, clip_on=False, in_layout=False)
    drawn = np.isfinite(value)
    pair = (place[drawn], value[drawn]) if upright else (value[drawn], place[drawn])
    inside = look.colour if look.filled or upright else "white"
    axes.plot(*pair, look.marker, color=look.colour, markerfacecolor=inside, markersize=2 if upright else 5)


def _limits(value: np.ndarray, low: np.ndarray, high: np.ndarray, line: float | None) -> tuple[float, float]:
    """Of the axis: every value and the line, and as much of the intervals as leaves the values apart."""
    inner = np.append(value[np.isfinite(value)], [] if line is None else line)
    if not len(inner):
        return 0.0, 1.0
    width = high - low
    typical = STRETCH * float(np.median(width[np.isfinite(width)])) if np.isfinite(width).any() else 0.0
    start = max(np.nanmin(np.append(low, inner)), inner.min() - typical)
    end = min(np.nanmax(np.append(high, inner)), inner.max() + typical)
    margin = 0.04 * (end - start) or 0.05 * abs(end) or 0.5
    return float(start - margin), float(end + margin)


def name_lines(axes: Axes, height: np.ndarray, names: Sequence[str], values: np.ndarray, sign: str = "") -> None:
    """Names to the left and values to the right of lines drawn across."""
    axes.hlines(height, 0, 1, transform=axes.get_yaxis_transform(), color=BAND, linewidth=0.5, zorder=0)
    axes.set_yticks(height, [cut(name) for name in names])
    axes.tick_params(axis="y", length=0, labelsize=8, pad=5)
    for place, value in zip(height, values, strict=True):
        text = ranged({"value": value}, sign) if np.isfinite(value) else "\N{EN DASH}"
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)


def cut(name: str) -> str:
    keep = NAME // 2
    return name if len(name) <= NAME else f"{name[: NAME - keep]}…{name[1 - keep :]}"


def spoken(rows: Mapping[str, Row], sign: str = "") -> str:
    """Every row of a short figure, the first ones of a long."""
    most = NAMED_GROUPS if len(rows) <= NAMED_GROUPS else SPOKEN
    said = [f"{name} {ranged(row, sign)}" for name, row in list(rows.items())[:most]]
    rest = f"; and {len(rows) - most} more" if len(rows) > most else ""
    return ("; ".join(said) or "no rows") + rest
