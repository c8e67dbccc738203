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

from affectkit.media.files import mapped
from affectkit.training.failures import enough_memory
from affectkit.training.problem import Examples, InBatches
from affectkit.training.settings import Settings

# --- Batches of an epoch: which rows stand together, in an order that the seed and the epoch alone decide


# Rows are sorted by cost within pools of some fifty batches: little padding. A small corpus has two pools all the same:
# with one, the same rows would stand together in every epoch; with two, three pairs in ten do, and of 400 utterances in
# batches of 8, 10 % of what is computed is padding (6 % with one pool, 15 % with four, 49 % in random order).
POOL = 50
LEAST_POOLS = 2
LEAST_POOL = 2  # batches


def epoch_batches(
    costs: np.ndarray, size: int, key: Sequence[int], *, most_cost: float | None = None
) -> list[np.ndarray]:
    """Positions of every row once, in shuffled batches of rows of similar cost.

    costs: [N] seconds, frames or ones. size: rows of a batch, as few batches as hold them all, of sizes that differ by
    one at most: what is left over would weigh as much as a whole batch. most_cost: instead of `size`, as many rows as
    cost no more than this, each counted as the dearest since it is padded to it; a dearer row stands alone. key: what
    the order is a function of, (seed, stage, epoch).
    """
    rng = np.random.default_rng([*key])
    order = rng.permutation(len(costs))
    pools = [pool[np.argsort(costs[pool], kind="stable")] for pool in _pools(order, costs, size, most_cost)]
    batches = [batch for pool in pools for batch in _cut(pool, costs, size, most_cost)]
    return [batches[place] for place in rng.permutation(len(batches))]


def sorted_batches(costs: np.ndarray, size: int, *, most_cost: float | None = None) -> list[np.ndarray]:
    """Every row once in batches of similar cost, the dearest first: what does not fit into memory shows at once."""
    return _cut(np.argsort(costs, kind="stable"), costs, size, most_cost)[::-1]


def share(batch: np.ndarray, rank: int, world: int) -> np.ndarray:
    """The rows of a batch that fall to a process; with more processes than rows, none for some."""
    return np.array_split(batch, world)[rank]


def _pools(order: np.ndarray, costs: np.ndarray, size: int, most_cost: float | None) -> list[np.ndarray]:
    """Shuffled rows in runs of several batches; of `size`, whole ones."""
    if not len(order):
        return []
    if most_cost is None:
        sizes = [len(batch) for batch in np.array_split(order, -(-len(order) // size))]
        ends = np.cumsum([sum(run) for run in np.array_split(sizes, _pool_count(len(sizes)))])
        return np.split(order, ends[:-1])
    return np.array_split(order, min(len(order), _pool_count(float(costs.sum()) / most_cost)))


def _pool_count(batches: float) -> int:
    return max(1, round(batches / POOL), min(LEAST_POOLS, int(batches / LEAST_POOL)))


def _cut(rows: np.ndarray, costs: np.ndarray, size: int, most_cost: float | None) -> list[np.ndarray]:
    """Consecutive batches of `rows`, which are in the order of their cost."""
    if most_cost is None:
        return np.array_split(rows, -(-len(rows) // size)) if len(rows) else []
    batches: list[list[int]] = []
    for row in rows:
        if not batches or (len(batches[-1]) + 1) * costs[row] > most_cost:
            batches.append([])
        batches[-1].append(row)
    return [np.array(batch) for batch in batches]


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
    ids, at_once = examples.ids, examples if isinstance(examples, InBatches) else None

    def together(rows: np.ndarray) -> Inputs:
        if at_once is not None:
            return at_once.batch(rows)
        draws = [None if key is None else partial(row_generator, key, ids[row]) for row in rows]
        return examples.collate([examples.load(int(row), draw) for row, draw in zip(rows, draws, strict=True)])

    def load(batch: np.ndarray) -> Inputs:
        shared = share(batch, rank, world)
        rows = shared if len(shared) else batch[:1]
        with enough_memory(examples, rows):
            inputs = together(rows)
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
        key, most_cost = (self.settings.seed, stage, epoch), self.settings.batch_seconds
        return epoch_batches(self.costs, self.settings.batch_size, key, most_cost=most_cost)

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
