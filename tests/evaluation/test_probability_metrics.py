"""Proper scores and AUROC against scikit-learn; AUROC without a unit against computing it anew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from affectkit.evaluation import metrics as m
from affectkit.evaluation.probability_metrics import left_out_auroc


def random_table(seed, n=80, classes=4, digits=None):
    """Truth, probabilities; rounded to `digits`, so that there are ties."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), n)
    if digits is not None:
        probabilities = np.round(probabilities, digits)
    return rng.integers(classes, size=n), probabilities


@given(st.integers(0, 10**6), st.integers(2, 6))
def test_scores_equal_scikit_learn(seed, classes):
    truth, p = random_table(seed, classes=classes)
    assert m.nll(truth, p) == pytest.approx(sk.log_loss(truth, p, labels=range(classes)), abs=1e-9)
    brier = sk.brier_score_loss(truth, p, labels=range(classes), scale_by_half=False)
    assert m.brier(truth, p) == pytest.approx(brier, abs=1e-9)


def test_a_certain_error_costs_no_more_than_the_clip():
    assert m.nll([0], [[0.0, 1.0]]) == pytest.approx(-np.log(1e-12))
    assert m.brier([0], [[0.0, 1.0]]) == 2


@given(st.integers(0, 10**6), st.integers(3, 5), st.sampled_from([None, 1]))
def test_auroc_equals_scikit_learn(seed, classes, digits):
    truth, p = random_table(seed, 120, classes, digits)
    p = p / p.sum(axis=1, keepdims=True) if digits is None else p
    peer = np.mean([sk.roc_auc_score(truth == k, p[:, k]) for k in range(classes)])
    assert m.auroc(truth, p) == pytest.approx(peer, abs=1e-9)


def test_auroc_of_two_classes_is_of_the_second():
    truth, p = random_table(7, classes=2)
    assert m.auroc(truth, p) == pytest.approx(sk.roc_auc_score(truth, p[:, 1]), abs=1e-12)


def test_auroc_leaves_out_classes_that_no_row_or_every_row_has():
    truth, p = random_table(1, classes=3)
    truth = np.where(truth == 2, 1, truth)
    peer = np.mean([sk.roc_auc_score(truth == k, p[:, k]) for k in (0, 1)])
    assert m.auroc(truth, p) == pytest.approx(peer, abs=1e-12)
    assert np.isnan(m.auroc([1, 1], [[0.2, 0.8], [0.5, 0.5]]))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("units", [2, 7, 40])
def test_auroc_without_a_unit_equals_computing_it_anew(classes, units):
    truth, p = random_table(units, 40, classes, digits=1)
    unit = np.random.default_rng(0).permutation(40) % units
    value, left_out = left_out_auroc(truth, p, unit, units)
    assert value == m.auroc(truth, p)
    anew = [m.auroc(truth[unit != u], p[unit != u]) for u in range(units)]
    np.testing.assert_allclose(left_out, anew, atol=1e-12)


def test_class_names_follow_the_given_order_and_missing_rows_are_left_out():
    p = [[0.7, 0.3], [0.4, 0.6], [np.nan, np.nan], [0.5, 0.5]]
    named = m.nll(["sad", "happy", "sad", ""], p, classes=["sad", "happy"])
    assert named == m.nll([0, 1], p[:2]) == pytest.approx(-(np.log(0.7) + np.log(0.6)) / 2)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shape"):
        m.nll([0, 1], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="shape"):
        m.nll(["a"], [[0.5, 0.5]], classes=["a", "b", "c"])


def test_nothing_to_judge_is_nan():
    for name in ("nll", "brier", "auroc", "ece", "ece_adaptive", "classwise_ece", "ece_debiased", "smece"):
        assert np.isnan(m.METRICS[name].function([], np.empty((0, 3)))), name
