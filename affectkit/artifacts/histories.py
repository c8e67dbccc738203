"""Histories of trainings: our `history.csv` and `steps.csv`, and the logs of Keras, transformers and PyTorch Lightning.

A format is recognised by what is in the file, not by its name. Columns get our names: `train_loss`, `val_<metric>`,
`val_<target>.<metric>`, `learning_rate`, `gradient_norm`; what has no counterpart is carried under its own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectkit.artifacts.event_files import EVENTS, event_files, read_scalars
from affectkit.artifacts.files import misfit
from affectkit.artifacts.records import RECORD, STARTED, STEPS, trusted
from affectkit.artifacts.tables import iter_rows, read_table, to_numbers
from affectkit.errors import AffectkitError
from affectkit.plain import parse_json

HISTORY, SWEEPS = "history.csv", "lr_find.json"
TRAINER_STATE = "trainer_state.json"
OURS, KERAS, TRAINER = "affectkit", "Keras", "transformers' Trainer"
LIGHTNING, TABLE, BOARD = "PyTorch Lightning", "a table of epochs", "TensorBoard"
LARGEST = 1 << 26  # bytes; a history is numbers, and the longest seen has two million of them

Row = dict[str, Any]


@dataclass(frozen=True)
class TrainingLog:
    """What is known of a training over time.

    tool: who wrote it. epochs: a row per epoch, or per evaluation where there are several in an epoch, in the order of
    training; `epoch` counts from 1, and what a row does not say is not in it. steps: the same, per step or mean of
    steps. carried: names of the file that have no counterpart here. unfinished: the run has not ended.
    """

    tool: str
    epochs: list[Row]
    steps: list[Row] = field(default_factory=list)
    carried: Sequence[str] = ()
    unfinished: bool = False


def read_log(path: Path) -> TrainingLog:
    """The history in a run folder or a file of any of the kinds above.

    A folder may also be one of the Trainer's checkpoints, or of TensorBoard's event files. Raises "missing", or "input"
    for what is no history.
    """
    path = Path(path)
    if not path.exists():
        raise AffectkitError("missing", "no such file or folder", file=path)
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise AffectkitError("input", "is not a file", file=path, remedy="name a history, or a run folder")
    if path.match(EVENTS):
        return _of_events(path)
    _refuse_large(path)
    trusted(path)
    return _of_json(path) if looks_like_json(path) else _of_table(path)


def _refuse_large(path: Path) -> None:
    if path.stat().st_size > LARGEST:
        what = f"is larger than {LARGEST >> 20} MB, which no history is"
        raise AffectkitError("input", what, file=path, remedy="name a history")


def is_log_folder(folder: Path) -> bool:
    """Whether a folder has a history of any kind."""
    named = any((folder / name).exists() for name in (HISTORY, STEPS, TRAINER_STATE))
    return named or bool(event_files(folder))


def looks_like_json(path: Path) -> bool:
    with open(path, "rb") as handle:
        return handle.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def is_history(header: Sequence[str]) -> bool:
    """Whether a table with these columns is a row per epoch or step."""
    return bool({"epoch", "step"} & set(header)) and any(_translated(name) != name or _is_ours(name) for name in header)


def _of_folder(folder: Path) -> TrainingLog:
    unfinished = (folder / STARTED).exists() and not (folder / RECORD).exists()
    if (folder / HISTORY).exists() or (folder / STEPS).exists():
        if not unfinished:
            trusted(folder)
        return TrainingLog(OURS, read_history(folder), read_steps(folder), unfinished=unfinished)
    if (folder / TRAINER_STATE).exists():
        return read_log(folder / TRAINER_STATE)
    if event_files(folder):
        return _of_events(folder)
    raise AffectkitError("input", f"holds no {HISTORY}", file=folder, remedy="name a run that trained epoch by epoch")


# --- Ours


def read_history(folder: Path) -> list[Row]:
    """A row per epoch, as figures take them; none where no epoch was finished."""
    file = folder / HISTORY if folder.is_dir() else folder
    if not file.exists():
        return []
    _refuse_large(file)
    table = read_table(file)
    columns: dict[str, list[Any]] = {}
    for name, cells in table.items():
        if name == "target" and len(set(cells)) == 1:  # all of one fit, as the page's other figures say
            continue
        if name in ("stage", "target"):  # of a network that fuses, a row's target
            columns["stage"] = cells.tolist()
        elif name == "best":
            columns[name] = [cell == "True" for cell in cells]
        else:
            numbers = to_numbers(cells.tolist(), file=file, column=str(name)).tolist()
            columns[str(name)] = [int(n) for n in numbers] if name in ("epoch", "step") else numbers
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def read_steps(folder: Path) -> list[Row]:
    """The rows of `steps.csv`, texts in `fit` and `stage`, numbers elsewhere; the last line may be torn."""
    file = folder / STEPS
    if not file.exists():
        return []
    _refuse_large(file)
    lines = iter_rows(file)
    rows: list[Row] = []
    header = next(lines)
    try:
        for cells in lines:
            row = dict(zip(header, cells, strict=True))
            rows.append({**{name: row[name] for name in ("fit", "stage") if name in row}, **_entry(row.items())})
    except AffectkitError:  # a line that is being written
        pass
    return rows


# --- Tables of other tools


def _of_table(path: Path) -> TrainingLog:
    lines = iter_rows(path)
    header = next(lines)
    if not is_history(header):
        what = (
            f"is no history: a history has a column epoch or step, and losses or metrics, not {', '.join(header[:6])}"
        )
        raise AffectkitError("input", what[:300], file=path, remedy="see manifests/README.md for what is read")
    if {"stage", "epoch", "train_loss"} <= set(header) or "best" in header:
        return TrainingLog(OURS, read_history(path))
    entries = [_entry(zip(header, cells, strict=True)) for cells in lines]
    if any(name.startswith("eval_") or name == "grad_norm" for name in header):
        return _of_entries(TRAINER, entries, path)
    if "step" in header and "epoch" in header and "loss" in header:
        return _of_entries(TRAINER, entries, path)
    keras = "loss" in header and "step" not in header
    tool = KERAS if keras else LIGHTNING if {"epoch", "step"} <= set(header) else TABLE
    return _logged(tool, _from_one([_ours(row) for row in _per_epoch(entries)]), _steps(entries), entries, path)


def _entry(cells: Iterable[tuple[str, Any]]) -> Row:
    """What a row says: numbers alone, NaN where it says that. An index without a name is left out."""
    known = ((name, _number(cell)) for name, cell in cells if name)
    return {name: number for name, number in known if number != ""}


def _number(cell: Any) -> float | str:
    """Empty text for what is no number: an empty cell, Keras' NA, text, a list."""
    if isinstance(cell, bool) or cell is None:
        return ""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return ""
    return number if math.isfinite(number) else math.nan


