"""Where training stands: all that a checkpoint holds besides tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class State:
    """stage, epoch: the stage under way and the epochs finished in it. batch: batches done of the epoch under way.
    step: optimiser steps so far. history: a row per epoch. speeds: how fast each was, which no rerun repeats.
    sweeps: of the rate finder, a dictionary per stage that asked for it. found: the rate found last. best: the file of
    the best weights. best_row: its place in the history. stage_best: the best monitored value of the stage.
    waited: epochs since it improved. plateau: of the schedule. loss_sum, rows: of the epoch under way.
    """

    stage: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[dict[str, Any]] = field(default_factory=list)
    sweeps: list[dict[str, Any]] = field(default_factory=list)
    found: float | None = None
    best: str | None = None
    best_row: int | None = None
    stage_best: float | None = None
    waited: int = 0
    plateau: dict[str, Any] = field(default_factory=dict)
    loss_sum: float = 0.0
    rows: int = 0
    seconds: float = 0.0
    waiting: float = 0.0

    @property
    def inside(self) -> bool:
        """Whether a stage is under way, so that its optimiser has a past."""
        return self.epoch > 0 or self.batch > 0

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any]) -> State:
        return cls(**{key: stored[key] for key in (f.name for f in fields(cls)) if key in stored})

    def end_batch(self, loss: float, rows: int) -> None:
        self.batch += 1
        self.loss_sum += loss * rows
        self.rows += rows

    def end_epoch(self) -> None:
        self.epoch, self.batch = self.epoch + 1, 0
        self.loss_sum, self.rows, self.seconds, self.waiting = 0.0, 0, 0.0, 0.0

    def end_stage(self) -> None:
        self.stage, self.epoch, self.batch = self.stage + 1, 0, 0
        self.stage_best, self.waited, self.plateau = None, 0, {}


def better(value: float | None, than: float | None, *, higher: bool, by: float = 0.0) -> bool:
    """Whether a monitored value improves on another by more than `by`; an undefined one never does."""
    if value is None or math.isnan(value):
        return False
    if than is None or math.isnan(than):
        return True
    return value > than + by if higher else value < than - by
