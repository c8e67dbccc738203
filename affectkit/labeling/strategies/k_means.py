"""Rows spread over the features as k-means++ starts: far from all before them, with a share of chance

Arthur and Vassilvitskii 2007, on standardised features. What has its label is covered from the start.
"""

from collections.abc import Iterator

import numpy as np

from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._distances import Nearest, Vectors, in_words, spread
from affectkit.labeling.strategies._strategy import Board, Pick


def build() -> "KMeans":
    """The strategy; it has no options."""
    return KMeans()


class KMeans:
    name = "k-means"

    def picks(self, pool: Pool, board: Board, rng: np.random.Generator) -> Iterator[Pick]:
        points = Vectors(pool.points())
        nearest = Nearest(points, points.nearest(pool.covered)[0], board)
        for row, distance in spread(nearest, rng):
            yield Pick(row, distance, "the first" if np.isnan(distance) else in_words(distance))
