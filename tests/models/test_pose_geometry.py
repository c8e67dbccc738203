"""The arithmetic of landmarks of poses, against hand calculation."""

import math

import numpy as np
import pytest

from affectkit.models import pose_geometry as geometry
from affectkit.models.pose_geometry import Region, Track

CENTRES = geometry.anchors()
NOBODY = np.full(2254, -20.0)


def detections(*people):
    """The detector's answers for (hips, top, face, logit) in its pixels, each from the anchor that is nearest."""
    boxes, scores = np.zeros((2254, 12)), NOBODY.copy()
    for hips, top, face, logit in people:
        free = np.where(scores > -20, np.inf, np.linalg.norm(224 * CENTRES - face[:2], axis=1))
        place = int(np.argmin(free))
        centre = 224 * CENTRES[place]
        boxes[place] = [*(face[:2] - centre), *face[2:], *(hips - centre), *(top - centre), 0, 0, 0, 0]
        scores[place] = logit
    return boxes, scores


def found(*people):
    return geometry.persons(*detections(*[[np.array(part) for part in person] for person in people]), CENTRES)


def test_anchors_are_the_cells_of_five_grids():
    """28 x 28 cells of stride 8 with two, 14 x 14 with two, 7 x 7 with two of each of three layers."""
    assert CENTRES.shape == (2254, 2) == (28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6, 2)
    np.testing.assert_allclose(224 * CENTRES[[0, 1, 2, 56, 1568, 1960, -1]],
                               [[4, 4], [4, 4], [12, 4], [4, 12], [8, 8], [16, 16], [208, 208]])  # fmt: skip


def test_boxes_of_one_person_are_averaged_by_their_scores():
    one = ([100, 120], [100, 40], [100, 50, 20, 20], math.log(3))  # probability 3/4
    again = ([104, 120], [100, 44], [101, 51, 20, 20], math.log(1.5))  # 3/5
    other = ([30, 120], [30, 40], [30, 50, 20, 20], math.log(2))
    weak = ([200, 120], [200, 40], [200, 50, 20, 20], -0.1)
    people = found(weak, again, other, one)
    assert people.shape == (2, 2, 2)  # the surest first; the weak one is below .5
    np.testing.assert_allclose(people[0], [[100 + 4 * 0.6 / 1.35, 120], [100, 40 + 4 * 0.6 / 1.35]])
    np.testing.assert_allclose(people[1], [[30, 120], [30, 40]])
    assert geometry.persons(np.zeros((2254, 12)), NOBODY, CENTRES).shape == (0, 2, 2)


def test_boxes_without_an_area_are_persons_of_their_own():
    assert len(found(([10, 10], [10, 5], [10, 10, 0, 0], 3), ([90, 90], [90, 60], [90, 90, -5, 5], 3))) == 2


def test_overlap_is_intersection_over_union():
    boxes = np.array([[5, 5, 10, 10], [10, 5, 10, 10], [30, 30, 10, 10], [5, 5, 0, 0]], float)
    np.testing.assert_allclose(geometry._overlap(boxes, boxes[0]), [1, 50 / 150, 0, 0])


@pytest.mark.parametrize(("top", "turn"), [((50, 20), 0), ((80, 50), 90), ((50, 80), -180), ((20, 50), -90)])
def test_the_region_is_upright_along_the_person(top, turn):
    """The square around a circle of radius 30, 1.25 times as large."""
    region = geometry.around(np.array([50, 50]), np.array(top))
    assert (region.x, region.y) == (50, 50) and region.side == pytest.approx(75)
    assert math.degrees(region.turn) == pytest.approx(turn)


@pytest.mark.parametrize("top", [(50, 50), (math.nan, 3), (math.inf, 3), (1e9, 3)])
def test_no_region_around_points_that_are_none(top):
    assert geometry.around(np.array([50.0, 50.0]), np.array(top)) is None
    assert geometry.around(np.array(top), np.array([50.0, 50.0])) is None


def test_a_crop_at_its_own_size_is_a_slice():
    pytest.importorskip("cv2")
    frame = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    region = Region(70 + 128, 30 + 128, 256)
    np.testing.assert_array_equal(geometry.crop(frame, region, 256, "edge"), frame[30:286, 70:326])
    np.testing.assert_array_equal(
        geometry.on_frame(np.array([[0, 0], [256, 128]]), region, 256), [[70, 30], [326, 158]]
    )


def test_beyond_the_frame_it_is_black_or_the_edge_goes_on():
    pytest.importorskip("cv2")
    frame = np.full((20, 40, 3), 200, np.uint8)
    square = geometry.whole(20, 40)
    assert square == Region(20, 10, 40)
    black = geometry.crop(frame, square, 40, "black")
    assert not black[:9].any() and (black[11:29] == 200).all() and not black[31:].any()
    assert (geometry.crop(frame, square, 40, "edge") == 200).all()


