"""Answers for rows that are not trained on, and what they are worth while training goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from affectkit.evaluation.metrics import METRICS, accuracy, ccc, macro_f1, mae, uar
from affectkit.labels import Target
from affectkit.training.batches import sorted_batches
from affectkit.training.examples import Examples
from affectkit.training.loading import Loaded, load_batches

logger = logging.getLogger(__name__)

CLASS_METRICS = {"uar": uar, "macro_f1": macro_f1, "accuracy": accuracy}
NUMBER_METRICS = {"ccc": ccc, "mae": mae}


def outputs_of(
    network: Any,
    examples: Examples,
    accelerator: Any,
    *,
    size: int,
    most_cost: float | None = None,
    num_workers: int = 0,
) -> dict[str, torch.Tensor]:
    """What the network says of every row, in their order, on the CPU in float32; every process has it all.

    The network is in eval mode meanwhile. size, most_cost: of a batch, over all processes; batches change no answer.
    """
    batches = sorted_batches(np.asarray(examples.costs), size, most_cost=most_cost)
    rank, world = accelerator.process_index, accelerator.num_processes
    loading = load_batches(
        examples, batches, device=accelerator.device, rank=rank, world=world, num_workers=num_workers
    )
    modes = {module: module.training for module in network.modules()}
    network.eval()
    found: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for loaded in loading:
            with accelerator.autocast():
                own = network(**loaded.inputs)
            for name, whole in gathered(own, loaded, accelerator).items():
                rows = found.setdefault(name, torch.zeros(len(examples.ids), *whole.shape[1:]))
                rows[loaded.rows] = whole.float().cpu()
    for module, training in modes.items():
        module.training = training
    return found


def gathered(own: Mapping[str, torch.Tensor], loaded: Loaded, accelerator: Any) -> dict[str, torch.Tensor]:
    """The outputs of the whole batch on every process, this process's own with their graph.

    A loss over the whole batch then needs no thought about processes, be it weighted by class or a correlation.
    """
    rank, sizes = accelerator.process_index, loaded.sizes
    if len(sizes) == 1:
        return dict(own)
    found = {}
    for name, mine in own.items():
        room = mine.new_zeros(max(sizes), *mine.shape[1:])
        room[: sizes[rank]] = mine.detach()[: sizes[rank]]
        pieces = list(accelerator.gather(room).split(max(sizes)))
        kept = [piece[:size] for piece, size in zip(pieces, sizes, strict=True)]
        kept[rank] = mine[: sizes[rank]]
        found[name] = torch.cat(kept) + 0 * mine.sum()  # a process without a share still takes part in the backward
    return found


def scores(
    targets: Sequence[Target], answers: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Metrics by the names that reports use: `uar`, `t.uar` of a class target other than `label`, `t.ccc` of a number,
    and `ccc`, the mean over the numbers. A target without a known row has none.

    answers: what `Objective.answers` gives. truth: as `Examples` have it; of votes the most frequent class counts.
    """
    found: dict[str, float] = {}
    numbers = [target.name for target in targets if target.kind == "number"]
    for target in targets:
        answer, true = answers[target.name], np.asarray(truth[target.name])
        if target.kind == "number":
            known = ~np.isnan(true)
            metrics: Mapping[str, Any] = NUMBER_METRICS
        else:
            known = ~np.isnan(true).any(axis=1) if true.ndim == 2 else true >= 0
            true = np.nan_to_num(true).argmax(axis=1) if true.ndim == 2 else true
            answer, metrics = answer.argmax(axis=1), CLASS_METRICS
        prefix = "" if target.name == "label" else f"{target.name}."
        for name, metric in metrics.items():
            if known.any():
                found[prefix + name] = float(metric(true[known], answer[known], **_classes(target)))
    for name in NUMBER_METRICS if numbers else ():
        values = [found[f"{number}.{name}"] for number in numbers if f"{number}.{name}" in found]
        if values:
            found[name] = float(np.mean(values))
    return found


def _classes(target: Target) -> dict[str, Any]:
    return {"classes": range(len(target.classes))} if target.kind != "number" else {}


def default_monitor(targets: Sequence[Target]) -> str:
    """The column of the history that decides, where none is named: the UAR of classes, the mean CCC of numbers, the
    loss where there are both."""
    kinds = {"number" if target.kind == "number" else "class" for target in targets}
    if len(kinds) > 1 or (len(targets) > 1 and kinds == {"class"}):
        return "val_loss"
    if kinds == {"number"}:
        return "val_ccc"
    return "val_uar" if targets[0].name == "label" else f"val_{targets[0].name}.uar"


def higher_is_better(monitor: str) -> bool:
    """Whether a column of the history is better when it rises."""
    metric = METRICS.get(monitor.removeprefix("val_").rpartition(".")[2])
    return metric.higher_is_better if metric else False
