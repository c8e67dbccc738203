"""Answers and metrics while training goes on."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score
from training_toy import LABEL, VALENCE, make_problem, make_rows

from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.training.judging import (
    NUMBER_METRICS,
    default_monitor,
    higher_is_better,
    outputs_of,
    score_names,
    scores,
)

STRESS = Target("stress", "ordinal", ("low", "medium", "high"))
AROUSAL = Target("arousal", "number")


@pytest.mark.parametrize(
    "options", [{"size": 1}, {"size": 7}, {"size": 1, "most_cost": 50.0}, {"size": 3, "num_workers": 2}]
)
def test_batches_change_no_answer(accelerator, options):
    """Each row's answer is that of the row by itself, in the rows' order."""
    problem = make_problem((LABEL, VALENCE), val=13)
    network, rows = problem.module, problem.val
    found = outputs_of(network, rows, accelerator, **options)
    network.eval()
    for row in range(13):
        with torch.no_grad():
            alone = network(**rows.collate([rows.values[row]]))
        torch.testing.assert_close(found["label"][row], alone["label"][0])
        torch.testing.assert_close(found["valence"][row], alone["valence"][0])


def test_the_networks_modes_are_as_before(accelerator):
    problem = make_problem()
    network = problem.module.train()
    network.first.eval()
    modes = [module.training for module in network.modules()]
    outputs_of(network, problem.val, accelerator, size=4)
    assert [module.training for module in network.modules()] == modes
    problem.val.load = None
    with pytest.raises(TypeError):
        outputs_of(network, problem.val, accelerator, size=4)
    assert [module.training for module in network.modules()] == modes


def test_nothing_learns(accelerator):
    problem = make_problem(dropout=0.5)
    before = {name: tensor.clone() for name, tensor in problem.module.state_dict().items()}
    outputs = outputs_of(problem.module, problem.val, accelerator, size=4)
    assert torch.equal(outputs["label"], outputs_of(problem.module, problem.val, accelerator, size=4)["label"])
    assert not outputs["label"].requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in problem.module.state_dict().items())


def test_the_longest_row_for_which_memory_does_not_suffice(accelerator):
    problem = make_problem()
    problem.val.costs[5] = 100.0

    def forward(**inputs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    problem.module.forward = forward
    with pytest.raises(AffectkitError, match="'row-005' is the longest; lower --batch-size") as caught:
        outputs_of(problem.module, problem.val, accelerator, size=4)
    assert caught.value.code == "environment"


def probabilities(predicted, classes=3):
    return np.eye(classes)[predicted]


def test_metrics_of_classes_are_scikit_learns():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    found = scores([LABEL, STRESS], {"label": probabilities(predicted), "stress": probabilities(truth)},
                   {"label": truth, "stress": truth})  # fmt: skip
    assert found["uar"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found["accuracy"] == pytest.approx((truth == predicted).mean())
    for name, weights in (("kappa", None), ("kappa_linear", "linear"), ("kappa_quadratic", "quadratic")):
        assert found[name] == pytest.approx(cohen_kappa_score(truth, predicted, weights=weights))
    assert found["stress.uar"] == found["stress.accuracy"] == 1


def test_unknown_rows_do_not_count():
    truth = {"label": np.array([0, 1, -1, -1]), "valence": np.array([1.0, 2.0, np.nan, 4.0])}
    answers = {"label": probabilities([0, 1, 2, 2]), "valence": np.array([1.0, 2.0, 9.0, 4.0])}
    found = scores([LABEL, VALENCE], answers, truth)
    assert found["uar"] == found["accuracy"] == 1
    assert found["valence.ccc"] == pytest.approx(1) and found["valence.mae"] == 0


def test_a_class_that_no_row_has_is_left_out():
    """Recalls of 1 and .5 of the two classes there are."""
    found = scores([LABEL], {"label": probabilities([0, 1, 2])}, {"label": np.array([0, 1, 1])})
    assert found["uar"] == 0.75


def test_votes_count_by_the_most_frequent():
    votes = np.array([[0.6, 0.4, 0], [0, 0, 1], [np.nan] * 3], np.float32)
    assert scores([LABEL], {"label": probabilities([0, 2, 1])}, {"label": votes})["accuracy"] == 1


def test_means_over_numbers():
    truth = {"valence": np.array([1.0, 2.0, 3.0]), "arousal": np.array([1.0, 2.0, 3.0])}
    answers = {"valence": np.array([2.0, 3.0, 4.0]), "arousal": np.array([1.0, 2.0, 3.0])}
    found = scores([VALENCE, AROUSAL], answers, truth)
    assert found["valence.ccc"] == pytest.approx(4 / 7) and found["arousal.ccc"] == pytest.approx(1)
    assert found["ccc"] == pytest.approx((4 / 7 + 1) / 2) and found["mae"] == 0.5


def test_a_target_without_a_known_row_has_no_metric():
    truth = {"label": np.array([-1, -1]), "valence": np.array([np.nan, np.nan]), "arousal": np.array([0.0, 1.0])}
    answers = {"label": probabilities([0, 1]), "valence": np.zeros(2), "arousal": np.array([0.0, 1.0])}
    found = scores([LABEL, VALENCE, AROUSAL], answers, truth)
    assert set(found) == {*NUMBER_METRICS, *(f"arousal.{name}" for name in NUMBER_METRICS), "score"}
    assert found["mae"] == 0
    assert found["score"] == found["ccc"]


@pytest.mark.parametrize("targets", [(LABEL,), (VALENCE,), (LABEL, VALENCE)])
def test_names_are_those_of_the_scores(targets):
    rows = make_rows(12, 0, targets)
    answers = {"label": probabilities(np.arange(12) % 3), "valence": np.arange(12.0)}
    assert score_names(targets, rows.truth) == list(scores(targets, answers, rows.truth))


def test_one_row():
    found = scores([VALENCE], {"valence": np.array([1.0])}, {"valence": np.array([1.0])})
    assert math.isnan(found["ccc"]) and found["mae"] == 0


@pytest.mark.parametrize(
    ("targets", "monitor"),
    [
        ((LABEL,), "val_uar"),
        ((STRESS,), "val_stress.uar"),
        ((VALENCE,), "val_ccc"),
        ((VALENCE, AROUSAL), "val_ccc"),
        ((LABEL, STRESS), "val_loss"),
        ((LABEL, VALENCE), "val_loss"),
    ],
)
def test_what_decides_by_default(targets, monitor):
    assert default_monitor(targets) == monitor


@pytest.mark.parametrize(
    ("monitor", "higher"),
    [("val_uar", True), ("val_stress.uar", True), ("val_ccc", True), ("val_valence.ccc", True),
     ("val_mae", False), ("val_valence.mae", False), ("val_loss", False), ("train_loss", False), ("", False)],
)  # fmt: skip
def test_which_way_is_better(monitor, higher):
    assert higher_is_better(monitor) == higher
