"""Images: upright RGB pixels, whatever the file held, and what its header says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media.files import OpenFile, open_file
from affectkit.media.image_ends import check_whole, late_exif
from affectkit.media.image_pixels import orientation, to_rgb, turned

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 89_478_485  # 256 MB as RGB, and 340 MB more to decode; where Pillow too begins to speak of bombs
# What Pillow may take a file for. Not all that it can: its EPS and PSD readers run programs or hold surprises.
_PLUGINS = {
    "JPEG": "JpegImagePlugin", "PNG": "PngImagePlugin", "WEBP": "WebPImagePlugin", "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin", "TIFF": "TiffImagePlugin", "PPM": "PpmImagePlugin", "JPEG2000": "Jpeg2KImagePlugin",
    "AVIF": "AvifImagePlugin",
}  # fmt: skip
_HEIF = (b"ftypheic", b"ftypheix", b"ftypheim", b"ftyphevc", b"ftypmif1", b"ftypmsf1")


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image's file says of itself.

    width, height: of the upright image, in pixels. format: "JPEG", "PNG", "WEBP", "MPO" (a JPEG with further pictures),
    ... frames: pictures in the file, of which the first one is read.
    """

    width: int
    height: int
    format: str
    frames: int


def read_image(path: str | Path, *, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """The pixels [H, W, 3] uint8 RGB, upright (EXIF orientation applied); of an animation the first frame.

    8-bit RGB comes out as it is stored. Grey is repeated; a palette is looked up; CMYK is multiplied out, without a
    colour profile. Of 16 bits the upper 8 are kept, so that 0 to 65535 become 0 to 255. What is transparent shows white
    behind it, as on a page. Colour profiles are not applied. Safe in threads.
    Raises AffectkitError "missing" or "input": a folder, empty, a Git-LFS pointer, not an image, damaged or truncated,
    more than `most_pixels` pixels (before they are decoded), 32-bit samples.
    """
    with _opened(path, most_pixels) as (_, image):
        upright = turned(to_rgb(_decoded(image, path), path), image)
        return np.array(upright)  # a copy, as it may be written to; asarray gives a read-only view


def read_image_header(path: str | Path, *, most_pixels: int = MOST_PIXELS) -> ImageHeader:
    """Size, format and number of frames; no pixel is decoded.

    Raises as `read_image` does, as far as that can be seen without decoding: a JPEG or PNG that is cut off is.
    """
    with _opened(path, most_pixels) as (file, image):
        check_whole(file, image.format or "", image.fp.tell() if image.fp else 0)
        if image.format == "PNG" and "exif" not in image.info and (exif := late_exif(file)):
            image.info["exif"] = exif
        width, height = image.size
        if orientation(image) >= 5 and image.format != "TIFF":  # Pillow gives a TIFF's upright size
            width, height = height, width
        return ImageHeader(width, height, image.format or "", _frames(image))


@contextmanager
def _opened(path: str | Path, most_pixels: int) -> Iterator[tuple[OpenFile, Any]]:
    """The file and the image in it, not decoded yet and not too large."""
    file = open_file(path)
    with os.fdopen(file.fd, "rb") as handle:
        handle.seek(0)
        image = _identified(file, handle)
        width, height = image.size
        if width * height > most_pixels:
            raise _too_large(path, f"has {width} x {height} pixels", most_pixels)
        if width < 1 or height < 1:
            raise AffectkitError("input", "has no pixels", file=path, remedy="drop its row")
        yield file, image


def _identified(file: OpenFile, handle: Any) -> Image.Image:
    """As PIL.Image.open, which has a size limit of its own, for all of the process: it must not matter here."""
    from PIL.Image import DecompressionBombError

    for name, (factory, accepts) in _openers().items():
        answer = accepts(file.head[:16])
        if isinstance(answer, str):
            raise AffectkitError("environment", f"this Pillow cannot read {name}", file=file.path)
        if answer:
            handle.seek(0)
            try:
                return factory(handle, "")
            except DecompressionBombError:  # WebP is measured by Pillow too, as its decoder takes memory at once
                raise _too_large(file.path, "has too many pixels for Pillow", MOST_PIXELS) from None
            except Exception as error:
                raise _damaged(file.path, error) from None
    raise _not_an_image(file)


@lru_cache(maxsize=1)
def _openers() -> dict[str, tuple[Callable[..., Any], Callable[[bytes], Any]]]:
    """For each format, what opens it and what knows it by its first 16 bytes."""
    from PIL import Image

    for module in _PLUGINS.values():
        import_module(f"PIL.{module}")
    return {name: (Image.OPEN[name][0], Image.OPEN[name][1] or bool) for name in _PLUGINS if name in Image.OPEN}


def _decoded(image: Image.Image, path: str | Path) -> Image.Image:
    from PIL.Image import DecompressionBombError

    try:
        image.load()
    except MemoryError:
        raise
    except DecompressionBombError:  # a GIF's frame that is larger than the GIF, for example
        raise _too_large(path, "holds a part with too many pixels for Pillow", MOST_PIXELS) from None
    except Exception as error:  # broken bytes raise OSError, SyntaxError, struct.error, IndexError, zlib.error, ...
        raise _damaged(path, error) from None
    return image


def _frames(image: Any) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a later frame is broken; the first is what is read
        return 1


def _too_large(path: str | Path, what: str, most: int) -> AffectkitError:
    return AffectkitError(
        "input", f"{what}: the limit is {most:,}", file=path, remedy="make it smaller, or drop its row"
    )


def _damaged(path: str | Path, error: Exception) -> AffectkitError:
    why = str(error).partition("\n")[0].rstrip(".").lower()
    if "truncated" in why or isinstance(error, EOFError):
        return AffectkitError("input", "is truncated", file=path, remedy="copy it again, or drop its row")
    remedy = "copy it again, or drop its row"
    return AffectkitError("input", f"is a damaged image: {why or type(error).__name__}", file=path, remedy=remedy)


def _not_an_image(file: OpenFile) -> AffectkitError:
    from affectkit.media.headers import container

    if file.head[4:12] in _HEIF:
        return AffectkitError("input", "is HEIF, which is not read here", file=file.path, remedy="convert it to JPEG")
    kind = container(file.head)
    what = f"is {kind}, not an image" if kind else "is not an image"
    return AffectkitError("input", what, file=file.path, remedy="drop its row")
