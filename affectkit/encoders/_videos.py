"""Frames of a row's seconds of a video, on the row's own clock: what encoders that read videos share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from affectkit.encoders._encoder import Item
from affectkit.encoders._frames import spans_of
from affectkit.errors import AffectkitError
from affectkit.media import read_frames
from affectkit.media.video import VIDEO
from affectkit.registry import Option

FpsOpt = Annotated[
    float | None,
    Option("Frames per second taken of a video.", "Hz", default="all for landmarks, 10 for motion, 2 for images"),
]
TimedFrame = tuple[float, np.ndarray]


def check_fps(fps: float | None) -> None:
    """Raise "usage" for what is no rate; None stands for the default."""
    if fps is not None and not 0 < fps < math.inf:
        raise AffectkitError("usage", f"--fps {fps:g}", remedy="give frames per second, such as 10")


def is_video(path: Path | None) -> bool:
    return path is not None and path.suffix.lower() in VIDEO


def stretches_of(item: Item, fps: float) -> Iterator[Iterator[TimedFrame]]:
    """Of each stretch of a row's seconds in turn its frames at `fps`: own seconds, [H, W, 3] uint8 RGB upright.

    A row without stretches is one: from `start_sec` to `end_sec`, by default all of the video, on the video's clock;
    stretches follow each other without holes, from 0 on. One frame is in memory at a time, and only the row's seconds
    are read. A stretch between two frames has none. Raises as `read_frames`, and "input" where no stretch has any.
    """
    if item.path is None:
        raise AffectkitError("input", "has no path")
    spans = spans_of((0.0, math.inf), item.start_sec, item.end_sec, item.stretches)
    if not spans:
        raise AffectkitError("input", "has no seconds of its video", file=item.path, remedy="correct the row's times")
    empty: list[AffectkitError] = []

    def timed(start: float, end: float, offset: float) -> Iterator[TimedFrame]:
        assert item.path is not None
        frames = read_frames(item.path, fps=fps, start_sec=start, end_sec=end)
        try:
            for frame in frames:
                yield frame.time_sec - offset, frame.image
        except AffectkitError as error:
            empty.append(error)

    for span in spans:
        yield timed(span.start, span.end, span.offset)
    if len(empty) == len(spans):
        raise empty[0]
