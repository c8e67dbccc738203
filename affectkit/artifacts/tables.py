"""The one CSV reader and the one CSV writer.

Every cell is read as text and "" means missing: "None", "NA" and "nan" are words that a real corpus contains. Numbers
are parsed where a caller asks for a number, so that an error can name the row.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.files import atomic
from affectkit.errors import AffectkitError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


# --- What a table's first bytes say of it: refusals of what is no CSV of ours, each with what to do about it


HEAD = 1 << 16  # bytes looked at
SEPARATORS = {";": "';'", ",": "','", "\t": "tabs", "|": "'|'"}

# First bytes -> what a file is; the longer before those that they begin with.
_KINDS = {
    b"\xff\xfe\x00\x00": "is not UTF-8 text but UTF-32",
    b"\x00\x00\xfe\xff": "is not UTF-8 text but UTF-32",
    b"\xff\xfe": "is not UTF-8 text but UTF-16",
    b"\xfe\xff": "is not UTF-8 text but UTF-16",
    b"PK\x03\x04": "is a workbook or another zip archive, not CSV",
    b"\xd0\xcf\x11\xe0": "is a workbook, not CSV",
    b"\x1f\x8b": "is compressed (gzip)",
    b"PAR1": "is Parquet, not CSV",
}
_JSON = re.compile(rb'(\xef\xbb\xbf)?\s*[\[{]\s*["{\[]')


def refuse_other_formats(head: bytes, path: Path) -> None:
    """Raises "input" for a table that begins like another kind of file, or like text in 16 or 32 bits."""
    kind = next((what for start, what in _KINDS.items() if head.startswith(start)), "")
    if not kind and b"\0" in head:
        kind = "is not UTF-8 text: it holds NUL bytes, as UTF-16 does and damaged files do"
    if not kind and _JSON.match(head):
        kind = "is JSON, not CSV"
    if kind:
        raise AffectkitError("input", kind, file=path, remedy="save it as CSV in UTF-8 with commas")


def check_separator(head: bytes, path: Path, delimiter: str) -> bool:
    """Whether the first line is a spreadsheet's `sep=,`, to be skipped.

    Raises "input" where the columns are separated by anything else than `delimiter`.
    """
    text = head.decode("utf-8-sig", errors="replace")
    first, *more = [line for line in re.split(r"[\r\n]+", text, maxsplit=3) if line.strip()] or [""]
    declared = re.match(r'"?sep=(.)', first, re.IGNORECASE)
    used = declared[1] if declared else _separator(first, delimiter)
    if used != delimiter:
        message, remedy = f"its columns are separated by {SEPARATORS.get(used, repr(used))}", "save it with commas"
        if used == ";" and any(re.search(r"\d,\d", line) for line in more[:2]):
            message += " and its decimals by ','"
            remedy += " between columns and points in numbers"
        endings = {"\t": f"name it .tsv, or {remedy}", ",": "name it .csv"}
        raise AffectkitError("input", message, file=path, remedy=endings.get(used, remedy))
    return declared is not None


def _separator(header: str, delimiter: str) -> str:
    """What separates a header's names: `delimiter`, unless another is commoner and stands in the first of them."""
    bare = re.sub(r'"[^"]*"', "", header)
    other = max(SEPARATORS, key=bare.count)
    return other if other in bare.split(delimiter)[0] and bare.count(other) > bare.count(delimiter) else delimiter


def undecodable(path: Path) -> AffectkitError:
    """The error for text in another 8-bit encoding, with the line of the first byte that tells."""
    place = ""
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                place = f" (line {number})"
                break
    remedy = "save it as UTF-8; a spreadsheet offers 'CSV UTF-8' or asks for the character set"
    return AffectkitError("input", f"is not UTF-8 text{place}", file=path, remedy=remedy)


def iter_rows(path: Path, *, delimiter: str | None = None) -> Iterator[list[str]]:
    """The header, then each data row, of a CSV (or tab-separated, by its ending) in UTF-8, with or without a BOM.

    Line ends may be LF, CRLF or bare CR. What spreadsheets add is nothing: names in the header are stripped, rows whose
    cells are all blank and empty cells to the right of the last name are skipped, as is a first line `sep=,`.
    Raises "missing", or "input" with the row: wrong number of cells, a quote left open; another encoding or separator.
    """
    path = Path(path)
    comma = delimiter or ("\t" if path.suffix.lower() in (".tsv", ".tab") else ",")
    csv.field_size_limit(sys.maxsize)
    try:
        with io.BufferedReader(io.FileIO(path), HEAD) as handle:
            head = handle.peek(HEAD)
            refuse_other_formats(head, path)
            lines = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
            if delimiter is None and check_separator(head, path, comma):
                lines.readline()
            yield from _checked_rows(path, csv.reader(lines, delimiter=comma, strict=True))
    except FileNotFoundError:
        raise AffectkitError("missing", "no such file", file=path) from None
    except IsADirectoryError:
        raise AffectkitError("input", "is a folder, not a table", file=path) from None
    except UnicodeDecodeError:
        raise undecodable(path) from None


