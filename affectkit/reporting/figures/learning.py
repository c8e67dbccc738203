"""Figures of a training: losses, the monitored metric and learning rates over epochs; the sweep of a rate finder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.palette import BLUE, INK, ORANGE, SHADE, SOFT, VERMILLION
from affectkit.reporting.figures.svg import finite, legend_above, panel, to_plot, values_of
from affectkit.reporting.page import Figure, Plot, figure
from affectkit.results import words
from affectkit.results.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN_LOSS, VAL_LOSS = "train_loss", "val_loss"
VAL_SCORE = "val_score"  # the mean of the targets' UAR or CCC, by which several targets' epochs are chosen
MARKED = 40  # epochs; of more, a line alone is drawn
STEEP = 50  # times the lowest loss; a wider range stands on a logarithmic axis
NAME_WIDTH = 0.0155  # of a character of a stage's name, as a share of the axis
LOOKS: dict[str, dict[str, Any]] = {
    TRAIN_LOSS: {"color": ORANGE, "linestyle": (0, (4, 2)), "linewidth": 1.4, "marker": "s", "markersize": 3},
    "other": {"color": BLUE, "linewidth": 1.8, "marker": "o", "markersize": 4},
}

History = Sequence[Mapping[str, Any]]


def learning_curves(history: History, *, monitor: str | None = None) -> list[Figure]:
    """Losses, the monitored metric, and last the learning rates over epochs.

    history: a row per epoch in the order of training: `stage`, `epoch` (1-based within its stage), `learning_rate`,
    `train_loss`, `val_loss` and `val_<metric>` where there are validation rows, `best` (as good as none before it).
    monitor: the column by which epochs are compared; the first metric, where it is not named.
    """
    if not history:
        return []
    monitor, staged = monitor or monitored(history), len(stages(history)) > 1
    validated = bool(np.isfinite(values_of(history, VAL_LOSS)).any())
    losses = [TRAIN_LOSS, VAL_LOSS] if validated else [TRAIN_LOSS]
    curves = [("learning_loss", words.LEARNING_LOSS + words.HEART * validated, losses, "loss")]
    if monitor and monitor not in (TRAIN_LOSS, VAL_LOSS):
        curves.append(("learning_metric", words.LEARNING_METRIC, [monitor], column_title(monitor)))
    curves.append(("learning_rate", words.LEARNING_RATE, ["learning_rate"], "learning rate"))
    return [
        figure(name, words.learning_caption(text, staged=staged), _curves, history, columns, label)
        for name, text, columns, label in curves
    ]


def monitored(history: History) -> str:
    """Of several targets their mean score, else the first metric of the validation rows, else their loss, else ""."""
    columns = [name for name in dict.fromkeys(name for row in history for name in row) if name.startswith("val_")]
    if VAL_SCORE in columns:
        return VAL_SCORE
    return next((name for name in columns if name != VAL_LOSS), next(iter(columns), ""))


def column_title(name: str) -> str:
    """`val_valence.ccc` -> `validation valence CCC`."""
    if name == VAL_SCORE:
        return "validation score, mean over targets"
    part, _, rest = name.partition("_")
    where = {"val": "validation ", "train": "train "}.get(part)
    return name.replace("_", " ") if where is None else where + words.title(rest)


def best_place(history: History) -> int | None:
    """The row of the epoch whose weights are kept: the last one that was the best so far."""
    places = [place for place, row in enumerate(history) if row.get("best") in (True, "True")]
    return places[-1] if places else None


def stages(history: History) -> list[tuple[str, int, int]]:
    """Name, first row and the row after the last one of each stage; epochs that begin anew begin a stage."""
    starts = []
    for place, row in enumerate(history):
        before = history[place - 1] if place else {"epoch": np.inf}
        if row.get("stage") != before.get("stage") or row.get("epoch", 0) <= before.get("epoch", -1):
            starts.append(place)
    spans = zip(starts, [*starts[1:], len(history)], strict=False)
    return [(str(history[start].get("stage") or ""), start, end) for start, end in spans]


def _curves(history: History, columns: Sequence[str], label: str) -> Plot:
    """Columns of the history over epochs, numbered through all stages."""
    from matplotlib.ticker import MaxNLocator

    epochs = np.arange(1, len(history) + 1)
    drawn, log = {name: values_of(history, name) for name in columns}, "learning_rate" in columns
    with panel(3.3) as (canvas, axes):
        stage_marks(axes, history)
        for name, values in drawn.items():
            values = np.where(values > 0, values, np.nan) if log else values
            look = dict(LOOKS.get(name, LOOKS["other"]))
            if len(epochs) > MARKED:
                look["marker"] = "None" if np.isfinite(values).sum() > 1 else look["marker"]
            for start, end in [(a, b) for _, a, b in stages(history)] if log else [(0, len(epochs))]:
                axes.plot(epochs[start:end], values[start:end], label=None if start else column_title(name), **look)
        place = best_place(history)
        if place is not None:
            mark(axes, place + 1, drawn[columns[-1]][place], f"kept: epoch {place + 1}")
        axes.set(xlabel="epoch", ylabel=label, xlim=(0.5, len(epochs) + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        scale(axes, np.concatenate(list(drawn.values())), log)
        legend_above(canvas, axes)
        texts = "; ".join(_spoken(name, values) for name, values in drawn.items())
        kept = "" if place is None else f"The weights of epoch {place + 1} are kept."
        return to_plot(canvas, f"{label} over {_counted(history)}: {texts}. {kept}".strip())


def stage_marks(axes: Axes, history: History) -> None:
    """A shade behind every second stage, and the names above, as far as there is room."""
    spans = stages(history)
    for number, (name, start, end) in enumerate(spans if len(spans) > 1 else []):
        if number % 2:
            axes.axvspan(start + 0.5, end + 0.5, color=SHADE, linewidth=0, zorder=0)
        if number:
            axes.axvline(start + 0.5, color=SOFT, linewidth=0.8, zorder=0.5)
        room = int((end - start) / len(history) / NAME_WIDTH)
        text = name if len(name) <= room else f"{name[: room - 1]}…" if room > 3 else ""
        above = axes.get_xaxis_transform()
        axes.text((start + end + 1) / 2, 1.02, text, transform=above, ha="center", fontsize=8, color=INK)


def mark(axes: Axes, x: float, y: float, label: str) -> None:
    """What was chosen along x."""
    axes.axvline(x, color=VERMILLION, linewidth=1.2, linestyle="--", label=label)
    if np.isfinite(y):
        axes.plot([x], [y], "D", color=VERMILLION, markersize=6, zorder=3)


def scale(axes: Axes, values: np.ndarray, log: bool) -> None:
    """A logarithmic axis for rates, and for losses of which one is many times another; no axis for nothing."""
    known = values[np.isfinite(values)]
    positive = known[known > 0]
    steep = len(positive) == len(known) and len(known) and positive.max() > STEEP * positive.min()
    if not len(known):
        axes.set(ylim=(0, 1), yticks=[])
    elif (log or steep) and len(positive):
        axes.set(yscale="log", ylim=(positive.min() / 1.6, positive.max() * 1.6))
        log_ticks(axes, "y", positive.max() / positive.min())


def log_ticks(axes: Axes, which: str, ratio: float) -> None:
    """Tick labels without mathematics: matplotlib's own are formulas, which stay raw in our figures."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(LogLocator(subs=(1.0,) if ratio > 300 else (1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: rate_text(value)))
    axis.set_minor_formatter(NullFormatter())


