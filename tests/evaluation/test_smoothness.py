"""Jitter and lag, on signals whose answers are known."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.evaluation import stability
from affectkit.evaluation.stability import jitter, lag, steps


def wave(frames, seed=0):
    """A smooth signal without a period."""
    return np.convolve(np.random.default_rng(seed).normal(size=frames + 40), np.hanning(15), "same")[20:-20]


def delayed(truth, by):
    """What a model says that answers `by` frames late; it starts with the first value that it has."""
    return np.concatenate([np.full(by, truth[0]), truth[: len(truth) - by]])


def test_doctests():
    assert doctest.testmod(stability).failed == 0


def test_jitter_is_the_mean_change_from_frame_to_frame():
    assert jitter([0.1, 0.4, 0.2]) == pytest.approx((0.3 + 0.2) / 2)
    assert jitter([5, 5, 5]) == 0
    assert np.isnan(jitter([5]))


def test_no_change_is_counted_from_one_sequence_to_the_next_or_across_a_gap():
    assert jitter([0, 1, 100, 103], [0, 2]) == (1 + 3) / 2
    assert jitter([0, 1, np.nan, 103, 104]) == 1
    total, count = steps([0, 1, 100, 103, 7], [0, 2, 4])
    assert (total.tolist(), count.tolist()) == ([1, 3, 0], [1, 1, 0])


def test_jitter_of_probabilities_is_their_total_variation():
    assert jitter([[1, 0, 0], [0, 1, 0]]) == 1
    assert jitter([[0.5, 0.3, 0.2], [0.4, 0.5, 0.1]]) == pytest.approx(0.2)


@pytest.mark.parametrize("by", [0, 1, 3, 12])
def test_a_signal_delayed_by_so_many_frames_has_that_lag(by):
    truth = wave(200)
    assert lag(truth, delayed(truth, by)).pooled == by
    assert lag(delayed(truth, by), truth).pooled == -by


@given(st.integers(0, 8), st.floats(0.05, 20), st.floats(-5, 5), st.integers(0, 50))
def test_neither_scale_nor_offset_nor_a_little_noise_matters(by, scale, offset, seed):
    truth = wave(150, seed)
    noise = 0.02 * truth.std() * np.random.default_rng(seed).normal(size=150)
    assert lag(truth, scale * (delayed(truth, by) + noise) + offset).pooled == by


def test_sequences_are_pooled_and_none_runs_into_the_next():
    truths = [wave(n, n) + 10 * n for n in (80, 120, 60)]  # far apart: a step between sequences would outweigh all
    late = [delayed(t, by) for t, by in zip(truths, (3, 3, 5), strict=True)]
    found = lag(np.concatenate(truths), np.concatenate(late), [0, 80, 200])
    assert found.pooled == 3
    assert found.each.tolist() == [3, 3, 5]


def test_it_is_the_largest_correlation_of_numpy():
    truth, prediction = wave(100, 1), wave(100, 1) * 0.5 + wave(100, 2)

    def correlation(shift):
        a, b = prediction[max(shift, 0) : 100 + min(shift, 0)], truth[max(-shift, 0) : 100 - max(shift, 0)]
        return np.corrcoef(a, b)[0, 1]

    shifts = range(-20, 21)
    assert lag(truth, prediction, most=20).pooled == max(shifts, key=correlation)


def test_missing_frames_are_left_out_in_place():
    truth = wave(200)
    late = delayed(truth, 4)
    late[50:70], truth[120:125] = np.nan, np.nan
    assert lag(truth, late).pooled == 4


def test_of_a_periodic_truth_the_smallest_shift_counts():
    truth = np.sin(2 * np.pi * np.arange(200) / 10)
    assert lag(truth, np.roll(truth, 3)).pooled == 3  # as well as 13, -7, ...


def test_classes_lag_by_their_probabilities():
    codes = np.repeat([0, 1, 2, 0, 2, 1], [20, 14, 17, 9, 21, 19])
    truth = np.eye(3)[codes]
    assert lag(truth, 0.7 * np.eye(3)[delayed(codes, 2)] + 0.1).pooled == 2


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [
        (np.full(50, 0.3), wave(50)),
        (wave(50), np.full(50, 0.3)),
        (np.full(50, np.nan), wave(50)),
        (wave(8), wave(8)),  # too few pairs to tell
    ],
)
def test_lag_is_undefined_where_nothing_varies_or_little_is_known(truth, prediction):
    found = lag(truth, prediction)
    assert np.isnan(found.pooled)
    assert np.isnan(found.each).all()


def test_only_the_sequences_that_vary_speak():
    truth = np.concatenate([wave(90), np.zeros(500)])
    prediction = np.concatenate([delayed(wave(90), 2), wave(500)])
    found = lag(truth, prediction, [0, 90])
    assert (found.pooled, found.each[0]) == (2, 2)
    assert np.isnan(found.each[1])


def test_no_shift_beyond_the_limit_is_tried():
    truth = wave(200)
    assert abs(lag(truth, delayed(truth, 12), most=5).pooled) <= 5
