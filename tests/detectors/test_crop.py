"""Crops against slices of the image, and against torch's bilinear interpolation."""

import numpy as np
import pytest
import torch

from affectkit.detectors._detector import Face, crop, square_of


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(1, 256, (60, 80, 3), dtype=np.uint8)


def test_landmarks_give_the_evaluation_crop():
    points = np.zeros((68, 2), dtype=np.float32)
    points[:, 0], points[:, 1] = np.linspace(20, 60, 68), np.linspace(10, 80, 68)
    centre, side, how = square_of(Face((0, 0, 9, 9), landmarks=points), box_scale=2.0)
    assert centre == pytest.approx((40, 45)) and side == pytest.approx(0.909 * (40 + 70)) and how == "landmarks"


def test_a_box_is_squared_by_its_longer_side():
    assert square_of(Face((10, 20, 30, 40))) == ((25, 40), 40, "box")
    assert square_of(Face((10, 20, 30, 40)), box_scale=1.5)[1] == 60
    one_point = Face((10, 20, 30, 40), landmarks=np.full((68, 2), 7, dtype=np.float32))
    assert square_of(one_point)[2] == "box"


def test_a_square_of_its_own_size_is_a_slice(image):
    np.testing.assert_array_equal(crop(image, (40, 30), 20, 20), image[20:40, 30:50])


def test_outside_the_image_it_is_black(image):
    cut = crop(image, (0, 0), 20, 20)  # the top left corner is its middle
    np.testing.assert_array_equal(cut[10:, 10:], image[:10, :10])
    assert not cut[:10].any() and not cut[:, :10].any()
    cut = crop(image, (80, 60), 20, 20)
    np.testing.assert_array_equal(cut[:10, :10], image[50:, 70:])
    assert not cut[10:].any() and not cut[:, 10:].any()
    assert not crop(image, (500, 500), 20, 20).any()
    assert not crop(image, (-500, 30), 20, 20).any()


def test_a_square_around_all_of_the_image_keeps_all_of_it(image):
    cut = crop(image, (40, 30), 100, 100)
    np.testing.assert_array_equal(cut[20:80, 10:90], image)
    assert cut.astype(int).sum() == image.astype(int).sum()


def test_it_enlarges_as_torch_does(image):
    cut = crop(image, (40, 30), 16, 64)
    # torch repeats the edge of what it is given, the crop looks at the pixels beyond: compared inside
    inner = torch.from_numpy(image[22:38, 32:48].copy()).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(inner, (64, 64), mode="bilinear", align_corners=False)[0]
    given = cut.transpose(2, 0, 1).astype(float)
    assert np.abs(given - expected.numpy())[:, 2:-2, 2:-2].max() <= 1


def test_it_averages_when_it_makes_smaller(image):
    cut = crop(image, (32, 30), 48, 12)
    inner = torch.from_numpy(image[6:54, 8:56].copy()).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(inner, (12, 12), mode="bilinear", antialias=True)[0].numpy()
    assert np.abs(cut.transpose(2, 0, 1) - expected)[:, 1:-1, 1:-1].max() <= 1


def test_fractions_of_a_pixel_count():
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 50, axis=0).repeat(3, axis=2)  # 2 x at x
    left, right = crop(ramp, (50.0, 25), 20, 20), crop(ramp, (50.5, 25), 20, 20)
    np.testing.assert_array_equal(right.astype(int) - left, 1)


@pytest.mark.parametrize(("side", "size"), [(0.01, 8), (1, 256), (3.3, 7)])
def test_small_squares_have_their_size(image, side, size):
    cut = crop(image, (40.2, 30.7), side, size)
    assert cut.shape == (size, size, 3) and cut.dtype == np.uint8 and cut.any()


def test_a_square_beyond_a_large_image_needs_no_more_than_it():
    large = np.full((2000, 3000, 3), 200, dtype=np.uint8)
    cut = crop(large, (1500, 1000), 5000, 250)
    inside = (cut > 100).all(axis=2)
    assert inside[125, 125] and not inside[0].any() and inside.mean() == pytest.approx(0.24, abs=0.01)  # 6 of 25 Mpx


def test_views_that_are_not_contiguous_are_cut_the_same(image):
    mirrored = image[:, ::-1]
    np.testing.assert_array_equal(crop(mirrored, (40, 30), 20, 20), mirrored[20:40, 30:50])
