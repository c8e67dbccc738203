"""Class metrics against scikit-learn 1.9 on random tables, and against hand calculations at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from affectkit.errors import AffectkitError
from affectkit.evaluation import metrics as m
from affectkit.evaluation.class_metrics import confusion_matrix, f1s, precisions, recalls, tally

NAMES = np.array(["angry", "happy", "neutral", "sad"])

tables = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.int64, n, elements=st.integers(0, 3)), arrays(np.int64, n, elements=st.integers(0, 3))
    )
)


@given(tables)
def test_all_equal_scikit_learn(table):
    truth, predicted = (NAMES[codes] for codes in table)
    assert m.accuracy(truth, predicted) == pytest.approx(sk.accuracy_score(truth, predicted), abs=1e-12)
    recall = sk.recall_score(truth, predicted, labels=np.unique(truth), average="macro")
    assert m.uar(truth, predicted, classes=NAMES) == pytest.approx(recall, abs=1e-12)
    assert m.macro_f1(truth, predicted) == pytest.approx(sk.f1_score(truth, predicted, average="macro"), abs=1e-12)
    weighted = sk.f1_score(truth, predicted, average="weighted")
    assert m.weighted_f1(truth, predicted) == pytest.approx(weighted, abs=1e-12)
    counts = sk.confusion_matrix(truth, predicted, labels=NAMES)
    assert (confusion_matrix(truth, predicted, NAMES) == counts).all()


@given(tables)
@pytest.mark.filterwarnings("ignore")  # scikit-learn divides by zero where kappa is undefined
def test_kappas_equal_scikit_learn(table):
    truth, predicted = (NAMES[codes] for codes in table)
    for ours, weights in ((m.kappa, None), (m.kappa_linear, "linear"), (m.kappa_quadratic, "quadratic")):
        if len(np.unique([truth, predicted])) > 1:
            peer = sk.cohen_kappa_score(truth, predicted, labels=NAMES, weights=weights)
            assert ours(truth, predicted, classes=NAMES) == pytest.approx(peer, abs=1e-9)
        else:
            assert np.isnan(ours(truth, predicted, classes=NAMES))


@given(tables)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_per_class_figures_equal_scikit_learn(table):
    truth, predicted = (NAMES[codes] for codes in table)
    sums = tally(truth, predicted, NAMES)
    peer = sk.precision_recall_fscore_support(truth, predicted, labels=NAMES, zero_division=np.nan)
    np.testing.assert_allclose(precisions(sums), peer[0], atol=1e-12)
    np.testing.assert_allclose(recalls(sums), peer[1], atol=1e-12)
    np.testing.assert_allclose(f1s(sums), peer[2], atol=1e-12)


@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_of_no_account(table, random):
    order = list(range(len(table[0])))
    random.shuffle(order)
    for name in ("accuracy", "uar", "macro_f1", "weighted_f1", "kappa", "kappa_quadratic"):
        before = m.METRICS[name].function(*table, classes=range(4))
        after = m.METRICS[name].function(table[0][order], table[1][order], classes=range(4))
        assert before == after or (np.isnan(before) and np.isnan(after))


def test_a_class_that_never_occurs_does_not_shift_uar_or_f1():
    truth, predicted = ["a", "a", "b"], ["a", "b", "b"]
    for metric in (m.uar, m.macro_f1, m.weighted_f1, m.kappa, m.accuracy):
        assert metric(truth, predicted, classes=["a", "b", "c"]) == metric(truth, predicted)


def test_a_class_that_is_only_predicted_costs_f1_and_not_uar():
    # Hand: recall of a is 1/2 and b has no true row; F1 of a is 2/3 and of b 0.
    assert m.uar(["a", "a"], ["a", "b"]) == 0.5
    assert m.macro_f1(["a", "a"], ["a", "b"]) == pytest.approx(1 / 3)


def test_rows_without_truth_or_prediction_are_left_out():
    truth = ["a", "", None, float("nan"), "b", "b"]
    predicted = ["a", "a", "b", "b", "", "a"]
    assert confusion_matrix(truth, predicted).tolist() == [[1, 0], [1, 0]]
    assert m.accuracy(truth, predicted) == 0.5


def test_integers_and_floats_with_nan_are_labels_too():
    assert m.uar(np.array([0.0, 1.0, np.nan]), np.array([0, 0, 1]), classes=range(2)) == 0.5


def test_nothing_to_judge_is_nan():
    for metric in (m.accuracy, m.uar, m.macro_f1, m.weighted_f1, m.kappa, m.kappa_linear, m.kappa_quadratic):
        assert np.isnan(metric([], [], classes=["a", "b"]))


def test_an_unknown_label_is_named_with_its_row():
    with pytest.raises(AffectkitError, match="row 2: label 'exc' is not in hap, sad"):
        m.uar(["hap", "exc"], ["hap", "sad"], classes=["hap", "sad"])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 truths and 1 predictions"):
        m.uar(["a", "b"], ["a"], classes=["a", "b"])


def test_order_matters_to_the_weighted_kappas_alone():
    truth, predicted = ["low", "mid", "high", "high"], ["low", "high", "high", "mid"]
    right, wrong = ["low", "mid", "high"], ["mid", "low", "high"]
    assert m.kappa(truth, predicted, classes=right) == m.kappa(truth, predicted, classes=wrong)
    assert m.kappa_quadratic(truth, predicted, classes=right) > m.kappa_quadratic(truth, predicted, classes=wrong)
