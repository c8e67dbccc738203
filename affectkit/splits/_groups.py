"""What must not straddle: the column that says it, rows that it says nothing of, and folds of it in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.splits._assign import default_group

if TYPE_CHECKING:
    import pandas as pd


def group_column(rows: pd.DataFrame, group: str | None, *, file: Path | None = None) -> str | None:
    """The column called `group`, by default as `default_group` has it. Raises "input" for one that is not there."""
    if group is not None and group not in rows:
        remedy = did_you_mean(group, list(rows.columns))
        raise AffectkitError("input", f"has no column '{group}' to group by", file=file, remedy=remedy)
    return group if group is not None else default_group(rows)


def apart(ids: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """[N] text: each row's group; a row without one ("") is a group of its own."""
    return np.where(groups == "", ids, groups)


def folds_in_words(folds: np.ndarray, groups: np.ndarray, column: str) -> str:
    """`leave one speaker out (8)`, or `5 folds of whole speakers`. folds, groups: [N]; column: what the groups are."""
    count = len(np.unique(folds))
    one_each = count == len(np.unique(groups))
    return f"leave one {column} out ({count})" if one_each else f"{count} folds of whole {column}s"
