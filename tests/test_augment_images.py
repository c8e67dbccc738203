"""Augmentation of images: each effect against a hand calculation or Pillow's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from affectkit.errors import AffectkitError
from affectkit.media import augment, augment_images
from affectkit.media.augment_images import KINDS, PRESETS, parse

VALUES = {
    "flip": ".5", "grey": ".5", "crop": ".8..1", "rotate": "10", "colour": ".2", "blur": ".2..1", "erase": ".02..0.2",
}  # fmt: skip
STRONGEST = {
    "flip": "1", "grey": "1", "crop": ".05", "rotate": "45..45", "colour": "1", "blur": "10", "erase": ".9",
}  # fmt: skip


def picture(height=40, width=60, seed=0):
    """Noise over a gradient: no two pixels, rows or columns are alike."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(40, 180, height * width).reshape(height, width, 1)
    return (ramp + rng.uniform(0, 60, (height, width, 3))).astype(np.uint8)


def augmented(text, image, seed=0):
    return parse(text).augment(image, np.random.default_rng(seed))


def where(part, image):
    """(top, left) of the only place where an image holds a part."""
    windows = np.lib.stride_tricks.sliding_window_view(image, part.shape)[:, :, 0]
    [place] = np.argwhere((windows == part).all(axis=(-3, -2, -1)))
    return tuple(place)


# What each effect does


def test_flip_mirrors_left_and_right():
    image = picture()
    expected = Image.fromarray(image).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    np.testing.assert_array_equal(augmented("flip=1", image), expected)
    np.testing.assert_array_equal(augmented("flip=0", image), image)


@pytest.mark.parametrize("effect", ["flip", "grey"])
def test_a_share_of_images_is_changed(effect):
    """Of 400 images .3 is 120, with a deviation of 9.2; `@.5` of them half as many."""
    image = picture(4, 5)
    for text, expected in ((f"{effect}=.3", 120), (f"{effect}=.3@.5", 60), (f"{effect}=.2...4", 120)):
        changed = sum((augmented(text, image, seed) != image).any() for seed in range(400))
        assert abs(changed - expected) < 30, text


def test_grey_is_pillows_luminance():
    image = picture()
    grey = augmented("grey=1", image)
    assert (grey == grey[..., :1]).all()
    difference = np.abs(grey[..., 0].astype(int) - np.asarray(Image.fromarray(image).convert("L")))
    assert difference.max() <= 1, "Pillow rounds down"


def test_crop_keeps_a_share_of_the_area_anywhere_in_the_image():
    image = picture(100, 150)
    places = []
    for seed in range(60):
        part = augmented("crop=.25", image, seed)
        assert part.shape == (50, 75, 3), "half of each side"
        places.append(where(part, image))
    tops, lefts = np.array(places).T
    assert tops.min() < 6 and tops.max() > 44 and lefts.min() < 8 and lefts.max() > 67


def test_the_share_that_is_kept_is_drawn_from_the_range():
    image = np.zeros((200, 300, 3), np.uint8)
    shares = [augmented("crop=.5..1", image, seed)[..., 0].size / 60000 for seed in range(300)]
    assert 0.49 < min(shares) < 0.52 and 0.98 < max(shares) <= 1
    assert np.mean(shares) == pytest.approx(0.75, abs=3 * 0.5 / np.sqrt(12 * 300))


def test_rotation_is_pillows():
    image = picture(41, 61)
    turned = augmented("rotate=30..30", image)
    np.testing.assert_array_equal(turned, Image.fromarray(image).rotate(30, Image.Resampling.BILINEAR))
    assert (turned[0, 0] == 0).all(), "corners that turn up are black"
    assert turned.shape == image.shape


def test_an_angle_alone_is_both_ways():
    image = picture(21, 21)
    image[:, :11] = 0  # the left half is dark: turned clockwise, the top of the middle column is dark
    image[:, 11:] = 255
    sides = {bool(augmented("rotate=20", image, seed)[3, 11, 0] > 128) for seed in range(20)}
    assert sides == {False, True}


