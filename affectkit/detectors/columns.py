"""The manifest's own boxes and landmarks, as the corpus or another tool gives them

Columns face_x, face_y, face_width, face_height (pixels of the upright image) and landmarks (68 points of 300-W as 136
numbers x;y;x;y;...). A row with neither has no face; landmarks without a usable box make one, around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from affectkit.detectors._detector import Detector, Face, in_image
from affectkit.errors import AffectkitError

BOX = ("face_x", "face_y", "face_width", "face_height")
LANDMARKS = "landmarks"


def build() -> Detector:
    """The detector, which has no options."""
    return ColumnsDetector()


class ColumnsDetector(Detector):
    """One face a row, at most."""

    name = "columns"

    def detect(self, image: np.ndarray, row: Mapping[str, Any]) -> list[Face]:
        face = face_of(row, (image.shape[1], image.shape[0]))
        return [face] if face else []


def face_of(row: Mapping[str, Any], size: tuple[int, int] | None = None) -> Face | None:
    """The face of a row: its box, else the one around its landmarks; None where neither is of use.

    size: width and height of the image, pixels: what lies outside it is of no use; None: what has no area is of none.
    """

    def usable(box: tuple[float, float, float, float] | None) -> bool:
        return box is not None and (in_image(Face(box), *size) if size else min(box[2:]) > 0)

    landmarks, box = _landmarks_of(row), _box_of(row)
    around = None
    if landmarks is not None:
        (left, top), (right, bottom) = landmarks.min(axis=0).tolist(), landmarks.max(axis=0).tolist()
        around = left, top, right - left, bottom - top
    if not usable(around):
        landmarks = around = None
    if not usable(box):
        box = around
    return Face(box, landmarks=landmarks) if box else None


def _box_of(row: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """The row's box; None where it is empty. Raises "input" for a manifest without one, and for what is no number."""
    if LANDMARKS not in row and not all(name in row for name in BOX):
        remedy = f"give it {', '.join(BOX)} or {LANDMARKS}, or use another detector"
        raise AffectkitError("input", "the manifest has no columns of faces", remedy=remedy)
    values = [_number(row.get(name), name) for name in BOX]
    x, y, width, height = values
    return None if x is None or y is None or width is None or height is None else (x, y, width, height)


def _landmarks_of(row: Mapping[str, Any]) -> np.ndarray | None:
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


def _number(value: Any, column: str) -> float | None:
    """A cell as a number: None where it is empty."""
    if value is None or not str(value).strip():
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise AffectkitError("input", f"'{column}' holds '{value}', which is no number") from None
    return number if abs(number) != float("inf") and number == number else None
