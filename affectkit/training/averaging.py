"""An exponential moving average of a network's weights, to judge and keep in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from affectkit.errors import AffectkitError

UPDATES = "updates"
PREFIX = "weights."  # no tensor of a network can then be named as the count is


class Average:
    """The average of a network's parameters and persistent buffers, at least in float32: in bfloat16 a step of 1 - d
    below .004 would round away. Buffers of whole numbers (counts of batches) are copied.

    decay: d, in [0, 1). At update n, from 1, the old average weighs min(d, (1 + n) / (10 + n)), so that the first
    weights, which are the initial ones, are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise AffectkitError("usage", f"a decay of {decay:g} averages nothing", remedy="give 0 to 1, such as .999")
        self.decay = decay
        self.updates = 0
        self._averages = {name: _wide_copy(tensor) for name, tensor in _state(network).items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network's weights as they are after an optimiser step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, current in _state(network).items():
            average = self._averages[name]
            if average.is_floating_point():
                # A lerp of two equal numbers is that number, so what never trains is never changed by rounding.
                average.lerp_(current.to(average), 1 - decay)
            else:
                average.copy_(current)

    @contextmanager
    def swapped(self, network: nn.Module) -> Iterator[None]:
        """The averages in the network's place inside the block; its own weights after it, to the bit, come what may.

        Values are copied and tensors stay where they are, which optimisers, compiled graphs and cuDNN hold on to.
        """
        state = _state(network)
        kept = {name: tensor.clone() for name, tensor in state.items()}
        try:
            _fill(state, self._averages)
            yield
        finally:
            _fill(state, kept)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint stores: the averages themselves, not copies, and the number of updates."""
        count = torch.tensor(self.updates, dtype=torch.int64)
        return {UPDATES: count} | {PREFIX + name: tensor for name, tensor in self._averages.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave. Raises "input" for another network's, and then changes nothing."""
        mine = self.tensors()
        wrong = [name for name in mine if name not in tensors or tensors[name].shape != mine[name].shape]
        wrong += [name for name in tensors if name not in mine]
        if wrong:
            raise AffectkitError("input", f"stored weight averages are of another network: {wrong[0]}")
        self.updates = int(tensors[UPDATES])
        _fill(self._averages, {name: tensors[PREFIX + name] for name in self._averages})


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers, tied ones once."""
    stored = network.state_dict(keep_vars=True)
    named = [*network.named_parameters(), *((name, one) for name, one in network.named_buffers() if name in stored)]
    return {name: tensor.detach() for name, tensor in named}


def _wide_copy(tensor: Tensor) -> Tensor:
    wide = torch.promote_types(tensor.dtype, torch.float32) if tensor.is_floating_point() else tensor.dtype
    return tensor.to(wide, copy=True, memory_format=torch.contiguous_format)


@torch.no_grad()
def _fill(state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        tensor.copy_(values[name])
