"""Which epochs are better, by rows that are not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.training.evaluating import default_monitor, higher_is_better, outputs_of, score_names, scores
from affectkit.training.examples import Examples
from affectkit.training.problem import Problem, Settings
from affectkit.training.stages import Stage

TRAIN_LOSS, VAL_LOSS = "train_loss", "val_loss"


@dataclass(frozen=True)
class Judge:
    """problem, settings: of the training. monitor: the column of the history that decides; None where nothing can, and
    the last epoch is the best."""

    problem: Problem
    settings: Settings
    monitor: str | None

    @classmethod
    def of(cls, problem: Problem, stages: Sequence[Stage], settings: Settings) -> Judge:
        """Raises "usage" where stages watch different columns, or one that the history will not have."""
        default = default_monitor(problem.objective.targets) if problem.judged is not None else ""
        named = {stage.monitor or default for stage in stages}
        if len(named) > 1:
            remedy = "let all watch one, by which weights are compared"
            raise AffectkitError("usage", f"stages watch {' and '.join(sorted(named))}", remedy=remedy)
        monitor = named.pop()
        columns = _columns(problem)
        if monitor and monitor not in columns:
            message = f"there is no {monitor} to watch, as the validation rows are"
            raise AffectkitError("usage", message, remedy=did_you_mean(monitor, columns))
        return cls(problem, settings, monitor or None)

    @property
    def higher(self) -> bool:
        """Whether a higher value is better."""
        return higher_is_better(self.monitor or "")

    def measure(self, network: Any, accelerator: Any) -> dict[str, float]:
        """Loss and metrics of the validation rows, over all of them at once; NaN where undefined."""
        rows, objective = self.problem.judged, self.problem.objective
        if rows is None:
            return {}
        of = self.settings
        outputs = outputs_of(
            network, rows, accelerator, size=of.batch_size, most_cost=of.batch_seconds, num_workers=of.num_workers
        )
        found = {VAL_LOSS: float(objective(outputs, _tensors(rows)))}
        found |= {f"val_{name}": value for name, value in
                  scores(objective.targets, objective.answers(outputs), rows.truth).items()}  # fmt: skip
        return {name: value if math.isfinite(value) else math.nan for name, value in found.items()}

    def best(self, row: dict[str, Any], before: dict[str, Any] | None) -> bool:
        """Whether an epoch's weights are to be kept rather than those of the best one before.

        Without a monitor, or as long as it was never defined, the last epoch is the best.
        """
        if self.monitor is None or before is None or math.isnan(before[self.monitor]):
            return True
        return self.better(row[self.monitor], before[self.monitor])

    def better(self, value: float, than: float | None, by: float = 0.0) -> bool:
        """Whether a monitored value improves on another by more than `by`; an undefined one never does."""
        if math.isnan(value):
            return False
        if than is None:
            return True
        return value > than + by if self.higher else value < than - by


def _columns(problem: Problem) -> list[str]:
    """What there is to watch."""
    if problem.judged is None:
        return [TRAIN_LOSS]
    names = score_names(problem.objective.targets, problem.judged.truth)
    return [TRAIN_LOSS, VAL_LOSS, *(f"val_{name}" for name in names)]


def _tensors(rows: Examples) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.asarray(values)) for name, values in rows.truth.items()}
