"""Rows that are both unsure and unlike each other: k-means++ over the gradients that their likeliest labels would give

Ash et al. 2020: of a linear last layer on the features h the gradient is (p - y) h, with y the most probable class; its
length is how unsure the answer is, and a row without one, which is sure, is never picked. Products of (p - y) and h,
which are never put together. Of several targets the first of classes counts.
"""

from collections.abc import Iterator

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._distances import Nearest, Products, Vectors, spread
from affectkit.labeling.strategies._strategy import Board, Pick, in_words


def build() -> "Badge":
    """The strategy; it has no options."""
    return Badge()


class Badge:
    name = "badge"

    def picks(self, pool: Pool, board: Board, rng: np.random.Generator) -> Iterator[Pick]:
        told = [output for output in pool.outputs if output.target.kind != "number"]
        if not told:
            remedy = "use k-means, or variance"
            raise AffectkitError("usage", "--strategy badge is of classes, and all targets are numbers", remedy=remedy)
        p = np.nan_to_num(told[0].values).astype(np.float32)
        p[np.arange(len(p)), p.argmax(axis=1)] -= 1
        p[~told[0].known] = 0  # what was declined has no gradient
        h = np.column_stack([pool.points(), np.ones(len(p), np.float32)])  # and a constant, so that no row is at 0
        points = Products(Vectors(p), Vectors(h))

        def pick(row: int) -> Pick:
            length = float(np.sqrt(points.lengths[row]))
            return Pick(row, length, f"unsure, and unlike the others: {in_words(pool, row)}")

        if not board.taken and (points.lengths[board.free] > 0).any():  # as published, the longest comes first
            yield pick(int(np.where(board.free, points.lengths, -1).argmax()))
        for row, _ in spread(Nearest(points, points.lengths, board), rng):
            yield pick(row)
