"""A network's weights: read without running what is in the file, filled in exactly, written whole or not at all."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from affectkit.artifacts.files import atomic, read_json
from affectkit.errors import AffectkitError
from affectkit.media import check_file

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SIZES = "name the architecture and the size that these weights are of"
_AGAIN = "copy the folder again: its configuration and its weights belong together"


# --- Reading: every file of weights comes in here. safetensors holds tensors and nothing else; a `torch.save` is read
# by torch's own reader of plain tensors, and no other pickle at all


_STATE = ("state_dict", "model", "model_state_dict")  # where a training's checkpoint has the network's tensors
_SAVED_BY_TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar")
CONVERT = "convert it once, where you trust it: safetensors.torch.save_file(tensors, 'model.safetensors')"


def read_tensors(file: Path, failure: str = "cannot be read as weights") -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, .pt, .pth or .bin by name, without the `module.` of training on several GPUs.

    failure: the beginning of the error. Raises "missing" or "input": pickled code, TorchScript archives, broken files,
    other formats.
    """
    check_file(file)
    try:
        if file.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            stored = load_file(file)
        elif file.suffix.lower() in _SAVED_BY_TORCH:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on how files that are refused could be read
                stored = torch.load(file, map_location="cpu", weights_only=True)
            stored = next((stored[key] for key in _STATE if isinstance(stored.get(key), Mapping)), stored)
        else:
            raise ValueError(f"'{file.suffix or file.name}' is no format that is read here")
        tensors = {str(name).removeprefix("module."): tensor for name, tensor in stored.items()}
        if not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
            raise ValueError("it holds more than named tensors")
    except Exception as error:  # pickle, zipfile, safetensors and torch each have their own for a file that is broken
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch's own message tells how to run what is in it
            why = "it holds no state dict, or code beside it, which is never run"
        remedy = "pass a .safetensors, or a state dict saved by torch.save"
        raise AffectkitError("input", f"{failure}: {why}", file=file, remedy=remedy) from None
    return tensors


def weight_files(folder: Path) -> list[Path]:
    """The .safetensors of a checkpoint folder: `model.safetensors`, or the shards that its index names.

    Raises "input" where there is none, for pickles by name, and for a shard that is another kind of file or lies
    outside the folder; "missing" for one that is not there.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return [_shard(folder, name) for name in shards_of(folder / INDEX)]
    others = sorted(path.name for path in folder.iterdir() if path.suffix in (*_SAVED_BY_TORCH, ".h5", ".msgpack"))
    if others:
        message = f"cannot be loaded: its weights are no safetensors, and {others[0]} is never read"
        raise AffectkitError("input", message, file=folder, remedy=CONVERT)
    remedy = f"name a folder written by save_pretrained (config.json, {WEIGHTS}, and the preprocessor's files)"
    raise AffectkitError("input", f"cannot be loaded: it holds no {WEIGHTS}", file=folder, remedy=remedy)


def shards_of(index: Path) -> list[str]:
    """The files that an index of shards names, each a `.safetensors`."""
    names = read_json(index, what="index of shards").get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise AffectkitError("input", "does not say which file holds which weight", file=index, remedy=_AGAIN)
    shards = sorted(set(names.values()))
    for name in shards:
        if not name.endswith(".safetensors"):
            message = f"names {name!r}, which is no .safetensors and is never read"
            raise AffectkitError("input", message, file=index, remedy=CONVERT)
    return shards


def _shard(folder: Path, name: str) -> Path:
    """Where it lies, in the folder: no `..`, no absolute path, no link that leads out of it."""
    path, inside = (folder / name).resolve(), [folder.resolve()]
    if folder.resolve().parent.name == "snapshots":  # a cache of the hub, whose files are links into its blobs
        inside.append(folder.resolve().parents[1] / "blobs")
    lexical = Path(os.path.normpath(folder / name))
    if Path(os.path.normpath(folder)) not in lexical.parents or not any(place in path.parents for place in inside):
        message = f"names the shard {name!r}, which lies outside the folder"
        raise AffectkitError("input", message, file=folder / INDEX, remedy="copy the shards into the folder")
    if not path.is_file():
        message = f"names the shard {name!r}, which is not there"
        raise AffectkitError("missing", message, file=folder / INDEX, remedy=_AGAIN)
    return folder / name


def read_files(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The tensors of several files, which share no name."""
    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        tensors |= read_tensors(file, "cannot be loaded")
    return tensors


