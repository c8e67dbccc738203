"""`training.html`: how a training went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.files import read_json
from affectkit.artifacts.histories import HISTORY, SWEEPS, TrainingLog, read_history, read_steps
from affectkit.artifacts.models import TRAIN_REPORT
from affectkit.artifacts.records import read_started
from affectkit.artifacts.reports import MISTAKES, read_examples
from affectkit.artifacts.tables import read_table, to_numbers
from affectkit.errors import listed
from affectkit.reporting.attended import attention_section
from affectkit.reporting.browser import write_page
from affectkit.reporting.figures import learning
from affectkit.reporting.figures.learning import History, best_place, column_title, stages
from affectkit.reporting.mistakes import mistakes
from affectkit.reporting.page import Card, Figure, Page, Section, Sentence, Table
from affectkit.reporting.plots import trainings
from affectkit.reporting.plots.material import Material
from affectkit.reporting.separate import separate_section
from affectkit.reporting.worth import worth_section
from affectkit.results import words
from affectkit.results.lineage import lineage

PAGE = "training.html"
IMPORTANCE = "importance.csv"
FIGURE = {"value": "drop", "low": "low", "high": "high"}
MOST_IMPORTANT = 20  # columns on the page
SHUFFLED = (
    "How far the metric falls on rows that no fit saw, once the cells of a column have changed places between groups, "
    "with its interval over groups. Columns that say the same thing share what they are worth."
)
FURTHER = ("pearson", "mse", "rmse", "r2", "one_minus_mae")  # of numbers: what a table of epochs leaves out
MOST_JUDGED = 14  # columns of validation figures in it
FOLDED = 40  # epochs; a longer table is shown on request
CHOSEN = (
    "Validation figures chose the epoch that is kept, so they flatter it. What the model is worth, rows say that chose "
    "nothing: those of the test split, or of folds."
)
GAP = (
    "The kept model on the very rows that it was fitted on, and on rows that it was not. A large gap says that it "
    "learned its rows by heart."
)
FOLDS = (
    "Curves are means over inner folds of the rows fitted on, weighted by the rows that each held out; a fold that had "
    "ended goes on as it ended. The model itself was then trained on all of these rows, for as many epochs as are kept."
)


def draw(folder: Path) -> Page:
    """The page of the folder that `train`, `finetune` or `import-model` wrote, from its history and sweeps, or from its
    report where nothing was learned epoch by epoch."""
    started = read_started(folder)
    command, past = started["command"], lineage(Path(item["path"]) for item in started.get("inputs", []))
    if command != "finetune" and not (folder / HISTORY).exists():
        return _metrics_page(folder, command, past)
    sweeps = read_json(folder / SWEEPS)["sweeps"] if (folder / SWEEPS).exists() else []
    report = read_json(folder / TRAIN_REPORT) if (folder / TRAIN_REPORT).exists() else {}
    lead = [FOLDS] if command == "train" else []
    title = f"Training of {folder.resolve().name}"
    worth = [worth_section(report)] if "worth" in report else []
    further = [*_floors(report), *worth, *_separate(report), *_of_rows(report), *_importance(folder)]
    further += [*attention_section(folder), *_mistakes(folder)]
    known = {"texts": past.get("texts", []), "further": further, "corpora": past["corpora"]}
    known |= {"targets": report.get("targets", []), "declared": report.get("declared", [])}
    known |= {"warnings": _warnings(report), "steps": read_steps(folder)}
    return training_page(read_history(folder), sweeps, monitor=report.get("monitor"), title=title, lead=lead, **known)


def _warnings(report: Mapping[str, Any]) -> list[str]:
    """Columns that may be the truth in disguise, and targets that some fits could not learn."""
    told = [suspect["warning"] for suspect in report.get("suspects", ())]
    return [words.sentence(warning) for warning in (*told, *report.get("unlearned", ()))]


def _separate(report: Mapping[str, Any]) -> list[Section]:
    """Of a training with --separate."""
    return [separate_section(report)] if report.get("separate") else []


def _of_rows(report: Mapping[str, Any]) -> list[Section]:
    """How much more the model reaches on rows that it was fitted on, and how many rows there are of each class.

    report: `train_report.json`.
    """
    sections = []
    if gap := report.get("gap"):
        title, judged = words.title(gap["metric"]), words.SEEN.get(gap["part"], gap["part"])
        cards = [Card(f"{title} gap", gap["value"], [f"fit rows to {judged} rows"])]
        cards += [Card(f"{title}, fit rows", gap["train"]), Card(f"{title}, {judged} rows", gap["judged"])]
        sections.append(Section("Gap", cards=cards, note=GAP))
    tables = []
    for target, by_split in (report.get("balance") or {}).items():
        classes = list(next(iter(by_split.values()), {}))
        rows = {name: [counts[name] for counts in by_split.values()] for name in classes}
        tables.append(Table(f"Rows of each {target}, by split.", target, list(by_split), rows))
    return [*sections, Section("Class balance", tables=tables)]


def _mistakes(folder: Path) -> Iterator[Section]:
    """Of test rows, else of the first part that has any."""
    if not (folder / f"{MISTAKES}.csv").exists():
        return
    table, pictures = read_table(folder / f"{MISTAKES}.csv"), read_examples(folder)
    numbers = {name: to_numbers(table[name], column=name) for name in ("rows", "share", "low", "high")}
    rows = table.assign(**numbers).astype({"rows": int}).to_dict("records")
    part = rows[0]["part"]
    for target in dict.fromkeys(row["target"] for row in rows if row["part"] == part):
        of_target = [row for row in rows if (row["part"], row["target"]) == (part, target)]
        shown = [picture for picture in pictures if picture["target"] == target]
        yield from mistakes(target, of_target, shown, rows_of=f"{words.SEEN.get(part, part)} rows")


def _metrics_page(folder: Path, command: str, past: Mapping[str, Any]) -> Page:
    """What `train_report.json` says of each part of the rows. past: the lineage of the run's inputs."""
    report = read_json(folder / TRAIN_REPORT, what="report of a training")
    parts: dict[str, dict[str, Any]] = {}
    for name, figure in report["metrics"].items():
        part, _, metric = name.partition("_")
        parts.setdefault(metric, {})[part] = figure
    columns = list(report["groups"])
    rows = {words.title(metric): [figures.get(part) for part in columns] for metric, figures in parts.items()}
    titles = [words.SEEN.get(part, part) for part in columns]
    caption = "Each metric over the rows of each part. ↑ higher is better, ↓ lower is better."
    better = {words.title(metric): words.better(metric) for metric in parts}
    verb = "Import" if command == "import-model" else "Training"
    metrics = Section("Metrics", tables=[Table(caption, "metric", titles, rows, better)])
    return Page(
        title=f"{verb} of {folder.resolve().name}",
        lead=[(f"{report['model']}, fitted on ", report["fit_rows"], f" rows; selected on {report['selected_on']}.")],
        warnings=_warnings(report),
        sections=[
            metrics,
            *_floors(report),
            *_separate(report),
            *_of_rows(report),
            *_importance(folder),
            *attention_section(folder),
        ],
        declared=report["declared"],
        corpora=past["corpora"],
        targets=report.get("targets", []),
        texts=past.get("texts", []),
        normalization="transductive" if report.get("transductive") else "inductive",
        metrics=list(parts),
        source=TRAIN_REPORT,
        summary=[Section("", tables=[Table("", "metric", titles, rows)])],
    )


