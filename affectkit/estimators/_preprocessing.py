"""Imputing and scaling, fitted on the rows that the estimator is fitted on and on no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Matrix

MIN_SPEAKER_ROWS = 5  # below this a speaker's own mean and deviation are mostly noise


@dataclass(frozen=True)
class Scaling:
    """Of one dense block: `fill` [D] replaces NaN (the fit rows' median), then (x - mean) / deviation, each [D]."""

    fill: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def apply(self, block: np.ndarray) -> np.ndarray:
        filled = np.where(np.isnan(block), self.fill, block)
        return (filled - self.mean) / self.deviation


@dataclass(frozen=True)
class Preprocessing:
    """One `Scaling` per dense block, None per sparse one: hashed n-grams are unit rows already, and stay sparse."""

    blocks: tuple[Scaling | None, ...]

    @classmethod
    def fit(cls, blocks: Sequence[Matrix], *, scale: bool) -> Preprocessing:
        return cls(tuple(_fit_block(block, scale) if isinstance(block, np.ndarray) else None for block in blocks))

    def apply(self, blocks: Sequence[Matrix]) -> Matrix:
        """[N, D] of all blocks side by side: an array, or CSR as soon as one block is sparse."""
        import scipy.sparse as sp

        scaled = [s.apply(np.asarray(b, float)) if s else b for s, b in zip(self.blocks, blocks, strict=True)]
        if any(sp.issparse(block) for block in scaled):
            return sp.hstack([sp.csr_matrix(block) for block in scaled], format="csr")
        return np.hstack(scaled)

    def save(self, path: Path) -> None:
        from safetensors.numpy import save

        from affectkit.artifacts.files import write_bytes

        tensors = {}
        for number, scaling in enumerate(self.blocks):
            for name in ("fill", "mean", "deviation") if scaling else ():
                tensors[f"{number}.{name}"] = getattr(scaling, name)
        write_bytes(path, save(tensors, metadata={"blocks": str(len(self.blocks))}))

    @classmethod
    def load(cls, path: Path) -> Preprocessing:
        from safetensors import safe_open

        with safe_open(path, "np") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a dict
            count = int(file.metadata()["blocks"])
        return cls(tuple(_stored_block(stored, number) for number in range(count)))


def _stored_block(stored: dict[str, np.ndarray], number: int) -> Scaling | None:
    if f"{number}.mean" not in stored:
        return None
    return Scaling(stored[f"{number}.fill"], stored[f"{number}.mean"], stored[f"{number}.deviation"])


def _fit_block(block: np.ndarray, scale: bool) -> Scaling:
    block = np.asarray(block, float)
    known = ~np.isnan(block)
    fill = np.zeros(block.shape[1])
    for column in np.flatnonzero(~known.all(axis=0)):  # most features have no gap, and a full median is slow
        values = block[known[:, column], column]
        fill[column] = np.median(values) if len(values) else 0.0
    filled = np.where(known, block, fill)
    if not scale:
        return Scaling(fill, np.zeros(block.shape[1]), np.ones(block.shape[1]))
    deviation = filled.std(axis=0)
    deviation[deviation < 1e-12] = 1.0  # a constant feature says nothing; dividing by it would
    return Scaling(fill, filled.mean(axis=0), deviation)


def normalize_by_speaker(block: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """[N, D] with each speaker's rows at mean 0 and deviation 1: transductive, it looks at the rows to be predicted.

    Raises "input" for a speaker with fewer than five rows, or without a name.
    """
    result = np.empty(block.shape, float)
    for speaker in np.unique(speakers):
        rows = speakers == speaker
        if not speaker:
            raise AffectkitError("input", f"--normalize speaker: {rows.sum()} rows have no speaker", remedy="use train")
        if rows.sum() < MIN_SPEAKER_ROWS:
            raise AffectkitError(
                "input",
                f"--normalize speaker: speaker '{speaker}' has {rows.sum()} rows, fewer than {MIN_SPEAKER_ROWS}",
                remedy="give more of that speaker's rows at once, or use --normalize train",
            )
        own = np.asarray(block[rows], float)
        with np.errstate(invalid="ignore"):
            mean, deviation = np.nanmean(own, axis=0), np.nanstd(own, axis=0)
        deviation = np.where(deviation < 1e-12, 1.0, deviation)
        result[rows] = (own - mean) / deviation
    return result
