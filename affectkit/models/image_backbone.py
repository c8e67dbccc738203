"""A pretrained image network, whichever library it is of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from affectkit.artifacts.files import write_json
from affectkit.models.backbones import digest, save
from affectkit.models.image_preprocessing import ImagePreprocessing
from affectkit.models.weights import WEIGHTS, never_trained, write_tensors

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
    preprocessing: ImagePreprocessing
    dim: int
    weights: str
    tiny_random: bool = False
    revision: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    processor: Any = None

    def facts(self) -> dict[str, Any]:
        """What a record says of it."""
        names = ("family", "architecture", "pooling", "weights", "revision", "tiny_random")
        return {name: getattr(self, name) for name in names}

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        """As `parts_of` has them."""
        return parts_of(self.network)

    def save(self, folder: Path) -> None:
        """Write a folder that `images.load` reads: weights, preprocessing, and what builds the network again.

        Of a transformers network they are transformers' own files, which it reads too.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.family == "transformers":
            save(folder, self.network.model, self.processor)
        else:
            write_tensors(folder / WEIGHTS, self.network.state_dict())
        self.preprocessing.save(folder)
        trained_with = {"preprocessing": self.preprocessing.plain()}
        write_json(folder / FILE, {**self.facts(), "dim": self.dim, "recipe": dict(self.recipe), **trained_with})


def completed(
    family: Family, architecture: str, pooling: str, network: nn.Module, preprocessing: ImagePreprocessing, **more: Any
) -> ImageBackbone:
    """The backbone around a network, with its dimension and digest."""
    network.eval()
    # Buffers from now on is what never trains, fixed position embeddings, the token of masked patches: an optimiser
    # would change them, and processes wait for their gradients.
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if name == "mask_token" or not parameter.requires_grad:
                never_trained(module, name)
    with torch.no_grad():
        dim = int(network(torch.zeros(1, 3, *preprocessing.size)).shape[1])
    more.setdefault("weights", digest(network))
    return ImageBackbone(family, architecture, pooling, network, preprocessing, dim, **more)


# --- A network's parameters by depth: what stages freeze, and how learning rates spread


# Blocks of transformers (CLIP's, ViT's), stages of convolutional and hierarchical networks.
_BLOCK = re.compile(r"(?:^|\.)(?:resblocks|layers?|stages|blocks)\.?(\d+)\.")
_BEHIND = re.compile(
    r"(?:^|\.)(?:ln_post|proj|attn_pool|attnpool|post_layernorm|visual_projection|layernorm|norm|pooler|head)(?:\.|$)"
)
_STEM, _NECK = "stem", "neck"


def parts_of(network: nn.Module) -> list[tuple[str, list[nn.Parameter]]]:
    """From the input to the last layer: stem, block-0, block-1, ..., neck (the last norm, pooling and projection).

    Of a timm network the blocks are those of its own `group_matcher`, which layer-wise rates there go by.
    """
    trunk = getattr(network, "trunk", network)  # open_clip's towers that timm builds
    groups = _timm_groups(trunk) if hasattr(trunk, "group_matcher") else {}
    timm_parts = {id(parameter): groups[name] for name, parameter in trunk.named_parameters() if name in groups}
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        parts.setdefault(timm_parts.get(id(parameter)) or _part(name), []).append(parameter)
    depth = {_STEM: -1.0, _NECK: float("inf")}
    return sorted(parts.items(), key=lambda part: depth.get(part[0]) or float(part[0].partition("-")[2]))


def _timm_groups(trunk: Any) -> dict[str, str]:
    """The part of each parameter. timm numbers groups from the stem, and puts the last norm with the last block."""
    from timm.models import group_parameters

    groups = group_parameters(trunk, trunk.group_matcher())
    order = {number: place for place, number in enumerate(sorted(groups))}
    return {
        name: f"block-{order[number] - 1}" if order[number] else _STEM
        for number, names in groups.items()
        for name in names
    }


def _part(name: str) -> str:
    block = _BLOCK.search(name)
    if block:
        return f"block-{block[1]}"
    return _NECK if "embed" not in name and _BEHIND.search(name) else _STEM
