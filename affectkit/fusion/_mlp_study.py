"""What a network of fusion is fitted on: rows, and the folds within them that say what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affectkit.artifacts.outputs import Rows
from affectkit.fusion._mlp_prior import losses, row_weights
from affectkit.fusion._stack import Inputs, inner_folds

ALL = "all"  # the member that is fitted on all rows


@dataclass(frozen=True)
class Study:
    """inputs, rows: in an order that is the rows' own. columns: [P, N] standardised, NaN where missing.
    folds: [N] int. balanced: whether classes count alike."""

    inputs: Inputs
    rows: Rows
    columns: np.ndarray
    folds: np.ndarray
    balanced: bool

    @classmethod
    def of(cls, inputs: Inputs, rows: Rows, columns: np.ndarray, balanced: bool) -> Study:
        labels = rows.truth if inputs.panel.target.kind == "number" else rows.truth.astype(np.int64)
        return cls(inputs, rows, columns, inner_folds(rows, labels), balanced)

    @property
    def number(self) -> bool:
        return self.inputs.panel.target.kind == "number"

    def parts(self) -> list[tuple[str, np.ndarray]]:
        """Names and rows [N] bool of the members: all but a fold each, then all."""
        kept = [(f"fold-{fold}", self.folds != fold) for fold in np.unique(self.folds)]
        return [*kept, (ALL, np.full(len(self.folds), True))]

    def held_out(self, members: Sequence[np.ndarray]) -> np.ndarray:
        """[N, C]: each row's answer by the member that never saw its fold. members: [N, C] answers of each member."""
        found = np.empty_like(members[0])
        for fold, answers in zip(np.unique(self.folds), members[:-1], strict=True):
            found[self.folds == fold] = answers[self.folds == fold]
        return found

    def truth(self, own: np.ndarray) -> np.ndarray:
        """[N], of the rows `own` [N] bool and unknown of the others, as the training loop has it."""
        if self.number:
            return np.where(own, self.rows.truth, np.nan).astype(np.float32)
        return np.where(own, self.rows.truth, -1).astype(np.int64)

    def losses(self, answers: np.ndarray) -> np.ndarray:
        """[N], each row weighing what its class does."""
        weights = row_weights(self.rows.truth, self.number, self.balanced)
        return weights * losses(answers, self.rows.truth, self.number)
