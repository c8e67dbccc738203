"""What models say about one target, as arrays: estimators give it, calibrations and fusions take and give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from affectkit.labels import Target


@dataclass(frozen=True)
class TargetPrediction:
    """One source's answers for N rows. A row that it declined (no face, no text) is NaN throughout.

    probabilities: [N, K] of a class target, in the order of its classes. mean: [N] of a number; var, low, high: [N]
    where known, NaN where not. sets: [N, K] bool, the classes of a prediction set. mutual_information: [N] of a class
    and the pass over the row, nats, where there were several (Houlsby et al. 2011).
    """

    target: Target
    probabilities: np.ndarray | None = None
    mean: np.ndarray | None = None
    var: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    sets: np.ndarray | None = None
    mutual_information: np.ndarray | None = None

    @classmethod
    def of(cls, target: Target, values: np.ndarray) -> TargetPrediction:
        """From [N, K] probabilities or [N] numbers, as the target is."""
        values = np.asarray(values, float)
        return cls(target, mean=values) if target.kind == "number" else cls(target, probabilities=values)

    @classmethod
    def over_passes(cls, target: Target, values: np.ndarray) -> TargetPrediction:
        """The mean of [N, P, K] probabilities or [N, P] numbers in their units, of P passes over each row. Of more than
        one it has their variance (ddof 1), or what the class and the pass tell of each other.

        The mean is taken before it is held to the target's scale: passes held to it would agree where a network is most
        unsure.
        """
        mean, several = values.mean(axis=1), values.shape[1] > 1
        if target.kind != "number":
            return cls(target, probabilities=mean, mutual_information=shared_information(values) if several else None)
        low, high = target.scale or (-np.inf, np.inf)
        return cls(target, mean=np.clip(mean, low, high), var=values.var(axis=1, ddof=1) if several else None)

    @property
    def values(self) -> np.ndarray:
        """[N, K] probabilities or [N] numbers."""
        values = self.mean if self.target.kind == "number" else self.probabilities
        assert values is not None
        return values

    @property
    def known(self) -> np.ndarray:
        """[N] bool: the rows that were not declined."""
        unknown = np.isnan(self.values)
        return ~(unknown if unknown.ndim == 1 else unknown.any(axis=1))

    @property
    def classes(self) -> np.ndarray:
        """[N] text, the most probable class, the first of equals; "" where the row was declined."""
        return named_classes(self.target, self.values.T)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> TargetPrediction:
        """The rows at `rows`, positions [M] or [N] bool; all of them are the same arrays."""
        if len(rows) == len(self) and (rows.all() if rows.dtype == bool else (rows == np.arange(len(self))).all()):
            return self
        return TargetPrediction(self.target, **{name: array[rows] for name, array in self._arrays().items()})

    def at(self, rows: np.ndarray) -> TargetPrediction:
        """The rows at positions [M]; -1 is a row that was declined."""
        taken, declined = self.take(rows), rows < 0
        for array in taken._arrays().values() if declined.any() else ():
            array[declined] = False if array.dtype == bool else np.nan
        return taken

    def put(self, rows: np.ndarray, other: TargetPrediction) -> TargetPrediction:
        """A copy with `other`'s answers at `rows`, positions [M]; both have the same arrays."""
        mine, theirs = self._arrays(), other._arrays()
        if mine.keys() != theirs.keys():
            raise ValueError(f"outputs of {sorted(mine)} and {sorted(theirs)}")
        changed = {name: array.copy() for name, array in mine.items()}
        for name, array in changed.items():
            array[rows] = theirs[name]
        return TargetPrediction(self.target, **changed)

    @classmethod
    def joined(cls, parts: Sequence[TargetPrediction]) -> TargetPrediction:
        """The rows of all parts, one part after the other; all have the same arrays."""
        arrays = [part._arrays() for part in parts]
        names = arrays[0].keys()
        return cls(parts[0].target, **{name: np.concatenate([part[name] for part in arrays]) for name in names})

    def aligned(self, target: Target) -> TargetPrediction:
        """The same answers with the classes in `target`'s order. Raises ValueError where the classes differ."""
        if self.target.kind == "number" or self.target.classes == target.classes:
            return TargetPrediction(target, **self._arrays())
        if sorted(self.target.classes) != sorted(target.classes):
            raise ValueError(f"classes {', '.join(self.target.classes)} and {', '.join(target.classes)}")
        order = [self.target.classes.index(name) for name in target.classes]
        sets = self.sets[:, order] if self.sets is not None else None
        return replace(self, target=target, probabilities=self.values[:, order], sets=sets)

    @classmethod
    def declined(cls, target: Target, rows: int) -> TargetPrediction:
        """No answer for any of `rows` rows."""
        return cls.of(target, np.full(rows if target.kind == "number" else (rows, len(target.classes)), np.nan))

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "target"}
        return {name: array for name, array in arrays.items() if array is not None}


BLOCK = 16384  # rows: what is computed of a million at once waits for fresh memory more than for the processor


def named_classes(target: Target, probabilities: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """[N] text of [N] of each class: the most probable one, the first of equals; "" where a row was declined."""
    names = np.array([*target.classes, ""], dtype=object)
    best = np.empty(len(probabilities[0]), np.intp)
    for start in range(0, len(best), BLOCK):
        block = np.stack([column[start : start + BLOCK] for column in probabilities], axis=1)
        best[start : start + BLOCK] = np.where(np.isnan(block).any(axis=1), -1, block.argmax(axis=1))
    return names[best]


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """[..., K] -> [...] nats; 0 log 0 is 0.

    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(3).tolist()
    [0.693, 0.0]
    """
    p = np.clip(probabilities, 0, 1)
    return 0.0 - (p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


def shared_information(probabilities: np.ndarray) -> np.ndarray:
    """[N, P, K] -> [N] nats, the mutual information of the class and of which of P says it: the entropy of their mean
    less the mean of their entropies, at least 0.

    >>> shared_information(np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]])).round(3).tolist()
    [0.693, 0.0]
    """
    return np.maximum(entropy(probabilities.mean(axis=1)) - entropy(probabilities).mean(axis=1), 0)


@dataclass(frozen=True)
class GroundTruth:
    """What is known of N rows beside the answers.

    truth: [N], class indices as floats or numbers; NaN where unlabelled. groups: [N] text, what must not straddle;
    "" belongs to none. columns: further columns of text, such as `sex`, by name.
    """

    truth: np.ndarray
    groups: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: np.ndarray) -> GroundTruth:
        columns = {name: cells[rows] for name, cells in self.columns.items()}
        return GroundTruth(self.truth[rows], self.groups[rows], columns)
