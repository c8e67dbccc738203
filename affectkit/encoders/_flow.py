"""What a field of optical flow says of each region of a picture, and OpenCV's two ways to compute one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

MOVES = 0.02  # picture heights per second: a pixel that is faster moves. At 10 Hz and 120 rows .24 pixels a frame
DIRECTIONS = ("right", "up_right", "up", "up_left", "left", "down_left", "down", "down_right")
FEATURES = (
    "magnitude", "magnitude_sd", "moving", "horizontal", "vertical", "divergence", "curl",
    *(f"direction_{name}" for name in DIRECTIONS),
)  # fmt: skip
MEASURES = len(FEATURES)  # of a region and a pair of frames: the same, but the square of the magnitude for its sd

# Of pixels of the working size: those of OpenCV's own tutorial on dense flow, and DIS's preset between fast and exact.
FARNEBACK = {
    "pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2, "flags": 0,
}  # fmt: skip
DIS = "medium"
SETTINGS: dict[str, Any] = {"farneback": FARNEBACK, "dis": {"preset": DIS}}

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two grey pictures [h, w] uint8 -> [h, w, 2] pixels, x and y


def flow_of(cv2: Any, name: str) -> Flow:
    """OpenCV's dense flow: `farneback` (Farneback 2003) or `dis` (Kroeger et al. 2016). Of one thread each."""
    if name == "farneback":
        return lambda before, after: cv2.calcOpticalFlowFarneback(before, after, None, **FARNEBACK)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return lambda before, after: dis.calc(before, after, None)


_users, _before, _lock = 0, 0, Lock()


@contextmanager
def one_thread_each(cv2: Any) -> Iterator[None]:
    """OpenCV on one thread while anyone is within: DIS gives other flows on other numbers of threads, and videos are
    computed side by side. The number is the process's, so the first who enters notes it and the last puts it back."""
    global _users, _before
    with _lock:
        if _users == 0:
            _before = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                cv2.setNumThreads(_before)


def working_size(width: int, height: int, longer: int) -> tuple[int, int]:
    """Width and height whose longer side is at most `longer` pixels; a smaller picture stays as it is."""
    scale = min(1.0, longer / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(frozen=True)
class Grid:
    """The regions of pictures of `width` x `height` pixels in working size, `aspect` times as wide as high.

    rows, columns: of regions; there are at least two pixels in each direction of one.
    """

    width: int
    height: int
    aspect: float
    rows: int
    columns: int
    _unit: np.ndarray = field(init=False, repr=False)  # pixels to picture heights, to the right and up
    _tops: np.ndarray = field(init=False, repr=False)
    _lefts: np.ndarray = field(init=False, repr=False)
    _pixels: np.ndarray = field(init=False, repr=False)  # [rows, columns]
    _across: np.ndarray = field(init=False, repr=False)  # [width] picture heights from the middle of the region
    _up: np.ndarray = field(init=False, repr=False)  # [height, 1] the same
    _spread: tuple[np.ndarray, np.ndarray] = field(init=False, repr=False)  # sums of their squares
    _first_bin: np.ndarray = field(init=False, repr=False)  # [height, width]

    def __post_init__(self) -> None:
        unit = np.array([self.aspect / self.width, -1 / self.height], np.float32)
        tops, highs = _blocks(self.height, self.rows)
        lefts, wides = _blocks(self.width, self.columns)
        across, up = _centred(wides) * float(unit[0]), (_centred(highs) * float(unit[1]))[:, None]
        pixels = highs[:, None] * wides[None, :]
        sideways = np.add.reduceat(across**2, lefts)[None, :] * highs[:, None]
        upwards = np.add.reduceat(up[:, 0] ** 2, tops)[:, None] * wides[None, :]
        number = np.repeat(np.arange(self.rows), highs)[:, None] * self.columns + np.repeat(
            np.arange(self.columns), wides
        )
        known = {
            "_unit": unit, "_tops": tops, "_lefts": lefts, "_pixels": pixels, "_across": across, "_up": up,
            "_spread": (sideways, upwards), "_first_bin": number * len(DIRECTIONS),
        }  # fmt: skip
        for name, value in known.items():
            object.__setattr__(self, name, value)

    def measures(self, cv2: Any, flow: np.ndarray, seconds: float) -> np.ndarray:
        """[regions * MEASURES] float64 of a field [height, width, 2] in pixels between frames `seconds` apart: means
        over the pixels of each region, rows first, as `FEATURES` and with the squared magnitude in place of its
        standard deviation; of directions the magnitude of the pixels that move, as it is."""
        horizontal, vertical = (
            np.ascontiguousarray(flow[..., side]) * (self._unit[side] / np.float32(seconds)) for side in (0, 1)
        )
        magnitude, angle = cv2.cartToPolar(horizontal, vertical, angleInDegrees=True)
        moves = magnitude > MOVES
        planes = np.stack([magnitude, magnitude * magnitude, moves, horizontal, vertical])
        by_row = np.add.reduceat(planes, self._tops, axis=1, dtype=float)  # [5, rows, width]
        means = np.add.reduceat(by_row, self._lefts, axis=2) / self._pixels
        by_column = np.add.reduceat(planes[3:], self._lefts, axis=2, dtype=float)  # [2, height, columns]
        # Slopes of least squares: within a rectangle its two axes are uncorrelated, so each is fitted by itself.
        sideways = np.add.reduceat(by_row[3:] * self._across, self._lefts, axis=2) / self._spread[0]
        upwards = np.add.reduceat(by_column * self._up, self._tops, axis=1) / self._spread[1]
        bins = self._first_bin + ((angle * (1 / 45) + 0.5).astype(np.int32) & 7)
        count = self.rows * self.columns * len(DIRECTIONS)
        directed = np.bincount(bins.ravel(), (magnitude * moves).ravel(), minlength=count)
        each = [
            *means.reshape(5, -1),
            (sideways[0] + upwards[1]).ravel(),
            (sideways[1] - upwards[0]).ravel(),
            *(directed.reshape(-1, len(DIRECTIONS)) / self._pixels.reshape(-1, 1)).T,
        ]
        return np.stack(each, axis=1).ravel()


def _blocks(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `count` blocks of pixels begins, and how many pixels it has: as equal as whole pixels allow."""
    edges = np.rint(np.linspace(0, size, count + 1)).astype(int)
    return edges[:-1], np.diff(edges)


def _centred(sizes: np.ndarray) -> np.ndarray:
    """Of each pixel along a side its place from the middle of its block, in pixels."""
    return np.concatenate([np.arange(size) - (size - 1) / 2 for size in sizes])


def features(measures: np.ndarray) -> np.ndarray:
    """[..., regions * MEASURES] means over time of measures -> features of the same shape: `FEATURES` of each region.

    The standard deviation is over pixels and time. Directions are shares of what moves; all are 0 where nothing does.
    """
    values = measures.reshape(*measures.shape[:-1], -1, MEASURES).copy()
    values[..., 1] = np.sqrt(np.maximum(values[..., 1] - values[..., 0] ** 2, 0.0))
    directed = values[..., -len(DIRECTIONS) :]
    total = directed.sum(axis=-1, keepdims=True)
    directed /= np.where(total > 0, total, 1.0)
    return values.reshape(measures.shape)
