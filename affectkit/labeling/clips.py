"""The media of a row as a browser can play them: as they are, or decoded on the way."""

from __future__ import annotations

import io
import logging
import math
import mimetypes
import os
import re
import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media import chunks, mp4
from affectkit.media.audio import Recording, recording, segment_error, warn_once
from affectkit.media.files import OpenFile, opened
from affectkit.media.headers import container, read_sound
from affectkit.media.images import read_image, read_image_header

Kind = Literal["audio", "video", "image"]

COLUMNS = 800  # of a waveform
LONGEST = 4_000_000_000  # bytes of sound that is decoded: a WAV holds no more
_BLOCK = 1 << 16  # bytes, or frames of sound, sent at a time
_HEADER = 44  # bytes of a WAV's
_FRAMES = 1 << 18  # of sound looked at together for a waveform

# By their first bytes, so that nothing is taken for what its name says.
_IMAGE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r|GIF8|RIFF....WEBP|BM|II\*\0|MM\0\*|P[1-7]\s|\0\0\0\x0cjP  |\xff\x4f\xff\x51"
    rb"|....ftyp(?:avi[fs]|hei[cmsx]|hev[cx]|mif1|msf1)",
    re.DOTALL,
)
_PICTURES = re.compile(rb"\x86[\x80-\xa0]V_")  # in Matroska: the codec of a track of pictures
_IMAGES = {
    "JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif",
    "AVIF": "image/avif",
}  # fmt: skip
_SOUNDS = {"FLAC": "audio/flac", "MP3": "audio/mpeg", "MPEG": "audio/mpeg", "OGG": "audio/ogg", "AAC": "audio/aac"}
_VIDEOS = {"MP4": "video/mp4", "Matroska or WebM": "video/webm"}

_decoding = threading.BoundedSemaphore(2)  # files that are decoded as a whole take a core and memory each

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """How a file is shown. type: the MIME type under which it is sent as it is; "" where it is decoded.

    start, end: seconds, that the page has to keep to, as nothing is cut here. problem: why it cannot be shown.
    """

    kind: Kind
    type: str = ""
    start: float | None = None
    end: float | None = None
    waveform: bool = False
    problem: str = ""


def look(path: Path, start: float | None = None, end: float | None = None) -> Clip:
    """What a file is, by what is in it; a problem, in words, instead of an error. start, end: seconds of the row."""
    try:
        return _known(path, start, end)
    except AffectkitError as error:
        told = f"{error.message}; {error.remedy}" if error.remedy else error.message  # to who can do something about it
        warn_once("%s: cannot be shown: %s", path, told)
        kind = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
        return Clip("video" if kind == "video" else "image" if kind == "image" else "audio", problem=error.message)


def _known(path: Path, start: float | None, end: float | None) -> Clip:
    with opened(path) as file:
        if _IMAGE.match(file.head):
            return Clip("image", _IMAGES.get(read_image_header(path).format, ""))
        name = container(file.head)
        if name in ("", "raw AAC"):
            return _sound(file, path, start, end)
        mp4.check_whole(file) if name == "MP4" else chunks.check_whole(file)
        if not _has_pictures(file, name):
            type = _VIDEOS.get(name, "").replace("video", "audio")
            first, last = (start, end) if type else (None, None)
            return Clip("audio", type, first, last, waveform=shutil.which("ffmpeg") is not None)
        if name not in _VIDEOS:
            what = f"is {name}, which browsers do not play"
            raise AffectkitError("input", what, file=path, remedy="convert it to MP4")
        return Clip("video", _VIDEOS[name], start, end)


def _has_pictures(file: OpenFile, name: str) -> bool:
    if name == "MP4":
        return mp4.has_pictures(file)
    if name == "Matroska or WebM":
        return _PICTURES.search(file.at(0, _BLOCK)) is not None
    return name in ("AVI", "FLV", "MPEG")


def _sound(file: OpenFile, path: Path, start: float | None, end: float | None) -> Clip:
    header, misleading = read_sound(file)
    if problem := segment_error(path, start, end, header.duration):
        raise problem
    whole = start is None and end is None
    type = _SOUNDS.get(header.format, "") if header.format != "WAV" else "audio/wav" if _is_plain(file) else ""
    if whole and not misleading and type:
        return Clip("audio", type, waveform=True)
    seconds = (header.duration if end is None else end) - (start or 0.0)
    if 2 * header.channels * header.rate * seconds > LONGEST:
        raise AffectkitError("input", f"is too long to be decoded ({seconds / 3600:.1f} h)", file=path, remedy="cut it")
    return Clip("audio", waveform=True)


