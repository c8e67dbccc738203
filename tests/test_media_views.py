"""Views of test-time augmentation: what each shows of an image, counted in pixels."""

import numpy as np
import pytest

from affectkit.errors import AffectkitError
from affectkit.media.augment_images import PASSES, check_passes, view


def picture(height=100, width=150):
    """Each pixel says where it stands: (row, column, 0)."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1)


def test_the_first_view_is_the_image_itself():
    image = picture()
    assert PASSES[0] == (1.0, False)
    np.testing.assert_array_equal(view(image, *PASSES[0]), image)


def test_few_passes_have_a_mirror_image_and_both_changes_of_size():
    assert PASSES[1] == (1.0, True)
    assert {factor for factor, _ in PASSES[:4]} == {1.0, 0.96, 1.04}
    assert len(set(PASSES)) == len(PASSES), "an equal pass would count twice"
    assert all(0.96 <= factor <= 1.04 for factor, _ in PASSES)


def test_a_mirror_image_mirrored_is_the_image():
    image = picture()
    mirrored = view(image, 1.0, True)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])
    np.testing.assert_array_equal(view(mirrored, 1.0, True), image)
    assert mirrored.flags.c_contiguous


def test_a_smaller_view_is_the_middle():
    found = view(picture(), 0.96, False)
    assert found.shape == (96, 144, 3)
    assert found[0, 0].tolist() == [2, 3, 0] and found[-1, -1].tolist() == [97, 146, 0]


def test_a_larger_view_goes_on_with_the_edge():
    image = picture()
    found = view(image, 1.04, False)
    assert found.shape == (104, 156, 3)
    np.testing.assert_array_equal(found[2:-2, 3:-3], image)
    assert found[0, 0].tolist() == [0, 0, 0] and found[-1, -1].tolist() == [99, 149, 0]
    assert found[50, 0].tolist() == [48, 0, 0] and found[50, -1].tolist() == [48, 149, 0]


@pytest.mark.parametrize(("factor", "mirrored"), PASSES, ids=str)
def test_every_pass_is_a_mirrored_and_centred_cut(factor, mirrored):
    image = picture(51, 77)
    found = view(image, factor, mirrored)
    assert found.shape == (round(51 * factor), round(77 * factor), 3) and found.dtype == np.uint8
    if mirrored:
        np.testing.assert_array_equal(found[:, ::-1], view(image, factor, False))
    rows = found[:, 0, 0].astype(int)
    assert abs(rows[0] - (50 - rows[-1])) <= 1, "as much is left out, or added, above as below"


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3)], ids=str)
@pytest.mark.parametrize(("factor", "mirrored"), PASSES, ids=str)
def test_of_a_tiny_image_something_is_left(size, factor, mirrored):
    found = view(picture(*size), factor, mirrored)
    assert all(side >= 1 for side in found.shape)


def test_the_image_is_left_as_it_was():
    image = picture()
    image.flags.writeable = False
    for each in PASSES:
        view(image, *each)
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize("tta", [0, -1, len(PASSES) + 1])
def test_there_are_no_other_passes(tta):
    with pytest.raises(AffectkitError, match=f"--tta {tta}; use 1 to 10 passes") as caught:
        check_passes(tta)
    assert caught.value.code == "usage"
