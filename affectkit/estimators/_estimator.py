"""What an estimator is, for one target at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from affectkit.errors import AffectkitError
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np


Matrix = Any  # [N, D]: an array, or CSR

CGrid = Annotated[str, Option("Values of C searched, comma-separated; ridge has alpha = 1/(2C).")]


@dataclass(frozen=True)
class Labels:
    """What one target is fitted on.

    y: [N] class indices (int64), or numbers (float64). classes: K, 0 for numbers. weights: [N], mean 1.
    """

    y: np.ndarray
    classes: int
    weights: np.ndarray

    def take(self, rows: np.ndarray) -> Labels:
        return Labels(self.y[rows], self.classes, self.weights[rows])


class Fitted(Protocol):
    """A fit of one target. `predict` gives [N, K] probabilities, or [N] numbers."""

    def predict(self, x: Matrix) -> np.ndarray: ...


class Estimator(Protocol):
    """A plug-in's `build(**options)`.

    selects_on: what chooses among class candidates, "nll" (weighted as the fit: on nine EmoDB speakers UAR
    jumped between neighbours from fold to fold) or "uar". Numbers are chosen on CCC.
    candidates: the hyper-parameters worth trying, the most regularised first (ties go to the earlier).
    fit_path: one fit for each candidate, sharing what they have in common.
    calibrated: the chosen fit, its probabilities set by predictions that are out-of-fold within the fit rows.
    """

    name: str
    options: dict[str, Any]
    selects_on: str

    def candidates(self, *, classes: int) -> list[dict[str, Any]]: ...

    def fit_path(self, x: Matrix, labels: Labels, candidates: Sequence[dict[str, Any]], seed: int) -> list[Any]: ...

    def calibrated(self, fitted: Any, oof: np.ndarray, labels: Labels) -> Any: ...

    def save(self, fitted: Any, stem: Path) -> None: ...

    def load(self, stem: Path) -> Any: ...


def refuse_infinite(block: Matrix, ids: Sequence[str], path: Path) -> None:
    """Raise "input" naming the first row of features [N, D] that holds an infinity. NaN is a gap, but not in CSR."""
    import numpy as np

    if isinstance(block, np.ndarray):
        rows = np.flatnonzero(np.isinf(block).any(axis=1))
    else:
        table = block.tocoo()
        rows = table.row[~np.isfinite(table.data)]
    if len(rows):
        message = f"the features of id '{ids[rows[0]]}' are not finite"
        raise AffectkitError("input", message, file=path, remedy="extract them again, or drop the row")


def parse_grid(text: str, option: str) -> list[float]:
    """`0.01,0.1,1` as positive numbers in rising order."""
    try:
        values = sorted({float(part) for part in text.split(",")})
    except ValueError:
        values = []
    if not all(0 < value < math.inf for value in values) or not values:
        raise AffectkitError("usage", f"{option} '{text}' is not a list of positive numbers", remedy="write 0.01,0.1,1")
    return values
