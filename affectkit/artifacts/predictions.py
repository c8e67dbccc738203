"""Predictions: what a model says about each row, as one plain table that any tool can write."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction, named_classes
from affectkit.artifacts.tables import (
    FLOAT,
    LARGEST_NUMBER,
    check_ids,
    first_row,
    read_table,
    refuse_too_large,
    to_numbers,
    write_rows,
    write_table,
)
from affectkit.errors import AffectkitError
from affectkit.labels import Target, spelt_alike
from affectkit.media.texts import LANGUAGE, with_language_codes
from affectkit.plain import without_nan
from affectkit.splits import in_our_words

if TYPE_CHECKING:
    import pandas as pd


log = logging.getLogger(__name__)

SEEN = ("heldout", "oof", "fit")
SET_MARK = "|"  # between the classes of a prediction set
LEADING = ("id", "split", "fold", "seen")


@dataclass(frozen=True)
class Predictions:
    """A table of predictions, typed: probabilities and numeric targets are float64, NaN where missing.

    frame: `id`, `split`, `fold` where there is one, `seen`, then each target's columns, then whatever was carried.
    targets: in the order in which they stand, `label` before the others.
    foreign: came without `seen`; nothing says whether its rows were held out.
    """

    frame: pd.DataFrame
    targets: dict[str, Target]
    path: Path | None = None
    foreign: bool = False

    def probabilities(self, target: str = "label") -> np.ndarray | None:
        """[N, K] float64 in the label map's order; None where the target has no probability columns."""
        columns = probability_columns(self.targets[target])
        if not columns or any(c not in self.frame for c in columns):
            return None
        return np.stack([self.frame[column].to_numpy(float) for column in columns]).T

    def output(self, target: str = "label") -> TargetPrediction:
        """What the table says of a target, as arrays. Raises "input" for a class target without probabilities."""
        described = self.targets[target]
        if described.kind == "number":
            there = [name for name in ("var", "low", "high") if f"{target}_{name}" in self.frame]
            known = {name: self.frame[f"{target}_{name}"].to_numpy(float) for name in there}
            return TargetPrediction(described, mean=self.frame[prediction_column(target)].to_numpy(float), **known)
        probabilities = self.probabilities(target)
        if probabilities is None:
            remedy = f"give columns {probability_columns(described)[0]}, ..." if described.classes else ""
            raise AffectkitError("input", f"has no probabilities of {target}", file=self.path, remedy=remedy)
        told = information_column(target)
        information = self.frame[told].to_numpy(float) if told in self.frame else None
        return TargetPrediction(described, probabilities=probabilities, mutual_information=information)

    def groups(self, column: str | None) -> np.ndarray | None:
        """[N] text; None where there is no such column."""
        return None if column is None or column not in self.frame else cells_of(self.frame, column)

    def take(self, rows: np.ndarray | Sequence[bool]) -> Predictions:
        """The rows at `rows`, positions [M] or [N] bool."""
        chosen = np.asarray(rows)
        positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return replace(self, frame=self.frame.iloc[positions].reset_index(drop=True))


def cells_of(frame: pd.DataFrame, column: str) -> np.ndarray:
    """[N] text; "" where a number is missing."""
    cells = frame[column].astype(str)
    return (cells.where(frame[column].notna(), "") if frame[column].dtype.kind == "f" else cells).to_numpy()


def prediction_column(target: str) -> str:
    return "pred" if target == "label" else f"{target}_pred"


def set_column(target: str) -> str:
    return "pred_set" if target == "label" else f"{target}_pred_set"


def information_column(target: str) -> str:
    return "mutual_information" if target == "label" else f"{target}_mutual_information"


def probability_prefix(target: str) -> str:
    return "prob_" if target == "label" else f"{target}_prob_"


def probability_columns(target: Target) -> list[str]:
    prefix = probability_prefix(target.name)
    return [prefix + name for name in target.classes]


def write_predictions(path: Path, predictions: Predictions, floats: str = FLOAT) -> None:
    """Write `predictions`, the leading columns first, each target's beside each other, what was carried last."""
    frame = predictions.frame
    predicted = [c for t in predictions.targets.values() for c in target_columns(t) if c in frame]
    leading = [c for c in LEADING if c in frame]
    carried = [c for c in frame.columns if c not in {*leading, *predicted}]
    write_table(path, frame[leading + predicted + carried], floats)


