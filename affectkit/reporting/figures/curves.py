"""Curves of trainings, of one run or of several together: anything over epochs or steps, in one panel or in many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.learning import History, mark, scale, stage_marks
from affectkit.reporting.figures.palette import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, SOFT, VERMILLION, WIDTH
from affectkit.reporting.figures.svg import LEGEND_LINE, SMALL_NAME, canvas, finite, legend_fitting, shorten, to_plot
from affectkit.reporting.page import Plot
from affectkit.results.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Apart in colour, in dashes and in marks: any one of them would do.
HUES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, INK, SKY)
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 3)))
MARKERS = "osD^vPX<"  # one more than colours: the eighth run is not drawn like the first
MARKED = 40  # points; of more, some alone are marked
MARKS = 8  # of a longer curve
COLUMNS = 3  # of small panels
ROW = 1.35  # inches of a row of them
MOST = 200  # points in a small panel
SPOKEN = 8  # curves that the text alternative reads out
LOW = -2.0  # below that the axis of an R2 is logarithmic: one bad epoch would flatten all others


@dataclass(frozen=True)
class Line:
    """A curve. x, y: [N], NaN where it breaks. look: the number of its colour, dashes and mark. second: one of two of
    this look, as of train rows beside validation rows: dashed and hollow, where the first is solid; None: alone. low,
    high: [N] of its intervals."""

    label: str
    x: np.ndarray
    y: np.ndarray
    look: int = 0
    second: bool | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @property
    def style(self) -> dict[str, Any]:
        colour, dashes = HUES[self.look % len(HUES)], DASHES[self.look % len(DASHES)]
        dashes = dashes if self.second is None else (0, (4, 2)) if self.second else "-"
        count = len(self.x)
        every = 1 if count <= MARKED else (self.look * 3 % max(count // MARKS, 1), max(count // MARKS, 1))
        return {
            "color": colour, "linestyle": dashes, "linewidth": 1.2 if self.second else 1.7, "markersize": 4,
            "marker": MARKERS[self.look % len(MARKERS)], "markevery": every,
            "markerfacecolor": "white" if self.second else colour, "markeredgecolor": colour,
        }  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """Curves that share their axes. zero: what a line at 0 stands for. log: a logarithmic axis; it is one too where one
    value is many times another. floor: the axis begins at 0. signed: of what may lie far below 0, and is 1 at most."""

    lines: Sequence[Line]
    ylabel: str = ""
    title: str = ""
    zero: str = ""
    log: bool = False
    floor: bool = False
    signed: bool = False


@dataclass(frozen=True)
class Marked:
    """What is known of the one run of a figure: its stages, and which epoch is kept."""

    history: History = field(default_factory=list)
    kept: float | None = None


def curves(panels: Sequence[Panel], *, xlabel: str, alt: str, marked: Marked | None = None) -> Plot:
    """One panel, or several below each other.

    marked: of one run, whose stages and kept epoch are shown.
    """
    marked = marked or Marked()
    with canvas(3.3 if len(panels) == 1 else 0.6 + 1.9 * len(panels), WIDTH) as figure:
        below = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(below, panels, strict=True):
            if marked.history:
                stage_marks(axes, marked.history)
            if marked.kept is not None:
                mark(axes, marked.kept, np.nan, f"kept: epoch {marked.kept:g}")
            _draw(axes, panel)
            axes.set(ylabel=panel.ylabel)
            if not any(np.isfinite(line.y).any() for line in panel.lines):
                axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=SOFT)
        below[-1].set(xlabel=xlabel)
        _x_axis(below[-1], panels, whole=xlabel == "epoch")
        legend_fitting(figure, max(below, key=lambda axes: len(axes.get_legend_handles_labels()[0])))
        return to_plot(figure, f"{alt} {_spoken(panels)}".strip())


def small_panels(panels: Sequence[Panel], *, xlabel: str, ylabel: str, alt: str) -> Plot:
    """Many panels with one scale, each named by its title."""
    from matplotlib.ticker import NullLocator

    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with canvas(0.8 + ROW * rows, fitted=False) as figure:
        # not shared: of thirty axes that share, each change asks all thirty
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        values = np.concatenate([np.empty(0), *(line.y for panel in panels for line in panel.lines)])
        for axes in grid[len(panels) :]:
            axes.remove()
        for place, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
            _draw(axes, replace(panel, lines=[_thinned(line) for line in panel.lines]), values)
            axes.set_title(shorten(panel.title, SMALL_NAME), fontsize=8)
            axes.tick_params(labelsize=8)
            axes.set_ylim(grid[0].get_ylim())
            _x_axis(axes, panels, whole=xlabel == "epoch", most=3)
            if place + columns < len(panels):  # ticks where their labels are: each costs a millisecond
                axes.xaxis.set_major_locator(NullLocator())
            if place % columns:
                axes.yaxis.set_major_locator(NullLocator())
        figure.supxlabel(xlabel, fontsize=9)
        figure.supylabel(ylabel, fontsize=9)
        lines = legend_fitting(figure, grid[0], loc="upper center")
        height, width = figure.get_figheight(), figure.get_figwidth()
        top = 1 - (0.3 + LEGEND_LINE * lines) / height
        figure.subplots_adjust(0.75 / width, 0.5 / height, 1 - 0.1 / width, top, wspace=0.1, hspace=0.3)
        return to_plot(figure, f"{alt} {_spoken(panels)}".strip())


def _draw(axes: Axes, panel: Panel, values: np.ndarray | None = None) -> None:
    """values: those that the axis is to suit, where they are more than the panel's own."""
    if panel.zero:
        axes.axhline(0, color=SOFT, linewidth=1, linestyle=(0, (1, 1)), label=panel.zero)
    for line in panel.lines:
        y = np.where(line.y > 0, line.y, np.nan) if panel.log else line.y
        axes.plot(line.x, y, label=line.label, **line.style)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=line.style["color"], alpha=0.15, linewidth=0)
        lone = _lone(y)
        if lone.any() and len(line.x) > MARKED:
            axes.plot(line.x[lone], y[lone], **{**line.style, "linestyle": "None", "markevery": 1})
    if values is None:
        ends = [end for line in panel.lines for end in (line.low, line.high) if end is not None]
        values = np.concatenate([np.empty(0), *(line.y for line in panel.lines), *ends])
    if panel.signed:
        _signed_axis(axes, values)
    elif panel.floor and np.isfinite(values).any():
        axes.set_ylim(0, 1.08 * float(np.nanmax(finite(values))) or 1)
    else:
        scale(axes, values, panel.log)


