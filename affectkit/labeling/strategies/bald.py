"""Rows on which each source is sure of another answer: the information that a label holds of which of them is right

Mutual information of the class and the source: the entropy of their mean less the mean of their entropies (Houlsby et
al. 2011), over log K. Sources are models of an ensemble, or draws of one with dropout (Gal et al. 2017). For numbers it
is the variance between sources.
"""

import math

import numpy as np

from affectkit.labeling.pool import Pool, mean_of
from affectkit.labeling.strategies._strategy import Scored, entropy, in_words, mean_of_known
from affectkit.labeling.strategies.disagreement import between
from affectkit.labeling.strategies.variance import in_units


def build() -> Scored:
    """The strategy; it has no options."""
    return Bald()


class Bald(Scored):
    name = "bald"

    def scores(self, pool: Pool) -> np.ndarray:
        each = []
        for answers in pool.members():
            if answers[0].target.kind == "number":
                each.append(in_units(between(answers) ** 2))
                continue
            single = np.stack([entropy(answer.values) for answer in answers])
            count = (~np.isnan(single)).sum(axis=0)
            expected = np.where(count > 1, np.nansum(single, axis=0) / np.maximum(count, 1), np.nan)
            told = entropy(mean_of(answers).values) - expected
            each.append(np.maximum(told, 0) / math.log(max(len(answers[0].target.classes), 2)))
        return mean_of_known(each)

    def reason(self, pool: Pool, row: int) -> str:
        told = in_words(pool, row)
        return "sources are sure of different answers" + (f"; together: {told}" if told else "")