def rate_text(rate: float) -> str:
    """`3e-5`, `0.001`, `1.25e-6`."""
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{rate:.3g}")


def _spoken(name: str, values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return f"{column_title(name)} unknown"
    text = rate_text if name == "learning_rate" else shown
    ends = f"from {text(float(known[0]))} to {text(float(known[-1]))}"
    return f"{column_title(name)} {ends}, lowest {text(float(known.min()))}, highest {text(float(known.max()))}"


def _counted(history: History) -> str:
    spans = stages(history)
    text = f"{len(history)} epoch{'' if len(history) == 1 else 's'}"
    if len(spans) > 1:
        text += " of the stages " + ", ".join(f"{name} ({end - start})" for name, start, end in spans)
    return text


# --- The sweep of a learning-rate finder: the loss over rates, and the rate that was chosen


CUT = 2  # times its fall before the valley: what a diverging loss may take of the axis


def sweep_figure(sweep: Mapping[str, Any]) -> Figure:
    """The sweep before a stage: losses over rates, and the rate that was chosen, or why none was.

    sweep: `stage`, `rates`, `losses` and `smoothed` ([n] each), `rate` (None where none was found), `reason`.
    """
    stage = str(sweep.get("stage") or "")
    name, title = (f"lr_find_{stage}", f"before stage {stage}") if stage else ("lr_find", "")
    return figure(name, words.SWEEP, _sweep, sweep, title)


def _sweep(sweep: Mapping[str, Any], title: str) -> Plot:
    rates, losses, smoothed = (finite(sweep.get(key) or []) for key in ("rates", "losses", "smoothed"))
    chosen, reason = sweep.get("rate"), str(sweep.get("reason") or "unknown")
    with panel(3.3) as (canvas, axes):
        axes.plot(rates, losses, color=SOFT, linewidth=0.8, label="each batch")
        axes.plot(rates, smoothed, color=BLUE, linewidth=2, label="smoothed")
        if chosen is not None:
            near = int(np.abs(np.log(rates / chosen)).argmin())
            mark(axes, chosen, smoothed[near], f"chosen: {rate_text(chosen)}")
        else:
            title = "\n".join(filter(None, (title, fill(f"no valley: {reason}", 74))))
        axes.set(xlabel="learning rate", ylabel="loss", title=title)
        if len(rates):
            axes.set(xscale="log", xlim=(rates.min(), rates.max() * 1.001))
            log_ticks(axes, "x", rates.max() / rates.min())
            axes.set_ylim(*_frame(losses, smoothed))
        legend_above(canvas, axes)
        return to_plot(canvas, _sweep_words(rates, smoothed, chosen, reason, title.partition("\n")[0]))


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
    text = f"Learning-rate sweep {title}".strip() + f", {len(rates)} steps"
    known = np.flatnonzero(np.isfinite(smoothed))
    if len(known):
        lowest = known[smoothed[known].argmin()]
        text += f" from {rate_text(rates[0])} to {rate_text(rates[-1])}; smoothed loss {shown(smoothed[known[0]])}"
        text += f" at the start, lowest {shown(smoothed[lowest])} at {rate_text(rates[lowest])}"
    return text + (f". No valley: {reason}." if chosen is None else f". Chosen: {rate_text(chosen)}.")
