"""A pretrained image network, whichever library it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import nn

from affectkit.artifacts.files import atomic, write_json
from affectkit.models.backbones import digest, quiet_transformers
from affectkit.models.image_preprocessing import Preprocessing
from affectkit.models.image_weights import WEIGHTS, parts_of, untrained, write_tensors

Family = Literal["open_clip", "timm", "transformers"]
FILE = "backbone.json"


@dataclass(frozen=True)
class ImageBackbone:
    """A network [B, 3, H, W] float32 -> [B, dim] in eval mode, and what its images pass through first.

    pooling: what the vector is: "projection" (CLIP's embedding), "cls" (a token, after the last norm), "mean" (over
    places), "attention" (pooled by it), or "timm's own". weights: SHA-256 of the tensors that it started from, whatever
    they are called. revision: the commit of a hub id. recipe: what builds the network again, without its weights.
    processor: transformers' image processor, of its networks.
    """

    family: Family
    architecture: str
    pooling: str
    network: nn.Module
    preprocessing: Preprocessing
    dim: int
    weights: str
    tiny_random: bool = False
    revision: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    processor: Any = None

    def facts(self) -> dict[str, Any]:
        """What a record says of it."""
        return {
            "family": self.family,
            "architecture": self.architecture,
            "pooling": self.pooling,
            "weights": self.weights,
            "revision": self.revision,
            "tiny_random": self.tiny_random,
        }

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        """From the input to the last layer; together every parameter, each once."""
        return parts_of(self.network)

    def save(self, folder: Path) -> None:
        """Write a folder that `images.load` reads: weights, preprocessing, and what builds the network again.

        Of a transformers network they are transformers' own files, which it reads too.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.family == "transformers":
            self._save_pretrained(folder)
        else:
            write_tensors(folder / WEIGHTS, self.network.state_dict())
        self.preprocessing.save(folder)
        trained_with = {"preprocessing": self.preprocessing.plain()}
        write_json(folder / FILE, {**self.facts(), "dim": self.dim, "recipe": dict(self.recipe), **trained_with})

    def _save_pretrained(self, folder: Path) -> None:
        """Each file whole or not at all."""
        model: Any = self.network.model
        with TemporaryDirectory(prefix=".", suffix=".tmp", dir=folder) as scratch, quiet_transformers():
            model.save_pretrained(scratch)
            self.processor.save_pretrained(scratch)
            for file in sorted(Path(scratch).iterdir()):
                with atomic(folder / file.name) as temporary:
                    file.rename(temporary)


def completed(
    family: Family, architecture: str, pooling: str, network: nn.Module, preprocessing: Preprocessing, **more: Any
) -> ImageBackbone:
    """The backbone around a network, with its dimension and digest."""
    network.eval()
    untrained(network)
    with torch.no_grad():
        dim = int(network(torch.zeros(1, 3, *preprocessing.size)).shape[1])
    more.setdefault("weights", digest(network))
    return ImageBackbone(family, architecture, pooling, network, preprocessing, dim, **more)