def _checked_rows(path: Path, reader: Iterable[list[str]]) -> Iterator[list[str]]:
    rows = _filled_rows(path, reader)
    header = [name.strip() for name in next(rows, [])]
    while header and not header[-1]:
        header.pop()
    if not header:
        raise AffectkitError("input", "is empty: it has no header", file=path)
    doubled = sorted(name for name in set(header) if header.count(name) > 1)
    if doubled:
        what = f"column '{doubled[0]}' stands twice in the header" if doubled[0] else "two columns have no name"
        raise AffectkitError("input", what, file=path)
    yield header
    for row, cells in enumerate(rows, start=1):
        if len(cells) > len(header) and not any(cells[len(header) :]):
            cells = cells[: len(header)]
        if len(cells) != len(header):
            remedy = (
                "name every column in the first line, quote cells that hold a comma, write decimals with a point"
                if len(cells) > len(header)
                else "an empty cell needs its comma too"
            )
            message = f"{len(cells)} cells under a header of {len(header)}"
            raise AffectkitError("input", message, file=path, row=row, remedy=remedy)
        yield cells


def _filled_rows(path: Path, reader: Iterable[list[str]]) -> Iterator[list[str]]:
    """Rows that have anything in them, the header among them."""
    count, rows = -1, iter(reader)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise AffectkitError("input", f"malformed CSV: {error}", file=path, row=max(count + 1, 0)) from None
        if any(map(str.strip, cells)):
            count += 1
            yield cells


def read_table(path: Path, *, required: Sequence[str] = (), delimiter: str | None = None) -> pd.DataFrame:
    """A CSV as a frame of text; "" where a cell is empty. `required` columns must be there."""
    import pandas as pd

    rows = iter_rows(path, delimiter=delimiter)
    header = next(rows)
    for column in required:
        if column not in header:
            remedy = did_you_mean(column, header)
            if "" in header:
                remedy = f"one has no name; if that is it, name it (pandas: to_csv(..., index_label='{column}'))"
            raise AffectkitError("input", f"has no column '{column}'", file=path, remedy=remedy)
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in zip(header, columns, strict=True)})


def to_numbers(cells: Sequence[str], *, file: Path | None = None, column: str = "") -> np.ndarray:
    """Text cells as float64; "" and any spelling of nan are NaN. Raises "input" naming the row of any other."""
    with contextlib.suppress(ValueError, TypeError):  # the usual column has nothing but numbers: ten times as fast
        values = np.fromiter(map(float, cells), float, len(cells))
        if not np.isinf(values).any():
            return values
    values = np.empty(len(cells))
    for position, cell in enumerate(cells):
        try:
            values[position] = float(cell) if cell != "" else math.nan
        except (ValueError, TypeError):
            message, remedy = f"{column or 'cell'} '{cell}' is not a number", _as_number(cell)
            raise AffectkitError("input", message, file=file, row=position + 1, remedy=remedy) from None
        if math.isinf(values[position]):
            message = f"{column or 'cell'} '{cell}' is not a finite number"
            raise AffectkitError("input", message, file=file, row=position + 1)
    return values


def first_row(bad: np.ndarray | pd.Series) -> int | None:
    """The position of the first row where `bad`, [N] bool, is true."""
    return int(np.argmax(bad)) if np.any(bad) else None


def check_ids(ids: pd.Series, file: Path) -> None:
    """Raises "input" naming the row of an id that stands twice."""
    if (row := first_row(ids.duplicated())) is not None:
        raise AffectkitError("input", f"id '{ids[row]}' stands twice", file=file, row=row + 1)


def _as_number(cell: Any) -> str | None:
    """What to write in the place of what people and spreadsheets write for a number."""
    text = str(cell).strip()
    if re.fullmatch(r"[-+]?\d*,\d+(e[-+]?\d+)?", text, re.IGNORECASE):
        return f"write decimals with a point: {text.replace(',', '.')}"
    if re.fullmatch(r"[-+]?[\d.,]+ ?%", text):
        return "write shares of 1, without %"
    if text.startswith("#") or text.lower() in ("na", "n/a", "none", "null", "-", ""):
        return "leave the cell empty where there is no value"
    return None


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as UTF-8 CSV with LF line ends, atomically. Missing is ""; floats keep nine significant digits."""
    with atomic(Path(path)) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", float_format="%.9g", encoding="utf-8")
