"""Landmarks of a recording: pairs of spectral peaks, which survive resampling, coding, gain and noise.

After Wang, "An industrial-strength audio search algorithm", ISMIR 2003: a landmark is two peaks near each other in
time; its hash holds both frequencies and the time between, so that it does not change with the start of a recording.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from affectkit.media import read_audio

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
    samples, _ = read_audio(path, rate=RATE)
    return landmarks_of(samples)


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
