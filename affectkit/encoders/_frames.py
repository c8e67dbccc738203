"""Frames of a recording kept on disk, their windows, and statistics of a window: a day needs the memory of a minute."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from threading import Lock
from weakref import finalize

import numpy as np

IN_MEMORY = 4 << 20  # bytes of a recording that need no temporary file
RUN = 8192  # rows that are looked up at once
BLOCK = 32768  # rows that are in memory at once
GAP_SEC, GAP_FRAMES = 0.5, 3.0  # a hole longer than both is a gap: nothing is known there
STATISTICS = ("mean", "sd", "slope", "missing")
LEAST = 0.45  # of a window is recorded. Not a half: recordings of so many strides would gain or lose one by a frame


class Frames:
    """Rows [n, D] of one or several recordings, in order of time, in a file that vanishes with this object.

    Values are float32, times float64. `add` them, then `read` from any thread.
    """

    def __init__(self, width: int) -> None:
        self.width, self.rows = width, 0
        self._times = SpooledTemporaryFile(IN_MEMORY // 4)  # noqa: SIM115  lives as long as this object
        self._values = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  the same
        for file in (self._times, self._values):
            finalize(self, file.close)
        self._lock = Lock()
        self._runs: dict[str, list[tuple[float, float, int, int]]] = defaultdict(list)  # first, last, start, stop
        self._steps: list[float] = []
        self.gaps: dict[str, int] = defaultdict(int)
        self.known = 0

    def add(self, times: np.ndarray, values: np.ndarray, key: str = "") -> None:
        for start in range(0, len(times), RUN):
            part = slice(start, start + RUN)
            now = np.ascontiguousarray(times[part], float)
            runs = self._runs[key]
            self._steps += [float(np.median(np.diff(now)))] if len(now) > 1 else []
            limit = max(GAP_SEC, GAP_FRAMES * self._steps[-1]) if self._steps else GAP_SEC
            with_last = np.concatenate([[runs[-1][1]], now]) if runs else now
            self.gaps[key] += int((np.diff(with_last) > limit).sum())
            runs.append((float(now[0]), float(now[-1]), self.rows, self.rows + len(now)))
            narrow = np.ascontiguousarray(values[part], np.float32)
            self.known += int((~np.isnan(narrow)).any(axis=1).sum())
            self._times.write(now.tobytes())
            self._values.write(narrow.tobytes())
            self.rows += len(now)

    @property
    def step(self) -> float:
        """The usual time from frame to frame, in seconds: the median of medians; 0 of a single frame."""
        return float(np.median(self._steps)) if self._steps else 0.0

    @property
    def gap(self) -> float:
        """Seconds beyond which a hole between frames is a gap."""
        return max(GAP_SEC, GAP_FRAMES * self.step)

    @property
    def keys(self) -> list[str]:
        return list(self._runs)

    def bounds(self, key: str = "") -> tuple[float, float]:
        """Seconds of the first frame, and of the end of the last; a single one is taken to last for half a second."""
        runs = self._runs[key]
        return runs[0][0], runs[-1][1] + (self.step or GAP_SEC)

    def read(self, start: float, end: float, key: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Times [n] and values [n, D] float64 of the frames from `start` up to before `end`."""
        runs = self._runs.get(key, [])
        first = max(bisect_left(runs, (start,)) - 1, 0)
        times, values = [np.empty(0)], [np.empty((0, self.width))]
        for run in runs[first:]:
            if run[0] >= end:
                break
            if run[1] < start:
                continue
            now = self._part(self._times, np.float64, run[2], run[3])
            low, high = np.searchsorted(now, (start, end))
            times.append(now[low:high])
            rows = self._part(self._values, np.float32, run[2] + low, run[2] + high, self.width)
            values.append(rows.reshape(-1, self.width).astype(float))
        return np.concatenate(times), np.concatenate(values)

    def _part(self, file: SpooledTemporaryFile, kind: type, start: int, stop: int, width: int = 1) -> np.ndarray:
        size = np.dtype(kind).itemsize * width
        with self._lock:
            file.seek(start * size)
            return np.frombuffer(file.read((stop - start) * size), kind)


# --- Which seconds of a recording belong to a row, and the windows of these


@dataclass(frozen=True)
class Span:
    """Seconds of a recording that belong to a row. offset: to take off them for the row's own seconds, in which its
    spans follow each other without holes."""

    start: float
    end: float
    offset: float = 0.0


def spans_of(
    bounds: tuple[float, float],
    start: float | None = None,
    end: float | None = None,
    stretches: Sequence[tuple[float, float]] = (),
) -> list[Span]:
    """The spans of a row: from `start` to `end`, by default all of the recording; of it the stretches, if any.

    Own seconds are the recording's, those of stretches begin with 0.
    """
    low = bounds[0] if start is None else start
    high = bounds[1] if end is None else end
    if not stretches:
        return [Span(low, high)] if low < high else []
    spans, own = [], 0.0
    for first, last in stretches:
        first, last = max(first, low), min(last, high)
        if first < last:
            spans.append(Span(first, last, first - own))
            own += last - first
    return spans


