"""A network whose answers are mixed with those of other models: fixed shares, learnt ones, or a layer over all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn

from affectkit.errors import AffectkitError
from affectkit.finetuning.medium import Medium
from affectkit.finetuning.passes import ONCE, Passes
from affectkit.labels import Target
from affectkit.models.outputs import columns_of
from affectkit.training.problem import HEAD, Draw, Examples, Part

Mix = Literal["fixed", "learn", "layer"]

NETWORK = "network"  # the branch that is fine-tuned, the last one
NETWORK_HEAD = "network-head"
ALONE = "alone "  # before a target's name: what the network says of it by itself
TINY = 1e-300  # below every share of a softmax that float64 can tell from 0
_FEATURES = "features "
_TOLERANCE = 1e-9


# --- What is mixed, and how


@dataclass(frozen=True)
class MixOptions:
    """sources: names of the models beside the network. weights: of `fixed`, theirs and the network's, which sum to 1.
    features: how many of the network's features a layer takes, 0 for none."""

    sources: tuple[str, ...]
    how: Mix
    weights: tuple[float, ...] = ()
    features: int = 0

    @classmethod
    def parse(cls, text: str, sources: Sequence[str]) -> MixOptions:
        """`text`: as `--mix` is typed. Raises "usage"."""
        if text in ("learn", "layer"):
            return cls(tuple(sources), cast(Mix, text))
        try:
            weights = tuple(float(word) for word in text.split(","))
        except ValueError:
            weights = ()
        names = ", ".join([*sources, NETWORK])
        remedy = f"give {len(sources) + 1} weights of 0 or more that sum to 1, of {names}; or learn, or layer"
        if len(weights) != len(sources) + 1 or not all(0 <= weight < math.inf for weight in weights):
            raise AffectkitError("usage", f"--mix {text} is no weight of each of {names}", remedy=remedy)
        if abs(math.fsum(weights) - 1) > _TOLERANCE:
            raise AffectkitError("usage", f"--mix {text} sums to {math.fsum(weights):g}, not 1", remedy=remedy)
        return cls(tuple(sources), "fixed", weights)

    def plain(self) -> dict[str, Any]:
        """For a record."""
        return {
            "sources": list(self.sources),
            "how": self.how,
            "weights": list(self.weights),
            "features": self.features,
        }

    @classmethod
    def of_record(cls, known: dict[str, Any]) -> MixOptions:
        """Raises KeyError, TypeError or ValueError for what `plain` did not write."""
        options = cls(
            tuple(known["sources"]), known["how"], tuple(map(float, known["weights"])), int(known["features"])
        )
        wanted = len(options.sources) + 1 if options.how == "fixed" else 0
        if options.how not in ("fixed", "learn", "layer") or len(options.weights) != wanted or options.features < 0:
            raise ValueError(f"no mixture of {', '.join(options.sources)}")
        return options


