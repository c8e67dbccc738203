"""Learning-rate schedules: factors of a stage's rate, stepped once per optimiser step.

one-cycle is fastai's (Smith 2018, with cosine pieces); linear, cosine and constant are transformers' schedules with
warm-up; plateau is constant with warm-up, times the factor of a `Plateau` that looks at each epoch's metric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from affectkit.training.stages import Schedule

CYCLE = (1 / 25, 1.0, 1e-5)  # of the rate, at the start, at the end of the warm-up, and at the end
MOMENTUM = (0.95, 0.85, 0.95)
CYCLE_WARMUP = 0.25


def warmup_steps(schedule: Schedule, warmup: float, total: int) -> float:
    """Steps in which the rate rises, of a share `warmup` of `total` optimiser steps.

    A whole number, rounded up as transformers does; not whole for one-cycle, which fastai cuts between steps and which
    rises for a quarter unless told otherwise.
    """
    if schedule == "one-cycle":
        return (warmup or CYCLE_WARMUP) * total
    return math.ceil(warmup * total)


def factor(schedule: Schedule, step: int, total: int, warmup: float) -> float:
    """What a stage's learning rate is multiplied by at optimiser step `step`, from 0, of `total`.

    warmup: of `warmup_steps`. The first step of a linear warm-up has the rate 0. For plateau, a `Plateau` multiplies
    this once more.
    """
    if schedule == "one-cycle":
        return _cycle(CYCLE, step, total, warmup)
    if step < warmup:
        return step / max(1, warmup)
    done = (step - warmup) / max(1, total - warmup)
    if schedule == "linear":
        return max(0.0, 1 - done)
    if schedule == "cosine":
        return max(0.0, (1 + math.cos(math.pi * done)) / 2)
    return 1.0


def momentum(schedule: Schedule, step: int, total: int, warmup: float) -> float | None:
    """Adam's beta1 at a step: one-cycle lowers it as the rate rises; None leaves it as it is."""
    return _cycle(MOMENTUM, step, total, warmup) if schedule == "one-cycle" else None


def _cycle(points: tuple[float, float, float], step: int, total: int, warmup: float) -> float:
    first, middle, last = points
    if step < warmup:
        return _cosine(first, middle, step / warmup)
    return _cosine(middle, last, (step - warmup) / (total - warmup))


def _cosine(start: float, end: float, done: float) -> float:
    return start + (end - start) * (1 - math.cos(math.pi * done)) / 2


@dataclass
class Plateau:
    """Lowers the rate to a tenth after `patience` epochs in a row without a metric better by more than `min_delta`.

    factor: of the rate, so far. best: the best metric yet, None before the first. waited: epochs since.
    """

    patience: int = 2
    min_delta: float = 0.0
    factor: float = 1.0
    best: float | None = None
    waited: int = 0

    def step(self, value: float, higher_is_better: bool) -> float:
        """Take in the metric of an epoch; a NaN is no better than anything. Returns the factor from here on."""
        gain = math.inf if self.best is None else (value - self.best) * (1 if higher_is_better else -1)
        if gain > self.min_delta and not math.isnan(value):
            self.best, self.waited = value, 0
        elif self.waited + 1 >= self.patience:
            self.factor, self.waited = self.factor / 10, 0
        else:
            self.waited += 1
        return self.factor
