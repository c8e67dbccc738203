"""What trains and how fast: freezing, rates over depth, the optimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from affectkit.errors import AffectkitError
from affectkit.training.examples import HEAD, Network, Part
from affectkit.training.stages import Stage


def trained_parts(parts: Sequence[Part], stage: Stage, frozen: frozenset[str]) -> list[Part]:
    """The parts that a stage trains, from the input to the head. frozen: names of parts that never train.

    Raises "usage" for "last-K" of a network with fewer parts.
    """
    if stage.train == HEAD:
        chosen = list(parts[-1:])
    elif stage.train == "all":
        chosen = list(parts)
    else:
        count = int(stage.train.removeprefix("last-"))
        if count >= len(parts):
            message = f"stage '{stage.name}' trains {stage.train}, and the network has {len(parts) - 1} parts"
            raise AffectkitError("usage", message, remedy="use all, or a smaller number")
        chosen = list(parts[-count - 1 :])
    return [part for part in chosen if part[0] not in frozen and part[1]]


def freeze(network: Any, trained: Sequence[Part]) -> None:
    """Let the parameters of `trained` train and no others; what they do not reach is put into eval mode."""
    training = {id(parameter) for _, parameters in trained for parameter in parameters}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in training)
    network.train()
    _rest(network)


def _rest(module: nn.Module) -> None:
    """Put modules all of whose parameters are frozen into eval mode: no dropout, no batch-norm statistics."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        _rest(child)


def check_parts(network: Network) -> list[Part]:
    """The network's parts, once it is sure that they are all its parameters. Raises ValueError."""
    parts = network.parts()
    told = [id(parameter) for _, parameters in parts for parameter in parameters]
    there = {id(parameter) for parameter in network.parameters()}  # type: ignore[attr-defined]
    if len(told) != len(set(told)) or set(told) != there or parts[-1][0] != HEAD:
        raise ValueError("a network's parts must hold each of its parameters once, the head last")
    return parts


def optimizer_for(trained: Sequence[Part], rates: tuple[float, float], weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) with a group for each part and kind of weight.

    rates: (lowest, highest), spread geometrically from the first part to the last. Biases and norms do not decay. A
    group's "peak" is the rate that a schedule scales.
    """
    low, high = rates
    groups = []
    for place, (name, parameters) in enumerate(trained):
        depth = place / (len(trained) - 1) if len(trained) > 1 else 1.0
        peak = low if low == high else math.exp(math.log(low) + depth * math.log(high / low))
        for decays in (True, False):
            own = [p for p in parameters if p.requires_grad and (p.ndim > 1) is decays]
            if own:
                decay = weight_decay if decays else 0.0
                groups.append({"params": own, "lr": peak, "peak": peak, "part": name, "weight_decay": decay})
    kinds = {parameter.device.type for group in groups for parameter in group["params"]}
    return torch.optim.AdamW(groups, lr=high, fused=kinds <= {"cpu", "cuda"})


def set_rates(optimizer: Any, factor: float, momentum: float | None) -> float:
    """Scale every group's rate, and set Adam's first momentum where the schedule moves it; returns the highest rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
        if momentum is not None:
            group["betas"] = (momentum, group["betas"][1])
    return max(group["lr"] for group in optimizer.param_groups)


def optimizer_tensors(optimizer: Any, names: dict[int, str]) -> dict[str, torch.Tensor]:
    """The optimiser's state, by parameter. names: of parameters, by `id`."""
    found = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            found[f"{names[id(parameter)]}.{key}"] = torch.as_tensor(value)
    return found


def load_optimizer(optimizer: Any, stored: dict[str, torch.Tensor], names: dict[int, str]) -> None:
    """Put back what `optimizer_tensors` gave."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            prefix = names[id(parameter)] + "."
            own = {key.removeprefix(prefix): tensor for key, tensor in stored.items() if _key_of(key) == prefix}
            if own:
                place = {key: t if key == "step" else t.to(parameter.device) for key, t in own.items()}
                optimizer.state[parameter] = place


def _key_of(key: str) -> str:
    return key.rpartition(".")[0] + "."