def _importance(folder: Path) -> list[Section]:
    """What the columns are worth that are worth most, of each target."""
    if not (folder / IMPORTANCE).exists():
        return []
    table = read_table(folder / IMPORTANCE)
    for name in ("drop", "low", "high", "sd"):
        table[name] = to_numbers(table[name], file=folder / IMPORTANCE, column=name)
    tables = []
    for target, part in table.groupby("target", sort=False):
        top = part.head(MOST_IMPORTANT).to_dict("records")
        rows = {r["column"]: [r["kind"], {key: r[source] for key, source in FIGURE.items()}, r["sd"]] for r in top}
        where = words.SEEN.get(top[0]["part"], top[0]["part"])
        caption = (
            f"{target}: the {len(top)} of {len(part)} columns that are worth most, on {top[0]['rows']} rows ({where})."
        )
        titles = ["kind", f"drop of {words.title(top[0]['metric'])}", "sd of repeats"]
        tables.append(Table(caption, "column", titles, rows, file=IMPORTANCE))
    return [Section("What columns are worth", text=[SHUFFLED], tables=tables)]


def write_training_page(folder: Path) -> None:
    """Write `training.html` and its figures beside it, from what is in the folder."""
    write_page(folder, draw(folder), PAGE)


def training_page(
    history: History,
    sweeps: Sequence[Mapping[str, Any]] = (),
    *,
    monitor: str | None = None,
    title: str = "Training",
    lead: Sequence[Sentence] = (),
    normalization: str = "inductive",
    further: Sequence[Section] = (),
    steps: Sequence[Mapping[str, Any]] = (),
    **known: Any,
) -> Page:
    """history, monitor: as `learning_curves` takes them. sweeps: as `sweep_figure` takes them. steps: of `steps.csv`.

    lead: paragraphs after the first, which counts epochs. further: sections after the key figures.
    known: `warnings`, `declared`, `corpora`, `inputs`, `targets`, `texts`.
    """
    monitor = monitor or learning.monitored(history)
    figures = learning.learning_curves(history, monitor=monitor)
    run = [Material(title, TrainingLog("", [dict(row) for row in history], [dict(row) for row in steps]))]
    norms = trainings.gradient_norms(run, name="gradient_norm")
    rates = [*figures[-1:], *map(learning.sweep_figure, sweeps), *norms]
    metrics = [name.partition("_")[2] for row in history[:1] for name in row if name.startswith("val_")]
    return Page(
        title=title,
        lead=[*_lead(history), *lead],
        sections=[
            _key_figures(history, monitor),
            *further,
            Section("Learning curves", text=_text(history), figures=[*figures[:-1], *_of_targets(run)]),
            Section("Learning rates", text=list(map(_sweep_sentence, sweeps)), figures=rates),
            Section("Epochs", tables=_epochs(history, monitor)),
        ],
        metrics=metrics,
        normalization=normalization,
        source=HISTORY,
        **known,
    )


