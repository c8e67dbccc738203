"""Whether an image's file goes on to its end, from a few reads: nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator

from affectkit.errors import AffectkitError
from affectkit.media.files import OpenFile

_END_OF_IMAGE = b"\xff\xd9"  # in the compressed data of a JPEG a byte ff is always followed by 00 or a restart mark
_TAIL = 4096  # bytes: cameras append a preview or padding
_BLOCK = 1 << 20


def check_whole(file: OpenFile, form: str, pixels: int) -> None:
    """Raise "input" for a JPEG or PNG that is cut off before its pixels end. pixels: where a JPEG's begin, in bytes."""
    if form in ("JPEG", "MPO") and not _has_end(file, pixels):
        raise _truncated(file, "its end is missing")
    if form == "PNG":
        cut = None
        for name, start, length in _chunks(file):
            lacking = start + length + 4 - file.size  # 4: a check sum
            cut = lacking if name == b"IDAT" and lacking > 0 else cut
        if cut is not None:
            raise _truncated(file, f"{cut:,} bytes of its pixels are missing")


def late_exif(file: OpenFile) -> bytes:
    """The EXIF data of a PNG, which may follow its pixels; b"" without any."""
    return next((file.at(start, length) for name, start, length in _chunks(file) if name == b"eXIf"), b"")


def _has_end(file: OpenFile, start: int) -> bool:
    """Whether a JPEG's end mark follows `start`: mostly in its last bytes, else the whole is looked through."""
    tail = max(start, file.size - _TAIL)
    if _END_OF_IMAGE in file.at(tail, file.size - tail):
        return True
    return any(_END_OF_IMAGE in file.at(at, _BLOCK + 1) for at in range(start, tail, _BLOCK))


def _chunks(file: OpenFile) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of each chunk of a PNG (W3C PNG, section 5.3)."""
    at = 8
    while at + 8 <= file.size:
        head = file.at(at, 8)
        length = int.from_bytes(head[:4], "big")
        yield head[4:], at + 8, length
        at += 12 + length


def _truncated(file: OpenFile, what: str) -> AffectkitError:
    return AffectkitError("input", f"is truncated: {what}", file=file.path, remedy="copy it again, or drop its row")
