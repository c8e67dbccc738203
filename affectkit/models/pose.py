"""Landmarks of a person's body on the frames of a video, by MediaPipe's published networks (BlazePose).

Bazarevsky et al. 2020 (arXiv 2006.10204). A detector finds a person on a frame; a second network finds 33 landmarks in
a turned square around the person, and from these follows where the square of the next frame is. The detector is asked
again as soon as the second network sees nobody where it was told to look, on the same frame. The square is steadied
over time; landmarks are not smoothed, as MediaPipe's own pipeline can: what moves between frames is what was seen.

One person is followed: the one whom the detector is surest of on the first frame and, once that one is lost, whoever is
found in the same place; the surest of others only after half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.models import pose_geometry as geometry
from affectkit.models.pose_geometry import BOXES, DETECTOR_SIDE, LANDMARKS, NETWORK_SIDE, POINTS, Region, Track

NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb",
    "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
"""The 33 landmarks in their order; left and right are the person's own."""

Network = Callable[[np.ndarray], list[np.ndarray]]
"""An image [side, side, 3] float32 in, the answers of one network out."""

_DETECTOR_ANSWERS = ((1, BOXES, 12), (1, BOXES, 1))
_NETWORK_ANSWERS = ((1, 5 * POINTS), (1, 1), (1, 256, 256, 1), (1, 64, 64, POINTS), (1, 3 * POINTS))


class Landmarker:
    """Both networks, and where the person was on the frame before.

    `landmarks` takes the frames of one video in order; call `reset` before those of another, or images of their own.
    `follow` keeps nothing: several threads, each with its video, may share a landmarker.
    """

    def __init__(self, detector: Network, network: Network, record: Mapping[str, Any] | None = None) -> None:
        """record: what `describe` gives."""
        self._detector, self._network, self._record = detector, network, dict(record or {})
        self._centres = geometry.anchors()
        self.reset()

    def describe(self) -> dict[str, Any]:
        """For records: the names and digests of both files, and LiteRT's version."""
        return dict(self._record)

    def reset(self) -> None:
        self._track: Track | None = None
        self._time_sec = 0.0

    def landmarks(self, frame: np.ndarray, time_sec: float | None = None) -> np.ndarray:
        """[33, 4] float32: x, y, z in pixels of the frame and visibility 0 to 1, as `NAMES`; NaN where nobody is.

        frame: [H, W, 3] uint8 RGB. time_sec: None for 1/30 s after the frame before. z is 0 between the hips and grows
        away from the camera. Landmarks may lie outside of the frame.
        """
        self._time_sec = self._time_sec + 1 / 30 if time_sec is None else time_sec
        values, self._track = self.follow(frame, self._track, self._time_sec)
        return values

    def follow(self, frame: np.ndarray, track: Track | None, time_sec: float) -> tuple[np.ndarray, Track | None]:
        """As `landmarks`, of the person on a track, None for whoever is found; also the track to go on with."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise ValueError(f"a frame is [H, W, 3] uint8, not {list(frame.shape)} {frame.dtype}")
        points = self._points(frame, track.region(time_sec)) if track else None
        if points is None:
            points = self._points(frame, self._detected(frame, track, time_sec))
            if points is None:
                return np.full((LANDMARKS, 4), np.nan, np.float32), track
            track = None
        return points[:LANDMARKS].astype(np.float32), geometry.tracked(track, points[geometry.AXIS, :2], time_sec)

    def _detected(self, frame: np.ndarray, lost: Track | None, time_sec: float) -> Region | None:
        square = geometry.whole(*frame.shape[:2])
        pixels = geometry.crop(frame, square, DETECTOR_SIDE, "black")
        boxes, scores = self._detector(pixels.astype(np.float32) / 127.5 - 1)[:2]
        persons = geometry.persons(boxes[0], scores[0, :, 0], self._centres)
        person = geometry.chosen(geometry.on_frame(persons, square, DETECTOR_SIDE), lost, time_sec)
        return None if person is None else geometry.around(*person)

    def _points(self, frame: np.ndarray, region: Region | None) -> np.ndarray | None:
        """[39, 4] in pixels of the frame; None where the network sees nobody in the region."""
        if region is None:
            return None
        pixels = geometry.crop(frame, region, NETWORK_SIDE, "edge")
        answer, probability, _, heat, *_ = self._network(pixels.astype(np.float32) / 255)
        if not geometry.is_person(float(probability.squeeze())):
            return None
        points = geometry.points_of(answer[0], heat[0])
        points[:, :2] = geometry.on_frame(points[:, :2], region, NETWORK_SIDE)
        points[:, 2] *= region.side / NETWORK_SIDE
        return points


# --- From files


def open_landmarker(model: str | Path, *, threads: int = 1) -> Landmarker:
    """MediaPipe's networks, checked and loaded.

    model: a folder with pose_detection.tflite and one of pose_landmark_{lite,full,heavy}.tflite; such a file, with the
    detector beside it; a pose_landmarker_*.task; mediapipe's wheel.
    Raises "environment" without LiteRT or OpenCV; "missing", "input" for files that are not there, not these networks,
    or damaged.
    """
    from affectkit.models import pose_files, tflite

    _require_opencv()
    files = pose_files.find(Path(model))
    sides, answers = (DETECTOR_SIDE, NETWORK_SIDE), (_DETECTOR_ANSWERS, _NETWORK_ANSWERS)
    detector, network = (
        tflite.Network(
            file.data, file.place, [(1, side, side, 3)], outputs,
            known=pose_files.KNOWN, threads=threads, remedy=pose_files.HOW_TO_GET,
        )
        for file, side, outputs in zip(files, sides, answers, strict=True)
    )  # fmt: skip
    record = {
        "detector": files[0].name,
        "detector_digest": detector.digest,
        "landmarks": files[1].name,
        "landmarks_digest": network.digest,
        "litert": tflite.version(),
    }
    return Landmarker(detector, network, record)


def video_landmarks(
    path: str | Path,
    model: str | Path | Landmarker,
    *,
    start_sec: float | None = None,
    end_sec: float | None = None,
    fps: float | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """The time of each frame in s since the video's first, and its landmarks, [33, 4] float32 as of `Landmarker`.

    fps, start_sec, end_sec: as of `media.read_frames`, whose errors are raised too. One frame is in memory at a time.
    A landmarker serves any number of videos: each is followed from its own first frame.
    """
    from affectkit.media import read_frames

    landmarker = model if isinstance(model, Landmarker) else open_landmarker(model)
    frames = read_frames(path, fps=fps, start_sec=start_sec, end_sec=end_sec)
    return _followed(landmarker, frames)


def _followed(landmarker: Landmarker, frames: Iterator[Any]) -> Iterator[tuple[float, np.ndarray]]:
    track = None
    for frame in frames:
        time_sec = frame.time_sec
        values, track = landmarker.follow(frame.image, track, time_sec)
        del frame  # or it would be held while the next is read
        yield time_sec, values


def _require_opencv() -> None:
    try:
        import cv2  # noqa: F401  asked for before any network is opened; what uses it imports it
    except ImportError:
        remedy = 'pip install "affectkit[pose]"'
        raise AffectkitError("environment", "landmarks of poses need OpenCV", remedy=remedy) from None
