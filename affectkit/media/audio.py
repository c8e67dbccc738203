"""Samples: mono float32, at the rate that is asked for."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media import chunks, mp4
from affectkit.media.files import LengthUnknown, opened
from affectkit.media.headers import FFMPEG, RATES, Header, by_ffmpeg, container, read_header, read_sound, sounds

logger = logging.getLogger(__name__)

OVERRUN_SEC = 0.1  # annotated times are rounded; a segment may end this much after its file
LOUDEST = 128.0  # of full scale, 1: above what any gain makes of a recording, and far below 16-bit values
MOST_SAMPLES = 1 << 29  # 2 GB as float32: 9 h at 16 kHz
_BLOCK = 1 << 24  # samples of all channels decoded at once
_AUDIBLE = 1e-8  # mean square of a channel that is not silent (-80 dB)
_CANCELLED = 1e-3  # of the loudest channel's power: a mean below that (-30 dB) is no mix of them
_FINEST = 1 << 16
_NO_SOUND = "no sound track"
_ESTIMATED = ("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")  # frames guessed from the bit rate


def read_audio(
    path: str | Path, *, rate: int | None = None, start_sec: float | None = None, end_sec: float | None = None
) -> tuple[np.ndarray, int]:
    """Samples [T] float32, the mean of the channels, and their rate in Hz.

    rate: resample to it. start_sec, end_sec: only this segment, rounded to whole frames; NaN is as None.
    What libsndfile does not read (MP4 and other video, raw AAC) is decoded by ffmpeg. Where the channels cancel each
    other, the loudest is taken instead of a mean that is silent, with a warning.
    Raises AffectkitError "missing" or "input" as `read_header` does, and for a file that ends before its header says,
    a sample that is not finite or that is none of a scale up to 1, a segment that is empty, lies outside or is too
    long to be held; "environment" where ffmpeg is needed and not installed.
    """
    start, end = (None if value is None or math.isnan(value) else float(value) for value in (start_sec, end_sec))
    with recording(path) as sound:
        samples = _stretch(sound, path, start or 0.0, end, rate or sound.rate)
        file_rate = sound.rate
    if rate is None or rate == file_rate:
        return np.ascontiguousarray(samples), file_rate
    return resample(samples, file_rate, rate), rate


def read_stretches(
    path: str | Path, cut: Callable[[float, int], Sequence[tuple[float, float]]], *, most_sec: float
) -> Iterator[tuple[float, float, np.ndarray, int]]:
    """(start, end, samples, rate) of each stretch, as `read_audio` reads it, of a file that is opened once.

    cut: called with the recording's seconds and rate before anything is read; it gives (start, end) in seconds, or
    raises. most_sec: what has no length before it is decoded is decoded no further than a second beyond it.
    """
    with recording(path, most_sec=most_sec) as sound:
        for start, end in cut(sound.frames / sound.rate, sound.rate):
            yield start, end, _stretch(sound, path, start, end, sound.rate), sound.rate


def _stretch(sound: Recording, path: str | Path, start: float, end: float | None, rate: int) -> np.ndarray:
    """The samples [T] of a stretch, at the file's own rate; at `rate`, too, they can be held."""
    bounds = _bounds(sound, path, start, end)
    _require_room(sound, path, bounds, rate)
    samples = _mono(sound, path, *bounds)
    _check_samples(samples, path)
    return samples


def read_length(path: str | Path) -> Header:
    """As `read_header`; what only ffmpeg reads, and whose header does not say its length, is decoded for it."""
    try:
        return read_header(path)
    except LengthUnknown as error:
        unknown = error
    if shutil.which("ffmpeg") is None:
        raise unknown
    try:
        with recording(path) as sound:
            return Header(sound.frames, sound.rate, sound.channels, FFMPEG)
    except AffectkitError as error:
        raise unknown if _NO_SOUND in error.message else error from None


def _check_samples(samples: np.ndarray, path: str | Path) -> None:
    """Refuse samples that are not finite, and those of 16 bits in a file of floats."""
    peak = max(-float(samples.min()), float(samples.max())) if len(samples) else 0.0
    if not math.isfinite(peak):
        first = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise AffectkitError("input", f"sample {first} is {samples[first]}", file=path, remedy="repair or drop it")
    if peak > LOUDEST:
        what = f"its samples reach {peak:,.0f}, where 1 is full scale: 16-bit values in a file of floats?"
        raise AffectkitError(
            "input", what, file=path, remedy="divide them by 32768, for example with ffmpeg -af volume"
        )


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """[T] float32 at `rate` Hz -> [ceil(T * new_rate / rate)] float32: polyphase, as `scipy.signal.resample_poly`."""
    from scipy.signal import resample_poly

    if rate == new_rate:
        return samples
    # A ratio of larger numbers (999,983 Hz) has a filter of 20,000,000 taps; the nearest is off by a sample an hour.
    up, down = Fraction(new_rate, rate).limit_denominator(_FINEST).as_integer_ratio()
    return resample_poly(samples, up, down, window=_filter(up, down))