def target_columns(target: Target) -> list[str]:
    """Every column that a target may have, in order."""
    name = target.name
    if target.kind == "number":
        return [name, f"{name}_pred", f"{name}_var", f"{name}_low", f"{name}_high"]
    return [name, prediction_column(name), *probability_columns(target), set_column(name), information_column(name)]


def join_columns(predictions: Predictions, rows: pd.DataFrame, columns: Sequence[str]) -> Predictions:
    """Carry `columns` of a manifest's `rows` over by `id`; predictions keep a column that they have.

    Raises "input" naming the first id that the manifest lacks.
    """
    import pandas as pd

    wanted = [c for c in columns if c in rows and c not in predictions.frame]
    if not wanted:
        return predictions
    ids = predictions.frame["id"]
    places = pd.Index(rows["id"], dtype=object).get_indexer(pd.Index(ids, dtype=object))
    if (position := first_row(places < 0)) is not None:
        message = f"id '{ids.iloc[position]}' is not in the manifest"
        remedy = f"leave out such rows ({(places < 0).sum():,} of {len(ids):,}), or name the manifest that they are of"
        raise AffectkitError("input", message, file=predictions.path, row=position + 1, remedy=remedy)
    cells = {column: rows[column].to_numpy()[places] for column in wanted}
    return replace(predictions, frame=predictions.frame.assign(**cells))


def require_agreement(
    rows: pd.DataFrame, others: pd.DataFrame, columns: Iterable[str], file: Path | None, whose: str = "another source"
) -> None:
    """Raises "input" naming a row of which `others`, from `file`, say what `rows` do not, as equal ids of two corpora
    do. Empty cells say nothing."""
    there = others.set_index("id").reindex(rows["id"])
    for column in (name for name in columns if name in rows and name in others):
        ours, theirs = rows[column].to_numpy(), there[column].to_numpy()
        differ = ~empty_cells(ours) & ~empty_cells(theirs) & (ours != theirs)
        if (row := first_row(differ)) is not None:
            what = f"says {column} '{theirs[row]}' of id '{rows['id'].iloc[row]}', {whose} '{ours[row]}'"
            raise AffectkitError("input", what, file=file, remedy="make the sources of one manifest")


def empty_cells(cells: np.ndarray) -> np.ndarray:
    """[N] bool."""
    return np.isnan(cells) if cells.dtype.kind == "f" else np.array([c == "" or c is None or c != c for c in cells])


def places_of(some: Predictions, all_rows: Predictions) -> np.ndarray:
    """[M] positions of the rows `some` among all, by their ids; -1 where they lack."""
    import pandas as pd

    ids, own = some.frame["id"], all_rows.frame["id"]
    if len(ids) == len(own) and ids.tolist() == own.tolist():
        return np.arange(len(ids))
    return pd.Index(own, dtype=object).get_indexer(pd.Index(ids, dtype=object))


# What a prediction carries of its row, so that it can be grouped and sliced without the manifest.
CARRIED = ("corpus", "speaker", "subject", "session", "dialogue", "sequence", "time_sec", "track", "sex", "language")


def build_predictions(
    rows: pd.DataFrame,
    outputs: Sequence[TargetPrediction],
    seen: Sequence[str] | np.ndarray,
    carried: Sequence[str] = (),
) -> Predictions:
    """The table of predictions for a manifest's rows.

    seen: [N] of `SEEN`. carried: columns of `rows` to carry over besides the usual ones.
    """
    import pandas as pd

    columns: dict[str, Any] = {name: rows[name].to_numpy() for name in ("id", "split", "fold") if name in rows}
    columns["seen"] = list(seen)
    for output in outputs:
        if output.target.name in rows:
            columns[output.target.name] = rows[output.target.name].to_numpy()
        columns |= output_columns(output)
    for name in dict.fromkeys([*CARRIED, *carried]):
        if name in rows and (rows[name].notna() & (rows[name] != "")).any():
            columns.setdefault(name, rows[name].to_numpy())
    return Predictions(pd.DataFrame(columns), {output.target.name: output.target for output in outputs})


