"""What is fine-tuned, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from affectkit.finetuning._medium import Medium
from affectkit.finetuning._passes import ONCE, Passes
from affectkit.training.examples import HEAD
from affectkit.training.problem import Settings
from affectkit.training.stages import Stage


@dataclass(frozen=True)
class Setup:
    """What is fine-tuned, and how.

    loss, class_weight, label_smoothing, focal_gamma: of the objective. stopping_fraction: share of the rows fitted on,
    whole groups, that is set apart to choose epochs by; None: the val rows, or with cross-prediction .15.
    passes: of the network over each row that it is to answer; predictions are made so later, too.
    """

    medium: Medium
    stages: Sequence[Stage]
    settings: Settings
    loss: str = "auto"
    class_weight: str = "balanced"
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    stopping_fraction: float | None = None
    passes: Passes = ONCE

    @property
    def answering(self) -> dict[str, Any]:
        """How rows are batched and loaded that are only to be answered, as `outputs_of` has it."""
        of = self.settings
        return {"size": of.batch_size, "most_cost": of.batch_seconds, "num_workers": of.num_workers}

    @property
    def head_only(self) -> bool:
        """Whether no stage trains anything but the head."""
        return all(stage.train == HEAD for stage in self.stages)

    @property
    def encodes_once(self) -> bool:
        """Whether some stage trains the head alone, of a network that makes the same of a row in every epoch."""
        return self.medium.encodes_once and any(stage.train == HEAD for stage in self.stages)
