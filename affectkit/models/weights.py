"""A network's weights: read without running what is in the file, filled in exactly, written whole or not at all."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

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
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch's own message tells how to run what is in it
            why = "it holds no state dict, or code beside it, which is never run"
        remedy = "pass a .safetensors, or a state dict saved by torch.save"
        raise AffectkitError("input", f"cannot be read as weights: {why}", file=file, remedy=remedy) from None
    return tensors


def fill(
    network: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    what: str,
    file: Path | str | None,
    remedy: str = "name the architecture and the size that these weights are of",
) -> None:
    """Give a network exactly the weights that it has names for. what: the network's name, for errors.

    Raises "input" that names a weight which is missing, unknown or of another shape.
    """
    state = network.state_dict()
    shapes = {name: (list(tensors[name].shape), list(state[name].shape)) for name in state.keys() & tensors.keys()}
    problems = {
        "lacks": state.keys() - tensors.keys(),
        "has unknown": tensors.keys() - state.keys(),
        "has misshapen": {name for name, (stored, wanted) in shapes.items() if stored != wanted},
    }
    for problem, names in problems.items():
        if names:
            first = min(names)
            sizes = f" ({shapes[first][0]}, not {shapes[first][1]})" if first in shapes else ""
            message = f"{problem} {len(names)} weights of {what}, such as {first}{sizes}"
            raise AffectkitError("input", message, file=file, remedy=remedy)
    network.load_state_dict(tensors)


def never_trained(module: nn.Module, name: str) -> None:
    """Turn a parameter into a buffer: it is saved and loaded as before, and no optimiser finds it."""
    values = getattr(module, name).detach()
    delattr(module, name)
    module.register_buffer(name, values)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Tensors as safetensors, from any device, whole or not at all. Raises OSError where the disk is full."""
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
    copies: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage()
        shared = storage.data_ptr() in storages or storage.nbytes() > plain.nbytes
        copies[name] = plain.clone() if shared else plain
        storages.add(storage.data_ptr())
    return copies


# --- Weights of the hub


def from_hub(what: str, repository: str, names: Sequence[str], revision: str) -> tuple[Path, str | None]:
    """The first of some files of a hub repository that there is, and its commit. The cache comes first.

    what: how the user named it. Raises "missing" in one line if it is not cached and cannot be fetched.
    """
    from huggingface_hub import hf_hub_download

    why = ""
    for local_only in (True, False):
        for name in names:
            try:
                path = Path(hf_hub_download(repository, name, revision=revision or None, local_files_only=local_only))
            except (OSError, ValueError) as error:  # what the hub's client raises: no network, no such file or name
                why = str(error).strip().partition("\n")[0]
                continue
            commit = re.search(r"snapshots/([0-9a-f]{40})/", path.as_posix())
            return path, commit[1] if commit else None
    raise not_fetched(what, why)


def not_fetched(what: str, why: str) -> AffectkitError:
    message = f"the weights of '{what}' are not in the local cache and could not be fetched from the hub ({why})"
    return AffectkitError("missing", message, remedy=f"download them elsewhere and pass {what.partition('/')[0]}/FILE")
