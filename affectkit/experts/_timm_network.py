"""A timm network filled from a local file, exactly."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.models.image_weights import fill, read_tensors


def open_network(architecture: str, outputs: int, path: Path) -> nn.Module:
    """On the CPU, in eval mode. Raises "usage", "missing", or "input" for weights that are not its own, all of them."""
    import timm
    import torch

    if not timm.is_model(architecture):
        near = did_you_mean(architecture, timm.list_models())
        remedy = near if near.startswith("did") else "timm.list_models() has them all"
        raise AffectkitError("usage", f"timm has no architecture '{architecture}'", remedy=remedy)
    if not path.is_file():
        raise AffectkitError("missing", f"there are no weights for {architecture}", file=path, remedy="name their file")
    with torch.random.fork_rng(devices=[]):
        network = timm.create_model(architecture, pretrained=False, num_classes=outputs)
    fill(network, read_tensors(path), f"timm's {architecture} with {outputs} outputs", path)
    network.requires_grad_(False).eval()
    return network


def input_of(network: nn.Module) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """The side of a crop, and the mean and deviation of its channels in [0, 1], as timm has them for the network."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network)
    return max(config["input_size"][1:]), tuple(config["mean"]), tuple(config["std"])
