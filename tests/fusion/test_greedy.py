"""Ensemble selection."""

import numpy as np
import pytest

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.evaluation.metrics import mse, uar
from affectkit.fusion.rules.greedy import build
from affectkit.labels import Target

AROUSAL = Target("arousal", "number")


def independent(errors, rows=4000, seed=0):
    """Sources of numbers whose errors are independent, by their standard deviations."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=rows)
    sources = {f"s{i}": TargetPrediction.of(AROUSAL, truth + sd * rng.normal(size=rows)) for i, sd in enumerate(errors)}
    return sources, GroundTruth(truth, np.full(rows, ""))


def test_weights_come_near_the_best_there_are():
    sources, rows = independent([1.0, 1.0, 2.0])
    weights = build(metric="mse").fit(sources, rows)["weights"]
    inverse = np.array([1, 1, 0.25]) / 2.25  # of independent errors: 1 / variance
    np.testing.assert_allclose(list(weights.values()), inverse, atol=0.06)


def test_a_source_that_adds_nothing_stays_out():
    sources, rows = independent([0.2, 9.0])
    assert build(metric="mse").fit(sources, rows)["weights"] == {"s0": 1.0, "s1": 0.0}


def test_of_equally_good_additions_a_member_is_preferred():
    sources, rows = independent([1.0])
    twins = {"one": sources["s0"], "two": sources["s0"], "three": sources["s0"]}
    assert build().fit(twins, rows)["weights"] == {"one": 1.0, "two": 0.0, "three": 0.0}


def test_no_rounds_leave_the_sorted_start():
    sources, rows = independent([1.0, 1.1, 5.0])
    found = build(most=0, metric="mse").fit(sources, rows)
    assert found["weights"] == {"s0": 0.5, "s1": 0.5, "s2": 0.0} and found["members"] == 2
    fused = (sources["s0"].values + sources["s1"].values) / 2
    assert found["score"] == pytest.approx(mse(rows.truth, fused), rel=1e-5)
    assert found["singles"]["s2"] == pytest.approx(mse(rows.truth, sources["s2"].values), rel=1e-5)


def test_the_score_is_that_of_the_answers(class_sources):
    sources, rows = class_sources(300)
    rule = build()
    found = rule.fit(sources, rows)
    said = rule.apply(found, sources).values.argmax(axis=1)
    assert found["metric"] == "uar" and found["score"] == pytest.approx(uar(rows.truth, said), abs=1e-6)


def test_rounds_below_none_are_refused():
    with pytest.raises(AffectkitError, match="--most -1"):
        build(most=-1)
