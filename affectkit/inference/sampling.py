"""How videos are read for a model: at which rate, and what finds the faces that it sees."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.manifest import Manifest
from affectkit.corpora._files import VIDEO
from affectkit.detectors._detector import Detector
from affectkit.detectors.columns import ColumnsDetector
from affectkit.encoders._loop import OnError
from affectkit.errors import AffectkitError
from affectkit.inference.faces import KIND, FaceModel
from affectkit.inference.model import Model, needs, refuse_sequences
from affectkit.inference.windows import at_row
from affectkit.media import read_frames

logger = logging.getLogger(__name__)


NONE, DEFAULT = "none", "haar"
GAP_SEC = 1.0


@dataclass(frozen=True)
class Sampling:
    """fps: frames a second; None for the frames that the rows' time_sec name. faces: the detector of faces, "none" for
    whole frames, "" for what the model sees. track_gap: seconds for which a track goes on without its face."""

    fps: float | None
    faces: str = ""
    detector_options: Mapping[str, Any] = field(default_factory=dict)
    track_gap: float = GAP_SEC

    def __post_init__(self) -> None:
        if not 0 <= self.track_gap < float("inf"):
            raise AffectkitError("usage", f"--track-gap {self.track_gap:g}", remedy="give seconds, such as 1")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise AffectkitError("usage", f"--fps {self.fps:g}", remedy="give frames a second, such as 2")
        if self.detector_options and self.faces in ("", NONE):
            flag = "--" + next(iter(self.detector_options)).replace("_", "-")
            raise AffectkitError("usage", f"{flag} is of a detector", remedy="name the detector with --faces")

    def detector(self, model: Model, device: str) -> Detector | None:
        """What finds the faces of frames for a model, loaded; None where its rows are whole frames.

        Unless named: none for a model that sees whole images, be it among others; a face expert's own; else `DEFAULT`.
        Raises "usage" where the model sees what no detector finds.
        """
        if self.fps is None:
            return None
        sees = {what for part in _parts(model) for what in _seen_by(part)}
        if "person" in sees:
            message = "the model sees persons cut out, and nothing here finds them in videos"
            remedy = "pass images with --manifest, which has their boxes"
            raise AffectkitError("usage", message, file=model.folder, remedy=remedy)
        name = self.faces or (NONE if sees == {"whole"} or sees == {"whole", "expert"} else "")
        if name == NONE:
            if "face" in sees:
                message = "the model sees faces cut out, and --faces none looks for none"
                raise AffectkitError("usage", message, file=model.folder, remedy=f"use --faces {DEFAULT}")
            return None
        if not name and "face" not in sees:
            experts_own = next(part for part in _parts(model) if isinstance(part, FaceModel)).expert(device).detector
            if not isinstance(experts_own, ColumnsDetector):
                return experts_own
        if not self.faces:
            logger.info("faces are searched for with %s: name another detector with --faces", DEFAULT)
        elif sees == {"whole"}:
            logger.warning("the model sees whole images: all faces of a frame are given the frame's answer")
        detector: Detector = registry.build("detectors", name or DEFAULT, self.detector_options, foreign=True)
        detector.load()
        return detector


def check_reads(model: Model) -> None:
    """Raise "usage" unless a model reads images, and nothing else."""
    if needs(model).media != {"images"}:
        message = f"frames of videos are for models of images, and the model reads {needs(model).in_words}"
        raise AffectkitError("usage", message, file=model.folder, remedy="leave out --fps, --faces and --track-gap")
    refuse_sequences(model, "frames of videos are read some at a time")


def holds_videos(model: Model, manifest: Manifest) -> bool:
    """Whether a model that reads images, not videos as such, is given a video, by the endings of the files."""
    if needs(model).media != {"images"} or "path" not in manifest.rows or any(map(_reads_videos, _parts(model))):
        return False
    return any(str(path).lower().endswith(tuple(VIDEO)) for path in manifest.rows["path"])


def _parts(model: Model) -> Iterator[Model]:
    """A model, or those that a chain ends in."""
    if not model.parents:
        yield model
    for parent in model.parents.values():
        yield from _parts(parent)


def _reads_videos(model: Model) -> bool:
    """Whether a model was trained on features of videos, whose frames its encoders take themselves."""
    return any(known.get("options", {}).get("fps") for known in model.spec.get("features", ()))


def _seen_by(model: Model) -> set[str]:
    """What of an image a model sees: the whole, a face or a person cut out; an expert finds its face by itself."""
    if model.spec.get("kind") == KIND:
        return {"expert"}
    options = [model.spec] if "features" not in model.spec else [known["options"] for known in model.spec["features"]]
    crops = {option.get("crop", NONE) for option in options}
    return {"whole" if crop == NONE else crop for crop in crops}


# --- The frames that a manifest's rows name, one at a time


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
