"""The length of a FLAC from its last frame, where its header does not know it (a pipe) or is not true.

Every frame numbers itself, and has check sums of its header and of all of it. Source: RFC 9639, sections 8 and 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from affectkit.errors import AffectkitError
from affectkit.media.files import OpenFile
from affectkit.media.splice import Piece

_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_TAIL = 1 << 16  # bytes in which the last frame is looked for first
_MOST = 1 << 25  # bytes looked through: the largest frame, of 8 channels without compression, has 2 MB
_TRIES = 8  # places where a frame may end, from the last backward
_TAG = 128  # bytes of an ID3v1 tag, which some tools add


class _Info(NamedTuple):
    """Of STREAMINFO: where the number of samples lies in the file, the largest block, and the rest."""

    place: int
    largest: int
    rate: int
    channels: int
    total: int


def is_flac(file: OpenFile) -> bool:
    return file.at(file.after_id3, 4) == b"fLaC"


def read_facts(file: OpenFile) -> tuple[tuple[int, int, int, str], tuple[Piece, ...]]:
    """Frames, rate, channels and "FLAC"; and the file as it should read, where the number of samples in it is wrong.

    Raises "input" for one that ends before its samples do, or has no whole frame.
    """
    info = _info(file)
    there = _samples_there(file, info)
    if there is None:
        what = "is a FLAC without a whole frame at its end"
        raise AffectkitError("input", what, file=file.path, remedy="copy it again")
    if info.total > there:
        raise file.cut_off(f"{info.total - there:,} of {info.total:,} samples are missing")
    facts = (there, info.rate, info.channels, "FLAC")
    if info.total == there:
        return facts, ()
    upper = file.at(info.place, 1)[0] & 0xF0 | there >> 32  # the lower half of a byte, and four more
    number = bytes([upper]) + (there & 0xFFFFFFFF).to_bytes(4, "big")
    return facts, (file.at(0, info.place) + number, range(info.place + 5, file.size))


def _info(file: OpenFile) -> _Info:
    start = file.after_id3 + 8  # after the mark and the header of the first block, which is always STREAMINFO
    body = file.at(start, 18)
    if len(body) < 18 or file.at(start - 4, 1)[0] & 0x7F:
        raise AffectkitError("input", "is truncated: it ends before its samples begin", file=file.path)
    packed = int.from_bytes(body[10:18], "big")
    return _Info(
        start + 13, int.from_bytes(body[2:4], "big"), packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    )


def _samples_there(file: OpenFile, info: _Info) -> int | None:
    """To the end of the last whole frame; None where there is none."""
    end, window = file.size, _TAIL
    if file.at(end - _TAG, 3) == b"TAG":
        end -= _TAG
    while True:
        start = max(info.place, end - window)
        data = file.at(start, end - start)
        total = _last_end(data, info)
        if total is not None or start == info.place or window >= _MOST:
            return total
        window *= 8


def _last_end(data: bytes, info: _Info) -> int | None:
    """Where the last whole frame of `data` ends, in samples. The last frame of most files is believed by its header."""
    frames = list(_frames(data, info))
    if frames and info.total == frames[-1][1]:
        return info.total
    ends = [len(data)]
    for place, samples in frames[: -_TRIES - 1 : -1]:
        if any(_crc(data[place:end], 16, 0x8005) == 0 for end in ends):
            return samples
        ends.append(place)
    return None


def _frames(data: bytes, info: _Info) -> Iterator[tuple[int, int]]:
    """Where each frame begins, and the number of samples at its end."""
    for match in _SYNC.finditer(data):
        samples = _parse(data[match.start() : match.start() + 16], info)
        if samples is not None:
            yield match.start(), samples


def _parse(head: bytes, info: _Info) -> int | None:
    """The number of samples at a frame's end, from its header; None for what is none."""
    head = head.ljust(16, b"\0")  # the last one may be shorter
    if head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    more = 0 if head[4] < 0x80 else 8 - (head[4] ^ 0xFF).bit_length() - 1  # bytes that follow, as in UTF-8
    if more > 6 or (head[4] >= 0x80 and more < 1):
        return None
    number = head[4] & (0x7F >> (more + 1 if more else 0))
    for byte in head[5 : 5 + more]:
        number = number << 6 | byte & 0x3F
    at, code = 5 + more, head[2] >> 4
    if code in (6, 7):  # written out, in one byte or two
        size = int.from_bytes(head[at : at + code - 5], "big") + 1
        at += code - 5
    else:
        size = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    channels = min((head[3] >> 4) + 1, 2) if head[3] >> 4 > 7 else (head[3] >> 4) + 1
    if channels != info.channels or size > info.largest or _crc(head[:at], 8, 0x07) != head[at]:
        return None
    return (number if head[1] & 1 else number * info.largest) + size


@cache
def _table(bits: int, polynomial: int) -> list[int]:
    """Of a check sum, most significant bit first."""
    table, most = [], 1 << bits
    for value in range(256):
        rest = value << bits - 8
        for _ in range(8):
            rest = rest << 1 ^ (polynomial | most) if rest & most >> 1 else rest << 1
        table.append(rest)
    return table


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    table, rest, mask = _table(bits, polynomial), 0, (1 << bits) - 1
    for byte in data:
        rest = (rest << 8 ^ table[rest >> bits - 8 ^ byte]) & mask
    return rest
