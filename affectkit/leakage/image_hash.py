"""A picture in 32 x 32 greys, and 64 bits of it that survive coding, scaling and a little noise.

After Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010 (pHash's DCT hash): of the
two-dimensional cosine transform the 8 x 8 lowest frequencies that vary along both axes, each a bit: above their median
or not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from affectkit.media import read_image

SIDE = 32  # pixels
_LOWEST = 8  # frequencies along each axis; 8 x 8 make 64 bits


def thumbnail(path: Path) -> np.ndarray:
    """[32, 32] uint8: the luminance (ITU-R BT.601), smoothed and scaled.

    A triangle filter: with plain means over cells a copy of half the size differed by 23 grey levels, so by 2.
    """
    return thumbnail_of(read_image(path))


def thumbnail_of(image: np.ndarray) -> np.ndarray:
    """As `thumbnail`, of an image [H, W, 3] uint8."""
    from PIL import Image

    grey = Image.fromarray(image).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def hashes_of(thumbnails: np.ndarray) -> np.ndarray:
    """[N, 32, 32] uint8 -> [N] uint64."""
    waves = _waves()
    found = np.empty(len(thumbnails), np.uint64)
    for start in range(0, len(thumbnails), 4096):  # 16 MB of float32 at once
        part = thumbnails[start : start + 4096].astype(np.float32)
        levels = (waves @ part @ waves.T).reshape(len(part), -1)
        bits = levels > np.median(levels, axis=1, keepdims=True)
        found[start : start + 4096] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return found


def _waves() -> np.ndarray:
    """[8, 32] float32: rows 1 to 8 of the DCT-II, which leave out the mean."""
    frequency, at = np.arange(1, _LOWEST + 1)[:, None], np.arange(SIDE)
    return np.cos(np.pi * frequency * (at + 0.5) / SIDE).astype(np.float32)