def test_colours_are_changed_as_pillow_changes_them():
    """Saturation, then contrast, then brightness; Pillow rounds after each, and its means to whole numbers."""
    image = picture()
    rng = np.random.default_rng(5)
    rng.random(), rng.uniform()  # whether it is applied, and how strong it is
    saturation, contrast, brightness = rng.uniform(0.7, 1.3, 3)
    expected = ImageEnhance.Color(Image.fromarray(image)).enhance(saturation)
    expected = ImageEnhance.Contrast(expected).enhance(contrast)
    expected = np.asarray(ImageEnhance.Brightness(expected).enhance(brightness))
    found = augmented("colour=.3", image, 5)
    assert (found != image).any()
    assert np.abs(found.astype(int) - expected).max() <= 3


def test_no_change_of_colours_is_none():
    image = picture()
    np.testing.assert_array_equal(augmented("colour=0", image), image)


def test_the_brightness_and_saturation_of_many_images_spread_as_they_are_drawn():
    """Of a grey image only brightness changes: uniform in 1 - v to 1 + v, with a deviation of v / sqrt(3)."""
    image = np.full((8, 8, 3), 100, np.uint8)
    levels = np.array([augmented("colour=.4", image, seed).mean() / 100 for seed in range(500)])
    assert 0.6 <= levels.min() < 0.62 and 1.38 < levels.max() <= 1.4
    assert levels.std() == pytest.approx(0.4 / np.sqrt(3), rel=0.06)


def test_colours_do_not_wrap_round():
    image = np.full((4, 4, 3), 250, np.uint8)
    image[:2] = 3
    for seed in range(50):
        found = augmented("colour=1", image, seed).astype(int)
        assert (found[2:] >= found[:2]).all()


def test_blur_is_pillows_gaussian_in_percent_of_the_shorter_side():
    image = picture(100, 220)
    expected = Image.fromarray(image).filter(ImageFilter.GaussianBlur(2.0))
    np.testing.assert_array_equal(augmented("blur=2", image), expected)
    dot = np.zeros((101, 201, 3), np.uint8)
    dot[50, 100] = 255
    spread = augmented("blur=3", dot)[..., 0].astype(float)
    rows = np.arange(101) - 50.0
    assert np.sqrt((spread.sum(axis=1) * rows**2).sum() / spread.sum()) == pytest.approx(3.03, rel=0.15)


def test_erase_paints_a_rectangle_in_the_mean_colour():
    image = picture(100, 100)
    mean = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
    places, shares, aspects = [], [], []
    for seed in range(200):
        found = augmented("erase=.1", image, seed)
        changed = (found != image).any(axis=-1) | (image == mean).all(axis=-1)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert (found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == mean).all(), "one whole rectangle"
        shares.append(height * width / 1e4)
        aspects.append(width / height)
        places.append((rows[0], columns[0]))
    assert np.allclose(shares, 0.1, atol=0.004)
    assert 0.45 < min(aspects) < 0.6 and 1.7 < max(aspects) < 2.2
    assert np.min(places) < 5 and np.max(places) > 60


# What every effect owes


@pytest.mark.parametrize("effect", list(KINDS))
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 400)], ids=str)
def test_tiny_and_narrow_images_come_through(effect, size):
    image = picture(*size)
    for seed in range(20):
        found = augmented(f"{effect}={STRONGEST[effect]}", image, seed)
        assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3 and found.size


@pytest.mark.parametrize("text", [*PRESETS, *(f"{name}={value}" for name, value in STRONGEST.items())])
def test_the_same_draws_give_the_same_image_and_leave_the_other_as_it_was(text):
    image = picture()
    image.flags.writeable = False
    before = image.copy()
    for seed in range(5):
        found = augmented(text, image, seed)
        np.testing.assert_array_equal(found, augmented(text, image, seed))
        assert found.dtype == np.uint8
        Image.fromarray(found)  # whatever its strides
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("text", [text for text in PRESETS if text != "none"])
def test_other_draws_give_other_images(text):
    image = picture()
    assert len({augmented(text, image, seed).tobytes() for seed in range(20)}) > 10


