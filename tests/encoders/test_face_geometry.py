"""Face and hand geometry against hand calculations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from landmark_people import face

from affectkit.encoders import _face_geometry as geometry

FACE, HAND = list(geometry.FACE_FEATURES), list(geometry.HAND_FEATURES)


def turned(points, degrees):
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.concatenate([points[..., :2] @ rotation, points[..., 2:]], axis=-1)


def of(points, depth=False):
    return dict(zip(FACE, geometry.face_features(points, depth=depth)[0], strict=True))


@pytest.mark.parametrize(("table", "points"), [(geometry.IBUG, 68), (geometry.MESH, 478)])
def test_a_face_from_the_front_by_hand(table, points):
    features = of(face(table, points))
    expected = {
        "eye_open_right": (12 + 12) / (2 * 30), "eye_open_left": (6 + 6) / (2 * 30), "mouth_open": 0.1,
        "mouth_width": 0.4, "brow_raise_right": 0.2, "brow_raise_left": 0.3, "brow_furrow": np.hypot(30, 10) / 100,
        "head_roll": 0.0, "head_yaw": 0.0, "head_pitch": 0.0,
    }  # fmt: skip
    assert features == pytest.approx(expected, abs=1e-9)


@given(st.floats(-80, 80), st.floats(0.1, 50), st.floats(-500, 500))
def test_roll_is_found_and_nothing_else_changes(degrees, scale, shift):
    other = turned(face(), degrees) * [scale, scale, 1, 1] + [shift, -shift, 0, 0]
    features, front = of(other), of(face())
    assert features.pop("head_roll") == pytest.approx(degrees, abs=1e-7)
    front.pop("head_roll")
    assert features == pytest.approx(front, abs=1e-7)


@pytest.mark.parametrize("yaw", [-35, 0, 20])
def test_yaw_is_exact_for_a_nose_on_a_circle(yaw):
    points = face()
    angle = np.radians(yaw)
    points[0, 30, 0] = 50 + 60 * np.sin(angle)
    points[0, 0, 0], points[0, 16, 0] = 50 - 60 * np.cos(angle), 50 + 60 * np.cos(angle)
    assert of(points)["head_yaw"] == pytest.approx(yaw, abs=1e-9)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (25, 0), (0, -15)])
def test_with_depth_angles_are_those_of_the_turned_head(yaw, pitch):
    points = face(geometry.MESH, 468)
    y, p = np.radians(yaw), np.radians(pitch)
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    points[0, :, :3] = points[0, :, :3] @ (about_y @ about_x).T
    features = of(points, depth=True)
    assert (features["head_yaw"], features["head_pitch"]) == pytest.approx((yaw, pitch), abs=1e-9)


def test_a_missing_landmark_takes_what_needs_it():
    points = face()
    points[0, 37] = np.nan
    features = of(points)
    assert {name for name, value in features.items() if np.isnan(value)} == {"eye_open_right", "brow_raise_right"}


def hand(curl=0.0):
    """[1, 21, 4]: four fingers straight up from a palm of 40, the base of each 10 beside the one before."""
    points = np.zeros((1, 21, 4))
    points[..., 3] = 1
    points[0, 1:5, :2] = [(20, -10), (30, -20), (35, -30), (40, -40)]
    for finger, base in enumerate((5, 9, 13, 17)):
        for joint in range(4):
            points[0, base + joint, :2] = 10 - 10 * finger, -40 - 15 * joint * (1 - curl)
    return points


def test_a_hand_by_hand():
    features = dict(zip(HAND, geometry.hand_features(hand())[0], strict=True))
    assert features["spread"] == pytest.approx(0, abs=1e-9)
    assert features["pinch"] == pytest.approx(np.hypot(30, 45) / 40, abs=1e-9)
    assert features["thumb_out"] == pytest.approx(60 / 40, abs=1e-9)
    assert features["hand_roll"] == pytest.approx(0, abs=1e-9)
    along = [np.hypot(x, 40) + 45 for x in (10, 0, 10, 20)]
    straight = [np.hypot(x, 85) for x in (10, 0, 10, 20)]
    assert features["openness"] == pytest.approx(np.mean(np.divide(straight, along)), abs=1e-9)
    fist = hand()
    for base in (5, 9, 13, 17):
        fist[0, base + 2, :2], fist[0, base + 3, :2] = fist[0, base, :2], fist[0, 0, :2]
    assert geometry.hand_features(fist)[0, 0] == pytest.approx(0, abs=1e-9)


def test_joint_angles_are_those_of_emopains_challenge():
    """arccos(AB.BC / |AB||BC|) of joints 2, 3, 4, counted from 1: a knee."""
    points = np.random.default_rng(0).normal(size=(5, 22, 4))
    a, b, c = points[:, 1, :3], points[:, 2, :3], points[:, 3, :3]
    cosine = ((b - a) * (c - b)).sum(1) / np.linalg.norm(b - a, axis=1) / np.linalg.norm(c - b, axis=1)
    np.testing.assert_allclose(geometry.joint_features(points)[:, 4], np.degrees(np.arccos(cosine)), atol=1e-9)
