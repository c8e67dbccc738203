"""Rows at random: the control, which a strategy has to beat"""

import numpy as np

from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._strategy import Scored


def build() -> Scored:
    """The strategy; it has no options."""
    return Random()


class Random(Scored):
    name = "random"

    def scores(self, pool: Pool) -> np.ndarray:
        return np.zeros(len(pool))  # equals are taken at random

    def reason(self, pool: Pool, row: int) -> str:
        return "at random"
