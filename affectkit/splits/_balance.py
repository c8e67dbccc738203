"""Groups dealt out to sides so that each side gets its share of each class."""

from __future__ import annotations

import numpy as np

_TRIES = 3000  # bounds restarts times groups, and sweeps times groups: a second of work at most
_PARTNERS = 100  # groups that a group may swap with, drawn anew each time


def balanced(counts: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """[G] int side of each group, no side empty, so that each side gets its share of each class.

    Minimises sum (count - wanted)^2 / (wanted + 1) over sides and classes (Pearson's chi-squared, tempered for rare
    classes): greedily, largest groups first, then by moves and swaps, from several starts. Few groups thus have one
    best answer, whatever the seed.
    """
    rng = np.random.default_rng(seed)
    wanted = shares[:, None] * counts.sum(axis=0)
    best, least = np.zeros(len(counts), int), np.inf
    for _ in range(max(1, min(20, _TRIES // len(counts)))):
        side = _greedy(counts, wanted, rng)
        filled = _filled(side, counts, len(shares))
        _improve(side, filled, counts, wanted, rng)
        cost = _cost(filled, wanted).sum()
        if cost < least - 1e-9:
            best, least = side, cost
    return best


def _cost(filled: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return ((filled - wanted) ** 2 / (wanted + 1)).sum(axis=-1)


def _filled(side: np.ndarray, counts: np.ndarray, sides: int) -> np.ndarray:
    filled = np.zeros((sides, counts.shape[1]))
    np.add.at(filled, side, counts)
    return filled


def _greedy(counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each group to the side that gains most, roughly the largest first; a side left empty then gets a small one."""
    size = counts.sum(axis=1) * rng.uniform(0.2, 1.0, len(counts))
    side, filled = np.zeros(len(counts), int), np.zeros(wanted.shape)
    for group in np.argsort(-size, kind="stable"):
        side[group] = np.argmax(_cost(filled, wanted) - _cost(filled + counts[group], wanted))
        filled[side[group]] += counts[group]
    for empty in sorted(set(range(len(wanted))) - set(side)):
        spare = np.flatnonzero(np.bincount(side, minlength=len(wanted))[side] > 1)
        side[spare[np.argmin(counts[spare].sum(axis=1))]] = empty
    return side


def _improve(
    side: np.ndarray, filled: np.ndarray, counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> None:
    """Move groups, and swap them in pairs, while that lowers the cost; `side` and `filled` change in place."""
    for _ in range(max(1, min(30, _TRIES // len(counts)))):
        changed = False
        for group in rng.permutation(len(counts)):
            to = _best_move(group, side, filled, counts, wanted)
            partner = None if to is not None else _best_swap(group, side, filled, counts, wanted, rng)
            if partner is not None:
                to = side[partner]
                _place(partner, side[group], side, filled, counts)
            if to is not None:
                _place(group, to, side, filled, counts)
                changed = True
        if not changed:
            return


def _place(group: int, to: int, side: np.ndarray, filled: np.ndarray, counts: np.ndarray) -> None:
    filled[side[group]] -= counts[group]
    filled[to] += counts[group]
    side[group] = to


def _best_move(group: int, side: np.ndarray, filled: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> int | None:
    """The side that `group` had better be on; None to stay, as the last group of a side must."""
    here = side[group]
    if (side == here).sum() == 1:
        return None
    now = _cost(filled, wanted)
    change = _cost(filled + counts[group], wanted) - now
    change += _cost(filled[here] - counts[group], wanted[here]) - now[here]
    change[here] = 0
    return int(np.argmin(change)) if change.min() < -1e-9 else None


def _best_swap(
    group: int,
    side: np.ndarray,
    filled: np.ndarray,
    counts: np.ndarray,
    wanted: np.ndarray,
    rng: np.random.Generator,
) -> int | None:
    """The group that `group` had better trade places with; None if there is none."""
    others = np.arange(len(side)) if len(side) <= _PARTNERS else rng.integers(0, len(side), _PARTNERS)
    others = others[side[others] != side[group]]
    if not len(others):
        return None
    here, there = side[group], side[others]
    now = _cost(filled, wanted)
    traded = counts[others] - counts[group]
    after = _cost(filled[here] + traded, wanted[here]) + _cost(filled[there] - traded, wanted[there])
    change = after - now[here] - now[there]
    return int(others[np.argmin(change)]) if change.min() < -1e-9 else None
