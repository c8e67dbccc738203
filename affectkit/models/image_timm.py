"""timm's networks: a name, with or without its tag, or `NAME/FILE`. Wightman 2019."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.models.image_backbone import ImageBackbone, completed
from affectkit.models.image_preprocessing import of_timm
from affectkit.models.image_weights import fill, not_fetched, read_tensors

_TINY = "test_resnet"
_POOLING = "timm's own"


def open_checkpoint(name: str, revision: str = "") -> ImageBackbone:
    """name: "resnet18", "resnet18.a1_in1k" or "resnet18/path/to/file.safetensors" (or .pth, .bin).

    Raises "usage" (no such network or tag), "missing" (not cached and no network; no such file), "input" (weights that
    are not exactly the network's, its classifier aside).
    """
    architecture, _, file = name.partition("/")
    network = _created(architecture)
    if file:
        path = Path(file).expanduser()
        tensors: Mapping[str, torch.Tensor] = read_tensors(path)
    else:
        path, tensors = None, _pretrained(architecture, network, revision)  # type: ignore[assignment]
    heads = _heads(network)
    tensors = {key: value for key, value in tensors.items() if not key.startswith(heads) or key in network.state_dict()}
    fill(network, tensors, f"timm's {architecture}", path)
    return _completed(network, revision=revision or None)


def build(recipe: Mapping[str, Any]) -> nn.Module:
    """The network that a recipe describes, with random weights."""
    return _created(recipe["name"])


def tiny(name: str = _TINY, size: int | None = None) -> ImageBackbone:
    """size: side of the images that it reads, pixels, where the network can read others than its own."""
    network = _created(name or _TINY)
    if size is not None:
        network.pretrained_cfg = {**network.pretrained_cfg, "input_size": (3, size, size)}
        try:
            with torch.no_grad():
                network(torch.zeros(1, 3, size, size))
        except (AssertionError, RuntimeError, TypeError):
            remedy = "leave size out, or take a network of convolutions"
            raise AffectkitError("usage", f"{name} reads no images of size {size}", remedy=remedy) from None
    return _completed(network, tiny_random=True)


def _created(name: str) -> Any:
    import timm

    if not timm.is_model(name):
        near = did_you_mean(name, timm.list_models()) if name else "name one"
        near = near if near.startswith("did") else "see timm.list_models()"
        raise AffectkitError("usage", f"timm has no network '{name}'", remedy=near)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that timm deprecates are no concern of the user's records
            torch.manual_seed(0)
            return timm.create_model(name, pretrained=False, num_classes=0).eval()
    except (RuntimeError, ValueError) as error:  # a tag that it does not know
        said = str(error).strip().partition("\n")[0]
        raise AffectkitError("usage", f"timm has no network '{name}': {said}") from None


def _completed(network: Any, **more: Any) -> ImageBackbone:
    from timm.data import resolve_model_data_config

    config = network.pretrained_cfg
    tag = config.get("tag")
    name = f"{config['architecture']}.{tag}" if tag else config["architecture"]
    preprocessing = of_timm(resolve_model_data_config(network))
    return completed("timm", name, _POOLING, network, preprocessing, recipe={"name": name}, **more)


def _pretrained(name: str, network: Any, revision: str) -> dict[str, torch.Tensor]:
    """Weights from the hub or its cache, as timm loads them itself, strictly: with their own classifier."""
    import timm

    hub = network.pretrained_cfg.get("hf_hub_id")
    if not hub:
        remedy = f"pass timm's {name}/FILE"
        raise AffectkitError("missing", f"there are no pretrained weights of timm's '{name}' on the hub", remedy=remedy)
    pinned = {"hf_hub_id": f"{hub}@{revision}"} if revision else {}
    try:
        with torch.random.fork_rng(devices=[]):
            return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=pinned).state_dict()
    except (OSError, RuntimeError, ValueError) as error:  # no network, no such revision; a file that does not fit
        raise not_fetched(name, str(error).strip().partition("\n")[0]) from None


def _heads(network: Any) -> tuple[str, ...]:
    """Prefixes of the classifiers' weights."""
    names = network.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
