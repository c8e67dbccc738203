"""Columns that may be the truth in disguise: alone, they tell a target's value as no honest measurement does.

Looked at are the rows that are fitted on. Nothing is dropped: what a column is, only its study knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from affectkit.labels import Target
from affectkit.plain import as_typed

FEW = 20  # labelled rows from which on a figure of one column is no accident
FEW_OF_CLASS = 5  # and of a class, and of the others
AUC = RANKS = 0.995
COVERED = 0.995  # share of the rows whose value another group has too


@dataclass(frozen=True)
class Suspect:
    """metric: auc (of `of_class` against the others; it may be near 0 as well as near 1) or spearman, of the column's
    "values", or of which of its cells are "gaps"."""

    column: str
    target: str
    of_class: str | None
    tells: str
    metric: str
    value: float

    def in_words(self) -> str:
        what = (
            f"which of its cells are gaps tells {self.target}" if self.tells == "gaps" else f"alone tells {self.target}"
        )
        where = f" of {self.of_class} against the others" if self.of_class is not None else ""
        figure = f"{'AUC' if self.metric == 'auc' else 'Spearman'} {self.value:.3f}{where}"
        remedy = f"if it is the label in disguise, pass --exclude {as_typed(self.column)}"
        return f"column '{self.column}' {what}: {figure}; {remedy}"


def suspects_of(
    names: Sequence[str],
    cells: np.ndarray,
    ordered: np.ndarray,
    target: Target,
    y: np.ndarray,
    groups: np.ndarray,
) -> list[Suspect]:
    """The columns that tell a target, each with its strongest figure.

    cells: [N, C] float64, NaN a gap; of categories any code. ordered: [C] bool, which are numbers. y: [N] class indices
    or numbers, NaN unlabelled. groups: [N] text.
    """
    labelled = np.flatnonzero(~np.isnan(y))
    if len(labelled) < FEW:
        return []
    truth, group = y[labelled], np.unique(groups[labelled], return_inverse=True)[1]
    suspects = []
    for place, name in enumerate(names):
        column = np.asarray(cells[labelled, place], float)
        if figures := list(_figures(column, bool(ordered[place]), target, truth, group)):
            suspects.append(Suspect(name, target.name, *max(figures, key=lambda figure: abs(figure[-1] - 0.5))))
    return suspects


Figure = tuple[str | None, str, str, float]  # as `Suspect` has them


def _figures(column: np.ndarray, ordered: bool, target: Target, y: np.ndarray, group: np.ndarray) -> Iterator[Figure]:
    """Those of a column that are beyond belief."""
    known = ~np.isnan(column)
    if len(np.unique(column)) < 2:
        return
    ranks = _ranks(column[known]) if ordered else None
    if target.kind == "number":
        if ranks is not None and known.sum() >= FEW and np.ptp(ranks):
            value = float(np.corrcoef(ranks, _ranks(y[known]))[0, 1])
            if abs(value) > RANKS:
                yield None, "values", "spearman", value
        return
    values = np.unique(column, return_inverse=True, equal_nan=True)[1]
    for number, name in enumerate(target.classes):
        members = y == number
        if ranks is not None and abs((auc := _auc(ranks, members[known])) - 0.5) > AUC - 0.5:
            yield name, "values", "auc", auc
        for tells, codes in (("values", values), ("gaps", known.astype(int))):
            if (auc := _auc_of_values(codes, members, group)) > AUC:
                yield name, tells, "auc", auc


def _ranks(values: np.ndarray) -> np.ndarray:
    """[N] float64, from 1, equal values sharing the mean of theirs, as `scipy.stats.rankdata` has them: to import that
    takes longer than to train a small network."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _auc(ranks: np.ndarray, members: np.ndarray) -> float:
    """NaN where too few rows are of the class, or of the others."""
    count = int(members.sum())
    if min(count, len(members) - count) < FEW_OF_CLASS:
        return np.nan
    return float((ranks[members].sum() - count * (count + 1) / 2) / (count * (len(members) - count)))


def _auc_of_values(codes: np.ndarray, members: np.ndarray, group: np.ndarray) -> float:
    """How well the class's share among a value's rows of other groups tells its rows; NaN where most have no others.

    A value that one speaker alone has tells the speaker, whose rows are all of one class in many a study.
    """
    count = codes.max() + 1
    if 2 * count > len(codes):
        return np.nan
    pairs = np.unique(group * count + codes, return_inverse=True)[1]
    others = np.bincount(codes)[codes] - np.bincount(pairs)[pairs]
    covered = others > 0
    if covered.mean() < COVERED or count < 2:
        return np.nan
    of_class = np.bincount(codes, members)[codes] - np.bincount(pairs, members)[pairs]
    return _auc(_ranks(of_class[covered] / others[covered]), members[covered])
