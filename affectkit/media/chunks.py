"""The sizes of samples in AU and CAF files, which writers to a pipe leave open; whether AVI and Matroska go on to their
end. Sources: Sun "Audio File Formats"; Apple "CAF Specification"; RFC 8794 (EBML)."""

from __future__ import annotations

from affectkit.errors import AffectkitError
from affectkit.media.files import OpenFile
from affectkit.media.splice import Piece

_OPEN = b"\xff" * 4
_NOTE = 4096  # bytes after the samples that may be something else
_ALL = "if they are samples, rewrite it with ffmpeg -i OLD.au NEW.wav; else drop its row"
_CHUNK = 12  # bytes of a CAF chunk's name and size
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"


def as_it_reads(file: OpenFile) -> tuple[Piece, ...]:
    """An AU or CAF whose size of samples is open or 0 with the true one in front; () for whatever else.

    Raises "input" for an AU that holds more than its header promises.
    """
    if file.head[:4] == b".snd" and len(file.head) >= 24:
        return _au(file)
    return _caf(file) if file.head[:4] == b"caff" else ()


def _au(file: OpenFile) -> tuple[Piece, ...]:
    start, size = int.from_bytes(file.head[4:8], "big"), file.head[8:12]
    there, promised = file.size - start, int.from_bytes(size, "big")
    if size == _OPEN or promised >= there - _NOTE:
        return ()
    if promised:
        what = f"holds {there - promised:,} bytes more than the {promised:,} bytes of samples that its header promises"
        raise AffectkitError("input", what, file=file.path, remedy=_ALL)
    return file.head[:8] + _OPEN, range(12, file.size)


def _caf(file: OpenFile) -> tuple[Piece, ...]:
    place = 8
    while len(head := file.at(place, _CHUNK)) == _CHUNK:
        size = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"data" and size <= 0:
            there = file.size - place - _CHUNK
            return file.at(0, place + 4) + there.to_bytes(8, "big"), range(place + _CHUNK, file.size)
        if size < 0:
            break
        place += _CHUNK + size
    return ()


def check_whole(file: OpenFile) -> None:
    """Raise "input" for an AVI or Matroska that ends before its header says; where that is left open, nothing is."""
    end = 0
    if file.head[:4] == b"RIFF":
        size = int.from_bytes(file.head[4:8], "little")
        end = size + 8 if size not in (0, 0xFFFFFFFF) else 0
    elif file.head[:4] == _EBML:
        start, size = _ebml_size(file.head, 4)
        body, length = _ebml_size(file.head, start + size + 4)
        known = file.head[start + size : start + size + 4] == _SEGMENT and length
        end = body + length if known else 0
    if end > file.size:
        raise file.cut_off(f"{end - file.size:,} bytes are missing at the end")


def _ebml_size(head: bytes, place: int) -> tuple[int, int]:
    """Where an element's body begins, and its size; 0 where that is left open (all ones)."""
    width = 9 - head[place].bit_length() if place < len(head) and head[place] else 1
    mask = (1 << 7 * width) - 1
    size = int.from_bytes(head[place : place + width], "big") & mask
    return place + width, 0 if size == mask else size
