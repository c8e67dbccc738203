import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.calibration.methods import beta


@pytest.fixture
def binary(class_target, rows_of):
    """N rows of two classes, the second true with chance(p)."""

    def draw(n, chance, seed=0):
        rng = np.random.default_rng(seed)
        p = rng.beta(0.8, 0.8, n)
        return TargetPrediction.of(class_target(2), np.column_stack([1 - p, p])), rows_of(rng.random(n) < chance(p))

    return draw


def numbers(parameters, name="class1"):
    return [parameters["classes"][name][part] for part in "abc"]


def test_with_hardly_a_pull_it_is_logistic_regression_on_both_logarithms(binary):
    output, rows = binary(2000, lambda p: expit(0.5 * np.log(p) - 1.5 * np.log(1 - p) + 0.3))
    p = output.values[:, 1]
    reference = LogisticRegression(C=1e6, tol=1e-10, max_iter=1000).fit(
        np.column_stack([np.log(p), -np.log(1 - p)]), rows.truth
    )
    found = numbers(beta.build(pull=1e-6).fit(output, rows))
    np.testing.assert_allclose(found, [*reference.coef_[0], reference.intercept_[0]], atol=2e-4)


@pytest.mark.parametrize("chance", [lambda p: np.where(p < 0.5, 0.9 - p, 0.9), lambda p: 1 - p, lambda p: 0.3 + 0 * p])
def test_a_and_b_do_not_fall_below_zero(binary, chance):
    """Against scipy's bounded search on the same loss."""
    output, rows = binary(400, chance)
    p, hit = output.values[:, 1], rows.truth
    design = np.stack([np.log(p), -np.log(1 - p), np.ones(len(p))])

    def loss(at):
        z = at @ design
        return (np.logaddexp(0, z) - hit * z).sum() + ((at - [1, 1, 0]) ** 2).sum() / 2

    reference = minimize(loss, [1, 1, 0], bounds=[(0, None), (0, None), (None, None)], options={"ftol": 1e-14})
    found = numbers(beta.build(pull=1.0).fit(output, rows))
    assert min(found[:2]) == 0
    np.testing.assert_allclose(found, reference.x, atol=1e-3)


def test_two_classes_get_what_the_curve_says_of_the_second(binary, unlabelled):
    output, _ = binary(50, lambda p: p)
    parameters = {"classes": {"class1": {"a": 0.5, "b": 2.0, "c": -1.0}}}
    p = output.values[:, 1]
    expected = expit(0.5 * np.log(p) - 2 * np.log(1 - p) - 1)
    answer = beta.build().apply(parameters, output, unlabelled(50)).values
    np.testing.assert_allclose(answer, np.column_stack([1 - expected, expected]), rtol=1e-9)


def test_of_more_classes_each_is_calibrated_and_the_row_normalised(overconfident, calibrated):
    output, rows = overconfident(500, 3, 2.0)
    parameters = beta.build().fit(output, rows)
    assert list(parameters["classes"]) == list(output.target.classes)
    p = output.values
    shares = np.column_stack(
        [
            expit(a * np.log(p[:, k]) - b * np.log(1 - p[:, k]) + c)
            for k, (a, b, c) in enumerate(numbers(parameters, name) for name in output.target.classes)
        ]
    )
    answer = calibrated("beta", output, rows).values
    np.testing.assert_allclose(answer, shares / shares.sum(axis=1, keepdims=True), rtol=1e-9)


def test_honest_probabilities_stay_as_they_are(binary):
    output, rows = binary(50_000, lambda p: p)
    np.testing.assert_allclose(numbers(beta.build().fit(output, rows)), [1, 1, 0], atol=0.05)
