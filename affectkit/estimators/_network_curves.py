"""How networks learned on inner folds, epoch by epoch, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.files import read_json, write_bytes, write_json
from affectkit.training.evaluating import higher_is_better


@dataclass(frozen=True)
class Curve:
    """history: of one inner fold, as the training loop has it. held: predictions of the rows that it holds out, [M, K]
    or [M], by the best epoch's weights."""

    history: list[dict[str, Any]]
    held: np.ndarray

    @staticmethod
    def there(stem: Path) -> bool:
        return stem.with_suffix(".json").exists()

    def save(self, stem: Path) -> None:
        """Write `<stem>.safetensors` and then `<stem>.json`, by which the whole is known to be there."""
        from safetensors.numpy import save

        write_bytes(stem.with_suffix(".safetensors"), save({"held": self.held}))
        write_json(stem.with_suffix(".json"), {"history": self.history})

    @classmethod
    def load(cls, stem: Path) -> Curve:
        from safetensors.numpy import load_file

        stored = read_json(stem.with_suffix(".json"), what="curve")["history"]
        history = [{name: np.nan if value is None else value for name, value in row.items()} for row in stored]
        return cls(history, load_file(stem.with_suffix(".safetensors"))["held"])


def mean_curve(curves: Sequence[Curve], monitor: str) -> list[dict[str, Any]]:
    """The mean of histories over epochs, each weighted by the rows that it holds out; one that ended early goes on as
    it ended, and an undefined figure counts for nothing.

    monitor: the column by which epochs are compared. A row has `epoch`, `learning_rate`, `train_loss`, `val_...`,
    `folds`: how many still trained, `score`: of the monitor, higher is better, and `best`: better than all before.
    """
    longest = max((len(curve.history) for curve in curves), default=0)
    weights = np.array([len(curve.held) for curve in curves], float)
    sign = 1.0 if higher_is_better(monitor) else -1.0
    found: list[dict[str, Any]] = []
    highest = -np.inf
    for epoch in range(1, longest + 1):
        rows = [curve.history[min(epoch, len(curve.history)) - 1] for curve in curves]
        names = [name for name in rows[0] if name in ("learning_rate", "train_loss") or name.startswith("val_")]
        means = {name: _mean(np.array([row[name] for row in rows], float), weights) for name in names}
        score = sign * means[monitor]
        best = bool(score > highest or (epoch == 1 and np.isnan(score)))
        highest = max(highest, score) if score == score else highest
        folds = sum(len(curve.history) >= epoch for curve in curves)
        found.append({"epoch": epoch, **means, "folds": folds, "score": score, "best": best})
    return found


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")
