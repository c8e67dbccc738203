"""Weights of image networks: read without running what is in the file, and filled in exactly."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectkit.artifacts.files import atomic
from affectkit.errors import AffectkitError
from affectkit.media import check_file

WEIGHTS = "model.safetensors"


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, .pt, .pth or .bin by name, without the `module.` of training on several GPUs.

    Raises "missing" or "input": pickled code, TorchScript archives, broken files.
    """
    check_file(file)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            stored = load_file(file)
        else:
            stored = torch.load(file, map_location="cpu", weights_only=True)
            stored = stored.get("state_dict", stored)
        tensors = {str(name).removeprefix("module."): tensor for name, tensor in stored.items()}
        if not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
            raise ValueError("it holds more than named tensors")
    except Exception as error:  # pickle, zipfile, safetensors and torch each have their own for a file that is broken
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch's own message tells how to run what is in it
            said = "it holds no state dict, or code beside it, which is never run"
        remedy = "pass a .safetensors, or a state dict saved by torch.save"
        raise AffectkitError("input", f"cannot be read as weights: {said}", file=file, remedy=remedy) from None
    return tensors


def fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], what: str, file: Path | str | None) -> None:
    """Give a network exactly the weights that it has names for. what: the network's name, for errors.

    Raises "input" that names a weight which is missing, unknown or of another shape.
    """
    own = network.state_dict()
    both = sorted(own.keys() & tensors.keys())
    shapes = {name: (list(tensors[name].shape), list(own[name].shape)) for name in both}
    problems = [
        ("lacks", sorted(own.keys() - tensors.keys())),
        ("has unknown", sorted(tensors.keys() - own.keys())),
        ("has misshapen", [name for name in both if shapes[name][0] != shapes[name][1]]),
    ]
    for kind, names in problems:
        if names:
            there, wanted = shapes.get(names[0], ("", ""))
            sizes = f" ({there}, not {wanted})" if there else ""
            raise AffectkitError(
                "input", f"{kind} {len(names)} weights of {what}, such as {names[0]}{sizes}",
                file=file, remedy="name the architecture and the size that these weights are of",
            )  # fmt: skip
    network.load_state_dict(tensors)


def from_hub(what: str, repository: str, names: Sequence[str], revision: str) -> tuple[Path, str | None]:
    """The first of some files of a hub repository that there is, and its commit. The cache comes first.

    what: how the user named it. Raises "missing" in one line if it is not cached and cannot be fetched.
    """
    from huggingface_hub import hf_hub_download

    said = ""
    for local_only in (True, False):
        for name in names:
            try:
                path = Path(hf_hub_download(repository, name, revision=revision or None, local_files_only=local_only))
            except (OSError, ValueError) as error:  # what the hub's client raises: no network, no such file or name
                said = str(error).strip().partition("\n")[0]
                continue
            commit = re.search(r"snapshots/([0-9a-f]{40})/", path.as_posix())
            return path, commit[1] if commit else None
    raise not_fetched(what, said)


def not_fetched(what: str, said: str) -> AffectkitError:
    message = f"the weights of '{what}' are not in the local cache and could not be fetched from the hub ({said})"
    return AffectkitError("missing", message, remedy=f"download them elsewhere and pass {what.partition('/')[0]}/FILE")


# --- An image network's parameters by depth: what stages freeze, and how learning rates spread


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


# --- Writing tensors: safetensors, whole or not at all


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Tensors as safetensors, from any device. Raises OSError where the disk is full."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        try:
            save_file(_on_cpu(tensors), temporary)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def _on_cpu(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same, contiguous; copied only where it must be: tied tensors too, which safetensors refuses."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if place in seen or plain.untyped_storage().nbytes() > plain.nbytes else plain
        seen.add(place)
    return found
