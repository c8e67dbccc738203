"""How videos are read for a model: at which rate, and what finds the faces that it sees."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from affectkit import registry
from affectkit.artifacts.manifest import Manifest
from affectkit.corpora._corpus import VIDEO
from affectkit.detectors._detector import Detector
from affectkit.detectors.columns import Columns
from affectkit.errors import AffectkitError
from affectkit.inference._faces import KIND, FaceModel
from affectkit.inference._model import Model, needs

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
            raise AffectkitError(
                "usage", "the model sees persons cut out, and nothing here finds them in videos", file=model.folder,
                remedy="pass images with --manifest, which has their boxes",
            )  # fmt: skip
        name = self.faces or (NONE if sees == {"whole"} or sees == {"whole", "expert"} else "")
        if name == NONE:
            _refuse_whole(model, sees)
            return None
        if not name and "face" not in sees:
            own = next(part for part in _parts(model) if isinstance(part, FaceModel)).expert(device).detector
            if not isinstance(own, Columns):
                return own
        if not self.faces:
            logger.info("faces are searched for with %s: name another detector with --faces", DEFAULT)
        elif sees == {"whole"}:
            logger.warning("the model sees whole images: all faces of a frame are given the frame's answer")
        return _loaded(name or DEFAULT, self.detector_options)


def check_reads(model: Model) -> None:
    """Raise "usage" unless a model reads images, and nothing else."""
    if needs(model) != {"images"}:
        reads = " and ".join(sorted(needs(model))) or "no media"
        message = f"frames of videos are for models of images, and the model reads {reads}"
        raise AffectkitError("usage", message, file=model.folder, remedy="leave out --fps, --faces and --track-gap")


def holds_videos(model: Model, manifest: Manifest) -> bool:
    """Whether a model that reads images is given a video, by the endings of the files."""
    if needs(model) != {"images"} or "path" not in manifest.rows:
        return False
    return any(str(path).lower().endswith(tuple(VIDEO)) for path in manifest.rows["path"])


def _parts(model: Model) -> Iterator[Model]:
    """A model, or those that a chain ends in."""
    parents: dict[str, Model] = getattr(model, "parents", {})
    if not parents:
        yield model
    for parent in parents.values():
        yield from _parts(parent)


def _seen_by(model: Model) -> set[str]:
    """What of an image a model sees: the whole, a face or a person cut out; an expert finds its face by itself."""
    if model.spec.get("kind") == KIND:
        return {"expert"}
    options = [model.spec] if "features" not in model.spec else [known["options"] for known in model.spec["features"]]
    crops = {option.get("crop", NONE) for option in options}
    return {"whole" if crop == NONE else crop for crop in crops}


def _refuse_whole(model: Model, sees: set[str]) -> None:
    if "face" in sees:
        message = "the model sees faces cut out, and --faces none looks for none"
        raise AffectkitError("usage", message, file=model.folder, remedy=f"use --faces {DEFAULT}")


def _loaded(name: str, options: Mapping[str, Any]) -> Detector:
    factory = registry.load("detectors", name, foreign=True).build
    registry.check_options("detectors", name, factory, dict(options))
    detector: Detector = factory(**options)
    detector.load()
    return detector
