"""Coverage is simulated: variances of few passes, of rows that differ, beside an error that no pass sees."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.calibration.methods import variance_scaling
from affectkit.calibration.methods._variance import fit_variance
from affectkit.labels import Target

METHOD = variance_scaling.build()
SCORE = Target("score", "number")


def passes(n, count, unseen, spread, rng):
    """Truth 0, the mean of n rows and the sample variance (ddof 1) of `count` passes.

    spread: standard deviation over rows of the log of the pass variance, which is 1 on average. unseen: variance of the
    error that all passes share.
    """
    variance = np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    error = np.sqrt(unseen + variance) * rng.standard_normal(n)
    return error, variance * rng.chisquare(count - 1, n) / (count - 1)


def covered(mean, var, level):
    return float(np.mean(np.abs(mean) <= norm.ppf((1 + level) / 2) * np.sqrt(var)))


def coverage(count, unseen, spread, rows_of, fit_rows=1000, fits=12, how=None):
    """Held-out coverage of 68 and 95 % intervals, mean over fits."""
    rng = np.random.default_rng(count)
    found = []
    for _ in range(fits):
        mean, var = passes(fit_rows, count, unseen, spread, rng)
        new_mean, new_var = passes(4000, count, unseen, spread, rng)
        if how is None:
            parameters = METHOD.fit(TargetPrediction(SCORE, mean=mean, var=var), rows_of(np.zeros(fit_rows)))
            after = METHOD.apply(
                parameters, TargetPrediction(SCORE, mean=new_mean, var=new_var), rows_of(np.zeros(4000))
            ).var
        else:
            after = how(mean, var) * new_var
        found.append([covered(new_mean, after, 0.68), covered(new_mean, after, 0.95)])
    return np.mean(found, axis=0)


@pytest.mark.parametrize("count", [3, 5, 10, 30])
@pytest.mark.parametrize(("unseen", "spread"), [(0.0, 0.0), (0.5, 0.5), (2.0, 0.5), (1.0, 1.0)])
def test_intervals_cover_what_they_say_after_any_number_of_passes(count, unseen, spread, rows_of):
    narrow, wide = coverage(count, unseen, spread, rows_of)
    assert 0.65 <= narrow <= 0.71
    assert 0.93 <= wide <= 0.97


def test_a_plain_ratio_does_not(rows_of):
    """What science knows of it: after 5 passes its 68 % interval holds far more."""
    narrow, _ = coverage(5, 0.0, 0.0, rows_of, how=lambda mean, var: np.mean(mean**2 / var))
    assert narrow > 0.74


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_least_gaussian_nll(seed):
    mean, var = passes(2000, 10, 0.5, 1.0, np.random.default_rng(seed))

    def loss(at):
        variance = at[0] + at[1] * var
        return np.mean(np.log(variance) + mean**2 / variance)

    reference = minimize(loss, [1.0, 1.0], bounds=[(1e-9, None), (0, None)], options={"ftol": 1e-14})
    np.testing.assert_allclose(fit_variance(mean, var), reference.x, atol=1e-3)


def test_a_variance_that_says_nothing_is_left_out(rows_of):
    """b is 0 in most fits where the error has nothing to do with it."""
    rng = np.random.default_rng(0)
    slopes = [fit_variance(*passes(500, 5, 0.0, 0.0, rng))[1] for _ in range(100)]
    assert np.mean(np.array(slopes) > 0) < 0.1


def test_the_right_variance_is_kept():
    rng = np.random.default_rng(0)
    var = np.exp(rng.standard_normal(20_000))
    a, b = fit_variance(np.sqrt(0.3 + 2 * var) * rng.standard_normal(20_000), var)
    assert a == pytest.approx(0.3, abs=0.1) and b == pytest.approx(2, rel=0.05)


def test_rows_without_a_variance_get_the_mean_squared_residual(rows_of, number_target):
    truth, mean = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 2.0])
    fitted = METHOD.fit(TargetPrediction(number_target, mean=mean), rows_of(truth))
    assert fitted == {"a": pytest.approx(1.25 / 3), "b": 0.0, "constant": pytest.approx(1.25 / 3)}
    output = TargetPrediction(number_target, mean=np.array([9.0, 2.0, 3.0]), var=np.array([np.nan, 0.5, -1.0]))
    answer = METHOD.apply({"a": 0.1, "b": 2.0, "constant": 0.7}, output, rows_of([np.nan] * 3))
    np.testing.assert_allclose(answer.var, [0.7, 1.1, 0.7])
    np.testing.assert_array_equal(answer.mean, output.mean)  # off the scale, too: means are left alone


def test_no_variance_falls_below_the_floor(rows_of, number_target):
    mean = np.array([1.0, 2.0, 3.0])
    fitted = METHOD.fit(TargetPrediction(number_target, mean=mean, var=np.array([0.1, 0.0, 0.3])), rows_of(mean))
    answer = METHOD.apply(fitted, TargetPrediction(number_target, mean=mean, var=np.zeros(3)), rows_of([np.nan] * 3))
    np.testing.assert_array_equal(answer.var, 1e-6)
