"""From what an image file holds to upright 8-bit RGB, on Pillow's images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112  # EXIF 2.32, table 4: where row 0 and column 0 are
_WHITE = 255


def to_rgb(image: Image.Image, path: str | Path) -> Image.Image:
    """A decoded image as 8-bit RGB, before a white page. Raises "input" for samples whose white is not known."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bits(image, path).convert("RGB")
    try:
        if image.has_transparency_data:
            return _over_white(image.convert("RGBA"))
        if image.mode != "F":  # Pillow would clip it: nothing says which number is white
            return image.convert("RGB")
    except ValueError:  # LAB, for example
        pass
    what = f"has samples of a kind that has no plain way to RGB ({image.mode})"
    raise AffectkitError("input", what, file=path, remedy="save it as 8-bit RGB")


def _from_16_bits(image: Image.Image, path: str | Path) -> Image.Image:
    """Grey of 16 bits, or of 32 that hold 16 (Pillow's PGM): its upper byte, as Pillow takes of 16-bit colours."""
    from PIL import Image

    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise AffectkitError("input", "has 32-bit samples: which of them is white?", file=path, remedy="save it as PNG")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    page = Image.new("RGB", image.size, (_WHITE, _WHITE, _WHITE))
    page.paste(image, mask=image.getchannel("A"))
    return page


def turned(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """`pixels` as `image`'s EXIF says that they are to be seen."""
    from PIL.Image import Transpose

    turns = [
        Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM, Transpose.TRANSPOSE,
        Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90,
    ]  # fmt: skip
    number = orientation(image)
    return pixels.transpose(turns[number - 2]) if number > 1 else pixels


def orientation(image: Image.Image) -> int:
    """1 to 8; 1, upright, where the EXIF data are missing or broken."""
    from PIL import Image

    try:
        number = Image.Image.getexif(image).get(_ORIENTATION, 1)  # a PNG's own getexif would decode the image
    except Exception:  # broken EXIF raises what broken images do; the pixels are whole
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1
