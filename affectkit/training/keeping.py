"""What a training leaves in its folder: checkpoints, the best weights, tables."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate.utils import gather_object

from affectkit.artifacts.files import sha256, write_json
from affectkit.artifacts.tables import write_table
from affectkit.errors import AffectkitError
from affectkit.training.checkpoints import Checkpoint, read_checkpoint, read_tensors, write_checkpoint, write_tensors
from affectkit.training.problem import Settings
from affectkit.training.state import State
from affectkit.training.stepping import Stepper, under
from affectkit.training.weights import Weights

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
QUICK = 1.0  # seconds
_NETWORK = "network."


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
        every = self.settings.checkpoint_steps
        by_steps = bool(every) and step % every == 0
        return by_steps or time.monotonic() - self.saved > self.settings.checkpoint_seconds

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
            self._write(state, stepper)
        self.saved = time.monotonic()
        self.cost = self.saved - began

    def _write(self, state: State, stepper: Stepper | None) -> None:
        tensors = {_NETWORK + name: tensor for name, tensor in self.weights.tensors().items()}
        tensors |= stepper.tensors() if stepper else {}
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        about = {"scaler": scaler, "identity": self.identity, "frozen": self.frozen}
        stored = Checkpoint(tensors, {**state.plain(), **about})
        write_checkpoint(self.checkpoints, stored, number=state.saves)

    def keep_best(self, state: State, stepper: Stepper) -> None:
        """Write the weights of the epoch just judged, the last one of the history."""
        state.best_row = len(state.history) - 1
        state.best = f"best-{state.step:08d}.safetensors"
        if self.accelerator.is_main_process:
            with stepper.averaged():
                write_tensors(self.checkpoints / state.best, self.weights.tensors())
            state.best_digest = sha256(self.checkpoints / state.best)

    def load_best(self, state: State) -> None:
        """Give the network the best weights so far."""
        self.accelerator.wait_for_everyone()
        assert state.best is not None
        self.weights.put_back(read_tensors(self.checkpoints / state.best))

    def write_tables(self, state: State) -> None:
        """history.csv and speed.csv, a row per epoch, and lr_find.json, where a rate was looked for."""
        if not self.accelerator.is_main_process:
            return
        if state.history:
            write_table(self.folder / "history.csv", pd.DataFrame(state.history))
            write_table(self.folder / "speed.csv", pd.DataFrame(state.speeds))
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
