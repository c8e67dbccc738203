"""Altered copies of recordings: found by landmarks that they share at one time shift, confirmed on the waveform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from affectkit.leakage.content import media_leaks
from affectkit.leakage.sides import Copies, FileSet, MediaFile, read_each, sides_as_numbers, unread
from affectkit.media import Header, mapped, read_audio

# --- Landmarks of a recording: pairs of spectral peaks, which survive resampling, coding, gain and noise
#
# After Wang, "An industrial-strength audio search algorithm", ISMIR 2003: a landmark is two peaks near each other in
# time; its hash holds both frequencies and the time between, so that it does not change with the start of a recording.


RATE = 8000  # Hz; what a telephone copy still holds
WINDOW, HOP = 512, 128  # 64 ms, 16 ms at 8 kHz: 15.6 Hz a bin, which tells harmonics of a voice apart
_LOW, _HIGH = 10, 218  # bins: 156 to 3400 Hz
_AROUND = (15, 7)  # bins and frames around a peak that hold nothing stronger
_ZONE = (32, 48)  # bins and frames (500 Hz, 0.77 s) in which the second peak lies
_AHEAD = 40  # peaks looked at for one; later ones are out of the zone or add nothing
_RANGE, _MEMORY = 25, 64  # dB below the strongest within a second: what is weaker drowns in a copy's noise at 10 dB
_SILENCE = -120  # dB: nothing but zeros


def landmarks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Hashes [M] int32 and the frames [M] int32 (16 ms each) at which they start."""
    return landmarks_of(read_audio(path, rate=RATE)[0])


