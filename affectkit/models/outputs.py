"""Which outputs of a linear layer are whose, and what they say of the targets.

K classes have K outputs, their logits; a number has one. More than two ordered levels are a cumulative link
(proportional odds, `cumulative_link.py`), which also has K outputs: the score, the first threshold, and the K - 2 steps
to the further ones. Of these, all but the score are constants: their weights are 0, and stay so in training. The layer
is thus an ordinary one, which transformers loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from affectkit.labels import Target
from affectkit.models.cumulative_link import _started, log_shares, thresholds_of


def columns_of(targets: Sequence[Target]) -> list[tuple[Target, slice]]:
    """Which outputs of the linear layer are whose: K for classes, one for a number."""
    columns, start = [], 0
    for target in targets:
        stop = start + (1 if target.kind == "number" else len(target.classes))
        columns.append((target, slice(start, stop)))
        start = stop
    return columns


def columns_of_one(target: Target, targets: Sequence[Target]) -> slice:
    """The outputs of the target of this name."""
    return {known.name: place for known, place in columns_of(targets)}[target.name]


def by_target(outputs: torch.Tensor, targets: Sequence[Target], dim: int) -> dict[str, torch.Tensor]:
    """[B, outputs] of a linear layer over `dim` features as what is said of each target, as `said` has it."""
    return {target.name: said(outputs[:, place], target, dim) for target, place in columns_of(targets)}


def said(outputs: torch.Tensor, target: Target, dim: int) -> torch.Tensor:
    """A target's own outputs [B, K] or [B, 1] as logits of classes [B, K], of ordered levels their log-probabilities,
    or as a number [B]; float32."""
    if target.kind == "number":
        return outputs[:, 0].float()
    return log_levels(outputs.float(), dim) if is_linked(target) else outputs.float()


@torch.no_grad()
def fold_numbers(output: Any, targets: Sequence[Target], scaling: Mapping[str, tuple[float, float]]) -> None:
    """Let a linear layer give numbers in their units: mean + deviation * output, of each one's (mean, deviation)."""
    for target, columns in columns_of(targets):
        if target.kind == "number":
            mean, deviation = scaling[target.name]
            output.weight[columns] *= deviation
            output.bias[columns] = output.bias[columns] * deviation + mean


# --- Ordered levels


def is_linked(target: Target) -> bool:
    """Whether its outputs are a cumulative link. Of two levels the logits of classes are one already."""
    return target.kind == "ordinal" and len(target.classes) > 2


def unlinked(targets: Sequence[Target]) -> list[Target]:
    """The same with levels as classes without an order, as networks answered before there were links."""
    return [replace(target, kind="class") if is_linked(target) else target for target in targets]


def log_levels(outputs: torch.Tensor, dim: int) -> torch.Tensor:
    """[B, K] log P of each level: of outputs s, a, d_1, d_2, ..., P(y <= k) = sigmoid(t_k - s), in which t_1 = r a and
    t_k+1 = t_k + softplus(r d_k) + 1e-4, with r the root of `dim`.

    Adam moves every number by its rate, and a score has `dim` of them: without r thresholds lag behind it.
    """
    return log_shares(outputs[:, :1], *thresholds_of(dim**0.5 * outputs[:, 1:2], dim**0.5 * outputs[:, 2:]))


@torch.no_grad()
def link(output: Any, columns: slice, shares: Sequence[float] | None = None) -> None:
    """Make outputs of a linear layer a link, which answers these shares [K] of its levels where the score is 0.

    The weights of its constants, and the constant of its score, which they hold already, are 0 and are not trained.
    """
    start, stop = columns.start, columns.stop
    first, steps = _started(stop - start, shares)
    output.weight[start + 1 : stop] = 0
    output.bias[columns] = (torch.cat([torch.zeros(1), first, steps]) / output.in_features**0.5).to(output.bias)
    if shares is None:  # once; afterwards the thresholds are only set anew
        output.weight.register_hook(lambda slope: _without(slope, slice(start + 1, stop)))
        output.bias.register_hook(lambda slope: _without(slope, slice(start, start + 1)))


def link_all(network: Any) -> None:
    """Make links of the outputs of all targets with more than two levels."""
    for target in filter(is_linked, network.targets):
        output, columns = network.output_of(target)
        link(output, columns)


def start_levels(network: Any, shares: Mapping[str, Sequence[float]]) -> None:
    """Let links begin with shares of their levels, by target."""
    for target in (target for target in network.targets if target.name in shares and is_linked(target)):
        output, columns = network.output_of(target)
        link(output, columns, shares[target.name])


def _without(slope: torch.Tensor, rows: slice) -> torch.Tensor:
    kept = slope.clone()
    kept[rows] = 0
    return kept


# --- What a configuration says of them


def labels_of(targets: Sequence[Target]) -> list[str]:
    """A name for each output: the classes of a single target; else `valence` for a number and `label=angry`; of levels
    `severity` for the score, and `severity>none` for what lies between this level and the next."""
    if len(targets) == 1 and targets[0].kind != "number" and not is_linked(targets[0]):
        return list(targets[0].classes)
    return [label for target in targets for label in _labels(target)]


def _labels(target: Target) -> list[str]:
    if target.kind == "number":
        return [target.name]
    if is_linked(target):
        return [target.name, *(f"{target.name}>{level}" for level in target.classes[:-1])]
    return [f"{target.name}={level}" for level in target.classes]


def as_saved(labels: Sequence[Any], targets: Sequence[Target]) -> list[Target]:
    """The targets as a network reads them whose outputs were saved under these labels; none if they are not its."""
    return next((each for each in (list(targets), unlinked(targets)) if list(labels) == labels_of(each)), [])


def describe_outputs(config: Any, targets: Sequence[Target]) -> None:
    """Write the outputs' names into a config, and how transformers' pipeline is to read them.

    Several targets are called a regression there, whatever they are, and so are ordered levels: that gives their
    outputs as they are, where a softmax over all of them would mean nothing.
    """
    labels = labels_of(targets)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: place for place, label in enumerate(labels)}
    single = len(targets) == 1 and targets[0].kind != "number" and not is_linked(targets[0])
    config.problem_type = "single_label_classification" if single else "regression"
