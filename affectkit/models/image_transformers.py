"""transformers' image networks: a Hugging Face id, a local folder, or `tiny-random:vit`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectkit.models import backbones
from affectkit.models.image_architectures import Architecture, architecture_of
from affectkit.models.image_backbone import ImageBackbone, completed
from affectkit.models.image_preprocessing import of_transformers


class PooledNetwork(nn.Module):
    """One of transformers' networks that gives the vector which its kind is read by."""

    def __init__(self, model: Any, takes: str) -> None:
        super().__init__()
        self.model, self.takes = model, takes

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, D]."""
        output = self.model(pixel_values=pixels)
        if self.takes == "first":
            return output.last_hidden_state[:, 0]
        return getattr(output, self.takes).flatten(1)


def open_checkpoint(checkpoint: str, revision: str = "", known: Mapping[str, Any] | None = None) -> ImageBackbone:
    """known: facts of the network that a saved folder was trained from. Raises as `backbones.load` does."""
    loaded = backbones.load(checkpoint, "images", revision=revision)
    config = loaded.model.config
    if loaded.tiny_random:
        config.tiny_random = True  # for whoever reads what is saved
    kind = _kind(loaded.model)
    facts = {"tiny_random": loaded.tiny_random, "revision": loaded.revision, **(known or {})}
    return completed(
        "transformers",
        config.model_type,
        kind.pooling,
        PooledNetwork(loaded.model, kind.takes),
        of_transformers(loaded.processor),
        processor=loaded.processor,
        **{"weights": loaded.weights, **facts},
    )


def open_saved(folder: Path, known: Mapping[str, Any]) -> ImageBackbone:
    """What `ImageBackbone.save` wrote of a transformers network."""
    facts = {name: known[name] for name in ("weights", "revision", "tiny_random")}
    return open_checkpoint(str(folder), known=facts)


def _kind(model: Any) -> Architecture:
    """By the class that was loaded: a tower's configuration does not say whether there is a projection."""
    config = model.config
    config.architectures = [type(model).__name__]
    return architecture_of(config)
