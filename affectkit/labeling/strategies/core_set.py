"""Rows far from all that is labelled: each next one is the farthest from those before it (k-center, greedy)

Sener and Savarese 2018, on standardised features. What has its label is covered from the start.
"""

from collections.abc import Iterator

import numpy as np

from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._distances import Nearest, Vectors, in_words
from affectkit.labeling.strategies._strategy import Board, Pick


def build() -> "CoreSet":
    """The strategy; it has no options."""
    return CoreSet()


class CoreSet:
    name = "core-set"

    def picks(self, pool: Pool, board: Board, rng: np.random.Generator) -> Iterator[Pick]:
        points = Vectors(pool.points())
        nearest = Nearest(points, points.nearest(pool.covered)[0], board)
        if not len(pool.covered) and not board.taken and board.free.any():  # the one nearest to the mean stands for all
            values = points.values
            row = int(np.where(board.free, Vectors(values - values.mean(axis=0)).lengths, np.inf).argmin())
            yield Pick(row, float("nan"), "the most central row")
        while board.free.any():
            squares = nearest.now()
            row = int(np.where(board.free, squares, -1).argmax())
            distance = float(np.sqrt(squares[row]))
            yield Pick(row, distance, in_words(distance))
