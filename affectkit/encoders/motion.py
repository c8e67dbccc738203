"""Motion in videos by dense optical flow: speed and direction by region and window

Flow is computed with OpenCV between one sampled frame and the next, both grey and scaled down, by Farneback (2003) or
DIS (Kroeger et al. 2016). Of every region of a grid and every window, with `r1c1` the region on the top left:

| feature | is | unit |
|---|---|---|
| `r1c1_magnitude`, `_magnitude_sd` | mean speed of the pixels, and its standard deviation over pixels and time | h/s |
| `r1c1_moving` | share of pixels faster than .02 h/s, over time | 0 to 1 |
| `r1c1_horizontal`, `r1c1_vertical` | mean velocity to the right, and up | h/s |
| `r1c1_divergence` | how fast the picture grows (zooming in is positive) | 1/s |
| `r1c1_curl` | how fast it turns, counterclockwise as it is seen, twice the angular speed in radians | 1/s |
| `r1c1_direction_right`, ... | shares of the motion of moving pixels in eight directions, weighted by speed | 0 to 1 |

h/s is heights of the upright picture per second, so neither the resolution, nor the rate of the video, nor `--fps` are
in the unit. Right, left, up and down are those of the picture. Where no pixel moves, all directions are 0. A pair of
frames counts for the seconds between its frames, in every window as far as it reaches into it; pairs never reach from
one stretch of a row into the next. A cut of the film is no motion, but is measured as one: large, in all directions.

With `--pool none` each window is a step. Else the windows of a row are pooled: their mean, standard deviation, and the
slope per second (0 for one window); nothing is missing, so `stats` is these three. A row shorter than a window is one
window. TV-L1, which earlier work on personality used, is not offered: it is in opencv-contrib alone, whose
files are those of the package that detectors of faces need.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit.encoders._encoder import Encoder, Item, PoolOpt, Reads, check_choice
from affectkit.encoders._flow import (
    FEATURES,
    MOVES,
    SETTINGS,
    Grid,
    features,
    flow_of,
    one_thread_each,
    working_size,
)
from affectkit.encoders._frames import LEAST
from affectkit.encoders._series import StrideOpt, WindowOpt
from affectkit.encoders._videos import FpsOpt, TimedFrame, check_fps, is_video, stretches_of
from affectkit.errors import AffectkitError
from affectkit.media.cuts import Windows
from affectkit.media.video import opencv
from affectkit.registry import Option, options_from

FPS, WINDOW_SEC = 10.0, 1.0
LEAST_SIDE = 12  # pixels; DIS refuses 11 x 11
POOLS = {"mean": ("mean",), "mean-std": ("mean", "sd"), "stats": ("mean", "sd", "slope")}


@dataclass(frozen=True)
class MotionOptions:
    flow: Annotated[str, Option("Optical flow: farneback, or dis, which is faster.")] = "farneback"
    flow_size: Annotated[
        int, Option("Longer side of the pictures that flow is computed on.", "pixels", least=32, most=4096)
    ] = 160
    regions: Annotated[str, Option("Grid of regions, ROWSxCOLUMNS.")] = "3x3"
    fps: FpsOpt = None
    window: WindowOpt = None
    stride: StrideOpt = None
    pool: PoolOpt = "none"

    def resolved(self) -> dict[str, Any]:
        """As they are recorded. Raises "usage" for what makes no sense."""
        check_choice("flow", self.flow, tuple(SETTINGS))
        check_choice("pool", self.pool, (*POOLS, "none"))
        check_fps(self.fps)
        if not re.fullmatch(r"[1-9]\d?x[1-9]\d?", self.regions):
            raise AffectkitError("usage", f"--regions {self.regions}", remedy="write rows and columns as 3x3")
        windows = Windows.of(WINDOW_SEC if self.window is None else self.window, self.stride)
        return {**vars(self), "fps": self.fps or FPS, "window": windows.seconds, "stride": windows.stride}


@options_from(MotionOptions)
def build(options: MotionOptions) -> Motion:
    """The encoder. Raises "usage" for what makes no sense."""
    return Motion(options.resolved())


class Motion(Encoder):
    """Statistics of the flow between frames: [W, D] of a row's windows, or pooled [D] or [2 D] or [3 D], float32.

    D is 15 for each region. Two frames, and sums of each window, are in memory.
    """

    name = "motion"
    reads: Reads = "series"
    table = None
    how_to = "name videos in its column path"

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.pooled = options["pool"] != "none"
        self.rows, self.columns = map(int, options["regions"].split("x"))

    def takes(self, path: Path | None) -> bool:
        return is_video(path)

    @property
    def feature_names(self) -> list[str]:
        regions = [f"r{row}c{column}" for row in range(1, self.rows + 1) for column in range(1, self.columns + 1)]
        names = [f"{region}_{name}" for region in regions for name in FEATURES]
        statistics = POOLS.get(self.options["pool"], ())
        return [f"{name}_{each}" for name in names for each in statistics] if len(statistics) > 1 else names

    def load(self, device: str) -> None:
        self._cv2 = opencv()

    def describe(self) -> dict[str, Any]:
        settings = {"grey": True, "moves": MOVES, **SETTINGS[self.options["flow"]]}
        return {"dim": len(self.feature_names), "preprocessing": settings, "opencv": self._cv2.__version__}

    def prepare(self, item: Item) -> tuple[np.ndarray, Counter[str]]:
        """The row's values, and what happened on the way. Raises "input" for fewer than two frames."""
        if item.path is None:
            raise AffectkitError("input", "has no path")
        with one_thread_each(self._cv2):
            sums = _Sums(self.options["window"], self.options["stride"], item.start_sec or 0.0, bool(item.stretches))
            for start, end, measures in self._pairs(item):
                sums.add(start, end, measures)
        if not sums.seconds:
            message = f"has fewer than two frames at {self.options['fps']:g} a second, and motion is between two"
            raise AffectkitError("input", message, file=item.path, remedy="raise --fps, or drop the row")
        middles, means = sums.windows()
        counts = Counter({"shorter_than_a_window": 1} if sums.short else {})
        return self._pool(middles, features(means)).astype(np.float32), counts

    def encode(self, prepared: list[tuple[np.ndarray, Counter[str]]]) -> list[np.ndarray]:
        for _, counts in prepared:
            self.counts.update(counts)
        return [values for values, _ in prepared]

    def _pairs(self, item: Item) -> Iterator[tuple[float, float, np.ndarray]]:
        """Own seconds of one sampled frame and the next, and the measures of the flow between them."""
        flow, grid = flow_of(self._cv2, self.options["flow"]), None
        for frames in stretches_of(item, self.options["fps"]):
            before: TimedFrame | None = None
            for time, image in frames:
                grid = grid or self._grid(image, item)
                grey = self._cv2.cvtColor(image, self._cv2.COLOR_RGB2GRAY)
                if grey.shape != (grid.height, grid.width):
                    grey = self._cv2.resize(grey, (grid.width, grid.height), interpolation=self._cv2.INTER_AREA)
                if before is not None:
                    yield before[0], time, grid.measures(self._cv2, flow(before[1], grey), time - before[0])
                before = time, grey

    def _grid(self, image: np.ndarray, item: Item) -> Grid:
        height, width = image.shape[:2]
        small = working_size(width, height, self.options["flow_size"])
        if small[0] < max(LEAST_SIDE, 2 * self.columns) or small[1] < max(LEAST_SIDE, 2 * self.rows):
            size, grid = f"{small[0]} x {small[1]} pixels", f"{self.rows} x {self.columns} regions"
            message = f"is too small for flow: {size} for {grid}"
            raise AffectkitError("input", message, file=item.path, remedy="raise --flow-size, or take fewer --regions")
        return Grid(*small, width / height, self.rows, self.columns)

    def _pool(self, middles: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """[W, D] as they are, or their mean, standard deviation (ddof 0) and slope per second."""
        if not self.pooled:
            return windows
        time = middles - middles.mean()
        mean = windows.mean(axis=0)
        slope = time @ (windows - mean) / max(float(time @ time), 1e-12)
        table = {"mean": mean, "sd": windows.std(axis=0), "slope": slope}
        return np.stack([table[name] for name in POOLS[self.options["pool"]]], axis=1).ravel()


class _Sums:
    """Measures of pairs of frames, summed up in the windows that they reach into, by the seconds that they do."""

    def __init__(self, window: float, stride: float, start: float, from_zero: bool) -> None:
        """start: of the row, in seconds of its video; 0 for stretches, whose own seconds begin there."""
        self.window, self.stride, self.begin = window, stride, 0.0 if from_zero else start
        self.seconds, self.total = 0.0, np.zeros(1)
        self.parts: dict[int, tuple[float, np.ndarray]] = defaultdict(lambda: (0.0, np.zeros(1)))
        self.ends = 0.0

    def add(self, start: float, end: float, measures: np.ndarray) -> None:
        self.seconds, self.total, self.ends = self.seconds + end - start, self.total + (end - start) * measures, end
        first = max(floor((start - self.begin - self.window) / self.stride), 0)
        for number in range(first, ceil((end - self.begin) / self.stride)):
            opens = self.begin + number * self.stride
            inside = min(end, opens + self.window) - max(start, opens)
            if inside > 1e-9:
                seconds, sums = self.parts[number]
                self.parts[number] = seconds + inside, sums + inside * measures

    @property
    def _whole(self) -> list[int]:
        """Numbers of the windows of which enough is known, in order."""
        return [number for number in sorted(self.parts) if self.parts[number][0] >= LEAST * self.window]

    @property
    def short(self) -> bool:
        """No window is: the row is shorter than one, and is one itself."""
        return not self._whole

    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """The middles [W] of the windows, and means over their seconds [W, regions * MEASURES]."""
        if self.short:
            return np.array([self.begin + self.ends]) / 2, (self.total / self.seconds)[None]
        middles = np.array([self.begin + number * self.stride + self.window / 2 for number in self._whole])
        return middles, np.stack([sums / seconds for seconds, sums in map(self.parts.__getitem__, self._whole)])
