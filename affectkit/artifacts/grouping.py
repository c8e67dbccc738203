"""Rows of a table that belong together, and what those of a group have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from affectkit.errors import AffectkitError, Code
from affectkit.splits import group_column

if TYPE_CHECKING:
    import pandas as pd

Truth = Literal["unanimous", "majority"]
ROUNDING = 1e-9  # of the largest weight: sums of weights this close to it are equal to it


@dataclass(frozen=True)
class Grouping:
    """G groups of the N rows of `frame`: codes [N] into `names`. firsts: [G] the row that each begins with.

    called: what a group is, in messages. path: of the table.
    """

    frame: pd.DataFrame
    called: str
    codes: np.ndarray
    names: list[str]
    firsts: np.ndarray
    path: Path | None

    def common(self, column: str) -> np.ndarray:
        """[G] the value of each group's first row."""
        return self.frame[column].to_numpy()[self.firsts]

    def count(self, rows: np.ndarray) -> np.ndarray:
        """[G] how many of `rows`, [N] bool, each group has."""
        return np.bincount(self.codes[rows], minlength=len(self.names))

    def differing(self, column: str) -> int | None:
        """The first group in which a column has more than one value; NaN equals NaN."""
        import pandas as pd

        values = pd.factorize(self.frame[column])[0]
        differs = values != values[self.firsts][self.codes]
        return int(self.codes[differs].min()) if differs.any() else None

    def shared(self, columns: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
        """Of columns, those in which no group has two values, [G] each, and the names of the others."""
        places = {column: self.differing(column) for column in columns}
        kept = {column: self.common(column) for column, place in places.items() if place is None}
        return kept, [column for column in places if column not in kept]

    def require_whole(self, column: str | None, of: str) -> None:
        """Raises "input" where there is no such column, or a group has several values of it. of: what groups are."""
        if column is None:
            return
        group_column(self.frame, column, file=self.path)
        if (place := self.differing(column)) is not None:
            raise self.refusal("input", column, place, f"name a --group of whole {of}")

    def refusal(self, code: Code, column: str, place: int, remedy: str, values: Sequence[str] = ()) -> AffectkitError:
        """That a group has several values of a column; by default the first few of its cells."""
        cells = self.frame[column][self.codes == place].astype(str).unique()
        several = " and ".join(f"'{value}'" for value in (values or sorted(cells))[:3])
        message = f"{self.called} '{self.names[place]}' has rows of {column} {several}"
        return AffectkitError(code, message, file=self.path, remedy=remedy)


def majority(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of weights [G, K] of K labels: [G] the heaviest label of each group, -1 where there is none or several are; [G]
    bool, where there are several labels; [G] bool, where none of several is the heaviest."""
    mixed = (weights > 0).sum(axis=1) > 1
    top = weights.max(axis=1, keepdims=True)
    tied = (weights >= top * (1 - ROUNDING)).sum(axis=1) > 1
    return np.where(tied | (top[:, 0] == 0), -1, weights.argmax(axis=1)), mixed, tied & mixed
