"""The rows that may be queried, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError


@dataclass(frozen=True)
class Pool:
    """N rows of which some are to be labelled.

    ids: [N]. sources: by name, what each says of every target, in one order; one source where there is one table.
    features: [N, D] float32, None where none were named. labelled: [M, D], those of rows that have their label.
    truths: [N] of each target, class indices or numbers, NaN where unlabelled. wanted: how many rows will be asked for.
    """

    ids: np.ndarray
    sources: Mapping[str, Sequence[TargetPrediction]] = field(default_factory=dict)
    features: np.ndarray | None = None
    labelled: np.ndarray | None = None
    truths: Sequence[np.ndarray] = ()
    wanted: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> Pool:
        """The rows at positions [M]."""
        sources = {name: [output.take(rows) for output in outputs] for name, outputs in self.sources.items()}
        features = None if self.features is None else self.features[rows]
        truths = [truth[rows] for truth in self.truths]
        return replace(self, ids=self.ids[rows], sources=sources, features=features, truths=truths)

    @cached_property
    def outputs(self) -> list[TargetPrediction]:
        """Of each target the mean over sources, of those that answer."""
        return [mean_of(answers) for answers in self.answers]

    @property
    def answers(self) -> list[tuple[TargetPrediction, ...]]:
        """Of each target what every source says."""
        return list(zip(*self.sources.values(), strict=True))

    @property
    def covered(self) -> np.ndarray:
        """[M, D] features of rows that need no label any more; none where none are known."""
        return self.points()[:0] if self.labelled is None else self.labelled

    def points(self) -> np.ndarray:
        """[N, D] features. Raises "usage" where none were named."""
        if self.features is None:
            raise AffectkitError("usage", "distances between rows need --features", remedy="name a features folder")
        return self.features


def mean_of(answers: Sequence[TargetPrediction]) -> TargetPrediction:
    """What several say of one target, NaN where none answers. The variance of a number is the mean of theirs and that
    of their answers (law of total variance)."""
    if len(answers) == 1:
        return answers[0]
    target, known = answers[0].target, np.stack([answer.known for answer in answers])
    count = known.sum(axis=0)
    values = np.stack([answer.values for answer in answers])
    weights = (known / np.maximum(count, 1)).reshape(*known.shape, *[1] * (values.ndim - 2))
    mean = np.where(weights.sum(axis=0) > 0, (np.nan_to_num(values) * weights).sum(axis=0), np.nan)
    if target.kind != "number":
        return TargetPrediction(target, probabilities=mean)
    spread = (np.nan_to_num(values - mean) ** 2 * weights).sum(axis=0)
    told = [answer.var for answer in answers if answer.var is not None]
    within = np.nan_to_num(np.mean(told, axis=0)) if len(told) == len(answers) else 0.0
    return TargetPrediction(target, mean=mean, var=np.where(count > 0, spread + within, np.nan))
