"""Fixed and searched weights; equal ones; products."""

import numpy as np
import pytest
from scipy.stats import gmean

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.evaluation.metrics import nll
from affectkit.fusion.rules import mean, product
from affectkit.fusion.rules.weighted import build, parse_search
from affectkit.labels import Target

AROUSAL = Target("arousal", "number")


def fused(rule, sources, rows=None):
    return rule.apply(rule.fit(sources, rows or GroundTruth(np.zeros(2), np.full(2, ""))), sources)


def number(*values, var=None):
    return TargetPrediction(AROUSAL, mean=np.array(values, float), var=None if var is None else np.array(var, float))


def test_fixed_weights_count_in_the_order_of_the_sources_and_sum_to_one():
    sources = {"voice": number(1, 2), "face": number(5, np.nan)}
    rule = build(weights="6,2")
    assert rule.fit(sources, GroundTruth(np.zeros(2), np.full(2, "")))["weights"] == {"voice": 0.75, "face": 0.25}
    np.testing.assert_array_equal(fused(rule, sources).mean, [2, 2])
    assert rule.single_group and not build().single_group


def test_where_all_that_a_row_has_weighs_nothing_it_counts_alike():
    sources = {"voice": number(np.nan, 2), "face": number(5, 5), "text": number(7, 7)}
    np.testing.assert_array_equal(fused(build(weights="1,0,0"), sources).mean, [6, 2])


@pytest.mark.parametrize("weights", ["0,0", "-1,2", "a,b", "nan,1", "inf,1", "1e308,1e308", ",", ".5;.5"])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(AffectkitError, match=r"--weights .*; write \.7,\.3"):
        build(weights=weights)


def test_as_many_weights_as_sources_are_needed():
    with pytest.raises(AffectkitError, match="3 for 2 sources"):
        fused(build(weights="1,1,1"), {"voice": number(1, 2), "face": number(5, 6)})


def test_weights_and_a_search_exclude_each_other():
    with pytest.raises(AffectkitError, match="give one"):
        build(weights=".5,.5", search="0:1:.1")


@pytest.mark.parametrize("search", [".8:.3:.1", "0:1", "0:1:0", "-1:1:.1", "0:2:.1", "a:b:c", "0:1:1e-9", "nan:1:.1"])
def test_a_search_that_is_none_is_refused(search):
    with pytest.raises(AffectkitError, match="--search"):
        build(search=search)


def test_a_search_of_two_runs_over_the_first_ones_weight():
    np.testing.assert_array_equal(parse_search(".3:.8:.1").points(2)[:, 0], [0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    np.testing.assert_array_equal(parse_search(".3:.8:.2").points(2), [[0.3, 0.7], [0.5, 0.5], [0.7, 0.3]])


def test_a_search_of_three_covers_the_simplex():
    points = parse_search("0:1:.25").points(3)
    assert len({tuple(p) for p in points}) == len(points) == 15  # of 4 steps over 3 sources: (4 + 2) choose 2
    np.testing.assert_array_equal(points.sum(axis=1), 1)
    assert sorted(set(parse_search(".5:1:.25").points(3)[:, 0])) == [0.5, 0.75, 1]
    with pytest.raises(AffectkitError, match="do not end"):
        parse_search(".1:.9:.3").points(3)
    with pytest.raises(AffectkitError, match="greedy"):
        parse_search("0:1:.01").points(5)


def test_a_search_finds_the_weight_with_the_least_loss(class_sources):
    sources, rows = class_sources(200, ["voice", "face"])
    found = build(search="0:1:.05", metric="nll").fit(sources, rows)
    voice, face = (source.values for source in sources.values())
    losses = {w: nll(rows.truth, w * voice + (1 - w) * face) for w in np.linspace(0, 1, 21).round(2)}
    best = min(losses, key=losses.get)
    assert found["weights"]["voice"] == best and found["tried"] == 21
    assert found["score"] == pytest.approx(losses[best], rel=1e-5)


def test_equally_good_weights_go_to_the_most_equal(class_sources):
    sources, rows = class_sources(60, ["voice"])
    twins = {"voice": sources["voice"], "face": sources["voice"]}
    assert build(search=".3:.8:.1").fit(twins, rows)["weights"] == {"voice": 0.5, "face": 0.5}
    assert build(search=".6:.8:.1").fit(twins, rows)["weights"]["voice"] == 0.6


def test_the_variance_of_a_mean_is_that_of_independent_errors():
    sources = {"voice": number(1, 2, 3, var=[4, 4, np.nan]), "face": number(5, np.nan, 3, var=[2, np.nan, 1])}
    found = fused(mean.build(), sources)
    np.testing.assert_array_equal(found.mean, [3, 2, 3])
    np.testing.assert_array_equal(found.var, [6 / 4, 4, np.nan])
    assert fused(mean.build(), {"voice": number(1, 2), "face": number(5, 6)}).var is None


def test_a_product_is_the_normalised_geometric_mean_to_the_power_of_the_sources(class_sources):
    sources, rows = class_sources(30)
    found = fused(product.build(), sources, rows).values
    expected = gmean([source.values for source in sources.values()]) ** 3
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), rtol=1e-10)


def test_two_certain_sources_that_contradict_each_other_leave_a_product_undecided():
    target = Target("label", "class", ("sad", "happy"))
    sources = {"voice": TargetPrediction.of(target, [[1.0, 0.0]]), "face": TargetPrediction.of(target, [[0.0, 1.0]])}
    np.testing.assert_allclose(fused(product.build(), sources).values, [[0.5, 0.5]])
