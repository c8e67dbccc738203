"""Repeats of a table (seeds): every figure is their mean, every interval that of the mean over groups."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, with_outputs
from affectkit.evaluation.comparison import compare, target_metric
from affectkit.evaluation.intervals import DEFAULT, Resampling
from affectkit.evaluation.measure import measure
from affectkit.labels import Target

LABEL, VALENCE = Target("label", "class", ("a", "b", "c")), Target("valence", "number", scale=(-3, 3))
TARGETS = [LABEL, VALENCE]
GROUPS = np.repeat([f"s{number}" for number in range(6)], 20)


@pytest.fixture(scope="module")
def tables():
    """Four repeats of a table of a class and a number."""
    rng = np.random.default_rng(0)
    truth, valence = rng.integers(3, size=120), rng.normal(size=120)
    frame = pd.DataFrame(
        {"id": np.arange(120).astype(str), "label": np.array(["a", "b", "c"])[truth], "valence": valence}
    )
    rows = Predictions(frame, {target.name: target for target in TARGETS})
    found = []
    for _ in range(4):
        scores = rng.normal(size=(120, 3)) + 1.5 * np.eye(3)[truth]
        outputs = [
            TargetPrediction.of(LABEL, softmax(scores, axis=1)),
            TargetPrediction.of(VALENCE, valence + rng.normal(size=120)),
        ]
        found.append(with_outputs(rows, outputs, ["oof"] * 120))
    return found


def test_every_figure_is_the_mean_over_the_repeats(tables):
    together = measure(tables, TARGETS, GROUPS, DEFAULT)
    alone = [measure(table, TARGETS, GROUPS, Resampling("none")) for table in tables]
    assert together.keys() == alone[0].keys()
    for name, figure in together.items():
        expected = np.mean([row[name].value for row in alone])
        assert figure.value == pytest.approx(expected, abs=1e-12, nan_ok=True), name


def test_one_repeat_is_the_table_itself(tables):
    for resampling in (DEFAULT, Resampling("bootstrap", resamples=200)):
        assert measure(tables[:1], TARGETS, GROUPS, resampling) == measure(tables[0], TARGETS, GROUPS, resampling)
    of = target_metric("uar", tables[0].targets)
    assert compare(tables[:1], tables[1:2], of, GROUPS) == compare(tables[0], tables[1], of, GROUPS)


def test_repeats_that_are_equal_have_the_interval_of_one(tables):
    one, four = (measure(given, TARGETS, GROUPS, DEFAULT) for given in (tables[0], [tables[0]] * 4))
    for name, figure in one.items():
        assert four[name].low == pytest.approx(figure.low, abs=1e-12, nan_ok=True), name
        assert four[name].high == pytest.approx(figure.high, abs=1e-12, nan_ok=True), name


def test_the_interval_of_auroc_leaves_groups_out_of_all_repeats_at_once(tables):
    found = measure(tables, [LABEL], GROUPS, DEFAULT)["auroc"]

    def mean_auroc(keep):
        truth = tables[0].frame["label"][keep]
        return np.mean([roc_auc_score(truth, t.probabilities()[keep], multi_class="ovr") for t in tables])

    value, left = mean_auroc(GROUPS != ""), np.array([mean_auroc(one != GROUPS) for one in np.unique(GROUPS)])
    logit = np.log(left / (1 - left))
    reach = student.ppf(0.975, 5) * np.sqrt(5 * logit.var())
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.low == pytest.approx(1 / (1 + np.exp(-np.log(value / (1 - value)) + reach)), abs=1e-9)


@pytest.mark.parametrize("name", ["nll", "valence.ccc", "ece"])
def test_differences_are_means_over_the_repeats(tables, name):
    of = target_metric(name, tables[0].targets)
    found = compare(tables[:2], tables[2:], of, GROUPS)
    each = [compare(one, other, of, GROUPS) for one, other in zip(tables[:2], tables[2:], strict=True)]
    assert found.difference.value == pytest.approx(np.mean([c.difference.value for c in each]), abs=1e-12)
    assert found.first == pytest.approx(np.mean([c.first for c in each]), abs=1e-12)
