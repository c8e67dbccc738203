"""A split that somebody else has published: `id`, and `split` or `fold`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "val", "test")

log = logging.getLogger(__name__)


def from_table(
    table: pd.DataFrame, ids: Sequence[str], *, file: Path | str
) -> tuple[list[str] | None, np.ndarray | None]:
    """The split and the fold of each id, as a table with `id` and `split`, `fold` or both says; None where it does not.

    Raises "input" naming the row of a doubled id, an unknown split or a fold that is no whole number, and the first id
    that the table lacks. Ids that are only in the table are logged: a protocol covers rows that a filter dropped.
    """
    if "split" not in table and "fold" not in table:
        raise AffectkitError("input", "has neither a column 'split' nor a column 'fold'", file=file)
    _check_table(table, file)
    rows = {key: row for row, key in enumerate(table["id"])}
    missing = [key for key in ids if key not in rows]
    if missing:
        what = f"does not say where '{missing[0]}' belongs ({len(missing)} of {len(ids)} ids are missing)"
        raise AffectkitError("input", what, file=file, remedy="add them, or drop their rows with --only or --label-map")
    unknown = sorted(rows.keys() - set(ids))
    if unknown:
        log.warning("%s: %d ids are not in the corpus as read, the first is '%s'", file, len(unknown), unknown[0])
    order = [rows[key] for key in ids]
    split = [table["split"][row] for row in order] if "split" in table else None
    return split, np.array([int(table["fold"][row]) for row in order]) if "fold" in table else None


def _check_table(table: pd.DataFrame, file: Path | str) -> None:
    seen: set[str] = set()
    for row, key in enumerate(table["id"], start=1):
        if key in seen:
            raise AffectkitError("input", f"id '{key}' stands twice", file=file, row=row)
        seen.add(key)
    for row, split in enumerate(table.get("split", ()), start=1):
        if split not in SPLITS:
            raise AffectkitError("input", f"split '{split}' is not in {', '.join(SPLITS)}", file=file, row=row)
    for row, fold in enumerate(table.get("fold", ()), start=1):
        if not str(fold).isdecimal():
            raise AffectkitError("input", f"fold '{fold}' is not a whole number", file=file, row=row)
