"""Figures of trainings: losses and metrics over epochs, runs together; rates, gradients and speed over steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from affectkit.artifacts.event_files import FINAL
from affectkit.artifacts.reports import file_name
from affectkit.evaluation.rows import mean_of_defined
from affectkit.reporting.figures.correlations import NUMBERED, correlation_of, correlations
from affectkit.reporting.figures.curves import Dot, Line, Marked, Panel, curves, dots, small_panels
from affectkit.reporting.figures.learning import History, best_place, stages, sweep_figure
from affectkit.reporting.figures.svg import shorten, values_of
from affectkit.reporting.page import Figure, Plot, figure
from affectkit.reporting.plots.material import Material
from affectkit.results import words

TOGETHER = 6  # targets whose curves share a panel
FEWEST = 3  # epochs that a correlation over them needs
PARTS = {"val": "validation", "train": "train"}
ZERO = "0: the mean of these rows"


# --- Over epochs


def of_metric(materials: Sequence[Material], *, name: str, metric: str) -> Iterator[Figure]:
    """A metric, or the loss, of train and validation rows over epochs; of several targets the mean over them."""
    drawn = [(run, part, values) for run in trained(materials) for part, values in both_parts(run, metric).items()]
    if drawn:
        yield figure(name, words.metric_over_epochs(metric), _metric, materials, drawn, metric)


def _metric(materials: Sequence[Material], drawn: Sequence[tuple[Material, str, np.ndarray]], metric: str) -> Plot:
    runs = list(dict.fromkeys(run.name for run, _, _ in drawn))
    lines = []
    for run, part, values in drawn:
        label = PARTS[part] if len(runs) == 1 else f"{shorten(run.name)}: {PARTS[part]}"
        x, y = _known(run, values)
        lines.append(Line(label, x, y, look=runs.index(run.name), second=part == "train"))
    title = words.title(metric)
    targets = {name for run, _, _ in drawn for name in targets_of(history_of(run), metric)}
    mean = f", mean over {len(targets)} targets" if len(targets) > 1 else ""
    signed = metric in ("r2", "ccc", "pearson", "kappa")
    panel = Panel(lines, f"{title}{mean}", zero=ZERO if metric == "r2" else "", signed=signed)
    alt = f"{title}{mean} over epochs, {', '.join(runs)}."
    return curves([panel], xlabel="epoch", alt=alt, marked=_marked([run for run, _, _ in drawn]))


def per_target(materials: Sequence[Material], *, name: str, metric: str) -> Iterator[Figure]:
    """A metric of each target, of the validation rows where there are any, else of the train rows."""
    runs = [run for run in trained(materials) if targets_of(history_of(run), metric)]
    if runs:
        yield figure(name, words.per_target_over_epochs(metric), _per_target, runs, metric)


def _per_target(runs: Sequence[Material], metric: str) -> Plot:
    targets = list(dict.fromkeys(name for run in runs for name in targets_of(history_of(run), metric)))
    title = words.title(metric)
    known = {_part_of(history_of(run), metric) for run in runs}
    part = ", else ".join(title for name, title in PARTS.items() if name in known)
    zero = ZERO if metric == "r2" else ""
    if len(runs) == 1 and len(targets) <= TOGETHER:
        lines = [
            Line(shorten(name), *_known(runs[0], column_of(runs[0], name, metric)), look=look)
            for look, name in enumerate(targets)
        ]
        panel = Panel(lines, f"{title}, {part} rows", zero=zero, signed=True)
        return curves([panel], xlabel="epoch", alt=f"{title} of each target over epochs.", marked=_marked(runs))
    panels = []
    for target in targets:
        lines = [
            Line(shorten(run.name) if len(runs) > 1 else part, *_known(run, column_of(run, target, metric)), look=look)
            for look, run in enumerate(runs)
        ]
        panels.append(Panel(lines, title=target, zero=zero, signed=True))
    alt = f"{title} of each of {len(targets)} targets over epochs, {part} rows, {', '.join(run.name for run in runs)}."
    return small_panels(panels, xlabel="epoch", ylabel=f"{title}, {part} rows", alt=alt)


def comparison(materials: Sequence[Material], *, name: str, metric: str) -> Iterator[Figure]:
    """Each target's metric at the epoch that is kept, train beside validation where both are known, runs together."""
    runs = [run for run in trained(materials) if both_parts(run, metric)]
    if runs:
        yield figure(name, words.at_kept_epoch(metric), _comparison, runs, metric)


