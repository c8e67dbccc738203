"""Several passes of an image network over a row: views of the image, and dropout in front of its heads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from affectkit.artifacts.outputs import Output
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.media.augment_images import PASSES, check_passes
from affectkit.models.image_network import ImageNetwork
from affectkit.training.objective import Objective

MOST_DRAWS = 1000


@dataclass(frozen=True)
class Passes:
    """tta: views of an image, the first of which is the image itself. mc_dropout: for each view so many draws of the
    dropout before the heads (Gal and Ghahramani 2016); 0: none, the network as it is.

    With more than one pass in all, an answer is their mean, and a number has their variance (ddof 1).
    """

    tta: int = 1
    mc_dropout: int = 0

    def __post_init__(self) -> None:
        check_passes(self.tta)
        if not 0 <= self.mc_dropout <= MOST_DRAWS:
            raise AffectkitError("usage", f"--mc-dropout {self.mc_dropout}", remedy=f"use 0 to {MOST_DRAWS} draws")

    @classmethod
    def of(cls, spec: Mapping[str, Any], tta: int | None = None, mc_dropout: int | None = None) -> Passes:
        """As a record has them, unless told otherwise."""
        return cls(
            int(spec.get("tta", 1)) if tta is None else tta,
            int(spec.get("mc_dropout", 0)) if mc_dropout is None else mc_dropout,
        )

    def plain(self) -> dict[str, int]:
        """For a record; nothing for a single pass."""
        return {} if self == ONCE else asdict(self)

    @property
    def count(self) -> int:
        return self.tta * max(1, self.mc_dropout)

    @property
    def views(self) -> tuple[tuple[float, bool], ...]:
        """(factor on the side, mirrored) of each view."""
        return PASSES[: self.tta]

    def answers(self, objective: Objective, outputs: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
        """[N, count, K] probabilities and [N, count] numbers in their units, not held to their scales.

        objective: with the scaling of the network. outputs: its own, [N, ...], or of `InPasses` [N, count, ...].
        """
        free = replace(objective, targets=tuple(replace(target, scale=None) for target in objective.targets))
        rows = dict(outputs) if self == ONCE else {name: values.flatten(0, 1) for name, values in outputs.items()}
        return {name: values.reshape(-1, self.count, *values.shape[1:]) for name, values in free.answers(rows).items()}


ONCE = Passes()


class InPasses(nn.Module):
    """A network that answers each row once for every pass: {target: [B, passes, ...]}.

    Dropout is drawn from the row's own seed, so that an answer does not depend on what else is in the batch. Only what
    comes before the heads is dropped: the backbone is run once for each view, however many draws there are. Raises
    "usage" for draws of a dropout that the network does not have: all would be the same.
    """

    def __init__(self, network: ImageNetwork, passes: Passes) -> None:
        super().__init__()
        self.network, self.passes = network, passes
        if passes.mc_dropout and not network.dropout.p:
            message = f"--mc-dropout {passes.mc_dropout} draws from a dropout, and this network has none"
            raise AffectkitError("usage", message, remedy="fine-tune with --dropout .1, or use --tta 5")

    def forward(self, pixels: torch.Tensor, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        """pixels: [B, views, 3, height, width]. seeds: [B] int64."""
        encoded = self.network.encode(pixels.flatten(0, 1)).reshape(*pixels.shape[:2], -1)
        # By the row: 1000 draws of ten views and 2048 features are 82 MB, and of 32 rows 2.6 GB.
        each = [self._of_row(own, seed) for own, seed in zip(encoded, seeds.tolist(), strict=True)]
        return {name: torch.stack([row[name] for row in each]) for name in each[0]}

    def _of_row(self, encoded: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
        """encoded: [views, D]."""
        draws = self.passes.mc_dropout
        return self.network(features=_dropped(encoded, seed, draws, self.network.dropout.p) if draws else encoded)


def _dropped(encoded: torch.Tensor, seed: int, draws: int, rate: float) -> torch.Tensor:
    """[V, D] -> [V * draws, D]: inverted dropout, as torch has it."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(encoded), draws, encoded.shape[1])
    kept = torch.rand(shape, generator=generator).ge_(rate).to(encoded)
    return (encoded[:, None] * kept / (1 - rate)).flatten(0, 1)


def seed_of(row_id: str) -> int:
    """From a row's id, 63 bits."""
    return int.from_bytes(hashlib.sha256(row_id.encode()).digest()[:8], "little") >> 1


def over_passes(targets: Sequence[Target], answers: Mapping[str, np.ndarray]) -> list[Output]:
    """answers: [N, passes] numbers in their units, [N, passes, K] probabilities. The mean is taken before it is held to
    the target's scale: passes held to it would agree where the network is most unsure."""
    found = []
    for target in targets:
        values = answers[target.name]
        mean = values.mean(axis=1)
        if target.kind != "number":
            found.append(Output.of(target, mean))
            continue
        low, high = target.scale or (-np.inf, np.inf)
        var = values.var(axis=1, ddof=1) if values.shape[1] > 1 else None
        found.append(Output(target, mean=np.clip(mean, low, high), var=var))
    return found