@lru_cache(maxsize=16)
def _filter(up: int, down: int) -> Any:  # an array; the type stubs of `window` know no arrays
    """`resample_poly`'s own default filter; designing it anew takes longer than filtering a short utterance."""
    from scipy.signal import firwin

    widest = max(up, down)
    return firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0)).astype(np.float32)


# --- A file's samples in blocks, whatever its container, and however its header misleads


class Recording:
    """An open file's sound. frames: per channel. blocks: its samples."""

    def __init__(self, path: str | Path, header: Header, open_sounds: Callable[[], Iterator[Any]]) -> None:
        self._path, self._sounds = path, open_sounds
        self.frames, self.rate, self.channels = header.frames, header.rate, header.channels

    def blocks(self, start: int = 0, end: int | None = None, *, frames: int | None = None) -> Iterator[np.ndarray]:
        """The samples from `start` to before `end`, [T, channels] float32, at most `frames` at a time.

        Raises "input" for a file that cannot be decoded, or that ends early.
        """
        import soundfile

        place, end = 0, self.frames if end is None else end
        try:
            for sound in self._sounds():
                first, last = max(start - place, 0), min(end - place, sound.frames)
                place += sound.frames
                if first < last:
                    yield from self._of(sound, first, last, frames or max(1, _BLOCK // self.channels))
        except soundfile.LibsndfileError as error:
            why = error.error_string.rstrip(".").lower() or "it is damaged, or its length is not known"
            remedy = f"copy it again, or convert it: {by_ffmpeg(self._path)}"
            raise AffectkitError("input", f"cannot be decoded: {why}", file=self._path, remedy=remedy) from None

    def _of(self, sound: Any, first: int, last: int, most: int) -> Iterator[np.ndarray]:
        if sound.seekable():
            sound.seek(first)  # also to 0: an MP3 then differs in its last bits
        at = first if sound.seekable() else 0  # GSM, G.721: decoded from the start
        while at < last and len(block := sound.read(min(most, last - at), dtype="float32", always_2d=True)):
            yield block[max(first - at, 0) :]
            at += len(block)
        if at < last and sound.subtype not in _ESTIMATED:
            what = f"is truncated: {last - at:,} of {sound.frames:,} samples are missing"
            raise AffectkitError("input", what, file=self._path, remedy="copy it again")


@contextmanager
def recording(path: str | Path, *, most_sec: float | None = None) -> Iterator[Recording]:
    """The sound of a file; by ffmpeg, no more than a second beyond `most_sec` of it. Raises as `read_header` does, and
    "environment" where ffmpeg is needed and not installed."""
    with opened(path) as file:
        kind = container(file.head)
        if kind == "MP4":
            mp4.check_whole(file)
        elif kind:
            chunks.check_whole(file)
        if not kind:
            header, sources = read_sound(file)
            yield Recording(path, header, lambda: sounds(path, file.head, sources))
            return
    with TemporaryFile() as decoded:
        _run_ffmpeg(path, kind, decoded, most_sec)
        yield from _of_ffmpeg(path, kind, decoded)


def _of_ffmpeg(path: str | Path, kind: str, decoded: IO[bytes]) -> Iterator[Recording]:
    import soundfile

    with soundfile.SoundFile(decoded) as sound:
        if not sound.frames:
            raise AffectkitError("input", "holds no samples", file=path, remedy="drop its row")

        def once_more() -> Iterator[Any]:
            sound.seek(0)
            yield sound

        yield Recording(path, Header(sound.frames, sound.samplerate, sound.channels, kind), once_more)


def _bounds(sound: Recording, path: str | Path, start_sec: float, end_sec: float | None) -> tuple[int, int]:
    """The first sample of a segment, and the one behind its last."""
    total, rate = sound.frames, sound.rate
    problem = segment_error(path, start_sec, end_sec, total / rate)
    if problem:
        raise problem
    start = round(start_sec * rate)
    end = total if end_sec is None else min(round(end_sec * rate), total)
    if start >= end:
        raise AffectkitError("input", f"has no sample from {start / rate:g} to {end / rate:g} s", file=path)
    return start, end


def _require_room(sound: Recording, path: str | Path, bounds: tuple[int, int], rate: int) -> None:
    """Refuse what would not be held in memory, before anything is decoded: also at the rate that is asked for."""
    samples = (bounds[1] - bounds[0]) * max(1.0, rate / sound.rate)
    if samples > MOST_SAMPLES:
        what = f"has {samples:,.0f} samples to be held at once: the limit is {MOST_SAMPLES:,}"
        raise AffectkitError("input", what, file=path, remedy="cut it, or give start_sec and end_sec")


def segment_error(
    path: str | Path | None, start_sec: float | None, end_sec: float | None, duration: float
) -> AffectkitError | None:
    """What is wrong with a segment of a recording of so many seconds. None and NaN are no bound."""
    start = 0.0 if start_sec is None or math.isnan(start_sec) else start_sec
    end = duration if end_sec is None or math.isnan(end_sec) else end_sec
    if 0 <= start < min(end, duration) and end <= duration + OVERRUN_SEC:
        return None
    message = f"has no segment {start:g} to {end:g} s: it is {duration:.3f} s long"
    remedy = "correct its times, which are in seconds"
    if end <= start:
        remedy = "its end does not come after its start: are two columns exchanged?"
    elif start >= 0 and max(duration, 10) < end <= RATES[1] * duration:
        what = "milliseconds" if end <= 1000 * (duration + OVERRUN_SEC) else "milliseconds or samples"
        remedy = f"times are in seconds: are these {what}?"
    return AffectkitError("input", message, file=path, remedy=remedy)


def _mono(sound: Recording, path: str | Path, start: int, end: int) -> np.ndarray:
    """[T] float32: the mean of the channels, or the loudest where they cancel each other."""
    if sound.channels == 1:
        return _joined(block[:, 0] for block in sound.blocks(start, end))
    power = np.zeros(sound.channels)

    def means() -> Iterator[np.ndarray]:
        for block in sound.blocks(start, end):
            with np.errstate(over="ignore", invalid="ignore"):  # an error below
                power[:] += np.einsum("tc,tc->c", block, block, dtype=np.float64)
            yield block.mean(axis=1, dtype=np.float32)

    samples = _joined(means())
    loudest = int(power.argmax())
    mixed = float(np.einsum("t,t", samples, samples, dtype=np.float64))
    if not power[loudest] > _AUDIBLE * len(samples) or mixed > _CANCELLED * power[loudest]:
        return samples
    what = "%s: its channels cancel each other: channel %d is taken, as their mean is silent"
    warn_once(what, path, loudest + 1)
    return _joined(block[:, loudest] for block in sound.blocks(start, end))


def _joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    parts = list(blocks)
    return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.zeros(0, np.float32)])


