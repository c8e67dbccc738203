"""The frames that a manifest's rows name, one at a time."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.encoders._loop import OnError
from affectkit.errors import AffectkitError
from affectkit.inference._windows import at_row as at_row
from affectkit.media import read_frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame: the position of its row, seconds from the start of its video, [H, W, 3] uint8."""

    place: int
    time_sec: float
    image: np.ndarray


class Shots:
    """The frames of a manifest's videos, or of their stretches from `start_sec` to `end_sec`, at `fps` a second; with
    fps None of each row the frame at its `time_sec`.

    on_error: what a video that cannot be read does. opened: videos that could. done, total: frames that were given, and
    how many there will be by the headers of the videos that were opened; each that was not yet counts as these do.
    """

    def __init__(self, manifest: Manifest, fps: float | None, on_error: OnError = "stop") -> None:
        self.manifest, self.fps, self.on_error = manifest, fps, on_error
        self.done, self._expected, self.opened = 0, 0.0, 0

    @property
    def total(self) -> int:
        each = self._expected / max(self.opened, 1)
        return max(self.done, round(self._expected + each * (len(self.manifest.rows) - self.opened)))

    def __iter__(self) -> Iterator[Shot]:
        """Raises, unless `on_error` is "skip", what `read_frames` raises, with the row of a table."""
        for place, path in enumerate(self.manifest.media()):
            try:
                for time_sec, image in self._frames(place, path):
                    self.done += 1
                    yield Shot(place, time_sec, image)
            except AffectkitError as error:
                if error.code not in ("input", "missing"):  # no fault of this video
                    raise
                if self.on_error == "stop":
                    raise error if self.manifest.bare else at_row(error, self.manifest, place)  # noqa: B904
                logger.warning("%s is skipped: %s", self.manifest.rows["id"].iloc[place], error)

    def _frames(self, place: int, path: Path | None) -> Iterator[tuple[float, np.ndarray]]:
        if path is None:
            raise AffectkitError("input", "has no path")
        if self.fps is None:
            self.opened, self._expected = self.opened + 1, self._expected + 1
            yield self._frame(place, path)
            return
        start, end = self._number("start_sec", place), self._number("end_sec", place)
        with closing(read_frames(path, fps=self.fps, start_sec=start, end_sec=end)) as frames:  # type: ignore[type-var]
            self.opened, self._expected = self.opened + 1, self._expected + _expected(path, self.fps, start, end)
            for frame in frames:
                yield frame.time_sec, frame.image

    def _frame(self, place: int, path: Path) -> tuple[float, np.ndarray]:
        """The first frame at or after the row's time, which it is said to have."""
        time_sec = self._number("time_sec", place)
        if math.isnan(time_sec):
            remedy = "pass --fps, such as --fps 2, or rows with the time_sec of frames"
            raise AffectkitError("usage", "is a video, and nothing says which of its frames", file=path, remedy=remedy)
        with closing(read_frames(path, start_sec=time_sec)) as frames:  # type: ignore[type-var]
            return time_sec, next(frames).image

    def _number(self, column: str, place: int) -> float:
        return float(self.manifest.rows[column].iloc[place]) if column in self.manifest.rows else math.nan


def _expected(path: Path, fps: float, start: float, end: float) -> float:
    """How many frames there will be, by the header; 0 where it does not say."""
    import cv2

    capture: Any = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    if not (0 < frames < math.inf and 0 < rate < math.inf):
        return 0.0
    start = 0.0 if math.isnan(start) else start
    seconds = frames / rate - start if math.isnan(end) else min(end, frames / rate) - start
    return max(0.0, math.ceil(seconds * min(fps, rate) - 1e-6))
