"""Frames of a video by their time stamps, one at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media import chunks, mp4
from affectkit.media.files import OpenFile, opened
from affectkit.media.headers import container

VIDEO = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm"})
_EARLY_SEC = 0.001  # a frame may come this much before its time: Matroska rounds time stamps to milliseconds
_LEAD_SEC = 2.0  # a jump lands on a frame that is at or before its goal, by the average rate: aim earlier
_STILL = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*")  # OpenCV would make a video of one frame of it


@dataclass(frozen=True, slots=True)
class Frame:
    """time_sec: since the video's first frame. image: [H, W, 3] uint8 RGB, upright."""

    time_sec: float
    image: np.ndarray


def read_frames(
    path: str | Path, *, fps: float | None = None, start_sec: float | None = None, end_sec: float | None = None
) -> Iterator[Frame]:
    """The frames from `start_sec` up to before `end_sec`, in order; one is held at a time.

    fps: for k = 0, 1, ... the first frame at or after start_sec + k / fps, each at most once, whatever the video's own
    rate, which may vary; None for all frames. NaN is as None for the times. Rotation by the file's metadata is applied.
    Raises AffectkitError "usage", "missing", "input": a folder, empty, not a video, truncated; and, once the video is
    at its end, without a frame in the segment; "environment" without OpenCV.
    """
    if fps is not None and not 0 < fps < math.inf:
        raise AffectkitError("usage", f"frames cannot be read at {fps:g} per second", remedy="give a positive number")
    start = 0.0 if start_sec is None or math.isnan(start_sec) else float(start_sec)
    end = math.inf if end_sec is None or math.isnan(end_sec) else float(end_sec)
    if not 0 <= start < end:
        raise AffectkitError("input", f"has no segment {start:g} to {end:g} s", file=path)
    with opened(path) as file:
        _check(file)
    return _chosen(path, _open(path), fps, start, end)


def _chosen(path: str | Path, capture: Any, fps: float | None, start: float, end: float) -> Iterator[Frame]:
    import cv2

    due, any_frame = start, False
    for time_sec, at in _grabbed(path, capture, start):
        if time_sec >= end - _EARLY_SEC:
            break
        if time_sec < due - _EARLY_SEC:
            continue
        decoded, pixels = at.retrieve()
        if not decoded:
            continue
        any_frame = True
        yield Frame(time_sec, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        if fps is not None:
            due = start + (math.floor((time_sec + _EARLY_SEC - start) * fps) + 1) / fps
    if not any_frame:
        segment = "" if start == 0 and end == math.inf else f" from {start:g} to {end:g} s"
        raise AffectkitError("input", f"has no frame{segment}", file=path, remedy="drop its row")


def _grabbed(path: str | Path, capture: Any, start: float) -> Iterator[tuple[float, Any]]:
    """The time of each frame, which can then be retrieved. Frames before `start` may be left out."""
    import cv2

    last, step = -math.inf, 1 / (capture.get(cv2.CAP_PROP_FPS) or 25.0)
    if start > 2 * _LEAD_SEC:
        capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * (start - _LEAD_SEC))
        if capture.grab() and 0 < (time_sec := capture.get(cv2.CAP_PROP_POS_MSEC) / 1000) <= start:
            last = time_sec
            yield time_sec, capture
        else:
            capture = _open(path)  # it went too far, or the file has no time stamps: from the beginning, then
    while capture.grab():
        time_sec = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if time_sec <= last:  # no time stamps: count frames
            time_sec = last + step
        last = time_sec
        yield time_sec, capture


def opencv(path: str | Path | None = None) -> Any:
    """The module cv2. path: what is to be read with it. Raises "environment" where it is not installed."""
    try:
        import cv2
    except ImportError:
        remedy = 'pip install "affectkit[face]"'
        raise AffectkitError("environment", "reading video needs OpenCV", file=path, remedy=remedy) from None
    return cv2


def _open(path: str | Path) -> Any:
    cv2 = opencv(path)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # else both write to stderr what an error here says in a line
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    # An absolute path: FFmpeg takes what stands before a colon for a protocol. Not OpenCV's choice of a reader: for
    # names with digits that may be the one for numbered images.
    capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        raise AffectkitError("input", "is not a video, or is damaged", file=path, remedy="copy it again, or drop it")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _check(file: OpenFile) -> None:
    """Refuse still images, and files that end before their header says."""
    if file.head.startswith(_STILL):
        raise AffectkitError("input", "is an image, not a video", file=file.path)
    if mp4.is_mp4(file.head):
        mp4.check_whole(file)
    elif container(file.head):
        chunks.check_whole(file)
