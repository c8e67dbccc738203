"""Which side each row of a manifest is on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit import splits
from affectkit.artifacts.tables import read_table
from affectkit.corpora._choose import Choices
from affectkit.corpora._gather import Gathered
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import pandas as pd


def split_rows(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """Fill `split`, or `fold` (then everything is `train`), by what the command line asks for."""
    if choices.folds:
        return _folds(rows, gathered, choices)
    by = choices.split_by or default_split(rows, gathered)
    fractions: dict[str, Any] = {
        "val_fraction": choices.val_fraction, "test_fraction": choices.test_fraction, "seed": choices.seed
    }  # fmt: skip
    if by == "official":
        return _official(rows, gathered, choices)
    if by == "random":
        return rows.assign(split=splits.random_rows(_labels(rows), len(rows), **fractions))
    if by.endswith(".csv"):
        return _from_file(rows, Path(by))
    column = choices.group or (splits.default_group(rows) if by == "speaker" and "speaker" not in rows else by)
    groups = _groups(rows, column, "--split-by")
    return rows.assign(split=splits.by_group(groups, _labels(rows), **fractions, name=str(column)))


def default_split(rows: pd.DataFrame, gathered: Gathered) -> str:
    """`official` where the corpus as it lies here says it, else `speaker` (or what stands in), else `random`."""
    if gathered.official and "split" in rows and (rows["split"] != "").any():
        return "official"
    return "speaker" if splits.default_group(rows) else "random"


def group_column(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> str | None:
    """What must not straddle: as asked, else as the corpus says (IEMOCAP's sessions), else the speaker."""
    if choices.group and choices.group not in rows:
        _groups(rows, choices.group, "--group")
    own = gathered.group if gathered.group in rows and (rows[gathered.group] != "").any() else ""
    return choices.group or own or splits.default_group(rows)


def _folds(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    if choices.split_by:
        raise AffectkitError("usage", "--folds and --split-by exclude each other", remedy="leave one of them out")
    text = str(choices.folds)
    count = int(text) if text.isdigit() else None
    column = group_column(rows, gathered, choices) if count else choices.group or text
    if count and column is None:
        return rows.assign(split="train", fold=splits.random_folds(_labels(rows), len(rows), count, choices.seed))
    groups = _groups(rows, column, "--folds")
    folds = splits.folds_by_group(groups, _labels(rows), count, choices.seed, name=str(column))
    return rows.assign(split="train", fold=folds)


def _official(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """The corpus's own split; where it has no validation part, one is carved out of train by group."""
    if not gathered.official:
        raise AffectkitError("usage", "the corpus has no official split", remedy="use --split-by speaker")
    split = rows["split"].to_numpy(dtype=object, copy=True)
    if (split == "val").any() or not choices.val_fraction:
        return rows
    train = np.flatnonzero(split == "train")
    column = group_column(rows, gathered, choices) or "id"
    labels = _labels(rows)
    held = splits.hold_out(
        rows[column].astype(str).to_numpy()[train],
        labels[train] if labels is not None else None,
        fraction=choices.val_fraction,
        seed=choices.seed,
    )
    split[train[held]] = "val"
    return rows.assign(split=split)


def _from_file(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    split, fold = splits.from_table(read_table(path, required=["id"]), list(rows["id"]), file=path)
    if fold is not None:
        return rows.assign(split="train", fold=fold)
    return rows.assign(split=split)


def _labels(rows: pd.DataFrame) -> Any:
    return rows["label"].to_numpy() if "label" in rows else None


def _groups(rows: pd.DataFrame, column: str | None, option: str) -> Any:
    if column is None or column not in rows or not (rows[column] != "").any():
        known = ", ".join(c for c in splits.GROUP_COLUMNS if c in rows) or "none"
        raise AffectkitError("usage", f"{option}: the corpus names no {column or 'groups'}", remedy=f"it has {known}")
    return rows[column].astype(str).to_numpy()
