"""Images: upright RGB pixels, whatever the file held, and what its header says."""

from __future__ import annotations

import io
import os
import warnings
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
from affectkit.media.headers import container

if TYPE_CHECKING:
    from PIL import Image


# --- Whether an image's file goes on to its end, from a few reads: nothing is decoded


_END_OF_IMAGE = b"\xff\xd9"  # in the compressed data of a JPEG a byte ff is always followed by 00 or a restart mark
_TAIL = 4096  # bytes: cameras append a preview or padding
_BLOCK = 1 << 20
_MOST_BYTES = 1 << 28  # what is looked through: beyond it a file holds something else than `MOST_PIXELS` pixels
_COPY = "copy it again, or drop its row"


def check_whole(file: OpenFile, form: str, pixels: int) -> None:
    """Raise "input" for a JPEG or PNG that is cut off before its pixels end. pixels: where a JPEG's begin, in bytes."""
    if form in ("JPEG", "MPO") and not _has_end(file, pixels):
        raise file.cut_off("its end is missing", _COPY)
    if form == "PNG":
        lacking = [start + length + 4 - file.size for name, start, length in _chunks(file) if name == b"IDAT"]
        if lacking and lacking[-1] > 0:  # 4: a check sum; only the last chunk of a file can go beyond its end
            raise file.cut_off(f"{lacking[-1]:,} bytes of its pixels are missing", _COPY)


def _has_end(file: OpenFile, start: int) -> bool:
    """Whether a JPEG's end mark follows `start`: mostly in its last bytes, else the whole is looked through."""
    tail = max(start, file.size - _TAIL)
    if _END_OF_IMAGE in file.at(tail, file.size - tail):
        return True
    return any(_END_OF_IMAGE in file.at(at, _BLOCK + 1) for at in range(start, min(tail, start + _MOST_BYTES), _BLOCK))


def _chunks(file: OpenFile) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of each chunk of a PNG (W3C PNG, section 5.3)."""
    at = 8
    while at + 8 <= file.size:
        head = file.at(at, 8)
        length = int.from_bytes(head[:4], "big")
        yield head[4:], at + 8, length
        at += 12 + length


# --- From what an image file holds to upright 8-bit RGB, on Pillow's images


_ORIENTATION = 0x0112  # EXIF 2.32, table 4: where row 0 and column 0 are


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
    except Exception as error:  # a palette that is missing raises AssertionError
        raise _damaged(path, error) from None
    what = f"has samples of a kind that has no plain way to RGB ({image.mode})"
    raise AffectkitError("input", what, file=path, remedy="save it as 8-bit RGB")


def _from_16_bits(image: Image.Image, path: str | Path) -> Image.Image:
    """Grey of 16 bits, or of 32 that hold 16 (Pillow's PGM): its upper byte, as Pillow takes of 16-bit colours."""
    from PIL import Image

    values = np.asarray(image)
    if (image.format == "TIFF" and image.mode == "I") or values.min() < 0 or values.max() > 0xFFFF:
        raise AffectkitError("input", "has 32-bit samples: which of them is white?", file=path, remedy="save it as PNG")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    page = Image.new("RGB", image.size, (255, 255, 255))
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
        _decode(image, path)
        return np.array(
            turned(to_rgb(image, path), image)
        )  # a copy, as it may be written to; asarray gives a read-only view


def read_image_header(path: str | Path, *, most_pixels: int = MOST_PIXELS) -> ImageHeader:
    """Size, format and number of frames; no pixel is decoded.

    Raises as `read_image` does, as far as that can be seen without decoding: a JPEG or PNG that is cut off is.
    """
    with _opened(path, most_pixels) as (file, image):
        check_whole(file, image.format or "", image.fp.tell() if image.fp else 0)
        if image.format == "PNG" and "exif" not in image.info:  # it may follow the pixels
            exif = next((file.at(start, length) for name, start, length in _chunks(file) if name == b"eXIf"), b"")
            image.info |= {"exif": exif} if exif else {}
        width, height = image.size
        if orientation(image) >= 5 and image.format != "TIFF":  # Pillow gives a TIFF's upright size
            width, height = height, width
        try:
            frames = int(getattr(image, "n_frames", 1))
        except Exception:  # a later frame is broken; the first is what is read
            frames = 1
        return ImageHeader(width, height, image.format or "", frames)


def thumbnail(path: str | Path, side: int = 64) -> bytes:
    """A JPEG of the upright image, at most `side` pixels wide and high. Raises as `read_image` does."""
    from PIL import Image

    image, file = Image.fromarray(read_image(path)), io.BytesIO()
    image.thumbnail((side, side))
    image.save(file, "JPEG", quality=80)
    return file.getvalue()


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

    warnings.filterwarnings("ignore", module=r"PIL\.")  # damaged tags: what they spoil is an error here
    for module in _PLUGINS.values():
        import_module(f"PIL.{module}")
    return {name: (Image.OPEN[name][0], Image.OPEN[name][1] or bool) for name in _PLUGINS if name in Image.OPEN}


def _decode(image: Image.Image, path: str | Path) -> None:
    from PIL.Image import DecompressionBombError

    try:
        image.load()
    except MemoryError:
        raise
    except DecompressionBombError:  # a GIF's frame that is larger than the GIF, for example
        raise _too_large(path, "holds a part with too many pixels for Pillow", MOST_PIXELS) from None
    except Exception as error:  # broken bytes raise OSError, SyntaxError, struct.error, IndexError, zlib.error, ...
        raise _damaged(path, error) from None


def check_square(side: int, what: str, path: str | Path | None = None) -> None:
    """Raise "input" before an image is padded to a square that holds twice what may be read: of 4 x 60,000 pixels the
    one around a face would take 10 GB."""
    if side * side > 2 * MOST_PIXELS:
        raise _too_large(path, f"{what} has {side} x {side} pixels", 2 * MOST_PIXELS)


def _too_large(path: str | Path | None, what: str, most: int) -> AffectkitError:
    message = f"{what}: the limit is {most:,}"
    return AffectkitError("input", message, file=path, remedy="make it smaller, or drop its row")


def _damaged(path: str | Path, error: Exception) -> AffectkitError:
    why = str(error).partition("\n")[0].rstrip(".").lower()
    truncated = "truncated" in why or isinstance(error, EOFError)
    what = "is truncated" if truncated else f"is a damaged image: {why or type(error).__name__}"
    return AffectkitError("input", what, file=path, remedy=_COPY)


def _not_an_image(file: OpenFile) -> AffectkitError:
    if file.head[4:12] in _HEIF:
        return AffectkitError("input", "is HEIF, which is not read here", file=file.path, remedy="convert it to JPEG")
    kind = container(file.head)
    what = f"is {kind}, not an image" if kind else "is not an image"
    return AffectkitError("input", what, file=file.path, remedy="drop its row")
