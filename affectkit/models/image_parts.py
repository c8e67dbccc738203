"""An image network's parameters by depth: what stages freeze, and how learning rates spread."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

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
    found: dict[str, list[nn.Parameter]] = {}
    names = {id(parameter): groups[name] for name, parameter in trunk.named_parameters() if name in groups}
    for name, parameter in network.named_parameters():
        found.setdefault(names.get(id(parameter)) or _part(name), []).append(parameter)
    return sorted(found.items(), key=lambda part: _depth(part[0]))


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


def _depth(part: str) -> float:
    return {_STEM: -1.0, _NECK: float("inf")}.get(part) or float(part.partition("-")[2])


def untrained(network: nn.Module) -> None:
    """Turn parameters that never train into buffers: fixed position embeddings, the token of masked patches.

    They are saved and loaded as before; an optimiser would change them, and processes wait for their gradients.
    """
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if name == "mask_token" or not parameter.requires_grad:
                values = parameter.detach()
                delattr(module, name)
                module.register_buffer(name, values)
