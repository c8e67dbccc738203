"""Durations from headers: nothing is decoded."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from affectkit.errors import AffectkitError
from affectkit.media import chunks, flac, mp4, mpeg, ogg, wav
from affectkit.media.files import LengthUnknown, OpenFile, mapped, open_file, or_error
from affectkit.media.splice import Piece, Spliced

# Containers that neither our parsers nor libsndfile read, by their first bytes; ffmpeg does.
CONTAINERS = {
    b"\x1aE\xdf\xa3": "Matroska or WebM", b"FLV\x01": "FLV", b"0&\xb2u": "ASF", b"\x00\x00\x01\xba": "MPEG",
    b"#!AM": "AMR", b"wvpk": "WavPack",
}  # fmt: skip
FFMPEG = "by ffmpeg"  # what only ffmpeg reads, whatever it is
BY_FFMPEG = ("MP4", "AAC", FFMPEG)  # formats whose headers are read here, and whose samples only ffmpeg decodes
_CHUNK = 64  # files handed to a thread at once: a task costs as much as reading several headers
_SLOW_SEC = 0.0003  # per file: a local disk takes 0.01 ms, libsndfile 0.07 ms, network storage a millisecond


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    frames: samples per channel. rate: frames per second (MP4: units of its time scale). channels: 0 for a video
    without sound. format: "WAV", "FLAC", "OGG", "MP3", "AAC", "MP4", ...
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
    """The header of an audio file, or of an MP4 or MOV video; what its frames say, where the header does not know.

    Raises AffectkitError "missing" or "input": a folder, empty, a Git-LFS pointer, unreadable, not audio, truncated
    (fewer bytes than its header promises), without samples, or with numbers that no recording has.
    """
    file = open_file(path)
    try:
        return read_sound(file)[0]
    finally:
        os.close(file.fd)


Sources = tuple[tuple[Piece, ...], ...]  # what libsndfile is to read, one after the other, in place of the file


def read_sound(file: OpenFile) -> tuple[Header, Sources]:
    """What is in a file; and how libsndfile should see it, where its own header misleads: () mostly."""
    facts, sources = _facts(file)
    return checked(Header(*facts), file), sources


def _facts(file: OpenFile) -> tuple[tuple[int, int, int, str], Sources]:
    if wav.is_wav(file.head) and (described := wav.read_facts(file)):
        return described[0], (described[1],) if described[1] else ()
    if mp4.is_mp4(file.head):
        return mp4.read_facts(file), ()
    if flac.is_flac(file):
        facts, pieces = flac.read_facts(file)
        return facts, (pieces,) if pieces else ()
    named = str(file.path).lower().endswith(".mp3")  # one that was cut begins in the middle of a frame
    frames = mpeg.read_frames(file) if named or mpeg.is_mpeg(file.head) else None
    if frames:
        return _of_frames(file, frames)
    if named and file.head[:4] not in _OTHERS:  # else libsndfile looks for a frame, and reports to stderr
        raise not_audio(file.path, file.head, "it holds no MP3 frames")
    pieces = chunks.as_it_reads(file)
    sources = ogg.links(file) if ogg.is_ogg(file.head) else (pieces,) if pieces else ()
    return _of_libsndfile(file, sources), sources


_OTHERS = (b"RIFF", b"RF64", b"RIFX", b"OggS", b"FORM", b".snd", b"caff", b"riff")  # sound in files called .mp3


def _of_frames(file: OpenFile, frames: mpeg.Frames) -> tuple[tuple[int, int, int, str], Sources]:
    """Of an MP3 or raw AAC. A decoder that is told fewer frames than there are is given their number."""
    mpeg.check_whole(file, frames)
    first = frames.first
    if first.kind == "AAC":
        return (frames.samples, first.rate, first.channels, first.kind), ()
    if mpeg.is_counted(frames):
        pieces = mpeg.without_tags(file, frames)
        sources: Sources = (pieces,) if pieces else ()
        return _of_libsndfile(file, sources), sources
    if not frames.counted:
        facts = _of_libsndfile(file, ())
        if facts[0] >= frames.samples:  # an estimate that lets all of it be heard
            return (frames.samples, *facts[1:]), ()
    sources = (mpeg.counted_again(frames),)
    return _of_libsndfile(file, sources), sources


def _of_libsndfile(file: OpenFile, sources: Sources) -> tuple[int, int, int, str]:
    facts = []
    for sound in sounds(file.path, file.head, sources):
        facts.append((sound.frames, sound.samplerate, sound.channels, sound.format))
        _check_log(sound.extra_info, file)
    if len({fact[1:3] for fact in facts}) > 1:
        what = "joins recordings of several sampling rates or numbers of channels"
        raise AffectkitError("input", what, file=file.path, remedy=f"convert it: {by_ffmpeg(file.path)}")
    return sum(fact[0] for fact in facts), *facts[0][1:]


def sounds(path: str | Path, head: bytes, sources: Sources = ()) -> Iterator[Any]:
    """The file in libsndfile, or each of its sources, one at a time. Raises "input" for what is not audio."""
    for pieces in sources:
        with Spliced(path, pieces) as source, _sound(source, path, head) as sound:
            yield sound
    if not sources:
        with _sound(os.fsencode(path), path, head) as sound:
            yield sound


def _sound(source: Any, path: str | Path, head: bytes) -> Any:
    import soundfile

    try:
        return soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        raise not_audio(path, head, error.error_string) from None


def _check_log(log: str, file: OpenFile) -> None:
    """Raise "input" where libsndfile met a file that is shorter than one of its sizes says: it reads what is there."""
    for promised, there in _SIZES.findall(log):
        if int(promised) > int(there) + _HEADER and not wav.is_placeholder(int(promised)):
            raise file.cut_off(f"{int(promised) - int(there):,} of {int(promised):,} bytes are missing")


_HEADER = 64  # bytes: some writers count the header as well
_SIZES = re.compile(r"^(?! *Bytes/sec)[^:\n]*: (\d+) \(should be (\d+)\)", re.MULTILINE)
RATES = (1_000, 1_000_000)  # Hz: from a seismograph's upper end to ultrasound
MOST_CHANNELS = 256
_MOST_PER_BYTE = 8192  # samples of a channel: silence as FLAC has 65,535 in 11 bytes, nothing has more


def checked(header: Header, file: OpenFile) -> Header:
    """The header, if a recording can have its numbers. Raises "input": whatever reads a file relies on them."""
    if header.frames <= 0:
        raise AffectkitError("input", "holds no samples", file=file.path, remedy="drop its row")
    if header.channels > MOST_CHANNELS:
        raise _damaged(f"says that it has {header.channels:,} channels: at most {MOST_CHANNELS} can be true", file)
    if header.format == "MP4":  # its rate is a unit of time
        most = file.size * header.rate
    elif RATES[0] <= header.rate <= RATES[1]:
        most = file.size * _MOST_PER_BYTE
    else:
        low, high = RATES
        raise _damaged(f"says that its rate is {header.rate:,} Hz: {low:,} to {high:,} can be true", file)
    if header.frames > most:
        raise _damaged(f"says that it lasts {header.duration:,.0f} s, which {file.size:,} bytes cannot hold", file)
    return header


def _damaged(what: str, file: OpenFile) -> AffectkitError:
    return AffectkitError("input", what, file=file.path, remedy="copy it again, or drop its row: its header is damaged")


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
        what = f"is {kind}, whose header is not read here"
        return LengthUnknown("input", what, file=path, remedy=f"convert it: {by_ffmpeg(path)}")
    why = next((meaning for phrase, meaning in _PHRASES.items() if phrase in why), why.rstrip("."))
    remedy = f"copy it again, convert it if it is sound ({by_ffmpeg(path)}), or drop its row"
    return AffectkitError("input", f"is not audio: {why[:1].lower()}{why[1:]}", file=path, remedy=remedy)


_PHRASES = {  # of libsndfile, and what they mean
    "SF_INFO struct incomplete": "its header gives no rate, no channels or no samples",
    "not a regular file": "it holds no MP3 frames",
    "Unspecified internal error": "its header is damaged, or of an unknown kind",
}


def by_ffmpeg(path: str | Path) -> str:
    """The command that converts a file to WAV."""
    converted = Path(path).with_suffix(".new.wav" if Path(path).suffix.lower() == ".wav" else ".wav")
    return f"ffmpeg -i {shlex.quote(str(path))} {shlex.quote(str(converted))}"


def container(head: bytes) -> str:
    """The name of what ffmpeg decodes and libsndfile does not, containers of sound and pictures and raw AAC; "" for
    anything else."""
    if mp4.is_mp4(head):
        return "MP4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    return "raw AAC" if mpeg.is_aac(head) else CONTAINERS.get(head[:4], "")
