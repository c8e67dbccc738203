"""Rows over whose classes the probability is most spread

Shannon's entropy of the probabilities, over log K: 1 where all K classes are equally probable.
"""

import math

import numpy as np

from affectkit.artifacts.outputs import entropy
from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._strategy import Scored, class_scores, in_words


def build() -> Scored:
    """The strategy; it has no options."""
    return Entropy()


class Entropy(Scored):
    name = "entropy"

    def scores(self, pool: Pool) -> np.ndarray:
        return class_scores(pool, lambda p: entropy(p) / math.log(max(p.shape[1], 2)), self.name)

    def reason(self, pool: Pool, row: int) -> str:
        return f"spread over classes: {in_words(pool, row)}"
