"""What rows of a manifest are to be answered with, as training takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd


def truth_of(rows: pd.DataFrame, targets: Sequence[Target], *, votes: bool = False) -> dict[str, np.ndarray]:
    """Per target, [N] int64 classes (-1: unlabelled), or [N] float32 numbers (NaN).

    votes: of `label`, [N, K] shares of the raters' votes (`votes_<class>`) instead; a row without votes has its label.
    Raises "input" where votes are wanted and there are none.
    """
    found: dict[str, np.ndarray] = {}
    for target in targets:
        cells = rows[target.name]
        if target.kind == "number":
            found[target.name] = cells.to_numpy(np.float32)
        else:
            index = {name: place for place, name in enumerate(target.classes)} | {"": -1}
            found[target.name] = np.array([index[cell] for cell in cells], dtype=np.int64)
            if votes and target.name == "label":
                found[target.name] = _votes(rows, target, found[target.name])
    return found


def take(truth: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The truth of the rows at positions [M]."""
    return {name: values[rows] for name, values in truth.items()}


def labelled(truth: Mapping[str, np.ndarray]) -> np.ndarray:
    """[N] bool: rows that have any of the targets."""
    known = []
    for values in truth.values():
        if values.ndim == 2:
            known.append(~np.isnan(values).any(axis=1))
        else:
            known.append(values >= 0 if values.dtype.kind == "i" else ~np.isnan(values))
    return np.any(known, axis=0)


def _votes(rows: pd.DataFrame, target: Target, labels: np.ndarray) -> np.ndarray:
    columns = [f"votes_{name}" for name in target.classes]
    lacking = [column for column in columns if column not in rows]
    if lacking:
        message = f"--loss soft takes the raters' votes, and the manifest has no column {lacking[0]}"
        raise AffectkitError("input", message, remedy="use --loss cross-entropy, or a manifest with votes")
    counts = np.nan_to_num(rows[columns].to_numpy(float))
    own = np.eye(len(target.classes))[np.maximum(labels, 0)]
    own[labels < 0] = np.nan
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1e-12), own).astype(np.float32)
