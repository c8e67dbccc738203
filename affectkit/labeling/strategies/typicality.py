"""Typical rows of every region of the features, for a start with few labels

TypiClust (Hacohen et al. 2022): k-means makes as many clusters as there will be labels; of each of the largest that
holds no labelled row the one is taken whose 20 nearest neighbours in it are nearest. With few labels typical rows teach
more than unsure ones.
"""

from collections.abc import Iterator

import numpy as np

from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._distances import Vectors
from affectkit.labeling.strategies._strategy import Board, Pick

NEIGHBOURS = 20
MOST_CLUSTERS = 500  # as published; when each has a row, those of the fewest are taken from again


def build() -> "Typicality":
    """The strategy; it has no options."""
    return Typicality()


class Typicality:
    name = "typicality"

    def picks(self, pool: Pool, board: Board, rng: np.random.Generator) -> Iterator[Pick]:
        values = pool.points()
        count = min(MOST_CLUSTERS, len(values), pool.wanted + len(pool.covered))
        labels, centres = clusters(values, count, int(rng.integers(2**31)))
        covered = np.bincount(Vectors(pool.covered).nearest(centres)[1], minlength=count)
        sizes = np.bincount(labels, minlength=count)
        typical: dict[int, np.ndarray] = {}
        while True:
            open_ = np.bincount(labels[board.free], minlength=count)
            if not open_.any():
                return
            taken = (covered + np.bincount(labels[board.taken], minlength=count)).astype(float)
            # First those of which fewest rows have a label, of these the largest.
            order = np.lexsort((-sizes, np.where(open_ > 0, taken, np.inf)))
            cluster = int(order[0])
            rows = np.flatnonzero(labels == cluster)
            if cluster not in typical:
                typical[cluster] = typicalities(values[rows])
            score = np.where(board.free[rows], typical[cluster], -np.inf)
            place = int(score.argmax())
            yield Pick(int(rows[place]), float(score[place]), f"typical of {sizes[cluster]} rows like it")


def clusters(values: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """[N] of which cluster each row is, and [count, D] their means."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    kind = KMeans if len(values) * count < 5_000_000 else MiniBatchKMeans
    fitted = kind(count, n_init=1, random_state=seed).fit(values)
    return fitted.labels_, fitted.cluster_centers_.astype(np.float32)


def typicalities(values: np.ndarray) -> np.ndarray:
    """[N] the inverse of the mean distance to the nearest neighbours, 0 for a row that is alone."""
    from sklearn.neighbors import NearestNeighbors

    near = min(NEIGHBOURS, len(values) - 1)
    if near < 1:
        return np.zeros(len(values))
    distances, _ = NearestNeighbors(n_neighbors=near + 1).fit(values).kneighbors(values)
    return 1 / np.maximum(distances[:, 1:].mean(axis=1), 1e-12)
