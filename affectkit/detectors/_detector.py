"""What a detector is, the faces that it finds, and which of several is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from affectkit.errors import AffectkitError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

PERSON = ("person_x", "person_y", "person_width", "person_height")  # pixels of the upright image
Policy = Literal["largest", "most-central", "highest-score"]

# The longer side, pixels, of the copy that a face is searched in. A Haar search takes time in proportion to the area;
# at 1280 a face of a fiftieth of the image's width still has the 24 pixels that the cascade needs.
SEARCH_SIDE = 1280


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
    """Finds faces. options: resolved; `build(**options)` gives the same detector. Used by one thread at a time."""

    name: str
    options: dict[str, Any]

    def load(self, folder: Path | None = None) -> None:
        """Open what it needs, before any `detect`. folder: the model folder that `save` wrote, where there is one."""

    def detect(self, image: np.ndarray, row: Mapping[str, Any]) -> list[Face]:
        """The faces in an image [H, W, 3] uint8, RGB, in an order that depends on nothing but them.

        row: of the manifest. Raises "input" for a row that does not hold what it should.
        """

    def save(self, folder: Path) -> None:
        """Write the files that `load` needs, if it needs any."""

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""


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
    middles = [face.centre for face in faces]
    return [
        face
        for face, (across, down) in zip(faces, middles, strict=True)
        if x <= across <= x + width and y <= down <= y + height
    ]


def choose(faces: list[Face], policy: Policy, width: int, height: int) -> Face | None:
    """The face to be read; None if there is none. Of equals, the first as `ordered` has them.

    width, height: the image's, pixels. most-central: the box whose centre is nearest to the image's.
    """
    check_policy(policy)

    def off_centre(face: Face) -> float:
        x, y = face.centre
        return (x - width / 2) ** 2 + (y - height / 2) ** 2

    keys: dict[str, Callable[[Face], float]] = {
        "largest": lambda face: -face.area,
        "most-central": off_centre,
        "highest-score": lambda face: -face.score,
    }
    return min(ordered(faces), key=keys[policy], default=None)


def check_policy(policy: str) -> None:
    known = list(get_args(Policy))
    if policy not in known:
        raise AffectkitError("usage", f"there is no policy '{policy}'", remedy=did_you_mean(policy, known))


def search_scale(width: int, height: int) -> float:
    """What the sides of an image are multiplied by before it is searched: 1, or less for a large one."""
    return min(1.0, SEARCH_SIDE / max(width, height))


def in_image(face: Face, width: int, height: int) -> bool:
    """Whether a face has an area, part of it in the image, and is no larger than two images."""
    x, y, wide, high = face.box
    inside = x < width and y < height and x + wide > 0 and y + high > 0
    return inside and wide > 0 and high > 0 and max(wide, high) <= 2 * max(width, height)
