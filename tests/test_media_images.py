"""Pixels against Pillow's own operations and hand-made files, and one named error for every unusable image."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from affectkit.errors import AffectkitError
from affectkit.media import MOST_PIXELS, ImageHeader, read_image, read_image_header

in_a_folder = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
EITHER = pytest.mark.parametrize("read", [read_image, read_image_header])


def picture(width: int = 40, height: int = 24, seed: int = 0) -> np.ndarray:
    """[height, width, 3] uint8: smooth enough for JPEG, and different in every corner and channel."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, image: Image.Image | np.ndarray, **options) -> Path:
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


def error_of(function, *arguments, **options) -> AffectkitError:
    with pytest.raises(AffectkitError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return caught.value


# What comes out as it went in


@in_a_folder
@given(
    pixels=hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(3))),
    ending=st.sampled_from(["png", "bmp", "tif", "ppm"]),
)
def test_lossless_rgb_comes_out_as_it_went_in(tmp_path, pixels, ending):
    path = save(tmp_path / f"a.{ending}", pixels)
    found = read_image(path)
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == np.uint8 and found.flags.c_contiguous and found.flags.writeable
    header = read_image_header(path)
    assert (header.height, header.width, header.frames) == (*pixels.shape[:2], 1)


@pytest.mark.parametrize("options", [{"quality": 75}, {"quality": 30, "subsampling": 2}, {"progressive": True}])
def test_jpeg_as_pillow_decodes_it(tmp_path, options):
    path = save(tmp_path / "a.jpg", picture(123, 77), **options)
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))
    assert read_image_header(path) == ImageHeader(123, 77, "JPEG", 1)


def test_webp_without_loss(tmp_path):
    path = save(tmp_path / "a.webp", picture(), lossless=True)
    np.testing.assert_array_equal(read_image(path), picture())
    assert read_image_header(path) == ImageHeader(40, 24, "WEBP", 1)


def test_one_pixel(tmp_path):
    path = save(tmp_path / "a.png", np.array([[[1, 2, 3]]], np.uint8))
    assert read_image(path).tolist() == [[[1, 2, 3]]]
    assert read_image_header(path) == ImageHeader(1, 1, "PNG", 1)


def test_the_ending_does_not_matter(tmp_path):
    path = save(tmp_path / "a.jpg", picture(), format="PNG")
    np.testing.assert_array_equal(read_image(path), picture())


# Every other kind of pixel


