import numpy as np
import pytest

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.calibration.methods import linear
from affectkit.calibration.methods._probabilities import clamped
from affectkit.labels import Target

METHOD = linear.build()


@pytest.fixture
def output_of(number_target):
    return lambda mean, **more: TargetPrediction(number_target, mean=np.array(mean, float), **more)


def test_the_line_is_that_of_least_squares(output_of, rows_of):
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, 200)
    mean = 0.4 * truth + 2 + 0.3 * rng.standard_normal(200)
    b, a = np.polyfit(mean, truth, 1)
    assert METHOD.fit(output_of(mean), rows_of(truth)) == {"a": pytest.approx(a), "b": pytest.approx(b)}


def test_spread_and_interval_follow_the_line(output_of, unlabelled):
    output = output_of([2.0, 3.0], var=np.array([0.4, np.nan]), low=np.array([1.5, 2.0]), high=np.array([2.5, 9.0]))
    answer = METHOD.apply({"a": 1.0, "b": 0.5}, output, unlabelled(2))
    np.testing.assert_allclose(answer.mean, [2.0, 2.5])
    np.testing.assert_allclose(answer.var, [0.1, np.nan])
    np.testing.assert_allclose(answer.low, [1.75, 2.0])
    np.testing.assert_allclose(answer.high, [2.25, 5.0])  # the scale ends at 5


def test_answers_outside_the_scale_are_held_and_can_be_counted(output_of, unlabelled):
    output, parameters = output_of([0.0, 1.0, 2.0, np.nan, 3.0]), {"a": -1.0, "b": 2.0}
    free = METHOD.unclamped(parameters, output, unlabelled(5))
    held, moved = clamped(free)
    np.testing.assert_allclose(free.mean, [-1, 1, 3, np.nan, 5])
    np.testing.assert_allclose(METHOD.apply(parameters, output, unlabelled(5)).mean, [1, 1, 3, np.nan, 5])
    np.testing.assert_array_equal(held.mean, METHOD.apply(parameters, output, unlabelled(5)).mean)
    assert moved.tolist() == [True, False, False, False, False]


def test_without_a_scale_nothing_is_held(unlabelled):
    output = TargetPrediction(Target("score", "number"), mean=np.array([-50.0, 50.0]))
    held, moved = clamped(output)
    assert held is output and not moved.any()
    np.testing.assert_allclose(METHOD.apply({"a": 0.0, "b": 2.0}, output, unlabelled(2)).mean, [-100, 100])


@pytest.mark.parametrize("mean", [[2.0], [2.0, 2.0, 2.0], [2.0, 2.0 + 1e-10, 2.0]])
def test_equal_predictions_are_shifted_only(output_of, rows_of, mean):
    truth = [3.0, 4.0, 5.0][: len(mean)]
    found = METHOD.fit(output_of(mean), rows_of(truth))
    assert found == {"a": pytest.approx(np.mean(truth) - 2), "b": 1.0}


def test_predictions_against_the_truth_become_its_mean_with_a_warning(output_of, rows_of, unlabelled, caplog):
    output = output_of([1.0, 2.0, 3.0], var=np.ones(3), low=np.zeros(3), high=np.ones(3))
    found = METHOD.fit(output, rows_of([4.0, 3.0, 2.0]))
    assert found == {"a": 3.0, "b": 0.0}
    assert "valence: predictions fall as the truth rises (slope -1)" in caplog.text
    answer = METHOD.apply(found, output, unlabelled(3))
    np.testing.assert_array_equal(answer.mean, 3.0)
    assert np.isnan(answer.var).all() and np.isnan(answer.low).all() and np.isnan(answer.high).all()


def test_the_squared_error_of_the_fit_rows_never_grows(output_of, rows_of, calibrated):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth, mean = rng.uniform(1, 5, (2, 12))
        after = calibrated("linear", output_of(mean), rows_of(truth)).mean
        assert np.mean((after - truth) ** 2) <= np.mean((mean - truth) ** 2) + 1e-12
