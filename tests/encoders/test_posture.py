"""The fifteen posture features against hand calculations on constructed skeletons."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.encoders import _posture as posture
from affectkit.encoders._layouts import BODIES

PARTS = BODIES[33]
NAMES = list(posture.FEATURES)


def skeleton(**moved):
    """[1, 33, 4]: shoulders 80 apart, hips 100 below them, nose 60 above."""
    points = np.full((1, 33, 4), np.nan)
    places = {
        "nose": (0, -60), "left_eye": (8, -65), "right_eye": (-8, -65), "left_ear": (20, -60), "right_ear": (-20, -60),
        "left_shoulder": (40, 0), "right_shoulder": (-40, 0), "left_elbow": (50, 50), "right_elbow": (-50, 50),
        "left_wrist": (45, 90), "right_wrist": (-45, 90), "left_hip": (30, 100), "right_hip": (-30, 100),
    }  # fmt: skip
    for name, (x, y) in {**places, **moved}.items():
        points[0, PARTS[name]] = x, y, 0, 1
    return points


def frame(points):
    return dict(zip(NAMES, posture.frame_features(points, PARTS)[0], strict=False))


def test_an_upright_person_is_at_rest():
    features = frame(skeleton())
    assert features["shoulder_distance"] == pytest.approx(0.8, abs=1e-12)  # 80 / 100
    for name in ("shoulder_angle", "head_tilt", "spine_angle", "nose_offset", "asymmetry"):
        assert features[name] == 0


def test_what_leans_is_measured_as_by_hand():
    features = frame(
        skeleton(
            left_shoulder=(40, 30), right_shoulder=(-40, -30), left_ear=(3, -50), right_ear=(-1, -54), nose=(25, 0)
        )
    )
    assert features["shoulder_angle"] == pytest.approx(math.degrees(math.atan2(60, 80)) / 90, abs=1e-9)
    assert features["head_tilt"] == pytest.approx(45 / 90, abs=1e-9)
    assert features["spine_angle"] == 0  # the middle of the shoulders stays where it was
    assert features["shoulder_distance"] == pytest.approx(100 / 100, abs=1e-9)
    assert features["nose_offset"] == pytest.approx(25 / 100, abs=1e-9)
    assert features["asymmetry"] == pytest.approx(60 / 100, abs=1e-9)
    leaning = frame(skeleton(left_shoulder=(140, 0), right_shoulder=(60, 0)))  # 100 to the right, 100 up
    assert leaning["spine_angle"] == pytest.approx(45 / 90, abs=1e-9)
    assert leaning["shoulder_distance"] == pytest.approx(80 / math.hypot(100, 100), abs=1e-9)
    hanging = frame(skeleton(left_hip=(30, -100), right_hip=(-30, -100)))
    assert hanging["spine_angle"] == pytest.approx(180 / 90, abs=1e-9)


def test_a_mirrored_picture_tilts_to_the_other_side_and_nothing_jumps():
    points = skeleton(left_shoulder=(40, 10))
    mirrored = points * [-1, 1, 1, 1]
    assert frame(mirrored)["shoulder_angle"] == pytest.approx(-frame(points)["shoulder_angle"], abs=1e-12)
    assert abs(frame(mirrored)["shoulder_angle"]) < 0.1


@pytest.mark.parametrize(
    ("lacks", "missing"),
    [
        ("left_hip", {"spine_angle", "shoulder_distance"}),
        ("right_ear", {"head_tilt"}),
        ("nose", {"nose_offset"}),
        ("left_shoulder", {"shoulder_angle", "spine_angle", "shoulder_distance", "nose_offset", "asymmetry"}),
    ],
)
def test_what_a_missing_landmark_would_tell_is_missing(lacks, missing):
    points = skeleton()
    points[:, PARTS[lacks]] = np.nan
    assert {name for name, value in frame(points).items() if math.isnan(value)} == missing


# --- movement


def walk(times, speed, wobble=0.0):
    """Everybody's landmarks go right by `speed` pixels per second, and swing once a second by `wobble`."""
    points = np.repeat(skeleton(), len(times), axis=0)
    points[..., 0] += (speed * times + wobble * np.sin(2 * np.pi * times))[:, None]
    return points


def test_movement_is_in_shoulder_widths_per_second():
    times = np.arange(60) / 30
    moved = posture.movement(times, walk(times, 40.0), PARTS)
    np.testing.assert_allclose(moved[6:, :3], 40 / 80, atol=1e-9)
    np.testing.assert_allclose(moved[6:, 3], 0, atol=1e-12)
    assert np.isnan(moved[:3]).all() and np.isnan(moved[:6, 3]).all()  # nothing is known of before