def _per_epoch(entries: Sequence[Row]) -> Iterator[Row]:
    """Rows of one epoch that follow each other, as PyTorch Lightning writes them, as one: of values per step their
    mean, else the last. Where no row names its epoch, rows stand for themselves."""
    group: list[Row] = []
    for entry in [*entries, {}]:
        if group and (entry == {} or entry.get("epoch") != group[-1].get("epoch") or "epoch" not in entry):
            yield _merged(group)
            group = []
        if entry:
            group.append(entry)


def _merged(group: Sequence[Row]) -> Row:
    names = dict.fromkeys(name for row in group for name in row)
    values = {name: [row[name] for row in group if name in row] for name in names}
    return {name: sum(v) / len(v) if name.endswith("_step") else v[-1] for name, v in values.items()}


def _from_one(rows: list[Row]) -> list[Row]:
    """With epochs that are counted from 1, in whole numbers where they are whole."""
    known = [row["epoch"] for row in rows if row.get("epoch") == row.get("epoch") and "epoch" in row]
    shift = 1 if known and min(known) == 0 else 0
    for number, row in enumerate(rows, start=1):
        row["epoch"] = _whole(row.get("epoch", number - shift) + shift)
    return rows


def _whole(number: float) -> float:
    return int(number) if number == number and number == int(number) else number


def _steps(entries: Sequence[Row]) -> list[Row]:
    """Of each entry what it says of training at its step."""
    rows: list[Row] = []
    for entry in entries:
        row = _ours(entry)
        figures: Row = {name: row[name] for name in ("train_loss", "learning_rate", "gradient_norm") if name in row}
        if figures and "step" in row:
            rows.append({"step": _whole(row["step"]), **figures})
    return rows


def _logged(tool: str, epochs: list[Row], steps: list[Row], entries: Sequence[Row], path: Path) -> TrainingLog:
    names = dict.fromkeys(name for entry in entries for name in entry)
    carried = [name for name in names if name not in ("epoch", "step") and _translated(name) == name]
    carried = [name for name in carried if name not in ("learning_rate", "train_loss", "val_loss")]
    if not any(set(row) - {"epoch", "step"} for row in epochs):
        raise AffectkitError("input", "is a history of no epoch", file=path, remedy="train for an epoch first")
    return TrainingLog(tool, epochs, steps, [name for name in carried if not _is_ours(name)])


