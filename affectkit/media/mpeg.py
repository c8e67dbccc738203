"""The length of an MP3 or of raw AAC from its frames: neither has a header that must tell it.

A Xing, Info or VBRI frame in front may count them (Gabriel Bouvigne, "MP3 Info Tag"). Without it a decoder estimates
the length from the first bit rate and stops there: 60 s of a varying one may read as 34. Of joined files it knows
the first. Sources: ISO/IEC 11172-3 and 13818-3 (frames), 14496-3 (ADTS), id3.org (tags).
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from functools import lru_cache

from affectkit.errors import AffectkitError
from affectkit.media.files import OpenFile
from affectkit.media.splice import Piece

_KBPS = {  # by MPEG version (1, or 2 and 2.5) and layer
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_SYNC = re.compile(rb"\xff(?:[\xe2-\xef\xf2-\xf7\xfa-\xff][\x10-\xef]|[\xf0\xf1\xf8\xf9])")
_VBRI = 36  # where its frame says so
_MOST_JUNK = 1 << 24  # bytes without a frame, behind which none is looked for: padding, a picture without a tag
_TAGS = 0.005  # share of a file
_SLACK = 2  # frames: some writers count the one that counts


@dataclass(frozen=True, slots=True)
class Frame:
    """size: bytes. samples: per channel. kind: "MP3" or "AAC"."""

    size: int
    samples: int
    rate: int
    channels: int
    kind: str


@dataclass(frozen=True, slots=True)
class Frames:
    """All frames of a file: how many, the first of them, where they begin and with which bytes, the stretches of the
    file that they fill, and how many the frame in front of them counts (0: there is none)."""

    count: int
    first: Frame
    place: int
    start: bytes
    spans: list[range]
    counted: int

    @property
    def samples(self) -> int:
        return self.count * self.first.samples


def is_aac(head: bytes) -> bool:
    frame = parse(head[:7])
    return frame is not None and frame.kind == "AAC"


def is_mpeg(head: bytes) -> bool:
    """Whether a file may begin with frames, or with a tag that frames may follow."""
    return head[:3] == b"ID3" or parse(head[:7]) is not None


@lru_cache(maxsize=4096)
def parse(head: bytes) -> Frame | None:
    """A frame's header, from its first 7 bytes; None for what is none, and for a free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return _parse_adts(head)
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbps, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or kbps in (0, 15) or rate == 3:
        return None
    bits, hertz = 1000 * _KBPS[1 if version == 3 else 2, layer][kbps - 1], _RATES[version][rate]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    size = (12 * bits // hertz + padding) * 4 if layer == 1 else samples // 8 * bits // hertz + padding
    return Frame(size, samples, hertz, 1 if head[3] >> 6 == 3 else 2, "MP3")


def _parse_adts(head: bytes) -> Frame | None:
    rate = head[2] >> 2 & 15
    if len(head) < 7 or rate >= len(_AAC_RATES):
        return None
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    channels = (head[2] & 1) << 2 | head[3] >> 6
    return Frame(size, 1024 * ((head[6] & 3) + 1), _AAC_RATES[rate], channels or 1, "AAC") if size > 7 else None


def read_frames(file: OpenFile) -> Frames | None:
    """The frames of an MP3 or of raw AAC; None where there are none, or not in a row.

    Raises "input" for files joined of different rates, which no decoder plays through.
    """
    with mmap.mmap(file.fd, 0, access=mmap.ACCESS_READ) as data:
        place = _next(data, 0, None)
        first = parse(data[place : place + 7])
        if first is None:
            return None
        start = data[place : place + 4]
        spans, count, counted = _walk(file, data, place, first)
    return Frames(count, first, place, start, spans, counted) if count else None


def _walk(file: OpenFile, data: mmap.mmap, place: int, first: Frame) -> tuple[list[range], int, int]:
    """The stretches of whole frames, how many there are, and how many the first one says; such frames are left out."""
    spans: list[range] = []
    count, counted, began = 0, 0, place
    while 0 <= place < len(data):
        frame = parse(data[place : place + 7])
        if frame is None or place + frame.size > len(data):
            spans, place = _closed(spans, began, place), _next(data, place + 1 - (frame is None), first)
            began = place
            continue
        if (frame.rate, frame.samples, frame.kind) != (first.rate, first.samples, first.kind):
            what = f"joins sound of {first.rate} Hz and of {frame.rate} Hz"
            raise AffectkitError("input", what, file=file.path, remedy="cut it apart, and convert each part to WAV")
        said = _count_in(data[place : place + frame.size]) if frame.kind == "MP3" else None
        if said is not None:
            spans = _closed(spans, began, place)
            counted = said if not count else counted
            began = place + frame.size
        count += said is None
        place += frame.size
    return _closed(spans, began, min(place, len(data)) if place >= 0 else began), count, counted


def _closed(spans: list[range], start: int, stop: int) -> list[range]:
    return [*spans, range(start, stop)] if stop > start >= 0 else spans


def _next(data: mmap.mmap, place: int, first: Frame | None) -> int:
    """Where the next frame begins, past tags and what is none; -1 at the end. A frame is one whose end another frame,
    a tag or the end of the file follows."""
    end = min(len(data), place + _MOST_JUNK)
    while place < end:
        if data[place : place + 3] == b"ID3" and len(data) >= place + 10:
            sizes = data[place + 6 : place + 10]
            size = 10 + (sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3])
            place, end = place + size, min(len(data), end + size)
            continue
        sync = _SYNC.search(data, place, end)
        tag = data.find(b"ID3", place, sync.start() if sync else end) if first else -1
        if tag >= 0 and tag != place:
            place = tag
            continue
        if sync is None:
            return -1
        place = sync.start()
        frame = parse(data[place : place + 7])
        if frame and _follows(data, place + frame.size, frame):
            return place
        place += 1
    return -1


