"""Which hidden states are kept, and how the frames of one item become one vector."""

from typing import TYPE_CHECKING, Literal

from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import numpy as np
    import torch

Layer = int | Literal["last", "all"]


def parse_layer(text: str) -> Layer:
    """`--layer`: "last", "all", or a number. Raises "usage"."""
    if text == "last":
        return "last"
    if text == "all":
        return "all"
    if not text.lstrip("-").isdigit():
        raise AffectkitError("usage", f"there is no --layer {text}", remedy="use last, all or a number")
    return int(text)


def check_layer(layer: Layer, layers: int) -> None:
    """Refuse a number that the network does not have; `layers` counts the transformer's input, layer 0."""
    if isinstance(layer, int) and not -layers <= layer < layers:
        raise AffectkitError("usage", f"there is no --layer {layer}", remedy=f"this network has 0 to {layers - 1}")


def check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise AffectkitError("usage", f"there is no --{option} {value}", remedy=f"use {', '.join(allowed)}")


def pool(frames: "torch.Tensor", how: str) -> "np.ndarray":
    """[T, D] or [T, L, D] -> [D] or [L, D] float32 by "mean", "mean-std" (2 D wide; standard deviation with ddof 0, as
    a clip may have one frame) or "cls" (the first frame); "none" keeps the frames. Each layer is pooled by itself, so
    a head that weights layers before a mean can weight them after it."""
    import torch

    if how == "cls":
        frames = frames[0]
    elif how == "mean":
        frames = frames.mean(dim=0)
    elif how == "mean-std":
        frames = torch.cat([frames.mean(dim=0), frames.std(dim=0, correction=0)], dim=-1)
    return frames.contiguous().cpu().numpy()
