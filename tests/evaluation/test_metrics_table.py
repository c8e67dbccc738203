"""What every metric owes, for each row of the table: a new metric is covered by being there."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import affectkit.evaluation
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.rows import losses, moments, tallies

CLASSES = 4


def example(metric, noise, seed=0, n=400):
    """Truth, and a prediction as the metric takes it, the worse the more noise."""
    rng = np.random.default_rng(seed)
    if metric.takes == "numbers":
        truth = rng.uniform(0, 1, n)
        return truth, np.clip(truth + noise * rng.standard_normal(n), 0, 1)
    truth = rng.integers(CLASSES, size=n)
    sure = np.where(rng.random(n) < noise, (truth + 1 + rng.integers(CLASSES - 1, size=n)) % CLASSES, truth)
    if metric.takes == "classes":
        return truth, sure
    return truth, 0.98 * np.eye(CLASSES)[sure] + 0.02 / CLASSES


def settings(metric):
    return {"scale": (0.0, 1.0)} if metric.name == "one_minus_mae" else {} if metric.takes == "numbers" else {
        "classes": range(CLASSES)
    }  # fmt: skip


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_worse_prediction_has_a_worse_figure_within_the_range(metric):
    good, bad = (metric.function(*example(metric, noise), **settings(metric)) for noise in (0.02, 0.4))
    assert (good > bad) == metric.higher_is_better
    for value in (good, bad):
        assert metric.interval_scale.low <= value <= metric.interval_scale.high
        assert isinstance(value, float)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_order_of_rows_is_of_no_account(metric):
    truth, predicted = example(metric, 0.3)
    order = np.random.default_rng(1).permutation(len(truth))
    shuffled = metric.function(truth[order], predicted[order], **settings(metric))
    assert shuffled == pytest.approx(metric.function(truth, predicted, **settings(metric)), abs=1e-12)


@pytest.mark.parametrize("metric", [x for x in METRICS.values() if x.of], ids=lambda x: x.name)
def test_sums_over_units_give_what_the_function_gives(metric):
    truth, predicted = example(metric, 0.3)
    units = np.arange(len(truth)) % 7
    sums = {
        "classes": lambda: tallies(truth, predicted, CLASSES, units, 7),
        "probabilities": lambda: losses(truth, predicted, units, 7),
        "numbers": lambda: moments(truth, predicted, units, 7, width=1.0),
    }[metric.takes]()
    whole = metric.function(truth, predicted, **settings(metric))
    assert float(metric.of(sums.sum(axis=0))) == pytest.approx(whole, abs=1e-12)
    without = metric.of(sums.sum(axis=0) - sums)
    anew = [metric.function(truth[units != u], predicted[units != u], **settings(metric)) for u in range(7)]
    np.testing.assert_allclose(without, anew, atol=1e-9)
    weights = np.random.default_rng(0).integers(0, 4, (3, 7))
    drawn = metric.of(np.tensordot(weights, sums, axes=1))
    repeated = [np.repeat(np.arange(len(truth)), w[units]) for w in weights]
    anew = [metric.function(truth[rows], predicted[rows], **settings(metric)) for rows in repeated]
    np.testing.assert_allclose(drawn, anew, atol=1e-9)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_it_is_documented_with_an_example(metric):
    assert metric.description
    assert metric.function.__doc__ and ">>>" in metric.function.__doc__


@pytest.mark.parametrize("module", [name for _, name, _ in pkgutil.iter_modules(affectkit.evaluation.__path__)])
def test_the_examples_run(module):
    assert doctest.testmod(importlib.import_module(f"affectkit.evaluation.{module}")).failed == 0
