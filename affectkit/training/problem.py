"""What is to be learned, how, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import nn

from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.training.objective import TASK_SCALES, Objective
from affectkit.training.settings import Settings
from affectkit.training.stages import Stage

# --- What is trained on, and what is trained


HEAD = "head"  # the last part of every network

Part = tuple[str, list[nn.Parameter]]
Draw = Callable[[], np.random.Generator]


class Examples(Protocol):
    """N rows to learn from, loaded one at a time on worker threads.

    costs: [N], what each row weighs in a batch: seconds of audio, frames, or ones. truth: per target, [N] int64 class
    indices (-1: unknown), [N, K] float32 shares of votes (NaN rows: unknown) or [N] float32 numbers (NaN: unknown);
    under `ROW_WEIGHT`, if it is there, [N] float32 how much each row counts.
    """

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def costs(self) -> np.ndarray: ...
    @property
    def truth(self) -> Mapping[str, np.ndarray]: ...

    def load(self, position: int, draw: Draw | None) -> Any:
        """One row's input. draw: gives what cropping and augmentation draw from, which takes longer to make than a
        small row to load; None outside training, where nothing is drawn."""

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        """What `load` gave for some rows, as the keyword arguments of the network."""


@runtime_checkable
class InBatches(Protocol):
    """Examples that give a batch at once, of which nothing is drawn: to load 256 vectors one by one takes longer than
    a small network to train on them."""

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """What `collate` makes of what `load` gives for the rows at positions [B], to the bit."""


class Network(Protocol):
    """An `nn.Module` that answers for every target: class targets [B, K] logits, numbers [B] in standard units.

    parts: from the input to the head, which is last and called "head"; together every parameter, each once.
    """

    def __call__(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]: ...

    def parts(self) -> list[Part]: ...


class WithTaskWeights(nn.Module):
    """Any network, and the log-variance of each of its targets' tasks, which train with it (Kendall et al. 2018).

    They are told in training only: answers, and the losses that epochs are compared by, are the network's own.
    task_scales: [T] in units of ten, as Adam moves every number by its rate, and small networks have some hundred steps
    in all.
    """

    PACE = 10.0

    def __init__(self, network: nn.Module, tasks: int) -> None:
        super().__init__()
        self.network = network
        device = next((parameter.device for parameter in network.parameters()), None)
        self.task_scales = nn.Parameter(torch.zeros(tasks, device=device))

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = self.network(**inputs)
        if not self.training:
            return outputs
        rows = len(next(iter(outputs.values())))  # of each row, so that processes gather them as they do answers
        return outputs | {TASK_SCALES: self.log_variances.expand(rows, -1)}

    @property
    def log_variances(self) -> torch.Tensor:
        """[T]."""
        return self.PACE * self.task_scales

    def parts(self) -> list[Part]:
        *before, (name, parameters) = cast(Network, self.network).parts()
        return [*before, (name, [*parameters, self.task_scales])]


# What may differ between a training and its resumption: it changes no bit of the result.
FREE = ("num_workers", "checkpoint_steps", "checkpoint_seconds")


@dataclass(frozen=True)
class Judging:
    """How outputs are judged that are not an answer for each target. targets: whose figures they get. truth: as
    `Examples` have it. answers: outputs of all rows -> what `Objective.answers` would give."""

    targets: Sequence[Target]
    truth: Mapping[str, np.ndarray]
    answers: Callable[[Mapping[str, torch.Tensor]], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Problem:
    """network: an nn.Module as well; `fit` trains it in place. val: rows on which epochs are judged, None for none.
    frozen: names of parts that no stage trains. at_head: the same rows of train and val as they enter the head, for the
    stages that train nothing before it: what a frozen network makes of a row need not be computed in every epoch.
    thawed: names of stages that train what is frozen in the others. judging: of val; None where targets are answered.
    passes: how often each row stands in train, so that an epoch of the loop is as many.
    """

    network: Network
    train: Examples
    val: Examples | None
    objective: Objective
    frozen: frozenset[str] = frozenset()
    at_head: tuple[Examples, Examples | None] | None = None
    thawed: frozenset[str] = frozenset()
    judging: Judging | None = None
    passes: int = 1

    @property
    def module(self) -> nn.Module:
        """The network, as what it is besides."""
        return cast(nn.Module, self.network)

    @property
    def judged(self) -> Examples | None:
        """The rows on which epochs are judged; None where there are none."""
        return self.val if self.val is not None and len(self.val.ids) else None

    @property
    def weighed(self) -> Problem:
        """With the network that learns how much each target counts, where the objective asks for one."""
        if not self.objective.learns_weights:
            return self
        return replace(self, network=WithTaskWeights(self.module, len(self.objective.targets)))

    def frozen_in(self, stage: Stage) -> frozenset[str]:
        """Names of parts that a stage leaves as they are."""
        return frozenset() if stage.name in self.thawed else self.frozen

    def of_stage(self, stage: Stage) -> Problem:
        """With the rows as the stage takes them."""
        train, val = self.at_head if self.at_head and stage.train == HEAD else (self.train, self.val)
        return replace(self, train=train, val=val)


@dataclass(frozen=True)
class Fit:
    """history: a row per epoch. best: the row of the weights that were kept. sweeps: of the learning-rate finder, as
    lr_find.json has them. stages: as they ran, with the rates that were used. monitor: the column that decided.
    task_weights: how much each target counted in the end, 1 on average, where that was learned."""

    history: list[dict[str, Any]]
    best: dict[str, Any]
    sweeps: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    monitor: str | None
    task_weights: dict[str, float] = field(default_factory=dict)


def check_problem(problem: Problem, stages: Sequence[Stage]) -> None:
    """Raises "usage" or "input" for what shows before any work."""
    if not stages:
        raise AffectkitError("usage", "there is no stage to train", remedy="give one or more")
    if len({stage.name for stage in stages}) < len(stages):
        raise AffectkitError("usage", "two stages have one name", remedy="name each differently")
    if not len(problem.train.ids):
        raise AffectkitError("input", "there is no row to train on")
    for stage in stages:
        if stage.schedule == "plateau" and problem.judged is None:
            message = f"stage '{stage.name}': the plateau schedule needs validation rows"
            raise AffectkitError("usage", message, remedy="hold some out, or use another schedule")


def check_rates(stages: Iterable[Stage]) -> None:
    """stages: in which something trains. Raises "usage" for a share of a rate that none before it looks for."""
    rate = None
    for stage in stages:
        rate = 1.0 if stage.finds else rate
        stage.rates(rate)


def identity(problem: Problem, stages: Sequence[Stage], settings: Settings, precision: str) -> dict[str, Any]:
    """What a resumption must share with the training that it goes on with, as JSON has it; weights aside."""
    how = {name: value for name, value in asdict(settings).items() if name not in FREE}
    how |= {"precision": precision, "frozen": sorted(problem.frozen)}
    how |= {"thawed": sorted(problem.thawed)} if problem.thawed else {}
    rows = {"train rows": _digest(problem.train)}
    rows |= {"validation rows": _digest(problem.judged)} if problem.judged is not None else {}
    objective = hashlib.sha256(repr(problem.objective).encode()).hexdigest()
    return {"stages": [asdict(stage) for stage in stages], "settings": how, **rows, "objective": objective}


def _digest(examples: Examples) -> str:
    """Of the ids, costs and truth of rows."""
    digest = hashlib.sha256("\n".join(examples.ids).encode())
    digest.update(np.asarray(examples.costs, float).tobytes())
    for name in sorted(examples.truth):
        digest.update(name.encode() + np.ascontiguousarray(examples.truth[name]).tobytes())
    return digest.hexdigest()