def output_columns(output: TargetPrediction) -> dict[str, Any]:
    """An output as the columns of a table; the prediction is the most probable class, the first of equals."""
    target, name = output.target, output.target.name
    if target.kind == "number":
        parts = {"pred": output.mean, "var": output.var, "low": output.low, "high": output.high}
        return {f"{name}_{part}": values for part, values in parts.items() if values is not None}
    columns: dict[str, Any] = {prediction_column(name): output.classes}
    columns |= dict(zip(probability_columns(target), output.values.T, strict=True))
    if output.sets is not None:
        classes = np.array(target.classes, dtype=object)
        columns[set_column(name)] = [SET_MARK.join(classes[row]) for row in output.sets]
    if output.mutual_information is not None:
        columns[information_column(name)] = output.mutual_information
    return columns


def with_outputs(
    predictions: Predictions, outputs: Sequence[TargetPrediction], seen: Sequence[str] | np.ndarray
) -> Predictions:
    """The same rows with other answers: each output replaces all that the table said of its target but the truth."""
    import pandas as pd

    stale = {c for output in outputs for c in target_columns(output.target)[1:]}
    kept = predictions.frame.drop(columns=[c for c in stale if c in predictions.frame])
    kept = kept.assign(seen=pd.Series(seen, kept.index, dtype=object))
    columns = {name: np.asarray(values) for output in outputs for name, values in output_columns(output).items()}
    # At once: a thousand columns, one put in after the other, are copied over and over. Text stays as it was read: it
    # is looked up a hundred times.
    cells = {name: pd.Series(values, kept.index, dtype=values.dtype) for name, values in columns.items()}
    frame = pd.concat([kept, pd.DataFrame(cells)], axis=1)
    return replace(predictions, frame=frame, foreign=False)


def predictions_text(predictions: Predictions, *, as_json: bool) -> str:
    """The table as CSV, or as one JSON line of rows."""
    if as_json:
        return json.dumps({"rows": without_nan(predictions.frame.to_dict("records"))}, ensure_ascii=False) + "\n"
    text = io.StringIO()
    write_rows(text, predictions.frame)
    return text.getvalue()


# --- Reading predictions, written by affectkit or by any other tool


SUM_TOLERANCE = 0.02  # probabilities printed with two digits still pass
ROUNDING = 1e-6  # outside [0, 1], as a softmax in float32 leaves it


def read_predictions(path: Path, *, targets: Sequence[Target] = (), treat_as: str | None = None) -> Predictions:
    """Read predictions written by affectkit or by any other tool.

    targets: what is known of them (classes in order, scales); otherwise they are read off the column names.
    treat_as: the split ("val", "test") that the rows of a table without `seen` stand for, where it does not say a split
    of its own. Its rows count as held out, but for those of split train, which count as in-sample. Of no account for a
    table that has `seen`.
    Raises "input" naming the row: a probability that is no number or outside [0, 1], a doubled id, an unknown `seen`.
    """
    table = read_table(Path(path), required=["id"], numbers=partial(numeric_columns, targets=targets))
    return parse_predictions(table, Path(path), targets=targets, treat_as=treat_as)


def numeric_columns(columns: Sequence[str], targets: Sequence[Target] = ()) -> set[str]:
    """The columns of a header that hold numbers alone, as `parse_predictions` takes them."""
    known = {target.name: target for target in targets}
    named = [known.get(name, target) for name, target in _targets_of(columns).items()]
    numeric = {c for t in named if t.kind == "number" for c in target_columns(t)}
    numeric |= {c for t in named if t.kind != "number" for c in (*probability_columns(t), information_column(t.name))}
    texts = {c for t in named if t.kind != "number" for c in (t.name, prediction_column(t.name), set_column(t.name))}
    return numeric & set(columns) - texts - set(LEADING)


def has_predictions(columns: Iterable[str]) -> bool:
    """Whether a table with these columns says predictions, rather than features."""
    return any(c == "pred" or c.startswith("prob_") or c.endswith("_pred") for c in columns)


