import numpy as np
import pytest

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.calibration.methods import histogram
from affectkit.errors import AffectkitError


@pytest.fixture
def binary(class_target):
    return lambda p: TargetPrediction.of(class_target(2), np.column_stack([1 - np.array(p), p]))


def second(method, fit, truth, other, rows_of):
    found = method.fit(fit, rows_of(truth))
    return found["classes"]["class1"], method.apply(found, other, rows_of(np.full(len(other), np.nan))).values[:, 1]


def test_bins_of_equal_mass_answer_with_the_share_of_their_rows(binary, rows_of):
    fit = binary([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    found, answer = second(histogram.build(bins=2), fit, [0, 0, 1, 1, 0, 1], binary([0.0, 0.3, 0.301, 1.0]), rows_of)
    assert found == {"edges": [0.3], "value": [pytest.approx(1 / 3), pytest.approx(2 / 3)]}
    np.testing.assert_allclose(answer, [1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_bins_of_equal_width_are_right_closed_and_empty_ones_answer_with_their_middle(binary, rows_of):
    fit = binary([0.05, 0.25, 0.2, 1.0])
    found, answer = second(
        histogram.build(bins=4, binning="width"), fit, [0, 1, 0, 1], binary([0.0, 0.25, 0.26, 0.75, 0.9]), rows_of
    )
    assert found["edges"] == [0.25, 0.5, 0.75]
    assert found["value"] == [pytest.approx(1 / 3), 0.375, 0.625, 1.0]
    np.testing.assert_allclose(answer, [1 / 3, 1 / 3, 0.375, 0.625, 1.0])


def test_equal_probabilities_share_a_bin(binary, rows_of):
    found, answer = second(
        histogram.build(bins=5),
        binary([0.5] * 8 + [0.9]),
        [1, 0, 0, 0, 1, 0, 0, 0, 1],
        binary([0.4, 0.5, 0.9]),
        rows_of,
    )
    assert found == {"edges": [0.5], "value": [0.25, 1.0]}
    np.testing.assert_allclose(answer, [0.25, 0.25, 1.0])


def test_one_bin_is_the_base_rate(overconfident, calibrated):
    output, rows = overconfident(200, 3, 2.0)
    answer = calibrated("histogram", output, rows, bins=1).values
    np.testing.assert_allclose(answer, np.tile(np.bincount(rows.truth.astype(int)) / 200, (200, 1)))


def test_rows_of_zeros_keep_their_probabilities(class_target, rows_of):
    odd = TargetPrediction.of(class_target(3), np.array([[0.5, 0.25, 0.25]]))
    nothing = {"classes": {name: {"edges": [], "value": [0.0]} for name in odd.target.classes}}
    np.testing.assert_array_equal(histogram.build().apply(nothing, odd, rows_of([np.nan])).values, odd.values)


@pytest.mark.parametrize("bins", [0, -3])
def test_there_is_at_least_one_bin(bins):
    with pytest.raises(AffectkitError, match="--bins") as caught:
        histogram.build(bins=bins)
    assert caught.value.code == "usage"
