"""Coverage is simulated over many draws of fit and new rows; its Monte Carlo error is below .3 points throughout."""

import numpy as np
import pytest

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.methods.conformal import group_quantile, needed, split_quantile
from affectkit.errors import AffectkitError
from affectkit.labels import Target

SCORE = Target("score", "number")


def build(**options):
    return registry.load("methods", "conformal").build(**options)


def held(answer, truth):
    """[N] bool: the truth is in the set, or in the interval."""
    if answer.sets is not None:
        return answer.sets[np.arange(len(truth)), truth.astype(int)]
    return (answer.low <= truth) & (truth <= answer.high)


def no_truth(rows):
    return GroundTruth(np.full(len(rows), np.nan), rows.groups, rows.columns)


def apply(method, parameters, output, rows):
    return method.apply(parameters, output, no_truth(rows))


def simulated(draw, fits=150, fit_rows=200, **options):
    """Share of new rows held, all in all and by value of the first column, mean over fits."""
    method, found, by = build(**options), [], {}
    rng = np.random.default_rng(0)
    for _ in range(fits):
        parameters = method.fit(*draw(fit_rows, rng))
        output, rows = draw(1000, rng)
        inside = held(apply(method, parameters, output, rows), rows.truth)
        found.append(inside.mean())
        for cells in rows.columns.values():
            for value in np.unique(cells):
                by.setdefault(value, []).append(inside[cells == value].mean())
    return np.mean(found), {value: np.mean(shares) for value, shares in by.items()}


