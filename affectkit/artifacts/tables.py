"""The one CSV reader and the one CSV writer.

Every cell is read as text and "" means missing: "None", "NA" and "nan" are words that a real corpus contains. Numbers
are parsed where a caller asks for a number, so that an error can name the row.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import mmap
import re
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.files import atomic
from affectkit.errors import AffectkitError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow


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


def iter_rows(path: Path, *, delimiter: str | None = None) -> Generator[list[str]]:
    """The header, then each data row, of a CSV (or tab-separated, by its ending) in UTF-8, with or without a BOM.

    Line ends may be LF, CRLF or bare CR. What spreadsheets add is nothing: names in the header are stripped, rows whose
    cells are all blank and empty cells to the right of the last name are skipped, as is a first line `sep=,`.
    Raises "missing", or "input" with the row: wrong number of cells, a quote left open; another encoding or separator.
    """
    path = Path(path)
    comma = _delimiter(path, delimiter)
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


def _delimiter(path: Path, delimiter: str | None) -> str:
    return delimiter or ("\t" if path.suffix.lower() in (".tsv", ".tab") else ",")


def _checked_rows(path: Path, reader: Iterable[list[str]]) -> Generator[list[str]]:
    rows = _filled_rows(path, reader)
    header = [name.strip() for name in next(rows, [])]
    while header and not header[-1]:
        header.pop()
    if not header:
        raise AffectkitError("input", "is empty: it has no header", file=path, remedy="copy it again")
    doubled = sorted(name for name in set(header) if header.count(name) > 1)
    if doubled:
        what = f"column '{doubled[0]}' stands twice in the header" if doubled[0] else "two columns have no name"
        raise AffectkitError("input", what, file=path, remedy="give each column a name of its own")
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


def _filled_rows(path: Path, reader: Iterable[list[str]]) -> Generator[list[str]]:
    """Rows that have anything in them, the header among them."""
    count, rows = -1, iter(reader)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            message, remedy = f"malformed CSV: {error}", "close every quote, and double those within a cell"
            raise AffectkitError("input", message, file=path, row=max(count + 1, 0), remedy=remedy) from None
        if any(map(str.strip, cells)):
            count += 1
            yield cells


def read_table(
    path: Path,
    *,
    required: Sequence[str] = (),
    delimiter: str | None = None,
    numbers: Callable[[Sequence[str]], Collection[str]] | None = None,
    gaps: Collection[str] | None = None,
) -> pd.DataFrame:
    """A CSV as a frame of text; "" where a cell is empty. `required` columns must be there.

    numbers: which columns of a header are float64, NaN where empty, if all of their other cells are finite numbers.
    Where they are not, the column is text, of which `to_numbers` says what is wrong. gaps: how a missing cell of these
    may be spelt, in lower case: each of them that holds nothing else but finite numbers is float64, the others text.
    """
    import pandas as pd

    path = Path(path)
    rows = iter_rows(path, delimiter=delimiter)
    header = next(rows)
    for column in required:
        if column not in header:
            remedy = did_you_mean(column, header)
            if "" in header:
                remedy = f"one has no name; if that is it, name it (pandas: to_csv(..., index_label='{column}'))"
            raise AffectkitError("input", f"has no column '{column}'", file=path, remedy=remedy)
    comma = _delimiter(path, delimiter)
    columns = read_plain(path, header, comma, numbers(header) if numbers else ())
    if columns is None and gaps is not None:
        columns = read_plain(path, header, comma, numbers(header) if numbers else (), gaps)
    if columns is None:
        cells = list(zip(*rows, strict=True)) or [()] * len(header)
        return pd.DataFrame({name: pd.Series(texts, dtype=object) for name, texts in zip(header, cells, strict=True)})
    rows.close()
    series = {name: pd.Series(cells, dtype=cells.dtype, copy=False) for name, cells in columns.items()}
    return pd.DataFrame(series, copy=False)


# --- The same by Arrow, ten times as fast and in a fraction of the memory, of files that both read alike


def read_plain(
    path: Path,
    header: Sequence[str],
    delimiter: str,
    numbers: Collection[str] = (),
    gaps: Collection[str] | None = None,
) -> dict[str, np.ndarray] | None:
    """Columns of text (object) or of numbers (float64) by name. gaps: as `read_table` takes them.

    None for what wants the reader above: rows of another length, blank rows, loose quotes, another encoding, a pipe, a
    cell that is to be a number and is none.
    """
    from pyarrow import ArrowInvalid, csv, float64, string

    quotes = _quotes(path, header, delimiter) if path.is_file() else None
    if quotes is None:
        return None
    types = {name: float64() if name in numbers and gaps is None else string() for name in header}
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(column_names=list(header), skip_rows=1),
            csv.ParseOptions(delimiter=delimiter, newlines_in_values=quotes > 0),
            csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
        )
    except ArrowInvalid:
        return None
    columns: dict[str, np.ndarray] = {}
    for name in header:
        column = table[name] if gaps is None or name not in numbers else _without(gaps, table[name])
        cells = _texts(column) if column.type == string() else _numbers(column)
        if cells is None:
            return None
        columns[name] = cells
    # A row whose first cell is blank may be blank altogether.
    first = columns[header[0]]
    blank = np.isnan(first).any() if first.dtype == float else _holds_blank(table[header[0]])
    return None if blank else columns


def _quotes(path: Path, header: Sequence[str], delimiter: str) -> int | None:
    """How many quotes a file has; None where its first line is not the header, or where one of them neither opens nor
    ends a cell nor stands doubled inside of one."""
    with open(path, "rb") as handle:
        line = handle.readline().removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
        if b"\r" in line or line.count(b'"') % 2:
            return None
        names = next(csv.reader([line.decode("utf-8", errors="replace")], delimiter=delimiter), [])
        if [name.strip() for name in names] != list(header):
            return None
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(b'"') < 0:
                return 0
            ends = re.escape(delimiter.encode()) + rb"\r\n"
            cell = rb'(?:\A|\A\xef\xbb\xbf|[%b])"(?:[^"]++|"")*+"(?=[%b]|\Z)' % (ends, ends)
            quotes = sum(match[0].count(b'"') for match in re.finditer(cell, data))
            handle.seek(0)
            return (
                quotes if quotes == sum(block.count(b'"') for block in iter(lambda: handle.read(HEAD), b"")) else None
            )


def _without(gaps: Collection[str], column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Text as numbers, null where it is a gap; as it is, where anything else is no finite number."""
    import pyarrow.compute as compute
    from pyarrow import ArrowInvalid, array, float64, string

    texts = compute.utf8_lower(compute.utf8_trim_whitespace(column))
    try:
        numbers = compute.if_else(compute.is_in(texts, array(gaps, string())), None, texts).cast(float64())
    except ArrowInvalid:
        return column
    return numbers if compute.all(compute.is_finite(numbers)).as_py() is not False else column


