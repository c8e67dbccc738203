"""Which side of the split each row of a manifest is on, and which fold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit import splits
from affectkit.artifacts.tables import read_table
from affectkit.corpora._gather import Choices, Gathered, drop
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import pandas as pd


def split_by(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> str:
    """What decides the sides: `5 folds`, what was asked for, else `official` where the corpus as it lies here says it,
    `speaker` (or what stands in), or `random`."""
    if choices.folds and choices.split_by:
        raise AffectkitError("usage", "--folds and --split-by exclude each other", remedy="leave one of them out")
    if gathered.base and not choices.folds and choices.split_by in (None, "official"):
        _refuse_fractions(choices)
        return "official"
    if choices.folds:
        test = choices.fractions["test_fraction"]
        return f"{choices.folds} folds" + (f", {test:g} test" if test else "")
    if choices.split_by:
        return choices.split_by
    if gathered.corpus.official and "split" in rows and rows["split"].isin(splits.SPLITS).any():
        return "official"
    return "speaker" if splits.default_group(rows) else "random"


def _refuse_fractions(choices: Choices) -> None:
    """Of splits that stay as they are."""
    for flag, share in (("--val-fraction", choices.val_fraction), ("--test-fraction", choices.test_fraction)):
        if share is not None:
            remedy = "leave it out, or split anew with --split-by or --folds"
            raise AffectkitError(
                "usage", f"{flag}: the rows keep the sides that they have in the manifest", remedy=remedy
            )


def keep_parts(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """The rows that the official split says a part of.

    Raises "usage" where it says none, "input" for a part that is none of ours, unless such rows are to be skipped. A
    manifest keeps its rows without a part.
    """
    if gathered.base:
        return rows
    if not gathered.corpus.official or "split" not in rows or not rows["split"].isin(splits.SPLITS).any():
        what = "the corpus has no official split" + (" as it lies here" if gathered.corpus.official else "")
        raise AffectkitError("usage", what, remedy="use --split-by speaker")
    known = ", ".join(splits.SPLITS)
    strange = rows[~rows["split"].isin(["", *splits.SPLITS])]
    if len(strange) and choices.on_error == "stop":
        name = strange["split"].iloc[0]
        what = f"split '{name}' is not in {known}: {(strange['split'] == name).sum()} rows have it"
        remedy = f"correct it, keep the others with --only split={','.join(splits.SPLITS)}, or use --split-by speaker"
        row = None if gathered.dropped else int(strange.index[0]) + 1
        raise AffectkitError("input", what, file=gathered.source, row=row, remedy=remedy)
    reasons = {"": "has no split", **dict.fromkeys(splits.SPLITS, "")}
    why = [reasons.get(name, f"split '{name}' is not in {known}") for name in rows["split"]]
    return drop(rows, why, gathered.dropped)


def split_rows(rows: pd.DataFrame, by: str, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """Fill `split`, or `fold` (then everything but a test part is `train`), by what `split_by` says."""
    if gathered.base and by == "official":
        return rows
    rows = rows.drop(columns="fold", errors="ignore")
    if choices.folds:
        return _folds(rows, gathered, choices)
    fractions: Any = {**choices.fractions, "seed": choices.seed}
    if by == "official":
        return _official(rows, gathered, choices)
    if by == "random":
        return rows.assign(split=splits.random_rows(_labels(rows), len(rows), **fractions))
    if by.endswith(".csv"):
        split, fold = splits.from_table(read_table(Path(by), required=["id"]), list(rows["id"]), file=Path(by))
        if fold is None:
            return rows.assign(split=split)
        return rows.assign(split=np.where(fold == "", "test", "train").astype(object), fold=fold)
    column = choices.group or (splits.default_group(rows) if by == "speaker" and "speaker" not in rows else by)
    groups = _groups(rows, column, "--split-by")
    return rows.assign(split=splits.by_group(groups, _labels(rows), **fractions, name=str(column)))


def group_column(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> str | None:
    """What must not straddle: as asked, else as the corpus says (IEMOCAP's sessions), else the speaker."""
    if choices.group and choices.group not in rows:
        _groups(rows, choices.group, "--group")
    own = gathered.corpus.default_group
    of_corpus = own if own in rows and (rows[own] != "").any() else ""
    return choices.group or of_corpus or splits.default_group(rows)


def _folds(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    text = str(choices.folds)
    count = int(text) if text.isdigit() else None
    column = group_column(rows, gathered, choices) if count else choices.group or text
    groups = None if count and column is None else _groups(rows, column, "--folds")
    if groups is not None and (nobody := groups == "").any():
        first = rows[nobody].iloc[0]
        what = f"{nobody.sum()} of {len(rows)} rows without a {column}, as {first.get('path') or first['id']}"
        remedy = f"fill it in, keep the others with --only {column}=..., or name another column with --group"
        raise AffectkitError("input", f"{what}: no fold can hold them out", file=gathered.source, remedy=remedy)
    labels, fraction = _spread(rows, gathered), choices.fractions["test_fraction"]
    split, folds = splits.folds_and_test(
        groups, labels, len(rows), count, test_fraction=fraction, seed=choices.seed, name=str(column)
    )
    return rows.assign(split=split, fold=folds)


def _official(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """The corpus's own split; where it has no validation part, one is carved out of train by group."""
    split, fraction = rows["split"].to_numpy(dtype=object, copy=True), choices.fractions["val_fraction"]
    if (split == "val").any() or not fraction or not (split == "train").any():
        return rows
    train = np.flatnonzero(split == "train")
    column = group_column(rows, gathered, choices) or "id"
    labels = _labels(rows)
    groups, classes = rows[column].astype(str).to_numpy()[train], labels[train] if labels is not None else None
    held = splits.hold_out(groups, classes, fraction=fraction, seed=choices.seed)
    split[train[held]] = "val"
    return rows.assign(split=split)


def _labels(rows: pd.DataFrame) -> Any:
    return rows["label"].to_numpy() if "label" in rows else None


def _spread(rows: pd.DataFrame, gathered: Gathered) -> Any:
    """[N] what folds share evenly: labels, else the first target, a number by its quintiles."""
    first = next((target for target in gathered.targets if target.name in rows), None)
    if "label" in rows or first is None:
        return _labels(rows)
    return rows[first.name].to_numpy(float if first.kind == "number" else object)


def _groups(rows: pd.DataFrame, column: str | None, option: str) -> Any:
    if column is None or column not in rows or not (rows[column] != "").any():
        known = ", ".join(c for c in splits.GROUP_COLUMNS if c in rows) or "none"
        raise AffectkitError("usage", f"{option}: the corpus names no {column or 'groups'}", remedy=f"it has {known}")
    return rows[column].astype(str).to_numpy()