def test_movement_is_weighted_by_visibility():
    times = np.arange(30) / 10
    points = np.repeat(skeleton(), 30, axis=0)
    points[:, PARTS["nose"], 1] += 8 * times  # .1 shoulder widths per second
    points[..., 3] = 0.5
    points[:, PARTS["nose"], 3] = 1.0
    moved = posture.movement(times, points, PARTS)[-1]
    assert moved[0] == pytest.approx(0.1 * 1 / (1 + 12 * 0.5), abs=1e-9)
    assert moved[1] == pytest.approx(0, abs=1e-9)
    assert moved[2] == pytest.approx(0.1 * 1 / (1 + 4 * 0.5), abs=1e-9)


def test_turns_are_counted_once():
    """A landmark that swings once a second turns twice: .2 of the tenths of a second."""
    times = np.arange(0, 20, 1 / 100)
    turns = posture.movement(times, walk(times, 0, wobble=10), PARTS)[:, 3]
    assert np.nanmean(turns[100:1900]) == pytest.approx(0.2, abs=0.005)


def test_nothing_is_measured_across_a_gap():
    times = np.concatenate([np.arange(30) / 30, 10 + np.arange(30) / 30])
    moved = posture.movement(times, walk(times, 40.0), PARTS)
    assert np.isnan(moved[30:33]).all()
    np.testing.assert_allclose(moved[33:, 0], 0.5, atol=1e-9)
    slow = np.arange(20) / 2  # frames that are half a second apart have no gaps
    np.testing.assert_allclose(posture.movement(slow, walk(slow, 40.0), PARTS)[1:, 0], 0.5, atol=1e-9)


def test_stillness_fidgeting_and_archetypes_by_hand():
    measures = np.tile([0, 0, 0, 0.75, 0, 0, 0.02, 0.02, 0.02, 0.25], (60, 1)).astype(float)
    times = np.arange(60) / 10
    done = dict(zip(NAMES, posture.completed(times, measures)[-1], strict=True))
    assert done["stillness"] == pytest.approx(1 / (1 + 50 * 0.02), abs=1e-9)
    assert done["fidgeting"] == pytest.approx(0.25, abs=1e-9)
    # upright .4 + .3 + .2 + .1 * .5 = .95; relaxed .2 + .3 * .5 + .2 * .75 = .5; defensive .3 * .25; collapsed .2 * .5
    assert [done[name] for name in posture.ARCHETYPES] == [1, 0, 0, 0]
    collapsed = np.tile([0, 15 / 90, 60 / 90, 0.15, 0, 0, 0.0, 0, 0, 0.0], (60, 1)).astype(float)
    done = dict(zip(NAMES, posture.completed(times, collapsed)[-1], strict=True))
    assert done["stillness"] == 1 and done["collapsed_withdrawn"] == 1  # .4 + .24 + .2 + .05


def test_stillness_is_of_the_last_three_seconds():
    measures = np.tile([0, 0, 0, 0.75, 0, 0, 0.0, 0, 0, 0.0], (100, 1)).astype(float)
    measures[:50, 6] = 0.1
    still = posture.completed(np.arange(100) / 10, measures)[:, 9]
    assert still[49] == pytest.approx(1 / 6)
    assert still[64] == pytest.approx(1 / (1 + 50 * 0.1 * 15 / 30), abs=1e-9)
    assert still[79] == pytest.approx(1, abs=1e-9)
    measures[:, 6] = np.nan
    unknown = posture.completed(np.arange(100) / 10, measures)
    assert np.isnan(unknown[:, [9, 11, 12, 13, 14]]).all() and not np.isnan(unknown[:, 10]).any()


# --- invariance


@given(st.floats(0.01, 100), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.integers(0, 1000))
def test_neither_the_pictures_size_nor_the_place_in_it_matters(scale, x, y, seed):
    rng = np.random.default_rng(seed)
    times = np.arange(40) / 30
    points = np.repeat(skeleton(), 40, axis=0)
    points[..., :2] += rng.normal(0, 5, points[..., :2].shape).cumsum(axis=0) * 0.2
    elsewhere = points * [scale, scale, 1, 1] + [x, y, 0, 0]
    for measure in (
        lambda p: posture.frame_features(p, PARTS),
        lambda p: posture.movement(times, p, PARTS),
    ):
        np.testing.assert_allclose(measure(elsewhere), measure(points), rtol=1e-6, atol=1e-6 / scale)
