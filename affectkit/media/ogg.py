"""Recordings that were joined in one Ogg file (a chain): libsndfile plays the first. Source: RFC 3533, section 6."""

from __future__ import annotations

from collections.abc import Iterator

from affectkit.media.files import OpenFile
from affectkit.media.splice import Piece

_FIRST = 2  # the flag of a stream's first page
_HEAD = 27  # bytes before the table of a page's segments


def is_ogg(head: bytes) -> bool:
    return head[:4] == b"OggS"


def links(file: OpenFile) -> tuple[tuple[Piece, ...], ...]:
    """Each recording's stretch of the file; () for one, and for streams beside each other, as in a video."""
    starts, before = [], True
    for place, first in _pages(file):
        if first and not before:
            starts.append(place)
        before = first
    ends = [*starts, file.size]
    return tuple((range(start, end),) for start, end in zip([0, *starts], ends, strict=True)) if starts else ()


def _pages(file: OpenFile) -> Iterator[tuple[int, bool]]:
    """Where each page begins, and whether it is a stream's first."""
    place = 0
    while (head := file.at(place, _HEAD + 255))[:4] == b"OggS" and len(head) > _HEAD:
        yield place, bool(head[5] & _FIRST)
        segments = head[26]
        place += _HEAD + segments + sum(head[_HEAD : _HEAD + segments])