# --- What transformers' Trainer logs: losses every few steps, evaluations now and then


def _of_entries(tool: str, entries: Sequence[Row], path: Path) -> TrainingLog:
    """A row per evaluation, with the mean of the losses since the one before; without evaluations, per epoch."""
    rows: list[Row] = []
    pending: list[Row] = []
    evaluated = any(_evaluates(entry) for entry in entries)
    for entry in entries:
        row = _ours(entry)
        if "train_runtime" in entry:  # the summary at the end, whose loss is the mean over all steps
            continue
        if _evaluates(entry) and rows and not pending and rows[-1].get("step") == row.get("step"):
            rows[-1] |= row  # evaluated again, as after the last step
        elif _evaluates(entry):
            rows.append(_mean([*pending, row]))
            pending = []
        elif not evaluated and pending and _epoch_of(row) != _epoch_of(pending[-1]):
            rows.append({**_mean(pending), "epoch": _epoch_of(pending[-1])})
            pending = [row]
        else:
            pending.append(row)
    if pending:
        rows.append(_mean(pending) if evaluated else {**_mean(pending), "epoch": _epoch_of(pending[-1])})
    for number, row in enumerate(rows, start=1):
        row["epoch"] = _whole(row.get("epoch", number))
    return _logged(tool, rows, _steps([e for e in entries if "train_runtime" not in e]), entries, path)


def _evaluates(entry: Row) -> bool:
    return any(name.startswith(_VALIDATION) for name in entry)


def _epoch_of(row: Row) -> float:
    """The epoch, from 1, in which a step lies: the first ends at 1.0."""
    epoch = row.get("epoch", math.nan)
    return max(1, math.ceil(epoch - 1e-9)) if epoch == epoch else epoch


def _mean(rows: Sequence[Row]) -> Row:
    """Of the losses and norms of several logs; of all else the last."""
    merged: Row = {}
    for row in rows:
        merged |= row
    for name in ("train_loss", "gradient_norm"):
        if values := [row[name] for row in rows if name in row]:
            merged[name] = sum(values) / len(values)
    return merged


# --- JSON: the Trainer's state, Keras' History, and the metrics of the published personality system


def _of_json(path: Path) -> TrainingLog:
    remedy = f"name {TRAINER_STATE}, Keras' History.history as JSON, or a history in CSV"
    try:
        data = parse_json(path.read_text(encoding="utf-8-sig"), not_finite=True)
    except (ValueError, json.JSONDecodeError) as error:
        raise AffectkitError("input", f"is no JSON: {error}", file=path, remedy=remedy) from None
    entries = data.get("log_history") if isinstance(data, dict) else data
    if isinstance(entries, list) and entries and not misfit(entries, [dict]):
        return _of_entries(TRAINER, [_entry(entry.items()) for entry in entries], path)
    if isinstance(data, dict) and (columns := _columns(data)):
        length = max(map(len, columns.values()))
        rows = [_entry((name, v[place]) for name, v in columns.items() if place < len(v)) for place in range(length)]
        ours = _from_one([_ours(row) for row in rows])
        return _logged(KERAS, ours, [], rows, path)
    raise AffectkitError("input", "is JSON, but no history of a training", file=path, remedy=remedy)