def windows_of(
    spans: Sequence[Span], window: float, stride: float, *, anchored: bool, recorded: tuple[float, float]
) -> list[tuple[float, float]]:
    """Windows of `window` seconds, each `stride` after the one before, in own seconds of a row. None is shorter; those
    of which less than `LEAST` is recorded are none.

    anchored: they begin with the row's first second. Else at multiples of the stride on the recording's clock, so that
    recordings whose first frames differ by a few milliseconds have the same windows.
    """
    first, last = spans[0].start - spans[0].offset, spans[-1].end - spans[-1].offset
    begin = first if anchored else np.floor(first / stride) * stride
    if len(spans) == 1:
        last = min(last, recorded[1] - spans[0].offset)
        first = max(first, recorded[0] - spans[0].offset)
    count = max(int(np.ceil((last - begin) / stride)), 0)
    starts = [begin + place * stride for place in range(count)]
    return [
        (start, start + window) for start in starts if min(start + window, last) - max(start, first) >= LEAST * window
    ]


def pieces(spans: Sequence[Span], start: float, end: float, block: float) -> Iterator[tuple[Span, float, float]]:
    """The parts of spans, in the recording's seconds, that make the own seconds from `start` to `end`, at most `block`
    seconds each."""
    for span in spans:
        low, high = max(span.start, start + span.offset), min(span.end, end + span.offset)
        count = max(int(np.ceil((high - low) / block)), 1) if high > low else 0
        edges = [low + place * (high - low) / count for place in range(count)] + [high]
        for first, last in itertools.pairwise(edges):
            yield span, first, last


def weights_of(times: np.ndarray, gap: float) -> np.ndarray:
    """[n] seconds that each frame stands for: half the way to both neighbours, of which the first and the last have
    one, none further than `gap`. Equal where frames come evenly; where they do not, time counts."""
    if len(times) < 2:
        return np.ones(len(times))
    steps = np.minimum(np.diff(times), gap)
    return np.concatenate([steps[:1], steps]) / 2 + np.concatenate([steps, steps[-1:]]) / 2


def covered_sec(times: np.ndarray, start: float, end: float, gap: float) -> float:
    """Seconds from `start` to `end` of which frames tell something: those within half a gap of one."""
    if not len(times):
        return 0.0
    ends = min(times[0] - start, gap / 2) + min(end - times[-1], gap / 2)
    return float(ends + np.minimum(np.diff(times), gap).sum())


# --- Statistics of a window, added up part by part


class Moments:
    """Means, deviations and slopes of D features over time, weighted by the seconds that frames stand for.

    Parts are joined by their means and sums of squares about them (Chan, Golub and LeVeque 1983).
    """

    def __init__(self, width: int) -> None:
        self.frames = np.zeros(width, int)
        self.weight, self.mean, self.time = (np.zeros(width) for _ in range(3))
        self.xx, self.tt, self.tx = (np.zeros(width) for _ in range(3))
        self.total = self.covered = 0.0

    def add(self, times: np.ndarray, values: np.ndarray, seconds: np.ndarray, covered: float) -> None:
        """times: [n] in own seconds. values: [n, D], NaN is missing. seconds: [n] that a frame stands for. covered: of
        this part of the window, seconds of which frames tell something."""
        self.covered += covered
        self.total += float(seconds.sum())
        if not len(times):
            return
        known = ~np.isnan(values)
        weights = np.where(known, seconds[:, None], 0.0)
        filled = np.where(known, values, 0.0)
        total = weights.sum(axis=0)
        some = np.where(total > 0, total, 1.0)
        origin = filled[known.argmax(axis=0), np.arange(filled.shape[1])]  # a constant's deviation is 0, not rounding
        mean = origin + (weights * np.where(known, filled - origin, 0.0)).sum(axis=0) / some
        time = (weights * (times - times[0])[:, None]).sum(axis=0) / some + times[0]
        x, t = np.where(known, filled - mean, 0.0), times[:, None] - time
        both = self.weight + total
        share = self.weight * total / np.where(both > 0, both, 1.0)
        dx, dt = mean - self.mean, time - self.time
        self.xx += (weights * x * x).sum(axis=0) + share * dx * dx
        self.tt += (weights * t * t).sum(axis=0) + share * dt * dt
        self.tx += (weights * t * x).sum(axis=0) + share * dt * dx
        part = total / np.where(both > 0, both, 1.0)
        self.mean, self.time, self.weight = self.mean + part * dx, self.time + part * dt, both
        self.frames += known.sum(axis=0)

    def statistics(self, window: float, which: Sequence[str] = STATISTICS) -> np.ndarray:
        """[D * S]: of each feature the mean, the standard deviation and the slope per second (of least squares), NaN
        where fewer than one, two and two frames are known; and the share of the `window` seconds in which it is
        missing, in frames or because there are none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            known = self.weight / self.total if self.total else np.zeros_like(self.weight)
            table = {
                "mean": np.where(self.weight > 0, self.mean, np.nan),
                "sd": np.where(self.frames > 1, np.sqrt(self.xx / self.weight), np.nan),
                "slope": np.where((self.frames > 1) & (self.tt > 0), self.tx / self.tt, np.nan),
                "missing": np.clip(1 - known * min(self.covered / window, 1), 0, 1),
            }
        missing = table["missing"]
        missing[missing < 1e-9] = 0.0  # rounding
        return np.stack([table[name] for name in which], axis=1).ravel()
