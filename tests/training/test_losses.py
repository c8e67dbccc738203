"""Losses against torch, against the evaluation's own CCC, by hand, and their gradients against finite differences."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from affectkit.evaluation.number_metrics import ccc
from affectkit.training.losses import ccc_loss, ccc_mse, cross_entropy, focal, known, mse, soft_cross_entropy

WEIGHTS = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
CLASSES = torch.tensor([0, 2, 1, -1, 2, 0])
NUMBERS = torch.tensor([0.3, -1.0, math.nan, 2.0, 0.1, -0.4], dtype=torch.float64)
VOTES = torch.tensor(
    [[1, 0, 0], [0.2, 0.5, 0.3], [math.nan] * 3, [0, 0.5, 0.5], [0.1, 0, 0.9], [1 / 3] * 3], dtype=torch.float64
)


def logits(rows=6, classes=3, seed=0):
    return torch.randn(rows, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def numbers(rows=6, seed=0):
    return torch.randn(rows, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class_losses = {
    "cross-entropy": lambda outputs, truth: cross_entropy(outputs, truth, WEIGHTS, 0.1),
    "focal": lambda outputs, truth: focal(outputs, truth, WEIGHTS, 2.0),
    "focal, a root": lambda outputs, truth: focal(outputs, truth, None, 0.5),
}
vote_losses = {
    "soft": lambda outputs, truth: soft_cross_entropy(outputs, truth, WEIGHTS, 0.1),
    "soft, plain": soft_cross_entropy,
}
number_losses = {"mse": mse, "ccc": ccc_loss, "ccc-mse": lambda outputs, truth: ccc_mse(outputs, truth, 0.5)}
every_loss = (
    [pytest.param(loss, logits(), CLASSES, id=name) for name, loss in class_losses.items()]
    + [pytest.param(loss, logits(), VOTES, id=name) for name, loss in vote_losses.items()]
    + [pytest.param(loss, numbers(), NUMBERS, id=name) for name, loss in number_losses.items()]
)


def unknown(truth):
    return torch.full_like(truth, math.nan if truth.is_floating_point() else -1)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs_with_unknown_rows_ignored(weights, smoothing):
    expected = F.cross_entropy(logits(), CLASSES, weights, ignore_index=-1, label_smoothing=smoothing)
    assert cross_entropy(logits(), CLASSES, weights, smoothing).item() == pytest.approx(expected.item(), rel=1e-12)


def test_focal_by_hand():
    """Two rows with p of the truth .8 and .3, alphas .5 and 2: (.5 * .04 * .2231 + 2 * .49 * 1.2040) / 2.5."""
    outputs = torch.tensor([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2]], dtype=torch.float64).log()
    by_hand = (0.5 * 0.2**2 * -math.log(0.8) + 2.0 * 0.7**2 * -math.log(0.3)) / 2.5
    assert focal(outputs, torch.tensor([0, 1]), WEIGHTS).item() == pytest.approx(by_hand, rel=1e-12)


def test_focal_without_focus_is_the_cross_entropy():
    for weights in (None, WEIGHTS):
        plain = cross_entropy(logits(), CLASSES, weights)
        assert focal(logits(), CLASSES, weights, gamma=0.0).item() == pytest.approx(plain.item(), rel=1e-12)


def test_focal_has_a_gradient_where_the_answer_is_certain():
    outputs = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    focal(outputs, torch.tensor([0, 0]), gamma=0.5).backward()
    assert outputs.grad.isfinite().all() and outputs.grad[0].abs().max() == 0 and outputs.grad[1, 0] < -0.4


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_soft_cross_entropy_is_torchs_for_probabilities(smoothing):
    rows = known(VOTES)
    expected = F.cross_entropy(logits()[rows], VOTES[rows], label_smoothing=smoothing)
    assert soft_cross_entropy(logits(), VOTES, None, smoothing).item() == pytest.approx(expected.item(), rel=1e-12)


def test_unanimous_votes_are_the_weighted_cross_entropy():
    votes = F.one_hot(CLASSES.clamp_min(0), 3).double()
    votes[3] = math.nan
    expected = F.cross_entropy(logits(), CLASSES, WEIGHTS, ignore_index=-1)
    assert soft_cross_entropy(logits(), votes, WEIGHTS).item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_row_of_votes_weighs_what_they_expect_of_the_weights():
    """Votes .5 / .5 / 0 expect a weight of 1.25, votes 0 / 0 / 1 one of 1."""
    votes = torch.tensor([[0.5, 0.5, 0], [0, 0, 1]], dtype=torch.float64)
    log_p = logits(2).log_softmax(dim=1)
    by_hand = (1.25 * -(log_p[0, 0] + log_p[0, 1]) / 2 + 1.0 * -log_p[1, 2]) / 2.25
    assert soft_cross_entropy(logits(2), votes, WEIGHTS).item() == pytest.approx(by_hand.item(), rel=1e-12)


def test_each_row_is_best_answered_by_its_own_votes():
    outputs = VOTES[[1, 5]].log().requires_grad_()
    soft_cross_entropy(outputs, VOTES[[1, 5]], WEIGHTS).backward()
    assert outputs.grad.abs().max() < 1e-12


def test_mse_is_torchs_over_known_rows():
    rows = known(NUMBERS)
    assert mse(numbers(), NUMBERS).item() == pytest.approx(F.mse_loss(numbers()[rows], NUMBERS[rows]).item(), rel=1e-12)


spread = st.lists(st.floats(-3, 3, allow_subnormal=False), min_size=2, max_size=40)


@given(spread, st.integers(0, 99), st.floats(0.01, 3))
def test_ccc_loss_is_one_less_the_evaluations_ccc(truth, seed, scale):
    t = torch.tensor(truth, dtype=torch.float64) + numbers(len(truth), seed=seed + 100)
    p = scale * numbers(len(truth), seed=seed)
    assert ccc_loss(p, t).item() == pytest.approx(1 - ccc(t.numpy(), p.numpy()), abs=1e-9)
    assert ccc_loss(p.float(), t.float()).item() == pytest.approx(1 - ccc(t.numpy(), p.numpy()), abs=1e-4)
    assert 0 <= ccc_loss(p, t).item() <= 2
    assert ccc_mse(p, t, 0.5).item() == pytest.approx(ccc_loss(p, t).item() + 0.5 * mse(p, t).item(), rel=1e-12)


def test_ccc_loss_at_its_ends():
    t = torch.tensor([1.0, 2.0, 4.0])
    assert ccc_loss(t, t).item() == pytest.approx(0, abs=1e-6)
    assert ccc_loss(2 * t.mean() - t, t).item() == pytest.approx(2)


def test_constant_outputs_cost_one_and_still_learn():
    """The slope of -CCC at constant outputs c is -2 (t - mean t) / n / (var t + (c - mean t)^2), by hand."""
    truth = torch.tensor([0.1, -1.3, 1.2, 0.4])
    outputs = torch.full((4,), 0.7, requires_grad=True)
    loss = ccc_loss(outputs, truth)
    loss.backward()
    by_hand = -2 * (truth - truth.mean()) / 4 / (truth.var(correction=0) + (0.7 - truth.mean()) ** 2)
    assert loss.item() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(outputs.grad, by_hand, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-3])
def test_one_and_the_same_constant_costs_one_and_moves_nothing(value):
    outputs = torch.full((7,), value, requires_grad=True)
    loss = ccc_loss(outputs, torch.full((7,), value))
    loss.backward()
    assert loss.item() == pytest.approx(1, abs=1e-6) and outputs.grad.abs().max() < 1e-2


def test_only_vectors_have_one_ccc():
    for loss in (ccc_loss, ccc_mse, mse):
        with pytest.raises(ValueError, match="numbers are"):
            loss(torch.zeros(4, 2), torch.zeros(4, 2))
        with pytest.raises(ValueError, match="numbers are"):
            loss(torch.zeros(4), torch.zeros(4, 1))


@pytest.mark.parametrize(("loss", "outputs", "truth"), every_loss)
def test_gradients_equal_finite_differences(loss, outputs, truth):
    """Constant outputs as well; torch's own check, in float64."""
    assert torch.autograd.gradcheck(lambda x: loss(x, truth), outputs.clone().requires_grad_())
    flat = torch.full_like(outputs, 0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, truth), flat)


