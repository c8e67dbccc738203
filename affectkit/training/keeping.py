"""What a training leaves in its folder: checkpoints, the best weights, tables."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate.utils import gather_object

from affectkit.artifacts.files import read_json, remove_temporaries, sha256, write_json
from affectkit.artifacts.tables import write_table
from affectkit.errors import AffectkitError
from affectkit.models.weights import write_tensors
from affectkit.plain import without_nan
from affectkit.training.settings import Settings
from affectkit.training.state import State
from affectkit.training.stepping import Stepper, under
from affectkit.training.weights import Weights

logger = logging.getLogger(__name__)


# --- Checkpoints: tensors and a plain state, from which training goes on as if it had never stopped
#
# A checkpoint is `checkpoint-00000012.safetensors` and, written after it, `checkpoint-00000012.json` with its digest.
# No name is written twice while it is needed, and the newest two are kept, so that neither an interruption nor a file
# that the disk damages costs more than the work since the one before. Weights that never train are not stored.


CHECKPOINTS = "checkpoints"
KEPT = 2
QUICK = 1.0  # seconds
_NETWORK = "network."
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
    path, state = folder / f"checkpoint-{number:08d}.safetensors", without_nan(checkpoint.state)
    write_tensors(path, checkpoint.tensors)
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
        raise AffectkitError(
            "input", "every checkpoint is damaged", file=folder, remedy="use --overwrite to start again"
        )
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
    records = [path for path in folder.glob("checkpoint-*.json") if _RECORD.fullmatch(path.name)]
    return sorted(records, reverse=True)


def _tidy(folder: Path) -> None:
    """Drop what no kept checkpoint needs; other files, if someone put some here, stay."""
    kept = _records(folder)[:KEPT]
    needed = {path.name for path in kept} | {path.with_suffix(".safetensors").name for path in kept}
    for record in kept:
        try:
            needed.add(str(read_json(record)["state"]["best"]))
        except (AffectkitError, KeyError, TypeError):  # a damaged one needs nothing
            continue
    remove_temporaries(folder)
    for path in folder.glob("*"):
        if path.name not in needed and _OWN.fullmatch(path.name):
            path.unlink(missing_ok=True)


class Keeper:
    """Writes in the main process, reads in all. identity: what checkpoints must agree with (`problem.identity`)."""

    def __init__(
        self, folder: Path, weights: Weights, settings: Settings, identity: Mapping[str, Any], accelerator: Any
    ) -> None:
        self.folder, self.weights, self.settings, self.accelerator = folder, weights, settings, accelerator
        self.identity = dict(identity)
        self.frozen = weights.fixed_digest()
        self.checkpoints = folder / CHECKPOINTS
        self.saved, self.cost = time.monotonic(), 0.0

    def resume(self) -> tuple[State, Checkpoint | None]:
        """Where the newest whole checkpoint stands, with the network and the scaler of fp16 as they were then; the
        beginning, where there is none.

        Raises "usage" for a checkpoint of another training, "input" where every one is damaged, "environment" where the
        processes do not see the same files.
        """
        self.accelerator.wait_for_everyone()
        stored = read_checkpoint(self.checkpoints)
        state = State.from_plain(stored.state) if stored else State()
        if len(set(gather_object([state.saves]))) > 1:
            message = "is not the same folder for all processes: they would go on from different checkpoints"
            raise AffectkitError("environment", message, file=self.checkpoints, remedy="use a disk that all share")
        if stored:
            tensors = under(stored.tensors, _NETWORK)
            self._check(stored, tensors)
            self.weights.put_back(tensors)
            if self.accelerator.scaler:
                self.accelerator.scaler.load_state_dict(stored.state["scaler"])
            logger.info("going on after step %d", state.step)
        return state, stored

    def due(self, step: int) -> bool:
        """Whether it is time for a checkpoint inside an epoch."""
        steps = self.settings.checkpoint_steps
        return (steps > 0 and step % steps == 0) or time.monotonic() - self.saved > self.settings.checkpoint_seconds

    def worthwhile(self) -> bool:
        """Whether to write one after an epoch: always, unless that is taking more than a twentieth of the time.

        Of a network of 95 million weights it is 1.1 GB, which takes 3 to 6 s, and an epoch may take 20.
        """
        return self.cost < QUICK or time.monotonic() - self.saved > 20 * self.cost

    def save(self, state: State, stepper: Stepper | None = None) -> None:
        """Write a checkpoint. stepper: of the stage under way; None between stages."""
        state.saves += 1
        began = time.monotonic()
        if self.accelerator.is_main_process:
            tensors = {_NETWORK + name: tensor for name, tensor in self.weights.tensors().items()}
            tensors |= stepper.tensors() if stepper else {}
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
            about = {"scaler": scaler, "identity": self.identity, "frozen": self.frozen}
            write_checkpoint(self.checkpoints, Checkpoint(tensors, {**asdict(state), **about}), number=state.saves)
        self.saved = time.monotonic()
        self.cost = self.saved - began

    def keep_best(self, state: State, stepper: Stepper | None = None) -> None:
        """Write the weights of the epoch just judged, the last one of the history. stepper: of what trained them."""
        state.best_row = len(state.history) - 1
        state.best = f"best-{state.step:08d}.safetensors"
        if self.accelerator.is_main_process:
            with stepper.averaged() if stepper else nullcontext():
                write_tensors(self.checkpoints / state.best, self.weights.tensors())
            state.best_digest = sha256(self.checkpoints / state.best)

    def load_best(self, state: State) -> None:
        """Give the network the best weights so far."""
        self.accelerator.wait_for_everyone()
        assert state.best is not None
        self.weights.put_back(read_tensors(self.checkpoints / state.best))

    def write_tables(self, state: State) -> None:
        """history.csv, a row per epoch, and lr_find.json, where a rate was looked for."""
        if not self.accelerator.is_main_process:
            return
        if state.history:
            write_table(self.folder / "history.csv", pd.DataFrame(state.history))
        if state.sweeps:
            write_json(self.folder / "lr_find.json", {"sweeps": state.sweeps})

    def _check(self, stored: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> None:
        """Raises "usage" unless a checkpoint is of this very training."""
        theirs = stored.state.get("identity", {})
        for what, mine in self.identity.items():
            if theirs.get(what) != mine:
                raise self._other(what, _differences(theirs.get(what), mine))
        self.weights.check(tensors, self.checkpoints)
        if stored.state.get("frozen") != self.frozen:
            raise self._other("frozen weights")

    def _other(self, what: str, told: str = "") -> AffectkitError:
        message = f"holds checkpoints of a training with other {what}{told}"
        return AffectkitError("usage", message, file=self.checkpoints, remedy="use --overwrite, or train as before")


def _differences(before: Any, now: Any) -> str:
    """What differs between two dictionaries, in words; of other values, nothing."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return ""
    return ": " + ", ".join(
        f"{name} was {before.get(name)} and is {value}" for name, value in now.items() if before.get(name) != value
    )