class Mixture(nn.Module):
    """Mixes the probabilities of S models and of a network, in float64.

    fixed: sum of shares times probabilities. learn: the same with shares that are trained, per target, equal at first.
    layer: the logarithm of the equal mixture, and what a linear layer over all probabilities and the network's features
    adds to it, nothing at first.
    """

    def __init__(self, targets: Sequence[Target], options: MixOptions) -> None:
        super().__init__()
        self.targets, self.options = tuple(targets), options
        branches = len(options.sources) + 1
        equal = torch.full((branches,), 1 / branches, dtype=torch.float64)
        fixed = torch.tensor(options.weights, dtype=torch.float64) if options.how == "fixed" else equal
        self.fixed: torch.Tensor
        self.register_buffer("fixed", fixed, persistent=False)
        count = len(self.targets)
        self.shares = nn.Parameter(torch.zeros(count, branches)) if options.how == "learn" else None
        sizes = [len(target.classes) for target in self.targets] if options.how == "layer" else []
        self.layers = nn.ModuleList([nn.Linear(branches * size + options.features, size) for size in sizes])
        for parameter in self.layers.parameters():
            nn.init.zeros_(parameter)

    def weights(self, place: int) -> torch.Tensor:
        """[S + 1] float64 shares of the branches, the network's last, of the target at a place."""
        return self.fixed if self.shares is None else self.shares[place].double().softmax(dim=0)

    def forward(self, outputs: dict[str, torch.Tensor], beside: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of each target the logarithm of the mixed probabilities [B, K], or [B, passes, K], float64; in eval mode the
        network's own besides, under `ALONE`.

        outputs: logits, as the network gives them. beside: [B, S, C] float64 probabilities of all targets' classes.
        """
        mixed = {}
        for place, (target, columns) in enumerate(columns_of(self.targets)):
            mine = outputs[target.name].double().log_softmax(dim=-1)
            theirs = beside[..., columns]
            if mine.ndim > 2:  # of each pass
                theirs = theirs[:, None].expand(-1, mine.shape[1], -1, -1)
            every = torch.cat([theirs, mine.exp()[..., None, :]], dim=-2)
            mixed[target.name] = self._mixed(place, every, outputs.get(_FEATURES))
            if not self.training:
                mixed[ALONE + target.name] = mine
        return mixed

    def _mixed(self, place: int, every: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
        """every: [..., S + 1, K] probabilities."""
        logarithm = (self.weights(place)[:, None] * every).sum(dim=-2).clamp_min(TINY).log()
        if not self.layers:
            return logarithm
        layer: Any = self.layers[place]
        seen = [every.flatten(-2), *([] if features is None else [features.double()])]
        added = torch.cat(seen, dim=-1) @ layer.weight.double().T + layer.bias.double()
        return (logarithm + added).log_softmax(dim=-1)

    def plain(self) -> dict[str, dict[str, float]] | None:
        """The shares of each branch, by target; None of a layer, which has none."""
        if self.layers:
            return None
        names = [*self.options.sources, NETWORK]
        each = enumerate(self.targets)
        return {t.name: dict(zip(names, self.weights(i).detach().cpu().tolist(), strict=True)) for i, t in each}


# --- The network that is trained, and its rows


class Mixed(nn.Module):
    """A medium's network with a mixture behind it, which is the head; the network's own trains like any other part.

    network: as the medium wraps it. parts: of the network inside.
    """

    def __init__(self, network: Any, mixture: Mixture) -> None:
        super().__init__()
        self.network, self.mixture = network, mixture

    def forward(self, beside: torch.Tensor, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.mixture(self.network(**inputs), beside)

    def parts(self) -> list[Part]:
        *before, (_, head) = self.network.parts()
        return [*before, (NETWORK_HEAD, head), (HEAD, list(self.mixture.parameters()))]


class WithFeatures(nn.Module):
    """A network that says the features in front of its head as well."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    @property
    def dropout(self) -> Any:
        return self.network.dropout

    def encode(self, *pixels: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        return self.network.encode(*pixels, **inputs)

    def forward(self, features: torch.Tensor | None = None, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.network.encode(**inputs) if features is None else features
        return {**self.network(features=features), _FEATURES: features}

    def parts(self) -> list[Part]:
        return self.network.parts()


def mixed(medium: Medium, network: Any, mixture: Mixture | None, passes: Passes = ONCE) -> Any:
    """What the training loop is given, or what answers in several passes: the medium's network, and behind it what
    mixes it with others."""
    if mixture is None:
        return medium.wrapped(network, passes)
    return Mixed(medium.wrapped(WithFeatures(network) if mixture.options.features else network, passes), mixture)


def features_of(network: Any) -> int:
    """How many features a network can say; 0 where none stand in front of its head."""
    return int(network.dim) if hasattr(network, "encode") else 0


@dataclass(frozen=True)
class MixedExamples:
    """Rows of a network with what the models beside it say of them. beside: [N, S, C] float64."""

    rows: Examples
    beside: np.ndarray

    @property
    def ids(self) -> Sequence[str]:
        return self.rows.ids

    @property
    def costs(self) -> np.ndarray:
        return self.rows.costs

    @property
    def truth(self) -> Any:
        return self.rows.truth

    def load(self, position: int, draw: Draw | None) -> tuple[Any, np.ndarray]:
        return self.rows.load(position, draw), self.beside[position]

    def collate(self, items: list[tuple[Any, np.ndarray]]) -> dict[str, torch.Tensor]:
        inputs = self.rows.collate([item for item, _ in items])
        return {**inputs, "beside": torch.from_numpy(np.stack([beside for _, beside in items]))}