@pytest.mark.parametrize(("loss", "outputs", "truth"), every_loss)
def test_unknown_rows_change_nothing(loss, outputs, truth):
    rows = known(truth)
    assert 0 < rows.sum() < len(rows)
    assert loss(outputs, truth).item() == pytest.approx(loss(outputs[rows], truth[rows]).item(), rel=1e-12)
    whole = outputs.clone().requires_grad_()
    loss(whole, truth).backward()
    assert whole.grad.isfinite().all() and whole.grad[~rows].abs().max() == 0 and whole.grad[rows].abs().max() > 0


@pytest.mark.parametrize(("loss", "outputs", "truth"), every_loss)
@pytest.mark.parametrize("rows", [6, 1, 0])
def test_a_batch_without_known_rows_costs_nothing(loss, outputs, truth, rows):
    outputs = outputs[:rows].clone().requires_grad_()
    value = loss(outputs, unknown(truth[:rows]))
    value.backward()
    assert value.shape == () and value.item() == 0
    assert outputs.grad.shape == outputs.shape and not outputs.grad.any()


@pytest.mark.parametrize(("loss", "outputs", "truth"), every_loss)
def test_a_single_row_has_a_finite_loss_and_gradient(loss, outputs, truth):
    outputs = outputs[:1].clone().requires_grad_()
    value = loss(outputs, truth[:1])
    value.backward()
    assert value.isfinite() and outputs.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("loss", "outputs", "truth"), every_loss)
