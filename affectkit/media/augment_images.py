"""Augmentation of images for training: mirrored, cropped, turned, in other colours, from one readable option.

As `augment.py` has it for waveforms: `flip=.5,crop=.8..1,colour=.2` is three effects, applied from left to right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media.augment_text import Effects, Kind, parse_effects

# --- What augmentation does to an image: each effect [H, W, 3] uint8 RGB -> uint8 RGB, drawn from a generator
#
# `value` is the range that the effect's strength is drawn from, uniformly.


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


PRESETS = {
    "none": "",
    "light": "flip=.5,crop=.9..1,colour=.1",
    "strong": "flip=.5,rotate=15@.5,crop=.6..1,colour=.3@.8,grey=.1,blur=.2..1@.3,erase=.02..0.15@.3",
}


class ImageAugmentation(Effects):
    """Effects, from the first applied to the last. `parse` of its text makes the same one."""

    def augment(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[H, W, 3] uint8 RGB -> [H', W', 3] uint8; the size differs where it is cropped. `image` is left as it is.

        What comes out depends on the arguments alone.
        """
        for effect in self.effects:
            if rng.random() < effect.probability:
                image = effect.kind.apply(image, rng, (effect.low, effect.high))
        return image

    def augment_alike(self, images: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
        """Several pictures of one thing, each effect drawn once for all: mirrored, cropped and turned alike."""
        for effect in self.effects:
            # From a generator each: how much is drawn may depend on a picture's size.
            alone, seed = ImageAugmentation((effect,)), rng.integers(2**63)
            images = [alone.augment(image, np.random.default_rng(seed)) for image in images]
        return list(images)


def parse(text: str) -> ImageAugmentation:
    """Effects from `name=value@probability,...` and names of presets, of which effects that are named replace theirs.

    Values: `flip`, the share of images that are mirrored; `grey`, the share that lose their colours; `crop`, the share
    of the area that is kept, anywhere in the image; `rotate`, degrees; `colour`, by how much brightness, contrast and
    saturation are changed, each by a factor of its own; `blur`, in percent of the shorter side; `erase`, the share of
    the area that is painted over. A single number x of rotate means -x..x. Valence is seen in colours, and a smile in
    its corners: what erases the cue teaches nothing.

    Raises "usage", naming what is wrong in it.
    """
    return ImageAugmentation(parse_effects(text, KINDS, PRESETS))


_SHARE = ("a share, 0 to 1", ".5", 0.0, 1.0)
KINDS = {
    "flip": Kind(flip, *_SHARE),
    "grey": Kind(grey, *_SHARE),
    "crop": Kind(crop, "a share of the area, .05 to 1", ".8..1", 0.05, 1.0),
    "rotate": Kind(rotate, "an angle of at most 180 degrees", "10", -180.0, 180.0, both_ways=True),
    "colour": Kind(colour, "a change, 0 to 1", ".2", 0.0, 1.0),
    "blur": Kind(blur, "percent of the shorter side, 0 to 10", ".2..1", 0.0, 10.0),
    "erase": Kind(erase, "a share of the area, 0 to .9", ".02..0.2", 0.0, 0.9),
}


# --- Test-time augmentation: the views of an image that a network is shown, one after the other


# (factor on the side of what is cut out, mirrored). The first is the image as it is; a few passes have both a mirror
# image and a change of size. Sizes stay within 4 %: more is no jitter but another crop.
PASSES = (
    (1.0, False), (1.0, True), (0.96, False), (1.04, False), (0.98, True),
    (1.02, True), (0.98, False), (1.02, False), (0.96, True), (1.04, True),
)  # fmt: skip


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
        high, wide = height - image.shape[0], width - image.shape[1]
        image = np.pad(image, ((high // 2, (high + 1) // 2), (wide // 2, (wide + 1) // 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image[:, ::-1]) if mirrored else image
