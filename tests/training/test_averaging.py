"""The moving average of weights against the recursion in numpy, and what swapping leaves behind."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from affectkit.errors import AffectkitError
from affectkit.training.stepping import Average


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def train(network, steps=1, after=lambda: None):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss = network(torch.randn(8, 3)).square().sum()
        assert loss.isfinite()
        loss.backward()
        optimizer.step()
        after()


def bits(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_the_average_is_the_recursion_with_a_quick_start(decay):
    """At update n the old average weighs min(decay, (1 + n) / (10 + n)): 2/11, 3/12, 4/13, ..."""
    network = small()
    average = Average(network, decay)
    expected = {name: tensor.double().numpy().copy() for name, tensor in network.state_dict().items()}
    updates = 0

    def after():
        nonlocal updates
        updates += 1
        keep = min(decay, (1 + updates) / (10 + updates))
        for name, tensor in network.state_dict().items():
            now = tensor.double().numpy()
            counts = not tensor.is_floating_point()
            expected[name] = now.copy() if counts else keep * expected[name] + (1 - keep) * now
        average.update(network)

    train(network, 12, after)
    with average.swapped(network):
        for name, tensor in network.state_dict().items():
            np.testing.assert_allclose(tensor.double().numpy(), expected[name], rtol=1e-5, atol=1e-7)
        assert network[1].num_batches_tracked == 12 and network[1].num_batches_tracked.dtype == torch.int64


def test_running_statistics_are_averaged_as_weights_are():
    network = small()
    average = Average(network, 0.9)
    train(network, 5, lambda: average.update(network))
    own = network[1].running_mean.clone()
    with average.swapped(network):
        assert not torch.equal(network[1].running_mean, own)


def test_what_never_trains_is_never_changed():
    network = small()
    network[0].requires_grad_(False)
    network[0].weight.data.mul_(1 / 3)
    frozen = network[0].weight.clone()
    average = Average(network, 0.999)
    train(network, 30, lambda: average.update(network))
    with average.swapped(network):
        assert torch.equal(network[0].weight, frozen)


def test_swapping_restores_every_bit_even_after_an_error():
    network = small()
    average = Average(network, 0.9)
    train(network, 3, lambda: average.update(network))
    before, places = bits(network), [parameter.data_ptr() for parameter in network.parameters()]
    with pytest.raises(RuntimeError, match="inside"), average.swapped(network):
        assert not same(bits(network), before)
        network[0].weight.data.fill_(torch.nan)  # what the block does to the network is undone as well
        raise RuntimeError("inside")
    assert same(bits(network), before)
    assert [parameter.data_ptr() for parameter in network.parameters()] == places
    with average.swapped(network):
        assert network[0].weight.isfinite().all()


def test_swapping_holds_a_nan_and_a_negative_zero_too():
    network = small()
    average = Average(network, 0.9)
    with torch.no_grad():
        network[0].bias[:2] = torch.tensor([torch.nan, -0.0])
    before = network[0].bias.detach().numpy().tobytes()
    with average.swapped(network):
        pass
    assert network[0].bias.detach().numpy().tobytes() == before


def test_training_goes_on_as_if_nothing_had_been_swapped():
    alone, judged = small(), small()
    average = Average(judged, 0.9)

    def judge():
        average.update(judged)
        with average.swapped(judged), torch.inference_mode():
            judged.eval()(torch.ones(2, 3))
        judged.train()

    train(alone, 6)
    train(judged, 6, judge)
    assert not same(bits(alone), bits(small()))
    assert same(bits(alone), bits(judged))


def test_a_stored_average_goes_on_to_the_bit():
    network, again = small(), small()
    whole, half = Average(network, 0.9), Average(again, 0.9)
    train(network, 4, lambda: whole.update(network))
    train(again, 4, lambda: half.update(again))
    stored = load(save(half.tensors()))
    half = Average(small(seed=5), 0.9)
    half.load(stored)
    for average in (whole, half):
        average.update(network)
    assert same(whole.tensors(), half.tensors()) and half.updates == 5


def test_an_average_of_another_network_is_refused_and_changes_nothing():
    average = Average(small(), 0.9)
    before = {name: tensor.clone() for name, tensor in average.tensors().items()}
    others = [Average(nn.Linear(3, 4), 0.9).tensors(), {**before, "weights.9.bias": torch.zeros(2)}]
    others.append({**before, "weights.0.weight": torch.zeros(3, 4)})
    others.append({name: tensor for name, tensor in before.items() if name != "updates"})
    for other in others:
        with pytest.raises(AffectkitError, match="another network"):
            average.load(other)
    assert same(average.tensors(), before)


def test_tied_weights_stay_tied_and_are_averaged_once():
    network = small()
    network.append(nn.Linear(2, 4, bias=False))
    network.append(nn.Linear(2, 4, bias=False))
    network[4].weight = network[3].weight
    average = Average(network, 0.0)
    assert len([name for name in average.tensors() if name.endswith(("3.weight", "4.weight"))]) == 1
    with torch.no_grad():
        network[3].weight.fill_(2.0)
    average.update(network)
    with torch.no_grad():
        network[3].weight.fill_(3.0)
    with average.swapped(network):
        assert (network[4].weight == 2).all() and network[4].weight is network[3].weight
    assert (network[4].weight == 3).all()


def test_half_precision_weights_are_averaged_in_float32():
    """Steps of .001 of a weight at 1 are lost to bfloat16 (its next number is 1.0078), and found in the average."""
    network = nn.Linear(1, 1, bias=False).bfloat16()
    network.weight.data.fill_(1.0)
    average = Average(network, 0.9)
    average.updates = 1000
    network.weight.data.fill_(1.0078125)
    average.update(network)
    assert average.tensors()["weights.weight"].item() == pytest.approx(1.00078125, rel=1e-7)


def test_buffers_that_are_not_stored_are_left_alone():
    network = small()
    network.register_buffer("mask", torch.tensor([0.0, -torch.inf]), persistent=False)
    average = Average(network, 0.9)
    average.update(network)
    with average.swapped(network):
        assert network.mask.tolist() == [0.0, -torch.inf]
    assert not any("mask" in name for name in average.tensors())


@pytest.mark.parametrize("decay", [1.0, -0.1, 2.0, float("nan")])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(AffectkitError, match="decay"):
        Average(small(), decay)
