"""Which side each row of a manifest is on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit import splits
from affectkit.corpora._choose import Choices
from affectkit.corpora._gather import Gathered
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import pandas as pd


def split_rows(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """Fill `split`, or `fold` (then everything is `train`), by what the command line asks for."""
    labels = rows["label"].to_numpy() if "label" in rows else None
    if choices.folds:
        return _folds(rows, labels, choices)
    by = choices.split_by or (
        "official" if gathered.official else "speaker" if splits.default_group(rows) else "random"
    )
    fractions = {"val_fraction": choices.val_fraction, "test_fraction": choices.test_fraction, "seed": choices.seed}
    if by == "official":
        return _official(rows, labels, gathered, choices)
    if by == "random":
        return rows.assign(split=splits.at_random(labels, len(rows), **fractions))
    if by.endswith(".csv") or Path(by).is_file():
        return splits.from_file(Path(by), rows)
    column = choices.group or (splits.default_group(rows) if by == "speaker" else by)
    return rows.assign(split=splits.by_group(_groups(rows, column, "--split-by"), labels, **fractions))


def _folds(rows: pd.DataFrame, labels: Any, choices: Choices) -> pd.DataFrame:
    if choices.split_by:
        raise AffectkitError("usage", "--folds and --split-by exclude each other", remedy="leave one of them out")
    text = str(choices.folds)
    column = splits.default_group(rows) if text.isdigit() else text
    if text.isdigit() and choices.group is None and column is None:
        return rows.assign(
            split="train", fold=splits.grouped_folds(rows["id"].to_numpy(), labels, int(text), choices.seed)
        )
    groups = _groups(rows, choices.group or column, "--folds")
    count = int(text) if text.isdigit() else len(set(groups))
    return rows.assign(split="train", fold=splits.folds_by_group(groups, labels, count, choices.seed))


def _groups(rows: pd.DataFrame, column: str | None, option: str) -> Any:
    if column is None or column not in rows or not (rows[column] != "").any():
        known = ", ".join(c for c in splits.GROUP_COLUMNS if c in rows) or "none"
        raise AffectkitError("usage", f"{option}: the corpus names no {column or 'groups'}", remedy=f"it has {known}")
    return rows[column].astype(str).to_numpy()


def _official(rows: pd.DataFrame, labels: Any, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """The corpus's own split; where it has no validation part, one is carved out of train by group."""
    if not gathered.official:
        raise AffectkitError("usage", "the corpus has no official split", remedy="use --split-by speaker")
    split = rows["split"].to_numpy(dtype=object)
    if (split == "val").any() or not choices.val_fraction:
        return rows
    train = np.flatnonzero(split == "train")
    column = choices.group or splits.default_group(rows)
    groups = rows[column if column else "id"].astype(str).to_numpy()[train]
    part = splits.by_group(
        groups, labels[train] if labels is not None else None,
        val_fraction=choices.val_fraction, test_fraction=0.0, seed=choices.seed,
    )  # fmt: skip
    split[train] = part
    return rows.assign(split=split)