def test_half_precision_outputs_are_worked_on_in_float32(loss, outputs, truth, dtype):
    """The only digits lost are those of the outputs themselves, with autocast on and with it off."""
    truth = truth.float() if truth.is_floating_point() else truth
    short = outputs.to(dtype)
    expected = loss(short.double(), truth)
    for autocast in (True, False):
        with torch.autocast("cpu", dtype=dtype, enabled=autocast):
            value = loss(short, truth)
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected.item(), rel=2e-6)


SCALED = {
    "cross-entropy": (lambda o, t, scale=None: cross_entropy(o, t, WEIGHTS, 0.1, scale), logits(), CLASSES),
    "focal": (lambda o, t, scale=None: focal(o, t, WEIGHTS, 2.0, scale), logits(), CLASSES),
    "soft": (lambda o, t, scale=None: soft_cross_entropy(o, t, WEIGHTS, 0.1, scale), logits(), VOTES),
    "mse": (mse, numbers(), NUMBERS),
    "ccc": (ccc_loss, numbers(), NUMBERS),
    "ccc-mse": (lambda o, t, scale=None: ccc_mse(o, t, 0.5, scale), numbers(), NUMBERS),
}


@pytest.mark.parametrize("name", SCALED)
def test_rows_that_all_count_alike_change_nothing(name):
    loss, outputs, truth = SCALED[name]
    alike = loss(outputs, truth, torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(alike, loss(outputs, truth))


@pytest.mark.parametrize("name", SCALED)
def test_a_row_that_counts_for_nothing_moves_nothing(name):
    loss, outputs, truth = SCALED[name]
    outputs = outputs.clone().requires_grad_()
    loss(outputs, truth, torch.tensor([0.0, 1.2, 1.2, 1.2, 1.2, 1.2], dtype=torch.float64)).backward()
    assert outputs.grad is not None and not outputs.grad[0].any() and outputs.grad[1].any()


@pytest.mark.parametrize("name", ["cross-entropy", "ccc"])
def test_a_row_of_weight_2_counts_as_two_rows(name):
    """As many rows in all, so that their mean is that of the sum."""
    loss = {"cross-entropy": lambda o, t, scale=None: cross_entropy(o, t, scale=scale), "ccc": ccc_loss}[name]
    outputs, truth = (logits(4), torch.tensor([0, 2, 1, 1])) if name == "cross-entropy" else (numbers(4), numbers(4, 1))
    twice = [torch.cat([side[:1], side[:3]]) for side in (outputs, truth)]
    scaled = loss(outputs, truth, torch.tensor([2.0, 1.0, 1.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(scaled, loss(*twice))
