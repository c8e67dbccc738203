"""Reading predictions, written by affectkit or by any other tool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from affectkit.artifacts.predictions import (
    SEEN,
    Predictions,
    prediction_column,
    probability_columns,
    target_columns,
)
from affectkit.artifacts.tables import read_table, to_numbers
from affectkit.errors import AffectkitError
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd

SUM_TOLERANCE = 0.02  # probabilities printed with two digits still pass


def read_predictions(path: Path, *, targets: Sequence[Target] = (), treat_as: str | None = None) -> Predictions:
    """Read predictions written by affectkit or by any other tool.

    targets: what is known of them (classes in order, scales); otherwise they are read off the column names.
    treat_as: the split ("val", "test") that the rows of a table without `seen` stand for, where it does not say a split
    of its own. Its rows count as held out, but for those of split train, which count as in-sample. Of no account for a
    table that has `seen`.
    Raises "input" naming the row: a probability that is no number or outside [0, 1], a doubled id, an unknown `seen`.
    """
    return parse_predictions(read_table(Path(path), required=["id"]), Path(path), targets=targets, treat_as=treat_as)


def has_predictions(columns: Iterable[str]) -> bool:
    """Whether a table with these columns says predictions, rather than features."""
    return any(c == "pred" or c.startswith("prob_") or c.endswith("_pred") for c in columns)


def parse_predictions(
    frame: pd.DataFrame, path: Path, *, targets: Sequence[Target] = (), treat_as: str | None = None
) -> Predictions:
    """As `read_predictions`, of a table of text that has been read."""
    _check_table(frame, path)
    foreign = "seen" not in frame
    if foreign:
        frame.insert(1, "seen", "heldout")
    known = {target.name: target for target in targets}
    found = {name: known.get(name, target) for name, target in _targets_of(frame).items()}
    if not found:
        raise AffectkitError(
            "input", "holds no predictions", file=path, remedy="name columns pred, prob_<class> or <target>_pred"
        )
    for target in found.values():
        _parse(frame, target, path)
    return vouched(Predictions(frame, found, path, foreign), treat_as)


def vouched(predictions: Predictions, treat_as: str | None) -> Predictions:
    """A table that came without `seen`, with what its splits say: rows of none are of split `treat_as`, rows of split
    train count as in-sample. Any other table as it is."""
    frame = predictions.frame
    if not predictions.foreign:
        return predictions
    split = frame.get("split")
    if treat_as:
        split = split.where(split != "", treat_as) if split is not None else treat_as
        frame = frame.assign(split=split)
    if "split" in frame:
        frame = frame.assign(seen=frame["seen"].where(frame["split"] != "train", "fit"))
    return replace(predictions, frame=frame)


def _check_table(frame: pd.DataFrame, path: Path) -> None:
    if not len(frame):
        raise AffectkitError("input", "has no rows", file=path)
    nameless = frame["id"].str.strip() == ""
    if nameless.any():
        raise AffectkitError("input", "has no id", file=path, row=int(nameless.to_numpy().argmax()) + 1)
    doubled = frame["id"].duplicated()
    if doubled.any():
        row = int(doubled.to_numpy().argmax())
        raise AffectkitError("input", f"id '{frame['id'][row]}' stands twice", file=path, row=row + 1)
    if "seen" in frame:
        bad = ~frame["seen"].isin(SEEN)
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise AffectkitError(
                "input", f"seen '{frame['seen'][row]}' is not in {', '.join(SEEN)}", file=path, row=row + 1
            )


def _targets_of(frame: pd.DataFrame) -> dict[str, Target]:
    """Targets read off the columns.

    `prob_<class>` or `pred` make `label`, `<t>_prob_<class>` a class target, `<t>_pred` alone a number.
    """
    found: dict[str, Target] = {}
    columns = list(frame.columns)
    classes = [c.removeprefix("prob_") for c in columns if c.startswith("prob_")]
    if classes or "pred" in columns:
        seen = {*frame["pred"], *frame.get("label", [])} - {""} if not classes else set()
        found["label"] = Target("label", "class", tuple(classes or sorted(seen)))
    for column in columns:
        name = column.removesuffix("_pred")
        if name != column and name:
            own = [c.removeprefix(f"{name}_prob_") for c in columns if c.startswith(f"{name}_prob_")]
            found[name] = Target(name, "class", tuple(own)) if own else Target(name, "number")
    return found


def _parse(frame: pd.DataFrame, target: Target, path: Path) -> None:
    if target.kind == "number":
        for column in target_columns(target):
            if column in frame:
                frame[column] = to_numbers(list(frame[column]), file=path, column=column)
        return
    columns = probability_columns(target)
    there = [column for column in columns if column in frame]
    if there and len(there) < len(columns):
        lacking = next(column for column in columns if column not in frame)
        raise AffectkitError(
            "input", f"has no column '{lacking}'", file=path, remedy="give a probability of every class"
        )
    if there:
        _parse_probabilities(frame, columns, path)
    predicted = prediction_column(target.name)
    if predicted not in frame:
        if not there:
            raise AffectkitError("input", f"has no column '{predicted}'", file=path)
        known = frame[columns].notna().all(axis=1)
        best = frame[columns].fillna(0).to_numpy().argmax(axis=1)
        frame[predicted] = [target.classes[i] if k else "" for i, k in zip(best, known, strict=True)]
    for column in (target.name, predicted):
        if column in frame:
            _refuse_unknown(frame[column], target, path)


def _parse_probabilities(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """A row has all its probabilities, summing to 1, or none at all (a source that declined it)."""
    import numpy as np

    for column in columns:
        frame[column] = values = to_numbers(list(frame[column]), file=path, column=column)
        outside = (values < 0) | (values > 1)
        if outside.any():
            row = int(outside.argmax())
            percent = np.nanmin(values) >= 0 and 2 < np.nanmax(values) <= 100
            remedy = "divide percentages by 100" if percent else "make probabilities of scores first (softmax)"
            message = f"{column} {values[row]:g} is outside [0, 1]"
            raise AffectkitError("input", message, file=path, row=row + 1, remedy=remedy)
    table = frame[list(columns)].to_numpy(float)
    missing = np.isnan(table)
    partial = missing.any(axis=1) & ~missing.all(axis=1)
    if partial.any():
        row = int(partial.argmax())
        message = f"{columns[int(missing[row].argmax())]} is missing"
        raise AffectkitError("input", message, file=path, row=row + 1, remedy="give every class's probability, or none")
    total = table.sum(axis=1)
    off = np.abs(total - 1) > SUM_TOLERANCE
    if len(columns) > 1 and off.any():
        row = int(off.argmax())
        message = f"the probabilities sum to {total[row]:g}, not 1"
        raise AffectkitError("input", message, file=path, row=row + 1, remedy="normalise scores first")


def _refuse_unknown(cells: pd.Series, target: Target, path: Path) -> None:
    bad = ~cells.isin(["", *target.classes])
    if bad.any():
        row = int(bad.to_numpy().argmax())
        cell = cells[row].strip()
        spelt = [name for name in target.classes if _same_number(name, cell) or name.strip() == cell]
        remedy = f"write it as the class is written: {spelt[0]}" if spelt else None
        message = f"{cells.name} '{cells[row]}' is not in {', '.join(target.classes)}"
        raise AffectkitError("input", message, file=path, row=row + 1, remedy=remedy)


def _same_number(one: str, other: str) -> bool:
    """Whether both spell one number: pandas writes the class 1 as 1.0 where other rows have none."""
    try:
        return float(one) == float(other)
    except ValueError:
        return False
