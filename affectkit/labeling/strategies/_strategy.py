"""What a strategy is, and the two kinds: a score of each row by itself, and picks that depend on those before them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.labeling.pool import Pool
from affectkit.labels import Target
from affectkit.plain import shown


@dataclass(frozen=True)
class Pick:
    """A row of the pool. score: the more worth a label the higher. reason: in words."""

    row: int
    score: float
    reason: str


@dataclass
class Board:
    """How things stand with a pool's N rows, which changes from one pick to the next: quotas fill up, others pick too.

    free: [N] bool, the rows that may still be picked. taken: rows in the order in which they were picked, by whichever
    strategy: they will have their label.
    """

    free: np.ndarray
    taken: list[int] = field(default_factory=list)


class Strategy(Protocol):
    """name: on the command line."""

    name: str

    def picks(self, pool: Pool, board: Board, rng: np.random.Generator) -> Iterator[Pick]:
        """Rows in the order of their worth, one after the other for as long as they are asked for. Whoever asks marks
        on the board what was picked."""
        ...


class Scored(ABC):
    """Rows are scored by themselves: what is asked first decides nothing about the others."""

    name: str

    @abstractmethod
    def scores(self, pool: Pool) -> np.ndarray:
        """[N], NaN for a row that cannot be judged."""

    @abstractmethod
    def reason(self, pool: Pool, row: int) -> str:
        """Why this row, in words."""

    def picks(self, pool: Pool, board: Board, rng: np.random.Generator) -> Iterator[Pick]:
        scores = self.scores(pool)
        yield from (Pick(row, float(scores[row]), self.reason(pool, row)) for row in in_order(scores, board.free, rng))


FIRST = 4096  # how many rows are put in order at first; of a million, nobody asks for the last


def in_order(scores: np.ndarray, free: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """Positions by falling score, equal ones at random, without those of NaN."""
    tie = rng.random(len(scores))
    left = np.flatnonzero(~np.isnan(scores) & free)
    size = FIRST
    while len(left):
        if size < len(left):
            place = np.argpartition(-scores[left], size)
            cut = scores[left[place[size]]]
            part, left = left[scores[left] > cut], left[scores[left] <= cut]
            if not len(part):  # more rows than `size` are equal
                part, left = left[scores[left] == cut], left[scores[left] < cut]
        else:
            part, left = left, left[:0]
        for row in part[np.lexsort((tie[part], -scores[part]))]:
            if free[row]:
                yield int(row)
        size *= 4


# --- Several targets: what a score is of one is put on a scale of 0 to 1, and the mean counts


def class_scores(pool: Pool, score: Callable[[np.ndarray], np.ndarray], name: str) -> np.ndarray:
    """[N] mean over class targets of `score` of probabilities [N, K], which lies in [0, 1]. Raises "usage" where none
    has classes."""
    told = [output for output in pool.outputs if output.target.kind != "number"]
    if not told:
        remedy = "use variance, or disagreement of several sources"
        raise AffectkitError("usage", f"--strategy {name} is of classes, and all targets are numbers", remedy=remedy)
    return mean_of_known([score(output.values) for output in told])


def mean_of_known(scores: Sequence[np.ndarray]) -> np.ndarray:
    """[N] mean of those that are not NaN, NaN where all are."""
    if len(scores) == 1:
        return scores[0]
    stacked = np.stack(scores)
    known = ~np.isnan(stacked)
    count = known.sum(axis=0)
    return np.where(count > 0, np.nansum(stacked, axis=0) / np.maximum(count, 1), np.nan)


def top_two(output: TargetPrediction, row: int) -> str:
    """`anger .51, sadness .44`."""
    values = output.values[row]
    best = np.argsort(-values, kind="stable")[:2]
    return ", ".join(f"{output.target.classes[place]} {shown(values[place])}" for place in best)


def in_words(pool: Pool, row: int) -> str:
    """What the sources together say of a row, of each class target."""
    told = [output for output in pool.outputs if output.target.kind != "number"]
    return "; ".join(f"{_named(output.target, len(told))}{top_two(output, row)}" for output in told)


def _named(target: Target, targets: int) -> str:
    return f"{target.name}: " if targets > 1 else ""
