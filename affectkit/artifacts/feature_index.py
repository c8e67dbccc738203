"""`index.csv` of a features folder: which shard holds a row, and where; checked, since a wrong place is a wrong row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from affectkit.artifacts.shards import row_count
from affectkit.artifacts.tables import read_table, to_numbers
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

INDEX = "index.csv"
SHARD = re.compile(r"features-\d{5,}\.safetensors")


@dataclass(frozen=True)
class FeatureIndex:
    """ids, the shard of each, and [N] int64 where it starts there and how many frames it has (1 where pooled)."""

    ids: list[str]
    shard: list[str]
    start: np.ndarray
    frames: np.ndarray


def read_index(folder: Path) -> FeatureIndex:
    """Read and check `index.csv`.

    Raises "input" naming the row of a doubled id, of a shard that is no shard's name, and of a place outside its shard.
    """
    file = folder / INDEX
    table = read_table(file, required=["id", "shard", "start", "frames"])
    check_ids(list(table["id"]), file)
    start, frames = (_whole(table, column, file) for column in ("start", "frames"))
    sizes: dict[str, int] = {}
    for row, (shard, first, count) in enumerate(zip(table["shard"], start, frames, strict=True), start=1):
        if not SHARD.fullmatch(shard):
            raise AffectkitError("input", f"'{shard}' is not the name of a shard", file=file, row=row)
        if shard not in sizes:
            sizes[shard] = row_count(folder / shard)
        if first + count > sizes[shard]:
            message = f"points at {first + count} in {shard}, which holds {sizes[shard]}"
            raise AffectkitError("input", message, file=file, row=row, remedy="extract the features again")
    return FeatureIndex(list(table["id"]), list(table["shard"]), start, frames)


def check_ids(ids: list[str], file: Path) -> None:
    """Refuse an id that stands twice, naming its row."""
    seen: set[str] = set()
    for row, key in enumerate(ids, start=1):
        if key in seen:
            raise AffectkitError("input", f"id '{key}' stands twice", file=file, row=row)
        seen.add(key)


def _whole(table: pd.DataFrame, column: str, file: Path) -> np.ndarray:
    values = to_numbers(list(table[column]), file=file, column=column)
    wrong = ~((values >= 0) & (values % 1 == 0))
    if wrong.any():
        row = int(wrong.argmax())
        message = f"{column} '{table[column][row]}' is not a whole number from 0"
        raise AffectkitError("input", message, file=file, row=row + 1)
    return values.astype("int64")