def test_grey_is_repeated(tmp_path):
    grey = picture()[:, :, 0]
    for ending in ("png", "tif", "bmp"):
        found = read_image(save(tmp_path / f"a.{ending}", grey))
        np.testing.assert_array_equal(found, np.repeat(grey[:, :, None], 3, axis=2))
    black_white = Image.fromarray(grey > 128)
    np.testing.assert_array_equal(read_image(save(tmp_path / "b.png", black_white))[:, :, 1], (grey > 128) * 255)


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_16_bits_of_grey_are_scaled(tmp_path, ending):
    """The whole range is used: clipping would leave 255 from value 255 on."""
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    path = tmp_path / f"a.{ending}"
    if ending == "pgm":
        path.write_bytes(b"P5 30 20 65535\n" + values.astype(">u2").tobytes())
    else:
        save(path, values)
    found = read_image(path)
    np.testing.assert_array_equal(found, np.repeat((values // 256).astype(np.uint8)[:, :, None], 3, axis=2))
    np.testing.assert_allclose(found[:, :, 0], values / 65535 * 255, atol=1)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG made by hand: W3C PNG, sections 5 and 11. Extra chunks stand before the pixels."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    joined = b"".join(struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in parts)
    return b"\x89PNG\r\n\x1a\n" + joined


def test_16_bits_of_colour_are_scaled(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(">u2")
    (tmp_path / "a.png").write_bytes(png(7, 5, 16, 2, b"".join(b"\0" + row.tobytes() for row in values)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), values // 256)


def test_grey_of_16_bits_equals_the_same_as_colour(tmp_path):
    grey = np.random.default_rng(0).integers(0, 65536, (5, 7)).astype(">u2")
    (tmp_path / "g.png").write_bytes(png(7, 5, 16, 0, b"".join(b"\0" + row.tobytes() for row in grey)))
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    (tmp_path / "c.png").write_bytes(png(7, 5, 16, 2, b"".join(b"\0" + row.tobytes() for row in colour)))
    np.testing.assert_array_equal(read_image(tmp_path / "g.png"), read_image(tmp_path / "c.png"))


def test_cmyk_jpeg_by_hand(tmp_path):
    """R = (255 - C)(255 - K) / 255, of flat patches: JPEG keeps them to a few levels."""
    inks = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 200, 100, 50], [0, 0, 0, 255]], np.uint8)
    patches = np.repeat(np.repeat(inks[None], 16, axis=0), 16, axis=1)
    expected = (255.0 - inks[:, :3]) * (255.0 - inks[:, 3:]) / 255
    path = save(tmp_path / "a.jpg", Image.fromarray(patches, "CMYK"), quality=95, subsampling=0)
    found = read_image(path)
    assert found.shape == (16, 64, 3)
    np.testing.assert_allclose(found[8, 8::16], expected, atol=4)
    path.write_bytes(as_ycck(path.read_bytes()))
    assert b"Adobe" in path.read_bytes()
    ycck = read_image(path)  # other numbers, as only the mark was changed; but read as colours, upright and whole
    assert ycck.shape == (16, 64, 3) and not np.array_equal(ycck, found)
    np.testing.assert_array_equal(ycck, np.asarray(Image.open(path).convert("RGB")))


def as_ycck(jpeg: bytes) -> bytes:
    """A CMYK JPEG, marked as YCCK in its Adobe segment (the last byte is the colour transform)."""
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + b"\x02" + jpeg[at + 1 :]


def test_a_palette_is_looked_up(tmp_path):
    image = Image.fromarray(picture()).quantize(20)
    expected = np.asarray(image.convert("RGB"))
    for ending in ("png", "gif", "bmp", "tif"):
        np.testing.assert_array_equal(read_image(save(tmp_path / f"a.{ending}", image)), expected)


def test_transparent_pixels_show_white(tmp_path):
    rgba = np.dstack([picture(), np.full((24, 40), 255, np.uint8)])
    rgba[:8, :, 3], rgba[8:16, :, 3] = 0, 102  # nothing, two fifths
    found = read_image(save(tmp_path / "a.png", rgba))
    assert (found[:8] == 255).all()
    np.testing.assert_allclose(found[8:16], 0.4 * rgba[8:16, :, :3] + 0.6 * 255, atol=1)
    np.testing.assert_array_equal(found[16:], rgba[16:, :, :3])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.webp", rgba, lossless=True, exact=True)), found)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.tif", rgba)), found)
    grey = Image.fromarray(rgba[:, :, [0, 3]], "LA")
    over = read_image(save(tmp_path / "b.png", grey))
    assert (over[:8] == 255).all() and (over[16:, :, 2] == rgba[16:, :, 0]).all()


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_palette_shows_white(tmp_path, ending):
    indices = np.zeros((4, 6), np.uint8)
    indices[:, 3:] = 1
    image = Image.fromarray(indices, "P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    found = read_image(save(tmp_path / f"a.{ending}", image, transparency=0))
    assert (found[:, :3] == 255).all() and (found[:, 3:] == [0, 0, 200]).all()


def test_a_transparent_colour_shows_white(tmp_path):
    """The tRNS chunk of PNGs without a palette: one colour that stands for nothing, also of 16 bits."""
    rows = b"\0" + bytes([1, 2, 3, 9, 9, 9])
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 2, rows, (b"tRNS", struct.pack(">HHH", 1, 2, 3))))
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 255, 255], [9, 9, 9]]]
    (tmp_path / "g.png").write_bytes(png(2, 1, 8, 0, b"\0\1\7", (b"tRNS", b"\0\1")))
    assert read_image(tmp_path / "g.png").tolist() == [[[255] * 3, [7] * 3]]
    wide = b"\0" + struct.pack(">6H", 256, 512, 768, 2304, 2304, 2304)
    (tmp_path / "w.png").write_bytes(png(2, 1, 16, 2, wide, (b"tRNS", struct.pack(">HHH", 256, 512, 768))))
    assert read_image(tmp_path / "w.png")[0, 1].tolist() == [9, 9, 9]


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_frame(tmp_path, ending):
    frames = [Image.new("RGB", (9, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if ending == "webp" else {}
    path = save(tmp_path / f"a.{ending}", frames[0], save_all=True, append_images=frames[1:], **options)
    assert (read_image(path) == [255, 0, 0]).all()
    header = read_image_header(path)
    assert (header.width, header.height, header.frames) == (9, 6, 3)


# Orientation


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_upright_by_exif(tmp_path, number, ending):
    """As PIL.ImageOps.exif_transpose, and in words: 6 says that the first row is the right side."""
    exif = Image.Exif()
    exif[0x0112] = number
    options = {"lossless": True} if ending == "webp" else {}
    path = save(tmp_path / f"a.{ending}", picture(), exif=exif, **options)
    found = read_image(path)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(found, np.asarray(ImageOps.exif_transpose(opened).convert("RGB")))
    header = read_image_header(path)
    assert (header.height, header.width) == found.shape[:2] == ((24, 40) if number < 5 else (40, 24))
    if ending == "png":
        stored = picture()
        shown = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}
        shown |= {5: stored.transpose(1, 0, 2), 6: np.rot90(stored, -1), 8: np.rot90(stored)}
        shown |= {7: stored[::-1, ::-1].transpose(1, 0, 2)}
        np.testing.assert_array_equal(found, shown[number])


def test_exif_after_the_pixels_of_a_png(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(tmp_path / "a.png", picture(), exif=exif).read_bytes()
    at = data.index(b"eXIf") - 4
    size = 12 + int.from_bytes(data[at : at + 4], "big")
    end = data.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(data[:at] + data[at + size : end] + data[at : at + size] + data[end:])
    assert read_image(tmp_path / "a.png").shape == (40, 24, 3)
    header = read_image_header(tmp_path / "a.png")
    assert (header.width, header.height) == (24, 40)


@pytest.mark.filterwarnings("ignore:::PIL.TiffImagePlugin")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0"]
)
def test_broken_or_impossible_exif_is_upright(tmp_path, exif):
    path = save(tmp_path / "a.jpg", picture(), exif=exif)
    assert read_image(path).shape == (24, 40, 3)
    assert read_image_header(path).width == 40


# What cannot be used


@pytest.mark.filterwarnings("ignore:::PIL.TiffImagePlugin")
@EITHER
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "is empty (0 bytes)"),
        ("lfs.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "Git-LFS pointer"),
        ("text.jpg", b"not an image at all", "is not an image"),
        ("page.png", b"<!DOCTYPE html><html>404</html>", "is not an image"),
        ("video.jpg", b"\0\0\0\x20ftypisom" + bytes(50), "is MP4, not an image"),
        ("phone.jpg", b"\0\0\0\x20ftypheic" + bytes(50), "is HEIF, which is not read here; convert it to JPEG"),
        ("eps.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
        ("begun.png", b"\x89PNG\r\n\x1a\n\0\0", ""),
        ("begun.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", ""),
        ("begun.gif", b"GIF89a", ""),
        ("begun.webp", b"RIFF\x10\0\0\0WEBPVP8 \0\0", ""),
        ("begun.tif", b"II*\0\x08\0\0\0", ""),
        ("begun.bmp", b"BM\0\0\0\0", ""),
        ("flat.png", png(0, 0, 8, 2, b""), ""),
    ],
)
def test_unusable_files_are_one_line(tmp_path, read, name, content, message):
    (tmp_path / name).write_bytes(content)
    error = error_of(read, tmp_path / name)
    assert error.code == "input" and error.file == str(tmp_path / name)
    assert message in str(error)


@EITHER
def test_missing_files_and_folders(tmp_path, read):
    assert error_of(read, tmp_path / "gone.png").code == "missing"
    assert "is a folder" in error_of(read, tmp_path).message
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    assert "link to a file that is missing" in error_of(read, tmp_path / "link.png").message
    assert error_of(read, "a\0b.png").code == "input"


@EITHER
@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_are_named(tmp_path, read, ending, share):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    thumbnail = b"Exif\0\0" + bytes(500) + b"\xff\xd9" + bytes(50)  # the end of a picture within the header
    path = save(tmp_path / f"a.{ending}", noise, exif=thumbnail)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    error = error_of(read, path)
    assert error.code == "input" and "is truncated" in error.message and "copy it again" in str(error)


def test_a_jpeg_with_something_after_its_end_is_whole(tmp_path):
    path = save(tmp_path / "a.jpg", picture())
    path.write_bytes(path.read_bytes() + bytes(3_000_000))
    assert read_image_header(path).width == 40 and read_image(path).shape == (24, 40, 3)


@pytest.mark.filterwarnings("ignore:::PIL.TiffImagePlugin")
@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "bmp", "ppm", "avif"])
def test_broken_bytes_never_raise_anything_else(tmp_path, ending):
    """Each of 150 files with a few bytes changed, cut out or cut off is read or is one named error."""
    rng = np.random.default_rng(1)
    exif = {} if ending in ("gif", "bmp", "ppm") else {"exif": Image.Exif()}
    good = save(tmp_path / f"a.{ending}", Image.fromarray(picture(30, 20)), **exif).read_bytes()
    path, bad = tmp_path / "b", 0
    for _ in range(150):
        data = bytearray(good)
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(0, 256)
        start = int(rng.integers(0, len(data)))
        cut = int(rng.integers(0, 3))
        path.write_bytes(data[:start] if cut == 1 else data[:start] + data[start + 5 :] if cut == 2 else data)
        for read in (read_image, read_image_header):
            try:
                read(path)
            except AffectkitError as error:
                assert error.code in ("input", "environment") and "\n" not in str(error)
                bad += 1
    assert bad > 10


