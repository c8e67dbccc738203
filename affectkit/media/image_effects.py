"""What augmentation does to an image: each effect [H, W, 3] uint8 RGB -> uint8 RGB, drawn from a generator.

`value` is the range that the effect's strength is drawn from, uniformly.
"""

from __future__ import annotations

import math

import numpy as np

Image = np.ndarray
Rng = np.random.Generator
Value = tuple[float, float]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow has it


def flip(image: Image, rng: Rng, value: Value) -> Image:
    """Mirrored left to right, in a share of images."""
    return np.ascontiguousarray(image[:, ::-1]) if rng.random() < rng.uniform(*value) else image


def grey(image: Image, rng: Rng, value: Value) -> Image:
    """Without colours, in a share of images."""
    if rng.random() >= rng.uniform(*value):
        return image
    return np.repeat(_bytes(image @ _LUMA)[..., None], 3, axis=2)


def crop(image: Image, rng: Rng, value: Value) -> Image:
    """A part of the same aspect, anywhere in the image; a pixel of each side is left."""
    height, width = image.shape[:2]
    share = math.sqrt(rng.uniform(*value))
    part_height, part_width = max(1, round(share * height)), max(1, round(share * width))
    top, left = rng.integers(height - part_height + 1), rng.integers(width - part_width + 1)
    return image[top : top + part_height, left : left + part_width]


def rotate(image: Image, rng: Rng, value: Value) -> Image:
    """About the centre, bilinear; the corners that turn up are black."""
    from PIL import Image as Pillow

    turned = Pillow.fromarray(image).rotate(rng.uniform(*value), Pillow.Resampling.BILINEAR)
    return np.asarray(turned)


def colour(image: Image, rng: Rng, value: Value) -> Image:
    """Saturation, contrast and brightness times factors, each drawn for itself from 1 - v to 1 + v."""
    strength = rng.uniform(*value)
    saturation, contrast, brightness = rng.uniform(1 - strength, 1 + strength, 3).astype(np.float32)
    pixels = image.astype(np.float32)
    luma = (pixels @ _LUMA)[..., None]
    pixels = luma + saturation * (pixels - luma)
    middle = luma.mean()
    return _bytes(brightness * (middle + contrast * (pixels - middle)))


def blur(image: Image, rng: Rng, value: Value) -> Image:
    """By a Gaussian whose standard deviation is so many percent of the shorter side."""
    from PIL import Image as Pillow
    from PIL import ImageFilter

    radius = rng.uniform(*value) / 100 * min(image.shape[:2])
    return np.asarray(Pillow.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def erase(image: Image, rng: Rng, value: Value) -> Image:
    """A rectangle of that share of the area, half to twice as wide as high, painted in the mean colour
    (Zhong et al. 2020)."""
    height, width = image.shape[:2]
    aspect = math.exp(rng.uniform(-math.log(2), math.log(2)))
    area = rng.uniform(*value) * height * width
    part_height, part_width = min(height, round(math.sqrt(area / aspect))), min(width, round(math.sqrt(area * aspect)))
    top, left = rng.integers(height - part_height + 1), rng.integers(width - part_width + 1)
    painted = image.copy()
    painted[top : top + part_height, left : left + part_width] = _bytes(image.mean(axis=(0, 1)))
    return painted


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)
