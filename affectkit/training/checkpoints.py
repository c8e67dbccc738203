"""Checkpoints: tensors and a plain state, from which training goes on as if it had never stopped.

A checkpoint is `checkpoint-00000012.safetensors` and, written after it, `checkpoint-00000012.json` with its digest. No
name is written twice while it is needed, and the newest two are kept, so that neither an interruption nor a file that
the disk damages costs more than the work since the one before. Weights that never train are not stored.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from affectkit.artifacts.files import TEMPORARY, read_json, sha256, write_json
from affectkit.errors import AffectkitError
from affectkit.models.tensors import write_tensors
from affectkit.plain import without_nan

logger = logging.getLogger(__name__)

KEPT = 2
_RECORD = re.compile(r"checkpoint-\d+\.json")
_OWN = re.compile(r"(checkpoint-\d+\.(safetensors|json)|best-\d+\.safetensors)")


@dataclass(frozen=True)
class Checkpoint:
    """tensors: on the CPU, by name. state: what JSON can hold."""

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Raises "input" for a file that is not whole, OSError for one that cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        # Copies: what safetensors gives is mapped from the file, and would change or crash with it.
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise AffectkitError("input", f"is damaged ({error})", file=path) from None


def write_checkpoint(folder: Path, checkpoint: Checkpoint, *, number: int) -> None:
    """Write it, then drop those that are no longer needed: an interruption at any point leaves a whole one.

    number: one more than the last one's. A state may name one further file of the folder, "best", with "best_digest",
    which is kept as long as a checkpoint names it.
    """
    path = folder / f"checkpoint-{number:08d}.safetensors"
    write_tensors(path, checkpoint.tensors)
    state = without_nan(checkpoint.state)
    digest = sha256(path)
    write_json(path.with_suffix(".json"), {"sha256": digest, "seal": _seal(digest, state), "state": state})
    _tidy(folder)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint; None where none was written. One that is damaged is passed over with a warning.

    Raises "input" where all are damaged: what was trained is lost, and nobody should find that out from the history.
    """
    records = _records(folder)
    for path in folder.glob("checkpoint-*.safetensors"):
        if not path.with_suffix(".json").exists():
            logger.warning("checkpoint %s was not written to its end and is passed over", path.stem)
    for record in records:
        try:
            return _read(record)
        except (AffectkitError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("checkpoint %s is damaged and is passed over: %s", record.stem, error)
    if records:
        remedy = "use --overwrite to start again"
        raise AffectkitError("input", "every checkpoint is damaged", file=folder, remedy=remedy)
    return None


def _read(record: Path) -> Checkpoint:
    known = read_json(record, what="checkpoint")
    path, state = record.with_suffix(".safetensors"), known["state"]
    if sha256(path) != known["sha256"] or _seal(known["sha256"], state) != known["seal"]:
        raise ValueError("it is not what was written")
    best = state.get("best")
    if best and sha256(record.parent / best) != state["best_digest"]:
        raise ValueError(f"its best weights, {best}, are not what was written")
    return Checkpoint(read_tensors(path), state)


def _seal(digest: str, state: Mapping[str, Any]) -> str:
    """Of a record's content, in which a wrong digit would else go unseen."""
    return hashlib.sha256(json.dumps([digest, state], sort_keys=True).encode()).hexdigest()


def _records(folder: Path) -> list[Path]:
    """Records of checkpoints, the newest first."""
    found = [path for path in folder.glob("checkpoint-*.json") if _RECORD.fullmatch(path.name)]
    return sorted(found, reverse=True)


def _tidy(folder: Path) -> None:
    """Drop what no kept checkpoint needs; other files, if someone put some here, stay."""
    kept = _records(folder)[:KEPT]
    needed = {path.name for path in kept} | {path.with_suffix(".safetensors").name for path in kept}
    for record in kept:
        try:
            needed.add(str(read_json(record)["state"]["best"]))
        except (AffectkitError, KeyError, TypeError):  # a damaged one needs nothing
            continue
    for path in [*folder.glob("*"), *folder.glob(TEMPORARY)]:
        if path.name not in needed and (_OWN.fullmatch(path.name) or path.match(TEMPORARY)):
            path.unlink(missing_ok=True)
