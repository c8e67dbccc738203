import logging
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.calibration.methods import temperature
from affectkit.calibration.methods._probabilities import order
from affectkit.evaluation.temperature import BOUND, MANY, exact_sum, fit_sharpness, sharpened

METHOD = temperature.build()


def by_brent(p, truth):
    """T as scikit-learn finds it: Brent's method on the NLL over log(1 / T)."""
    logits = np.log(np.clip(p, 1e-12, 1))

    def loss(log_b):
        return -log_softmax(logits * math.exp(log_b), axis=1)[np.arange(len(truth)), truth].mean()

    return math.exp(-minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-10}).x)


@pytest.mark.parametrize("sharpness", [0.05, 0.5, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("k", [2, 7])
def test_the_temperature_is_that_of_brents_method(overconfident, sharpness, k):
    output, rows = overconfident(3000, k, sharpness, seed=k)
    found = METHOD.fit(output, rows)["temperature"]
    assert found == pytest.approx(by_brent(output.values, rows.truth.astype(int)), rel=1e-6)


def test_of_many_rows_it_is_the_same_in_any_order(overconfident):
    """Some of the rows give the start here: they are chosen by what they hold, not by where they stand."""
    output, rows = overconfident(MANY + 5000, 3, 2.5)
    found = METHOD.fit(output, rows)
    assert found["temperature"] == pytest.approx(by_brent(output.values, rows.truth.astype(int)), rel=1e-6)
    assert found["temperature"] == pytest.approx(2.5, rel=0.02)
    for seed in range(2):
        mixed = np.random.default_rng(seed).permutation(len(rows))
        assert METHOD.fit(output.take(mixed), rows.take(mixed)) == found


@pytest.mark.parametrize("first", [0.25, 0.250001])
def test_many_rows_that_look_alike_are_no_exception(first, class_target, rows_of):
    """None of them gives the start, or all of them do."""
    p = np.tile([[first, 0.7 - first, 0.3]], (MANY, 1))
    truth = np.resize([0, 0, 1, 1, 1, 1, 1, 2, 2, 2], MANY)
    found = METHOD.fit(TargetPrediction.of(class_target(3), p), rows_of(truth))["temperature"]
    assert found == pytest.approx(by_brent(p[:10], truth[:10]), rel=1e-6)


def test_it_divides_the_logits(class_target, unlabelled):
    output = TargetPrediction.of(class_target(3), np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]]))
    answer = METHOD.apply({"temperature": 2.0}, output, unlabelled(2)).probabilities
    np.testing.assert_allclose(answer[0], softmax(np.log([0.7, 0.2, 0.1]) / 2), rtol=1e-12)
    np.testing.assert_allclose(answer[1], np.array([1, 1e-6, 1e-6]) / (1 + 2e-6), rtol=1e-9)


def test_rows_that_cannot_be_bettered_end_at_a_bound_with_a_warning(class_target, rows_of, caplog):
    p = np.array([[0.9, 0.1], [0.4, 0.6]])
    for truth, bound, why in (([0, 1], 1 / BOUND, "every fit row"), ([1, 0], BOUND, "tell nothing")):
        caplog.clear()
        found = METHOD.fit(TargetPrediction.of(class_target(2), p), rows_of(truth))
        assert found["temperature"] == pytest.approx(bound)
        assert why in caplog.text and caplog.records[0].levelno == logging.WARNING


def test_where_no_temperature_changes_anything_it_is_one(class_target, rows_of, caplog):
    for p, truth in (([[0.5, 0.5]], [1]), ([[1.0]], [0])):
        found = METHOD.fit(TargetPrediction.of(class_target(len(p[0])), np.array(p)), rows_of(truth))
        assert found == {"temperature": 1.0}
    assert not caplog.records


NEAR = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.25, np.nextafter(0.25, 1), np.nextafter(0.25, 0), 1e-12, 1e-13])),
    min_size=2,
    max_size=9,
).filter(lambda p: max(p) > 0.01)


@given(p=NEAR, log_b=st.floats(-10, 10))
@example(p=[0.25, float(np.nextafter(0.25, 1)), 0.25], log_b=-10.0)
@example(p=[0.009, 0.0100000000001, 0.01], log_b=10.0)
def test_the_predicted_class_never_changes_and_ties_stay_ties(p, log_b):
    p = np.array([p]) / sum(p)
    q = sharpened(p, math.exp(log_b))
    top = p.argmax(axis=1)
    assert q.argmax(axis=1) == top
    np.testing.assert_array_equal(q[p == p.max()], q.max())
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-12)


def test_the_slope_is_zero_where_it_ends(overconfident):
    output, rows = overconfident(500, 5, 4.0)
    b = fit_sharpness(output.values, rows.truth.astype(int))
    logits = np.log(np.clip(output.values, 1e-12, 1))
    under = (softmax(b * logits, axis=1) * logits).sum(axis=1)
    assert np.mean(under - logits[np.arange(500), rows.truth.astype(int)]) == pytest.approx(0, abs=1e-12)


@given(values=st.lists(st.floats(-1e6, 1e6), max_size=200), seed=st.integers(0, 9))
def test_sums_are_the_same_in_any_order(values, seed):
    values = np.array(values, float)
    found = exact_sum(values)
    assert exact_sum(np.random.default_rng(seed).permutation(values)) == found
    rounding = 2**-52 * len(values) * (len(values) + 1) * np.abs(values).max(initial=0.0)
    assert found == pytest.approx(math.fsum(values), abs=rounding + 1e-290)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_found_where_the_nll_is_straight_for_long(seed, class_target, rows_of):
    """Of the mean of two sources that each know some classes: past the minimum Halley's steps can be a hundredth of the
    way, and one search in five of such tables ended at T = .0001 instead of .4."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(7, size=60)
    scores = rng.normal(size=(2, 60, 7))
    for source, strength in zip(scores, ([2.4, 0.6], [0.6, 2.4]), strict=True):
        source[np.arange(60), truth] += np.where(truth < 3, *strength)
    p = softmax(1.4 * scores, axis=2).mean(axis=0)
    found = METHOD.fit(TargetPrediction.of(class_target(7), p), rows_of(truth))["temperature"]
    assert found == pytest.approx(by_brent(p, truth), rel=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_sorted_by_all_that_is_in_them(seed):
    rng = np.random.default_rng(seed)
    columns = [
        rng.choice([0.0, 1.0, np.nan], 40) if rng.random() < 0.7 else rng.random(40) for _ in range(seed % 3 + 1)
    ]
    truth = rng.integers(0, 3, 40)
    np.testing.assert_array_equal(order(truth, *columns), np.lexsort((truth, *columns)))
