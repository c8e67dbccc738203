"""Paired comparisons: hand calculations, a paired t-test, Holm, McNemar, and how often a null difference is claimed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.evaluation.comparison import compare, holm, mcnemar, target_metric, value_of
from affectkit.labels import Target

LABEL = Target("label", "class", ("a", "b"))
VALENCE = Target("valence", "number", scale=(0, 1))


def classes(truth, predicted):
    frame = {"label": list(truth), "pred": list(predicted)}
    return Predictions(pd.DataFrame({"id": [str(i) for i in range(len(truth))], **frame}), {"label": LABEL})


def numbers(truth, predicted):
    frame = pd.DataFrame({"id": [str(i) for i in range(len(truth))], "valence": truth, "valence_pred": predicted})
    return Predictions(frame, {"valence": VALENCE})


def test_accuracy_of_equal_groups_is_the_paired_t_test_over_groups():
    rng = np.random.default_rng(0)
    truth, first, second = (rng.choice(["a", "b"], 200) for _ in range(3))
    groups = np.repeat([str(g) for g in range(8)], 25)
    one, two = classes(truth, first), classes(truth, second)
    found = compare(one, two, target_metric("accuracy", one.targets), groups)
    shares = [[np.mean((p == truth)[groups == g]) for g in np.unique(groups)] for p in (first, second)]
    expected = ttest_rel(*shares)
    assert found.difference.p == pytest.approx(expected.pvalue, abs=1e-12)
    low, high = expected.confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=1e-12)
    assert found.first == np.mean(first == truth) and found.difference.value == found.first - found.second
    assert found.better == (low > 0)


def test_an_error_is_better_where_it_is_lower():
    truth = np.linspace(0, 1, 40)
    near, far = numbers(truth, truth + 0.01 * np.cos(np.arange(40))), numbers(truth, truth + 0.3)
    groups = np.repeat([str(g) for g in range(8)], 5)
    for metric in ("mae", "valence.rmse", "ccc"):
        found = compare(near, far, target_metric(metric, near.targets), groups)
        assert found.better and found.gain > 0, metric
        assert not compare(far, near, target_metric(metric, near.targets), groups).better


def test_only_rows_that_both_answer_are_compared():
    truth = ["a", "a", "b", "b"]
    one, two = classes(truth, ["a", "", "b", "a"]), classes(truth, ["a", "b", "", "b"])
    found = compare(one, two, target_metric("accuracy", one.targets), None)
    assert (found.n, found.first, found.second) == (2, 0.5, 1.0)
    assert value_of(one, target_metric("accuracy", one.targets)) == pytest.approx(2 / 3)


def test_a_calibration_error_is_compared_without_an_interval():
    frame = pd.DataFrame({"id": ["0", "1"], "label": ["a", "b"], "pred": ["a", "a"], "prob_a": [0.9, 0.6]})
    one = Predictions(frame.assign(prob_b=1 - frame["prob_a"]), {"label": LABEL})
    found = compare(one, one, target_metric("ece", one.targets), None)
    assert found.first == pytest.approx(0.35) and np.isnan(found.difference.low) and not found.better


def test_rescued_and_degraded_rows_by_hand():
    truth = list("aaaaabbbbb")
    found = mcnemar(classes(truth, "aaaaabbbba"), classes(truth, "aabbbbbbbb"), LABEL)
    assert (found.rescued, found.degraded) == (3, 1)
    assert found.p == pytest.approx(2 * (1 + 4) / 16)  # at most one of four, either way


def test_holm_by_hand():
    assert holm([0.01, 0.02, 0.9, 0.013]) == pytest.approx([0.04, 0.04, 0.9, 0.04], abs=1e-12)
    assert holm([0.04, np.nan, 0.03])[0] == pytest.approx(0.06) and np.isnan(holm([0.04, np.nan, 0.03])[1])


def test_an_unknown_metric_names_near_ones():
    with pytest.raises(AffectkitError, match=r"no metric 'macrof1'.*did you mean macro_f1"):
        target_metric("macrof1", {"label": LABEL})
    with pytest.raises(AffectkitError, match="no metric 'ccc' of label"):
        target_metric("ccc", {"label": LABEL})


@pytest.mark.parametrize("speakers", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 10, 24))])
def test_a_null_difference_is_rarely_claimed(speakers):
    """Two classifiers of equal skill whose errors vary by speaker: at most 5 % (and sampling error) claim a gain."""
    rng = np.random.default_rng(speakers)
    rows, claims, runs = 30, 0, 400
    groups = np.repeat([str(s) for s in range(speakers)], rows)
    truth = np.where(np.arange(speakers * rows) % 2, "a", "b")
    for _ in range(runs):
        chance = [np.clip(0.7 + rng.normal(0, 0.1, speakers), 0.05, 0.95).repeat(rows) for _ in range(2)]
        right = [rng.random(len(truth)) < c for c in chance]
        one, two = (classes(truth, np.where(r, truth, np.where(truth == "a", "b", "a"))) for r in right)
        claims += compare(one, two, target_metric("uar", one.targets), groups).better
    assert claims / runs <= 0.05
