"""The figures of a numeric target: prediction against truth, and the error against their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from affectkit.reporting.svg import BLUE, SOFT, VERMILLION, Plot, canvas, shorten, style, to_plot

MANY = 400  # above this many points they are drawn as pixels: 2,000 vector points alone would take 200 kB
CELLS = 50  # along each axis of such a cloud


def scatter(truth: Any, predicted: Any, *, name: str, scale: Sequence[float] | None = None, note: str = "") -> Plot:
    """Prediction against truth, with the identity; a cloud of many points is shaded by density.

    truth, predicted: [N]; rows where either is NaN are left out. note: the figures that belong to it, for the title.
    """
    truth, predicted = _paired(truth, predicted)
    with style():
        figure = canvas(4.6)
        axes = figure.subplots()
        if len(truth):
            low, high = _limits(np.concatenate([truth, predicted]), scale)
            axes.plot([low, high], [low, high], color=SOFT, linewidth=1, linestyle="--", label="identity")
            _cloud(axes, truth, predicted)
            axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
            axes.legend(loc="upper left")
        unit = f" (scale {scale[0]:g} to {scale[1]:g})" if scale else ""
        axes.set(xlabel=f"{shorten(name)}, truth{unit}", ylabel=f"{shorten(name)}, predicted{unit}")
        axes.set_title(note)
        alt = f"Predicted against true {name}, {len(truth)} rows, with the identity line. {note}".strip()
        return to_plot(figure, alt)


def bland_altman(truth: Any, predicted: Any, *, name: str) -> Plot:
    """The error against the mean of truth and prediction, with the mean error and mean +- 1.96 sd (Bland, Altman 1986).

    A slope says that the predictions are drawn towards their mean, or away from it.
    """
    truth, predicted = _paired(truth, predicted)
    error, middle = predicted - truth, (predicted + truth) / 2
    bias = float(error.mean()) if len(error) else np.nan
    spread = 1.96 * float(error.std(ddof=1)) if len(error) > 1 else np.nan
    with style():
        figure = canvas(3.6)
        axes = figure.subplots()
        if len(error):
            _cloud(axes, middle, error)
        lines = ((bias, "mean", "-"), (bias - spread, "mean - 1.96 sd", "--"), (bias + spread, "mean + 1.96 sd", "--"))
        for value, label, dashes in lines:
            if np.isfinite(value):
                axes.axhline(value, color=VERMILLION, linewidth=1, linestyle=dashes)
                beside = axes.get_yaxis_transform()
                axes.text(1.01, value, f"{label}\n{value:+.3f}", transform=beside, va="center", fontsize=8)
        axes.axhline(0, color=SOFT, linewidth=0.8)
        axes.set(xlabel=f"{shorten(name)}, mean of truth and prediction", ylabel="predicted minus true")
        alt = f"Bland-Altman plot of {name}, {len(error)} rows: mean error {bias:+.3f}, "
        alt += f"95 % of the errors between {bias - spread:+.3f} and {bias + spread:+.3f}."
        return to_plot(figure, alt)


def _cloud(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    if len(x) <= MANY:
        axes.plot(x, y, "o", color=BLUE, alpha=0.55, markersize=4, markeredgewidth=0)
    else:
        cells = axes.hist2d(x, y, bins=CELLS, cmin=1, cmap="Blues", norm=LogNorm(vmin=0.3), rasterized=True)[3]
        bar = axes.figure.colorbar(cells, ax=axes, shrink=0.5, aspect=15, label="rows in a cell", format="{x:.0f}")
        bar.outline.set_visible(False)
        bar.ax.set_ylim(bottom=1)


def _paired(truth: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    both = np.isfinite(truth) & np.isfinite(predicted)
    return truth[both], predicted[both]


def _limits(values: np.ndarray, scale: Sequence[float] | None) -> tuple[float, float]:
    ends = np.concatenate([values, np.asarray(scale or [], float)])
    margin = 0.04 * (ends.max() - ends.min()) or 0.5
    return float(ends.min() - margin), float(ends.max() + margin)
