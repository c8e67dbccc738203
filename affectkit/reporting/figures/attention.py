"""Attention, drawn: where along a row each head's weight falls, and how spread out it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from affectkit.reporting.figures.palette import BAND, BLUE, GREEN, INK, ORANGE, PURPLE, SKY, SOFT, VERMILLION
from affectkit.reporting.figures.svg import legend_above, panel, row_names, to_plot
from affectkit.reporting.page import Plot

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
DASHES = ("-", "--", "-.", ":")  # which tell heads apart in grey, and once the colours are used up
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def weight_curves(
    weights: Mapping[int, np.ndarray], edges: np.ndarray, null: np.ndarray, *, steps: int | None, pair: str
) -> Plot:
    """The mean weight of each part of a row, a line for each head, beside that of weights that are all alike.

    weights: [bins] by number of the head. edges: [bins + 1], shares of a row. null: [bins]. steps: of every row, where
    all have as many, and each bin is one; None where they differ. pair: which set attends to which, in words.
    """
    from matplotlib.ticker import MaxNLocator

    middles = np.arange(1, len(null) + 1) if steps else 50 * (edges[:-1] + edges[1:])

    with panel(3.3) as (canvas, axes):
        axes.plot(middles, null, color=SOFT, linewidth=1.6, linestyle=(0, (6, 2)), label="uniform")
        for place, (head, values) in enumerate(weights.items()):
            look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)]}
            axes.plot(middles, values, marker="o", markersize=3, linewidth=1.3, label=f"head {head}", **look)
        axes.set_ylim(0, 1.1 * max(float(np.max(values)) for values in (null, *weights.values())))
        where = "step" if steps else f"place in the row, % ({len(null)} parts)"
        axes.set(xlabel=where, ylabel="mean weight")
        if steps:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        legend_above(canvas, axes, columns=5)
        peaks = "; ".join(f"head {head} is highest at {middles[int(v.argmax())]:g}" for head, v in weights.items())
        return to_plot(canvas, f"{pair}: mean weight by {where}, beside the uniform. {peaks}.")


def entropy_shares(shares: Mapping[int, np.ndarray], *, pair: str) -> Plot:
    """Of each head a bar over the middle half of the rows and a line over nine tenths of them, with their median.

    shares: [rows] entropy over that of uniform weights, by number of the head; finite.
    """
    quantiles = {head: np.quantile(values, QUANTILES) for head, values in shares.items() if len(values)}
    height = np.arange(len(quantiles))[::-1]
    with panel(1.2 + 0.32 * max(len(quantiles), 1)) as (canvas, axes):
        row_names(axes, height, [f"head {head}" for head in quantiles])
        for place, (low, first, median, third, high) in zip(height, quantiles.values(), strict=True):
            axes.hlines(place, low, high, color=BLUE, linewidth=1.2)
            axes.hlines(place, first, third, color=SKY, linewidth=7)
            axes.plot([median], [place], "|", color=INK, markersize=11, markeredgewidth=1.8)
        axes.axvline(1, color=VERMILLION, linewidth=1.2, linestyle="--", label="uniform, ln T")
        axes.axvspan(1, 1.02, color=BAND, linewidth=0, zorder=0)
        axes.set(xlim=(0, 1.02), ylim=(-0.6, len(quantiles) - 0.4), xlabel="entropy, as a share of ln T")
        legend_above(canvas, axes)
        medians = "; ".join(
            f"head {head}: median {q[2]:.2f} ({q[0]:.2f} to {q[4]:.2f})" for head, q in quantiles.items()
        )
        return to_plot(canvas, f"{pair}: entropy of the weights as a share of that of uniform ones. {medians}.")
