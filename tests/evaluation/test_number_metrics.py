"""Number metrics against numpy, scipy and scikit-learn on random numbers, and hand calculations at the edges."""

import logging

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr
from sklearn import metrics as sk

from affectkit.evaluation import metrics as m

finite = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 6))
tables = st.integers(2, 50).flatmap(lambda n: st.tuples(*(arrays(float, n, elements=finite) for _ in range(2))))


def plain_ccc(t, p):
    """Lin's formula, two passes over the data."""
    return 2 * ((t - t.mean()) * (p - p.mean())).mean() / (t.var() + p.var() + (t.mean() - p.mean()) ** 2)


@given(tables)
def test_errors_equal_scikit_learn(table):
    t, p = table
    assert m.mae(t, p) == pytest.approx(sk.mean_absolute_error(t, p), abs=1e-9)
    assert m.mse(t, p) == pytest.approx(sk.mean_squared_error(t, p), rel=1e-12, abs=1e-9)
    assert m.rmse(t, p) == pytest.approx(sk.root_mean_squared_error(t, p), rel=1e-12, abs=1e-9)
    assert m.one_minus_mae(t, p, scale=(-100, 100)) == pytest.approx(1 - sk.mean_absolute_error(t, p) / 200, abs=1e-12)


@given(tables)
def test_correlations_equal_scipy_and_two_passes(table):
    t, p = table
    assume(t.std() > 1e-3 and p.std() > 1e-3)
    assert m.pearson(t, p) == pytest.approx(pearsonr(t, p).statistic, abs=1e-9)
    assert m.ccc(t, p) == pytest.approx(plain_ccc(t, p), abs=1e-9)
    assert m.r2(t, p) == pytest.approx(sk.r2_score(t, p), rel=1e-9, abs=1e-9)


def test_no_digits_are_lost_far_from_zero():
    rng = np.random.default_rng(0)
    t = rng.standard_normal(500)
    p = 0.5 * t + rng.standard_normal(500)
    for shift in (1e3, 1e6):
        assert m.ccc(t + shift, p + shift) == pytest.approx(plain_ccc(t, p), abs=1e-8)
        assert m.pearson(t, p + shift) == pytest.approx(pearsonr(t, p).statistic, abs=1e-9)


@given(tables)
def test_ccc_is_at_most_the_correlation_and_symmetric(table):
    t, p = table
    assume(t.std() > 1e-3 and p.std() > 1e-3)
    assert abs(m.ccc(t, p)) <= abs(m.pearson(t, p)) + 1e-12
    assert m.ccc(t, p) == pytest.approx(m.ccc(p, t), abs=1e-12)


def test_a_constant_prediction_has_ccc_zero():
    assert m.ccc([1.1, 2.2, 3.3], [0.1, 0.1, 0.1]) == 0
    assert m.ccc([0.3] * 3, [1.0, 2.0, 3.0]) == 0
    assert m.ccc([0.1] * 7, [0.7] * 7) == 0
    assert np.isnan(m.pearson([1.1, 2.2, 3.3], [0.1, 0.1, 0.1]))


def test_one_and_the_same_constant_has_none_and_warns(caplog):
    with caplog.at_level(logging.WARNING):
        assert np.isnan(m.ccc([0.1] * 3, [0.1] * 3))
    assert "CCC is undefined" in caplog.text


def test_perfect_and_reversed():
    t = np.array([1.0, 2.0, 4.0])
    assert m.ccc(t, t) == 1 and m.pearson(t, t) == 1 and m.r2(t, t) == 1 and m.mae(t, t) == 0
    assert m.ccc(t, -t + 2 * t.mean()) == pytest.approx(-1)


def test_nan_rows_are_left_out():
    t, p = np.array([1.0, np.nan, 3.0, 4.0, 2.0]), np.array([1.5, 2.0, np.nan, 4.0, 3.0])
    kept = [0, 3, 4]
    for metric in (m.ccc, m.pearson, m.mae, m.mse, m.rmse, m.r2, m.one_minus_mae):
        assert metric(t, p) == pytest.approx(metric(t[kept], p[kept]), abs=1e-12)


def test_nothing_to_judge_is_nan():
    for metric in (m.ccc, m.pearson, m.mae, m.mse, m.rmse, m.r2, m.one_minus_mae):
        assert np.isnan(metric([], [])) and np.isnan(metric([np.nan], [1.0]))


def test_r2_of_a_constant_truth_is_nan():
    assert np.isnan(m.r2([2.0, 2.0], [1.0, 3.0]))


def test_float32_is_judged_in_float64():
    t = np.linspace(0, 1, 10_001, dtype=np.float32)
    p = np.sqrt(t)
    assert m.ccc(t, p) == pytest.approx(plain_ccc(t.astype(float), p.astype(float)), abs=1e-12)


def test_the_concatenated_ccc_is_not_the_mean_over_batches():
    rng = np.random.default_rng(3)
    t = rng.standard_normal(512)
    p = 0.7 * t + 0.6 * rng.standard_normal(512)
    batches = np.mean([m.ccc(a, b) for a, b in zip(np.split(t, 128), np.split(p, 128), strict=True)])
    assert m.ccc(t, p) > batches + 0.05
