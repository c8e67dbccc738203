"""The tensors of a network that a training may change."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from affectkit.errors import AffectkitError


@torch.no_grad()
def overwrite(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Values are copied and tensors stay where they are, which optimisers, compiled graphs and cuDNN hold on to."""
    for name, tensor in tensors.items():
        tensor.copy_(values[name])


class Weights:
    """trained: the parameters that some stage trains. Buffers may change too, as batch statistics do."""

    def __init__(self, network: nn.Module, trained: Collection[nn.Parameter]) -> None:
        known = {id(parameter) for parameter in trained}
        self.network = network
        # Tied ones have several names, and each may stand in the state.
        named = network.named_parameters(remove_duplicate=False)
        self._fixed = {name for name, parameter in named if id(parameter) not in known}

    def tensors(self) -> dict[str, Tensor]:
        """By name: not copies, but what the network computes with."""
        return {name: tensor for name, tensor in self._state().items() if name not in self._fixed}

    def copy(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.tensors().items()}

    def put_back(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over values. Raises ValueError for those of another network."""
        state = self.tensors()
        if set(state) != set(tensors):
            raise ValueError("these are the weights of another network")
        overwrite(state, tensors)

    def check(self, tensors: Mapping[str, Tensor], place: Path) -> None:
        """Raises "usage" unless `tensors`, read from `place`, are those of such a network; it names one that is not."""
        mine = self.tensors()
        missing = [f"no '{name}'" for name in mine if name not in tensors]
        unknown = [f"an unknown '{name}'" for name in tensors if name not in mine]
        shapes = [
            f"'{name}' {list(tensors[name].shape)} for {list(tensor.shape)}"
            for name, tensor in mine.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ]
        if wrong := [kind[0] for kind in (missing, unknown, shapes) if kind]:
            message = f"holds checkpoints of another network: {', '.join(wrong)}"
            raise AffectkitError("usage", message, file=place, remedy="use --overwrite, or the network of before")

    def fixed_digest(self) -> str:
        """SHA-256 of what never changes, and so is not in a checkpoint."""
        digest = hashlib.sha256()
        for name, tensor in self._state().items():
            if name in self._fixed:
                digest.update(name.encode())
                digest.update(memoryview(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
        return digest.hexdigest()

    def _state(self) -> dict[str, Any]:
        return {name: tensor.detach() for name, tensor in self.network.state_dict().items()}
