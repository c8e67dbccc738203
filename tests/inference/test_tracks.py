"""Boxes of consecutive frames as tracks, on boxes made here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.inference.video import LEAST_OVERLAP, Tracks, overlap


def numbers(frames, gap=1.0):
    """The track of each box of (time, boxes) in turn."""
    tracks = Tracks(gap)
    return [tracks.follow(time, boxes) for time, boxes in frames]


def walk(start, speed, times, y=0.0, side=40.0):
    return [(start + speed * time, y, side, side) for time in times]


def covered(one, other, size=60):
    """Intersection over union of whole-pixel boxes, by counting pixels."""
    masks = np.zeros((2, size, size), bool)
    for mask, (x, y, width, height) in zip(masks, (one, other), strict=True):
        mask[y : y + height, x : x + width] = True
    return (masks[0] & masks[1]).sum() / max(1, (masks[0] | masks[1]).sum())


BOXES = st.tuples(*[st.integers(0, 30)] * 4)


@given(BOXES, BOXES)
def test_overlap_is_the_share_of_pixels_that_both_cover(one, other):
    assert overlap(one, other) == pytest.approx(covered(one, other))


def test_a_face_that_moves_is_one_track_and_numbers_go_by_first_appearance():
    times = np.arange(20) / 10
    left, right = walk(0, 50, times), walk(200, -20, times)
    assert numbers([(t, [a, b]) for t, a, b in zip(times, left, right, strict=True)]) == [[1, 2]] * 20
    late = [(t, [a, b] if t >= 1 else [b]) for t, a, b in zip(times, left, right, strict=True)]
    assert numbers(late) == [[1]] * 10 + [[2, 1]] * 10


def test_the_order_of_a_frames_faces_changes_nothing():
    times = np.arange(10) / 10
    both = list(zip(walk(0, 30, times), walk(100, -30, times), strict=True))
    assert numbers([(t, list(b)[:: 1 if n % 2 else -1]) for n, (t, b) in enumerate(zip(times, both, strict=True))]) == [
        [1, 2], [2, 1]
    ] * 5  # fmt: skip


@pytest.mark.parametrize("fps", [4, 5, 10, 30])
def test_two_faces_of_one_size_that_pass_each_other_at_one_height_keep_their_tracks(fps):
    """Where each was last would tie, or name them wrongly, in the frame in which they have just passed."""
    times = np.arange(4 * fps) / fps
    left, right = walk(0, 60, times), walk(234, -60, times)
    assert numbers([(t, [a, b]) for t, a, b in zip(times, left, right, strict=True)]) == [[1, 2]] * len(times)


@pytest.mark.parametrize("fps", [4, 10, 30])
def test_the_one_that_is_hidden_meanwhile_has_its_track_again(fps):
    times = np.arange(4 * fps) / fps
    front, back = walk(0, 60, times), walk(234, -60, times)
    frames = [(t, [a] if abs(a[0] - b[0]) < 30 else [a, b]) for t, a, b in zip(times, front, back, strict=True)]
    found = numbers(frames)
    assert [1] in found and all(each in ([1], [1, 2]) for each in found)


def test_a_face_that_stops_or_jumps_by_half_its_width_goes_on():
    stops = [0, 12, 24, 36, 36, 36, 36]
    assert numbers([(n / 10, [(float(x), 0.0, 40.0, 40.0)]) for n, x in enumerate(stops)]) == [[1]] * 7
    apart = (1 - LEAST_OVERLAP) / (1 + LEAST_OVERLAP) * 40  # by hand: (w - d) / (w + d) = .2
    assert numbers([(0, [(0, 0, 40, 40)]), (0.1, [(apart - 0.1, 0, 40, 40)])]) == [[1], [1]]
    assert numbers([(0, [(0, 0, 40, 40)]), (0.1, [(apart + 0.1, 0, 40, 40)])]) == [[1], [2]]


def test_a_track_ends_after_the_gap_but_not_between_two_frames_however_far_apart():
    box = [(0.0, 0.0, 40.0, 40.0)]
    assert numbers([(0, box), (0.5, []), (1.0, box)]) == [[1], [], [1]]
    assert numbers([(0, box), (0.5, []), (1.5, box)]) == [[1], [], [2]]
    assert numbers([(0, box), (0.5, []), (1.5, box)], gap=2) == [[1], [], [1]]
    assert numbers([(0, box), (5, box), (10, box)]) == [[1]] * 3
    assert numbers([(0, box), (0.1, []), (0.2, box)], gap=0) == [[1], [], [2]]


def test_the_best_pair_first_and_no_track_twice_in_a_frame():
    """By hand: the second box covers the track by 1, the first by 1/3."""
    assert numbers([(0, [(0, 0, 40, 40)]), (0.1, [(20, 0, 40, 40), (0, 0, 40, 40)])]) == [[1], [2, 1]]


def test_no_faces_at_all():
    assert numbers([(n, []) for n in range(3)]) == [[]] * 3


@given(st.lists(st.lists(st.tuples(*[st.floats(0, 500)] * 4), max_size=6), max_size=12))
def test_whatever_the_boxes_each_has_a_track_of_its_own_and_none_is_left_out_of_the_count(frames):
    tracks = Tracks(1.0)
    found = [tracks.follow(n / 4, boxes) for n, boxes in enumerate(frames)]
    assert all(len(set(each)) == len(each) == len(boxes) for each, boxes in zip(found, frames, strict=True))
    assert {number for each in found for number in each} == set(range(1, tracks.count + 1))


def test_what_is_kept_does_not_grow_with_the_video():
    tracks = Tracks(1.0)
    for n in range(5000):
        tracks.follow(n / 25, [(float(n % 1000) * 7, 0.0, 40.0, 40.0), (0.0, 100.0, 40.0, 40.0)])
    assert len(tracks._live) < 40 and max(len(track.seen) for track in tracks._live) <= 27