def _comparison(runs: Sequence[Material], metric: str) -> Plot:
    targets = list(dict.fromkeys(name for run in runs for name in targets_of(history_of(run), metric)))
    rows: dict[str, list[Dot]] = {}
    for target in [*targets, ""]:
        if not target and len(targets) == 1:
            continue
        for look, run in enumerate(runs):
            for part in PARTS:
                values = both_parts(run, metric).get(part) if not target else None
                history = history_of(run)
                column = f"{part}_{target}.{metric}" if target else ""
                if target and any(column in row for row in history):
                    values = values_of(history, column)
                if values is not None:
                    value = values[_kept_place(history, values)]
                    label = PARTS[part] if len(runs) == 1 else f"{shorten(run.name)}: {PARTS[part]}"
                    rows.setdefault(target or "mean" if targets else words.title(metric), []).append(
                        Dot(label, float(value), look, hollow=part == "train")
                    )
    title = words.title(metric)
    zero = ZERO if metric == "r2" else ""
    return dots(rows, xlabel=f"{title} at the kept epoch", zero=zero, alt=f"{title} at the epoch that is kept.")


def metric_correlations(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """How the metrics of a training move together, a figure of each run."""
    runs = [(run, _metric_columns(history_of(run))) for run in trained(materials)]
    runs = [(run, columns) for run, columns in runs if len(columns) > 1 and len(history_of(run)) >= FEWEST]
    for run, columns in runs:
        yield figure(_of_run(name, run, materials), words.METRIC_CORRELATION, _metric_correlation, run, columns)


def _metric_correlation(run: Material, columns: Sequence[str]) -> Plot:
    history = history_of(run)
    matrix = correlation_of(np.stack([values_of(history, column) for column in columns], axis=1))
    names = [_short(column) for column in columns]
    alt = f"Correlations of the metrics of {run.name} over {len(history)} epochs."
    return correlations(matrix, names, label="correlation over epochs", alt=alt)


def _metric_columns(history: History) -> list[str]:
    """Losses and means over targets first, as many as have room for numbers; none that is constant."""
    known = dict.fromkeys(name for row in history for name in row if name.startswith(("train_", "val_")))
    changing = [
        name for name in known if np.unique(values_of(history, name)[np.isfinite(values_of(history, name))]).size > 1
    ]
    means = [name for name in changing if "." not in name]
    return changing if len(changing) <= NUMBERED else means[:NUMBERED] if len(means) > 1 else changing[:NUMBERED]


def _short(column: str) -> str:
    part, _, rest = column.partition("_")
    target, dot, metric = rest.rpartition(".")
    return f"{part} {shorten(target, 11) + ' ' if dot else ''}{words.title(metric)}"


# --- Over steps


def learning_rates(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """By step where steps were logged, else by epoch."""
    runs = [run for run in trained(materials) if _rates(run)]
    if runs:
        yield figure(name, words.RATES, _learning_rates, runs)


def _rates(run: Material) -> History:
    steps: History = [row for row in steps_of(run) if row.get("learning_rate") is not None]
    return steps or [row for row in history_of(run) if row.get("learning_rate") is not None]


def _learning_rates(runs: Sequence[Material]) -> Plot:
    by_step = all(_rates(run) and "step" in _rates(run)[0] and steps_of(run) for run in runs)
    lines = []
    for look, run in enumerate(runs):
        rows = _rates(run) if by_step else [row for row in history_of(run) if "learning_rate" in row] or _rates(run)
        x = values_of(rows, "step") if by_step else epochs_of(rows)
        lines.append(Line(shorten(run.name), x, values_of(rows, "learning_rate"), look=look))
    panel = Panel(lines, "learning rate", log=True)
    return curves([panel], xlabel="optimiser step" if by_step else "epoch", alt="Learning rate.")


def gradient_norms(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """Norm of the gradient over steps; where rows stand for several, their mean and their highest."""
    runs = [run for run in trained(materials) if any("gradient_norm" in row for row in steps_of(run))]
    if runs:
        yield figure(name, words.GRADIENTS, _gradient_norms, runs)


def _gradient_norms(runs: Sequence[Material]) -> Plot:
    lines = []
    for look, run in enumerate(runs):
        rows, before = steps_of(run), "" if len(runs) == 1 else f"{shorten(run.name)}: "
        x, mean, highest = (values_of(rows, name) for name in ("step", "gradient_norm", "gradient_norm_max"))
        if np.isfinite(highest).any() and not np.array_equal(mean, highest, equal_nan=True):
            lines.append(Line(f"{before}highest", x, highest, look=look, second=True))
            lines.append(Line(f"{before}mean", x, mean, look=look, second=False))
        else:
            lines.append(Line(shorten(run.name), x, mean, look=look))
    panel = Panel(lines, "norm of the gradient")
    return curves([panel], xlabel="optimiser step", alt="Norm of the gradient over steps.")


MEASURED = {
    "rows_per_second": ("rows per second", 1.0),
    "loader_wait": ("wait for data [% of time]", 100.0),
    "memory_mb": ("memory [MB]", 1.0),
    "gpu_memory_mb": ("GPU memory [MB]", 1.0),
}


def batch_performance(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """Speed, wait for data and memory over steps."""
    runs = [run for run in trained(materials) if any(set(MEASURED) & set(row) for row in steps_of(run))]
    if runs:
        yield figure(name, words.BATCHES, _batch_performance, runs)


def _batch_performance(runs: Sequence[Material]) -> Plot:
    panels = []
    for column, (label, factor) in MEASURED.items():
        lines = []
        for look, run in enumerate(runs):
            rows = steps_of(run)
            if any(column in row for row in rows):
                y = factor * values_of(rows, column)
                lines.append(Line(shorten(run.name), values_of(rows, "step"), y, look=look))
        if lines:
            panels.append(Panel(lines, label, floor=True))
    return curves(panels, xlabel="optimiser step", alt="Speed of training over steps.")


def sweeps(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """What looked for a learning rate, a figure for each sweep."""
    for run in materials:
        for sweep in run.sweeps:
            drawn = sweep_figure(sweep)
            yield replace(drawn, name=_of_run(drawn.name, run, materials))


# --- What is known of a run


def trained(materials: Sequence[Material]) -> list[Material]:
    return [run for run in materials if run.log is not None]


def history_of(run: Material) -> History:
    return run.log.epochs if run.log else []


def steps_of(run: Material) -> list[dict[str, Any]]:
    """Of the model's own fit, numbered through all its stages; of the first one, where no fit is called final."""
    rows = run.log.steps if run.log else []
    fits = dict.fromkeys(row.get("fit") for row in rows)
    chosen = FINAL if FINAL in fits else next(iter(fits), None)
    return [row for row in rows if row.get("fit") == chosen]


def targets_of(history: History, metric: str) -> list[str]:
    """The targets whose metric stands in a history."""
    ending = f".{metric}"
    columns = dict.fromkeys(name for row in history for name in row if name.endswith(ending))
    names = [name.partition("_")[2].removesuffix(ending) for name in columns if name.startswith(("val_", "train_"))]
    return list(dict.fromkeys(names))


def both_parts(run: Material, metric: str) -> dict[str, np.ndarray]:
    """Part -> [N] the metric, or its mean over targets; of the parts that know it."""
    history, found = history_of(run), {}
    for part in PARTS:
        columns = [f"{part}_{metric}"]
        if not any(columns[0] in row for row in history):
            columns = [f"{part}_{target}.{metric}" for target in targets_of(history, metric)]
        columns = [column for column in columns if any(column in row for row in history)]
        if columns:
            values = mean_of_defined(np.stack([values_of(history, column) for column in columns]), axis=0)
            if np.isfinite(values).any() or metric == "loss":
                found[part] = values
    return found


def column_of(run: Material, target: str, metric: str) -> np.ndarray:
    """[N] of the validation rows where these are known, else of the train rows."""
    return values_of(history_of(run), f"{_part_of(history_of(run), metric)}_{target}.{metric}")


def _part_of(history: History, metric: str) -> str:
    ending = f".{metric}"
    return "val" if any(n.startswith("val_") and n.endswith(ending) for row in history for n in row) else "train"


def _known(run: Material, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a curve. Of a log whose rows tell different things, those that say nothing of it are passed over; in
    a table of all of them, a gap is a gap."""
    history = history_of(run)
    x, dense = epochs_of(history), all(row.keys() == history[0].keys() for row in history)
    kept = np.isfinite(values) | dense
    return x[kept], values[kept]


def epochs_of(history: History) -> np.ndarray:
    """[N] what epochs are called: their numbers through all stages, or fractions, where evaluations lie within them."""
    numbers = values_of(history, "epoch")
    fractions = np.isfinite(numbers) & (numbers != np.round(numbers))
    single = len(stages(history)) <= 1
    if fractions.any() or (single and len(numbers) and np.isfinite(numbers).all() and numbers[0] > 0):
        return numbers
    return np.arange(1, len(history) + 1, dtype=float)


def _kept_place(history: History, values: np.ndarray) -> int:
    """Of the epoch that is kept, else of the last one that is known."""
    place = best_place(history)
    known = np.flatnonzero(np.isfinite(values))
    return place if place is not None else int(known[-1]) if len(known) else -1


def _marked(runs: Sequence[Material]) -> Marked:
    if len({run.name for run in runs}) > 1:
        return Marked()
    history = history_of(runs[0])
    place = best_place(history)
    numbered = np.array_equal(epochs_of(history), np.arange(1, len(history) + 1))
    kept = None if place is None else float(epochs_of(history)[place])
    return Marked(history if numbered else [], kept)


def _of_run(name: str, run: Material, materials: Sequence[Material]) -> str:
    return name if len(materials) == 1 else file_name(f"{run.name}_{name}")
