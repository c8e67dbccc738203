"""The whole image is the face, as in corpora of cut-out faces (FER2013, RAF-DB)

An image that is not square is put on a black square.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from affectkit.detectors._detector import Detector, Face


def build() -> Detector:
    """The detector, which has no options."""
    return Whole()


class Whole(Detector):
    """One face an image."""

    name = "whole"

    def detect(self, image: np.ndarray, row: Mapping[str, Any]) -> list[Face]:
        return [Face((0.0, 0.0, float(image.shape[1]), float(image.shape[0])))]
