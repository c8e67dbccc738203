import numpy as np
from sklearn.isotonic import IsotonicRegression

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.calibration.methods import isotonic
from affectkit.calibration.methods._probabilities import clamped


def test_each_class_is_scikit_learns_curve_and_the_row_is_normalised(overconfident, calibrated):
    output, rows = overconfident(800, 3, 2.0)
    other, _ = overconfident(300, 3, 2.0, seed=1)
    shares = np.column_stack(
        [
            IsotonicRegression(out_of_bounds="clip")
            .fit(output.values[:, k], rows.truth == k)
            .predict(other.values[:, k])
            for k in range(3)
        ]
    )
    answer = calibrated("isotonic", output, rows, other).values
    some = shares.sum(axis=1) > 0
    assert some.mean() > 0.99
    np.testing.assert_allclose(answer[some], (shares / shares.sum(axis=1, keepdims=True))[some], rtol=1e-9)


def test_a_row_of_zeros_keeps_its_probabilities(class_target, unlabelled):
    odd = TargetPrediction.of(class_target(3), np.array([[0.3, 0.4, 0.3], [0.6, 0.2, 0.2]]))
    method = isotonic.build()
    nothing = {"classes": {name: {"at": [0.5], "value": [0.0]} for name in odd.target.classes}}
    np.testing.assert_array_equal(method.apply(nothing, odd, unlabelled(2)).values, odd.values)


def test_different_probabilities_become_equal(overconfident, calibrated):
    output, rows = overconfident(300, 2, 1.0)
    assert len(np.unique(calibrated("isotonic", output, rows).values[:, 1])) < 200


def test_numbers_rise_with_the_prediction_and_lose_their_spread(number_target, rows_of, calibrated):
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, 500)
    output = TargetPrediction(
        number_target, mean=truth**2 / 5 + rng.standard_normal(500) * 0.2, var=np.ones(500), low=truth - 1
    )
    answer = calibrated("isotonic", output, rows_of(truth))
    reference = IsotonicRegression(out_of_bounds="clip").fit(output.mean, truth)
    np.testing.assert_allclose(answer.mean, reference.predict(output.mean), rtol=1e-12)
    assert (np.diff(answer.mean[np.argsort(output.mean)]) >= 0).all()
    assert answer.var is None and answer.low is None
    assert np.mean((answer.mean - truth) ** 2) < 0.2 * np.mean((output.mean - truth) ** 2)


def test_beyond_the_fit_rows_a_number_stays_at_the_ends(number_target, rows_of, calibrated):
    output = TargetPrediction(number_target, mean=np.array([2.0, 3.0, 4.0]))
    far = TargetPrediction(number_target, mean=np.array([-9.0, 2.5, 99.0]))
    answer = calibrated("isotonic", output, rows_of([1.5, 3.0, 4.5]), far)
    np.testing.assert_allclose(answer.mean, [1.5, 2.25, 4.5])
    assert not clamped(answer)[1].any()
