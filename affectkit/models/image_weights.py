"""Weights of image networks: read without running what is in the file, and filled in exactly."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

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
