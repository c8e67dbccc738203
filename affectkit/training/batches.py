"""Batches of an epoch: which rows stand together, in an order that the seed and the epoch alone decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

POOL = 50  # batches whose rows are sorted together: little padding, and still another neighbour each epoch


def epoch_batches(
    costs: np.ndarray,
    size: int,
    key: Sequence[int],
    *,
    most_cost: float | None = None,
    least: int = 1,
) -> list[np.ndarray]:
    """Positions of every row once, in shuffled batches of rows of similar cost.

    costs: [N] seconds, frames or ones. size: rows of a batch. most_cost: instead of `size`, as many rows as cost no
    more than this, each counted as the dearest since it is padded to it; a dearer row stands alone. key: what the order
    is a function of, (seed, stage, epoch). least: batches of fewer rows are left out, if a fuller one remains: the CCC of
    three rows is noise.
    """
    rng = np.random.default_rng([*key])
    order = rng.permutation(len(costs))
    pools = _pools(costs[order], size, most_cost)
    batches = []
    for start, stop in pools:
        pool = order[start:stop]
        batches += _cut(pool[np.argsort(costs[pool], kind="stable")], costs, size, most_cost)
    full = [batch for batch in batches if len(batch) >= least]
    batches = full or batches
    return [batches[place] for place in rng.permutation(len(batches))]


def sorted_batches(costs: np.ndarray, size: int, *, most_cost: float | None = None) -> list[np.ndarray]:
    """Every row once in batches of similar cost, the dearest first: what does not fit into memory shows at once."""
    return _cut(np.argsort(costs, kind="stable"), costs, size, most_cost)[::-1]


def share(batch: np.ndarray, rank: int, world: int) -> np.ndarray:
    """The rows of a batch that fall to a process; with more processes than rows, none for some."""
    return np.array_split(batch, world)[rank]


def _pools(costs: np.ndarray, size: int, most_cost: float | None) -> list[tuple[int, int]]:
    """(start, stop) of runs of shuffled rows that hold some fifty batches each, the rest in the last one."""
    if most_cost is None:
        rows = POOL * size
        starts = list(range(0, len(costs), rows))
    else:
        filled = np.cumsum(costs) // (POOL * most_cost)
        starts = [0, *(np.flatnonzero(np.diff(filled)) + 1).tolist()] if len(costs) else []
    return list(zip(starts, [*starts[1:], len(costs)], strict=True))


def _cut(rows: np.ndarray, costs: np.ndarray, size: int, most_cost: float | None) -> list[np.ndarray]:
    """Consecutive batches of `rows`, which are in the order of their cost."""
    if most_cost is None:
        return [rows[start : start + size] for start in range(0, len(rows), size)]
    batches: list[list[int]] = []
    for row in rows:
        if not batches or (len(batches[-1]) + 1) * costs[row] > most_cost:
            batches.append([])
        batches[-1].append(row)
    return [np.array(batch) for batch in batches]
