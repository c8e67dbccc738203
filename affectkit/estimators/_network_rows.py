"""Rows of features as the training loop takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from affectkit.estimators._estimator import Labels
from affectkit.estimators._network import Set
from affectkit.estimators._network_inputs import Frames, Inputs
from affectkit.training.examples import Draw

CHUNK = 256  # rows answered at once, of vectors
CHUNK_VALUES = 2**25  # and values, of frames with their padding: 128 MB


@dataclass(frozen=True)
class Rows:
    """The loop's `Examples`. truth: of none, where rows are only to be answered."""

    inputs: Inputs
    ids: Sequence[str]
    truth: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def costs(self) -> np.ndarray:
        return self.inputs.costs

    def load(self, position: int, draw: Draw | None) -> list[np.ndarray]:
        return self.inputs.row(position)

    def collate(self, items: list[list[np.ndarray]]) -> dict[str, torch.Tensor]:
        """`values0`, ... of each set and, of frames, which are padded, `lengths0`, ..."""
        found: dict[str, torch.Tensor] = {}
        for place, block in enumerate(self.inputs.blocks):
            values = [torch.from_numpy(item[place]) for item in items]
            if isinstance(block, Frames):
                found[f"lengths{place}"] = torch.tensor([len(value) for value in values])
                found[f"values{place}"] = torch.nn.utils.rnn.pad_sequence(values, batch_first=True)
            else:
                found[f"values{place}"] = torch.stack(values)
        return found


def labelled_rows(inputs: Inputs, labels: Labels, name: str) -> Rows:
    """Rows with the truth of the target called `name`."""
    ids = [f"row {number}" for number in range(1, len(inputs) + 1)] if labels.ids is None else list(labels.ids)
    return Rows(inputs, ids, {name: labels.y if labels.classes else labels.y.astype(np.float32)})


def sets_of(inputs: Inputs) -> list[Set]:
    """What a network for these inputs must read."""
    shapes = [(block.shape[1:], isinstance(block, Frames)) for block in inputs.blocks]
    return [Set(shape[-1], shape[0] if len(shape) > 1 else 0, frames) for shape, frames in shapes]


def answered(network: Any, inputs: Inputs) -> torch.Tensor:
    """What a network on the CPU says of every row, [N, K] or [N], whatever stands beside it in a batch."""
    from affectkit.training.evaluating import outputs_of

    rows = Rows(inputs, [str(number) for number in range(len(inputs))])
    per_frame = sum(one.dim * max(one.layers, 1) for one in network.sets if one.frames)
    most = CHUNK_VALUES / per_frame if per_frame else None
    with few_threads(network):
        [found] = outputs_of(network, rows, _Here(), size=CHUNK, most_cost=most).values()
    return found


@contextmanager
def few_threads(network: Any) -> Iterator[None]:
    """One thread on the CPU for a network that reads vectors: its matrices are small. Two threads on two busy cores
    took 39 s for six epochs of 535 rows of 88, one took 2.3 s. Frames are worth all threads."""
    before = torch.get_num_threads()
    try:
        if not any(one.frames for one in network.sets):
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Here:
    """One process on the CPU, as Accelerate would describe it, whose real one is of the training under way."""

    process_index: int = 0
    num_processes: int = 1

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def autocast(self) -> Any:
        return nullcontext()
