import numpy as np
import pytest

from affectkit.evaluation.coverage import risk_coverage


def test_equal_confidences_are_kept_together_whatever_their_order():
    confidence, right = np.array([0.5, 0.9, 0.5, 0.7]), np.array([0.0, 1.0, 1.0, 0.0])
    curve = risk_coverage(confidence, right)
    assert curve.threshold.tolist() == [0.9, 0.7, 0.5]
    assert curve.coverage.tolist() == [0.25, 0.5, 1.0]
    assert curve.risk.tolist() == [0.0, 0.5, 0.5]
    shuffled = risk_coverage(confidence[::-1], right[::-1])
    assert shuffled.risk.tolist() == curve.risk.tolist()
    assert curve.area == pytest.approx(0.25 * 0.0 + 0.25 * 0.5 + 0.5 * 0.5)


def test_the_threshold_keeps_as_many_rows_as_the_wanted_error_allows():
    confidence = np.linspace(1, 0.51, 50)
    right = np.ones(50)
    right[[9, 40, 45]] = 0
    curve = risk_coverage(confidence, right)
    threshold, coverage, risk = curve.for_error(0.05)
    assert risk <= 0.05 and coverage == 0.9 and threshold == confidence[44]
    assert curve.for_error(1.0)[1] == 1.0
    assert risk_coverage(confidence, np.zeros(50)).for_error(0.5) is None


def test_without_rows_there_is_no_curve():
    curve = risk_coverage(np.empty(0), np.empty(0))
    assert np.isnan(curve.area) and curve.for_error(0.1) is None
