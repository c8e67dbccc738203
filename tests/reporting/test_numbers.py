"""Numbers as they are written and thinned."""

import numpy as np
import pytest

from affectkit.reporting.figures.svg import finite, thinned, values_of
from affectkit.results.words import ranged, shown, signed

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (0.0, "0.000"),
        (3, "3"),
        (12_345_678, "12345678"),
        (-0.5, "-0.500"),
        (0.00012345, "0.000123"),
        (123456.0, "123456"),
        (-2e-15, "0.000"),
        (3.2e12, "3.2e+12"),
        (-1e300, "-1e+300"),
    ],
)
def test_shown(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        ({"value": 0.7, "low": 0.6, "high": 0.8}, "0.700 [0.600, 0.800]"),
        ({"value": 1, "low": None, "high": 2}, "1.000"),
        ({"value": 0.5, "low": 0.1, "high": float("inf")}, "0.500"),
        ({"value": NAN, "low": 0.1, "high": 0.2}, "undefined"),
        ({}, "undefined"),
    ],
)
def test_ranged(figure, text):
    assert ranged(figure) == text


def test_signs_stand_before_what_is_not_zero():
    assert [signed(v) for v in (0.01, -0.01, 0.0, 1e-12)] == ["+0.010", "-0.010", "0.000", "0.000"]
    assert ranged({"value": 0.02, "low": -0.01, "high": 0.05}, "+") == "+0.020 [-0.010, +0.050]"


def test_what_is_unknown_becomes_nan():
    assert np.array_equal(finite([1, None, NAN, float("inf")]), [1, NAN, NAN, NAN], equal_nan=True)
    assert np.array_equal(values_of([{"n": 2}, {}, {"n": None}], "n"), [2, NAN, NAN], equal_nan=True)


def test_a_thinned_curve_keeps_its_ends_and_only_points_of_its_own():
    x = np.random.default_rng(0).permutation(np.arange(10_000) / 9_999)
    few, values = thinned(x, x**2, most=50)
    assert len(few) <= 50
    assert (few[0], few[-1]) == (0, 1)
    assert np.isin(few, x).all()
    assert np.array_equal(values, few**2)
    assert np.abs(few - np.linspace(0, 1, len(few))).max() < 1e-3


def test_a_short_curve_is_sorted_and_loses_what_is_unknown():
    x, y = thinned([3, 1, NAN, 2], [30, 10, 5, None])
    assert (x.tolist(), y.tolist()) == ([1, 3], [10, 30])
