"""Checkpoints: tensors and a plain state, from which training goes on as if it had never stopped.

A checkpoint is `step-00000120.safetensors` and, written after it, `step-00000120.json` with its digest. The newest two
are kept, so that one damaged by the disk costs the work since the one before. Weights that never train are not stored.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from affectkit.artifacts.files import atomic, read_json, sha256, write_json
from affectkit.errors import AffectkitError

logger = logging.getLogger(__name__)

KEPT = 2
_NAME = re.compile(r"step-(\d+)\.json")


@dataclass(frozen=True)
class Checkpoint:
    """tensors: on the CPU, by name. state: what JSON can hold."""

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Tensors as safetensors, from any device."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        save_file(plain, temporary)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def write_checkpoint(folder: Path, checkpoint: Checkpoint, *, step: int) -> None:
    """Write it, then drop those that are no longer needed: an interruption at any point leaves a whole one.

    A state may name one further file of the folder, "best", which is kept as long as a checkpoint names it.
    """
    path = folder / f"step-{step:08d}.safetensors"
    write_tensors(path, checkpoint.tensors)
    write_json(path.with_suffix(".json"), {"sha256": sha256(path), "state": checkpoint.state})
    _tidy(folder)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint; None where there is none. One that is damaged is passed over with a warning."""
    for record in _records(folder):
        try:
            return _read(record)
        except (AffectkitError, OSError, ValueError, KeyError) as error:
            logger.warning("checkpoint %s is damaged (%s): the one before it is used", record.stem, error)
    return None


def _read(record: Path) -> Checkpoint:
    known = read_json(record, what="checkpoint")
    path = record.with_suffix(".safetensors")
    if sha256(path) != known["sha256"]:
        raise ValueError("its tensors are not those that were written")
    best = known["state"].get("best")
    if best and not (record.parent / best).exists():
        raise ValueError(f"its best weights, {best}, are gone")
    return Checkpoint(read_tensors(path), known["state"])


def _records(folder: Path) -> list[Path]:
    """Records of checkpoints, the newest first."""
    found = [path for path in folder.glob("step-*.json") if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, reverse=True)


def _tidy(folder: Path) -> None:
    kept = _records(folder)[:KEPT]
    needed = {path.name for path in kept} | {path.with_suffix(".safetensors").name for path in kept}
    for record in kept:
        try:
            needed.add(str(read_json(record)["state"].get("best")))
        except (AffectkitError, KeyError):  # a damaged one needs nothing
            continue
    for path in folder.iterdir():
        if path.name not in needed:
            path.unlink()
