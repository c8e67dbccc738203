"""What is read from a file is checked before anything computes with it."""

import numpy as np
import pytest

from affectkit.artifacts.arrays import LARGEST, check_numbers, checked


@pytest.mark.parametrize(
    "values, shape",
    [
        (np.zeros((2, 3)), [3, 2]),
        (np.zeros(3), [3, None]),
        (np.zeros(3, dtype=np.uint64), [3]),
        (np.array([0.0, np.inf]), [2]),
        (np.array([0.0, np.nan]), [2]),
        (np.array([2 * LARGEST]), [1]),
        (["0.5"], [1]),
        ([[1.0], [1.0, 2.0]], [2, None]),
        ([True], [1]),
        (None, []),
        ({"a": 1.0}, [1]),
    ],
)
def test_what_is_not_the_array_that_was_fitted_is_refused(values, shape):
    with pytest.raises(ValueError):
        checked("weights", values, shape)


def test_limits_and_order_are_part_of_it():
    np.testing.assert_array_equal(checked("edges", [0, 0.5, 0.5], [None], low=0, high=1, rising=True), [0, 0.5, 0.5])
    assert checked("edges", [], [None]).shape == (0,)
    assert checked("a", 3, []) == 3.0
    with pytest.raises(ValueError, match="edges does not rise"):
        checked("edges", [0.5, 0.4], [None], rising=True)
    with pytest.raises(ValueError, match="share is not within 0 and 1"):
        checked("share", 1.5, [], low=0, high=1)


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -1e308])
def test_a_number_beyond_all_limits_is_found_however_deep(number):
    check_numbers("fit", {"a": [{"b": None, "c": "text", "d": [1, 2.5, True]}]})
    with pytest.raises(ValueError, match=r"fit\.a\.b"):
        check_numbers("fit", {"a": [{"b": [0.0, number]}]})
