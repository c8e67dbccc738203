"""Stacking against scikit-learn, and where it stays at a simpler rule."""

import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.fusion.rule import SourceTable
from affectkit.fusion.rules._stacked import ClassStack, NumberStack, StackInputs, choose, inner_folds
from affectkit.fusion.rules.stacked import build
from affectkit.labels import Target

LABEL = Target("label", "class", ("angry", "happy", "sad"))
VALENCE = Target("valence", "number")


def table_and_truth(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=rows)
    columns = rng.normal(3, 2, size=(rows, 4)) + np.eye(3, 4)[truth] * [3, 1, 2, 0]
    return SourceTable(("a", "b", "c", "d"), columns), truth


def standardised(table):
    """The columns as the rule takes them: a table weighs as one source."""
    return (table.values - table.values.mean(0)) / table.values.std(0) / 2


def by_penalty(path, penalty):
    return next(fit for fit in path if fit["penalty"] == penalty)


@pytest.mark.parametrize("balanced", [True, False])
def test_what_is_added_to_a_source_that_says_nothing_is_a_logistic_regression(balanced):
    table, truth = table_and_truth()
    few = np.flatnonzero((truth != 2) | (np.arange(400) % 5 == 0))  # a rare class, for weights to matter
    table, truth, n = table.take(few), truth[few], len(few)
    inputs = StackInputs.of({"silent": TargetPrediction.of(LABEL, np.full((n, 3), 1 / 3)), "table": table}, "stacked")
    fit = by_penalty(ClassStack(balanced).path(inputs, GroundTruth(truth.astype(float), np.full(n, ""))), 0.01)
    x = np.c_[standardised(table), np.ones(n)]
    peer = LogisticRegression(
        C=1 / (0.01 * n), fit_intercept=False, tol=1e-8, max_iter=1000, class_weight="balanced" if balanced else None
    ).fit(x, truth)
    np.testing.assert_allclose(ClassStack(balanced).predict(fit, inputs), peer.predict_proba(x), atol=1e-3)


def test_what_is_added_to_a_constant_is_a_ridge_regression():
    table, truth = table_and_truth()
    silent = TargetPrediction.of(VALENCE, np.full(400, 2.0))
    inputs = StackInputs.of({"silent": silent, "table": table}, "stacked")
    rows = GroundTruth(truth + 0.3 * table.values[:, 3], np.full(400, ""))
    fit = by_penalty(NumberStack().path(inputs, rows), 10.0)
    x = np.c_[standardised(table), np.ones(400)]
    peer = Ridge(alpha=10.0, fit_intercept=False).fit(x, rows.truth - 2)
    np.testing.assert_allclose(NumberStack().predict(fit, inputs)[:, 0], 2 + peer.predict(x), atol=1e-9)