@settings(max_examples=60)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1), st.sampled_from(["light", "strong"]))
def test_any_image_is_augmented_to_an_image_within_it(height, width, seed, preset):
    found = augmented(preset, picture(height, width), seed)
    assert found.dtype == np.uint8
    assert 1 <= found.shape[0] <= height and 1 <= found.shape[1] <= width


def test_effects_are_applied_from_left_to_right():
    image = picture(41, 41)
    turned, mirrored = Image.Transpose.ROTATE_90, Image.Transpose.FLIP_LEFT_RIGHT
    for text, first, second in (
        ("rotate=90..90,flip=1", turned, mirrored),
        ("flip=1,rotate=90..90", mirrored, turned),
    ):
        expected = Image.fromarray(image).transpose(first).transpose(second)
        np.testing.assert_array_equal(augmented(text, image), expected)


# The option


def test_values_are_tested_of_every_effect():
    assert set(VALUES) == set(STRONGEST) == set(KINDS)


@pytest.mark.parametrize("text", ["", " ", "none", ","])
def test_nothing_is_asked_for(text):
    assert not parse(text)
    assert str(parse(text)) == "none"
    image = picture()
    assert augmented(text, image) is image


@pytest.mark.parametrize("text", [*PRESETS, *(f"{n}={v}@.5" for n, v in VALUES.items()), "rotate=3..3", "rotate=-5..9"])
def test_its_text_means_the_same(text):
    assert parse(str(parse(text))) == parse(text)


def test_it_is_written_as_for_waveforms():
    """One grammar: presets of the same names, ranges, `@` for how often, and effects that replace a preset's own."""
    assert set(augment_images.PRESETS) == set(augment.PRESETS)
    light = parse("light").effects
    changed = parse("light,crop=.5@.1").effects
    assert [effect.name for effect in changed] == [effect.name for effect in light]
    assert str(parse("crop=.5@.1,light").effects[0]) == "crop=0.5@0.1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flp=.5", "there is no augmentation 'flp'; did you mean flip"),
        ("gain=6", "there is no augmentation 'gain'"),
        ("flip", "augmentation flip: '' is not a share, 0 to 1; write flip=.5@.5"),
        ("flip=2", "'2' is not a share"),
        ("crop=0", "'0' is not a share of the area, .05 to 1"),
        ("crop=1..0.5", "'1..0.5' is not"),
        ("rotate=270", "an angle of at most 180 degrees"),
        ("rotate=-5", "'-5' is not"),
        ("blur=nan", "'nan' is not"),
        ("erase=1", "a share of the area, 0 to .9"),
        ("colour=.2@0", "'0' is no probability above 0"),
        ("colour=2x.2", "'2x.2' is not a change"),
        ("grey=.1,grey=.2", "augmentation grey is given twice"),
    ],
)
def test_what_cannot_be_meant(text, said):
    with pytest.raises(AffectkitError) as caught:
        parse(text)
    assert caught.value.code == "usage"
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [*PRESETS, "flip=.5,rotate=30@.5,crop=.3..1,erase=.1..0.3"])
def test_pictures_of_one_row_are_drawn_alike_whatever_their_sizes(text):
    """Twice the same picture stays that beside others; a picture of another size is mirrored where it is."""
    rng = np.random.default_rng(4)
    first = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for seed in range(12):
        small = np.ascontiguousarray(first[:7, :9])
        one, other, again = parse(text).augment_alike([first, small, first], np.random.default_rng(seed))
        assert np.array_equal(one, again) and other.shape[0] <= 7
        mirrored = parse("flip=.5").augment_alike([first, small], np.random.default_rng(seed))
        assert np.array_equal(mirrored[0][:, 0], first[:, -1]) == np.array_equal(mirrored[1][:, 0], small[:, -1])