def warn_once(what: str, path: str | Path, *details: object) -> None:
    """About a file, which may be read in every epoch and by every check; of many files the first ones are named."""
    files = _told.setdefault(what, set())
    if str(path) in files or len(files) > _NAMED:
        return
    files.add(str(path))
    if len(files) <= _NAMED:
        logger.warning(what, path, *details)
    elif len(files) == _NAMED + 1:
        logger.warning(what + " (further such files are not named)", path, *details)


_told: dict[str, set[str]] = {}
_NAMED = 5


def _run_ffmpeg(path: str | Path, kind: str, decoded: IO[bytes], most_sec: float | None = None) -> None:
    """The sound of a video as a WAV of float32, into a file."""
    program = shutil.which("ffmpeg")
    if program is None:
        remedy = "install ffmpeg, or convert it to WAV"
        raise AffectkitError("environment", f"decoding {kind} needs ffmpeg", file=path, remedy=remedy)
    command = [program, "-v", "error", "-nostdin", "-i", f"file:{os.fspath(path)}", "-vn", "-c:a", "pcm_f32le"]
    command += [] if most_sec is None else ["-t", f"{most_sec + 1:g}"]
    done = subprocess.run([*command, "-f", "wav", "-"], stdout=decoded, stderr=subprocess.PIPE, check=False)
    if done.returncode or not decoded.seek(0, os.SEEK_END):
        why = (done.stderr.decode(errors="replace").strip().splitlines() or [_NO_SOUND])[0]
        why = re.sub(r"^\[.*? @ 0x\w+\] ", "", why)  # where an object lies in memory
        why = _NO_SOUND if "does not contain any stream" in why else why
        remedy = "copy it again, or drop its row"
        raise AffectkitError("input", f"ffmpeg cannot decode it: {why}", file=path, remedy=remedy)
    decoded.seek(0)
