"""How much better the highest of several figures looks than what choosing it is worth on rows that had no say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from affectkit.evaluation.answers import Answers
from affectkit.evaluation.candidates import Judged
from affectkit.evaluation.intervals import Resamples, as_units

BLOCKS = 10  # of groups, for a calibration error, which costs a pass over the rows for every run and block


@dataclass(frozen=True)
class Optimism:
    """naive: the highest figure. nested: the pooled figure of the runs chosen without each group, on that group.
    folds: how many choices were made. chosen: how many different runs they fell on."""

    naive: float
    nested: float
    folds: int
    chosen: int

    def plain(self) -> dict[str, Any]:
        return {**vars(self), "difference": self.naive - self.nested}


def optimism(judged: Judged, found: Mapping[str, Resamples]) -> Optimism | None:
    """Nested selection: choose the highest figure on all groups but one, judge it on that one, and pool.

    found: the figures of all rows, resampled by the jackknife. None where there is nothing to choose, or to leave out.
    """
    said, units = list(judged.answers.values()), as_units(judged.groups, judged.count)
    if units.count < 2 or len(said) < 2:
        return None
    of, codes = said[0].of, units.codes
    if all(len(figure.again) == units.count for figure in found.values()):
        without = np.stack([found[name].again for name in judged.answers])
    else:
        codes = codes % min(units.count, BLOCKS)
        without = np.array([[one.take(codes != b).value for b in range(codes.max() + 1)] for one in said])
    winners = np.where(np.isnan(without), -np.inf, of.gain(1.0) * without).argmax(axis=0)
    highest = max((figure.value for figure in found.values() if not np.isnan(figure.value)), key=of.gain)
    return Optimism(highest, _pooled(said, winners[codes]).value, len(winners), len(set(winners.tolist())))


def _pooled(said: Sequence[Answers], winners: np.ndarray) -> Answers:
    """Of each row, what the run chosen for it says. winners: [N]."""
    rows = np.arange(len(winners))
    predictions = [
        np.stack([one.predictions[target] for one in said])[winners, rows] for target in range(len(said[0].truths))
    ]
    return replace(said[0], predictions=predictions)
