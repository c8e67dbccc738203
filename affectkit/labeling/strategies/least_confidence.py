"""Rows whose most probable class is least probable

1 - max p (Lewis and Gale 1994), times K / (K - 1): 1 where all K classes are equally probable.
"""

import numpy as np

from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._strategy import Scored, class_scores, in_words


def build() -> Scored:
    """The strategy; it has no options."""
    return LeastConfidence()


class LeastConfidence(Scored):
    name = "least-confidence"

    def scores(self, pool: Pool) -> np.ndarray:
        return class_scores(pool, lambda p: (1 - p.max(axis=1)) * p.shape[1] / max(p.shape[1] - 1, 1), self.name)

    def reason(self, pool: Pool, row: int) -> str:
        return f"unsure: {in_words(pool, row)}"