def landmarks_of(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `landmarks`, of mono samples at 8 kHz."""
    bins, frames = _peaks(samples)
    hashes, starts = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for step in range(1, min(_AHEAD, len(bins))):
        apart = frames[step:] - frames[:-step]
        near = (apart > 0) & (apart <= _ZONE[1]) & (np.abs(bins[step:] - bins[:-step]) <= _ZONE[0])
        low, high = bins[:-step][near], bins[step:][near]
        hashes.append((low * 256 + high) * 64 + apart[near])
        starts.append(frames[:-step][near])
    return np.concatenate(hashes, dtype=np.int32), np.concatenate(starts, dtype=np.int32)


def _peaks(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bins and frames of the spectrogram's local maxima, in the order of time, then of frequency."""
    from scipy.ndimage import maximum_filter, maximum_filter1d

    level = _spectrogram(samples)
    audible = np.maximum(maximum_filter1d(level.max(axis=0), _MEMORY) - _RANGE, _SILENCE)
    peak = (maximum_filter(level, size=_AROUND, mode="constant", cval=-np.inf) == level) & (level > audible)
    frames, bins = np.nonzero(peak.T)
    return bins + _LOW, frames


def _spectrogram(samples: np.ndarray) -> np.ndarray:
    """[bins, frames] float32, dB."""
    from scipy.fft import rfft

    if len(samples) < WINDOW:
        samples = np.pad(samples, (0, WINDOW - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    taper = np.hanning(WINDOW).astype(np.float32)
    level = np.empty((_HIGH - _LOW, len(windows)), np.float32)
    for start in range(0, len(windows), 4096):  # a minute at once: an hour's windows would take a gigabyte
        spectrum = rfft(windows[start : start + 4096] * taper, axis=1)[:, _LOW:_HIGH]
        level[:, start : start + 4096] = 20 * np.log10(np.abs(spectrum).T + 1e-10)
    return level


# --- Recordings that share landmarks, and whether their waveforms agree
#
# On EmoDB 1 in 1,700 pairs of different recordings shares 8 landmarks at one shift, copies at 10 dB of noise share 44
# and more. Of the pairs that do, different recordings correlate up to .55, copies from .90.
MIN_LANDMARKS = 8
MIN_CORRELATION = 0.65
MIN_OVERLAP = 0.8  # of the shorter recording: a jingle in two programmes does not make them copies
_BAND = (200.0, 3400.0)  # Hz
_AT_ONCE = 2_000_000  # coincidences of hashes held at once (some 200 MB)
_SHIFTS = 1 << 24  # frames; more than a day


def near_identical(files: FileSet, workers: int, progress: Callable[[int, int], None] | None = None) -> Copies:
    """Pairs of recordings on different sides that are copies of each other up to rate, coding, gain, noise and trim.

    Holds 12 bytes per landmark (some 140 a second of speech) and one recording per thread.
    """
    sounds = [file for file in files.files if isinstance(file.header, Header) and file.header.channels]
    problems: list[str] = []
    read = read_each(lambda file: landmarks(file.path), sounds, workers, progress, problems)
    marks = [_NOTHING if mark is None else mark for mark in read]
    pairs = candidates(marks, sides_as_numbers(sounds))
    correlated = mapped(partial(_confirm, sounds), _by_first(pairs), workers)
    groups = [[sounds[i], sounds[j]] for confirmed in correlated for i, j in confirmed]
    return Copies(media_leaks("near-identical media", groups, len(sounds)), unread(problems))


_Marks = tuple[np.ndarray, np.ndarray]
_NOTHING: _Marks = (np.zeros(0, np.int32), np.zeros(0, np.int32))


def candidates(marks: Sequence[_Marks], sides: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i < j) on different sides that share at least `MIN_LANDMARKS` hashes at one time shift (+- 1 frame)."""
    if not marks:
        return []
    lengths = [len(hashes) for hashes, _ in marks]
    owner = np.repeat(np.arange(len(marks), dtype=np.int32), lengths)
    hashes, frames = (np.concatenate(parts) for parts in zip(*marks, strict=True))
    order = np.lexsort((owner, hashes))
    owner, frames, hashes = owner[order], frames[order], hashes[order]
    # Each landmark meets those of the same hash that stand after it: of the same file or a later one.
    after = np.searchsorted(hashes, hashes, side="right") - np.arange(len(hashes)) - 1
    by_owner = np.argsort(owner, kind="stable")
    matches: list[tuple[int, int]] = []
    for part in _parts(owner[by_owner], after[by_owner]):
        later = after[by_owner[part]]
        left = np.repeat(by_owner[part], later)
        ramps = np.arange(later.sum()) - np.repeat(np.cumsum(later) - later, later)  # [3, 1] -> [0, 1, 2, 0]
        right = left + 1 + ramps
        differ = sides[owner[left]] != sides[owner[right]]
        left, right = left[differ], right[differ]
        shift = frames[left].astype(np.int64) - frames[right] + _SHIFTS // 2
        pair = owner[left].astype(np.int64) * len(marks) + owner[right]
        matches += [divmod(int(p), len(marks)) for p in _frequent(pair, shift)]
    return matches


def _parts(owner: np.ndarray, work: np.ndarray) -> Iterator[slice]:
    """Slices of whole owners that hold about `_AT_ONCE` units of work each."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    total = np.add.reduceat(work, starts) if len(starts) else np.zeros(0, int)
    begin, held = 0, 0
    for start, work_of_owner in zip(starts.tolist(), total.tolist(), strict=True):
        if held and held + work_of_owner > _AT_ONCE:
            yield slice(begin, start)
            begin, held = start, 0
        held += work_of_owner
    yield slice(begin, len(owner))


def _frequent(pair: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Pairs with at least `MIN_LANDMARKS` coincidences at one shift or the next; sorted, each once."""
    keys, counts = np.unique(pair * _SHIFTS + shift, return_counts=True)
    together = counts.copy()
    together[:-1] += np.where(np.diff(keys) == 1, counts[1:], 0)
    return np.unique(keys[together >= MIN_LANDMARKS] // _SHIFTS)


def _by_first(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    grouped: dict[int, list[int]] = {}
    for i, j in sorted(pairs):
        grouped.setdefault(i, []).append(j)
    return list(grouped.items())


def _confirm(files: Sequence[MediaFile], task: tuple[int, list[int]]) -> list[tuple[int, int]]:
    """Those of the candidates whose waveforms agree."""
    first, others = task
    waveform = _in_band(files[first].path)
    return [(first, other) for other in others if is_copy(waveform, _in_band(files[other].path))]


def _in_band(path: Path) -> np.ndarray:
    """[T] float32 at 8 kHz, 200 to 3400 Hz: without hum, and without what a telephone copy lacks."""
    from scipy.fft import irfft, rfft, rfftfreq

    samples, _ = read_audio(path, rate=RATE)
    spectrum = rfft(samples)
    frequency = rfftfreq(len(samples), 1 / RATE)
    spectrum[(frequency < _BAND[0]) | (frequency > _BAND[1])] = 0
    return irfft(spectrum, len(samples))


def is_copy(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two waveforms correlate where they overlap, at the best shift, whichever way up."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(len(first) + len(second), real=True)
    product = irfft(rfft(first, size) * np.conj(rfft(second, size)), size)
    shift = int(np.argmax(np.abs(product)))
    peak = abs(float(product[shift]))
    shift = shift if shift < len(first) else shift - size
    begin, end = max(0, shift), min(len(first), shift + len(second))
    if end - begin < MIN_OVERLAP * min(len(first), len(second)):
        return False
    energy = float(np.square(first[begin:end]).sum()) * float(np.square(second[begin - shift : end - shift]).sum())
    return energy > 0 and peak >= MIN_CORRELATION * energy**0.5
