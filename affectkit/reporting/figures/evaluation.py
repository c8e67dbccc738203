"""Figures of an evaluation, each from plain numbers to a `Plot`. Nothing here computes a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.palette import BAND, BLUE, INK, ORANGE, SHADE, SKY, SOFT, VERMILLION, WIDTH
from affectkit.reporting.figures.svg import (
    beside_row,
    canvas,
    legend_above,
    limits,
    panel,
    row_names,
    shorten,
    to_plot,
    values_of,
)
from affectkit.reporting.page import Plot
from affectkit.results.words import is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDY_CELLS = 12  # above this many classes a confusion cell holds its share alone
NAMED_GROUPS = 40  # above this many groups they are ranked along an axis instead of named one per line


def confusion(counts: Any, classes: Sequence[str]) -> Plot:
    """Truth by prediction: counts, coloured by the share of the true class (its diagonal is the recall).

    counts: [K, K], rows are the truth.
    """
    size = len(classes)
    counts = np.asarray(counts, float).reshape(size, size)
    totals = counts.sum(axis=1)
    share = np.divide(counts, totals[:, None], out=np.full_like(counts, np.nan), where=totals[:, None] > 0)
    width = WIDTH if size <= 8 else min(0.32 * size + 2.2, 12.0)
    with panel(width * (0.88 if size > 4 else 0.8), width) as (figure, axes):
        axes.set_facecolor(SHADE)  # a class that never occurs has no shares
        grid = axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=0.5)
        grid.set_rasterized(size > WORDY_CELLS)
        _class_axes(axes, classes, totals)
        _cell_texts(axes, counts, share)
        bar = figure.colorbar(grid, ax=axes, shrink=0.7, label="share of the true class", format="{x:.0%}")
        bar.outline.set_visible(False)
        alt = f"Confusion matrix of {size} classes and {counts.sum():.0f} rows."
        recall = [f"{c} {share[i, i]:.0%}" for i, c in enumerate(classes) if totals[i]]
        if recall and size <= WORDY_CELLS:
            alt += f" Recall: {', '.join(recall)}."
        return to_plot(figure, alt, wide=size > WORDY_CELLS)


def _class_axes(axes: Axes, classes: Sequence[str], totals: np.ndarray) -> None:
    size, names = len(classes), [shorten(c) for c in classes]
    axes.set(xlabel="predicted class", ylabel="true class (rows)", aspect="equal", ylim=(max(size, 1), 0))
    axes.set_xticks(np.arange(size) + 0.5, names)
    if size > 4:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(size) + 0.5, [f"{c} ({n:.0f})" for c, n in zip(names, totals, strict=True)])
    axes.tick_params(length=0, labelsize=9 if size <= WORDY_CELLS else 8)
    axes.spines[:].set_visible(False)


def _cell_texts(axes: Axes, counts: np.ndarray, share: np.ndarray) -> None:
    wordy = len(counts) <= WORDY_CELLS
    for row, column in np.argwhere(counts > 0):
        part = share[row, column]
        if not wordy and row != column and part < 0.1:  # 900 small numbers would hide the few that matter
            continue
        text = f"{counts[row, column]:.0f}\n{part:.0%}" if wordy else f"{100 * part:.0f}"
        look: dict[str, Any] = {"color": "white" if part > 0.65 else INK, "fontsize": 8}
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", **look)


def reliability(bins: Sequence[Mapping[str, float]], *, ece: float, null: Mapping[str, float] | None = None) -> Plot:
    """Accuracy against confidence with the band of a perfectly calibrated model, above a histogram of the confidence.

    bins: `low`, `high`, `n`, and where n > 0 `confidence` and `accuracy` (means in the bin), `null_low` and `null_high`
    (the central 95 % of a calibrated model's accuracy in the bin).
    null: `ece_mean` and `ece_p95`, what ECE comes to at this size when nothing is wrong.
    """
    title = ece_title(ece, null)
    with canvas(4.9) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        points = reliability_panels(above, below, bins)
        above.set(ylabel="accuracy in the bin", title=title)
        above.legend(loc="lower right")
        below.set(xlabel="confidence: probability of the predicted class", ylabel="rows")
        return to_plot(figure, f"Reliability diagram. {title}. Confidence and accuracy by bin: {points}.")


def reliability_panels(above: Axes, below: Axes, bins: Sequence[Mapping[str, Any]], *, thick: float = 9) -> str:
    """Draw accuracy against confidence, and how many rows each bin has; what was drawn, in words.

    thick: of a bar of the band, in points.
    """
    filled = [b for b in bins if b["n"]]
    confidence, accuracy, count = (values_of(filled, key) for key in ("confidence", "accuracy", "n"))
    edges, right, low, high = (values_of(filled, key) for key in ("low", "high", "null_low", "null_high"))
    above.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--", label="calibrated")
    above.vlines(confidence, low, high, color=BAND, linewidth=thick, label="95 % of calibrated models")
    (points,) = above.plot(confidence, accuracy, "o", color=BLUE, markersize=5, label="this model")
    points.set(clip_on=False, in_layout=False)  # a confidence of 1 is common and lies on the edge
    above.set(ylim=(-0.02, 1.02), xlim=(0, 1))
    below.bar(edges, count, width=right - edges, align="edge", color=BLUE, edgecolor="white")
    below.set_ylim(bottom=0)
    texts = (f"{c:.2f}: {a:.2f} (n={n:.0f})" for c, a, n in zip(confidence, accuracy, count, strict=True))
    return "; ".join(texts) or "no rows"


def ece_title(ece: float, null: Mapping[str, float] | None) -> str:
    if not np.isfinite(ece):
        return "ECE undefined"
    if not null or null.get("ece_mean") is None:
        return f"ECE {ece:.3f}"
    return f"ECE {ece:.3f} (calibrated: {null['ece_mean']:.3f}, 95 % below {null['ece_p95']:.3f})"


def groups(
    names: Sequence[str], values: Any, sizes: Any, *, metric: str, column: str, pooled: Mapping[str, Any]
) -> Plot:
    """A metric in each group, worst first, over the pooled figure and its interval.

    pooled: `value`, `low`, `high` of the same metric over all rows; low and high may be None.
    """
    values = np.asarray(values, float)
    order = [i for i in np.argsort(values, kind="stable") if np.isfinite(values[i])]
    ranked, named = values[order], len(order) <= NAMED_GROUPS
    with panel(1.3 + 0.17 * len(order) if named else 3.4) as (figure, axes):
        line, span = (axes.axvline, axes.axvspan) if named else (axes.axhline, axes.axhspan)
        if is_number(pooled.get("low")) and is_number(pooled.get("high")):
            span(pooled["low"], pooled["high"], color=BAND, label="interval of the pooled figure")
        if is_number(pooled.get("value")):
            line(pooled["value"], color=VERMILLION, linewidth=1.2, label=f"pooled {metric} {pooled['value']:.3f}")
        if named:
            height = np.arange(len(order))[::-1]
            row_names(axes, height, [f"{shorten(names[i])} (n={sizes[i]:.0f})" for i in order])
            axes.plot(ranked, height, "o", color=BLUE, markersize=5)
            axes.set(xlabel=metric, ylabel=column, ylim=(-0.7, max(len(order), 1) - 0.3))
        else:
            places = np.arange(1, len(order) + 1)
            axes.plot(places, ranked, "o", color=BLUE, markersize=3, rasterized=len(order) > 500)
            axes.set(xlabel=f"{column}, ranked (1 is the worst; names are in per_group.csv)", ylabel=metric)
        legend_above(figure, axes, 2)
        ends = [f"{values[i]:.3f} ({names[i]})" for i in (order[0], order[-1])] if order else ["nothing", "nothing"]
        return to_plot(figure, f"{metric} in each of {len(order)} groups ({column}) from {ends[0]} to {ends[1]}.")


def recalls(classes: Sequence[str], rows: Sequence[Mapping[str, Any]], *, chance: float | None = None) -> Plot:
    """The recall of each class with its interval. rows: `n`, `recall`, `recall_low`, `recall_high` of each class."""
    recall, low, high = (values_of(rows, key) for key in ("recall", "recall_low", "recall_high"))
    height = np.arange(len(classes))[::-1]
    with panel(1.1 + 0.24 * len(classes)) as (figure, axes):
        axes.barh(height, recall, color=BLUE, height=0.62)
        known = np.isfinite(low) & np.isfinite(high)
        place, start, end = height[known], low[known], high[known]
        axes.hlines(place, start, end, color=INK, linewidth=1.4)
        axes.plot(start, place, "|", end, place, "|", color=INK, markersize=5)
        if chance is not None:
            axes.axvline(chance, color=ORANGE, linewidth=1.4, linestyle="--", label=f"chance {chance:.3f}")
            figure.legend(loc="outside upper right")
        axes.set_yticks(height, [f"{shorten(c)} (n={row['n']:.0f})" for c, row in zip(classes, rows, strict=True)])
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel="recall", xlim=(0, 1), ylim=(-0.6, max(len(classes), 1) - 0.4))
        texts = ", ".join(f"{c} {r:.3f}" for c, r in zip(classes, recall, strict=True) if np.isfinite(r))
        return to_plot(figure, f"Recall of each class: {texts or 'no rows'}.")


# --- Of a numeric target: prediction against truth, and the error against their mean


MANY = 400  # above this many points they are drawn as pixels: 2,000 vector points alone would take 200 kB
CELLS = 50  # along each axis of such a cloud
COUNTS = tuple(step * 10**power for power in range(8) for step in (1, 2, 5))  # on its colour bar


def scatter(
    truth: Any,
    predicted: Any,
    *,
    name: str,
    scale: Sequence[float] | None = None,
    note: str = "",
    ends: tuple[Any, Any] | None = None,
) -> Plot:
    """Prediction against truth, with the identity; a cloud of many points is shaded by density.

    truth, predicted: [N]; rows where either is NaN are left out. note: the figures that belong to it, for the title.
    ends: of each prediction's interval, low [N] and high [N].
    """
    with panel(4.6) as (figure, axes):
        count = scatter_panel(axes, truth, predicted, scale=scale, ends=ends)
        if count:
            axes.legend(loc="upper left")
        unit = f" (scale {scale[0]:g} to {scale[1]:g})" if scale else ""
        axes.set(xlabel=f"{shorten(name)}, truth{unit}", ylabel=f"{shorten(name)}, predicted{unit}", title=note)
        flat = " ".join(note.split())
        alt = f"Predicted against true {name}, {count} rows, with the identity line. {flat}".strip()
        return to_plot(figure, alt)


def scatter_panel(
    axes: Axes,
    truth: Any,
    predicted: Any,
    *,
    scale: Sequence[float] | None = None,
    ends: tuple[Any, Any] | None = None,
    bar: bool = True,
) -> int:
    """The cloud, the identity and what is known of intervals, in a square; how many rows are drawn.

    bar: whether a density gets its colour bar.
    """
    low, high = _intervals(truth, predicted, ends)
    truth, predicted = _paired(truth, predicted)
    if len(truth):
        line = limits(np.concatenate([truth, predicted]), scale, 0.04)
        axes.plot(line, line, color=SOFT, linewidth=1, linestyle="--", label="identity")
        _interval_marks(axes, truth, low, high)
        cloud(axes, truth, predicted, bar=bar)
        axes.set(xlim=line, ylim=line, aspect="equal")
    return len(truth)


def _intervals(truth: Any, predicted: Any, ends: tuple[Any, Any] | None) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the rows that are drawn, [M] each, NaN where unknown; empty where none are known."""
    if ends is None:
        return np.empty(0), np.empty(0)
    known = np.isfinite(np.asarray(truth, float)) & np.isfinite(np.asarray(predicted, float))
    return np.asarray(ends[0], float)[known], np.asarray(ends[1], float)[known]


def _interval_marks(axes: Axes, truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """A bar for each prediction; of many, the mean interval of each tenth of the rows, by their truth."""
    if not len(low) or not np.isfinite(low + high).any():
        return
    if len(low) <= MANY:
        axes.vlines(truth, low, high, color=SKY, linewidth=0.8, alpha=0.7, zorder=1, label="prediction interval")
        return
    edges = np.unique(np.quantile(truth, np.linspace(0, 1, 11)))
    bins = np.clip(np.searchsorted(edges, truth, "right") - 1, 0, max(len(edges) - 2, 0))
    for place in range(max(len(edges) - 1, 1)):
        inside = (bins == place) & np.isfinite(low + high)
        if inside.any():
            across = edges[place : place + 2] if len(edges) > 1 else edges[0] + np.array([-0.5, 0.5])
            ends = low[inside].mean(), high[inside].mean()
            label = None if place else "mean prediction interval"
            axes.fill_between(across, *ends, color=BAND, alpha=0.8, linewidth=0, zorder=0.5, label=label)


def bland_altman(truth: Any, predicted: Any, *, name: str) -> Plot:
    """The error against the mean of truth and prediction, with the mean error and mean +- 1.96 sd (Bland, Altman 1986).

    A slope says that the predictions are drawn towards their mean, or away from it.
    """
    truth, predicted = _paired(truth, predicted)
    error, middle = predicted - truth, (predicted + truth) / 2
    bias = float(error.mean()) if len(error) else np.nan
    spread = 1.96 * float(error.std(ddof=1)) if len(error) > 1 else np.nan
    with panel(3.6) as (figure, axes):
        if len(error):
            cloud(axes, middle, error)
        lines = ((bias, "mean", "-"), (bias - spread, "mean - 1.96 sd", "--"), (bias + spread, "mean + 1.96 sd", "--"))
        for value, label, dashes in lines:
            if np.isfinite(value):
                axes.axhline(value, color=VERMILLION, linewidth=1, linestyle=dashes)
                beside_row(axes, 1.01, value, f"{label}\n{value:+.3f}")
        axes.axhline(0, color=SOFT, linewidth=0.8)
        axes.set(xlabel=f"{shorten(name)}, mean of truth and prediction", ylabel="predicted minus true")
        alt = f"Bland-Altman plot of {name}, {len(error)} rows: mean error {bias:+.3f}, "
        alt += f"95 % of the errors between {bias - spread:+.3f} and {bias + spread:+.3f}."
        return to_plot(figure, alt)


def cloud(axes: Axes, x: np.ndarray, y: np.ndarray, *, bar: bool = True) -> None:
    """Points; of many, how many lie in each cell. bar: whether a colour bar says how many."""
    if len(x) <= MANY:
        axes.plot(x, y, "o", color=BLUE, alpha=0.55, markersize=4, markeredgewidth=0)
    else:
        from matplotlib.colors import LogNorm

        counts, _, _, cells = axes.hist2d(
            x, y, bins=CELLS, cmin=1, cmap="Blues", norm=LogNorm(vmin=0.3), rasterized=True
        )
        if not bar:
            return
        steps = [step for step in COUNTS if step <= np.nanmax(counts)]
        look: dict[str, Any] = {"ticks": steps, "format": "{x:.0f}", "shrink": 0.5, "aspect": 15}
        colours = axes.figure.colorbar(cells, ax=axes, label="rows in a cell", **look)
        colours.minorticks_off()  # their labels are mathematics, which stays text here
        colours.outline.set_visible(False)
        colours.ax.set_ylim(bottom=1)


def _paired(truth: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    both = np.isfinite(truth) & np.isfinite(predicted)
    return truth[both], predicted[both]