def _shown(history: History, monitor: str) -> list[str]:
    """Columns of the history without those of each class, and of each of several numbers without all but CCC and MAE;
    of many targets the means alone. The file has them all."""
    there = list(dict.fromkeys(name for row in history for name in row))
    kept = [name for name in there if not _of_class(name) and name.rpartition(".")[2] not in FURTHER]
    judged = [name for name in kept if name.startswith("val_")]
    if len(judged) > MOST_JUDGED:
        judged = [name for name in judged if "." not in name]
    return [name for name in there if name == monitor or name in judged or not name.startswith("val_")]


def _of_class(name: str) -> bool:
    return any(part in f".{name.removeprefix('val_')}" for part in (".recall.", ".f1."))


def _lead(history: History) -> list[Sentence]:
    if not history:
        return ["No epoch was finished."]
    count, spans, steps = sum(row.get("epoch") != 0 for row in history), stages(history), history[-1].get("step")
    sentence: list[Any] = [count, " epoch" if count == 1 else " epochs"]
    sentence += [" in ", len(spans), " stages"] if len(spans) > 1 else []
    if steps is not None:
        sentence += [", ", int(steps), " optimiser step" if steps == 1 else " optimiser steps"]
    return [(*sentence, ".")]


def _key_figures(history: History, monitor: str) -> Section:
    """Of the epoch that is kept."""
    place = best_place(history)
    if place is None:
        return Section("Key figures")
    stage, start, end = next(span for span in stages(history) if span[1] <= place < span[2])
    which: Sentence = (f"stage {stage}, epoch " if stage else "epoch ", place - start + 1, " of ", end - start)
    row = history[place]
    which = f"stage {stage}, in which nothing trains" if row.get("epoch") == 0 else which
    cards = [Card("kept epoch", place + 1, [which])]
    for name in dict.fromkeys(filter(None, (monitor, learning.VAL_LOSS, learning.TRAIN_LOSS))):
        if name in row:
            last = [] if place == len(history) - 1 else [("last epoch: ", history[-1].get(name))]
            cards.append(Card(column_title(name), row[name], last))
    return Section("Key figures", cards=cards, note=CHOSEN if monitor.startswith("val_") else "")


def _text(history: History) -> list[Sentence]:
    """What stages brought nothing."""
    place = best_place(history)
    later = [name for name, start, _ in stages(history) if place is not None and start > place]
    idle = [row["stage"] for row in history if row.get("epoch") == 0]
    still: list[Sentence] = [f"Nothing trains in stage {name}: it was evaluated once." for name in idle]
    if not later:
        return still
    which = f"Stage {later[0]}" if len(later) == 1 else f"The stages {', '.join(later)}"
    return [*still, f"{which} brought no better epoch; the weights from before are kept."]


