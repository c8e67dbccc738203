"""Tables of numbers that are too long for memory: a day at 30 rows a second is read some thousand rows at a time.

Separated by commas, tabs or semicolons, with or without a header, blanks after the commas or none. A row is one moment.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media.files import check_file

BLOCK = 1 << 20  # bytes that are parsed at once: 4,000 rows of 33 landmarks, 50,000 of 5 columns
LONGEST_LINE = 1 << 20
SNIFFED = 20  # rows that tell which columns hold numbers
_SIGNS = ("", "-", "+")
# What other programs write for no number, and for what is beyond all numbers (Microsoft's C library: 1.#INF).
MISSING = tuple(
    f"{blank}{sign}{word}"
    for blank in ("", " ")
    for sign in _SIGNS
    for word in (
        "", "nan", "NaN", "NAN", "NA", "N/A", "null", "None", "nan(ind)", "nan(snan)", "1.#INF", "1.#QNAN", "1.#IND",
        "1.#INF00", "1.#QNAN0", "1.#IND00",
    )
)  # fmt: skip


@dataclass(frozen=True)
class TextTable:
    """A table in text. names: of its columns, in order; () where it has no header. width: how many columns.

    texts: names of columns that hold words.
    """

    path: Path
    delimiter: str
    names: tuple[str, ...]
    width: int
    texts: frozenset[str] = frozenset()

    def place(self, name: str) -> int:
        """Where a column stands. Raises "input" for a name that stands twice."""
        if self.names.count(name) > 1:
            remedy = "give each column a name of its own"
            raise AffectkitError("input", f"column '{name}' stands twice in the header", file=self.path, remedy=remedy)
        return self.names.index(name)


def open_text_table(path: Path) -> TextTable:
    """What the first lines say. Raises as `check_file` does, and "input" for what is no text of columns."""
    check_file(path)
    with open(path, "rb") as handle:
        lines = [line for line in islice(iter(lambda: handle.readline(LONGEST_LINE), b""), SNIFFED + 1) if line.strip()]
    if not lines:
        raise AffectkitError("input", "is empty: it has no rows", file=path, remedy="copy it again")
    if b"\0" in lines[0]:
        remedy = "save it as CSV in UTF-8, or as .npy"
        raise AffectkitError("input", "is neither text nor an array", file=path, remedy=remedy)
    try:
        text = [line.decode("utf-8-sig").rstrip("\r\n") for line in lines]
    except UnicodeDecodeError:
        raise AffectkitError("input", "is not UTF-8 text", file=path, remedy="save it as UTF-8") from None
    delimiter = max(",\t;", key=text[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(text, delimiter=delimiter, skipinitialspace=True)]
    if all(map(is_number, rows[0])) and any(cell not in MISSING for cell in rows[0]):
        return TextTable(path, delimiter, (), len(rows[0]))
    header, body = rows[0], rows[1:]
    texts = [name for place, name in enumerate(header) if any(place < len(r) and not is_number(r[place]) for r in body)]
    return TextTable(path, delimiter, tuple(header), len(header), frozenset(texts))


def is_number(cell: str) -> bool:
    """Whether a cell is a number, or is spelt as a missing one.

    >>> [is_number(cell) for cell in ("1e-3", "-inf", "1.#INF", "", "left")]
    [True, True, True, True, False]
    """
    if cell in MISSING:
        return True
    try:
        float(cell.replace("_", "?"))
    except ValueError:
        return False
    return True


def read_text_table(table: TextTable, columns: Sequence[int], texts: Sequence[int] = ()) -> Iterator[tuple[Any, Any]]:
    """([n, D] float64, NaN where a cell is missing; [n, K] of text) of the columns at these places, block by block.

    Raises "input" with the row: a cell that is no number, a row of another length.
    """
    from pyarrow import ArrowInvalid, csv, float64, string

    names = [str(place) for place in range(table.width)]
    wanted = [names[place] for place in (*columns, *texts)]
    types = {names[place]: float64() for place in columns} | {names[place]: string() for place in texts}
    try:
        reader = csv.open_csv(
            table.path,
            csv.ReadOptions(column_names=names, skip_rows=bool(table.names), block_size=BLOCK, use_threads=False),
            csv.ParseOptions(delimiter=table.delimiter),
            csv.ConvertOptions(
                column_types=types, include_columns=list(dict.fromkeys(wanted)), null_values=list(MISSING)
            ),
        )
        for batch in reader:
            cells = [batch.column(name).to_numpy(zero_copy_only=False) for name in wanted]
            numbers = np.empty((batch.num_rows, len(columns)))
            for place, values in enumerate(cells[: len(columns)]):
                numbers[:, place] = values
            words = [[str(word or "").strip() for word in column] for column in cells[len(columns) :]]
            yield numbers, words
    except ArrowInvalid as error:
        if "Empty CSV file" in str(error):  # a header, and nothing below it
            return
        raise _first_wrong(table, [*columns], str(error)) from None


def _first_wrong(table: TextTable, columns: Sequence[int], why: str) -> AffectkitError:
    """The error for the first row that cannot be read."""
    remedy = "correct it, or write it again"
    with open(table.path, encoding="utf-8-sig", errors="replace", newline="") as handle:
        rows = (row for row in csv.reader(handle, delimiter=table.delimiter, skipinitialspace=True) if row)
        for number, row in enumerate(rows, start=0 if table.names else 1):
            if number == 0:
                continue
            if len(row) != table.width:
                message = f"{len(row)} cells in a row of {table.width}"
                return AffectkitError("input", message, file=table.path, row=number, remedy=remedy)
            wrong = next((place for place in columns if not is_number(row[place].strip())), None)
            if wrong is not None:
                name = table.names[wrong] if table.names else f"column {wrong + 1}"
                message = f"{name} '{row[wrong].strip()[:40]}' is not a number"
                return AffectkitError("input", message, file=table.path, row=number, remedy=remedy)
    return AffectkitError("input", f"cannot be read: {why.splitlines()[0][:200]}", file=table.path, remedy=remedy)
