"""Several answers as one label."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectkit.evaluation.consensus import Rules, merged
from affectkit.evaluation.raters import Ratings
from affectkit.labels import Target

NAN = np.nan
MOOD = Target("label", "class", ("a", "b", "c"))
VALENCE = Target("valence", "number", scale=(0.0, 9.0))
RATERS = [f"r{number}" for number in range(5)]

tables = st.tuples(st.integers(1, 5), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0, 2.0, NAN]))
)


def merge(table, target=MOOD, **rules):
    return merged(Ratings.of(table), target, np.shape(table)[1], RATERS[: len(table)], Rules(**rules))


@given(tables, st.integers(1, 3), st.sampled_from(["skip", "first"]))
@pytest.mark.filterwarnings("error")
def test_the_majority_is_that_of_a_plain_count(table, least, ties):
    found = merge(table, least=least, ties=ties)
    for row, column in enumerate(table.T):
        given = [int(value) for value in column if value == value]
        counts = [given.count(code) for code in range(3)]
        best = [code for code in range(3) if counts[code] == max(counts)]
        assert found.raters[row] == len(given)
        if len(given) < least:
            assert np.isnan(found.values[row]) and np.isnan(found.apart[row]).all() and not found.tied[row]
            continue
        assert found.apart[row].tolist() == counts and found.tied[row] == (len(best) > 1)
        wanted = next(code for code in given if code in best) if ties == "first" or len(best) == 1 else NAN
        np.testing.assert_equal(found.values[row], wanted)


@given(tables, st.integers(1, 3))
@pytest.mark.filterwarnings("error")
def test_numbers_are_those_of_the_statistics_module(table, least):
    for how in ("mean", "median"):
        found = merge(table, VALENCE, numbers=how, least=least)
        for row, column in enumerate(table.T):
            given = [value for value in column if value == value]
            enough = len(given) >= least
            np.testing.assert_allclose(found.values[row], getattr(statistics, how)(given) if enough else NAN)
            spread = statistics.stdev(given) if enough and len(given) > 1 else NAN
            np.testing.assert_allclose(found.apart[row, 0], spread)
        assert not found.tied.any()


def test_equal_numbers_do_not_differ_by_rounding():
    assert merge([[0.1], [0.1], [0.1]], VALENCE).apart.tolist() == [[0.0]]


def test_soft_votes_are_shares_and_its_label_is_the_mode():
    found = merge([[0, 0, 2], [0, 1, NAN], [1, 2, NAN]], classes="soft")
    np.testing.assert_allclose(found.apart, [[2 / 3, 1 / 3, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]])
    assert found.tied.tolist() == [False, True, False]
    np.testing.assert_equal(found.values, [0, NAN, 2])


def test_dawid_skene_sides_with_who_is_mostly_right():
    rng = np.random.default_rng(1)
    truth = rng.integers(3, size=300)
    good, better = (np.where(rng.random(300) < skill, truth, rng.integers(3, size=300)) for skill in (0.8, 0.9))
    noise = rng.integers(3, size=(3, 300))
    table = np.array([good, better, *noise], float)
    by_votes, weighed = merge(table), merge(table, classes="dawid-skene")
    assert (weighed.values == truth).mean() > (by_votes.values == truth).mean() + 0.2
    accuracy = weighed.facts["accuracy"]
    assert min(accuracy["r0"], accuracy["r1"]) > 0.7 > 0.5 > max(accuracy[name] for name in RATERS[2:])
    assert weighed.facts["converged"] and not weighed.tied.any()
    np.testing.assert_allclose(weighed.apart.sum(axis=1), 1)


def test_two_raters_who_differ_tie_under_dawid_skene_too():
    found = merge([[0, 1], [1, 0]], classes="dawid-skene")
    assert found.tied.all() and np.isnan(found.values).all()