def _sweep_sentence(sweep: Mapping[str, Any]) -> Sentence:
    """What a sweep found."""
    where = f"Stage {sweep['stage']}: " if sweep.get("stage") else ""
    if sweep.get("rate") is None:
        return f"{where}no learning rate was found; {sweep.get('reason') or 'the reason is unknown'}."
    steps = len(sweep.get("rates") or [])
    return (f"{where}learning rate ", sweep["rate"], " was found by a sweep of ", steps, " steps.")


CELLS = 2_000  # of the table of targets, about 110 kB of the page
OF_TARGETS = ("r2", "one_minus_mae", "ccc", "recall")  # what a page with many targets has room for


def _epochs(history: History, monitor: str) -> list[Table]:
    """The columns that fit on a page; numbers keep their digits. Those of single targets stand apart, of a long
    training at some epochs."""
    if not history:
        return []
    shown = [name for name in _shown(history, monitor) if name != "epoch"]
    caption = "Each epoch, numbered through all stages; best: as good as none before it."
    tables = [_epoch_table(history, range(len(history)), shown, caption, folded=len(history) > FOLDED)]
    each = [name for name in history[0] if "." in name and name not in shown]
    if kept := [name for name in each if {*OF_TARGETS} & {*name.removeprefix("val_").split(".")}]:
        most = max(CELLS // len(kept), 2)
        places = sorted({*np.linspace(0, len(history) - 1, min(most, len(history))).astype(int).tolist()})
        which = "each epoch" if len(places) == len(history) else f"{len(places)} of {len(history)} epochs"
        caption = f"Each target, {which}; {HISTORY} has all columns."
        tables.append(_epoch_table(history, places, kept, caption, folded=True))
    return tables


def _epoch_table(
    history: History, places: Iterable[int], columns: Sequence[str], caption: str, *, folded: bool
) -> Table:
    rows = {str(place + 1): [history[place].get(name) for name in columns] for place in places}
    return Table(caption, "epoch", list(map(column_title, columns)), rows, file=HISTORY, folded=folded)


def _of_targets(run: Sequence[Material]) -> list[Figure]:
    """R2 of each target over epochs, where there are several."""
    if len(trainings.targets_of(trainings.history_of(run[0]), "r2")) < 2:
        return []
    return list(trainings.per_target(run, name="per_trait_r_squared", metric="r2"))


# --- What numbers are worth beside the mean of the train rows


FLOORED = ("r2", "one_minus_mae")
FLOOR_NOTE = (
    "Floor: what always answering with the mean of the train rows reaches on the same rows. R² is 0 for the mean of "
    "the judged rows themselves, and negative below that; 1 - MAE of a model that knows nothing is high where targets "
    "vary little."
)


def _floors(report: Mapping[str, Any]) -> list[Section]:
    """R2 and 1-MAE of each number with their floors, on rows that chose nothing, where there are any. report:
    `train_report.json`; none of one that says no floors."""
    floors, metrics = report.get("floors") or {}, report.get("metrics") or {}
    part = next((name for name in ("test", "oof", "val") if "train_mean" in floors.get(name, {})), None)
    if part is None:
        return []
    known = floors[part]["train_mean"]
    targets = [name for name in report.get("targets", []) if f"{part}_{name}.r2" in metrics]
    rows = {}
    for target in [*targets, *([""] if len(targets) > 1 else [])]:
        named = [f"{target}.{metric}" if target else metric for metric in FLOORED]
        rows[target or "mean"] = [value for name in named for value in (metrics.get(f"{part}_{name}"), known.get(name))]
    if not rows:
        return []
    caption = f"On {words.SEEN.get(part, part)} rows. ↑ higher is better."
    columns = ["R²", "floor of R²", "1 - MAE", "floor of 1 - MAE"]
    return [Section("Numbers beside their floor", tables=[Table(caption, "target", columns, rows)], note=FLOOR_NOTE)]


# --- The page of another tool's log


def foreign_page(log: TrainingLog, name: str, inputs: Sequence[Mapping[str, Any]]) -> Page:
    """Of a history in any of the forms that `artifacts.histories` reads."""
    lead: list[Sentence] = [f"Logged by {log.tool}."]
    if log.carried:
        lead.append(f"Columns without a counterpart here, shown as they are: {listed(list(log.carried))}.")
    return training_page(log.epochs, title=f"Training of {name}", lead=lead, inputs=inputs, steps=log.steps,
                         normalization="unknown")  # fmt: skip
