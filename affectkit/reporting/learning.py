"""`training.html`: how a training went, epoch by epoch, on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_text
from affectkit.reporting.figures.learning import (
    CURVES,
    RATES,
    TRAIN_LOSS,
    VAL_LOSS,
    History,
    best_place,
    column_title,
    learning_curves,
    monitored,
    stages,
    sweep_figure,
)
from affectkit.reporting.page import Card, Figure, Section, Sentence, Table, page

__all__ = ["PAGE", "learning_curves", "sweep_figure", "training_page", "write_training_page"]

PAGE = "training.html"
HISTORY = "history.csv"
FOLDED = 40  # epochs; a longer table is shown on request
CHOSEN = (
    "Validation figures chose the epoch that is kept, so they flatter it. What the model is worth, rows say that chose "
    "nothing: those of the test split, or of folds."
)


def write_training_page(
    folder: Path, history: History, sweeps: Sequence[Mapping[str, Any]] = (), *, monitor: str | None = None, **said: Any
) -> Path:
    """Write `training.html` and its figures beside it; the page's path.

    history, monitor: as `learning_curves` takes them. sweeps: as `sweep_figure` takes them. said: what else
    `training_page` takes.
    """
    figures = [*learning_curves(history, monitor=monitor), *map(sweep_figure, sweeps)]
    for figure in figures:
        write_text(folder / f"{figure.name}.svg", figure.plot.svg)
    said = {"title": f"Training of {folder.resolve().name}", **said}
    write_text(folder / PAGE, training_page(history, sweeps, figures, monitor=monitor, **said))
    return folder / PAGE


def training_page(
    history: History,
    sweeps: Sequence[Mapping[str, Any]],
    figures: Sequence[Figure],
    *,
    monitor: str | None = None,
    title: str = "Training",
    lead: Sequence[Sentence] = (),
    normalization: str = "inductive",
    **known: Any,
) -> str:
    """The page; a pure function of its arguments.

    lead: paragraphs after the first, which counts epochs. known: `warnings`, `declared`, `corpora` and `inputs` of
    `page`.
    """
    monitor = monitor or monitored(history)
    curves, rates = ([figure for figure in figures if figure.section == part] for part in (CURVES, RATES))
    metrics = [name.partition("_")[2] for row in history[:1] for name in row if name.startswith("val_")]
    return page(
        title=title,
        lead=[*_lead(history), *lead],
        sections=[
            _key_figures(history, monitor),
            Section("Learning curves", text=_text(history), figures=curves),
            Section("Learning rates", text=_found(sweeps), figures=rates),
            Section("Epochs", tables=_epochs(history)),
        ],
        metrics=metrics,
        normalization=normalization,
        source=HISTORY,
        **known,
    )


def _lead(history: History) -> list[Sentence]:
    if not history:
        return ["No epoch was finished."]
    count, spans, steps = len(history), stages(history), history[-1].get("step")
    said: list[Any] = [count, " epoch" if count == 1 else " epochs"]
    said += [" in ", len(spans), " stages"] if len(spans) > 1 else []
    said += [", ", int(steps), " optimiser step" if steps == 1 else " optimiser steps"] if steps is not None else []
    return [(*said, ".")]


def _key_figures(history: History, monitor: str) -> Section:
    """Of the epoch that is kept."""
    place = best_place(history)
    if place is None:
        return Section("Key figures")
    row, cards = history[place], [Card("kept epoch", place + 1, [_place(history, place)])]
    for name in dict.fromkeys(filter(None, (monitor, VAL_LOSS, TRAIN_LOSS))):
        if name in row:
            last = [] if place == len(history) - 1 else [("last epoch: ", history[-1].get(name))]
            cards.append(Card(column_title(name), row[name], last))
    return Section("Key figures", cards=cards, note=CHOSEN if monitor.startswith("val_") else "")


def _place(history: History, place: int) -> Sentence:
    name, start, end = next(span for span in stages(history) if span[1] <= place < span[2])
    return (f"stage {name}, epoch " if name else "epoch ", place - start + 1, " of ", end - start)


def _text(history: History) -> list[Sentence]:
    """What stages brought nothing."""
    place = best_place(history)
    later = [name for name, start, _ in stages(history) if place is not None and start > place]
    if not later:
        return []
    which = f"Stage {later[0]}" if len(later) == 1 else f"The stages {', '.join(later)}"
    return [f"{which} brought no better epoch; the weights from before are kept."]


def _found(sweeps: Sequence[Mapping[str, Any]]) -> list[Sentence]:
    """What each sweep found."""
    said: list[Sentence] = []
    for sweep in sweeps:
        of, steps = f"Stage {sweep['stage']}: " if sweep.get("stage") else "", len(sweep.get("rates") or [])
        if sweep.get("rate") is None:
            said.append(f"{of}no learning rate was found; {sweep.get('reason') or 'the reason is unknown'}.")
        else:
            said.append((f"{of}learning rate ", sweep["rate"], " was found by a sweep of ", steps, " steps."))
    return said


def _epochs(history: History) -> list[Table]:
    """Every column of the history; numbers keep their digits."""
    if not history:
        return []
    columns = [name for name in dict.fromkeys(name for row in history for name in row) if name != "epoch"]
    rows = {str(number): [_cell(row.get(name)) for name in columns] for number, row in enumerate(history, start=1)}
    caption = "Each epoch, numbered through all stages; best: as good as none before it."
    titles = [column_title(name) for name in columns]
    return [Table(caption, "epoch", titles, rows, file=HISTORY, folded=len(history) > FOLDED)]


def _cell(value: Any) -> Any:
    return {"True": True, "False": False}.get(value, value) if isinstance(value, str) else value
