"""Numbers weighted by 1 / variance."""

import numpy as np
import pytest

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.fusion.rules.inverse_variance import build
from affectkit.labels import Target

VALENCE = Target("valence", "number")


def number(mean, var=None):
    return TargetPrediction(VALENCE, mean=np.array(mean, float), var=None if var is None else np.array(var, float))


def rows_of(truth, groups=None):
    return GroundTruth(np.asarray(truth, float), np.full(len(truth), "") if groups is None else groups)


def test_it_is_the_formula():
    sources = {"voice": number([1, 2], [0.5, 1]), "face": number([4, 6], [1, 3])}
    rule = build(rescale=False)
    found = rule.apply(rule.fit(sources, rows_of([0, 0])), sources)
    np.testing.assert_allclose(found.mean, [(1 / 0.5 + 4 / 1) / 3, (2 / 1 + 6 / 3) / (1 + 1 / 3)])
    np.testing.assert_allclose(found.var, [1 / 3, 3 / 4])
    assert rule.single_group and not build().single_group


@pytest.mark.parametrize("unknown", [np.nan, 0.0, -1.0, np.inf])
def test_a_row_with_an_unusable_variance_gets_the_fixed_weights_and_no_variance(unknown):
    sources = {"voice": number([1, 1, 1], [0.5, 0.5, np.nan]), "face": number([4, 4, np.nan], [1, unknown, np.nan])}
    for weights, expected in (("", 2.5), ("3,1", 1.75)):
        rule = build(weights=weights, rescale=False)
        found = rule.apply(rule.fit(sources, rows_of([0, 0, 0])), sources)
        np.testing.assert_allclose(found.mean, [2, expected, 1])
        np.testing.assert_allclose(found.var, [1 / 3, np.nan, np.nan])


def test_a_source_that_is_missing_does_not_count():
    sources = {"voice": number([1, 1], [0.5, 0.5]), "face": number([4, np.nan], [1, np.nan])}
    rule = build(rescale=False)
    found = rule.apply(rule.fit(sources, rows_of([0, 0])), sources)
    np.testing.assert_allclose(found.mean, [2, 1])
    np.testing.assert_allclose(found.var, [1 / 3, 0.5])


def test_sources_without_variances_leave_the_fixed_weights_and_it_says_so(caplog):
    sources = {"voice": number([1, 2, 3], [0.1, 0.2, 0.3]), "face": number([3, 4, 5])}
    rule = build()
    found = rule.apply(rule.fit(sources, rows_of([1, 2, 3])), sources)
    np.testing.assert_array_equal(found.mean, [2, 3, 4])
    assert np.isnan(found.var).all()
    assert "face has no variances of valence" in caplog.text


def test_variances_are_held_above_a_floor():
    sources = {"voice": number([1], [1e-30]), "face": number([2], [1e-30])}
    rule = build(rescale=False)
    found = rule.apply(rule.fit(sources, rows_of([1])), sources)
    np.testing.assert_allclose([found.mean, found.var], [[1.5], [5e-7]])


def test_rescaling_makes_variances_of_different_kinds_commensurable():
    """One expert reports a hundredth of its variance, the other a hundred times as much."""
    rng = np.random.default_rng(0)
    truth, var = rng.normal(size=5000), rng.uniform(0.2, 3.0, size=(2, 5000))
    means = truth + rng.normal(size=var.shape) * np.sqrt(var)
    sources = {"voice": number(means[0], var[0] / 100), "face": number(means[1], var[1] * 100)}
    rule = build()
    parameters = rule.fit(sources, rows_of(truth))
    found = rule.apply(parameters, sources)
    np.testing.assert_allclose(found.var, 1 / (1 / var[0] + 1 / var[1]), rtol=0.1)
    np.testing.assert_allclose(np.array([parameters["scales"][n][1] for n in sources]) * [0.01, 100], 1, rtol=0.1)
    raw = build(rescale=False)
    worse = raw.apply(raw.fit(sources, rows_of(truth)), sources)
    assert np.mean((found.mean - truth) ** 2) < 0.7 * np.mean((worse.mean - truth) ** 2)


def test_sizes_that_differ_by_chance_are_drawn_together_and_others_are_not():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=20)
    var = np.ones(20)
    alike = {name: number(truth + rng.normal(size=20), var) for name in "ab"}
    own = {name: np.mean((alike[name].mean - truth) ** 2) for name in "ab"}
    drawn = {name: scale[0] for name, scale in build().fit(alike, rows_of(truth))["scales"].items()}
    assert abs(np.log(drawn["a"] / drawn["b"])) < abs(np.log(own["a"] / own["b"]))
    apart = {"a": number(truth + 0.1 * rng.normal(size=20), var), "b": number(truth + 5 * rng.normal(size=20), var)}
    scales = build().fit(apart, rows_of(truth))["scales"]
    assert scales["b"][0] / scales["a"][0] > 500