def parse_predictions(
    frame: pd.DataFrame, path: Path, *, targets: Sequence[Target] = (), treat_as: str | None = None
) -> Predictions:
    """As `read_predictions`, of a table that has been read: text, or numbers in `numeric_columns`."""
    import pandas as pd

    _check_table(frame, path)
    foreign = "seen" not in frame
    if foreign:
        frame.insert(1, "seen", pd.Series("heldout", frame.index, object))
    known = {target.name: target for target in targets}
    labels = {cell for name in ("pred", "label") if name in frame for cell in frame[name].unique()} - {""}
    named = {name: known.get(name, target) for name, target in _targets_of(list(frame.columns), labels).items()}
    if not named:
        remedy = "name columns pred, prob_<class> or <target>_pred"
        raise AffectkitError("input", "holds no predictions", file=path, remedy=remedy)
    for target in named.values():
        _parse(frame, target, path)
    frame = frame if LANGUAGE in named else with_language_codes(frame)
    return vouched(Predictions(frame, named, path, foreign), treat_as)


def vouched(predictions: Predictions, treat_as: str | None) -> Predictions:
    """A table with its splits in our words. Of one that came without `seen`, rows of no split are of `treat_as`, and
    rows of split train count as in-sample."""
    frame = predictions.frame
    if "split" in frame:
        frame = frame.assign(split=in_our_words(frame["split"].tolist(), file=predictions.path or "predictions"))
    if predictions.foreign and treat_as:
        frame = frame.assign(split=frame["split"].replace("", treat_as) if "split" in frame else treat_as)
    if predictions.foreign and "split" in frame:
        frame = frame.assign(seen=frame["seen"].where(frame["split"] != "train", "fit"))
    return replace(predictions, frame=frame)


def _check_table(frame: pd.DataFrame, path: Path) -> None:
    if not len(frame):
        raise AffectkitError("input", "has no rows", file=path, remedy="make it again, or name another table")
    ids = frame["id"].tolist()
    if not all(map(str.strip, ids)):
        position = next(position for position, key in enumerate(ids) if not key.strip())
        raise AffectkitError("input", "has no id", file=path, row=position + 1)
    check_ids(frame["id"], path)
    if "seen" in frame and (row := first_row(~frame["seen"].isin(SEEN))) is not None:
        message = f"seen '{frame['seen'][row]}' is not in {', '.join(SEEN)}"
        raise AffectkitError(
            "input", message, file=path, row=row + 1, remedy="take the column from its run, or leave it out"
        )


def _targets_of(columns: Sequence[str], labels: Iterable[str] = ()) -> dict[str, Target]:
    """Targets read off the columns.

    `prob_<class>` or `pred` make `label`, `<t>_prob_<class>` a class target, `<t>_pred` alone a number. labels: the
    classes of `label` where there are no probabilities.
    """
    targets: dict[str, Target] = {}
    classes = [c.removeprefix("prob_") for c in columns if c.startswith("prob_")]
    if classes or "pred" in columns:
        targets["label"] = Target("label", "class", tuple(classes or sorted(labels)))
    for column in columns:
        name = column.removesuffix("_pred")
        if name != column and name:
            labels = [c.removeprefix(f"{name}_prob_") for c in columns if c.startswith(f"{name}_prob_")]
            targets[name] = Target(name, "class", tuple(labels)) if labels else Target(name, "number")
    return targets


