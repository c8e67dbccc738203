"""The objective over several targets: against the plain losses, scikit-learn's class weights and scipy's softmax."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.utils.class_weight import compute_class_weight

from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.training import losses
from affectkit.training.objective import CCC_BATCH, LOSSES, build_objective

LABEL = Target("label", "class", ("angry", "happy", "sad"))
STRESS = Target("stress", "ordinal", ("low", "high"))
VALENCE = Target("valence", "number", scale=(1.0, 5.0))
AROUSAL = Target("arousal", "number")
TRUTH = {
    "label": np.array([0, 0, 0, 1, -1, 2, 0, 1]),
    "stress": np.array([1, 0, -1, -1, 0, 0, 1, 0]),
    "valence": np.array([1.5, 4.0, np.nan, 3.0, 2.5, 2.0, 4.5, 3.5], dtype=np.float32),
    "arousal": np.array([10, 30, 20, np.nan, 50, 20, 10, 30], dtype=np.float32),
}
VOTES = np.array([[0.5, 0.5, 0], [1, 0, 0], [np.nan] * 3, [0.25, 0.5, 0.25]], dtype=np.float32)
KNOWN_VALENCE = np.array([1.5, 4.0, 3.0, 2.5, 2.0, 4.5, 3.5])


def tensors(truth=TRUTH):
    return {name: torch.from_numpy(values) for name, values in truth.items()}


def outputs(rows=8, seed=0):
    rng = torch.Generator().manual_seed(seed)
    wide = {"label": 3, "stress": 2}
    return {name: torch.randn(rows, *([wide[name]] if name in wide else []), generator=rng) for name in TRUTH}


def test_auto_takes_the_loss_of_each_form_of_truth():
    objective = build_objective([LABEL, STRESS, VALENCE], TRUTH)
    assert objective.losses == {"label": "cross-entropy", "stress": "cross-entropy", "valence": "ccc-mse"}
    assert build_objective([LABEL], {"label": VOTES}, loss="auto").losses == {"label": "soft"}


def test_a_class_loss_leaves_numbers_with_theirs_and_the_other_way_round():
    assert build_objective([LABEL, VALENCE], TRUTH, loss="focal").losses == {"label": "focal", "valence": "ccc-mse"}
    assert build_objective([LABEL, VALENCE], TRUTH, loss="mse").losses == {"label": "cross-entropy", "valence": "mse"}


def test_the_loss_is_the_mean_of_the_targets_losses():
    objective = build_objective([LABEL, VALENCE], TRUTH, class_weight="none", label_smoothing=0.1, mse_weight=0.5)
    standard = (tensors()["valence"] - KNOWN_VALENCE.mean()) / KNOWN_VALENCE.std()
    label = losses.cross_entropy(outputs()["label"], tensors()["label"], None, 0.1)
    valence = losses.ccc_mse(outputs()["valence"], standard, 0.5)
    assert objective(outputs(), tensors()).item() == pytest.approx((label + valence).item() / 2, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_the_function_of_its_name(loss):
    """Weights by hand: of 7 known labels 4 angry, 2 happy, 1 sad; of 3 rows of votes 1.75, 1 and .25."""
    form = LOSSES[loss]
    target = VALENCE if form == "numbers" else LABEL
    truth = {target.name: VOTES if form == "votes" else TRUTH[target.name]}
    given = {target.name: outputs(len(truth[target.name]))[target.name]}
    hard, soft = torch.tensor([7 / 12, 7 / 6, 7 / 3]), torch.tensor([3 / 5.25, 3 / 3, 3 / 0.75])
    standard = (tensors()["valence"] - KNOWN_VALENCE.mean()) / KNOWN_VALENCE.std()
    expected = {
        "cross-entropy": lambda: losses.cross_entropy(given["label"], tensors()["label"], hard),
        "focal": lambda: losses.focal(given["label"], tensors()["label"], hard, 1.5),
        "soft": lambda: losses.soft_cross_entropy(given["label"], torch.from_numpy(VOTES), soft),
        "mse": lambda: losses.mse(given["valence"], standard),
        "ccc": lambda: losses.ccc_loss(given["valence"], standard),
        "ccc-mse": lambda: losses.ccc_mse(given["valence"], standard, 2.0),
    }[loss]()
    objective = build_objective([target], truth, loss=loss, focal_gamma=1.5, mse_weight=2.0)
    assert objective(given, tensors(truth)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_target_that_the_batch_does_not_know_does_not_count():
    objective = build_objective([LABEL, VALENCE, AROUSAL], TRUTH)
    whole = {name: value.requires_grad_() for name, value in outputs().items()}
    partly = tensors() | {"arousal": torch.full((8,), math.nan)}
    value = objective(whole, partly)
    assert value.item() == pytest.approx(build_objective([LABEL, VALENCE], TRUTH)(whole, partly).item(), rel=1e-6)
    value.backward()
    assert not whole["arousal"].grad.any() and whole["valence"].grad.any() and whole["label"].grad.isfinite().all()


def test_a_batch_that_knows_nothing_costs_nothing():
    objective = build_objective([LABEL, VALENCE], TRUTH)
    whole = {name: value.requires_grad_() for name, value in outputs().items()}
    nothing = {"label": torch.full((8,), -1), "valence": torch.full((8,), math.nan)}
    value = objective(whole, nothing)
    value.backward()
    assert value.item() == 0 and not whole["label"].grad.any() and not whole["valence"].grad.any()


def test_balanced_class_weights_are_scikit_learns():
    known = TRUTH["label"][TRUTH["label"] >= 0]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=known)
    assert build_objective([LABEL], TRUTH).weights["label"] == pytest.approx(expected.tolist(), rel=1e-12)
    assert build_objective([LABEL], TRUTH, class_weight="none").weights == {}


def test_a_class_without_train_rows_weighs_one_and_is_not_counted():
    objective = build_objective([LABEL], {"label": np.array([0, 0, 0, 2])})
    assert objective.weights["label"] == pytest.approx((4 / (2 * 3), 1.0, 4 / (2 * 1)))


def test_unanimous_votes_are_balanced_as_labels_are():
    votes = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2, 0, 1]]
    assert build_objective([LABEL], {"label": votes}).weights == build_objective([LABEL], TRUTH).weights


def test_answers_are_probabilities_and_numbers_in_units_within_the_scale():
    objective = build_objective([LABEL, VALENCE, AROUSAL], TRUTH)
    given = outputs(4)
    given["valence"] = torch.tensor([0.0, 1.0, -9.0, 9.0])
    answers = objective.answers(given)
    np.testing.assert_allclose(answers["label"], softmax(given["label"].double().numpy(), axis=1), rtol=1e-12)
    mean, deviation = KNOWN_VALENCE.mean(), KNOWN_VALENCE.std()
    np.testing.assert_allclose(answers["valence"], [mean, mean + deviation, 1.0, 5.0], rtol=1e-12)
    known = TRUTH["arousal"][~np.isnan(TRUTH["arousal"])].astype(float)
    np.testing.assert_allclose(answers["arousal"], known.mean() + known.std() * given["arousal"].double().numpy())
    assert all(answer.dtype == np.float64 for answer in answers.values())


def test_answers_of_bfloat16_outputs_that_still_have_a_graph():
    given = {name: value.bfloat16().requires_grad_() for name, value in outputs(2).items()}
    assert build_objective([LABEL, VALENCE], TRUTH).answers(given)["label"].sum(axis=1) == pytest.approx([1, 1])


def test_what_the_finder_and_the_batches_must_know():
    assert build_objective([VALENCE, AROUSAL], TRUTH, loss="ccc").bounded
    for targets, loss in (([VALENCE], "ccc-mse"), ([VALENCE], "mse"), ([LABEL, VALENCE], "ccc"), ([LABEL], "auto")):
        assert not build_objective(targets, TRUTH, loss=loss).bounded
    assert build_objective([LABEL, VALENCE], TRUTH).least_batch == CCC_BATCH == 32
    assert build_objective([LABEL, VALENCE], TRUTH, loss="mse").least_batch == 1
    assert build_objective([LABEL], TRUTH).least_batch == 1


def test_validation_in_inference_mode_before_training_leaves_training_possible():
    objective = build_objective([LABEL], {"label": np.array([0, 1, 1, 2, 2, 2, 2, 2])})
    with torch.inference_mode():
        objective(outputs(), tensors())
    given = {"label": outputs()["label"].requires_grad_()}
    objective(given, tensors()).backward()
    assert given["label"].grad.any()


@pytest.mark.parametrize(
    ("options", "targets", "words"),
    [
        ({"loss": "focl"}, [LABEL], ["--loss focl", "focal"]),
        ({"loss": "focal"}, [VALENCE, AROUSAL], ["valence", "arousal", "use ccc-mse, ccc, mse"]),
        ({"loss": "mse"}, [LABEL], ["label (classes)", "use cross-entropy, focal"]),
        ({"loss": "soft"}, [LABEL], ["soft is for votes", "use cross-entropy, focal"]),
        ({"class_weight": "sqrt"}, [LABEL], ["--class-weight sqrt", "balanced, none"]),
        ({"label_smoothing": 1.0}, [LABEL], ["--label-smoothing 1"]),
        ({"label_smoothing": math.nan}, [LABEL], ["--label-smoothing nan"]),
        ({"label_smoothing": 0.1}, [VALENCE], ["does nothing to ccc-mse"]),
        ({"label_smoothing": 0.1, "loss": "focal"}, [LABEL], ["does nothing to focal", "cross-entropy or soft"]),
        ({"focal_gamma": -1.0}, [LABEL], ["--focal-gamma -1"]),
        ({"mse_weight": 0.0}, [VALENCE], ["use --loss ccc"]),
    ],
)
def test_options_that_make_no_sense_are_refused(options, targets, words):
    with pytest.raises(AffectkitError) as error:
        build_objective(targets, TRUTH, **options)
    assert error.value.code == "usage" and all(word in str(error.value) for word in words)


def test_a_soft_target_has_no_hard_loss():
    with pytest.raises(AffectkitError, match=r"label \(votes\); use soft"):
        build_objective([LABEL], {"label": VOTES}, loss="cross-entropy")


@pytest.mark.parametrize(
    ("target", "truth", "words"),
    [
        (LABEL, np.array([1, 1, -1]), ["label is 'happy'", "two classes"]),
        (LABEL, np.array([[0, 0, 1], [0, 0, 1], [np.nan] * 3]), ["label is 'sad'", "two classes"]),
        (LABEL, np.array([-1, -1]), ["no train row has a label"]),
        (LABEL, np.full((2, 3), np.nan), ["no train row has a label"]),
        (VALENCE, np.array([np.nan, np.nan]), ["no train row has a valence"]),
        (VALENCE, np.array([0.1, np.nan, 0.1, 0.1]), ["valence is 0.1", "nothing to learn"]),
        (VALENCE, np.array([2.5]), ["valence is 2.5"]),
        (VALENCE, np.array([2.5, np.inf]), ["infinite"]),
        (VALENCE, np.array([]), ["no train row has a valence"]),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(target, truth, words):
    truth = truth if truth.dtype == np.int64 else truth.astype(np.float32)
    with pytest.raises(AffectkitError) as error:
        build_objective([target], {target.name: truth})
    assert error.value.code == "input" and error.value.remedy and all(word in str(error.value) for word in words)