def _columns(data: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Metric -> its value in each epoch; nothing for any other object."""
    per_epoch = data.get("epoch")
    if isinstance(per_epoch, dict):  # the published system's metrics_history.json
        metrics = {part: per_epoch.get(part) for part in ("metrics", "val_metrics")}
        flat = {name: value for name, value in per_epoch.items() if name not in metrics}
        for part, inner in metrics.items():
            start = "val_" if part.startswith("val") else ""
            flat |= {start + name: v for name, v in (inner if isinstance(inner, dict) else {}).items()}
        flat["epoch"] = flat.pop("epoch_numbers", [])
        data = flat
    elif isinstance(data.get("history"), dict):
        data = data["history"]
    lists = {name: values for name, values in data.items() if isinstance(values, list) and values}
    known = any(_translated(name) != name or _is_ours(name) for name in lists if name != "epoch")
    return lists if known and all(isinstance(data[name], list) for name in data if name != "schema") else {}


# --- TensorBoard's event files


def _of_events(path: Path) -> TrainingLog:
    entries = read_scalars(path)
    epochs = [row["epoch"] for row in map(_ours, entries) if "epoch" in row]
    if 0 in epochs:  # Lightning names the epoch at each step, the Trainer how much of it is done
        return _logged(BOARD, _from_one([_ours(row) for row in _per_epoch(entries)]), _steps(entries), entries, path)
    if any(map(_evaluates, map(_ours, entries))):
        return _of_entries(BOARD, entries, path)
    return _logged(BOARD, _from_one([_ours(row) for row in entries]), _steps(entries), entries, path)


# --- From other tools' names to ours


_VALIDATION = ("val_", "eval_", "valid_", "validation_", "val/", "eval/", "valid/", "validation/")
_TRAINING = ("train_", "training_", "train/", "training/")
_PART_LAST = re.compile(r"(?P<rest>[^/]+)/(?P<part>train|training|val|valid|validation|eval)", re.IGNORECASE)
_METRICS = {
    "loss": "loss", "acc": "accuracy", "accuracy": "accuracy", "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy", "binary_accuracy": "accuracy", "balanced_accuracy": "uar", "uar": "uar",
    "macro_f1": "macro_f1", "f1_macro": "macro_f1", "weighted_f1": "weighted_f1", "f1_weighted": "weighted_f1",
    "f1": "f1", "kappa": "kappa", "auroc": "auroc", "nll": "nll", "ece": "ece",
    "mae": "mae", "mean_absolute_error": "mae", "mse": "mse", "mean_squared_error": "mse",
    "rmse": "rmse", "root_mean_squared_error": "rmse", "r2": "r2", "r2_score": "r2", "r_squared": "r2",
    "r_squared_metric": "r2", "ccc": "ccc", "concordance": "ccc", "pearson": "pearson", "pearsonr": "pearson",
    "pearson_r": "pearson", "one_minus_mae": "one_minus_mae",
}  # fmt: skip
_LONGEST_FIRST = "|".join(sorted(map(re.escape, _METRICS), key=len, reverse=True))
_OF_TARGET = re.compile(rf"(?P<target>.+?)[_/.](?P<metric>{_LONGEST_FIRST})")
_OF_TRAIT = re.compile(rf"(?P<metric>{_LONGEST_FIRST})_(?P<target>[OCEAN])")
_TRAITS = {name[0].upper(): name for name in
           ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")}  # fmt: skip
_RATES = re.compile(r"lr|lr-.+|learning_rate|(train|epoch)[/_](lr|learning_rate)")
_NORMS = re.compile(r"(train/)?(grad_norm|gradient_norm|grad_[\d.]+_norm_total)")


def _ours(entry: Row) -> Row:
    return {_translated(name): value for name, value in entry.items()}


def _is_ours(name: str) -> bool:
    """Whether a name that is as it was is one of ours already, such as `val_uar`."""
    part, _, rest = name.partition("_")
    return part in ("train", "val") and rest.rpartition(".")[2] in _METRICS.values()


def _translated(name: str) -> str:
    """Our name of a column; its own, where it has no counterpart.

    >>> [_translated(name) for name in ("loss", "val_mean_absolute_error", "eval_openness_mae", "r_squared_O", "lr")]
    ['train_loss', 'val_mae', 'val_openness.mae', 'train_openness.r2', 'learning_rate']
    >>> [_translated(name) for name in ("Loss/train", "val_openness.r2")]
    ['train_loss', 'val_openness.r2']
    """
    if _RATES.fullmatch(name):
        return "learning_rate"
    if _NORMS.fullmatch(name):
        return "gradient_norm"
    if name in ("train/epoch", "train/global_step"):
        return "epoch" if name.endswith("epoch") else "step"
    if found := _PART_LAST.fullmatch(name):  # as in PyTorch's examples: Loss/train
        swapped = f"{found['part']}/{found['rest']}".lower()
        return _translated(swapped) if _translated(swapped) != swapped else name
    start = next((start for start in (*_VALIDATION, *_TRAINING) if name.startswith(start)), "")
    part, rest = "val" if start in _VALIDATION else "train", name.removeprefix(start)
    rest = re.sub(r"^epoch_|_(epoch|step)$", "", rest) if start else rest
    if rest in _METRICS:
        return f"{part}_{_METRICS[rest]}"
    if found := _OF_TARGET.fullmatch(rest):
        return f"{part}_{found['target']}.{_METRICS[found['metric']]}"
    if found := _OF_TRAIT.fullmatch(rest):
        return f"{part}_{_TRAITS[found['target']]}.{_METRICS[found['metric']]}"
    return name
