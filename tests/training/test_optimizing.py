"""What trains and how fast."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from training_toy import LABEL, Net, make_problem

from affectkit.errors import AffectkitError
from affectkit.training.optimizing import (
    Pace,
    freeze,
    load_optimizer,
    optimizer_for,
    optimizer_tensors,
    parts_of,
    set_rates,
    trained_parts,
)
from affectkit.training.stages import Stage


def net():
    network = Net([LABEL])
    return network, network.parts()


@pytest.mark.parametrize(
    ("train", "frozen", "trained"),
    [
        ("all", (), ["first", "second", "head"]),
        ("head", (), ["head"]),
        ("last-1", (), ["second", "head"]),
        ("last-2", (), ["first", "second", "head"]),
        ("all", ("first",), ["second", "head"]),
        ("last-2", ("second",), ["first", "head"]),
    ],
)
def test_which_parts_train(train, frozen, trained):
    _, parts = net()
    assert [name for name, _ in trained_parts(parts, Stage("a", train), frozenset(frozen))] == trained


def test_more_parts_than_there_are():
    _, parts = net()
    with pytest.raises(AffectkitError, match=r"stage 'a' trains last-3, and the network has 2 parts; use all"):
        trained_parts(parts, Stage("a", "last-3"), frozenset())


def test_nothing_left_to_train():
    _, parts = net()
    assert trained_parts(parts, Stage("a", "head"), frozenset({"head"})) == []
    assert trained_parts([*parts[:-1], ("head", [])], Stage("a", "head"), frozenset()) == []


def test_frozen_parts_rest():
    """In eval mode: no dropout, no batch statistics. What holds both frozen and trained parts trains."""
    network, parts = net()
    freeze(network, parts[1:])
    assert not any(module.training for module in network.first.modules())
    assert all(module.training for part in (network.second, network.norm, network.heads) for module in part.modules())
    assert network.training
    assert [p.requires_grad for p in network.first.parameters()] == [False, False]
    freeze(network, parts[2:])
    assert not network.norm.training and not network.second.training and network.heads.training
    freeze(network, parts)
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def peaks(optimizer, parts):
    """The peak rates of each part's parameters."""
    of = {id(parameter): group["peak"] for group in optimizer.param_groups for parameter in group["params"]}
    return {name: [of[id(parameter)] for parameter in parameters] for name, parameters in parts}


def test_rates_are_spread_geometrically_over_depth():
    _, parts = net()
    spread = peaks(optimizer_for(parts, (1e-6, 1e-4), 0.0), parts)
    assert spread["first"] == pytest.approx([1e-6] * 2)
    assert spread["second"] == pytest.approx([1e-5] * 4)
    assert spread["head"] == pytest.approx([1e-4] * 2)
    assert peaks(optimizer_for(parts[-1:], (1e-6, 1e-4), 0.0), parts[-1:]) == {"head": pytest.approx([1e-4] * 2)}


def test_parameters_of_one_rate_are_one_group():
    """A launch of the fused kernel for each."""
    _, parts = net()
    assert [(g["peak"], g["weight_decay"]) for g in optimizer_for(parts, (1e-3, 1e-3), 0.1).param_groups] == [
        (1e-3, 0.1), (1e-3, 0.0),
    ]  # fmt: skip


def test_biases_and_norms_do_not_decay():
    network, parts = net()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decay = {names[id(p)]: group["weight_decay"] for group in optimizer_for(parts, (1, 1), 0.1).param_groups
             for p in group["params"]}  # fmt: skip
    assert decay.keys() == {name for name, _ in network.named_parameters()}
    assert {name for name, value in decay.items() if value} == {
        "first.0.weight", "second.0.weight", "heads.label.weight",
    }  # fmt: skip


def test_decay_shrinks_weights_only():
    """AdamW without a gradient's pull: weights lose rate * decay of themselves, biases and norms nothing."""
    network, parts = net()
    before = {name: p.clone() for name, p in network.named_parameters()}
    optimizer = optimizer_for(parts, (0.1, 0.1), 0.5)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        expected = before[name] * (0.95 if parameter.ndim > 1 else 1)
        torch.testing.assert_close(parameter, expected)


def test_rates_and_momentum_are_set():
    _, parts = net()
    optimizer = optimizer_for(parts, (1e-4, 1e-2), 0.0)
    assert set_rates(optimizer, 0.5, 0.87) == pytest.approx(0.005)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.87, 0.999)}
    assert [group["lr"] / group["peak"] for group in optimizer.param_groups] == pytest.approx([0.5] * 3)
    set_rates(optimizer, 1.0)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.87, 0.999)}


@pytest.mark.parametrize(("step", "scale"), [(0, 0.0), (2, 1.0), (6, 0.5), (9, 0.125)])
def test_the_pace_of_a_stage(step, scale):
    """Linear over 2 epochs of 5 steps, the first two of them warming up; then times what a plateau lowered it by."""
    _, parts = net()
    pace = Pace.of(Stage("a", epochs=2, schedule="linear", warmup=0.2), 5)
    assert pace.set(optimizer_for(parts, (1, 1), 0.0), step) == pytest.approx(scale)
    pace = Pace.of(Stage("a", epochs=2, schedule="linear", warmup=0.2), 5, 0.1)
    assert pace.set(optimizer_for(parts, (1, 1), 0.0), step) == pytest.approx(scale / 10)


def test_an_optimizer_comes_back():
    network, parts = net()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    first, second = (optimizer_for(parts, (1e-2, 1e-2), 0.1) for _ in range(2))
    for _ in range(3):
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        first.step()
    stored = {name: tensor.clone() for name, tensor in optimizer_tensors(first, names).items()}
    assert stored.keys() >= {"norm.weight.step", "norm.weight.exp_avg", "norm.weight.exp_avg_sq"}
    load_optimizer(second, stored, names)
    mine, theirs = optimizer_tensors(second, names), optimizer_tensors(first, names)
    assert all(torch.equal(mine[name], theirs[name]) and mine[name].dtype == theirs[name].dtype for name in theirs)


def test_the_count_of_steps_lies_where_the_optimizer_wants_it():
    """A fused one on a GPU counts beside the weights; the meta device stands for it."""
    weight = nn.Parameter(torch.zeros(2, device="meta"))
    stored = {"w.step": torch.tensor(3.0), "w.exp_avg": torch.zeros(2), "w.exp_avg_sq": torch.zeros(2)}
    for fused, device in ((True, "meta"), (False, "cpu")):
        optimizer = SimpleNamespace(param_groups=[{"params": [weight], "fused": fused}], state={})
        load_optimizer(optimizer, stored, {id(weight): "w"})
        assert {key: value.device.type for key, value in optimizer.state[weight].items()} == {
            "step": device, "exp_avg": "meta", "exp_avg_sq": "meta",
        }  # fmt: skip


def test_parts_must_be_the_whole_network():
    problem = make_problem()
    whole = problem.network.parts()
    assert parts_of(problem) == whole
    for wrong in (whole[1:], [*whole, whole[-1]], whole[::-1]):
        problem.network.parts = lambda wrong=wrong: wrong
        with pytest.raises(ValueError, match="each of its parameters once, the head last"):
            parts_of(problem)


def test_tied_weights_are_one():
    """A part may name a tied weight once; it is trained once."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    parts = [("body", [network[0].weight, network[0].bias]), ("head", [network[1].bias])]
    network.parts = lambda: parts
    assert parts_of(SimpleNamespace(network=network, module=network)) == parts
    assert sum(len(group["params"]) for group in optimizer_for(parts, (1, 1), 0.0).param_groups) == 3