def _texts(column: pyarrow.ChunkedArray) -> np.ndarray:
    """[N] object; of a column that repeats itself, each text is held once."""
    import pyarrow.compute as compute

    head = column[:HEAD]
    if 2 * compute.count_distinct(head).as_py() > len(head):
        return column.to_numpy()
    encoded = column.dictionary_encode().combine_chunks()
    return encoded.dictionary.to_numpy(zero_copy_only=False)[encoded.indices.to_numpy()]


def _holds_blank(column: pyarrow.ChunkedArray) -> bool:
    import pyarrow.compute as compute

    return bool(compute.any(compute.equal(compute.utf8_trim_whitespace(column), "")).as_py())


def _numbers(column: pyarrow.ChunkedArray) -> np.ndarray | None:
    """[N] float64, NaN where empty; None where a cell spells a NaN or an infinity."""
    values = column.to_numpy()
    return values if np.isfinite(values).sum() == len(values) - column.null_count else None


# --- What cells are: numbers, ids


CORRECT, RENUMBER = "correct it, or leave the cell empty", "give every row an id of its own"


def to_numbers(cells: Sequence[str] | pd.Series, *, file: Path | None = None, column: str = "") -> np.ndarray:
    """Text cells as float64; "" and any spelling of nan are NaN; numbers that were read as such stay as they are.

    Raises "input" naming the row of any other cell.
    """
    if not isinstance(cells, Sequence):
        if cells.dtype == float:
            return cells.to_numpy()
        cells = cells.tolist()
    with contextlib.suppress(ValueError, TypeError):  # the usual column has nothing but numbers: ten times as fast
        values = np.fromiter(map(float, cells), float, len(cells))
        if not np.isinf(values).any() and "_" not in "".join(cells):
            return values
    values = np.empty(len(cells))
    for position, cell in enumerate(cells):
        try:
            values[position] = float(str(cell).replace("_", "?")) if cell != "" else math.nan  # Python reads 1_0 as 10
        except (ValueError, TypeError):
            message, remedy = f"{column or 'cell'} '{cell}' is not a number", as_number(cell) or CORRECT
            raise AffectkitError("input", message, file=file, row=position + 1, remedy=remedy) from None
        if math.isinf(values[position]):
            message = f"{column or 'cell'} '{cell}' is not a finite number"
            raise AffectkitError("input", message, file=file, row=position + 1, remedy=CORRECT)
    return values


LARGEST_NUMBER = 1e38  # of an answer or a truth: a number in float32, and its square, and sums of squares, in float64