@pytest.mark.parametrize("model", [ClassStack(balanced=True), NumberStack()])
def test_a_table_may_have_more_columns_than_rows(model):
    table, truth = table_and_truth(60)
    wide = np.tile(table.values, 50)  # 200 columns that say what 4 do
    target = LABEL if isinstance(model, ClassStack) else VALENCE
    silent = TargetPrediction.of(target, np.full((60, 3), 1 / 3) if isinstance(model, ClassStack) else np.zeros(60))
    rows = GroundTruth(truth.astype(float), np.full(60, ""))
    found = []
    for values in (table.values, wide):
        inputs = StackInputs.of({"silent": silent, "table": SourceTable(tuple(map(str, values[0])), values)}, "stacked")
        found.append(model.predict(model.path(inputs, rows)[-1], inputs))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_slopes_are_temperatures_where_there_is_one_source():
    """Probabilities sharpened three times too much want a slope of 1/3 in all."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=(20_000, 3))
    right = np.exp(2 * score) / np.exp(2 * score).sum(1, keepdims=True)
    truth = (rng.random((20_000, 1)) > right.cumsum(1)).sum(1)
    sharp = right**3 / (right**3).sum(1, keepdims=True)
    found = build(class_weight="none").fit(
        {"sharp": TargetPrediction.of(LABEL, sharp)}, GroundTruth(truth.astype(float), np.full(20_000, ""))
    )
    assert 1 + found["slopes"]["sharp"] == pytest.approx(1 / 3, abs=0.01)


def test_the_simplest_candidate_that_is_as_good_wins():
    rng = np.random.default_rng(0)
    plain = rng.exponential(size=500)
    a_bit = plain - 0.001 * rng.normal(1, 10, size=500)
    better = plain - 0.5
    assert choose([plain, a_bit], [0, 1]) == 0
    assert choose([plain, a_bit, better], [0, 1, 2]) == 2
    assert choose([plain, better], [0, 0]) == 1


def test_with_few_rows_nothing_is_added(class_sources, number_sources):
    for make in (class_sources, number_sources):
        sources, rows = make(8, groups=4, seed=2)
        found = build().fit(sources, rows)
        assert found["penalty"] is None and found["prior"] in ("mean", "best")


def test_inner_folds_hold_out_whole_groups():
    groups = np.array([f"s{i % 7}" for i in range(70)])
    folds = inner_folds(GroundTruth(np.zeros(70), groups), np.arange(70) % 2)
    assert len(set(folds)) == 5
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    for alone in (np.full(70, "one"), np.arange(70).astype(str)):  # one group, or one to each row
        assert np.bincount(inner_folds(GroundTruth(np.zeros(70), alone), np.arange(70) % 2)).tolist() == [14] * 5


def test_a_source_that_is_missing_counts_as_its_mean(number_sources):
    sources, rows = number_sources(400, missing=0.2)
    built = build()
    parameters = built.fit(sources, rows)
    ridge = parameters["ridge"]
    means = {name: float(np.nanmean(source.values)) for name, source in sources.items()}
    assert {name: s["center"][0] for name, s in ridge["scaling"].items()} == pytest.approx(means)
    assert any(abs(c) > 0 for c in ridge["coefficients"][3:6])  # that a source is missing has a coefficient


def test_a_table_alone_answers_rows_that_have_no_prediction():
    table, truth = table_and_truth()
    values = np.full((400, 3), 1 / 3)
    values[:50] = np.nan
    sources = {"face": TargetPrediction.of(LABEL, values), "table": table}
    built = build()
    found = built.apply(built.fit(sources, GroundTruth(truth.astype(float), np.full(400, ""))), sources)
    assert found.known.all()
    assert np.mean(found.values[:50].argmax(1) == truth[:50]) > 0.6


def test_numbers_stay_on_the_scale(number_sources):
    sources, rows = number_sources(100)
    wild = {name: TargetPrediction(s.target, mean=s.mean * 10, var=s.var) for name, s in sources.items()}
    built = build()
    found = built.apply(built.fit(sources, rows), wild)
    assert found.mean.min() >= 1 and found.mean.max() <= 7


def test_tables_alone_are_refused():
    table, truth = table_and_truth()
    with pytest.raises(AffectkitError, match="there are none"):
        build().fit({"table": table}, GroundTruth(truth.astype(float), np.full(400, "")))


def test_a_class_weight_that_is_none_is_refused():
    with pytest.raises(AffectkitError, match="balanced or none"):
        build(class_weight="inverse")


def test_a_fit_on_thousands_of_rows_takes_seconds():
    rng = np.random.default_rng(0)
    target = Target("label", "class", tuple("abcdefg"))
    truth = rng.integers(7, size=5000)
    sources = {}
    for name in ("voice", "face", "text"):
        score = rng.normal(size=(5000, 7)) + 1.5 * np.eye(7)[truth]
        sources[name] = TargetPrediction.of(target, np.exp(score) / np.exp(score).sum(1, keepdims=True))
    rows = GroundTruth(truth.astype(float), np.array([f"s{i % 24}" for i in range(5000)]))
    began = time.process_time()
    build().fit(sources, rows)
    assert time.process_time() - began < 6  # about 1 on a quiet machine
