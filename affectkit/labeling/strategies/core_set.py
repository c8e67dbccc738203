"""Rows far from all that is labelled: each next one is the farthest from those before it (k-center, greedy)

Sener and Savarese 2018, on standardised features. What has its label is covered from the start.
"""

from collections.abc import Iterator

import numpy as np

from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._distances import Vectors, in_words
from affectkit.labeling.strategies._strategy import Pick


def build() -> "CoreSet":
    """The strategy; it has no options."""
    return CoreSet()


class CoreSet:
    name = "core-set"

    def picks(self, pool: Pool, free: np.ndarray, rng: np.random.Generator) -> Iterator[Pick]:
        points = Vectors(pool.points())
        nearest, _ = points.nearest(pool.covered)
        if not len(pool.covered):  # the one nearest to the mean stands for all
            values = points.values
            row = int(np.where(free, Vectors(values - values.mean(axis=0)).lengths, np.inf).argmin())
            yield Pick(row, float("nan"), "the most central row")
            nearest = points.to(row)
        while free.any():
            row = int(np.where(free, nearest, -1).argmax())
            distance = float(np.sqrt(nearest[row]))
            yield Pick(row, distance, in_words(distance))
            nearest = np.minimum(nearest, points.to(row))
