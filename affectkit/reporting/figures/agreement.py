"""Agreement with self-reports, drawn: between subjects and within them, and differences with their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.evaluation import MANY, cloud
from affectkit.reporting.figures.palette import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, SOFT, VERMILLION, WIDTH
from affectkit.reporting.figures.svg import beside_row, canvas, limits, panel, shorten, to_plot
from affectkit.reporting.page import Plot
from affectkit.results.words import is_number, ranged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)  # as many subjects can be told apart
MARKS = "os^Dvp"  # by more than their colour
LABELS = {"bias": "bias", "lower": "lower limit", "upper": "upper limit"}
LABEL = 0.1  # height of a label of two lines, as a share of the axis
LINES = 60  # subjects whose line is drawn: of more, those at even steps of their mean truth


def between_within(
    truth: np.ndarray,
    predicted: np.ndarray,
    subjects: np.ndarray,
    *,
    name: str,
    scale: Sequence[float] | None,
    figures: Mapping[str, Any],
) -> Plot:
    """To the left the subjects' means, to the right all rows with a line for each subject, all of the common slope.

    truth, predicted: [N], finite. subjects: [N] text. figures: the target's part of `agreement` in a report.
    """
    names, codes = np.unique(subjects, return_inverse=True)
    sizes = np.bincount(codes)
    means = [np.bincount(codes, weights=values) / sizes for values in (truth, predicted)]
    ends = limits(np.concatenate([truth, predicted]), scale, 0.04)
    with canvas(4.4, 1.75 * WIDTH) as figure:
        left, right = figure.subplots(1, 2)
        for axes, level, what in ((left, "between", "mean"), (right, "within", "each row")):
            axes.plot(ends, ends, color=SOFT, linewidth=1, linestyle="--", label="identity")
            axes.set(xlim=ends, ylim=ends, aspect="equal", title=_title(level, figures[level]))
            axes.set(xlabel=f"{shorten(name)}, truth ({what})", ylabel=f"{shorten(name)}, predicted ({what})")
        _points(left, means[0], means[1], np.arange(len(names)), len(names))
        _points(right, truth, predicted, codes, len(names))
        _lines(right, truth, predicted, codes, means)
        left.legend(loc="upper left")
        told = "; ".join(_title(level, figures[level]) for level in ("between", "within"))
        alt = f"Predicted against true {name} of {len(names)} subjects, {len(truth)} rows. {told}."
        return to_plot(figure, alt, wide=True)


def bland_altman(
    truth: np.ndarray, predicted: np.ndarray, subjects: np.ndarray, *, name: str, figures: Mapping[str, Any]
) -> Plot:
    """Differences against the mean of both, with bias, limits of agreement and slope, and the intervals of the first
    two shaded. figures: `bland_altman` of the target's part of `agreement`."""
    names, codes = np.unique(subjects, return_inverse=True)
    error, middle = predicted - truth, (predicted + truth) / 2
    with panel(3.9) as (drawing, axes):
        _points(axes, middle, error, codes, len(names))
        axes.axhline(0, color=SOFT, linewidth=0.8)
        heights = _heights(axes, error, figures)
        for key, dashes in (("bias", "-"), ("lower", "--"), ("upper", "--")):
            line, label = figures[key], LABELS[key]
            if not is_number(line["value"]):
                continue
            if is_number(line["low"]) and is_number(line["high"]):
                axes.axhspan(line["low"], line["high"], color=ORANGE, alpha=0.25, linewidth=0, zorder=0)
            axes.axhline(line["value"], color=VERMILLION, linewidth=1.2, linestyle=dashes)
            beside_row(axes, 1.01, heights[key], f"{label}\n{line['value']:+.3f}")
        slope = figures["slope"]["value"]
        if is_number(slope) and np.ptp(middle) > 0:
            span = np.array([middle.min(), middle.max()])
            axes.plot(span, error.mean() + slope * (span - middle.mean()), color=INK, linewidth=1, linestyle=":")
        axes.set(xlabel=f"{shorten(name)}, mean of truth and prediction", ylabel="predicted minus true")
        told = ", ".join(f"{key} {ranged(figures[key])}" for key in ("bias", "lower", "upper", "slope"))
        return to_plot(drawing, f"Bland-Altman plot of {name}, {len(names)} subjects, {len(error)} rows: {told}.")


def _heights(axes: Axes, error: np.ndarray, figures: Mapping[str, Any]) -> dict[str, float]:
    """Where the labels of bias and limits stand, none upon another; the axis is given a range that shows all points
    and limits. Intervals of few subjects are many times as wide, and are cut."""
    known = {key: figures[key]["value"] for key in LABELS if is_number(figures[key]["value"])}
    low, high = min(error.min(), *known.values(), 0.0), max(error.max(), *known.values(), 0.0)
    room = (high - low) or 1.0
    axes.set_ylim(low - 0.4 * room, high + 0.4 * room)
    least = LABEL * 1.8 * room
    if {"lower", "upper"} <= known.keys():
        known["upper"] = max(known["upper"], known["bias"] + least)
        known["lower"] = min(known["lower"], known["bias"] - least)
    return known


def _title(level: str, figures: Mapping[str, Any]) -> str:
    known = ((title, figures[key]["value"]) for title, key in (("r", "pearson"), ("CCC", "ccc")))
    told = [f"{title} {value:.3f}" for title, value in known if is_number(value)]
    return f"{level} subjects: {', '.join(told) or 'undefined'}"


def _points(axes: Axes, x: np.ndarray, y: np.ndarray, codes: np.ndarray, subjects: int) -> None:
    """In a colour and a mark of each subject where these can be told apart, else as a cloud."""
    if subjects > len(COLOURS) or len(x) > MANY:
        cloud(axes, x, y)
        return
    for subject in range(subjects):
        chosen = codes == subject
        look: dict[str, Any] = {"alpha": 0.75, "markersize": 4, "markeredgewidth": 0}
        axes.plot(x[chosen], y[chosen], MARKS[subject], color=COLOURS[subject], **look)


def _lines(
    axes: Axes, truth: np.ndarray, predicted: np.ndarray, codes: np.ndarray, means: Sequence[np.ndarray]
) -> None:
    """Of each subject through its means, as long as its truth is wide; the slope is that of all deviations."""
    deviations = [values - mean[codes] for values, mean in zip((truth, predicted), means, strict=True)]
    spread, count = float((deviations[0] ** 2).sum()), len(means[0])
    if spread <= 1e-12 * float((truth**2).sum()):
        return
    slope = float((deviations[0] * deviations[1]).sum()) / spread
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, codes, deviations[0])
    np.maximum.at(high, codes, deviations[0])
    order = np.argsort(means[0], kind="stable")
    shown = order[np.unique(np.linspace(0, count - 1, min(count, LINES)).round().astype(int))]
    for subject in shown:
        ends = np.array([low[subject], high[subject]])
        colour = COLOURS[subject] if count <= len(COLOURS) else VERMILLION
        axes.plot(means[0][subject] + ends, means[1][subject] + slope * ends, color=colour, linewidth=0.9, alpha=0.8)
