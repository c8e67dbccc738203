import numpy as np
import pytest

from affectkit.detectors import columns
from affectkit.errors import AffectkitError

IMAGE = np.zeros((100, 200, 3), dtype=np.uint8)
POINTS = np.stack([np.linspace(40, 80, 68), np.linspace(30, 90, 68)], axis=1).astype(np.float32)
JOINED = ";".join(f"{value}" for value in POINTS.reshape(-1))


def detect(**row):
    return columns.build().detect(IMAGE, row)


def box(x, y, width, height):
    return {"face_x": x, "face_y": y, "face_width": width, "face_height": height}


def test_a_box_of_the_row():
    (face,) = detect(**box("10", "20.5", 30, 40.0))
    assert face.box == (10.0, 20.5, 30.0, 40.0) and face.landmarks is None and face.score == 1.0


def test_box_and_landmarks_are_both_kept():
    """What reads the face takes the one that it was trained on."""
    (face,) = detect(**box(0, 0, 5, 5), landmarks=JOINED)
    np.testing.assert_array_equal(face.landmarks, POINTS)
    assert face.box == (0, 0, 5, 5)


@pytest.mark.parametrize("values", [("", "", "", ""), (10, 10, -5, 5)])
def test_landmarks_make_a_box_where_the_row_has_no_usable_one(values):
    (face,) = detect(**box(*values), landmarks=JOINED)
    assert face.box == pytest.approx((40, 30, 40, 60))


def test_landmarks_alone_are_enough():
    assert len(detect(landmarks=JOINED)) == 1
    assert detect(landmarks="") == []


def test_a_row_without_landmarks_has_its_box():
    assert detect(**box(1, 2, 3, 4), landmarks="")[0].box == (1, 2, 3, 4)
    assert detect(**box(1, 2, 3, 4), landmarks=float("nan"))[0].landmarks is None


@pytest.mark.parametrize(
    "values",
    [
        ("", "", "", ""),
        (None, None, None, None),
        (1, 2, float("nan"), 4),
        (1, 2, float("inf"), 4),
        (10, 10, -5, 5),  # as in AffectNet's own lists
        (10, 10, 0, 5),
        (200, 10, 5, 5),  # begins where the image ends
        (-5, 10, 5, 5),
        (0, 0, 5000, 5000),  # larger than any face in an image of 200 x 100
    ],
)
def test_an_empty_or_impossible_box_is_no_face(values):
    assert detect(**box(*values)) == []


def test_a_box_that_reaches_over_the_border_is_a_face():
    assert detect(**box(-4, 10, 5, 5))[0].box == (-4, 10, 5, 5)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "a.jpg"}, "the manifest has no columns of faces"),
        ({"face_x": 1, "face_y": 2}, "the manifest has no columns of faces"),
        (box("left", 2, 3, 4), "'face_x' holds 'left', which is no number"),
        ({"landmarks": "1;2;3"}, r"'landmarks' holds 3 finite numbers, not 136 \(68 points x;y\)"),
        ({"landmarks": JOINED.replace("40.0", "x", 1)}, "'landmarks' holds what is no number"),
        ({"landmarks": JOINED.replace("40.0", "nan", 1)}, "'landmarks' holds 135 finite numbers, not 136"),
    ],
)
def test_a_bad_row_is_an_error(row, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        detect(**row)
    assert caught.value.code == "input"