def _follows(data: mmap.mmap, place: int, frame: Frame) -> bool:
    after = parse(data[place : place + 7])
    alike = after is not None and (after.rate, after.samples) == (frame.rate, frame.samples)
    return alike or place == len(data) or data[place : place + 3] in (b"TAG", b"ID3", b"APE")


def _count_in(frame: bytes) -> int | None:
    """How many frames a Xing, Info or VBRI frame counts (0: it does not say); None for a frame of sound."""
    for at in (_side(frame), _side(frame) + 2):  # 2: a check sum
        if frame[at : at + 4] in (b"Xing", b"Info"):
            return int.from_bytes(frame[at + 8 : at + 12], "big") if frame[at + 7] & 1 else 0
    return int.from_bytes(frame[_VBRI + 14 : _VBRI + 18], "big") if frame[_VBRI : _VBRI + 4] == b"VBRI" else None


def check_whole(file: OpenFile, frames: Frames) -> None:
    """Raise "input" if there are fewer frames than the one in front counts."""
    if frames.count < frames.counted - _SLACK:
        raise file.cut_off(f"{frames.counted - frames.count:,} of {frames.counted:,} frames are missing")


def is_counted(frames: Frames) -> bool:
    """Whether the frame in front tells a decoder how many there are."""
    return abs(frames.count - frames.counted) <= _SLACK


def without_tags(file: OpenFile, frames: Frames) -> tuple[Piece, ...]:
    """The frames as they are, where so much else is in the file that libmpg123 would warn of it on stderr."""
    stop = frames.spans[-1].stop
    much = file.size - (stop - frames.place) > _TAGS * file.size
    return (range(frames.place, stop),) if much and len(frames.spans) == 1 else ()


def counted_again(frames: Frames) -> tuple[Piece, ...]:
    """The frames behind a Xing frame that counts them, without tags between. A decoder then leaves out its own delay,
    529 samples, which it plays where nothing is counted."""
    head = bytearray(frames.start)
    head[1] |= 1  # no check sum
    head[2] = head[2] & 0x0D | 0x90  # a bit rate at which a count has room
    size = (parse(bytes(head) + b"\0\0\0") or frames.first).size
    body = bytes(head).ljust(_side(head), b"\0") + b"Xing" + struct.pack(">II", 1, frames.count)
    return body.ljust(size, b"\0"), *frames.spans


def _side(head: bytes | bytearray) -> int:
    """Where the side information ends, behind which a Xing frame says what it is."""
    mono, newest = head[3] >> 6 == 3, head[1] >> 3 & 3 == 3
    return 4 + ((17 if mono else 32) if newest else (9 if mono else 17))
