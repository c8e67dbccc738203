"""The one jackknife and the one bootstrap, against plain loops over rows and formulas of a textbook."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from affectkit.evaluation import metrics as m
from affectkit.evaluation.intervals import (
    ABOVE_ZERO,
    BELOW_ONE,
    CORRELATION,
    SHARE,
    Estimate,
    Resamples,
    Resampling,
    as_units,
    between,
    difference,
    from_left_out,
    interval,
    intervals,
)
from affectkit.evaluation.rows import losses, moments, tallies

MEAN = Estimate(lambda sums: sums[..., 1] / sums[..., 0])


def rows(seed=0, groups=6, n=120, classes=3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=n)
    predicted = np.where(rng.random(n) < 0.6, truth, rng.integers(classes, size=n))
    return truth, predicted, np.arange(n) % groups


def figure(name):
    return Estimate(m.METRICS[name].of, m.METRICS[name].interval_scale)


def test_a_mean_over_equal_groups_has_the_textbook_t_interval():
    values = np.array([0.2, 0.5, 0.4, 0.9, 0.1])
    sums = np.column_stack([np.ones(5), values])
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    found = interval(MEAN, sums)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert (found.method, found.groups) == ("jackknife", 5)


@pytest.mark.parametrize("name", ["uar", "macro_f1", "kappa_quadratic"])
def test_jackknife_equals_judging_anew_without_each_group(name):
    truth, predicted, group = rows()
    metric = m.METRICS[name]
    anew = np.array([metric.function(truth[group != g], predicted[group != g], classes=range(3)) for g in range(6)])
    moved = metric.interval_scale.forward(anew)
    error = np.sqrt(5 / 6 * ((moved - moved.mean()) ** 2).sum())
    value = metric.function(truth, predicted, classes=range(3))
    reach = np.array([-1, 1]) * stats.t.ppf(0.975, 5) * error
    ends = metric.interval_scale.inverse(metric.interval_scale.forward(value) + reach)
    found = interval(figure(name), tallies(truth, predicted, 3, group, 6))
    assert (found.value, found.low, found.high) == pytest.approx((value, *ends), abs=1e-9)


def test_bootstrap_equals_a_plain_loop_over_resampled_speakers():
    """Same figure, another generator: the two standard errors agree to the Monte Carlo error of 1.5 %."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(45), 8)
    truth = rng.standard_normal(360) + rng.standard_normal(45)[group]
    predicted = 0.7 * truth + rng.standard_normal(45)[group]
    found = interval(figure("ccc"), moments(truth, predicted, group, 45), Resampling(resamples=5000))
    looped = []
    for _ in range(3000):
        drawn = np.concatenate([np.flatnonzero(group == g) for g in rng.integers(45, size=45)])
        looped.append(np.arctanh(m.ccc(truth[drawn], predicted[drawn])))
    width = np.arctanh(found.high) - np.arctanh(found.low)
    expected = 2 * stats.t.ppf(0.975, 44) * np.std(looped) * np.sqrt(45 / 44)
    assert found.method == "bootstrap"
    assert width == pytest.approx(expected, rel=0.06)


def test_both_methods_agree_on_many_groups():
    truth, predicted, group = rows(groups=60, n=3000)
    counts = tallies(truth, predicted, 3, group, 60)
    ends = [interval(figure("uar"), counts, Resampling(method)) for method in ("jackknife", "bootstrap")]
    assert ends[0].low == pytest.approx(ends[1].low, abs=0.002)
    assert ends[0].high == pytest.approx(ends[1].high, abs=0.002)


def test_the_method_follows_the_number_of_groups():
    assert [Resampling().method_for(n) for n in (0, 1, 2, 39, 40, 91)] == [
        "none",
        "none",
        "jackknife",
        "jackknife",
        "bootstrap",
        "bootstrap",
    ]
    assert Resampling("jackknife").method_for(91) == "jackknife"
    assert Resampling("none").method_for(91) == "none"