def test_what_has_no_way_to_rgb_is_refused(tmp_path):
    floats = save(tmp_path / "f.tif", np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    assert "no plain way to RGB (F)" in error_of(read_image, floats).message
    wide = save(tmp_path / "i.tif", np.array([[0, 100_000]], np.int32))
    assert "has 32-bit samples" in error_of(read_image, wide).message


# Too large


def test_32_bits_in_a_tiff_are_refused_however_small(tmp_path):
    path = save(tmp_path / "dark.tiff", Image.fromarray(np.full((4, 4), 200, np.int32)))
    assert "has 32-bit samples" in error_of(read_image, path).message  # as 16 bits it would be black


def test_a_palette_that_is_not_there(tmp_path):
    data = bytearray(save(tmp_path / "a.png", Image.fromarray(picture()).convert("P")).read_bytes())
    start = data.index(b"PLTE")
    length = int.from_bytes(data[start - 4 : start], "big")
    del data[start - 4 : start + 8 + length]
    (tmp_path / "a.png").write_bytes(data)
    assert "is a damaged image" in error_of(read_image, tmp_path / "a.png").message


def test_damaged_tags_raise_no_warnings(tmp_path, recwarn):
    data = save(tmp_path / "a.tiff", picture()).read_bytes()
    for place in range(len(data) - 150, len(data)):
        (tmp_path / "b.tiff").write_bytes(data[:place] + b"\xff" + data[place + 1 :])
        try:
            read_image(tmp_path / "b.tiff")
        except AffectkitError as error:
            assert "\n" not in str(error)
    assert not recwarn.list


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    """1.6 gigapixels in 200 kB: the limit stands in the message; memory for them would be 5 GB."""
    bomb = png(40_000, 40_000, 1, 0, b"")
    for read in (read_image, read_image_header):
        (tmp_path / "bomb.png").write_bytes(bomb)
        error = error_of(read, tmp_path / "bomb.png")
        assert error.message == "has 40000 x 40000 pixels: the limit is 89,478,485"
    head = b"RIFF\x64\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2  # 16,383 x 16,383
    (tmp_path / "bomb.webp").write_bytes(head + bytes(100))
    assert "the limit is 89,478,485" in error_of(read_image, tmp_path / "bomb.webp").message


def test_the_limit_can_be_moved_and_pillows_own_does_not_matter(tmp_path, monkeypatch, recwarn):
    path = save(tmp_path / "a.png", picture())
    assert "has 40 x 24 pixels: the limit is 959" in error_of(read_image, path, most_pixels=959).message
    assert read_image(path, most_pixels=960).shape == (24, 40, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for ending in ("png", "jpg", "gif", "bmp"):
        assert read_image(save(tmp_path / f"b.{ending}", picture())).shape == (24, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 10 and MOST_PIXELS == 89_478_485
    assert not recwarn.list


# In use


def test_threads_read_what_one_reads(tmp_path):
    kinds = ["png", "jpg", "gif", "webp", "tif", "bmp"]
    paths = [save(tmp_path / f"{i}.{kinds[i % 6]}", picture(50, 40, seed=i)) for i in range(36)]
    alone = [read_image(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(alone, pool.map(read_image, paths), strict=True):
            np.testing.assert_array_equal(one, other)


def test_files_are_closed(tmp_path):
    import os

    path = save(tmp_path / "a.gif", picture())
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(20):
        read_image(path)
        read_image_header(path)
        error_of(read_image, tmp_path / "b.png")
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_the_source_is_not_changed(tmp_path):
    path = save(tmp_path / "a.jpg", picture())
    data = path.read_bytes()
    read_image(path)[:] = 0
    assert path.read_bytes() == data and read_image(path).any()
    assert Image.open(io.BytesIO(data)).size == (40, 24)
