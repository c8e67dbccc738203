"""One step."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from training_toy import LABEL, VALENCE, assert_same, make_problem, weights_of

from affectkit.errors import AffectkitError
from affectkit.training.loading import Loaded
from affectkit.training.optimizing import Pace, freeze, optimizer_for
from affectkit.training.stages import Stage
from affectkit.training.stepping import Stepper

PACE = Pace.of(Stage("a", epochs=1, schedule="constant"), 10)


@pytest.fixture
def stepper(accelerator):
    made = []

    def make(problem, *, rate=1e-2, clip=1.0, average=0.0):
        parts = problem.network.parts()
        freeze(problem.module, parts)
        made.append(Stepper(problem, optimizer_for(parts, (rate, rate), 0.0), accelerator, clip=clip, average=average))
        return made[-1]

    yield make
    for one in made:
        one.release()


def batch(problem, rows):
    rows = np.array(rows)
    return Loaded(rows, [len(rows)], problem.train.collate([problem.train.values[row] for row in rows]), 0.0)


def test_four_batches_of_two_are_one_of_eight(stepper):
    """For a loss that is a mean over rows, and without batch norm, which looks at a batch. The first step of Adam
    would hide a factor, so gradients are compared, with torch's own of the whole batch."""
    whole, parts = (make_problem(dropout=0.0, class_weight="none") for _ in range(2))
    for problem in (whole, parts):
        problem.module.norm = nn.LayerNorm(16)
    parts.module.load_state_dict(whole.module.state_dict())
    rows = [3, 7, 1, 0, 12, 5, 9, 20]
    inputs = batch(whole, rows).inputs
    expected = nn.functional.cross_entropy(
        whole.module(**inputs)["label"], torch.from_numpy(whole.train.truth["label"][rows])
    )
    expected.backward()
    accumulated = stepper(parts)
    losses = [
        accumulated.backward(batch(parts, rows[k : k + 2]), share_of_step=0.25, last=k == 6) for k in (0, 2, 4, 6)
    ]
    for (name, mine), theirs in zip(parts.module.named_parameters(), whole.module.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-7, msg=name)
    assert np.mean(losses) == pytest.approx(expected.item(), rel=1e-6)


def test_the_gradient_is_clipped_to_its_norm(stepper):
    problem = make_problem()
    one = stepper(problem, clip=0.01)
    one.backward(batch(problem, range(8)))
    assert one._clip() > 0.01
    norm = math.sqrt(sum(float((p.grad**2).sum()) for p in problem.module.parameters()))
    assert norm == pytest.approx(0.01, rel=1e-3)


def test_without_clipping_the_gradient_is_what_it_was(stepper):
    problem = make_problem()
    one = stepper(problem, clip=0.0)
    one.backward(batch(problem, range(8)))
    before = [p.grad.clone() for p in problem.module.parameters()]
    one._clip()
    assert all(torch.equal(p.grad, g) for p, g in zip(problem.module.parameters(), before, strict=True))


def test_a_loss_that_is_not_finite_names_the_batch(stepper):
    problem = make_problem()
    problem.train.values[4][0, 0] = np.nan
    before = weights_of(problem.module)
    with pytest.raises(AffectkitError) as caught:
        stepper(problem).backward(batch(problem, [4, 2]))
    assert caught.value.code == "input"
    assert caught.value.message == "the loss is not finite in the batch of row-004, row-002"
    assert "lower --learning-rate; the last checkpoint is kept" in caught.value.remedy
    assert_same(
        {name: before[name] for name, _ in problem.module.named_parameters()}, dict(problem.module.named_parameters())
    )


def test_of_a_large_batch_the_first_ids_are_named(stepper):
    problem = make_problem()
    problem.train.values[4][0, 0] = np.nan
    with pytest.raises(AffectkitError, match=r"row-000, .*, row-007 and 12 more"):
        stepper(problem).backward(batch(problem, range(20)))


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_names_the_batch_and_changes_nothing(stepper, clip, value):
    problem = make_problem()
    one = stepper(problem, clip=clip)
    problem.module.second[0].weight.register_hook(lambda gradient: gradient * value)
    before = weights_of(problem.module)
    assert math.isfinite(one.backward(batch(problem, [4, 2])))
    statistics = weights_of(problem.module.norm)
    with pytest.raises(AffectkitError, match="the gradient is not finite in the batch of row-004, row-002"):
        one.step(PACE, 0, np.array([4, 2]))
    assert_same(
        {**before, **{f"norm.{name}": tensor for name, tensor in statistics.items()}}, weights_of(problem.module)
    )


def test_memory_names_the_longest_row(stepper):
    """torch's error of a CPU's allocator is a RuntimeError like any other."""
    problem = make_problem()
    problem.train.costs[7] = 99.0
    message = "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    for error in (torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(message), MemoryError()):
        one = stepper(problem)

        def forward(error=error, **inputs):
            raise error

        one.network.forward = forward
        with pytest.raises(AffectkitError, match="for a batch of 3, of which 'row-007' is the longest") as caught:
            one.backward(batch(problem, [3, 7, 1]))
        assert caught.value.code == "environment"


def test_another_runtime_error_is_itself(stepper):
    problem = make_problem()
    one = stepper(problem)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        one.backward(Loaded(np.array([1]), [1], {"x": torch.zeros(1, 3, 9), "lengths": torch.tensor([3])}, 0.0))


def test_a_trial_at_any_rate_goes_on(stepper):
    """At 1e30 the weights are gone, which a sweep is for."""
    problem = make_problem()
    one = stepper(problem, rate=1.0, clip=0.0)
    losses = [one.once(batch(problem, range(8)), rate) for rate in (1e-3, 1e30, 1e38, 1e38)]
    assert math.isfinite(losses[0]) and not math.isfinite(losses[-1])


def test_what_it_stores_brings_it_back(stepper):
    """The optimiser's moments and the average: two steppers go on alike."""
    first, second = make_problem((LABEL, VALENCE), dropout=0.0), make_problem((LABEL, VALENCE), dropout=0.0)
    one, other = stepper(first, average=0.9), stepper(second, average=0.9)
    for rows in ([0, 1, 2], [3, 4, 5]):
        one.backward(batch(first, rows))
        one.step(PACE, 0, np.array(rows))
    second.module.load_state_dict(first.module.state_dict())
    other.load({name: tensor.clone() for name, tensor in one.tensors().items()})
    for each, problem in ((one, first), (other, second)):
        each.backward(batch(problem, [6, 7, 8]))
        each.step(PACE, 1, np.array([6, 7, 8]))
    assert_same(weights_of(first.module), weights_of(second.module))
    with one.averaged(), other.averaged():
        assert_same(weights_of(first.module), weights_of(second.module))
        averages = weights_of(first.module)
    assert not torch.equal(averages["first.0.weight"], first.module.first[0].weight)
