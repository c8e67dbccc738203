"""Augmentation of images for training: mirrored, cropped, turned, in other colours, from one readable option.

As `augment.py` has it for waveforms: `flip=.5,crop=.8..1,colour=.2` is three effects, applied from left to right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from affectkit.media import image_effects as effects
from affectkit.media.augment_text import Effect, Kind, parse_effects

PRESETS = {
    "none": "",
    "light": "flip=.5,crop=.9..1,colour=.1",
    "strong": "flip=.5,rotate=15@.5,crop=.6..1,colour=.3@.8,grey=.1,blur=.2..1@.3,erase=.02..0.15@.3",
}


@dataclass(frozen=True)
class ImageAugmentation:
    """Effects, from the first applied to the last; falsy for none. `parse` of its text makes the same one."""

    effects: tuple[Effect, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.effects)

    def __str__(self) -> str:
        return ",".join(map(str, self.effects)) or "none"

    def augment(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[H, W, 3] uint8 RGB -> [H', W', 3] uint8; the size differs where it is cropped. `image` is left as it is.

        What comes out depends on the arguments alone.
        """
        for effect in self.effects:
            if rng.random() < effect.probability:
                image = effect.kind.apply(image, rng, (effect.low, effect.high))
        return image


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
    "flip": Kind(effects.flip, *_SHARE),
    "grey": Kind(effects.grey, *_SHARE),
    "crop": Kind(effects.crop, "a share of the area, .05 to 1", ".8..1", 0.05, 1.0),
    "rotate": Kind(effects.rotate, "an angle of at most 180 degrees", "10", -180.0, 180.0, both_ways=True),
    "colour": Kind(effects.colour, "a change, 0 to 1", ".2", 0.0, 1.0),
    "blur": Kind(effects.blur, "percent of the shorter side, 0 to 10", ".2..1", 0.0, 10.0),
    "erase": Kind(effects.erase, "a share of the area, 0 to .9", ".02..0.2", 0.0, 0.9),
}
EFFECTS = tuple(KINDS)
