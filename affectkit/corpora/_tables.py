"""The tables and texts that come with a corpus."""

import math
import re
import unicodedata
import zlib
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from affectkit.corpora._corpus import is_pointer
from affectkit.errors import AffectkitError, did_you_mean


def records(path: Path, *, required: Sequence[str] = (), delimiter: str | None = None) -> Iterator[dict[str, str]]:
    """The rows of a table as dictionaries of text. Raises "input" for a lacking column or a Git-LFS pointer."""
    if path.is_file() and is_pointer(path):
        raise AffectkitError(
            "input", "is a Git-LFS pointer, not the table itself", file=path, remedy="run git lfs pull"
        )
    from affectkit.artifacts.tables import iter_rows

    rows = iter_rows(path, delimiter=delimiter)
    header = next(rows)
    for column in required:
        if column not in header:
            raise AffectkitError("input", f"has no column '{column}'", file=path, remedy=did_you_mean(column, header))
    for cells in rows:
        yield dict(zip(header, cells, strict=True))


def number(cell: str, column: str, *, file: Path, row: int) -> float:
    """A cell as a number; "" is NaN (unlabelled). Raises "input" naming the row."""
    try:
        value = float(cell) if cell.strip() else math.nan
    except ValueError:
        raise AffectkitError("input", f"{column} '{cell}' is not a number", file=file, row=row) from None
    if math.isinf(value):
        raise AffectkitError("input", f"{column} '{cell}' is not a finite number", file=file, row=row)
    return value


def decode(path: Path, *encodings: str) -> str:
    """The text of a small file: UTF-16 by its mark, else the first of `encodings` that fits. UTF-8 is tried first."""
    if is_pointer(path):
        raise AffectkitError("input", "is a Git-LFS pointer, not the text itself", file=path, remedy="run git lfs pull")
    data = path.read_bytes()
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    bare = not marked and b"\x00" in data[:200]
    for encoding in ("utf-16",) if marked else ("utf-16-le",) if bare else ("utf-8-sig", *encodings):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    tried = ", ".join(("utf-8", "utf-16", *encodings))
    raise AffectkitError("input", f"is text in none of {tried}", file=path, remedy="save it as UTF-8")


def safe_id(text: str, taken: Container[str] = ()) -> str:
    """`text` as an id that is safe as a file name: `a/b c` -> `a__b_c-1f2e3d4c`.

    A digest of `text` is added where something had to be changed or cut, or where the id is `taken`.
    """
    normal = unicodedata.normalize("NFC", text)
    plain = normal.replace("/", "__")
    safe = re.sub(r"[^\w.\-]", "_", plain).lstrip(".-")[:120]
    if safe and safe == plain and safe not in taken:
        return safe
    return f"{safe or 'row'}-{zlib.crc32(text.encode()):08x}"