def test_a_resample_is_a_function_of_its_seed():
    truth, predicted, group = rows(groups=50, n=500)
    counts = tallies(truth, predicted, 3, group, 50)
    found = [interval(figure("uar"), counts, Resampling(resamples=500, seed=seed)) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


@given(st.integers(2, 30), st.randoms(use_true_random=False), st.sampled_from(["jackknife", "bootstrap"]))
def test_the_order_of_rows_is_of_no_account_nor_that_of_groups_to_the_jackknife(groups, random, method):
    truth, predicted, group = rows(groups=groups, n=150)
    order = list(range(150))
    random.shuffle(order)
    counts = tallies(truth, predicted, 3, group, groups)
    shuffled = tallies(truth[order], predicted[order], 3, group[order], groups)
    np.testing.assert_array_equal(counts, shuffled)
    settings = Resampling(method, resamples=200)
    assert interval(figure("uar"), counts, settings) == interval(figure("uar"), shuffled, settings)
    renamed = interval(figure("uar"), counts[::-1], Resampling("jackknife"))
    plain = interval(figure("uar"), counts, Resampling("jackknife"))
    assert (renamed.low, renamed.high) == pytest.approx((plain.low, plain.high), abs=1e-12, nan_ok=True)


def test_every_row_counted_twice_changes_nothing():
    """Weights are relative: a speaker's interval does not shrink because his rows were copied."""
    truth, predicted, group = rows()
    once = tallies(truth, predicted, 3, group, 6)
    for settings in (Resampling("jackknife"), Resampling("bootstrap", resamples=300)):
        first, second = (interval(figure("macro_f1"), counts, settings) for counts in (once, 2 * once))
        assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-12)


def test_copying_rows_shrinks_an_interval_that_takes_them_as_independent():
    truth, predicted, _ = rows()
    ends = []
    for times in (1, 4):
        units = as_units(None, 120 * times)
        counts = tallies(np.tile(truth, times), np.tile(predicted, times), 3, units.codes, units.count)
        ends.append(interval(figure("uar"), counts, Resampling("jackknife")))
    assert ends[1].high - ends[1].low == pytest.approx((ends[0].high - ends[0].low) / 2, rel=0.03)


def test_one_group_has_no_interval():
    truth, predicted, _ = rows()
    found = interval(figure("uar"), tallies(truth, predicted, 3))
    assert found.value == m.uar(truth, predicted)
    assert np.isnan([found.low, found.high]).all()
    assert (found.method, found.groups) == ("none", 1)


@pytest.mark.parametrize("method", ["jackknife", "bootstrap"])
def test_no_width_is_not_certainty(method):
    five_of_each = np.repeat([0, 1], 5)
    perfect = np.tile(tallies(five_of_each, five_of_each, 2), (50, 1, 1))
    found = interval(figure("uar"), perfect, Resampling(method, resamples=100))
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("method", ["jackknife", "bootstrap"])
def test_a_resample_at_the_bound_still_has_an_interval_within_the_range(method):
    """One speaker makes all the errors: without him the figure is 1, which the logit sends to infinity."""
    truth = np.tile(np.repeat([0, 1], 20), 6)
    wrong, speakers = np.repeat([0, 1], [4, 2]), np.repeat(range(6), 40)
    predicted, speakers = np.append(truth, 1 - wrong), np.append(speakers, np.zeros(6, int))
    counts = tallies(np.append(truth, wrong), predicted, 2, speakers, 6)
    found = interval(figure("uar"), counts, Resampling(method, resamples=500))
    assert 0 < found.low < found.value < found.high < 1


@pytest.mark.parametrize("groups", [2, 5])
@pytest.mark.parametrize("name", [x.name for x in m.METRICS.values() if x.of])
def test_an_interval_keeps_to_the_metric_s_range(name, groups):
    metric = m.METRICS[name]
    rng = np.random.default_rng(1)
    truth, _, group = rows(groups=groups, n=30)
    probabilities = rng.dirichlet(np.ones(3), 30)
    probabilities[np.arange(30), truth] += 4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    sums = {
        "classes": tallies(truth, np.where(rng.random(30) < 0.9, truth, 0), 3, group, groups),
        "probabilities": losses(truth, probabilities, group, groups),
        "numbers": moments(truth, truth + 0.3 * rng.standard_normal(30), group, groups, width=2.0),
    }[metric.takes]
    found = interval(figure(name), sums)
    assert metric.interval_scale.low <= found.low < found.value < found.high <= metric.interval_scale.high


def test_all_figures_of_a_table_come_from_the_same_resamples():
    truth, predicted, group = rows(groups=45, n=900)
    counts = tallies(truth, predicted, 3, group, 45)
    together = intervals({name: figure(name) for name in ("uar", "accuracy")}, counts, Resampling(resamples=300))
    assert together["uar"] == interval(figure("uar"), counts, Resampling(resamples=300))


