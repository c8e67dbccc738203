"""Samples: mono float32, at the rate that is asked for."""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media import mp4, wav
from affectkit.media.files import opened
from affectkit.media.headers import container, not_audio

OVERRUN_SEC = 0.1  # annotated times are rounded; a segment may end this much after its file
_ESTIMATED = ("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")  # frames guessed from the bit rate


def read_audio(
    path: str | Path, *, rate: int | None = None, start_sec: float | None = None, end_sec: float | None = None
) -> tuple[np.ndarray, int]:
    """Samples [T] float32, the mean of the channels, and their rate in Hz.

    rate: resample to it. start_sec, end_sec: only this segment, rounded to whole frames; NaN is as None.
    What libsndfile does not read (MP4 and other video) is decoded by ffmpeg.
    Raises AffectkitError "missing" or "input" as `read_header` does, and for a file that ends before its header says,
    a sample that is not finite, a segment that is empty or lies outside; "environment" where ffmpeg is needed and not
    installed.
    """
    with opened(path) as file:
        if wav.is_wav(file.head):
            wav.read_facts(file)  # libsndfile, and ffmpeg below, read a truncated file without a word
        elif mp4.is_mp4(file.head):
            mp4.check_whole(file)
        head = file.head
    start, end = (None if value is None or math.isnan(value) else float(value) for value in (start_sec, end_sec))
    samples, file_rate = _decode(path, head, start or 0.0, end)
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(samples).all():
        first = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise AffectkitError("input", f"sample {first} is {samples[first]}", file=path, remedy="repair or drop it")
    if rate is None or rate == file_rate:
        return np.ascontiguousarray(samples), file_rate
    return resample(samples, file_rate, rate), rate


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """[T] float32 at `rate` Hz -> [ceil(T * new_rate / rate)] float32: polyphase, as `scipy.signal.resample_poly`."""
    from scipy.signal import resample_poly

    if rate == new_rate:
        return samples
    common = math.gcd(rate, new_rate)
    up, down = new_rate // common, rate // common
    return resample_poly(samples, up, down, window=_filter(up, down))


@lru_cache(maxsize=16)
def _filter(up: int, down: int) -> Any:  # an array; the type stubs of `window` know no arrays
    """`resample_poly`'s own default filter; designing it anew takes longer than filtering a short utterance."""
    from scipy.signal import firwin

    widest = max(up, down)
    return firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0)).astype(np.float32)


def _decode(path: str | Path, head: bytes, start_sec: float, end_sec: float | None) -> tuple[np.ndarray, int]:
    """[T, channels] float32 of the segment, and its rate."""
    import soundfile

    source: str | io.BytesIO = os.fspath(path)
    kind = container(head)
    if kind:
        source = io.BytesIO(_run_ffmpeg(path, kind))
    try:
        sound = soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        raise not_audio(path, head, error.error_string) from None
    with sound:
        try:
            return _segment(sound, path, start_sec, end_sec), sound.samplerate
        except soundfile.LibsndfileError as error:
            why = error.error_string.rstrip(".").lower()
            raise AffectkitError("input", f"cannot be decoded: {why}", file=path, remedy="copy it again") from None


def _segment(sound, path: str | Path, start_sec: float, end_sec: float | None) -> np.ndarray:
    total, rate = sound.frames, sound.samplerate
    if total <= 0:
        raise AffectkitError("input", "holds no samples", file=path, remedy="drop its row")
    start = round(start_sec * rate)
    end = total if end_sec is None else round(end_sec * rate)
    if not 0 <= start < end or start >= total or end > total + OVERRUN_SEC * rate:
        asked = f"{start_sec:g} to {end / rate:g} s"
        raise AffectkitError("input", f"has no segment {asked}: it is {total / rate:.3f} s long", file=path)
    end = min(end, total)
    sound.seek(start)
    samples = sound.read(end - start, dtype="float32", always_2d=True)
    if len(samples) < end - start and sound.subtype not in _ESTIMATED:
        missing = end - start - len(samples)
        what = f"is truncated: {missing:,} of {total:,} samples are missing"
        raise AffectkitError("input", what, file=path, remedy="copy it again")
    return samples


def _run_ffmpeg(path: str | Path, kind: str) -> bytes:
    """The sound of a video as a WAV of float32."""
    program = shutil.which("ffmpeg")
    if program is None:
        remedy = "install ffmpeg, or convert it to WAV"
        raise AffectkitError("environment", f"decoding {kind} needs ffmpeg", file=path, remedy=remedy)
    command = [program, "-v", "error", "-nostdin", "-i", f"file:{os.fspath(path)}", "-vn"]
    done = subprocess.run([*command, "-c:a", "pcm_f32le", "-f", "wav", "-"], capture_output=True, check=False)
    if done.returncode or not done.stdout:
        why = done.stderr.decode(errors="replace").strip().splitlines()[:1] or ["no sound track"]
        raise AffectkitError("input", f"ffmpeg cannot decode it: {why[0]}", file=path)
    return done.stdout
