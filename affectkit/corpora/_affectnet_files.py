"""AffectNet's lists and arrays: tables that may lack their header, numbers that may be words."""

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from affectkit.corpora._corpus import POINTER, Dropped, is_pointer
from affectkit.corpora._tables import records
from affectkit.errors import AffectkitError

COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip


def lines(table: Path) -> Iterator[dict[str, str]]:
    """The lines of a list, whose first one may or may not be a header. Raises "input" naming the row."""
    if is_pointer(table):
        raise AffectkitError("input", POINTER, file=table, remedy="run git lfs pull")
    try:
        with open(table, encoding="utf-8-sig", newline="") as handle:
            rows = csv.reader(handle)
            first = next(rows, [])
            if len(first) != len(COLUMNS) or not _is_number(first[-1]):
                yield from records(table, required=COLUMNS)
                return
            for position, cells in enumerate(filter(any, itertools.chain([first], rows)), start=1):
                if len(cells) != len(COLUMNS):
                    message = f"{len(cells)} cells in a list without a header, whose lines have {len(COLUMNS)}"
                    raise AffectkitError("input", message, file=table, row=position, remedy="complete the line")
                yield dict(zip(COLUMNS, cells, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise AffectkitError("input", f"is no CSV in UTF-8: {error}", file=table) from None


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def landmarks(cells: Sequence[str]) -> str:
    """68 points as the manifest has them, `x;y;x;y...`; "" unless there are 136 numbers."""
    stripped = [cell.strip() for cell in cells]
    return ";".join(stripped) if len(stripped) == 136 and all(map(_is_number, stripped)) else ""


def array(path: Path) -> list[str] | Dropped:
    """The values of an `.npy`, of whatever shape and type, as text. No pickles: an array of objects is dropped."""
    import numpy as np

    if not path.is_file():
        return Dropped(path.name, f"has no {path.name}")
    try:
        return [str(value) for value in np.load(path, allow_pickle=False).reshape(-1).astype(str)]
    except (ValueError, EOFError, OSError):
        return Dropped(path.name, f"{path.name} is not a readable array")


def scalar(path: Path) -> float | Dropped:
    """The one finite number of an `.npy`."""
    values = array(path)
    if isinstance(values, Dropped):
        return values
    if len(values) != 1 or not _is_number(values[0]):
        return Dropped(path.name, f"{path.name} holds no number")
    return float(values[0])
