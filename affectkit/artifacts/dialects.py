"""What a table's first bytes say of it: refusals of what is no CSV of ours, each with what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

from affectkit.errors import AffectkitError

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
    found = next((what for start, what in _KINDS.items() if head.startswith(start)), "")
    if not found and b"\0" in head:
        found = "is not UTF-8 text: it holds NUL bytes, as UTF-16 does and damaged files do"
    if not found and _JSON.match(head):
        found = "is JSON, not CSV"
    if found:
        raise AffectkitError("input", found, file=path, remedy="save it as CSV in UTF-8 with commas")


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
