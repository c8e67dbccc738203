"""What is trained on, and what is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

HEAD = "head"  # the last part of every network

Part = tuple[str, list[nn.Parameter]]
Draw = Callable[[], np.random.Generator]


class Examples(Protocol):
    """N rows to learn from, loaded one at a time on worker threads.

    costs: [N], what each row weighs in a batch: seconds of audio, frames, or ones. truth: per target, [N] int64 class
    indices (-1: unknown), [N, K] float32 shares of votes (NaN rows: unknown) or [N] float32 numbers (NaN: unknown).
    """

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def costs(self) -> np.ndarray: ...
    @property
    def truth(self) -> Mapping[str, np.ndarray]: ...

    def load(self, position: int, draw: Draw | None) -> Any:
        """One row's input. draw: gives what cropping and augmentation draw from, which takes longer to make than a
        small row to load; None outside training, where nothing is drawn."""

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        """What `load` gave for some rows, as the keyword arguments of the network."""


class Network(Protocol):
    """An `nn.Module` that answers for every target: class targets [B, K] logits, numbers [B] in standard units.

    parts: from the input to the head, which is last and called "head"; together every parameter, each once.
    """

    def __call__(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]: ...

    def parts(self) -> list[Part]: ...
