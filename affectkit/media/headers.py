"""Durations from headers: nothing is decoded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from affectkit.errors import AffectkitError
from affectkit.media import mp4, wav
from affectkit.media.files import mapped, open_file, or_error

# Containers that neither our parsers nor libsndfile read, by their first bytes; ffmpeg does.
CONTAINERS = {b"\x1aE\xdf\xa3": "Matroska or WebM", b"FLV\x01": "FLV", b"0&\xb2u": "ASF", b"\x00\x00\x01\xba": "MPEG"}
_CHUNK = 64  # files handed to a thread at once: a task costs as much as reading several headers
_SLOW_SEC = 0.0003  # per file: a local disk takes 0.01 ms, libsndfile 0.07 ms, network storage a millisecond


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    frames: samples per channel. rate: frames per second (MP4: units of its time scale). channels: 0 for a video
    without sound. format: "WAV", "FLAC", "OGG", "MP3", "MP4", ...
    """

    frames: int
    rate: int
    channels: int
    format: str

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.rate


def read_header(path: str | Path) -> Header:
    """The header of an audio file, or of an MP4 or MOV video.

    Raises AffectkitError "missing" or "input": a folder, empty, a Git-LFS pointer, unreadable, not audio, truncated
    (fewer bytes than its header promises), without samples.
    """
    file = open_file(path)
    try:
        facts = None
        if wav.is_wav(file.head):
            facts = wav.read_facts(file)
        elif mp4.is_mp4(file.head):
            facts = mp4.read_facts(file)
    finally:
        os.close(file.fd)
    if facts is None:
        import soundfile

        try:
            with soundfile.SoundFile(os.fspath(path)) as sound:
                facts = sound.frames, sound.samplerate, sound.channels, sound.format
        except soundfile.LibsndfileError as error:
            raise not_audio(path, file.head, error.error_string) from None
    if facts[0] <= 0:
        raise AffectkitError("input", "holds no samples", file=path, remedy="drop its row")
    return Header(*facts)


def read_headers(
    paths: Sequence[str | Path],
    *,
    read: Callable[[str | Path], Any] | None = None,
    num_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Any]:
    """The header of each file, in order, or the error in its place. progress: called with (done, total).

    read: `read_header` (a `Header`), or what else reads a file or raises, as `read_image_header`.
    num_workers: threads, used where they pay: they hide the latency of network storage, but on a local disk two of
    them take twice as long as none. Memory: a header (about 130 bytes) per file, besides what is in flight.
    """
    headers: list[Any] = []
    for chunk in _in_chunks(paths, read or read_header, num_workers):
        headers += chunk
        if progress:
            progress(len(headers), len(paths))
    return headers


def _in_chunks(paths: Sequence[str | Path], read: Callable[[str | Path], Any], workers: int) -> Iterator[list[Any]]:
    def read_chunk(paths: Sequence[str | Path]) -> list[Any]:
        return [or_error(read, path) for path in paths]

    chunks = (paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK))
    began = time.monotonic()
    for chunk in islice(chunks, 1):
        yield read_chunk(chunk)
    slow = time.monotonic() - began > _SLOW_SEC * min(len(paths), _CHUNK)
    yield from mapped(read_chunk, chunks, workers if slow else 0)


def not_audio(path: str | Path, head: bytes, why: str) -> AffectkitError:
    """The error for a file that libsndfile cannot open."""
    kind = container(head)
    if kind:
        remedy = "convert it to WAV or MP4, for example with ffmpeg"
        return AffectkitError("input", f"is {kind}, whose header is not read here", file=path, remedy=remedy)
    return AffectkitError("input", f"is not audio: {why.rstrip('.').lower()}", file=path)


def container(head: bytes) -> str:
    """The name of a container of sound and pictures that libsndfile does not read; "" for anything else."""
    if mp4.is_mp4(head):
        return "MP4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    return CONTAINERS.get(head[:4], "")
