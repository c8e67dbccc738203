"""Loading: rows become batches of tensors on threads, ahead of the network that eats them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from affectkit.media.parallel import mapped
from affectkit.training.batches import share
from affectkit.training.examples import Examples


@dataclass(frozen=True)
class Loaded:
    """A batch. rows: all its positions. sizes: how many of them fall to each process, in order. inputs: this one's.

    waited: seconds that the loop stood still for it.
    """

    rows: np.ndarray
    sizes: list[int]
    inputs: dict[str, torch.Tensor]
    waited: float


def load_batches(
    examples: Examples,
    batches: Sequence[np.ndarray],
    *,
    device: torch.device,
    key: Sequence[int] | None = None,
    rank: int = 0,
    world: int = 1,
    num_workers: int = 0,
) -> Iterator[Loaded]:
    """The batches in order, each with this process's share of it on `device`.

    key: (seed, stage, epoch), from which and from its id each row's augmentation draws; None: nothing is drawn. So
    neither threads nor processes nor an interruption change what is loaded. num_workers: threads that load ahead
    (decoding and resampling hold no interpreter lock); 0 loads in this one. A process without a share of a small batch
    loads its first row, which keeps it in step with the others and counts for nothing.
    """

    def load(batch: np.ndarray) -> dict[str, torch.Tensor]:
        own = share(batch, rank, world)
        rows = own if len(own) else batch[:1]
        inputs = examples.collate([examples.load(int(row), row_generator(key, examples.ids[row])) for row in rows])
        return {name: tensor.pin_memory() for name, tensor in inputs.items()} if device.type == "cuda" else inputs

    loaded = mapped(load, batches, num_workers + 1 if num_workers else 0)  # with one worker too, on a thread
    for batch in batches:
        began = time.perf_counter()
        inputs = next(loaded)
        waited = time.perf_counter() - began
        sizes = [len(share(batch, other, world)) for other in range(world)]
        yield Loaded(batch, sizes, {n: t.to(device, non_blocking=True) for n, t in inputs.items()}, waited)


def row_generator(key: Sequence[int] | None, row_id: str) -> np.random.Generator | None:
    """What a row draws from in an epoch, whichever batch, thread or process it comes to."""
    if key is None:
        return None
    return np.random.default_rng([*key, int.from_bytes(hashlib.sha256(row_id.encode()).digest()[:8], "little")])