def test_a_difference_is_paired():
    """b is a with one more error: the difference is small and sure, though each figure alone is unsure."""
    truth, predicted, group = rows(groups=8, n=400)
    worse = predicted.copy()
    right = np.flatnonzero(truth == predicted)
    worse[right[::10]] = (truth[right[::10]] + 1) % 3
    a, b = (tallies(truth, p, 3, group, 8) for p in (predicted, worse))
    found = difference(figure("accuracy"), a, b)
    assert found.value == pytest.approx(m.accuracy(truth, predicted) - m.accuracy(truth, worse))
    assert 0 < found.low < found.value < found.high
    alone = interval(figure("accuracy"), a)
    assert found.high - found.low < (alone.high - alone.low) / 2
    values = [m.accuracy(truth[group == g], predicted[group == g]) - m.accuracy(truth[group == g], worse[group == g])
              for g in range(8)]  # fmt: skip
    low, high = stats.t.interval(0.95, 7, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_a_difference_of_sums_without_a_matrix():
    rng = np.random.default_rng(0)
    truth, group = rng.standard_normal(300), np.arange(300) % 50
    a, b = truth + 0.5 * rng.standard_normal(300), truth + rng.standard_normal(300)
    found = difference(figure("mae"), moments(truth, a, group, 50), moments(truth, b, group, 50))
    assert found.value == pytest.approx(m.mae(truth, a) - m.mae(truth, b))
    assert found.high < 0 and found.method == "bootstrap"
    swapped = difference(figure("mae"), moments(truth, b, group, 50), moments(truth, a, group, 50))
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_no_difference_between_a_thing_and_itself():
    truth, predicted, group = rows()
    counts = tallies(truth, predicted, 3, group, 6)
    found = difference(figure("uar"), counts, counts)
    assert found.value == 0 and np.isnan(found.low)


def test_values_without_each_unit_are_enough():
    truth, predicted, group = rows()
    counts = tallies(truth, predicted, 3, group, 6)
    left_out = m.METRICS["uar"].of(counts.sum(axis=0) - counts)
    found = from_left_out(m.uar(truth, predicted), left_out, SHARE).interval()
    assert found == interval(figure("uar"), counts)
    unasked = from_left_out(0.5, left_out, SHARE, Resampling("none")).interval()
    assert unasked.method == "none" and np.isnan([unasked.low, unasked.high]).all()


def test_units_are_groups_rows_or_blocks():
    assert as_units(["b", "a", "b"], 3).codes.tolist() == [1, 0, 1]
    assert as_units(None, 4).count == as_units(None, 4).groups == 4
    alone = as_units(["a", "", "a", ""], 4)
    assert alone.count == 3 and len({alone.codes[1], alone.codes[3], alone.codes[0]}) == 3
    many = as_units(np.arange(5000) // 2, 5000)
    assert (many.count, many.groups) == (1000, 2500)
    assert (many.codes[::2] == many.codes[1::2]).all()  # a group stays whole
    assert set(np.bincount(many.codes)) == {4, 6}  # two or three groups of two rows to a block
    assert as_units([], 0).count == 0


def test_merging_groups_into_blocks_leaves_the_interval():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(4000)
    predicted = 0.5 * truth + rng.standard_normal(4000)
    units = as_units(None, 4000)
    blocks = interval(figure("ccc"), moments(truth, predicted, units.codes, units.count), Resampling("jackknife"))
    whole = interval(figure("ccc"), moments(truth, predicted, np.arange(4000), 4000), Resampling("jackknife"))
    assert blocks.high - blocks.low == pytest.approx(whole.high - whole.low, rel=0.08)


@given(st.floats(0.001, 0.999))
def test_links_are_increasing_invertible_and_have_the_slope_they_say(share):
    for scale, value in (
        (SHARE, share),
        (CORRELATION, 2 * share - 1),
        (between(0.0, 2.0), 2 * share),
        (ABOVE_ZERO, 50 * share),
        (BELOW_ONE, 1 - 50 * share),
    ):
        assert scale.inverse(scale.forward(value)) == pytest.approx(value, abs=1e-9)
        step = 1e-6 * min(share, 1 - share)
        numeric = (scale.forward(value + step) - scale.forward(value - step)) / (2 * step)
        assert scale.slope(value) == pytest.approx(numeric, rel=1e-3)


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_a_value_at_its_bound_which_resamples_miss_has_no_interval_and_no_warning(value):
    again = value * (1 - np.array([1e-10, 2e-10, 3e-10, 9e-10]))
    with np.errstate(all="raise"):
        interval = Resamples(value, again, CORRELATION, "jackknife", 4, 4).interval()
    assert interval.value == value and np.isnan([interval.low, interval.high]).all()
