"""Rows on which sources answer differently: the share of pairs that name different classes, the spread of numbers

Of classes, query by committee (Seung et al. 1992) with the Gini index of the votes; of numbers the standard deviation,
in units of its mean over the pool.
"""

from collections.abc import Sequence

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._strategy import Scored, mean_of_known
from affectkit.labeling.strategies.variance import in_units
from affectkit.plain import shown

ALONE = "one source disagrees with nobody"


def build() -> Scored:
    """The strategy; it has no options."""
    return Disagreement()


class Disagreement(Scored):
    name = "disagreement"

    def scores(self, pool: Pool) -> np.ndarray:
        if len(pool.sources) < 2:
            raise AffectkitError("usage", ALONE, remedy="name several NAME=PREDICTIONS of the same rows")
        return mean_of_known([
            in_units(between(answers)) if answers[0].target.kind == "number" else unlike(answers)
            for answers in pool.answers
        ])  # fmt: skip

    def reason(self, pool: Pool, row: int) -> str:
        return "; ".join(
            ", ".join(f"{name} says {said(outputs[place], row)}" for name, outputs in pool.sources.items())
            for place in range(len(pool.outputs))
        )


def said(output: TargetPrediction, row: int) -> str:
    values = output.values[row]
    if np.isnan(values).any():
        return "nothing"
    return shown(values) if output.target.kind == "number" else output.target.classes[int(values.argmax())]


def unlike(answers: Sequence[TargetPrediction]) -> np.ndarray:
    """[N] share of pairs of sources that name different classes, NaN where fewer than two answer."""
    classes = len(answers[0].target.classes)
    votes = np.zeros((len(answers[0]), classes))
    for answer in answers:
        known = np.flatnonzero(answer.known)
        votes[known, answer.values[known].argmax(axis=1)] += 1
    count = votes.sum(axis=1)
    pairs = count * (count - 1)
    return np.where(pairs > 0, 1 - (votes * (votes - 1)).sum(axis=1) / np.maximum(pairs, 1), np.nan)


def between(answers: Sequence[TargetPrediction]) -> np.ndarray:
    """[N] standard deviation between sources, NaN where fewer than two answer."""
    values = np.stack([answer.values for answer in answers])
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    mean = np.nansum(values, axis=0) / np.maximum(count, 1)
    square = np.nansum((values - mean) ** 2, axis=0) / np.maximum(count - 1, 1)
    return np.where(count > 1, np.sqrt(square), np.nan)
