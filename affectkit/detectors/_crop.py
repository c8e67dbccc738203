"""Cutting a face out: a square around it, black where it reaches beyond the image."""

from __future__ import annotations

from math import ceil, floor
from typing import Literal

import numpy as np
from PIL import Image

from affectkit.detectors._detector import Face

How = Literal["landmarks", "box"]

# Of the landmarks' width + height: EmoNet's own evaluation crop, about 1.8 times their mean side.
LANDMARK_SIDE = 0.909


def square_of(face: Face, *, box_scale: float = 1.0) -> tuple[tuple[float, float], float, How]:
    """The centre (x, y) and side, pixels, of the square to cut out, and what it was made from.

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
    averaged down, so that what is fine does not flicker with the square's place.
    """
    left, top = centre[0] - side / 2, centre[1] - side / 2
    # A pixel more on each side, for the bilinear weights at the edge.
    first, last = (floor(left) - 1, floor(top) - 1), (ceil(left + side) + 1, ceil(top + side) + 1)
    box = (left - first[0], top - first[1], left - first[0] + side, top - first[1] + side)
    return np.asarray(
        Image.fromarray(_cut(image, first, last)).resize((size, size), Image.Resampling.BILINEAR, box=box)
    )


def _cut(image: np.ndarray, first: tuple[int, int], last: tuple[int, int]) -> np.ndarray:
    """The pixels from `first` to before `last` (x, y), black outside. Pillow's own crop refuses large squares."""
    inside = image[max(first[1], 0) : max(last[1], 0), max(first[0], 0) : max(last[0], 0)]
    before = (min(max(-first[1], 0), last[1] - first[1]), min(max(-first[0], 0), last[0] - first[0]))
    after = (last[1] - first[1] - before[0] - inside.shape[0], last[0] - first[0] - before[1] - inside.shape[1])
    return np.ascontiguousarray(np.pad(inside, (*zip(before, after, strict=True), (0, 0))))