def test_a_turned_crop_shows_the_person_upright():
    """A dot right of the hips, where the top is, stands above them in the crop; both come back to where they were."""
    pytest.importorskip("cv2")
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[99:102, 139:142] = 255
    region = geometry.around(np.array([100, 100]), np.array([140, 100]))
    crop = geometry.crop(frame, region, 256, "edge").mean(axis=2)
    rows, columns = np.nonzero(crop > 100)
    dot = np.array([columns.mean(), rows.mean()])
    np.testing.assert_allclose(dot, [128, 128 - 40 * 256 / 100], atol=1.5)
    np.testing.assert_allclose(geometry.on_frame(dot[None], region, 256), [[140, 100]], atol=0.6)


# --- Heatmaps


def heat(*cells, logit=100.0):
    """[64, 64, 1], -100 but for (row, column)."""
    logits = np.full((64, 64, 1), -100.0)
    for row, column in cells:
        logits[row, column] = logit
    return logits


@pytest.mark.parametrize(
    ("cells", "point"),
    [
        ([(10, 20)], (80, 40)),
        ([(10, 20), (10, 22)], (84, 40)),
        ([(14, 24)], (96, 56)),  # four cells away
        ([(10, 25)], (83, 42)),  # five: the landmark stays
        ([], (83, 42)),
    ],
)
def test_a_landmark_moves_to_the_mass_around_it(cells, point):
    np.testing.assert_allclose(geometry.refined(np.array([[83.0, 42.0]]), heat(*cells)), [point], atol=1e-6)


def test_a_heatmap_below_a_half_moves_nothing_and_neither_does_one_beside_the_landmark():
    inside, outside = np.array([[83.0, 42.0]]), np.array([[-9.0, 300.0]])
    np.testing.assert_array_equal(geometry.refined(inside, heat((10, 20), logit=-0.1)), inside)
    np.testing.assert_allclose(geometry.refined(inside, heat((10, 20), logit=0.1)), [[80, 40]], atol=1e-6)
    np.testing.assert_array_equal(geometry.refined(outside, heat((63, 0))), outside)
    np.testing.assert_array_equal(geometry.refined(np.array([[math.nan, 1]]), heat()), [[math.nan, 1]])


def test_at_the_rim_of_a_heatmap_there_are_fewer_cells():
    np.testing.assert_allclose(
        geometry.refined(np.array([[1.0, 254.0]]), heat((63, 0), (63, 4))), [[8, 252]], atol=1e-6
    )


def test_points_of_an_answer():
    answer = np.zeros((39, 5))
    answer[5] = [10, 20, -30, math.log(4), -9]
    points = geometry.points_of(answer.ravel(), np.full((64, 64, 39), -100.0))
    assert points.shape == (39, 4)
    np.testing.assert_allclose(points[5], [10, 20, -30, 0.8])


# --- Over time


def test_the_region_follows_a_person_who_moves():
    """By hand: 20 px in .1 s are 1 diameter (200 px) per s, which counts .3859; the cut-off is 3.869 Hz, its weight
    .7085."""
    first = np.array([[300.0, 300.0], [300.0, 200.0]])
    track = geometry.tracked(None, first, 0)
    assert track.region(0.1) == geometry.around(*first)
    track = geometry.tracked(track, first + [20, 0], 0.1)
    np.testing.assert_allclose(track.steady - first, [[14.170, 0], [14.170, 0]], atol=0.002)
    np.testing.assert_allclose(track.speed, [[0.3859, 0], [0.3859, 0]], atol=1e-4)


def test_the_region_keeps_still_where_the_person_does():
    rng, place = np.random.default_rng(0), np.array([[300.0, 300.0], [300.0, 200.0]])
    track, steady = None, []
    for frame in range(300):
        track = geometry.tracked(track, place + rng.normal(0, 0.5, (2, 2)), frame / 30)
        steady.append(track.steady)
    assert np.std(steady[30:], axis=0).max() < 0.5 / 3
    np.testing.assert_allclose(track.steady, place, atol=0.5)


def test_after_a_gap_the_person_may_be_anywhere():
    track = geometry.tracked(None, np.array([[300.0, 300.0], [300.0, 200.0]]), 2.0)
    assert track.region(2.5) and not track.region(2.6) and not track.region(2.0)


def test_who_is_followed():
    near, far = np.array([[110, 100], [110, 50.0]]), np.array([[300, 100], [300, 50.0]])
    lost = Track(np.array([[100, 100], [100, 50.0]]), np.zeros((2, 2)), np.zeros((2, 2)), 1.0)
    both = np.stack([far, near])
    assert (geometry.chosen(both, None, 1.1) == far).all()
    assert (geometry.chosen(both, lost, 1.1) == near).all()
    assert geometry.chosen(both[:1], lost, 1.1) is None  # another person, and the one followed may be back
    assert (geometry.chosen(both[:1], lost, 1.6) == far).all()
    assert (geometry.chosen(both, lost, 9) == near).all()
    assert geometry.chosen(both[:0], None, 0) is None and geometry.chosen(both[:0], lost, 9) is None
