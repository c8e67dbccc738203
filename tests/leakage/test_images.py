"""Copies of images: equal pixels in another container, re-saved and resized ones; and what is no copy."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFilter
from scipy.fft import dctn

from affectkit.leakage.audit import audit
from affectkit.leakage.near_images import MOST_BITS, candidates, hashes_of, sets_of_copies, thumbnail, thumbnail_of
from affectkit.media import read_header, read_headers, read_image_header


def face(rng: np.random.Generator, canvas: Image.Image, x: float, y: float, half: float) -> None:
    """A person of their own on the canvas: head, hair, eyes and mouth of their own sizes and colours."""
    draw = ImageDraw.Draw(canvas)
    skin, hair = (int(v) for v in rng.integers(90, 235, 2)), tuple(int(v) for v in rng.integers(10, 160, 3))
    tone = next(skin)
    wide, high = half * rng.uniform(0.7, 1), half * rng.uniform(1, 1.3)
    draw.ellipse([x - 1.15 * wide, y - 1.2 * high, x + 1.15 * wide, y + rng.uniform(0.2, 1) * high], fill=hair)
    draw.ellipse([x - wide, y - high, x + wide, y + high], fill=(tone, int(tone * 0.8), int(tone * 0.65)))
    apart, eye, mouth = wide * rng.uniform(0.35, 0.55), wide * rng.uniform(0.1, 0.22), wide * rng.uniform(0.2, 0.6)
    for side in (-1, 1):
        draw.ellipse([x + side * apart - eye, y - eye * 2, x + side * apart + eye, y], fill=hair)
    low = y + high * rng.uniform(0.4, 0.65)
    draw.arc(
        [x - mouth, low - mouth / 2, x + mouth, low + mouth / 2], *sorted(rng.integers(0, 360, 2)), fill=0, width=3
    )


def wall(rng: np.random.Generator, width: int = 160, height: int = 120) -> Image.Image:
    """A background: soft patches of colour."""
    patches = Image.fromarray(rng.integers(40, 220, (6, 8, 3), dtype=np.uint8))
    return patches.resize((width, height), Image.Resampling.BICUBIC)


def portrait(seed: int, background: int | None = None) -> np.ndarray:
    """[120, 160, 3] uint8: somebody before a wall; the wall is that of seed `background`."""
    rng = np.random.default_rng([seed, 1])
    canvas = wall(np.random.default_rng([seed if background is None else background, 2]))
    face(rng, canvas, 80 + rng.uniform(-4, 4), 62 + rng.uniform(-4, 4), 30)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.7)))


def resaved(image: np.ndarray, quality: int = 70) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def halved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return np.asarray(Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.BICUBIC))


def save(path: Path, image: np.ndarray, **options) -> Path:
    Image.fromarray(image).save(path, **options)
    return path


def run(level: str, train: list[Path], test: list[Path], **options):
    paths = train + test
    rows = pd.DataFrame({"id": [p.name for p in paths], "split": ["train"] * len(train) + ["test"] * len(test)})
    headers = read_headers(paths, read=lambda p: read_header(p) if Path(p).suffix == ".wav" else read_image_header(p))
    headers = [header if not isinstance(header, Exception) else None for header in headers]
    return audit(rows, level=level, media=paths, headers=headers, **options)


@pytest.fixture
def corpus(tmp_path) -> list[Path]:
    return [save(tmp_path / f"p{i}.png", portrait(i)) for i in range(8)]


# Through the audit


def test_different_people_are_no_leak(corpus):
    for level in ("content", "near"):
        report = run(level, corpus[:4], corpus[4:])
        assert report.leaks == () and report.notes == ()


@pytest.mark.parametrize("ending", ["bmp", "tif", "webp", "ppm", "png"])
def test_equal_pixels_in_another_container(corpus, tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {"compress_level": 1} if ending == "png" else {}
    twin = save(tmp_path / f"twin.{ending}", portrait(1), **options)
    assert run("names", corpus[:4], [*corpus[4:], twin]).leaks == ()
    for level in ("content", "near"):  # told once
        (leak,) = run(level, corpus[:4], [*corpus[4:], twin]).leaks
        assert (leak.kind, leak.what, leak.count, leak.sides) == ("media", "identical media", 1, ("train", "test"))
        assert leak.examples[0]["ids"] == {"train": "p1.png", "test": twin.name}


def test_equal_pixels_where_one_is_turned_by_exif(corpus, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8  # shown turned to the left, so stored turned to the right
    twin = save(tmp_path / "twin.png", np.ascontiguousarray(np.rot90(portrait(1), -1)), exif=exif)
    assert [leak.what for leak in run("content", corpus[:4], [twin]).leaks] == ["identical media"]


def test_plain_colours_are_not_compared(tmp_path):
    paths = [save(tmp_path / f"{name}.png", np.full((40, 40, 3), 200, np.uint8)) for name in "abc"]
    report = run("near", paths[:2], paths[2:])
    assert report.leaks == ()
    assert report.notes == ("3 files hold one value throughout (silence, a plain colour) and were not compared",)


@pytest.mark.parametrize(
    "copy",
    [resaved, halved, lambda image: resaved(halved(image)), lambda image: resaved(image, 40)],
    ids=["q70", "half", "half-q70", "q40"],
)
def test_altered_copies_are_found(corpus, tmp_path, copy):
    twin = save(tmp_path / "twin.png", copy(portrait(2)))
    assert run("content", corpus[:4], [*corpus[4:], twin]).leaks == ()
    (leak,) = run("near", corpus[:4], [*corpus[4:], twin], num_workers=2).leaks
    assert (leak.kind, leak.what, leak.count, leak.rows) == ("media", "near-identical media", 1, 2)
    assert leak.examples[0]["ids"] == {"train": "p2.png", "test": "twin.png"}
    assert run("near", [*corpus[:4], twin], corpus[4:]).leaks == ()  # on one side it is no leak


def test_sound_and_images_in_one_manifest(corpus, tmp_path, tone):
    twin = save(tmp_path / "twin.jpg", portrait(2), quality=70)
    sounds = [tone(tmp_path / "a.wav"), tone(tmp_path / "b.wav")]
    report = run("near", [*corpus, sounds[0]], [twin, sounds[1]])
    assert {leak.what for leak in report.leaks} == {"identical media", "near-identical media"}
    assert report.notes == ()


def test_images_that_cannot_be_decoded_are_noted(corpus):
    data = corpus[1].read_bytes()
    header = [read_image_header(path) for path in corpus[:2]]
    corpus[1].write_bytes(data[: len(data) // 2])
    rows = pd.DataFrame({"id": ["a", "b"], "split": ["train", "test"]})
    report = audit(rows, level="near", media=corpus[:2], headers=header)
    assert report.leaks == ()
    assert all("1 files were not compared, the first: " in note and "truncated" in note for note in report.notes)


# How often it errs


def sets_among(images: list[np.ndarray], sides: np.ndarray) -> list[list[int]]:
    smallest = np.array([min(image.shape[:2]) for image in images])
    return sets_of_copies(np.stack([thumbnail_of(image) for image in images]), smallest, sides)


@pytest.mark.parametrize("background", [None, pytest.param(0, marks=pytest.mark.slow)], ids=["own walls", "one wall"])
def test_of_500_people_no_two_are_taken_for_one_and_every_copy_is_found(background):
    """124,750 pairs of different portraits; then 100 of them re-saved, halved, and both."""
    images = [portrait(seed, background) for seed in range(500)]
    assert sets_among(images, np.arange(500)) == []
    for alter in (resaved, halved, lambda image: resaved(halved(image))):
        copies = [alter(image) for image in images[:100]]
        found = sets_among(images + copies, np.repeat([0, 1], [500, 100]))
        assert found == [[place, 500 + place] for place in range(100)]


def test_plain_and_shaded_walls_are_no_copies():
    rng = np.random.default_rng(0)
    plain = [np.full((64, 64, 3), rng.integers(0, 256, 3), np.uint8) for _ in range(100)]
    shade = np.linspace(0, 1, 64)[None, :, None] * np.ones((64, 64, 3))
    shaded = [(rng.uniform(20, 100) + rng.uniform(50, 150) * shade + rng.normal(0, 2, shade.shape)) for _ in range(100)]
    assert sets_among(plain + [image.clip(0, 255).astype(np.uint8) for image in shaded], np.arange(200)) == []


def test_tiny_images_are_not_judged():
    small = [np.asarray(Image.fromarray(portrait(0)).resize((30, 22))) for _ in range(2)]
    assert sets_among(small, np.arange(2)) == []
    assert sets_among([portrait(0)] * 2, np.arange(2)) == [[0, 1]]


# The parts


def test_the_hash_against_scipys_transform():
    thumbnails = np.stack([thumbnail_of(portrait(seed)) for seed in range(5)])
    for picture, found in zip(thumbnails, hashes_of(thumbnails), strict=True):
        low = dctn(picture.astype(float))[1:9, 1:9].ravel()
        expected = np.packbits(low > np.median(low)).view(np.uint64)[0]
        assert int(found ^ expected).bit_count() <= 1  # a value next to the median may fall to either side
    assert hashes_of(np.zeros((0, 32, 32), np.uint8)).shape == (0,)


def test_a_thumbnail_is_that_of_the_file(corpus):
    np.testing.assert_array_equal(thumbnail(corpus[3]), thumbnail_of(portrait(3)))
    assert thumbnail(corpus[3]).shape == (32, 32)


def test_candidates_by_hand(monkeypatch):
    hashes = np.array([0, (1 << MOST_BITS) - 1, (1 << (MOST_BITS + 1)) - 1, 0], np.uint64)
    expected = [(0, 1), (0, 3), (1, 2), (1, 3)]

    def found(sides):
        return sorted((int(i), int(j)) for part in candidates(hashes, np.array(sides)) for i, j in part)

    assert found([0, 1, 2, 3]) == expected
    assert found([0, 0, 1, 0]) == [(1, 2)]
    monkeypatch.setattr("affectkit.leakage.near_images._ROWS", 1)
    assert found([0, 1, 2, 3]) == expected


def test_copies_of_one_picture_are_one_set():
    """A moving camera: each picture is like the next, and all of them are one set, whichever the sides."""
    images = [portrait(0)] * 4 + [portrait(1)] * 2 + [portrait(2)]
    assert sets_among(images, np.array([0, 0, 1, 2, 0, 1, 1])) == [[0, 1, 2, 3], [4, 5]]
    assert sets_among(images, np.zeros(7, int)) == []


# --- Several pictures of a row


def of_several(tmp_path, pictures, **options):
    """An audit of rows, each of several pictures, one row of train and one of test."""
    rows = pd.DataFrame({"id": ["a", "b"], "split": ["train", "test"]})
    beside = [{path: read_image_header(path) for path in row[1:]} for row in pictures]
    first = [row[0] for row in pictures]
    return audit(rows, media=first, headers=list(map(read_image_header, first)), beside=beside, **options)


@pytest.mark.parametrize("place", [1, 2])
def test_a_copy_is_named_in_whichever_picture_of_a_row_it_is(tmp_path, corpus, place):
    copy = save(tmp_path / "again.bmp", np.asarray(Image.open(corpus[place])))
    clean = of_several(tmp_path, [corpus[:3], corpus[3:6]])
    report = of_several(tmp_path, [corpus[:3], [*corpus[3:5], copy]])
    assert not clean.leaks
    [leak] = report.leaks
    assert (leak.kind, leak.count, leak.total, leak.rows) == ("media", 1, 6, 2)
    assert leak.values[0].ids == ("a", "b") and {copy.name, corpus[place].name} == {
        Path(file).name for file in leak.values[0].files
    }
    assert set(report.copies("train")) == {"a"}


def test_pictures_of_one_row_are_no_leak_and_two_copies_count_their_rows_once(corpus):
    assert not of_several(None, [[corpus[0], corpus[0], corpus[1]], corpus[2:5]]).leaks
    [path] = of_several(None, [corpus[:2], corpus[:2]], level="names").leaks
    assert (path.what, path.rows) == ("path", 2)


@pytest.mark.parametrize(
    ("more", "leaks"),
    [
        ({}, ["path_heat"]),
        ({"array_index": ["0", "1"]}, []),  # arrays hold all rows
        ({"path": ["x.png", "x.png"]}, ["path"]),  # the same column again
    ],
)
def test_by_name_the_columns_of_pictures_are_compared_too(more, leaks):
    rows = pd.DataFrame({"id": ["a", "b"], "split": ["train", "test"], "path_heat": ["x.png", "x.png"], **more})
    media = [Path(cell) for cell in more["path"]] if "path" in more else None
    assert [leak.what for leak in audit(rows, level="names", media=media).leaks] == leaks