def _is_plain(file: OpenFile) -> bool:
    """Whether a WAV holds PCM of 8 or 16 bits behind a plain header."""
    form = file.head[12:36]
    return form[:4] == b"fmt " and form[8:10] == b"\1\0" and form[22:24] in (b"\x08\0", b"\x10\0")


# --- Bytes to be sent


@dataclass(frozen=True)
class Bytes:
    """size: of all. read: those from one place to before another, in blocks."""

    type: str
    size: int
    read: Callable[[int, int], Iterator[bytes]]


def open_clip(path: Path, start: float | None = None, end: float | None = None) -> Bytes:
    """Raises "missing" or "input" for what `look` finds a problem with."""
    clip = _known(path, start, end)
    if clip.type:
        with opened(path) as file:
            return Bytes(clip.type, file.size, lambda first, last: _as_it_is(path, first, last))
    if clip.kind == "image":
        pixels = _png(path)
        return Bytes("image/png", len(pixels), lambda first, last: iter([pixels[first:last]]))
    with recording(path) as sound:
        first, last = _bounds(sound, path, start, end)
        size = _HEADER + 2 * sound.channels * (last - first)
    return Bytes("audio/wav", size, lambda a, b: _as_wav(path, start, end, a, b))


def _as_it_is(path: Path, first: int, last: int) -> Iterator[bytes]:
    with opened(path) as file:
        while first < last:
            block = os.pread(file.fd, min(_BLOCK, last - first), first)
            if not block:
                raise AffectkitError("input", "has become shorter while it was sent", file=path)
            yield block
            first += len(block)


def _png(path: Path) -> bytes:
    from PIL import Image

    with _decoding:
        out = io.BytesIO()
        Image.fromarray(read_image(path)).save(out, "PNG", compress_level=1)
        return out.getvalue()


def _bounds(sound: Recording, path: Path, start: float | None, end: float | None) -> tuple[int, int]:
    """The first frame of a segment, and the one behind its last."""
    if problem := segment_error(path, start, end, sound.frames / sound.rate):
        raise problem
    first = round((start or 0.0) * sound.rate)
    return first, sound.frames if end is None else min(max(round(end * sound.rate), first + 1), sound.frames)


def _as_wav(path: Path, start: float | None, end: float | None, first: int, last: int) -> Iterator[bytes]:
    """Bytes of the WAV, of 16 bits, that a segment would be: only the frames that they hold are decoded."""
    with recording(path) as sound:
        begin, stop = _bounds(sound, path, start, end)
        width = 2 * sound.channels
        if first < _HEADER:
            yield _wav_header(sound.rate, sound.channels, width * (stop - begin))[first:last]
            first = _HEADER
        if first >= last:
            return
        frame = (first - _HEADER) // width
        skip, left = first - _HEADER - frame * width, last - first
        until = begin + math.ceil((last - _HEADER) / width)
        for block in sound.blocks(begin + frame, until, frames=_BLOCK):
            data = _of_16_bits(block)[skip : skip + left]
            skip, left = 0, left - len(data)
            yield data


def _of_16_bits(block: np.ndarray) -> bytes:
    scaled = np.nan_to_num(block, posinf=1, neginf=-1).astype(np.float64) * 32768
    return np.clip(np.rint(scaled), -32768, 32767).astype("<i2").tobytes()


def _wav_header(rate: int, channels: int, size: int) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    return struct.pack("<4sI8sI16s4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, form, b"data", size)


# --- A waveform


def peaks(path: Path, start: float | None = None, end: float | None = None) -> dict[str, object]:
    """{"seconds", "peaks": [[lowest, highest], ...]} of a segment, of all channels; decoded in blocks."""
    with _decoding, recording(path) as sound:
        first, last = _bounds(sound, path, start, end)
        count = min(COLUMNS, last - first)
        edges = np.linspace(0, last - first, count + 1).astype(int)
        lows, highs = np.full(count, np.inf), np.full(count, -np.inf)
        at = 0
        for block in sound.blocks(first, last, frames=max(1, _FRAMES // sound.channels)):
            block = np.nan_to_num(block)
            column = np.searchsorted(edges, np.arange(at, at + len(block)), side="right") - 1
            begins = np.flatnonzero(np.diff(column, prepend=-1))
            np.minimum.at(lows, column[begins], np.minimum.reduceat(block.min(axis=1), begins))
            np.maximum.at(highs, column[begins], np.maximum.reduceat(block.max(axis=1), begins))
            at += len(block)
        both = np.stack([np.where(np.isfinite(lows), lows, 0), np.where(np.isfinite(highs), highs, 0)], axis=1)
        return {"seconds": (last - first) / sound.rate, "peaks": np.clip(both, -1, 1).round(4).tolist()}
