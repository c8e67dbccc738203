"""What trains and how fast: freezing, rates over depth, the optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from affectkit.errors import AffectkitError
from affectkit.training.problem import HEAD, Part, Problem
from affectkit.training.schedules import factor, momentum, warmup_steps
from affectkit.training.stages import Schedule, Stage


def trained_parts(parts: Sequence[Part], stage: Stage, frozen: frozenset[str]) -> list[Part]:
    """The parts that a stage trains, from the input to the head. frozen: names of parts that it leaves as they are.

    None where they are all frozen, or have no parameters. Raises "usage" for "last-K" of a network with fewer parts.
    """
    before_head = {HEAD: 0, "all": len(parts) - 1}.get(stage.train)
    if before_head is None:
        before_head = int(stage.train.removeprefix("last-"))
        if before_head >= len(parts):
            message = f"stage '{stage.name}' trains {stage.train}, and the network has {len(parts) - 1} parts"
            raise AffectkitError("usage", message, remedy="use all, or a smaller number")
    return [part for part in parts[-before_head - 1 :] if part[0] not in frozen and part[1]]


def freeze(network: nn.Module, trained: Sequence[Part]) -> None:
    """Let the parameters of `trained` train and no others; what they do not reach is put into eval mode: no dropout,
    no batch-norm statistics."""
    training = {id(parameter) for _, parameters in trained for parameter in parameters}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in training)
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def parts_of(problem: Problem) -> list[Part]:
    """The network's parts, once it is sure that they are all its parameters. Raises ValueError."""
    parts = problem.network.parts()
    listed = [id(parameter) for _, parameters in parts for parameter in parameters]
    there = [id(parameter) for parameter in problem.module.parameters()]  # each once
    if sorted(listed) != sorted(there) or parts[-1][0] != HEAD:
        raise ValueError("a network's parts must hold each of its parameters once, the head last")
    return parts


def optimizer_for(trained: Sequence[Part], rates: tuple[float, float], weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019), with a group of parameters for each rate and decay.

    rates: (lowest, highest), spread geometrically from the first part to the last. Biases and norms do not decay. A
    group's "peak" is the rate that a schedule scales.
    """
    low, high = rates
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for place, (_, parameters) in enumerate(trained):
        depth = place / (len(trained) - 1) if len(trained) > 1 else 1.0
        peak = low if low == high else low * (high / low) ** depth
        for parameter in parameters:
            if parameter.requires_grad:
                groups.setdefault((peak, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    devices = {parameter.device.type for parameters in groups.values() for parameter in parameters}
    grouped = [{"params": ps, "lr": peak, "peak": peak, "weight_decay": decay} for (peak, decay), ps in groups.items()]
    return torch.optim.AdamW(grouped, fused=devices <= {"cpu", "cuda"})


@dataclass(frozen=True)
class Pace:
    """How fast each step of a stage is.

    total: steps of the stage. Where epochs differ in their number of batches, as many as if all were like this one: so
    the schedule is a function of the epoch and the place in it. lowered: the factor of a plateau so far.
    """

    schedule: Schedule
    total: int
    warmup: float
    lowered: float = 1.0

    @classmethod
    def of(cls, stage: Stage, steps: int, lowered: float = 1.0) -> Pace:
        """steps: of an epoch."""
        total = stage.epochs * steps
        return cls(stage.schedule, total, warmup_steps(stage.schedule, stage.warmup, total), lowered)

    def set(self, optimizer: Any, step: int) -> float:
        """Set the rates of a step of the stage, from 0, and Adam's first momentum where the schedule moves it; returns
        the highest rate."""
        beta = momentum(self.schedule, step, self.total, self.warmup)
        return set_rates(optimizer, self.lowered * factor(self.schedule, step, self.total, self.warmup), beta)


def set_rates(optimizer: Any, scale: float, beta: float | None = None) -> float:
    """Scale every group's peak rate, and set Adam's first momentum unless None; returns the highest rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * scale
        if beta is not None:
            group["betas"] = (beta, group["betas"][1])
    return max(group["lr"] for group in optimizer.param_groups)


def optimizer_tensors(optimizer: Any, names: Mapping[int, str]) -> dict[str, torch.Tensor]:
    """The optimiser's state, by parameter. names: of parameters, by `id`."""
    return {
        f"{names[id(parameter)]}.{key}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_optimizer(optimizer: Any, stored: Mapping[str, torch.Tensor], names: Mapping[int, str]) -> None:
    """Put back what `optimizer_tensors` gave."""
    states: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in stored.items():
        parameter_name, _, key = name.rpartition(".")
        states.setdefault(parameter_name, {})[key] = tensor
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if state := states.get(names[id(parameter)]):
                # A fused optimiser counts steps beside the weights, any other on the CPU.
                devices = {"step": parameter.device if group.get("fused") else torch.device("cpu")}
                optimizer.state[parameter] = {
                    key: tensor.to(devices.get(key, parameter.device)) for key, tensor in state.items()
                }