def _thinned(line: Line) -> Line:
    """With points enough for a small panel."""
    places = np.unique(np.linspace(0, len(line.x) - 1, min(len(line.x), MOST)).astype(int))
    return replace(line, x=line.x[places], y=line.y[places])


def _lone(values: np.ndarray) -> np.ndarray:
    """[N] bool: known values between unknown ones, which no line shows."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    return known[1:-1] & ~known[:-2] & ~known[2:]


def _signed_axis(axes: Axes, values: np.ndarray) -> None:
    """Of what is at most 1 and may lie far below 0: linear from -1 on, logarithmic below."""
    from matplotlib.ticker import FixedLocator

    known = values[np.isfinite(values)]
    if not len(known):
        axes.set(ylim=(-1, 1))
    elif known.min() >= LOW:
        margin = 0.05 * (known.max() - min(known.min(), 0)) or 0.1
        axes.set_ylim(min(known.min(), 0) - margin, known.max() + margin)
    else:
        lowest = int(np.ceil(np.log10(-known.min())))
        every = max(1, lowest // 3)
        ticks = [1.0, 0.0, -1.0, *(-(10.0**k) for k in range(every, lowest + 1, every))]
        axes.set_yscale("symlog", linthresh=1.0)
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(known.min() * 1.5, 1.4)
        axes.minorticks_off()


def _x_axis(axes: Axes, panels: Sequence[Panel], *, whole: bool, most: int = 9) -> None:
    """Over all that is drawn; epochs are whole numbers."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    x = finite(np.concatenate([np.empty(0), *(line.x for panel in panels for line in panel.lines)]))
    known = x[np.isfinite(x)]
    low, high = (known.min(), known.max()) if len(known) else (1, 1)
    margin = 0.5 if whole else max((high - low) * 0.02, 0.5)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=most, integer=True, min_n_ticks=1))
    if high >= 1e5:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k"))