def classes(n, rng):
    """Answers twice as sharp as they should be, for one sex four times."""
    sex = np.where(rng.random(n) < 0.3, "male", "female")
    z = 2 * rng.standard_normal((n, 5))
    p = np.exp(z * np.where(sex == "male", 0.5, 1.0)[:, None])
    p /= p.sum(axis=1, keepdims=True)
    truth = (rng.random((n, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    p = np.exp(2 * z) / np.exp(2 * z).sum(axis=1, keepdims=True)
    return TargetPrediction.of(Target("label", "class", tuple("abcde")), p), GroundTruth(
        truth.astype(float), sex, {"sex": sex}
    )


def numbers(n, rng):
    """Errors that a variance of 5 passes follows, half as large again for one sex."""
    sex = np.where(rng.random(n) < 0.3, "male", "female")
    variance = np.exp(0.7 * rng.standard_normal(n)) * np.where(sex == "male", 2.25, 1.0)
    truth = rng.standard_normal(n)
    mean = truth + np.sqrt(variance) * rng.standard_normal(n)
    var = variance * rng.chisquare(4, n) / 4
    return TargetPrediction(SCORE, mean=mean, var=var), GroundTruth(truth, sex, {"sex": sex})


@pytest.mark.parametrize("coverage", [0.9, 0.95])
@pytest.mark.parametrize("draw", [classes, numbers])
def test_new_rows_are_covered_as_often_as_asked(draw, coverage):
    assert simulated(draw, coverage=coverage)[0] == pytest.approx(coverage, abs=0.01)


@pytest.mark.parametrize("draw", [classes, numbers])
def test_by_a_column_each_of_its_values_is(draw):
    overall, by = simulated(draw, coverage=0.9, per="sex", fit_rows=400)
    assert overall == pytest.approx(0.9, abs=0.01)
    assert by == {"female": pytest.approx(0.9, abs=0.01), "male": pytest.approx(0.9, abs=0.01)}
    plain = simulated(draw, coverage=0.9, fixed_width=True)[1]
    assert plain["male"] < 0.87 and plain["female"] > 0.905


def speakers(count, each, rng):
    """Rows of `count` speakers; what shifts all rows of one is four times as large as what scatters them."""
    groups = np.repeat([f"s{i}" for i in range(count)], each)
    truth = rng.standard_normal(count * each)
    error = np.repeat(rng.standard_normal(count), each) + 0.25 * rng.standard_normal(count * each)
    return TargetPrediction(SCORE, mean=truth + error), GroundTruth(truth, groups)


@pytest.mark.parametrize(("count", "coverage"), [(12, 0.9), (24, 0.95)])
def test_new_speakers_are_covered_where_split_conformal_does_not_cover_them(count, coverage):
    rng = np.random.default_rng(0)
    shares = {True: [], False: []}
    for _ in range(1000):
        output, rows = speakers(count, 10, rng)
        other, new = speakers(20, 5, rng)
        for new_groups, found in shares.items():
            method = build(coverage=coverage, new_groups=new_groups)
            found.append(held(apply(method, method.fit(output, rows), other, new), new.truth).mean())
    assert np.mean(shares[True]) >= coverage - 0.01
    assert np.mean(shares[False]) < coverage - 0.01


def test_too_few_speakers_are_an_error_that_says_how_many_it_takes(number_target, rows_of):
    output = TargetPrediction(number_target, mean=np.linspace(1, 5, 40))
    rows = rows_of(np.linspace(1, 5, 40), groups=[f"s{i % 18}" for i in range(40)])
    with pytest.raises(AffectkitError) as caught:
        build(coverage=0.95, new_groups=True).fit(output, rows)
    assert caught.value.code == "input"
    assert str(caught.value) == (
        "valence: covering 0.95 of new groups needs 19 groups to fit on, and there are 18; "
        "use --coverage 0.947 or --no-new-groups"
    )
    build(coverage=0.947, new_groups=True).fit(output, rows)
    build(coverage=0.95, new_groups=True).fit(output, rows_of(rows.truth, groups=[f"s{i % 19}" for i in range(40)]))
    with pytest.raises(AffectkitError, match="there are 0; use --no-new-groups"):
        build(new_groups=True).fit(output, rows_of(rows.truth))


def test_by_a_column_speakers_are_counted_within_its_values(number_target, rows_of, caplog):
    truth = np.linspace(1, 5, 60)
    output = TargetPrediction(number_target, mean=truth[::-1])
    sex = np.array(["female"] * 40 + ["male"] * 20)
    rows = rows_of(truth, groups=[f"s{i % 20}" for i in range(40)] + [f"m{i % 5}" for i in range(20)], sex=sex)
    method = build(coverage=0.9, per="sex", new_groups=True)
    found = method.fit(output, rows)["quantiles"]
    assert found["male"] is None and 0 < found["female"] <= 4
    assert "rows of sex=male get every class, or the whole scale: too few to fit on, 9 groups are needed" in caplog.text
    few = rows_of(truth, groups=[f"s{i % 5}" for i in range(60)], sex=sex)
    with pytest.raises(AffectkitError, match="needs 9 groups of one sex to fit on; use --no-new-groups"):
        method.fit(output, few)


def test_the_quantile_is_the_one_above_rank_n_plus_1():
    scores = np.arange(1.0, 10.0)
    assert split_quantile(scores, 0.9) == 9.0  # 9 rows are enough for .9, though .9 is above 9/10 in binary
    assert split_quantile(scores, 0.5) == 5.0
    assert split_quantile(scores, 0.51) == 6.0
    assert split_quantile(scores, 0.901) is None
    assert split_quantile(scores[:0], 0.5) is None
    assert [needed(coverage) for coverage in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]


def test_each_group_weighs_the_same_however_many_rows_it_has():
    scores = np.concatenate([np.full(100, 9.0), [1.0], [2.0, 3.0]])
    groups = np.array(["many"] * 100 + ["one"] + ["two"] * 2)
    # 1/4 at 1 (one), 1/8 each at 2 and 3 (two), 1/4 at 9 (many), 1/4 at infinity
    found = [group_quantile(scores, groups, coverage) for coverage in (0.25, 0.3, 0.4, 0.5, 0.51, 0.75, 0.76)]
    assert found == [1.0, 2.0, 3.0, 3.0, 9.0, 9.0, None]
    alone = np.array([f"g{i}" for i in range(19)])
    rng = np.random.default_rng(0)
    for coverage in (0.5, 0.9, 0.95):
        scores = rng.random(19)
        assert group_quantile(scores, alone, coverage) == split_quantile(scores, coverage)


def test_a_set_holds_the_classes_that_are_probable_enough(class_target, rows_of):
    p = np.array([[0.6, 0.3, 0.1], [0.5, 0.5, 0.0], [0.35, 0.33, 0.32], [np.nan] * 3])
    method = build()
    answer = apply(method, {"quantiles": {"": 0.6}}, TargetPrediction.of(class_target(3), p), rows_of(np.zeros(4)))
    assert answer.sets.tolist() == [[True, False, False], [True, True, False], [False] * 3, [False] * 3]
    np.testing.assert_array_equal(answer.probabilities, p)


def test_widths_follow_the_variance_where_it_is_known(rows_of):
    truth = np.zeros(19)
    mean = np.arange(1.0, 20.0)
    var = np.append(mean[:-1] ** 2, np.nan)
    fitted = build().fit(TargetPrediction(SCORE, mean=mean, var=var), rows_of(truth))
    assert fitted == {"quantiles": {"": 18.0}, "scaled": {"": 1.0}}
    output = TargetPrediction(SCORE, mean=np.array([0.0, 0.0, 0.0]), var=np.array([4.0, np.nan, 0.0]))
    answer = apply(build(), fitted, output, rows_of(np.zeros(3)))
    np.testing.assert_allclose(answer.high, [2.0, 18.0, 1e-3])
    np.testing.assert_allclose(answer.low, -answer.high)
    np.testing.assert_array_equal(answer.var, output.var)
    same = build(fixed_width=True).fit(TargetPrediction(SCORE, mean=mean, var=var), rows_of(truth))
    assert same == {"quantiles": {"": 18.0}, "scaled": None}


def test_intervals_end_where_the_scale_ends(number_target, rows_of):
    output = TargetPrediction(number_target, mean=np.array([1.5, 3.0, 7.0]))
    answer = apply(build(), {"quantiles": {"": 1.0}, "scaled": None}, output, rows_of(np.zeros(3)))
    assert answer.low.tolist() == [1.0, 2.0, 5.0] and answer.high.tolist() == [2.5, 4.0, 5.0]
    np.testing.assert_array_equal(answer.mean, output.mean)


def test_too_few_rows_promise_everything(class_target, number_target, rows_of, caplog):
    truth = np.arange(1.0, 4.0)
    number = TargetPrediction(number_target, mean=truth)
    answer = apply(build(), build().fit(number, rows_of(truth)), number, rows_of(truth))
    assert answer.low.tolist() == [1.0] * 3 and answer.high.tolist() == [5.0] * 3
    assert "valence: rows get every class, or the whole scale: too few to fit on, 9 rows are needed" in caplog.text
    free = TargetPrediction(SCORE, mean=truth)
    answer = apply(build(), build().fit(free, rows_of(truth)), free, rows_of(truth))
    assert np.isnan(answer.low).all() and np.isnan(answer.high).all()
    label = TargetPrediction.of(class_target(3), np.eye(3))
    assert apply(build(), build().fit(label, rows_of([0, 1, 2])), label, rows_of([0, 1, 2])).sets.all()


def test_a_value_that_was_not_met_is_promised_no_less(number_target, rows_of, caplog):
    truth = np.linspace(1, 5, 30)
    output = TargetPrediction(number_target, mean=np.full(30, 3.0))
    method = build(per="sex")
    assert method.columns == ("sex",) and build().columns == ()
    fitted = method.fit(output, rows_of(truth, sex=["female"] * 25 + ["male"] * 5))
    assert fitted["quantiles"]["male"] is None
    assert "rows of sex=male" in caplog.text
    caplog.clear()
    new = rows_of([np.nan] * 3, sex=["female", "male", "other"])
    answer = method.apply(fitted, output.take([0, 1, 2]), new)
    assert answer.low[0] > 1 and answer.low[1:].tolist() == [1.0, 1.0] and answer.high[1:].tolist() == [5.0, 5.0]
    assert "valence: rows of sex=other get every class, or the whole scale: none to fit on" in caplog.text


@pytest.mark.parametrize("coverage", [0.0, 1.0, 1.5, float("nan")])
def test_a_coverage_lies_between_0_and_1(coverage):
    with pytest.raises(AffectkitError, match="--coverage") as caught:
        build(coverage=coverage)
    assert caught.value.code == "usage"
