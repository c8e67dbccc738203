"""The sweep of a learning-rate finder: the loss over rates, and the rate that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np

from affectkit.artifacts.reports import file_name
from affectkit.reporting import captions
from affectkit.reporting.figures import Figure
from affectkit.reporting.learning_figures import RATES, legend_above, log_ticks, rate_text
from affectkit.reporting.numbers import finite, shown
from affectkit.reporting.svg import BLUE, SOFT, VERMILLION, Plot, canvas, style, to_plot

CUT = 2  # times its fall before the valley: what a diverging loss may take of the axis


def sweep_figure(sweep: Mapping[str, Any]) -> Figure:
    """The sweep before a stage: losses over rates, and the rate that was chosen, or why none was.

    sweep: `stage`, `rates`, `losses` and `smoothed` ([n] each), `rate` (None where none was found), `reason`.
    """
    stage = str(sweep.get("stage") or "")
    plot = _sweep(sweep, f"before stage {stage}" if stage else "")
    return Figure(file_name(f"lr_find_{stage}" if stage else "lr_find"), RATES, captions.SWEEP, plot)


def _sweep(sweep: Mapping[str, Any], title: str) -> Plot:
    rates, losses, smoothed = (finite(sweep.get(key) or []) for key in ("rates", "losses", "smoothed"))
    chosen, reason = sweep.get("rate"), str(sweep.get("reason") or "unknown")
    with style():
        figure = canvas(3.3)
        axes = figure.subplots()
        axes.plot(rates, losses, color=SOFT, linewidth=0.8, label="each batch")
        axes.plot(rates, smoothed, color=BLUE, linewidth=2, label="smoothed")
        if chosen is not None:
            near = int(np.abs(np.log(rates / chosen)).argmin())
            axes.axvline(chosen, color=VERMILLION, linewidth=1.2, linestyle="--", label=f"chosen: {rate_text(chosen)}")
            axes.plot([chosen], [smoothed[near]], "D", color=VERMILLION, markersize=6, zorder=3)
        else:
            title = "\n".join(filter(None, (title, fill(f"no valley: {reason}", 74))))
        axes.set(xlabel="learning rate", ylabel="loss", title=title)
        if len(rates):
            axes.set(xscale="log", xlim=(rates.min(), rates.max() * 1.001))
            log_ticks(axes, "x", rates.max() / rates.min())
            axes.set_ylim(*_frame(losses, smoothed))
        legend_above(figure, axes)
        return to_plot(figure, _sweep_words(rates, smoothed, chosen, reason, title.partition("\n")[0]))


def _frame(losses: np.ndarray, smoothed: np.ndarray) -> tuple[float, float]:
    """All but the divergence, of which a few times the fall before it, and but the wildest batches."""
    known = smoothed[np.isfinite(smoothed)]
    if not len(known):
        return 0.0, 1.0
    lowest = int(known.argmin())
    fall = known[: lowest + 1].max() - known[lowest]
    top = known[lowest] + CUT * fall
    diverges = known.max() > top and fall > 0
    batches = losses[: lowest + 1 if diverges else None]
    low, high = np.quantile(batches[np.isfinite(batches)], (0.02, 0.98))
    low, high = min(low, known[lowest]), max(high, min(known.max(), top) if diverges else known.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return float(low - margin), float(high + margin)


def _sweep_words(rates: np.ndarray, smoothed: np.ndarray, chosen: float | None, reason: str, title: str) -> str:
    """The text alternative."""
    said = f"Learning-rate sweep {title}".strip() + f", {len(rates)} steps"
    known = np.flatnonzero(np.isfinite(smoothed))
    if len(known):
        lowest = known[smoothed[known].argmin()]
        said += (
            f" from {rate_text(rates[0])} to {rate_text(rates[-1])}; smoothed loss {shown(smoothed[known[0]])} at the"
        )
        said += f" start, lowest {shown(smoothed[lowest])} at {rate_text(rates[lowest])}"
    return said + (f". No valley: {reason}." if chosen is None else f". Chosen: {rate_text(chosen)}.")
