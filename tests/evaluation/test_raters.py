"""Agreement between raters: published figures, the krippendorff package and scikit-learn, definitions written out, and
what cannot be said."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score

from affectkit.evaluation.intervals import Resampling, as_units, interval
from affectkit.evaluation.metrics import ccc, mae
from affectkit.evaluation.raters import (
    MOST_PAIRS,
    Ratings,
    against_others,
    alpha_of,
    between_raters,
    cohen_kappa,
    krippendorff_alpha,
    observed_agreement,
)
from affectkit.labels import Target

NAN = np.nan
LEVELS = ("nominal", "ordinal", "interval")

# Krippendorff 2011, part C: four observers, twelve units, gaps. Its figures have three digits.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]

tables = st.tuples(st.integers(2, 5), st.integers(1, 25)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0, 2.0, 4.0, NAN]))
)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_equals_the_published_example(level, alpha):
    assert round(krippendorff_alpha(PUBLISHED, level), 3) == alpha


def test_alpha_of_two_raters_equals_the_published_examples():
    """Krippendorff 2011, parts A and B: binary data, and five categories of two observers."""
    binary = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
    assert round(krippendorff_alpha(binary, "nominal"), 3) == 0.095
    letters = [["abcde".index(letter) for letter in row] for row in ("aabbdcccedda", "babbbccceddd")]
    assert round(krippendorff_alpha(letters, "nominal"), 3) == 0.692


@given(tables)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the package divides by zero where all ratings are the same
def test_alpha_equals_the_krippendorff_package(table):
    package = pytest.importorskip("krippendorff", reason="the krippendorff package is not installed")
    for level in LEVELS:
        try:
            peer = package.alpha(reliability_data=table, level_of_measurement=level)
        except ValueError:  # of a single value
            peer = NAN
        assert krippendorff_alpha(table, level) == pytest.approx(peer, abs=1e-9, nan_ok=True)


@given(tables)
def test_alpha_equals_its_definition_written_out(table):
    for level in LEVELS:
        assert krippendorff_alpha(table, level) == pytest.approx(_by_pairs(table, level), abs=1e-9, nan_ok=True)


def _by_pairs(table, level):
    units = [column[~np.isnan(column)] for column in table.T]
    units = [unit for unit in units if len(unit) > 1]
    ratings = np.concatenate([*units, []])

    def apart(a, b):
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        low, high = min(a, b), max(a, b)
        between = ((ratings >= low) & (ratings <= high)).sum()
        return (between - ((ratings == a).sum() + (ratings == b).sum()) / 2) ** 2

    observed = sum(sum(apart(a, b) for a in unit for b in unit) / (len(unit) - 1) for unit in units)
    expected = sum(apart(a, b) for a in ratings for b in ratings)
    return 1 - (len(ratings) - 1) * observed / expected if expected else NAN


@given(tables)
@pytest.mark.filterwarnings("ignore")  # scikit-learn divides by zero where kappa is undefined
def test_kappa_equals_scikit_learn(table):
    a, b = table[:2]
    both = ~np.isnan(a + b)
    for weights in (None, "linear", "quadratic"):
        ours = cohen_kappa(a, b, weights)
        if len(np.unique([a[both], b[both]])) > 1:
            peer = cohen_kappa_score(a[both], b[both], labels=np.arange(5.0), weights=weights)
            assert ours == pytest.approx(peer, abs=1e-9)
        else:
            assert np.isnan(ours)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[0, 1, 2]], "no row was rated twice"),
        ([[0, NAN], [NAN, 1]], "no row was rated twice"),
        (np.empty((0, 0)), "no row was rated twice"),
        (np.empty((3, 0)), "no row was rated twice"),
        ([[NAN, NAN], [NAN, NAN]], "no row was rated twice"),
        ([[1, 1, 2], [1, 1, NAN]], "all ratings are the same"),
        ([[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]], "all ratings are the same"),
    ],
)
def test_where_nothing_can_be_said_it_is_nan_and_the_reason_is_told(table, reason):
    assert all(np.isnan(krippendorff_alpha(table, level)) for level in LEVELS)
    assert Ratings.of(table).undefined == reason
    if len(table) == 2:
        assert np.isnan(cohen_kappa(*table))


def test_ratings_are_a_table():
    with pytest.raises(ValueError, match=r"\[R, N\], not of 1 dimensions"):
        krippendorff_alpha([1, 2], "nominal")


def test_alpha_of_numbers_keeps_its_digits_far_from_zero():
    near = [[0, 1, 2, 5], [0, 1, 3, 5]]
    far = [[1e9 + value for value in row] for row in near]
    assert krippendorff_alpha(far, "interval") == pytest.approx(krippendorff_alpha(near, "interval"), abs=1e-12)


@given(tables, st.randoms(use_true_random=False))
def test_sums_over_units_add_up_to_the_whole(table, random):
    """What intervals need: however rows are dealt to units, the formula of all sums is the figure."""
    ratings, units = Ratings.of(table), np.array([random.randrange(3) for _ in table.T])
    for level in LEVELS:
        sums, alpha = alpha_of(ratings, level, units, 3)
        assert len(sums) == 3
        assert float(alpha.of(sums.sum(axis=0))) == pytest.approx(
            krippendorff_alpha(table, level), abs=1e-9, nan_ok=True
        )


def test_observed_agreement_is_the_mean_share_of_pairs_that_agree():
    sums, share = observed_agreement(Ratings.of([[0, 1, 2, 1], [0, 1, 0, NAN], [1, 1, 1, NAN]]))
    assert float(share.of(sums.sum(axis=0))) == pytest.approx((1 / 3 + 1 + 0) / 3)


def test_a_hundred_thousand_rows_take_no_time():
    rng = np.random.default_rng(0)
    table = rng.integers(0, 7, (4, 100_000)).astype(float)
    table[rng.random(table.shape) < 0.5] = NAN
    start = time.perf_counter()
    for level in LEVELS:
        krippendorff_alpha(table, level)
    cohen_kappa(table[0], table[1], "quadratic")
    assert time.perf_counter() - start < 2.0  # measured 0.15 s


# --- What summary.json says

LETTERS = ("a", "b", "c", "d", "e")
KINDS = [
    Target("label", "class", LETTERS),
    Target("pain", "ordinal", LETTERS),
    Target("valence", "number", scale=(0.0, 4.0)),
]
QUIET = Resampling(resamples=200)


def three_raters(rows, seed):
    """[3, rows], with skills of .9, .8 and .7 in three classes."""
    rng = np.random.default_rng(seed)
    truth, skill = rng.choice(3, size=rows, p=[0.5, 0.3, 0.2]), np.array([[0.9], [0.8], [0.7]])
    return np.where(rng.random((3, rows)) < skill, truth, rng.integers(3, size=(3, rows))).astype(float)


@pytest.mark.parametrize("target", KINDS, ids=lambda target: target.kind)
def test_all_raters_and_each_two_have_figures_with_intervals_over_rows(target):
    table = three_raters(60, 0)
    table[2, 20:] = NAN
    told = between_raters(Ratings.of(table), target, ["ann", "bob", "cem"], QUIET)
    level = {"class": "nominal", "ordinal": "ordinal", "number": "interval"}[target.kind]
    assert (told["level"], told["rows"], told["raters"]) == (level, 60, 3) and "undefined" not in told
    alpha = told["alpha"]
    assert alpha["value"] == pytest.approx(krippendorff_alpha(table, level))
    assert alpha["low"] < alpha["value"] < alpha["high"] < 1
    assert [(pair["raters"], pair["rows"]) for pair in told["pairs"]] == [
        (["ann", "bob"], 60), (["ann", "cem"], 20), (["bob", "cem"], 20)
    ]  # fmt: skip
    first, both = told["pairs"][0], table[:2]
    if target.kind == "number":
        assert first["ccc"]["value"] == pytest.approx(ccc(*both)) and first["mae"]["value"] == pytest.approx(mae(*both))
        assert "observed_agreement" not in told
    else:
        assert first["kappa"]["value"] == pytest.approx(cohen_kappa(*both))
        assert first["agreement"]["value"] == pytest.approx((both[0] == both[1]).mean())
        assert first["kappa"]["low"] < first["kappa"]["value"] < first["kappa"]["high"]
        assert 0 < told["observed_agreement"]["low"] < told["observed_agreement"]["high"] < 1
    assert ("kappa_quadratic" in first) == (target.kind == "ordinal")


@pytest.mark.parametrize("target", KINDS, ids=lambda target: target.kind)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_said_of_raters_has_its_reason(target):
    alone = between_raters(Ratings.of([[0, 1, 2]]), target, ["ann"])
    assert alone["undefined"] == "no row was rated twice" and alone["pairs"] == [] and alone["rows"] == 0
    same = between_raters(Ratings.of([[1, 1, 1], [1, 1, 1]]), target, ["ann", "bob"])
    assert same["undefined"] == "all ratings are the same" and np.isnan(same["alpha"]["value"])
    assert target.kind == "number" or same["pairs"][0]["agreement"]["value"] == 1
    nobody = between_raters(Ratings.of(np.empty((2, 0))), target, ["ann", "bob"])
    assert nobody["undefined"] == "no row was rated twice"


def test_of_many_raters_the_pairs_with_most_rows_in_common_are_told():
    rng = np.random.default_rng(0)
    table = rng.integers(3, size=(60, 40)).astype(float)
    table[2:, 10:] = NAN
    told = between_raters(Ratings.of(table), KINDS[0], [f"r{number}" for number in range(60)], QUIET)
    assert told["pairs"][0]["raters"] == ["r0", "r1"] and told["pairs"][0]["rows"] == 40
    assert len(told["pairs"]) == MOST_PAIRS and told["pairs_left_out"] == 60 * 59 // 2 - MOST_PAIRS


def test_each_rater_against_the_others():
    table = [[0, 1, 2, 4], [0, 1, 0, NAN], [1, 1, 1, NAN]]
    told = against_others(Ratings.of(table), KINDS[0], 4)
    assert [each["answers"] for each in told] == [4, 3, 3, 0]
    assert [each["agreement"] for each in told[:3]] == pytest.approx([(0.5 + 1 + 0) / 3, (0.5 + 1 + 0) / 3, 1 / 3])
    assert np.isnan(told[3]["agreement"])
    numbers = against_others(Ratings.of(table), KINDS[2], 3)
    assert numbers[0]["bias"] == pytest.approx((-0.5 + 0 + 1.5) / 3)
    assert numbers[0]["mae"] == pytest.approx((0.5 + 0 + 1.5) / 3)


@pytest.mark.parametrize("level", LEVELS)
def test_intervals_of_alpha_hold_the_truth(level):
    """Nominal 95 %; of 400 tables each .94 to .97 with 15, 30, 60 and 300 rows, which this repeats in part."""
    truth, held = krippendorff_alpha(three_raters(300_000, 1), level), 0
    for seed in range(100):
        units = as_units(None, 25)
        sums, alpha = alpha_of(Ratings.of(three_raters(25, 100 + seed)), level, units.codes, units.count)
        found = interval(alpha, sums)
        held += found.low <= truth <= found.high
    assert held >= 90
