"""A run that is watched in a terminal: what it is, how far it is, its curves and its last epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import fmean
from typing import Any

from rich.console import Group
from rich.text import Text

from affectkit.artifacts.progress import FitLog, Row, Status, count_of, number_of, seconds_of
from affectkit.console import duration
from affectkit.errors import listed
from affectkit.plain import printable
from affectkit.reporting.characters import BRAILLE, LETTERS, Chart, Curve, Pen, drawn
from affectkit.reporting.figures.learning import TRAIN_LOSS, VAL_LOSS, best_place, monitored, stages
from affectkit.results import words

HEIGHT, ROWS = 11, 10  # of a chart, and of epochs, where the height of the page is free
LOWEST, TALLEST, FEWEST = 6, 14, 5  # of a chart, and epochs that it leaves room for, where the height is given
LONGEST_BAR = 40
POINTS = 60  # of a curve over steps
BESIDE = 76  # columns from which charts stand side by side
COLOURS = {"running": "green", "finished": "bold green", "silent": "yellow"}
OVER = ("killed", "failed", "ended")  # without a result; the last where nothing tells which of them
NUMBERS = {"stage", "epoch", "step", "best"}  # columns that number the rows of a history
MODEL_OPTIONS = ("model", "base_model", "rule", "encoder", "method")  # what names the model, by command


def draw(status: Status, width: int, height: int | None = None, *, colour: bool = True) -> Group:
    """The run on `width` columns, and on about `height` lines, where these are given. colour: whether the terminal
    shows colours, and braille; else letters draw the curves."""
    head = [*_head(status), *_place(status)]
    charts, rows = _charts(status), status.epochs
    tiers = len(charts) if width < BESIDE else min(len(charts), 1)
    used = sum(-(-max(line.cell_len, 1) // width) for line in head) + 3  # the bar and the line of fits follow
    tall, most = _sizes(None if height is None else height - used, tiers, len(rows))
    pen = BRAILLE if colour else LETTERS
    body = _beside(charts, width, tall, pen) if tiers < len(charts) else _below(charts, width, tall, pen)
    return Group(*head, *_bar(status, width, pen), *body, *_table(rows, status.monitor, width, most), *_fits(status))


def _sizes(free: int | None, tiers: int, epochs: int) -> tuple[int, int]:
    """Lines of a chart, and rows of the table. free: lines for both; None: as many as they take. tiers: charts below
    each other. epochs: that there are."""
    if free is None:
        return HEIGHT, ROWS
    tall = min(max((free - min(epochs, FEWEST) - 3) // max(tiers, 1), LOWEST), TALLEST)
    return tall, max(free - tall * tiers - 3, 2)


def facts(status: Status) -> dict[str, Any]:
    """For --json: times in seconds, NaN where something is not known."""
    rows, place = status.epochs, best_place(status.epochs)
    keys = ("fit", "fit_number", "fits", "stage", "epoch", "epochs", "batch", "batches", "done", "total")
    return {
        "state": status.state,
        "command": status.started.get("command"),
        "model": _model(status.started),
        "targets": _targets(status),
        "host": status.starts[-1].get("host") if status.starts else None,
        "started": status.starts[0].get("time") if status.starts else None,
        "resumed": max(len(status.starts) - 1, 0),
        "elapsed": status.elapsed,
        "silent": status.silent,
        "silence_seen": status.seen,
        "left": status.left,
        "monitor": status.monitor or monitored(rows),
        "fit": {key: status.progress.get(key) for key in keys} if status.progress else {"fit": status.fit},
        "speed": _speeds(status),
        "epochs": len(rows),
        "last": rows[-1] if rows else None,
        "best": rows[place] if place is not None else None,
    }


# --- What it is, and how far


def _head(status: Status) -> list[Text]:
    """The command with its model and targets; the state, since when, where."""
    what = " ".join(filter(None, (str(status.started.get("command") or ""), _model(status.started))))
    targets = _targets(status)
    what += f" of {listed(targets, 6)}" if targets else ""
    lines = [Text(printable(str(status.folder)), "bold")]
    if what:
        lines[0].append(f"  {printable(what)}", "not bold")
    state, *more = _state(status)
    return [
        *lines,
        Text(", ").join(
            [Text(state, "bold red" if status.state in OVER else COLOURS.get(status.state, "")), *map(Text, more)]
        ),
    ]


def _model(started: Mapping[str, Any]) -> str:
    options = started.get("options")
    chosen = (options.get(name) for name in MODEL_OPTIONS) if isinstance(options, dict) else ()
    return next((str(value) for value in chosen if value), "")


def _targets(status: Status) -> list[str]:
    """Names, from the log."""
    targets = status.starts[-1].get("targets") if status.starts else None
    return [str(name) for name in targets if name] if isinstance(targets, list) else []


def _state(status: Status) -> list[str]:
    """The state, and what belongs to it."""
    starts, silence = status.starts, f"no sign for {duration(status.silent)}"
    if status.state == "not begun":
        return ["waiting for a run to begin here"]
    phrases = {
        "emptying": ["being emptied by --overwrite"],
        "finished": ["finished"],
        "running": ["running"],
        "silent": [silence if status.seen else f"{silence}, by the times of its files", "at work, or killed"],
        "killed": ["killed"],
        "failed": ["failed or interrupted"],
        "ended": ["ended without a result"],
    }[status.state] + ["its command goes on with --resume"] * (status.state in OVER)
    if status.state == "running" and status.log.ended:
        phrases.append("training has ended, what it gave is being judged and written")
    if starts and math.isfinite(began := seconds_of(starts[0])):
        phrases.append(f"since {datetime.fromtimestamp(began):%Y-%m-%d %H:%M}")
    if math.isfinite(status.elapsed):
        phrases.append(f"{duration(max(status.elapsed, 0))} so far" if not status.record else duration(status.elapsed))
    if starts and starts[-1].get("host"):
        phrases.append(f"on {printable(str(starts[-1]['host']))}")
    if len(starts) > 1:
        again = (
            f"{datetime.fromtimestamp(seconds_of(starts[-1])):%H:%M}" if math.isfinite(seconds_of(starts[-1])) else ""
        )
        times = f"{len(starts) - 1} times, last" if len(starts) > 2 else ""
        phrases.append(" ".join(filter(None, ("resumed", times, again and f"at {again}"))))
    return phrases


def _place(status: Status) -> list[Text]:
    """The fit under way, and its speed; of a finished run at most that there was none."""
    if status.state in ("not begun", "emptying"):
        return []
    progress, fit = status.progress, status.log.fits.get(status.fit)
    if not fit and not progress and not status.history:
        return [Text("no network was trained in it" if status.record else "no network has been trained in it so far")]
    if status.record or not (fit or progress):
        return []
    parts = [printable(status.fit)] * bool(status.fit)
    number = count_of(progress.get("fit_number")) or (fit.number if fit else 0)
    fits = count_of(progress.get("fits")) or (fit.of if fit else 0)
    parts[-1:] = [f"{parts[-1]}, {number} of {fits}"] if parts and fits > 1 else parts
    stage = str(progress.get("stage") or (fit.stage if fit else ""))
    parts += [f"stage {printable(stage)}"] * bool(stage)
    within = [
        f"{name} {count_of(progress.get(name))}/{count_of(progress.get(many))}"
        for name, many in (("epoch", "epochs"), ("batch", "batches"))
        if count_of(progress.get(many))
    ]
    parts += [", ".join(within)] * bool(within)
    return [Text("; ".join(parts)), *_speed_line(status)]


def _speeds(status: Status) -> dict[str, float]:
    """Those that are known, of the last steps."""
    names = ("train_loss", "learning_rate", "gradient_norm", "loader_wait", "memory_mb", "gpu_memory_mb")
    known = {name: number_of(status.last_step.get(name)) for name in names}
    rows = number_of(status.progress.get("rows_per_second"))
    known["rows_per_second"] = rows if math.isfinite(rows) else number_of(status.last_step.get("rows_per_second"))
    return {name: value for name, value in known.items() if math.isfinite(value)}


def _speed_line(status: Status) -> list[Text]:
    forms = {
        "rows_per_second": "{:,.4g} rows/s",
        "loader_wait": "{:.1%} wait for data",
        "memory_mb": "{:,.0f} MB",
        "gpu_memory_mb": "{:,.0f} MB on the GPU",
        "learning_rate": "learning rate {:.3g}",
        "gradient_norm": "gradient norm {:.3g}",
    }
    speeds = _speeds(status)
    return [Text(", ".join(form.format(speeds[name]) for name, form in forms.items() if name in speeds))] * bool(speeds)


def _bar(status: Status, width: int, pen: Pen) -> list[Text]:
    """How much of the training is done, and how long the rest takes."""
    done, total = number_of(status.progress.get("done")), number_of(status.progress.get("total"))
    if status.record or not (total > 0 and math.isfinite(done)):
        return []
    share = min(max(done / total, 0.0), 1.0)
    goes_on = status.state not in OVER and math.isfinite(status.left)
    text = f"{share:.0%}" + (f", about {duration(status.left)} to go" if goes_on else "")
    cells = max(min(width - len(text) - 1, LONGEST_BAR), 0)
    full = round(share * cells)
    bar = Text(pen.full * full, "green").append(pen.empty * (cells - full), "dim")
    return [bar.append(" " * bool(cells) + text, "not dim")]


# --- Curves


def _charts(status: Status) -> list[Chart]:
    """The losses and the monitored metric over epochs; before there are two of them, the loss of steps."""
    rows = status.epochs
    if len(rows) < 2 and (charts := _chart_of_steps(status)):
        return charts
    if not rows:
        return []
    monitor, place = status.monitor or monitored(rows), best_place(rows)
    losses = [name for name in (TRAIN_LOSS, VAL_LOSS) if any(math.isfinite(row.get(name, math.nan)) for row in rows)]
    wanted = {"loss": losses, _heading(monitor): [] if monitor in ("", *losses) else [monitor]}
    epochs = _numbers(rows)
    mark = None if place is None else epochs[place]
    curves = {title: [_curve(rows, name) for name in names] for title, names in wanted.items() if names}
    return [Chart(printable(title), of_title, epochs, mark=mark) for title, of_title in curves.items()]


def _numbers(rows: Sequence[Row]) -> list[int]:
    """Of the epochs, as their rows have it; through all stages, where there are several."""
    own = [int(row.get("epoch") or 0) for row in rows]
    return own if len(stages(rows)) == 1 else list(range(1, len(rows) + 1))


def _curve(rows: Sequence[Row], name: str) -> Curve:
    values = [row.get(name, math.nan) for row in rows]
    train = name.startswith("train")
    return Curve("train" if train else "val", values, "yellow" if train else "cyan")


def _chart_of_steps(status: Status) -> list[Chart]:
    """The loss of batches jumps: means over as many neighbours as leave `POINTS`."""
    rows = [row for row in status.steps if row.get("fit") == status.fit]
    points = [(number_of(row.get("step")), number_of(row.get("train_loss"))) for row in rows]
    points = sorted(point for point in points if all(map(math.isfinite, point)))
    size = -(-len(points) // POINTS)
    means = [
        tuple(map(fmean, zip(*points[start : start + size], strict=True))) for start in range(0, len(points), size or 1)
    ]
    if not means:
        return []
    places, values = zip(*means, strict=True)
    return [Chart("loss of steps", [Curve("train", values, "yellow")], places, unit="step")]


def _heading(name: str) -> str:
    """`val_valence.ccc` -> `val valence CCC`."""
    part, _, rest = name.partition("_")
    return f"{part} {words.title(rest)}" if part in ("val", "train") else words.title(name)


def _below(charts: Sequence[Chart], width: int, height: int, pen: Pen) -> list[Text]:
    return [line for chart in charts for line in (Text(), *drawn(chart, width, height - 1, pen))]


def _beside(charts: Sequence[Chart], width: int, height: int, pen: Pen) -> list[Text]:
    """Charts side by side."""
    each = (width - 3 * (len(charts) - 1)) // len(charts)
    lines = [Text()]
    for parts in zip(*(drawn(chart, each, height - 1, pen) for chart in charts), strict=True):
        line = Text()
        for part in parts:
            line.append_text(part).append(" " * max(each - part.cell_len, 0) + "   ")
        line.rstrip()
        lines.append(line)
    return lines


# --- Figures


def _table(rows: Sequence[Row], monitor: str, width: int, most: int) -> list[Text]:
    """The last epochs and the best one, with as many columns as there is room for."""
    if not rows:
        return []
    place, first = best_place(rows), max(len(rows) - most, 0)
    shown_rows = [*([place] if place is not None and place < first else []), *range(first, len(rows))]
    columns = [_epoch_column(rows, shown_rows, place)]
    names = _columns(rows, monitor or monitored(rows))
    for name in names:
        cells = [_cell(name, rows[number].get(name, math.nan)) for number in shown_rows]
        column = [printable(_heading(name.removeprefix("val_") if "." in name else name)), *cells]
        if sum(max(map(len, other)) + 2 for other in [*columns, column]) - 2 > width and len(columns) > 1:
            break
        columns.append(column)
    widths = [max(map(len, column)) for column in columns]
    lines = [Text()]
    for number, line in enumerate(zip(*columns, strict=True)):
        style = "bold" if number == 0 or shown_rows[number - 1] == place else ""
        lines.append(Text("  ".join(map(str.rjust, line, widths)), style, no_wrap=True, overflow="ellipsis"))
    hidden = len(names) - len(columns) + 1
    more = f"; {hidden} more columns in its files" if hidden else ""
    return [*lines, *([Text(f"* the best epoch so far{more}", "dim")] if place is not None or hidden else [])]


def _epoch_column(rows: Sequence[Row], numbers: Sequence[int], best: int | None) -> list[str]:
    """`7`, `*8`; where there are several stages, with the stage: `head 3`."""
    spans, cells = stages(rows), []
    for number in numbers:
        name = next(name for name, start, end in spans if start <= number < end)
        epoch = f"{rows[number].get('epoch', number + 1):.10g}"
        cells.append("*" * (number == best) + (f"{printable(name)} {epoch}" if len(spans) > 1 else epoch))
    return ["epoch", *cells]


def _columns(rows: Sequence[Row], monitor: str) -> list[str]:
    """In the order of what matters: losses, what is monitored, the same of each target, other figures, the rate."""
    known = dict.fromkeys(name for row in rows[-2:] for name in row)
    metric = monitor.removeprefix("val_").rpartition(".")[2]
    alike = tuple(f".{name}" for name in (("uar", "ccc") if metric == "score" else (metric,)))  # the means of a score
    first = [TRAIN_LOSS, VAL_LOSS, monitor, *(name for name in known if name.endswith(alike))]
    others = [*(name for name in known if name.startswith("val_")), *known]
    return [name for name in dict.fromkeys([*first, *others]) if name in known.keys() - NUMBERS]


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, float) or not math.isfinite(value):
        return "-"
    return f"{value:.3g}" if name == "learning_rate" else words.shown(value)


def _fits(status: Status) -> list[Text]:
    """Of a run that has several fits the best epoch of each, and what the curves of a finished one are."""
    fits = list(status.log.fits.values()) if len(status.log.fits) > 1 else []
    monitor = next((fit.monitor for fit in fits if fit.monitor), "")
    best = [f"{printable(fit.name)} {_best(fit)}" for fit in fits if fit.history]
    lines = [Text(f"best {printable(_heading(monitor)) or 'epoch'} of each fit: {listed(best, 12)}")] if best else []
    if status.record and status.history and status.started.get("command") == "train":
        lines.append(Text("curves and epochs: means over the inner folds that chose the number of epochs", "dim"))
    return [Text(), *lines] if lines else []


def _best(fit: FitLog) -> str:
    """`0.702 in epoch 9 of 12`; of a fit that nothing judges how many epochs it has."""
    place, monitor = best_place(fit.history), fit.monitor or monitored(fit.history)
    if place is None or not math.isfinite(value := fit.history[place].get(monitor, math.nan)):
        return f"{_numbers(fit.history)[-1]} epochs"
    numbers = _numbers(fit.history)
    return f"{_cell(monitor, value)} in epoch {numbers[place]} of {numbers[-1]}"
