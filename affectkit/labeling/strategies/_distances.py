"""Distances between rows, a block of rows at a time: of 100,000 all pairs would take 40 GB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from affectkit.labeling.strategies._strategy import Board
from affectkit.plain import shown

BLOCK = 4_000_000  # float32 numbers of a block of distances, 16 MB
ROUNDING = 1e-6


class Points(Protocol):
    """N points."""

    @property
    def lengths(self) -> np.ndarray:
        """[N] squared distances to the origin."""
        ...

    def to(self, row: int) -> np.ndarray:
        """[N] squared distances to a row."""
        ...


@dataclass(frozen=True)
class Vectors:
    """values: [N, D] float32."""

    values: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.einsum("nd,nd->n", self.values, self.values)

    def to(self, row: int) -> np.ndarray:
        return squares(self.lengths, self.values @ self.values[row], self.lengths[row])

    def nearest(self, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[N] squared distances to the nearest of [M, D], and [N] which it is; infinite where M is 0."""
        distances, places = np.full(len(self.values), np.inf, np.float32), np.zeros(len(self.values), int)
        if not len(others):
            return distances, places
        lengths = np.einsum("md,md->m", others, others)
        for rows in blocks(len(self.values), len(others)):
            each = squares(self.lengths[rows, None], self.values[rows] @ others.T, lengths)
            places[rows] = each.argmin(axis=1)
            distances[rows] = each.min(axis=1)
        return distances, places


@dataclass(frozen=True)
class Products:
    """N points a * b of [N, K] and [N, D] float32, which would take K times the memory as vectors of K D numbers. Their
    products are products of those of a and b."""

    a: Vectors
    b: Vectors

    @cached_property
    def lengths(self) -> np.ndarray:
        return self.a.lengths * self.b.lengths

    def to(self, row: int) -> np.ndarray:
        products = (self.a.values @ self.a.values[row]) * (self.b.values @ self.b.values[row])
        return squares(self.lengths, products, self.lengths[row])


def squares(a: np.ndarray, products: np.ndarray, b: np.ndarray | float) -> np.ndarray:
    """Squared distances from squared lengths and products, in float32; 0 where they are no more than its rounding."""
    total = a + b
    distances = total - 2 * products
    return np.where(distances > ROUNDING * total, distances, 0)


def in_words(distance: float) -> str:
    return f"{shown(distance)} from the nearest labelled or picked row"


def blocks(rows: int, columns: int) -> Iterator[slice]:
    size = max(1, BLOCK // max(columns, 1))
    return (slice(start, start + size) for start in range(0, rows, size))


class Nearest:
    """Distances to what is covered: rows that have their label, and those taken from a board."""

    def __init__(self, points: Points, start: np.ndarray, board: Board) -> None:
        """start: [N] squared distances to what is covered already, infinite where nothing is."""
        self.points, self.board = points, board
        self._squares, self._met = start.copy(), 0

    def now(self) -> np.ndarray:
        """[N] squared distances."""
        for row in self.board.taken[self._met :]:
            np.minimum(self._squares, self.points.to(row), out=self._squares)
        self._met = len(self.board.taken)
        return self._squares


def spread(nearest: Nearest, rng: np.random.Generator) -> Iterator[tuple[int, float]]:
    """Rows by k-means++ (Arthur and Vassilvitskii 2007): one at random where nothing is covered, each further one with
    a probability that is its squared distance to the nearest covered. Yields a row and its distance; ends where all
    that is left lies on what is covered."""
    free = nearest.board.free
    while free.any():
        squares = nearest.now()
        weights = np.where(free, squares, 0).astype(float)
        first = not np.isfinite(weights).all()
        if first:
            weights = free.astype(float)
        if not weights.sum() > 0:
            return
        # the row at which a random share of the sum is reached
        sums = weights.cumsum()
        row = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
        yield row, float("nan") if first else float(np.sqrt(squares[row]))


def side_by_side(sets: Sequence[np.ndarray]) -> np.ndarray:
    """[N, D] float32 of all sets [N, ...], each laid flat and standardised."""
    parts = [scaled(each.reshape(len(each), int(np.prod(each.shape[1:])))) for each in sets]
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def scaled(values: np.ndarray) -> np.ndarray:
    """[N, D] float32 with mean 0 and deviation 1 of each column; a constant one, and a gap, is 0."""
    told = np.empty(values.shape, np.float32)
    for columns in blocks(values.shape[1], len(values)):
        part = values[:, columns]
        mean, deviation = np.nanmean(part, axis=0), np.nanstd(part, axis=0)
        told[:, columns] = np.nan_to_num((part - mean) / np.where(deviation > 0, deviation, 1))
    return told
