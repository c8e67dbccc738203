"""Subsets of sources, what they are made of, and the folds that they share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.evaluation.comparison import Measured, measured
from affectkit.fusion._score import DEFAULT_METRIC
from affectkit.labels import Target
from affectkit.splits import folds_by_group, folds_in_words, folds_of_rows

if TYPE_CHECKING:
    import pandas as pd

MOST = 255  # subsets: of eight sources


@dataclass(frozen=True)
class Subset:
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        """`audio_only`, `audio+text`; its folder is called so too."""
        return "+".join(self.sources) if len(self.sources) > 1 else f"{self.sources[0]}_only"


def subsets(names: Sequence[str], *, most: int = MOST) -> list[Subset]:
    """All non-empty subsets, small ones first, each in the order of `names`. Raises "usage" for more than `most`."""
    odd = next((name for name in names if "+" in name), None)
    if odd is not None:
        raise AffectkitError("usage", f"the name '{odd}' has a +, which joins names here", remedy="give it another")
    count = 2 ** len(names) - 1
    if count > most:
        message = f"{len(names)} sources have {count} subsets, more than --max-subsets {most}"
        raise AffectkitError("usage", message, remedy=f"name fewer sources, or pass --max-subsets {count}")
    return [Subset(chosen) for size in range(1, len(names) + 1) for chosen in combinations(names, size)]


@dataclass(frozen=True)
class Setup:
    """What all subsets share.

    names: of the sources; subsets without one that is in `speaking` have no answer. of: the metric shown first and
    compared. seeds: of the repeats. scheme: the folds in words. group: the column of what intervals resample, None
    where rows are taken as independent. train: rows whose truth makes the floors, None where there are none. notes:
    what a reader must know.
    """

    names: Sequence[str]
    speaking: Sequence[str]
    targets: Mapping[str, Target]
    of: Measured
    seeds: Sequence[int]
    scheme: str
    group: str | None
    train: pd.DataFrame | None
    notes: Sequence[str] = ()


class Study(Protocol):
    """Sources of one kind, whose subsets can be asked for answers."""

    @property
    def setup(self) -> Setup: ...

    def answer(self, sources: Sequence[str], repeat: int) -> Predictions:
        """Of every row of every subset, in the same order; those of the rows fitted on are cross-fitted."""

    def made_of(self, sources: Sequence[str]) -> dict[str, Any]:
        """What the answers depend on: plain facts and digests."""


def metric_of(name: str | None, targets: Mapping[str, Target]) -> Measured:
    """The metric called `name`; by default UAR, or CCC where there are only numbers. Raises "usage" for a wrong one."""
    kinds = {"number" if target.kind == "number" else "class" for target in targets.values()}
    return measured(name or DEFAULT_METRIC["class" if "class" in kinds else "number"], targets)


def metric_for(of: Measured, target: Target) -> str:
    """By what sources of `target` are chosen: `of`, where it is a metric of such targets, else their default."""
    kind = "number" if target.kind == "number" else "class"
    return of.metric.name if (of.metric.takes == "numbers") == (kind == "number") else DEFAULT_METRIC[kind]


def drawn_folds(
    ids: np.ndarray, groups: np.ndarray, column: str | None, labels: np.ndarray | None, count: int, seed: int
) -> np.ndarray:
    """[M] int: `count` folds of whole groups, of rows where `column` is None; the order of the rows is of no account.

    column: what the groups are. Raises "input" for fewer groups than folds.
    """
    if column is not None:
        return folds_by_group(list(groups), labels, count, seed, name=column)
    return folds_of_rows(ids, labels, count, seed)


def scheme(folds: np.ndarray, groups: np.ndarray, column: str | None) -> str:
    """Folds in words."""
    if column is None:
        return f"{len(np.unique(folds))} folds of rows"
    return folds_in_words(folds, groups, column)


def digest(*parts: str | np.ndarray) -> str:
    """SHA-256 of texts and arrays."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype.kind in "OU":
            part = "\n".join(map(str, part))
        data = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).data
        total.update(f"{len(part)} ".encode())
        total.update(data)
    return total.hexdigest()