# --- Building: a configuration says how large a network is, and its weights how large it can be


_PARAMETERS, _VALUES = 1024, 2**26  # what a network may have that its weights lack: a decoder, a head
_TIMES = 4


@contextmanager
def bounded_by(tensors: Mapping[str, torch.Tensor], file: Path | str | None) -> Iterator[None]:
    """Within, no network grows far beyond the weights that there are for it.

    A network's parameters are counted as they are made, so that one of a million layers ends with the first few.
    Raises "input".
    """
    most = _TIMES * len(tensors) + _PARAMETERS
    most_values = _TIMES * sum(tensor.numel() for tensor in tensors.values()) + _VALUES
    count = values = 0

    def counted(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count, values
        count += parameter is not None
        values += parameter.numel() if parameter is not None else 0
        if count > most or values > most_values:
            has = sum(tensor.numel() for tensor in tensors.values())
            message = f"describes a network of over {values:,} values, and its weights have {has:,}"
            raise AffectkitError("input", message, file=file, remedy=_AGAIN)

    handle = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


def planned(build: Callable[[], Any], tensors: Mapping[str, torch.Tensor], file: Path | str | None) -> Any:
    """What `build` makes, without storage: its names and shapes. Raises "input" where it cannot be, or outgrows its
    weights."""
    try:
        with bounded_by(tensors, file), torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of networks that will not be
            return build()
    except AffectkitError:
        raise
    except Exception as error:  # a configuration is data: libraries raise whatever its values run into
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise AffectkitError("input", f"describes no network ({why})", file=file, remedy=_AGAIN) from None


def built(
    build: Callable[[], Any],
    tensors: Mapping[str, torch.Tensor],
    what: str,
    file: Path | str | None,
    remedy: str = SIZES,
    recipe: Path | None = None,
) -> Any:
    """The network that `build` makes, with exactly these weights; compared with them before any memory is taken.

    file: of the weights. recipe: what says how the network is built, where that is a file. Raises as `fill` does.
    """
    _compare(planned(build, tensors, recipe or file), tensors, what, file, remedy)
    network = build()
    fill(network, tensors, what, file, remedy)
    return network


def fill(
    network: nn.Module, tensors: Mapping[str, torch.Tensor], what: str, file: Path | str | None, remedy: str = SIZES
) -> None:
    """Give a network exactly the weights that it has names for. what: the network's name, for errors.

    Raises "input" that names a weight which is missing, unknown, of another shape, or holds what is no number.
    """
    _compare(network, tensors, what, file, remedy)
    check_finite(tensors, file)
    network.load_state_dict(tensors)


def _compare(
    network: nn.Module, tensors: Mapping[str, torch.Tensor], what: str, file: Path | str | None, remedy: str
) -> None:
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


def check_finite(tensors: Mapping[str, torch.Tensor], file: Path | str | None) -> None:
    """Raises "input" naming a tensor that holds an infinity or NaN: what it answers would be one too."""
    name = first_not_finite(tensors)
    if name:
        remedy = "take the weights of an earlier epoch, or train again with a lower learning rate"
        raise AffectkitError("input", f"holds what is no number: {name}", file=file, remedy=remedy)


def first_not_finite(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The first tensor that holds an infinity or NaN."""
    floating = ((name, tensor) for name, tensor in tensors.items() if tensor.is_floating_point())
    return next((name for name, tensor in floating if not torch.isfinite(tensor).all()), None)


# --- Writing


def never_trained(module: nn.Module, name: str) -> None:
    """Turn a parameter into a buffer: it is saved and loaded as before, and no optimiser finds it."""
    values = getattr(module, name).detach()
    delattr(module, name)
    module.register_buffer(name, values)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Tensors as safetensors, from any device, whole or not at all. Raises OSError where the disk is full."""
    from safetensors.torch import save_file

    with atomic(path) as temporary, disk_errors(path):
        save_file(_on_cpu(tensors), temporary)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """What safetensors raises while it writes `path`, as the OSError that it comes from."""
    from safetensors import SafetensorError

    try:
        yield
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
    message = f"the weights of '{what}' are not in the local cache and could not be fetched from the hub ({why})"
    raise AffectkitError("missing", message, remedy=f"download them elsewhere and pass {what.partition('/')[0]}/FILE")
