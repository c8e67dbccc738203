"""Figures of errors of predicted numbers: over the predictions, by tenths of them, and how they are distributed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.curves import COLUMNS, DASHES, HUES, MARKERS
from affectkit.reporting.figures.evaluation import cloud, scatter_panel
from affectkit.reporting.figures.palette import INK, SOFT, VERMILLION
from affectkit.reporting.figures.svg import SMALL_NAME, canvas, legend_fitting, panel, shorten, to_plot
from affectkit.reporting.page import Plot
from affectkit.results.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TENTHS = 10
FEWEST = 5  # rows of a tenth; of fewer there are fewer bins
BINS = 40  # of a distribution
SPOKEN = 6

Pair = tuple[np.ndarray, np.ndarray]  # truth [N], prediction [N], NaN where unknown


def scatters(runs: Mapping[str, Pair], *, name: str, scale: Sequence[float] | None, notes: Mapping[str, str]) -> Plot:
    """Prediction against truth of several runs side by side, on one scale. notes: figures of each, for its title."""

    def draw(axes: Axes, run: str) -> None:
        scatter_panel(axes, *runs[run], scale=ends, bar=False)
        axes.set_title(f"{shorten(run, SMALL_NAME)}\n{notes.get(run, '')}".strip(), fontsize=8)

    values = np.concatenate([np.concatenate(pair) for pair in runs.values()])
    values = np.concatenate([values[np.isfinite(values)], np.asarray(scale or [], float)])
    ends = (float(values.min()), float(values.max())) if len(values) else None
    texts = "; ".join(f"{run}: {notes.get(run) or 'no figures'}" for run in runs)
    return _small(list(runs), draw, 1.95, f"{shorten(name)}, truth", f"{shorten(name)}, predicted",
                  f"Predicted against true {name} of {len(runs)} runs, with the identity line. {texts}.")  # fmt: skip


def residuals(targets: Mapping[str, Pair]) -> Plot:
    """The error against the prediction of each target, with the mean error of each tenth of the predictions."""

    def draw(axes: Axes, name: str) -> None:
        truth, predicted = known(*targets[name])
        axes.axhline(0, color=SOFT, linewidth=1, linestyle="--")
        if len(truth):
            cloud(axes, predicted, predicted - truth, bar=False)
            middle, error, _, _ = tenths(truth, predicted)
            axes.plot(middle, error, color=VERMILLION, marker="D", markersize=3.5, linewidth=1.2, label="mean error")
        axes.set_title(shorten(name, SMALL_NAME), fontsize=8)

    alone = len(targets) == 1
    alt = f"Error against prediction of {', '.join(list(targets)[:SPOKEN])}. {_biases(targets)}"
    return _small(list(targets), draw, 2.8 if alone else 1.75, "prediction", "predicted minus true", alt, shared=False)


def by_tenth(targets: Mapping[str, Mapping[str, Pair]]) -> Plot:
    """Mean error and mean absolute error by tenths of the prediction, of each target, runs in one panel.

    targets: target -> run -> its pair.
    """
    several = len({run for runs in targets.values() for run in runs}) > 1

    def draw(axes: Axes, name: str) -> None:
        axes.axhline(0, color=SOFT, linewidth=1, linestyle=(0, (1, 1)))
        for look, (run, pair) in enumerate(targets[name].items()):
            middle, error, away, spread = tenths(*known(*pair))
            colour, mark = HUES[look % len(HUES)], MARKERS[look % len(MARKERS)]
            before = f"{shorten(run)}: " if several else ""
            line: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 4, "linewidth": 1.3}
            axes.errorbar(middle, error, yerr=spread, label=f"{before}mean error", elinewidth=0.8, **line)
            line |= {"linestyle": (0, (4, 2)), "markerfacecolor": "white"}
            axes.plot(middle, away, label=f"{before}mean absolute error", **line)
        axes.set_title(shorten(name, SMALL_NAME), fontsize=8)

    alone = len(targets) == 1
    first = {name: next(iter(runs.values())) for name, runs in targets.items()}
    alt = f"Mean error and mean absolute error by tenths of the prediction. {_biases(first)}"
    return _small(list(targets), draw, 2.8 if alone else 1.75, "prediction, mean of a tenth of the rows",
                  "error, in the target's units", alt, shared=False)  # fmt: skip


def distribution(runs: Mapping[str, Pair], *, name: str) -> Plot:
    """How the errors of a target are distributed, runs over each other; the mean of each is a line."""
    errors = {run: b - a for run, (a, b) in ((run, known(*pair)) for run, pair in runs.items())}
    values = np.concatenate([np.empty(0), *errors.values()])
    edges = _edges(values)
    texts = []
    with panel(3.3) as (figure, axes):
        for look, (run, error) in enumerate(errors.items()):
            colour, dashes = HUES[look % len(HUES)], DASHES[look % len(DASHES)]
            counts = np.histogram(error, edges)[0]
            share = counts / max(counts.sum(), 1)
            mean, sd = (float(error.mean()), float(error.std())) if len(error) else (np.nan, np.nan)
            summary = f"mean {shown(mean)}, sd {shown(sd)}" if len(error) else "no rows"
            texts.append(f"{run}: {summary}")
            label = f"{shorten(run)}: {summary}" if len(runs) > 1 else summary
            axes.stairs(share, edges, color=colour, linestyle=dashes, linewidth=1.5, label=label, fill=False)
            if len(runs) == 1:
                axes.stairs(share, edges, color=colour, alpha=0.25, fill=True)
            if len(error):
                axes.axvline(mean, color=colour, linewidth=1, linestyle=dashes)
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (1, 1)), label="no error")
        axes.set(
            xlabel=f"{shorten(name)}, predicted minus true", ylabel="share of the rows", xlim=(edges[0], edges[-1])
        )
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:.0%}")
        legend_fitting(figure, axes)
        return to_plot(figure, f"Distribution of the errors of {name}. {'; '.join(texts)}.")


def _edges(values: np.ndarray) -> np.ndarray:
    """Of bins around 0, wide enough for the rows that there are."""
    if not len(values):
        return np.linspace(-1, 1, 11)
    furthest = float(np.abs(values).max()) or 0.5
    count = int(np.clip(2 * len(values) ** (1 / 3), 6, BINS / 2)) * 2
    return np.linspace(-furthest, furthest, count + 1)


def known(truth: np.ndarray, predicted: np.ndarray) -> Pair:
    """The rows that have both."""
    both = np.isfinite(truth) & np.isfinite(predicted)
    return truth[both], predicted[both]


def tenths(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By tenths of the prediction, [K] each: mean prediction, mean error, mean absolute error, and 1.96 standard errors
    of the mean error, rows taken as independent. Equal predictions stay together, so that K may be less than 10."""
    if not len(truth):
        return (np.empty(0),) * 4
    bins = int(np.clip(len(truth) // FEWEST, 1, TENTHS))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1]))
    places = np.searchsorted(edges, predicted, "left")
    rows = []
    for place in np.unique(places):
        error = (predicted - truth)[places == place]
        spread = 1.96 * error.std(ddof=1) / np.sqrt(len(error)) if len(error) > 1 else 0.0
        rows.append((predicted[places == place].mean(), error.mean(), np.abs(error).mean(), spread))
    middle, error, away, spread = np.array(rows).T
    return middle, error, away, spread


def _biases(targets: Mapping[str, Pair]) -> str:
    texts = []
    for name, pair in list(targets.items())[:SPOKEN]:
        _, error, _, _ = tenths(*known(*pair))
        if len(error):
            texts.append(f"{name}: mean error {shown(float(error[0]))} in the lowest part of the predictions, "
                         f"{shown(float(error[-1]))} in the highest")  # fmt: skip
    more = f"; and {len(targets) - SPOKEN} more" if len(targets) > SPOKEN else ""
    return f"{'; '.join(texts)}{more}." if texts else "No rows."


def _small(
    names: Sequence[str], draw: Callable[[Axes, str], None], height: float, xlabel: str, ylabel: str, alt: str,
    *, shared: bool = True,
) -> Plot:  # fmt: skip
    """A panel for each name, three beside each other. shared: on one scale."""
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    with canvas(0.5 + height * rows) as figure:
        grid = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).ravel()
        for axes in grid[len(names) :]:
            axes.remove()
        for axes, name in zip(grid, names, strict=False):
            draw(axes, name)
            _few_ticks(axes, small=len(names) > 1)
        _labels(figure, xlabel, ylabel)
        legend_fitting(figure, grid[0])
        return to_plot(figure, alt, wide=rows > 4)


def _few_ticks(axes: Axes, *, small: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.tick_params(labelsize=8)
    if small:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=1))


def _labels(figure: Figure, xlabel: str, ylabel: str) -> None:
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
