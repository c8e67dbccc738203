"""OpenCV, which is an extra: its import, and the copy of an image that is searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from affectkit.detectors._detector import search_scale
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import numpy as np

REMEDY = 'pip install "affectkit[face]"'


def require(detector: str) -> Any:
    """The module cv2. Raises "environment" where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        message = f"the detector {detector} needs OpenCV, which cannot be imported ({error})"
        raise AffectkitError("environment", message, remedy=REMEDY) from None
    return cv2


def searched(cv2: Any, image: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The copy that is searched, with what its x and y are multiplied by to be the image's.

    Sides are rounded, so the two factors differ a little; a side of a very flat image is at least a pixel.
    """
    height, width = image.shape[:2]
    scale = search_scale(width, height)
    if scale == 1.0:
        return image, 1.0, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), width / size[0], height / size[1]