def _spoken(panels: Sequence[Panel]) -> str:
    """The curves for those who cannot see them."""
    lines = [(panel, line) for panel in panels for line in panel.lines]
    texts = []
    for panel, line in lines[:SPOKEN]:
        known = line.y[np.isfinite(line.y)]
        name = " ".join(filter(None, (panel.title, line.label)))
        if not len(known):
            texts.append(f"{name}: unknown")
            continue
        ends = f"from {shown(float(known[0]))} to {shown(float(known[-1]))}"
        texts.append(f"{name}: {ends}, lowest {shown(float(known.min()))}, highest {shown(float(known.max()))}")
    more = f"; and {len(lines) - SPOKEN} more curves" if len(lines) > SPOKEN else ""
    return f"{'; '.join(texts)}{more}." if texts else ""


# --- Runs side by side, one figure each: train beside validation


@dataclass(frozen=True)
class Dot:
    """A figure of one row. look: as of a line. hollow: of train rows."""

    label: str
    value: float
    look: int = 0
    hollow: bool = False


def dots(rows: Mapping[str, Sequence[Dot]], *, xlabel: str, alt: str, zero: str = "") -> Plot:
    """Rows by name, and on each the figures of runs and parts."""
    values = np.array([dot.value for row in rows.values() for dot in row if np.isfinite(dot.value)])
    most = max(len(row) for row in rows.values())
    step = max(0.24, 0.085 * most)
    with canvas(0.8 + step * len(rows)) as figure:
        axes = figure.subplots()
        if zero:
            axes.axvline(0, color=SOFT, linewidth=1, linestyle=(0, (1, 1)), label=zero)
        named: set[str] = set()
        for place, row in enumerate(rows.values()):
            for number, dot in enumerate(row):
                colour, height = HUES[dot.look % len(HUES)], place + 0.7 * ((number + 0.5) / len(row) - 0.5)
                axes.plot(
                    [dot.value], [height], linestyle="None", marker=MARKERS[dot.look % len(MARKERS)], markersize=5,
                    color=colour, markerfacecolor="white" if dot.hollow else colour,
                    label=None if dot.label in named else dot.label,
                )  # fmt: skip
                named.add(dot.label)
        axes.set_yticks(range(len(rows)), [shorten(name) for name in rows])
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.set(xlabel=xlabel, ylim=(len(rows) - 0.4, -0.6))
        axes.grid(axis="y", color="#e8ebee", linewidth=0.5)
        axes.set_axisbelow(True)
        if len(values) and values.min() < LOW:
            axes.set_xscale("symlog", linthresh=1.0)
            lowest = int(np.ceil(np.log10(-values.min())))
            ticks = [1.0, 0.0, -1.0, *(-(10.0**k) for k in range(max(1, lowest // 2), lowest + 1, max(1, lowest // 2)))]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_xlim(values.min() * 2, 1.5)
            axes.minorticks_off()
        legend_fitting(figure, axes)
        texts = [f"{name}: " + ", ".join(f"{d.label} {shown(d.value)}" for d in row) for name, row in rows.items()]
        return to_plot(figure, f"{alt} {'; '.join(texts[:SPOKEN])}.")
