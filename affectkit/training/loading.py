"""Loading: rows become batches of tensors on threads, ahead of the network that eats them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from affectkit.media.parallel import mapped
from affectkit.training.batches import epoch_batches, share
from affectkit.training.examples import Draw, Examples
from affectkit.training.failures import enough_memory
from affectkit.training.problem import Settings

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Loaded:
    """A batch. rows: all its positions. sizes: how many of them fall to each process, in order. inputs: this one's.

    waited: seconds that the loop stood still for it.
    """

    rows: np.ndarray
    sizes: list[int]
    inputs: Inputs
    waited: float


def load_batches(
    examples: Examples,
    batches: Sequence[np.ndarray],
    accelerator: Any,
    *,
    key: Sequence[int] | None = None,
    num_workers: int = 0,
) -> Generator[Loaded]:
    """The batches in order, each with this process's share of it on its device. Close it, and its threads end.

    key: (seed, stage, epoch), from which and from its id each row's augmentation draws; None: nothing is drawn. So
    neither threads nor processes nor an interruption change what is loaded. num_workers: threads that load ahead
    (decoding and resampling hold no interpreter lock), two at least; 0 loads in this one. A process without a share of
    a small batch loads its first row, which keeps it in step with the others and counts for nothing.
    """
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    ids = examples.ids

    def draw(row: int) -> Draw | None:
        return None if key is None else partial(row_generator, key, ids[row])

    def load(batch: np.ndarray) -> Inputs:
        own = share(batch, rank, world)
        rows = own if len(own) else batch[:1]
        with enough_memory(examples, rows):
            inputs = examples.collate([examples.load(int(row), draw(int(row))) for row in rows])
        return {name: tensor.pin_memory() for name, tensor in inputs.items()} if device.type == "cuda" else inputs

    threads = max(2, num_workers) if num_workers else 0
    with closing(cast(Generator[Inputs], mapped(load, batches, threads))) as loading:
        for batch in batches:
            began = time.perf_counter()
            inputs = next(loading)
            waited = time.perf_counter() - began
            sizes = [len(share(batch, other, world)) for other in range(world)]
            yield Loaded(batch, sizes, {n: t.to(device, non_blocking=True) for n, t in inputs.items()}, waited)


def row_generator(key: Sequence[int], row_id: str) -> np.random.Generator:
    """What a row draws from in an epoch, whichever batch, thread or process it comes to."""
    return np.random.default_rng([*key, int.from_bytes(hashlib.sha256(row_id.encode()).digest()[:8], "little")])


class Feed:
    """The batches of a training's epochs."""

    def __init__(self, examples: Examples, settings: Settings, accelerator: Any) -> None:
        self.examples, self.settings, self.accelerator = examples, settings, accelerator
        self.costs = np.asarray(examples.costs, float)

    def batches(self, stage: int, epoch: int) -> list[np.ndarray]:
        of = self.settings
        return epoch_batches(self.costs, of.batch_size, (of.seed, stage, epoch), most_cost=of.batch_seconds)

    def load(self, stage: int, epoch: int, *, start: int = 0) -> Generator[Loaded]:
        """The batches of an epoch, from the one numbered `start`."""
        batches = self.batches(stage, epoch)[start:]
        key = (self.settings.seed, stage, epoch)
        return load_batches(self.examples, batches, self.accelerator, key=key, num_workers=self.settings.num_workers)

    def load_on(self, stage: int, epoch: int) -> Generator[Loaded]:
        """The batches of an epoch and of those that follow, without end."""
        while True:
            yield from self.load(stage, epoch)
            epoch += 1
