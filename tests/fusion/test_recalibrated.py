"""`--recalibrate`: fused numbers fitted to the truth once more."""

import numpy as np
import pytest

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.labels import Target

VALENCE = Target("valence", "number", scale=(-3, 3))
RULES = ("mean", "weighted", "inverse-variance")


def built(name, **options):
    return registry.load("rules", name).build(**options)


def experts(rng, count=400, unseen=0.25):
    """Two experts who each hold back, as least squares does, and whose variances say nothing; the second one has no
    answer for a quarter of the rows."""
    truth = rng.normal(0, 1, count)
    means = [0.5 * (truth + rng.normal(0, 1, count)) for _ in range(2)]
    there = rng.random(count) > unseen
    sources = {
        "scene": TargetPrediction(VALENCE, mean=means[0], var=np.full(count, 0.01)),
        "face": TargetPrediction(VALENCE, mean=np.where(there, means[1], np.nan), var=np.where(there, 0.01, np.nan)),
    }
    return sources, GroundTruth(truth, np.full(count, "")), there


@pytest.mark.parametrize("rule", RULES)
def test_the_mean_of_two_that_hold_back_gets_its_spread_back(rule):
    """numpy's own least squares of the truth on the plain fusion gives the same answers."""
    sources, rows, both = experts(np.random.default_rng(0))
    plain, again = built(rule), built(rule, recalibrate=True)
    before = plain.apply(plain.fit(sources, rows), sources)
    after = again.apply(again.fit(sources, rows), sources)
    b, a = np.polyfit(before.mean[both], rows.truth[both], 1)
    assert b > 1.2
    np.testing.assert_allclose(after.mean[both], np.clip(a + b * before.mean[both], -3, 3), rtol=1e-9)
    residual = rows.truth[both] - (a + b * before.mean[both])
    np.testing.assert_allclose(after.var[both], (residual**2).mean(), rtol=1e-2)
    assert (before.var[both] != after.var[both]).all()


@pytest.mark.parametrize("rule", RULES)
def test_a_row_with_one_source_keeps_its_answer_to_the_bit(rule):
    sources, rows, both = experts(np.random.default_rng(1))
    again = built(rule, recalibrate=True)
    after = again.apply(again.fit(sources, rows), sources)
    np.testing.assert_array_equal(after.mean[~both], sources["scene"].mean[~both])


def test_a_variance_that_is_unknown_stays_unknown():
    sources, rows, both = experts(np.random.default_rng(2))
    first = int(np.flatnonzero(both)[0])
    sources["face"].var[first] = np.nan
    rule = built("inverse-variance", recalibrate=True)
    after = rule.apply(rule.fit(sources, rows), sources)
    assert np.isnan(after.var[first]) and np.isfinite(after.mean[first])
    assert np.isfinite(np.delete(after.var, first)).all()


def test_few_rows_are_left_as_they_are_and_it_says_so(caplog):
    sources, rows, _ = experts(np.random.default_rng(3), count=22)
    rule = built("mean", recalibrate=True)
    parameters = rule.fit(sources, rows)
    assert parameters["recalibration"] == [] and "have face and scene: not recalibrated" in caplog.text
    plain = built("mean")
    np.testing.assert_array_equal(
        rule.apply(parameters, sources).mean, plain.apply(plain.fit(sources, rows), sources).mean
    )


def test_each_set_of_sources_has_a_line_of_its_own():
    rng = np.random.default_rng(4)
    sources, rows, both = experts(rng)
    third = rng.random(len(rows)) > 0.5
    sources["voice"] = TargetPrediction(VALENCE, mean=np.where(third, rows.truth + rng.normal(0, 1, len(rows)), np.nan))
    rule = built("mean", recalibrate=True)
    entries = rule.fit(sources, rows)["recalibration"]
    assert {tuple(entry["sources"]): entry["rows"] for entry in entries} == {
        ("face", "scene"): (both & ~third).sum(),
        ("scene", "voice"): (third & ~both).sum(),
        ("face", "scene", "voice"): (both & third).sum(),
    }


def test_classes_are_fused_as_they_are(caplog):
    target = Target("label", "class", ("a", "b"))
    sources = {
        name: TargetPrediction(target, probabilities=np.array([[0.8, 0.2], [0.3, 0.7]])) for name in ("one", "two")
    }
    rule = built("mean", recalibrate=True)
    parameters = rule.fit(sources, GroundTruth(np.array([0.0, 1.0]), np.full(2, "")))
    assert parameters["recalibration"] is None and rule.uncalibrated(parameters, sources) is None
    np.testing.assert_array_equal(rule.apply(parameters, sources).probabilities, sources["one"].probabilities)
    assert "label is fused as it is" in caplog.text


def test_options_make_the_same_rule_again():
    for name in RULES:
        for recalibrate in (False, True):
            rule = built(name, recalibrate=recalibrate)
            assert rule.options["recalibrate"] is recalibrate
            assert type(built(name, **rule.options)) is type(rule)
