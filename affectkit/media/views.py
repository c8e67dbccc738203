"""Test-time augmentation: the views of an image that a network is shown, one after the other."""

from __future__ import annotations

import numpy as np

from affectkit.errors import AffectkitError

# (factor on the side of what is cut out, mirrored). The first is the image as it is; a few passes have both a mirror
# image and a change of size. Sizes stay within 4 %: more is no jitter but another crop.
PASSES = (
    (1.0, False),
    (1.0, True),
    (0.96, False),
    (1.04, False),
    (0.98, True),
    (1.02, True),
    (0.98, False),
    (1.02, False),
    (0.96, True),
    (1.04, True),
)


def check_passes(tta: int) -> None:
    """Raises "usage" for a number of passes that there are no views for."""
    if not 1 <= tta <= len(PASSES):
        raise AffectkitError("usage", f"--tta {tta}", remedy=f"use 1 to {len(PASSES)} passes")


def view(image: np.ndarray, factor: float, mirrored: bool) -> np.ndarray:
    """[H, W, 3] uint8 -> the middle of it, `factor` as high and wide; beyond the image its edge goes on."""
    height, width = (max(1, round(factor * side)) for side in image.shape[:2])
    if factor < 1:
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        image = image[top : top + height, left : left + width]
    elif factor > 1:
        more = [
            ((grown - side) // 2, (grown - side + 1) // 2)
            for grown, side in zip((height, width), image.shape[:2], strict=True)
        ]
        image = np.pad(image, (*more, (0, 0)), mode="edge")
    return np.ascontiguousarray(image[:, ::-1]) if mirrored else image
