"""What a network is trained towards: one loss per target, and what its outputs answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from affectkit.errors import AffectkitError
from affectkit.labels import Target, class_weights
from affectkit.training.losses import ccc_loss, ccc_mse, cross_entropy, focal, known, mse, soft_cross_entropy
from affectkit.training.settings import UNCERTAINTY, LossOptions, parse_task_weights

Form = Literal["classes", "votes", "numbers"]

AUTO = "auto"
# The names of `--loss` and the form of truth that each is for; the first of a form is its "auto".
LOSSES: dict[str, Form] = {
    "cross-entropy": "classes",
    "focal": "classes",
    "soft": "votes",
    "ccc-mse": "numbers",
    "ccc": "numbers",
    "mse": "numbers",
}
SMOOTHED = ("cross-entropy", "soft")
ROW_WEIGHT = ""  # beside the truth of targets, which have names: [N] how much each train row counts, mean 1
# Beside the outputs of a network in training, [B, T]: the log-variance of each target's task, all rows alike.
TASK_SCALES = ""
CCC_BATCH = 32  # the mean CCC of smaller batches is far off that of all rows: .53 for .69 in batches of 4


@dataclass(frozen=True)
class Objective:
    """The loss of a batch, and the answers of a network, over all targets.

    losses: per target, a name of `LOSSES`. scaling: per number target (mean, deviation) of the known train rows:
    networks answer in units of deviation about the mean. weights: per class target, [K] class weights. task_weights:
    how much each target counts, 1 on average; none: all alike, or as is learned, where `learns_weights`.
    """

    targets: tuple[Target, ...]
    losses: dict[str, str]
    scaling: dict[str, tuple[float, float]]
    weights: dict[str, tuple[float, ...]]
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    mse_weight: float = 1.0
    task_weights: dict[str, float] = field(default_factory=dict)
    learns_weights: bool = False

    def __call__(self, outputs: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> Tensor:
        """The mean of the targets' losses, a scalar; targets that no row of the batch knows are left out of it.

        outputs, truth: per target, as a network gives them and as `Examples` does. Without any known truth it is 0.
        Where the outputs tell log-variances s (`TASK_SCALES`), a class target counts exp(-s) L + s / 2, a number
        exp(-s) L / 2 + s / 2 (Kendall et al. 2018, eq. 7 and 10; of a CCC the squared error's factor is taken).
        """
        scale = truth.get(ROW_WEIGHT)
        each = [self._loss(target.name, outputs[target.name], truth[target.name], scale) for target in self.targets]
        present = [known(truth[target.name]).any() for target in self.targets]
        if self.task_weights:
            each = [loss * self.task_weights[target.name] for loss, target in zip(each, self.targets, strict=True)]
        if TASK_SCALES in outputs:
            scales = outputs[TASK_SCALES].mean(dim=0)
            priced = torch.stack(each) * self.factors(scales) + scales / 2
            each = list(priced * torch.stack(present))  # the scale of a target that no row knows stays where it is
        return torch.stack(each).sum() / torch.stack(present).sum().clamp_min(1)

    def factors(self, scales: Tensor) -> Tensor:
        """[T] what each target's loss is multiplied by under log-variances [T]."""
        halves = [0.5 if target.kind == "number" else 1.0 for target in self.targets]
        return torch.exp(-scales) * torch.tensor(halves, device=scales.device)

    def answers(self, outputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """[N, K] probabilities and [N] numbers in their targets' units, within their scales; float64."""
        return {target.name: self._answer(target, outputs[target.name]) for target in self.targets}

    @property
    def bounded(self) -> bool:
        """Whether the loss has a ceiling: 1 - CCC has one, and a squared error, a log p or a learned weight takes it
        away."""
        return set(self.losses.values()) == {"ccc"} and not self.learns_weights

    @property
    def least_batch(self) -> int:
        """The smallest batch that the loss means something on."""
        return CCC_BATCH if {"ccc", "ccc-mse"} & set(self.losses.values()) else 1

    def _loss(self, name: str, outputs: Tensor, truth: Tensor, scale: Tensor | None) -> Tensor:
        loss = self.losses[name]
        if LOSSES[loss] == "numbers":
            mean, deviation = self.scaling[name]
            standard = (truth - mean) / deviation
            if loss == "ccc-mse":
                return ccc_mse(outputs, standard, self.mse_weight, scale)
            return (mse if loss == "mse" else ccc_loss)(outputs, standard, scale)
        weights = _on(self.weights[name], outputs.device) if name in self.weights else None
        if loss == "focal":
            return focal(outputs, truth, weights, self.focal_gamma, scale)
        entropy = soft_cross_entropy if loss == "soft" else cross_entropy
        return entropy(outputs, truth, weights, self.label_smoothing, scale)

    def _answer(self, target: Target, outputs: Tensor) -> np.ndarray:
        wide = outputs.detach().cpu().double()
        if target.kind != "number":
            return wide.softmax(dim=1).numpy()
        mean, deviation = self.scaling[target.name]
        return np.clip(mean + deviation * wide.numpy(), *(target.scale or (-np.inf, np.inf)))


def known_rows(truth: np.ndarray) -> np.ndarray:
    """[N] bool: rows whose truth is known, of [N] classes, [N] numbers or [N, K] votes."""
    if truth.ndim == 2:
        return ~np.isnan(truth).any(axis=1)
    return truth >= 0 if truth.dtype.kind == "i" else ~np.isnan(truth)


def build_objective(targets: Sequence[Target], truth: Mapping[str, np.ndarray], **options: Any) -> Objective:
    """The objective of `targets`, with scales and class weights from the train rows.

    truth: per target, the train rows' as `Examples` has it. options: fields of `LossOptions`. A loss is for the targets
    that it fits; the others keep auto: cross-entropy for classes, soft for votes, ccc-mse for numbers. A balanced class
    weight is n / (k * count) over the k classes that the train rows have.
    Raises "usage" for options that make no sense, "input" for a target that cannot be learnt.
    """
    asked = LossOptions(**options)
    forms: dict[str, Form] = {target.name: "votes" if truth[target.name].ndim == 2 else "classes" for target in targets}
    forms |= {target.name: "numbers" for target in targets if target.kind == "number"}
    chosen = _choose(asked.loss, forms)
    if asked.label_smoothing and not set(SMOOTHED) & set(chosen.values()):
        message = f"--label-smoothing does nothing to {', '.join(sorted(set(chosen.values())))}"
        raise AffectkitError("usage", message, remedy=f"use it with --loss {' or '.join(SMOOTHED)}")
    counts = {target.name: counts_of(target, truth[target.name]) for target in targets if target.kind != "number"}
    scaling = {target.name: _scaling(target.name, truth[target.name]) for target in targets if target.kind == "number"}
    balanced = asked.class_weight == "balanced"
    weights = {name: tuple(class_weights(count).tolist()) for name, count in counts.items()} if balanced else {}
    shares = parse_task_weights(asked.task_weights, [target.name for target in targets])
    learned, how = asked.task_weights == UNCERTAINTY, (asked.label_smoothing, asked.focal_gamma, asked.mse_weight)
    return Objective(tuple(targets), chosen, scaling, weights, *how, shares, learned)


def _choose(loss: str, forms: Mapping[str, Form]) -> dict[str, str]:
    """The loss of each target. Raises "usage" for one that fits no target."""
    if loss != AUTO and LOSSES[loss] not in forms.values():
        held = ", ".join(f"{name} ({form})" for name, form in forms.items())
        message = f"--loss {loss} is for {LOSSES[loss]} and fits no target of {held}"
        fits = ", ".join(name for name, form in LOSSES.items() if form in forms.values())
        raise AffectkitError("usage", message, remedy=f"use {fits}")
    default = {form: name for name, form in reversed(LOSSES.items())}
    return {name: loss if loss != AUTO and LOSSES[loss] == form else default[form] for name, form in forms.items()}


def counts_of(target: Target, truth: np.ndarray) -> np.ndarray:
    """[K] rows of each class, of votes the expected ones. Raises "input" unless two classes have some."""
    rows = truth[known_rows(truth)]
    if truth.ndim == 2:
        counts = rows.astype(np.float64).sum(axis=0)
    else:
        counts = np.bincount(rows, minlength=len(target.classes)).astype(np.float64)
    present = np.flatnonzero(counts)
    if not len(present):
        raise _unknown(target.name)
    if len(present) == 1:
        what = f"every train row's {target.name} is '{target.classes[present[0]]}': there is nothing to tell apart"
        raise AffectkitError("input", what, remedy="train on rows of two classes or more")
    return counts


def _scaling(name: str, truth: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (ddof 0) of the known rows. Raises "input" unless they differ."""
    values = truth[known_rows(truth)].astype(np.float64)
    if not len(values):
        raise _unknown(name)
    if not np.isfinite(values).all():
        raise AffectkitError("input", f"a train row's {name} is infinite", remedy="correct it, or leave it empty")
    if values.min() == values.max():
        what = f"every train row's {name} is {values[0]:g}: there is nothing to learn"
        raise AffectkitError("input", what, remedy="train on rows whose values differ, or leave the target out")
    return float(values.mean()), float(values.std())


def _unknown(name: str) -> AffectkitError:
    return AffectkitError("input", f"no train row has a {name}", remedy="label some rows, or leave the target out")


@lru_cache(maxsize=256)
def _on(weights: tuple[float, ...], device: torch.device) -> Tensor:
    """Weights on a device, copied there once. A tensor made in inference mode could not be trained with later on."""
    with torch.inference_mode(False):
        return torch.tensor(weights, device=device)
