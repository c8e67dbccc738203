"""Figures with intervals, one below the other: candidates, differences, coverage; and the weights of a fusion."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.evaluation import NAMED_GROUPS
from affectkit.reporting.figures.palette import BLUE, INK, SOFT, VERMILLION
from affectkit.reporting.figures.svg import beside_row, finite, legend_above, panel, row_names, to_plot, values_of
from affectkit.reporting.page import Plot
from affectkit.results.words import is_number, ranged, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


PLAIN, MARKED, CHOSEN = Look(SOFT, filled=False), Look(BLUE), Look(VERMILLION, "D")
BETTER, WORSE = Look(BLUE, ">"), Look(VERMILLION, "<")


def forest(
    rows: Mapping[str, Row],
    *,
    metric: str,
    reference: tuple[str, float] | None = None,
    marked: Collection[str] = (),
    mark: str = "tie set",
    chosen: str | None = None,
) -> Plot:
    """Figures with their intervals, in the order given.

    reference: a name and the value of the line to compare with. marked: rows set apart, as `mark` says.
    """
    looks = [CHOSEN if name == chosen else MARKED if name in marked else PLAIN for name in rows]
    keys = [("chosen", CHOSEN)] * (chosen in rows) + [(mark, MARKED)] * bool(set(marked) & set(rows) - {chosen})
    alt = f"{metric} of {_spoken(rows)}."
    line = None
    if reference is not None and is_number(reference[1]):
        line = (f"{reference[0]} {shown(float(reference[1]))}", float(reference[1]))
        alt += f" Line: {line[0]}."
    if chosen in rows:
        alt += f" Chosen: {chosen}."
    if marked:
        alt += f" {mark.capitalize()}: {', '.join(name for name in rows if name in marked)}."
    return _whiskers(rows, looks, keys, alt, xlabel=metric, line=line)


def differences(rows: Mapping[str, Row], *, metric: str, against: str, higher_is_better: bool = True) -> Plot:
    """Paired differences to `against`, around 0; those whose interval excludes 0 are in colour."""
    low, high = (values_of(list(rows.values()), key) for key in ("low", "high"))
    above, below = low > 0, high < 0
    up, down = (BETTER, WORSE) if higher_is_better else (Look(VERMILLION, ">"), Look(BLUE, "<"))
    looks = [up if a else down if b else PLAIN for a, b in zip(above, below, strict=True)]
    senses = ("better", "worse") if higher_is_better else ("worse", "better")
    keys = [(f"{senses[0]} (above 0)", up)] * bool(above.any()) + [(f"{senses[1]} (below 0)", down)] * bool(below.any())
    clear = int(above.sum() + below.sum())
    alt = f"{metric} minus that of {against}: {_spoken(rows, '+')}. {clear} of {len(rows)} intervals exclude 0."
    return _whiskers(rows, looks, keys, alt, xlabel=f"{metric} minus that of {cut(against)}", line=("", 0.0), sign="+")


def coverage(rows: Mapping[str, Row], *, nominal: float) -> Plot:
    """The share of rows whose set or interval holds the truth, per attribute, beside the nominal share (0 to 1)."""
    low, high = (values_of(list(rows.values()), key) for key in ("low", "high"))
    looks = [WORSE if h < nominal else BETTER if lo > nominal else PLAIN for lo, h in zip(low, high, strict=True)]
    keys = [("too low", WORSE)] * (WORSE in looks) + [("higher than needed", BETTER)] * (BETTER in looks)
    alt = f"Coverage, nominally {nominal:.1%}: {_spoken(rows)}."
    line = (f"nominal {nominal:g}", nominal)
    return _whiskers(rows, looks, keys, alt, xlabel="share of rows whose set or interval holds the truth", line=line)


def weights(names: Sequence[str], by_target: Mapping[str, Sequence[float]]) -> Plot:
    """A bar for each source, target by target. by_target: target -> one weight per name; NaN where a source has none.

    Of many, as many whole targets as make 40 bars.
    """
    size = max(len(names), 1)
    targets = list(by_target)[: max(NAMED_GROUPS // size, 1)]
    values = finite([value for target in targets for value in by_target[target]])
    heads = int(len(by_target) > 1)  # a line for the name of each target
    place = -np.array([i + heads * (1 + i // size) for i in range(len(values))], float)
    with panel(0.9 + 0.19 * (len(values) + heads * len(targets))) as (figure, axes):
        axes.barh(place, np.nan_to_num(values), color=BLUE, height=0.68)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        _name_lines(axes, place, list(names) * len(targets), values)
        for position, target in enumerate(targets * heads):
            beside_row(axes, 0.01, -position * (size + 1), cut(target), weight="bold")
        axes.set(xlabel="weight", ylim=(min(place, default=0) - 0.7, 0.7))
        if len(targets) < len(by_target):
            axes.set_title(f"The first {len(targets)} of {len(by_target)} targets")
        rows = {t: zip(names, values[i * size : (i + 1) * size], strict=True) for i, t in enumerate(targets)}
        texts = (f"{t}: " + ", ".join(f"{n} {ranged({'value': v})}" for n, v in row) for t, row in rows.items())
        return to_plot(figure, f"Weights by target: {'; '.join(texts) or 'none'}.")


# --- Points with whiskers: what every figure of intervals is drawn with


def _whiskers(
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
    with panel(1.2 + 0.19 * len(rows) if named else 3.6) as (figure, axes):
        if line is not None:
            draw = axes.axvline if named else axes.axhline
            draw(line[1], color=INK, linewidth=1, linestyle="--", label=line[0] or None, zorder=0.5)
        place = -np.arange(len(rows), dtype=float) if named else np.arange(1.0, len(rows) + 1)
        limits = _limits(value, low, high, None if line is None else line[1])
        for look in dict.fromkeys(looks):
            alike = np.array([other == look for other in looks])
            _points(axes, np.stack([place, value, low, high])[:, alike], look, limits, upright=not named)
        for label, look in keys:
            axes.plot([], [], look.marker, color=look.colour, label=label)
        if named:
            _name_lines(axes, place, list(rows), value, sign)
            axes.set(xlabel=xlabel, xlim=limits, ylim=(min(place, default=0) - 0.7, 0.7))
        else:
            axes.set(xlabel="row of the table", ylabel=xlabel, ylim=limits)
        legend_above(figure, axes)
        return to_plot(figure, alt)


def _points(axes: Axes, figures: np.ndarray, look: Look, limits: tuple[float, float], *, upright: bool) -> None:
    """Points and whiskers; an arrow head where a whisker goes on beyond the axis.

    figures: [4, N], of each point where it stands, its value and the ends of its interval.
    """
    place, value, low, high = figures
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


def _name_lines(axes: Axes, height: np.ndarray, names: Sequence[str], values: np.ndarray, sign: str = "") -> None:
    """Names to the left and values to the right of lines drawn across."""
    row_names(axes, height, [cut(name) for name in names], pad=5)
    for place, value in zip(height, values, strict=True):
        beside_row(axes, 1.02, place, ranged({"value": value}, sign) if np.isfinite(value) else "\N{EN DASH}")


def cut(name: str) -> str:
    keep = NAME // 2
    return name if len(name) <= NAME else f"{name[: NAME - keep]}…{name[1 - keep :]}"


def _spoken(rows: Mapping[str, Row], sign: str = "") -> str:
    """Every row of a short figure, the first ones of a long."""
    most = NAMED_GROUPS if len(rows) <= NAMED_GROUPS else SPOKEN
    texts = [f"{name} {ranged(row, sign)}" for name, row in list(rows.items())[:most]]
    texts += [f"and {len(rows) - most} more"] if len(rows) > most else []
    return "; ".join(texts) or "no rows"
