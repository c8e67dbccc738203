"""Rows on which each source is sure of another answer: the information that a label holds of which of them is right

Mutual information of the class and the source: the entropy of their mean less the mean of their entropies (Houlsby et
al. 2011), over log K. Sources are models of an ensemble; a table that has `mutual_information` tells that of one model
over views, or draws of its dropout (Gal et al. 2017), and of several such tables the two add up. For numbers it is the
variance between sources, of one source t_var, which is that of its passes as `predict` writes it.
"""

import math
from collections.abc import Sequence

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction, entropy
from affectkit.errors import AffectkitError
from affectkit.labeling.pool import Pool, mean_of
from affectkit.labeling.strategies._strategy import Scored, in_words, mean_of_known
from affectkit.labeling.strategies.disagreement import ALONE, between
from affectkit.labeling.strategies.variance import in_units


def build() -> Scored:
    """The strategy; it has no options."""
    return Bald()


class Bald(Scored):
    name = "bald"

    def scores(self, pool: Pool) -> np.ndarray:
        told = [each for answers in pool.answers if (each := information(answers)) is not None]
        if not told:
            remedy = "name several NAME=PREDICTIONS, or those of several passes: predict --mc-dropout 20, --tta 5"
            raise AffectkitError("usage", ALONE, remedy=remedy)
        return mean_of_known(told)

    def reason(self, pool: Pool, row: int) -> str:
        who, told = "sources" if len(pool.sources) > 1 else "passes", in_words(pool, row)
        return f"{who} are sure of different answers" + (f"; together: {told}" if told else "")


def information(answers: Sequence[TargetPrediction]) -> np.ndarray | None:
    """[N] of one target, of what sources say and of their passes; NaN where a row has one answer of one pass, None
    where all have."""
    target = answers[0].target
    if target.kind == "number":
        told = between(answers) ** 2 if len(answers) > 1 else answers[0].var
        return None if told is None else in_units(told)
    within = [answer.mutual_information for answer in answers if answer.mutual_information is not None]
    passes = len(within) == len(answers)  # what source and pass tell together is the sum of both
    if len(answers) == 1 and not passes:
        return None
    known = np.stack([answer.known for answer in answers])
    count = known.sum(axis=0)
    expected = _mean([entropy(answer.values) for answer in answers], known)
    told = np.maximum(entropy(mean_of(answers).values) - expected, 0) + (_mean(within, known) if passes else 0)
    return np.where(count > (0 if passes else 1), told, np.nan) / math.log(max(len(target.classes), 2))


def _mean(values: Sequence[np.ndarray], known: np.ndarray) -> np.ndarray:
    """[N] over the sources that answer. known: [S, N]."""
    return np.where(known, np.nan_to_num(values), 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
