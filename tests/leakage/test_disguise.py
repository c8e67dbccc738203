"""Columns that are the truth in disguise are named; honest ones are not."""

import numpy as np
import pytest

from affectkit.labels import Target
from affectkit.leakage.disguise import _ranks, suspects_of

LABEL, SCORE = Target("label", "class", ("a", "b", "c")), Target("score", "number")
N = 240
RNG = np.random.default_rng(1)
Y = RNG.integers(0, 3, N).astype(float)
GROUPS = np.array([f"s{row // 4}" for row in range(N)])


def suspected(cells, ordered, target=LABEL, y=Y, groups=GROUPS):
    return suspects_of(["x"], np.asarray(cells, float)[:, None], np.array([ordered]), target, y, groups)


def gaps_where(bad):
    return np.where(bad, np.nan, RNG.normal(size=N))


@pytest.mark.parametrize(
    ("cells", "ordered", "tells"),
    [
        (Y + 7, True, "values"),
        (7 - Y, False, "values"),
        ((Y + 1) % 3, False, "values"),
        (np.where(Y == 2, 0, RNG.integers(1, 9, N)), False, "values"),  # one class has a value of its own
        (Y * 30 + RNG.uniform(0, 25, N), True, "values"),  # a confidence whose range tells the class
        (gaps_where(Y == 1), True, "gaps"),
        (np.where(Y == 1, np.nan, np.arange(N)), False, "gaps"),
    ],
)
def test_a_column_that_tells_a_class_alone(cells, ordered, tells):
    [suspect] = suspected(cells, ordered)
    assert suspect.tells == tells
    assert abs(suspect.value - 0.5) > 0.495
    assert "--exclude x" in suspect.in_words()


@pytest.mark.parametrize(
    ("cells", "ordered"),
    [
        (Y + RNG.normal(size=N), True),  # a good measurement
        (np.zeros(N), False),
        (np.full(N, np.nan), True),
        (np.arange(N), False),
        (RNG.integers(0, N // 2, N), False),
        (np.where(RNG.random(N) < 0.1, RNG.integers(0, 3, N), Y), False),  # a tenth is wrong
    ],
)
def test_honest_columns_are_not_named(cells, ordered):
    assert suspected(cells, ordered) == []


def test_who_a_row_is_of_is_not_the_label_though_each_subject_has_one():
    labels = np.repeat(RNG.integers(0, 3, N // 4), 4).astype(float)
    subjects = np.repeat(np.arange(N // 4), 4)
    assert suspected(subjects, False, y=labels) == []
    assert suspected(subjects, False, y=labels, groups=np.arange(N).astype(str)) != []


def test_few_rows_and_rows_without_a_label_say_nothing():
    assert suspected(Y[:10], True, y=Y[:10], groups=GROUPS[:10]) == []
    unlabelled = np.where(np.arange(N) < 200, Y, np.nan)
    assert suspected(np.where(np.arange(N) < 200, Y, 9), True, y=unlabelled)


@pytest.mark.parametrize(("noise", "count"), [(0.0, 1), (0.01, 1), (1.0, 0)])
def test_numbers_are_told_by_ranks(noise, count):
    score = RNG.normal(size=N)
    cells = -np.exp(score) + noise * RNG.normal(size=N)
    cells[::7] = np.nan
    found = suspected(cells, True, SCORE, score)
    assert len(found) == count
    assert not count or found[0].value < -0.99


@pytest.mark.parametrize(
    "values", [Y, RNG.normal(size=N), np.zeros(5), np.array([]), np.array([np.inf, -1, np.inf, -np.inf])]
)
def test_ranks_are_those_of_scipy(values):
    from scipy.stats import rankdata

    np.testing.assert_array_equal(_ranks(values), rankdata(values))
