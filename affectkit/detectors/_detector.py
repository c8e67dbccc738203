"""What a detector is, the faces that it finds, and which of several is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.media.images import check_square

PERSON = ("person_x", "person_y", "person_width", "person_height")  # pixels of the upright image
Policy = Literal["largest", "most-central", "highest-score"]


@dataclass(frozen=True)
class Face:
    """box: (x, y, width, height), pixels of the upright image. score: the detector's own, higher is surer.

    landmarks: [68, 2] float32 (x, y), in the order of 300-W, where they are known.
    """

    box: tuple[float, float, float, float]
    score: float = 1.0
    landmarks: np.ndarray | None = None

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]

    @property
    def centre(self) -> tuple[float, float]:
        x, y, width, height = self.box
        return x + width / 2, y + height / 2


class Detector(Protocol):
    """Finds faces. options: resolved; `build(**options)` gives the same detector. Used by one thread at a time.

    A plug-in that inherits from it opens nothing, keeps nothing and has no facts, if it does not say otherwise.
    """

    name: str
    options: dict[str, Any]

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        self.options = options or {}

    def load(self, folder: Path | None = None) -> None:
        """Open what it needs, before any `detect`. folder: the model folder that `save` wrote, where there is one."""
        return

    def detect(self, image: np.ndarray, row: Mapping[str, Any]) -> list[Face]:
        """The faces in an image [H, W, 3] uint8, RGB, in an order that depends on nothing but them.

        row: of the manifest. Raises "input" for a row that does not hold what it should.
        """

    def save(self, folder: Path) -> None:
        """Write the files that `load` needs, if it needs any."""
        return

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return {}


def ordered(faces: Iterable[Face]) -> list[Face]:
    """Largest first; equal ones by score, then from the top left."""
    return sorted(faces, key=lambda face: (-face.area, -face.score, face.box[1], face.box[0]))


def of_person(faces: list[Face], row: Mapping[str, Any]) -> list[Face]:
    """Those of the person whom a row is about: whose middle lies in its box `person_*`; all, where it has none."""
    try:
        x, y, width, height = (float(row[name]) for name in PERSON)
    except (KeyError, TypeError, ValueError):
        return faces
    if not all(map(isfinite, (x, y, width, height))):
        return faces
    return [f for f in faces if x <= f.centre[0] <= x + width and y <= f.centre[1] <= y + height]


def choose(faces: list[Face], policy: Policy, width: int, height: int) -> Face | None:
    """The face to be read; None if there is none. Of equals, the first as `ordered` has them.

    width, height: the image's, pixels. most-central: the box whose centre is nearest to the image's.
    """
    check_policy(policy)

    def rank(face: Face) -> float:
        if policy == "most-central":
            x, y = face.centre
            return (x - width / 2) ** 2 + (y - height / 2) ** 2
        return -face.area if policy == "largest" else -face.score

    return min(ordered(faces), key=rank, default=None)


def check_policy(policy: str) -> None:
    known = list(get_args(Policy))
    if policy not in known:
        raise AffectkitError("usage", f"there is no policy '{policy}'", remedy=did_you_mean(policy, known))


def in_image(face: Face, width: int, height: int) -> bool:
    """Whether a face has an area, part of it in the image, and is no larger than two images."""
    x, y, wide, high = face.box
    inside = x < width and y < height and x + wide > 0 and y + high > 0
    return inside and wide > 0 and high > 0 and max(wide, high) <= 2 * max(width, height)


# --- Cutting a face out: a square around it, black where it reaches beyond the image


# Of the landmarks' width + height: EmoNet's own evaluation crop, about 1.8 times their mean side.
LANDMARK_SIDE = 0.909


def square_of(face: Face, *, box_scale: float = 1.0) -> tuple[tuple[float, float], float, str]:
    """The centre (x, y) and side, pixels, of the square to cut out, and what it was made from: "landmarks" or "box".

    landmarks: centred on their box, side .909 (width + height), as EmoNet was evaluated. box: the detector's, side
    `box_scale` times its longer one: another crop, on which no published figure was measured.
    """
    if face.landmarks is not None:
        low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
        width, height = (float(extent) for extent in high - low)
        if width + height > 0:
            x, y = (float(middle) for middle in (low + high) / 2)
            return (x, y), LANDMARK_SIDE * (width + height), "landmarks"
    return face.centre, box_scale * max(face.box[2], face.box[3]), "box"


def crop(image: np.ndarray, centre: tuple[float, float], side: float, size: int) -> np.ndarray:
    """The square, resized: [size, size, 3] uint8, black where it lies outside the image.

    image: [H, W, 3] uint8. centre, side: pixels, fractions of one count. Bilinear; a square larger than `size` is
    averaged down, so that what is fine does not flicker with the square's place. Raises "input" for a square that is
    larger than any image that is read.
    """
    from PIL import Image

    check_square(ceil(side), "the square about its face")
    left, top = centre[0] - side / 2, centre[1] - side / 2
    # A pixel more on each side, for the bilinear weights at the edge.
    first, last = (floor(left) - 1, floor(top) - 1), (ceil(left + side) + 1, ceil(top + side) + 1)
    box = (left - first[0], top - first[1], left - first[0] + side, top - first[1] + side)
    cut = Image.fromarray(_cut(image, first, last))
    return np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _cut(image: np.ndarray, first: tuple[int, int], last: tuple[int, int]) -> np.ndarray:
    """The pixels from `first` to before `last` (x, y), black outside. Pillow's own crop refuses large squares."""
    inside = image[max(first[1], 0) : max(last[1], 0), max(first[0], 0) : max(last[0], 0)]
    before = (min(max(-first[1], 0), last[1] - first[1]), min(max(-first[0], 0), last[0] - first[0]))
    after = (last[1] - first[1] - before[0] - inside.shape[0], last[0] - first[0] - before[1] - inside.shape[1])
    return np.ascontiguousarray(np.pad(inside, (*zip(before, after, strict=True), (0, 0))))


# --- OpenCV, which is an extra: its import, and the copy of an image that is searched


OPENCV_REMEDY = 'pip install "affectkit[face]"'
# The longer side, pixels, of the copy that a face is searched in. A Haar search takes time in proportion to the area;
# at 1280 a face of a fiftieth of the image's width still has the 24 pixels that the cascade needs.
SEARCH_SIDE = 1280


def require_opencv(detector: str) -> Any:
    """The module cv2. Raises "environment" where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        message = f"the detector {detector} needs OpenCV, which cannot be imported ({error})"
        raise AffectkitError("environment", message, remedy=OPENCV_REMEDY) from None
    return cv2


def searched(cv2: Any, image: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The copy that is searched, with what its x and y are multiplied by to be the image's.

    Sides are rounded, so the two factors differ a little; a side of a very flat image is at least a pixel.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SEARCH_SIDE / max(width, height))
    if scale == 1.0:
        return image, 1.0, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), width / size[0], height / size[1]