def _parse(frame: pd.DataFrame, target: Target, path: Path) -> None:
    import pandas as pd

    if target.kind == "number":
        for column in target_columns(target):
            if column in frame:
                values = to_numbers(frame[column], file=path, column=column)
                frame[column] = _of_size(values, column, target, path)
        if target.name in frame and (sentence := target.beyond_scale(frame[target.name].to_numpy(), frame["id"])):
            log.warning("%s: %s", path, sentence)
        return
    columns = probability_columns(target)
    there = [column for column in columns if column in frame]
    lacking = [column for column in columns if column not in frame]
    if there and lacking:
        remedy = "give a probability of every class"
        raise AffectkitError("input", f"has no column '{lacking[0]}'", file=path, remedy=remedy)
    if target.name in frame:  # before the sums: a class without a column lacks in them
        _refuse_unknown(frame[target.name], target, path, scored=bool(there))
    if there:
        _parse_probabilities(frame, columns, path)
    if (told := information_column(target.name)) in frame:
        values = to_numbers(frame[told], file=path, column=told)
        if (row := first_row(values < -ROUNDING)) is not None:
            what, remedy = f"{told} {values[row]:g} is negative", "leave the cell empty where it is not known"
            raise AffectkitError("input", what, file=path, row=row + 1, remedy=remedy)
        frame[told] = np.maximum(values, 0)
    predicted = prediction_column(target.name)
    if predicted not in frame:
        if not there:
            raise AffectkitError("input", f"has no column '{predicted}'", file=path)
        named = named_classes(target, [frame[column].to_numpy() for column in columns])
        frame[predicted] = pd.Series(named, frame.index, object)
    else:
        _refuse_unknown(frame[predicted], target, path, scored=bool(there))


SMALLEST_KNOWN = 1e-100  # of a variance above 0: what is divided by its root, and the square of that, are numbers too


def _of_size(values: np.ndarray, column: str, target: Target, path: Path) -> np.ndarray:
    """Numbers that can be computed with. A variance, or an end of an interval, beyond that says no more than the last
    one within it; a negative variance says nothing."""
    if column == f"{target.name}_var":
        if (row := first_row(values < 0)) is not None:
            what = "%s row %d: %s %g is negative: taken as unknown, as in %d rows in all"
            log.warning(what, path, row + 1, column, values[row], (values < 0).sum())
        known = np.where(values < 0, np.nan, values)
        return np.where(known > 0, np.clip(known, SMALLEST_KNOWN, LARGEST_NUMBER**2), known)
    if column in (f"{target.name}_low", f"{target.name}_high"):
        return np.clip(values, -LARGEST_NUMBER, LARGEST_NUMBER)
    refuse_too_large(values, file=path, column=column)
    return values


def _parse_probabilities(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """A row has all its probabilities, summing to 1, or none at all (a source that declined it)."""
    total = np.zeros(len(frame))
    for column in columns:
        values = to_numbers(frame[column], file=path, column=column)
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        if max(abs(low - 0.5), abs(high - 0.5)) > 0.5 + ROUNDING:
            outside = int(np.argmax(np.abs(values - 0.5) > 0.5 + ROUNDING))
            percent = low >= 0 and 2 < high <= 100
            remedy = "divide percentages by 100" if percent else "make probabilities of scores first (softmax)"
            message = f"{column} {values[outside]:g} is outside [0, 1]"
            raise AffectkitError("input", message, file=path, row=outside + 1, remedy=remedy)
        if low < 0 or high > 1 or frame[column].dtype != float:
            frame[column] = np.clip(values, 0, 1)
        total += values
    lacking = np.isnan(total)
    if lacking.any() and (row := first_row(lacking & ~frame[columns].isna().all(axis=1))) is not None:
        message = f"{next(column for column in columns if np.isnan(frame[column][row]))} is missing"
        raise AffectkitError("input", message, file=path, row=row + 1, remedy="give every class's probability, or none")
    if len(columns) > 1 and (row := first_row(np.abs(total - 1) > SUM_TOLERANCE)) is not None:
        message = f"the probabilities sum to {total[row]:g}, not 1"
        raise AffectkitError("input", message, file=path, row=row + 1, remedy="normalise scores first")


def _refuse_unknown(cells: pd.Series, target: Target, path: Path, *, scored: bool) -> None:
    """scored: whether the classes are those that have a column of probabilities."""
    if (row := first_row(~cells.isin(["", *target.classes]))) is not None:
        cell = cells[row]
        [name, *_] = [name for name in target.classes if spelt_alike([name, cell])] or [""]
        remedy = (
            f"give a column {probability_columns(target)[0].removesuffix(target.classes[0])}{cell}, " if scored else ""
        )
        remedy = f"write it as the class is written: {name}" if name else f"{remedy}or leave the cell empty"
        message = f"{cells.name} '{cell}' is not in {', '.join(target.classes)}"
        raise AffectkitError("input", message, file=path, row=row + 1, remedy=remedy.removeprefix("or "))
