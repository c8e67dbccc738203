"""The one CSV reader and the one CSV writer.

Every cell is read as text and "" means missing: "None", "NA" and "nan" are words that a real corpus contains. Numbers
are parsed where a caller asks for a number, so that an error can name the row.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from affectkit.artifacts.files import atomic
from affectkit.errors import AffectkitError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def iter_rows(path: Path, *, delimiter: str | None = None) -> Iterator[list[str]]:
    """The header, then each data row, of a CSV (or tab-separated, by its ending) in UTF-8, with or without a BOM.

    Line ends may be LF, CRLF or bare CR; blank lines are skipped; names in the header are stripped.
    Raises "missing", or "input" with the row: wrong number of cells, a quote left open, not UTF-8.
    """
    path = Path(path)
    delimiter = delimiter or ("\t" if path.suffix.lower() in (".tsv", ".tab") else ",")
    csv.field_size_limit(sys.maxsize)
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            yield from _checked_rows(path, csv.reader(handle, delimiter=delimiter, strict=True))
    except FileNotFoundError:
        raise AffectkitError("missing", "no such file", file=path) from None
    except IsADirectoryError:
        raise AffectkitError("input", "is a folder, not a table", file=path) from None
    except UnicodeDecodeError as error:
        raise AffectkitError(
            "input", f"is not UTF-8 text (byte {error.start})", file=path, remedy="save it as UTF-8"
        ) from None


def _checked_rows(path: Path, reader: Iterable[list[str]]) -> Iterator[list[str]]:
    header: list[str] | None = None
    count = 0
    rows = iter(reader)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            raise AffectkitError("input", f"malformed CSV: {error}", file=path, row=count + 1) from None
        if not cells:
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if len(header) == 1 and header[0].count(";") > 1:
                raise AffectkitError(
                    "input", "its columns are separated by ';'", file=path, remedy="save it with commas"
                )
            doubled = {name for name in header if header.count(name) > 1}
            if doubled:
                raise AffectkitError("input", f"column '{sorted(doubled)[0]}' stands twice in the header", file=path)
            yield header
            continue
        count += 1
        if len(cells) != len(header):
            raise AffectkitError(
                "input",
                f"{len(cells)} cells under a header of {len(header)}",
                file=path,
                row=count,
                remedy="quote cells that hold a comma or a line break",
            )
        yield cells
    if header is None:
        raise AffectkitError("input", "is empty: it has no header", file=path)


def read_table(path: Path, *, required: Sequence[str] = (), delimiter: str | None = None) -> pd.DataFrame:
    """A CSV as a frame of text; "" where a cell is empty. `required` columns must be there."""
    import pandas as pd

    rows = iter_rows(path, delimiter=delimiter)
    header = next(rows)
    for column in required:
        if column not in header:
            raise AffectkitError("input", f"has no column '{column}'", file=path, remedy=did_you_mean(column, header))
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in zip(header, columns, strict=True)})


def to_numbers(cells: Sequence[str], *, file: Path | None = None, column: str = "") -> np.ndarray:
    """Text cells as float64; "" and any spelling of nan are NaN. Raises "input" naming the row of any other."""
    import numpy as np

    values = np.empty(len(cells))
    for position, cell in enumerate(cells):
        try:
            values[position] = float(cell) if cell != "" else math.nan
        except (ValueError, TypeError):
            raise AffectkitError(
                "input", f"{column or 'cell'} '{cell}' is not a number", file=file, row=position + 1
            ) from None
        if math.isinf(values[position]):
            message = f"{column or 'cell'} '{cell}' is not a finite number"
            raise AffectkitError("input", message, file=file, row=position + 1)
    return values


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as UTF-8 CSV with LF line ends, atomically. Missing is ""; floats keep nine significant digits."""
    with atomic(Path(path)) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", float_format="%.9g", encoding="utf-8")
