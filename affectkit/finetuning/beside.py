"""What other models say of the rows that a network is fine-tuned on, each answer from a fit that never saw the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError
from affectkit.finetuning.mixture import NETWORK, MixOptions
from affectkit.labels import Target
from affectkit.models.outputs import columns_of

Refit = Callable[[Sequence[str], Sequence[str], Path], Predictions]
AGAIN = "train it with --cv on the same manifest"


@dataclass(frozen=True)
class Branch:
    """A model beside the network. again: of ids inside a fold, ids outside, and a folder to work in, its answers for
    both: for those outside from a fit on those inside, for these out of fold again. Where it cannot be fitted again,
    None, and why_not: the answers that it has are taken in every fold, from fits that may have seen rows outside."""

    source: Source
    again: Refit | None = None
    why_not: str = ""

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def nested(self) -> str:
        """How it enters folds, in words."""
        return f"not nested: {self.why_not}" if self.why_not else "nested" if self.again else "no folds"


@dataclass(frozen=True)
class Beside:
    """branches: in order, the network comes after them. mix: how they are mixed."""

    branches: Sequence[Branch]
    mix: MixOptions
    targets: Sequence[Target]

    def answers(self, ids: Sequence[str]) -> np.ndarray:
        """[N, S, C] float64 probabilities of all targets' classes, none from a fit on the row.

        Raises "leak" for a row that a source was fitted on and has no other answer for, "input" for one it lacks.
        """
        for branch in self.branches:
            _refuse_fitted(branch.source, ids)
        each = [_answers(branch.source.table(), branch.source.path, self.targets, ids) for branch in self.branches]
        return np.stack(each, axis=1)

    def within(
        self, answers: np.ndarray, ids: np.ndarray, inside: np.ndarray, outside: np.ndarray, folder: Path
    ) -> np.ndarray:
        """As `answers`, of rows inside and outside a fold: those of sources that can be fitted again are made anew."""
        anew = answers.copy()
        rows = np.concatenate([inside, outside])
        for place, branch in enumerate(self.branches):
            if branch.again:
                table = branch.again(list(ids[inside]), list(ids[outside]), folder / branch.name)
                anew[rows, place] = _answers(table, branch.source.path, self.targets, list(ids[rows]))
        return anew

    def by_target(self, answers: np.ndarray) -> dict[str, np.ndarray]:
        """[M, C] answers of a branch as the classes [M, K] of each target."""
        return {target.name: answers[:, columns] for target, columns in columns_of(self.targets)}


def check_beside(targets: Sequence[Target], names: Sequence[str]) -> None:
    """Raises "usage" for targets that are numbers, and for a source that is called as the network is."""
    numbers = [target.name for target in targets if target.kind == "number"]
    if numbers:
        message = f"--beside mixes probabilities of classes, and {', '.join(numbers)} is a number"
        raise AffectkitError("usage", message, remedy="name class targets with --target, or fuse runs: affectkit fuse")
    if NETWORK in names:
        message = f"--beside {NETWORK}=...: that is what the network itself is called"
        raise AffectkitError("usage", message, remedy="give the source another name")


def _refuse_fitted(source: Source, ids: Sequence[str]) -> None:
    table = source.table()
    if table.foreign:
        message = "does not say whether the model had seen its rows (no column 'seen')"
        raise AffectkitError("leak", message, file=source.path, remedy=f"name the model's run folder, or {AGAIN}")
    known = dict(zip(table.frame["id"], table.frame["seen"], strict=True))
    fitted = set(source.fitted["id"])
    for key in ids:
        if known.get(key) == "fit" or (key not in known and key in fitted):
            message = f"'{source.name}' was fitted on id '{key}', and has no cross-fitted answer for it"
            raise AffectkitError("leak", message, file=source.path, remedy=AGAIN)


def _answers(table: Predictions, path: Path, targets: Sequence[Target], ids: Sequence[str]) -> np.ndarray:
    """[N, C] of the ids, each target's classes summing to 1. Raises "input"."""
    places = pd.Index(table.frame["id"]).get_indexer(pd.Index(ids))
    if (places < 0).any():
        missing = ids[int((places < 0).argmax())]
        message = f"has no answer for id '{missing}' ({(places < 0).sum()} of {len(ids)} rows are missing)"
        raise AffectkitError("input", message, file=path, remedy=AGAIN)
    return np.concatenate([_probabilities(table, path, target, places) for target in targets], axis=1)


def _probabilities(table: Predictions, path: Path, target: Target, places: np.ndarray) -> np.ndarray:
    if target.name not in table.targets:
        message = f"does not answer for {target.name}, but for {', '.join(table.targets)}"
        raise AffectkitError("input", message, file=path, remedy="train it for the same target")
    try:
        values = table.output(target.name).aligned(target).values[places]
    except ValueError as error:
        message = f"has other classes of {target.name}: {error}"
        raise AffectkitError("input", message, file=path, remedy="prepare both manifests with one label map") from None
    if len(lacking := np.flatnonzero(np.isnan(values).any(axis=1))):
        key = table.frame["id"].iloc[places[lacking[0]]]
        raise AffectkitError("input", f"declines id '{key}' ({len(lacking)} rows)", file=path, remedy="leave them out")
    return values / values.sum(axis=1, keepdims=True)


def answers_of(tables: Mapping[str, Predictions], targets: Sequence[Target], ids: Sequence[str]) -> np.ndarray:
    """[N, S, C] of what models say of rows that are to be answered, NaN where one says nothing."""
    return np.stack([_served(table, targets, ids) for table in tables.values()], axis=1)


def _served(table: Predictions, targets: Sequence[Target], ids: Sequence[str]) -> np.ndarray:
    places = pd.Index(table.frame["id"]).get_indexer(pd.Index(ids))
    each = [table.output(target.name).aligned(target).at(places).values for target in targets]
    return np.concatenate([values / values.sum(axis=1, keepdims=True) for values in each], axis=1)
