"""The manifest's own boxes and landmarks, as the corpus or another tool gives them

Columns face_x, face_y, face_width, face_height (pixels of the upright image) and landmarks (68 points of 300-W as 136
numbers x;y;x;y;...). A row with neither has no face; landmarks without a usable box make one, around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.detectors._detector import Detector, Face, in_image
from affectkit.errors import AffectkitError

BOX = ("face_x", "face_y", "face_width", "face_height")
LANDMARKS = "landmarks"


def build() -> Detector:
    """The detector, which has no options."""
    return Columns({})


class Columns:
    """One face a row, at most."""

    name = "columns"

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def load(self, folder: Path | None = None) -> None:
        """Nothing to open."""

    def detect(self, image: np.ndarray, row: Mapping[str, Any]) -> list[Face]:
        height, width = image.shape[:2]
        landmarks, box = landmarks_of(row), box_of(row)
        if landmarks is not None and not in_image(Face(around(landmarks)), width, height):
            landmarks = None
        if box is None or not in_image(Face(box), width, height):
            box = None if landmarks is None else around(landmarks)
        return [] if box is None else [Face(box, landmarks=landmarks)]

    def save(self, folder: Path) -> None:
        """Nothing to keep."""

    def describe(self) -> dict[str, Any]:
        return {}


def box_of(row: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """The row's box; None where it is empty. Raises "input" for a manifest without one, and for what is no number."""
    if LANDMARKS not in row and not all(name in row for name in BOX):
        remedy = f"give it {', '.join(BOX)} or {LANDMARKS}, or use another detector"
        raise AffectkitError("input", "the manifest has no columns of faces", remedy=remedy)
    values = [_number(row.get(name), name) for name in BOX]
    x, y, width, height = values
    return None if x is None or y is None or width is None or height is None else (x, y, width, height)


def landmarks_of(row: Mapping[str, Any]) -> np.ndarray | None:
    """[68, 2] float32; None where the row has none. Raises "input" for what are not 136 numbers."""
    text = row.get(LANDMARKS)
    if text is None or text != text or not str(text).strip():
        return None
    parts = str(text).split(";")
    try:
        values = np.array([float(part) for part in parts], dtype=np.float32)
    except ValueError:
        raise AffectkitError("input", f"'{LANDMARKS}' holds what is no number") from None
    if len(values) != 136 or not np.isfinite(values).all():
        message = f"'{LANDMARKS}' holds {int(np.isfinite(values).sum())} finite numbers, not 136 (68 points x;y)"
        raise AffectkitError("input", message)
    return values.reshape(68, 2)


def around(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """The tight box of landmarks [68, 2]."""
    (left, top), (right, bottom) = landmarks.min(axis=0).tolist(), landmarks.max(axis=0).tolist()
    return left, top, right - left, bottom - top


def _number(value: Any, column: str) -> float | None:
    """A cell as a number: None where it is empty."""
    if value is None or not str(value).strip():
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise AffectkitError("input", f"'{column}' holds '{value}', which is no number") from None
    return number if abs(number) != float("inf") and number == number else None
