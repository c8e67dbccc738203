"""Rows of a table as sequences of frames in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.tables import first_row, to_numbers
from affectkit.errors import AffectkitError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Timeline:
    """N rows as S sequences; whatever order the rows have in their table, here they follow time.

    order: [N] positions in the table, sequence by sequence. starts: [S] where each begins in `order`.
    names: [S], sorted. times: [N] of `order`, in the unit of the column, strictly increasing within a sequence.
    """

    order: np.ndarray
    starts: np.ndarray
    names: list[str]
    times: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        """[S] frames of each sequence."""
        return np.diff(self.starts, append=len(self.order))

    @cached_property
    def codes(self) -> np.ndarray:
        """[N] the sequence of each row of `order`."""
        return np.repeat(np.arange(len(self.starts)), self.lengths)

    @cached_property
    def labels(self) -> np.ndarray:
        """[N] text: the sequence of each row, in the order of the table."""
        return self.to_table(np.array(self.names, dtype=object)[self.codes])

    @property
    def step(self) -> float:
        """The median time between a frame and the next; NaN where every sequence has one frame."""
        steps = np.diff(self.times)[self.codes[1:] == self.codes[:-1]]
        return float(np.median(steps)) if len(steps) else float("nan")

    def to_table(self, ordered: np.ndarray) -> np.ndarray:
        """Values [N, ...] of `order` as the table has its rows."""
        values = np.empty_like(ordered)
        values[self.order] = ordered
        return values


def timeline(
    frame: pd.DataFrame,
    sequence: Sequence[str],
    time: str,
    *,
    file: Path | None = None,
    where: Callable[[int], dict[str, Any]] | None = None,
) -> Timeline:
    """The sequences of a table of text.

    sequence: the columns that together tell sequences apart. time: a column of numbers. where: `file` and `row` of a
    position in a table that was put together from several files.
    Raises "usage" without a column, "input" for a missing one, and naming the row of an empty cell or of a time that
    its sequence has already.
    """
    import pandas as pd

    if not sequence:
        raise AffectkitError("usage", "no column tells sequences apart", remedy="name one with --sequence")
    for column in (*sequence, time):
        if column not in frame:
            remedy = f"pass the --manifest that has it, or name another; {did_you_mean(column, list(frame.columns))}"
            raise AffectkitError("input", f"has no column '{column}'", file=file, remedy=remedy)
    where = where or (lambda position: {"file": file, "row": position + 1})
    cells = [frame[column].astype(str) for column in sequence]
    for column, values in zip(sequence, cells, strict=True):
        _refuse_first(values.to_numpy() == "", f"has no {column}", where)
    try:
        times = to_numbers(frame[time], file=file, column=time)
    except AffectkitError as error:
        raise AffectkitError(error.code, error.message, **where((error.row or 1) - 1), remedy=error.remedy) from None
    _refuse_first(np.isnan(times), f"has no {time}", where)
    joined = cells[0].str.cat(cells[1:], sep=" / ") if len(cells) > 1 else cells[0]
    codes, names = pd.factorize(joined.to_numpy(object), sort=True)
    order = np.lexsort((times, codes))
    codes, times = codes[order], times[order]
    place = first_row((codes[1:] == codes[:-1]) & (times[1:] == times[:-1]))
    if place is not None:
        first, second = map(where, sorted(map(int, order[place : place + 2])))
        message = f"{time} {times[place]:g} of sequence '{names[codes[place]]}' stands already in row {first['row']}"
        message += f" of {first['file'].name}" if first["file"] != second["file"] else ""
        remedy = "name every column that tells sequences apart, such as --sequence sequence,track"
        raise AffectkitError("input", message, **second, remedy=remedy)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    return Timeline(order, starts, [str(name) for name in names], times)


def _refuse_first(bad: np.ndarray, message: str, where: Callable[[int], dict[str, Any]]) -> None:
    if (row := first_row(bad)) is not None:
        raise AffectkitError("input", message, **where(row), remedy="every row needs a sequence and a time")