def refuse_too_large(values: np.ndarray, *, file: Path | None = None, column: str = "") -> None:
    """Raises "input" naming the row of a number that cannot be computed with."""
    if (row := first_row(np.abs(values) > LARGEST_NUMBER)) is not None:
        message = f"{column} {values[row]:g} is too large a number to compute with"
        raise AffectkitError("input", message, file=file, row=row + 1, remedy="give it in other units")


def first_row(bad: np.ndarray | pd.Series) -> int | None:
    """The position of the first row where `bad`, [N] bool, is true."""
    return int(np.argmax(bad)) if np.any(bad) else None


def check_ids(ids: pd.Series, file: Path) -> None:
    """Raises "input" naming the row of an id that stands twice."""
    if (row := first_row(ids.duplicated())) is not None:
        raise AffectkitError("input", f"id '{ids[row]}' stands twice", file=file, row=row + 1, remedy=RENUMBER)


def as_number(cell: Any) -> str | None:
    """What to write in the place of what people and spreadsheets write for a number."""
    text = str(cell).strip()
    if re.fullmatch(r"[-+]?[1-9]\d{0,2}([,' \u00a0\u202f]\d{3})+(\.\d+)?", text):
        decimals = f", or {text.replace(',', '.')} if that is a decimal comma" if text.count(",") == 1 else ""
        return f"write {re.sub(r'[^-+.0-9]', '', text)}, without a separator of thousands{decimals}"
    if re.fullmatch(r"[-+]?\d*,\d+(e[-+]?\d+)?", text, re.IGNORECASE):
        return f"write decimals with a point: {text.replace(',', '.')}"
    if re.fullmatch(r"[-+]?[\d.,]+ ?%", text):
        return "write shares of 1, without %"
    if re.fullmatch(r"#(N/?A|NV|[A-Z0/]+[!?])", text) or text.lower() in ("na", "n/a", "none", "null", "-", ""):
        return "leave the cell empty where there is no value"
    return None


# --- The writer. Arrow's own knows no "%.9g" and quotes headers, so lines are formatted here, many at a time


FLOAT = "%.9g"
EXACT = "%.15g"  # of what is computed anew elsewhere, to be compared
LINES = 2000  # formatted at a time
MARKS = ',"\r\n'  # what a cell is quoted for, if anything
PLAIN = ("string", "str", "empty", "float64", "float32", "int64", "int32", "bool")


def write_table(path: Path, frame: pd.DataFrame, floats: str = FLOAT) -> None:
    """Write a frame as UTF-8 CSV with LF line ends, atomically. Missing is ""; floats keep nine significant digits."""
    with atomic(Path(path)) as temporary, open(temporary, "w", encoding="utf-8", newline="") as handle:
        write_rows(handle, frame, floats)


def write_rows(handle: IO[str], frame: pd.DataFrame, floats: str = FLOAT) -> None:
    """What pandas' `to_csv` writes (no index, LF, `floats`), several times as fast where columns are of one kind."""
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    if len(columns) < 2 or not all(map(_is_plain, columns)):
        frame.to_csv(handle, index=False, lineterminator="\n", float_format=floats)
        return
    csv.writer(handle, lineterminator="\n").writerow(frame.columns)
    for start in range(0, len(frame), LINES):
        forms, cells = zip(*(_formatted(column.iloc[start : start + LINES], floats) for column in columns), strict=True)
        line, rows = ",".join(forms) + "\n", zip(*cells, strict=True)
        handle.write(line * len(cells[0]) % tuple(itertools.chain.from_iterable(rows)))


def _is_plain(column: pd.Series) -> bool:
    """Whether a column is nothing but text and missing cells, or numbers of one kind."""
    from pandas.api.types import infer_dtype

    return (infer_dtype(column, skipna=True) if column.dtype == object else str(column.dtype)) in PLAIN


def _formatted(column: pd.Series, floats: str) -> tuple[str, list[Any]]:
    """The format of a plain column's cells, and what goes into it."""
    cells = column.tolist()
    if column.dtype.kind in "iub":
        return "%s", cells
    if column.dtype.kind == "f":
        known = not column.isna().any()
        return (floats, cells) if known else ("%s", ["" if cell != cell else floats % cell for cell in cells])
    try:
        joined = "".join(cells)
    except TypeError:  # missing ones among them
        cells = [cell if isinstance(cell, str) else "" for cell in cells]
        joined = "".join(cells)
    return "%s", list(map(_quoted, cells)) if any(mark in joined for mark in MARKS) else cells


def _quoted(cell: str) -> str:
    """csv.writer leaves a bare CR as it is, which ends a row for all readers."""
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in MARKS) else cell
