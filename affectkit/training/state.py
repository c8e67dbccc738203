"""Where training stands: all that a checkpoint holds besides tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class State:
    """stage, epoch: the stage under way and the epochs finished in it. batch: batches done of the epoch under way.
    step: optimiser steps so far. saves: checkpoints so far.

    history: a row per epoch. sweeps: of the rate finder, a dictionary per stage that asked for it. found: the rate
    found last.

    best, best_digest: the file of the best weights, and its SHA-256 (known to the process that writes). best_row: its
    place in the history. stage_best: the best monitored value of the stage. waited: epochs since it improved. plateau:
    of the schedule.

    loss_sum, rows, rate, seconds, waiting: of the epoch under way: losses times rows, rows, the highest learning rate,
    time spent, and how much of it waiting for the loader.
    """

    stage: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    saves: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    sweeps: list[dict[str, Any]] = field(default_factory=list)
    found: float | None = None
    best: str | None = None
    best_digest: str | None = None
    best_row: int | None = None
    stage_best: float | None = None
    waited: int = 0
    plateau: dict[str, Any] = field(default_factory=dict)
    loss_sum: float = 0.0
    rows: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    waiting: float = 0.0

    @property
    def train_loss(self) -> float:
        """Of the epoch under way."""
        return self.loss_sum / max(self.rows, 1)

    @property
    def sums(self) -> tuple[float, int, float, float]:
        """Of the epoch under way, for `since`."""
        return self.loss_sum, self.rows, self.seconds, self.waiting

    def since(self, before: tuple[float, int, float, float]) -> dict[str, Any]:
        """What came to the sums since they were `before`: the mean loss, rows, seconds, and those of waiting."""
        rows = self.rows - before[1]
        loss = (self.loss_sum - before[0]) / max(rows, 1)
        return {"loss": loss, "rows": rows, "seconds": self.seconds - before[2], "waited": self.waiting - before[3]}

    @property
    def best_epoch(self) -> dict[str, Any]:
        """The history's row of the best weights."""
        assert self.best_row is not None
        return self.history[self.best_row]

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any]) -> State:
        state = cls(**{f.name: stored[f.name] for f in fields(cls) if f.name in stored})
        # JSON has no NaN; nothing else in a row of the history is undefined.
        state.history = [{k: math.nan if v is None else v for k, v in row.items()} for row in state.history]
        return state

    def sweep_of(self, stage: str) -> dict[str, Any] | None:
        return next((sweep for sweep in self.sweeps if sweep["stage"] == stage), None)

    def end_batch(self, loss: float, rows: int, waited: float) -> None:
        self.batch += 1
        self.loss_sum += loss * rows
        self.rows += rows
        self.waiting += waited

    def end_step(self, rate: float) -> None:
        self.step += 1
        self.rate = max(self.rate, rate)

    def end_epoch(self) -> None:
        self.epoch, self.batch = self.epoch + 1, 0
        self.loss_sum, self.rows, self.rate, self.seconds, self.waiting = 0.0, 0, 0.0, 0.0, 0.0

    def end_stage(self) -> None:
        self.stage, self.epoch, self.batch = self.stage + 1, 0, 0
        self.stage_best, self.waited, self.plateau = None, 0, {}

    def speed(self) -> dict[str, float]:
        """Of the epoch under way: seconds, rows per second, and the share of the time spent waiting for the loader."""
        seconds = max(self.seconds, 1e-9)
        return {"seconds": self.seconds, "rows_per_second": self.rows / seconds, "loader_wait": self.waiting / seconds}
