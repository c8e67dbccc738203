"""Scores of a sequence over time, with alerts and true events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.palette import BLUE, GREEN, INK, ORANGE, SHADE, SOFT, VERMILLION, WIDTH
from affectkit.reporting.figures.svg import canvas, finite, shorten, to_plot
from affectkit.reporting.figures.traces import draw_over_time
from affectkit.reporting.page import Plot
from affectkit.results.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 3  # scores that a figure has room for
MOST_SPANS = 300  # of a kind; more are drawn as if those next to each other were one
COLOURS = {"right": BLUE, "found": GREEN, "false": VERMILLION, "missed": ORANGE, "": BLUE}
LOOKS: dict[str, dict[str, Any]] = {
    "score": {"color": INK, "linewidth": 0.8},
    "truth": {"color": GREEN, "linewidth": 1.4},
}


@dataclass(frozen=True)
class Score:
    """values: [T]. truth: [T] or None. cleared: below (above) which an alert ends; None where it is the threshold.
    levels: the names of the values 0, 1, ..., of levels. bounded: between 0 and 1."""

    name: str
    values: np.ndarray
    truth: np.ndarray | None
    threshold: float
    cleared: float | None = None
    levels: Sequence[str] = ()
    bounded: bool = False


@dataclass(frozen=True)
class Span:
    """An alert or a true event; kind: `right`, `false`, `found`, `missed`, or nothing."""

    begin: float
    end: float
    kind: str = ""


def timeline(
    time: Any, scores: Sequence[Score], spans: Mapping[str, Sequence[Span]], *, sequence: str, gap: float
) -> Plot:
    """One sequence: a panel for each score, and below them a strip for each kind of span, alerts first.

    time: [T] seconds, ascending. gap: seconds without a row that break a line.
    """
    time = finite(time)
    scores = [score for score in scores if np.isfinite(finite(score.values)).any()][:PANELS] or list(scores[:1])
    height = 1.5 + 1.3 * len(scores) + 0.3 * len(spans)
    with canvas(height, 1.75 * WIDTH) as figure:
        ratios = [6.0] * len(scores) + [1.0] * len(spans)
        panels = np.atleast_1d(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios))
        for axes, score in zip(panels, scores, strict=False):
            _panel(axes, time, score, next(iter(spans.values())), gap)
        for axes, (name, marks) in zip(panels[len(scores) :], spans.items(), strict=True):
            _strip(axes, name, marks)
        panels[0].set_title(shorten(sequence), loc="left")
        if len(time):
            panels[0].set_xlim(time[0], max(time[-1], time[0] + 1e-3))
        panels[-1].set_xlabel("time (s)", loc="left")
        _legend(figure, panels[0], spans)
        return to_plot(figure, _spoken(time, scores, spans, sequence), wide=True)


def _panel(axes: Axes, time: np.ndarray, score: Score, alerts: Sequence[Span], gap: float) -> None:
    for span in _merged(alerts, time):
        axes.axvspan(span.begin, span.end, color=COLOURS[span.kind], alpha=0.15, linewidth=0)
    draw_over_time(axes, time, finite(score.values), LOOKS["score"], "score", gap)
    if score.truth is not None:
        draw_over_time(axes, time, finite(score.truth), LOOKS["truth"], "truth", gap)
    axes.axhline(score.threshold, color=VERMILLION, linewidth=0.8, linestyle="--")
    if score.cleared is not None:
        axes.axhline(score.cleared, color=SOFT, linewidth=0.8, linestyle=":")
    axes.set_ylabel(shorten(score.name))
    if score.bounded:
        axes.set_ylim(-0.03, 1.03)
    if score.levels:
        axes.set_yticks(range(len(score.levels)), list(map(shorten, score.levels)))
        axes.set_ylim(-0.3, len(score.levels) - 0.7)


def _strip(axes: Axes, name: str, spans: Sequence[Span]) -> None:
    low, high = axes.get_xlim()
    for span in spans if len(spans) <= MOST_SPANS else _merged(spans, np.array([low, high])):
        axes.axvspan(span.begin, span.end, color=COLOURS[span.kind], linewidth=0.8)
    axes.set(ylim=(0, 1), yticks=[], facecolor=SHADE)
    count = f"{len(spans)} {name.removesuffix('s') if len(spans) == 1 else name}"
    axes.set_ylabel(count, rotation=0, ha="right", va="center")


def _merged(spans: Sequence[Span], time: np.ndarray) -> list[Span]:
    """Of many, those of a kind that stand closer than a line is wide, as one."""
    if len(spans) <= MOST_SPANS or not len(time):
        return list(spans)
    width = (time[-1] - time[0]) / MOST_SPANS
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if last and span.begin - last.end < width and (span.kind == last.kind or span.end - span.begin < width):
            merged[-1] = Span(last.begin, max(last.end, span.end), last.kind)
        else:
            merged.append(span)
    return merged


def _legend(figure: Figure, axes: Axes, spans: Mapping[str, Sequence[Span]]) -> None:
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    kinds = {span.kind for marks in spans.values() for span in marks}
    texts = {"right": "right alert", "false": "false alert", "found": "event found", "missed": "event missed"}
    for kind, text in {**texts, "": "alert"}.items():
        if kind in kinds:
            handles.append(Patch(color=COLOURS[kind]))
            labels.append(text)
    figure.legend(handles, labels, loc="outside upper left", ncols=6)


def _spoken(time: np.ndarray, scores: Sequence[Score], spans: Mapping[str, Sequence[Span]], sequence: str) -> str:
    """The text alternative."""
    text = f"{' and '.join(score.name for score in scores)} over time in {sequence}: {len(time)} rows"
    if len(time):
        text += f" from {shown(float(time[0]))} to {shown(float(time[-1]))} s"
    for name, marks in spans.items():
        kinds = {kind: sum(span.kind == kind for span in marks) for kind in COLOURS if kind}
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        text += f"; {len(marks)} {name}" + (f" ({counts})" if counts else "")
    return text
