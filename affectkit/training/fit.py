"""The one training loop: stages of epochs of steps, on Accelerate, resumable to the bit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectkit.artifacts.files import write_json
from affectkit.artifacts.tables import write_table
from affectkit.console import Progress
from affectkit.errors import AffectkitError
from affectkit.training import finder, generators, optimizing
from affectkit.training.averaging import Average
from affectkit.training.batches import epoch_batches
from affectkit.training.checkpoints import Checkpoint, read_checkpoint, read_tensors, write_checkpoint, write_tensors
from affectkit.training.evaluating import default_monitor, higher_is_better, outputs_of, scores
from affectkit.training.examples import Examples, Network, Part
from affectkit.training.loading import load_batches
from affectkit.training.objective import Objective
from affectkit.training.schedules import Plateau, factor, momentum, warmup_steps
from affectkit.training.stages import Stage
from affectkit.training.state import State, better
from affectkit.training.stepping import Stepper

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
_SWEEP = 1_000_000  # stands for the epoch in the order of a sweep's batches


@dataclass(frozen=True)
class Problem:
    """What is to be learned.

    network: an nn.Module as well; `fit` trains it in place. val: rows on which epochs are judged, None for none.
    frozen: names of parts that no stage trains.
    """

    network: Network
    train: Examples
    val: Examples | None
    objective: Objective
    frozen: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Settings:
    """How. batch_size: rows of a step, over all processes. batch_seconds: instead, what a batch may cost with padding.

    accumulation: batches whose gradients are summed up for one step. clip: of the gradient's norm, 0 for none.
    average: decay of the weights' moving average, by which epochs are then judged; 0 for none.
    checkpoint_steps, checkpoint_seconds: steps or time between checkpoints, besides one after every epoch.
    """

    batch_size: int = 8
    batch_seconds: float | None = None
    accumulation: int = 1
    clip: float = 1.0
    weight_decay: float = 0.0
    average: float = 0.0
    seed: int = 0
    num_workers: int = 0
    checkpoint_steps: int = 0
    checkpoint_seconds: float = 300.0


@dataclass(frozen=True)
class Fit:
    """history: a row per epoch. best: the row of the weights that were kept. sweeps: of the learning-rate finder.
    stages: as they ran, with the rates that were used. monitor: the column that decided."""

    history: list[dict[str, Any]]
    best: dict[str, Any]
    sweeps: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    speeds: list[dict[str, Any]]
    monitor: str | None


def fit(
    problem: Problem,
    stages: Sequence[Stage],
    settings: Settings,
    folder: Path,
    accelerator: Any,
    *,
    progress: Progress | None = None,
    log: Callable[[Mapping[str, float], int], None] | None = None,
) -> Fit:
    """Train the network of `problem` through `stages`; it ends with the best weights over all of them.

    Each stage starts from the best weights so far, so a stage that does not help is undone. `folder` gets history.csv,
    speed.csv, lr_find.json and checkpoints/; where it holds checkpoints, training goes on from the newest, and ends
    with the same bits as if it had never stopped. accelerator: Accelerate's, which says on what it runs.
    log: called with figures of an epoch, or of some steps, and the steps so far.
    Raises "input" for a loss that is not finite (naming the ids of its batch; checkpoints are kept), for a sweep that
    finds no rate; "environment" where memory does not suffice; "usage" for stages that contradict each other.
    """
    with generators.untouched():
        return _Loop(problem, list(stages), settings, folder, accelerator, progress, log).run()


@dataclass
class _Loop:
    """A fit under way."""

    problem: Problem
    stages: list[Stage]
    settings: Settings
    folder: Path
    accelerator: Any
    progress: Progress | None
    log: Callable[[Mapping[str, float], int], None] | None
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.network: Any = self.problem.network.to(self.accelerator.device)  # type: ignore[attr-defined]
        self.parts = optimizing.check_parts(self.problem.network)
        if len({stage.name for stage in self.stages}) < len(self.stages):
            raise AffectkitError("usage", "two stages have one name", remedy="name each differently")
        self.monitor = self._monitor()
        self.higher = higher_is_better(self.monitor or "")
        self.names = {id(parameter): name for name, parameter in self.network.named_parameters()}
        self.changing = self._changing()
        self.costs = np.asarray(self.problem.train.costs, float)
        self.average: Average | None = None
        self.saved = time.monotonic()

    # The story

    def run(self) -> Fit:
        stored = read_checkpoint(self.folder / CHECKPOINTS)
        if stored:
            self.state = State.from_plain(stored.state)
            self._put_back(stored.tensors, "network.")
        while self.state.stage < len(self.stages):
            self._run_stage(self.stages[self.state.stage], stored)
            stored = None
        self.accelerator.wait_for_everyone()
        self._load_best()
        self._write_tables()
        assert self.state.best_row is not None
        best = self.state.history[self.state.best_row]
        ran = [stage.plain() | {"rates": self._rates_of(stage)} for stage in self.stages]
        return Fit(self.state.history, best, self.state.sweeps, ran, self.state.speeds, self.monitor)

    def _run_stage(self, stage: Stage, stored: Checkpoint | None) -> None:
        trained = optimizing.trained_parts(self.parts, stage, self.problem.frozen)
        if not trained:
            raise AffectkitError("usage", f"stage '{stage.name}' trains nothing: its parts are frozen")
        optimizing.freeze(self.network, trained)
        if stage.finds and not any(sweep["stage"] == stage.name for sweep in self.state.sweeps):
            self._find_rate(stage, trained)
        stepper = self._stepper(trained, stage.rates(self.state.found))
        self.average = Average(self.network, self.settings.average) if self.settings.average else None
        if stored and self.state.inside:
            self._resume_stage(stored, stepper)
        while not self._ended(stage):
            self._run_epoch(stage, stepper)
        stepper.release()
        self._load_best()
        self.state.end_stage()
        self._save(None)

    def _run_epoch(self, stage: Stage, stepper: Stepper) -> None:
        batches = self._batches(self.state.stage, self.state.epoch)
        per_epoch = -(-len(batches) // self.settings.accumulation)
        total = per_epoch * stage.epochs
        warmup = warmup_steps(stage.schedule, stage.warmup, total)
        plateau = Plateau.from_plain(self.state.plateau) if stage.schedule == "plateau" else None
        done_in_stage = self.state.epoch * per_epoch + self.state.batch // self.settings.accumulation
        rate = 0.0
        began = time.perf_counter()
        key = (self.settings.seed, self.state.stage, self.state.epoch)
        for loaded in self._loaded(batches[self.state.batch :], key):
            first = self.state.batch - self.state.batch % self.settings.accumulation
            together = min(self.settings.accumulation, len(batches) - first)
            last = self.state.batch == first + together - 1
            generators.seed_step(self._step_key(self.state.stage, self.state.epoch, self.state.batch))
            loss = stepper.backward(loaded, share_of_step=1 / together, last=last)
            self.state.end_batch(loss, len(loaded.rows))
            self.state.waiting += loaded.waited
            if last:
                scale = factor(stage.schedule, done_in_stage, total, warmup) * (plateau.factor if plateau else 1.0)
                rate = max(rate, stepper.step(scale, momentum(stage.schedule, done_in_stage, total, warmup), loaded))
                done_in_stage += 1
                self.state.step += 1
                if self.average:
                    self.average.update(self.network)
                if self._due():
                    self.state.seconds += time.perf_counter() - began
                    began = time.perf_counter()
                    self._save(stepper)
            self._tell(stage, batches, began)
        self.state.seconds += time.perf_counter() - began
        self._close_epoch(stage, stepper, rate, plateau)

    def _close_epoch(self, stage: Stage, stepper: Stepper, rate: float, plateau: Plateau | None) -> None:
        state = self.state
        row = {"stage": stage.name, "epoch": state.epoch + 1, "step": state.step, "learning_rate": rate}
        row |= {"train_loss": state.loss_sum / max(state.rows, 1), **self._judge()}
        value = row.get(self.monitor) if self.monitor else None
        if self.monitor and value is None:
            watched = ", ".join(name for name in row if name.startswith("val_"))
            raise AffectkitError("usage", f"there is no {self.monitor} to watch", remedy=f"there are {watched}")
        before = state.history[state.best_row][self.monitor] if state.best_row is not None and self.monitor else None
        row["best"] = not self.monitor or state.best_row is None or better(value, before, higher=self.higher)
        if better(value, state.stage_best, higher=self.higher, by=stage.min_delta):
            state.stage_best, state.waited = value, 0
        else:
            state.waited += 1
        if plateau and value is not None:
            plateau.step(value, self.higher)
            state.plateau = plateau.plain()
        self._record_speed(stage)
        state.history.append(row)
        if row["best"]:
            self._keep_best()
        state.end_epoch()
        if not self._ended(stage):  # else the stage's end saves, once the best weights are back
            self._save(stepper)
        self._write_tables()
        if self.log:
            figures = {name: float(v) for name, v in row.items() if name not in ("stage", "epoch", "step", "best")}
            self.log(figures, state.step)

    # Its parts

    def _monitor(self) -> str | None:
        if self.problem.val is None:
            return None
        default = default_monitor(self.problem.objective.targets)
        named = {stage.monitor or default for stage in self.stages}
        if len(named) > 1:
            raise AffectkitError(
                "usage",
                f"stages watch {' and '.join(sorted(named))}",
                remedy="let all watch one: weights are compared by it",
            )
        return named.pop()

    def _changing(self) -> list[str]:
        """Names of the tensors that some stage may change: what a checkpoint holds."""
        trained = {
            id(parameter)
            for stage in self.stages
            for _, parameters in optimizing.trained_parts(self.parts, stage, self.problem.frozen)
            for parameter in parameters
        }
        frozen = {name for name, parameter in self.network.named_parameters() if id(parameter) not in trained}
        return [name for name in self.network.state_dict() if name not in frozen]

    def _tensors(self) -> dict[str, torch.Tensor]:
        whole = self.network.state_dict()
        return {name: whole[name] for name in self.changing}

    def _put_back(self, tensors: Mapping[str, torch.Tensor], prefix: str = "") -> None:
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        if set(own) != set(self.changing):
            place = self.folder / CHECKPOINTS
            raise AffectkitError("input", "holds a checkpoint of another network", file=place, remedy="use --overwrite")
        self.network.load_state_dict(own, strict=False)

    def _stepper(self, trained: Sequence[Part], rates: tuple[float, float]) -> Stepper:
        optimizer = optimizing.optimizer_for(trained, rates, self.settings.weight_decay)
        return Stepper(
            self.network, optimizer, self.problem.objective, self.problem.train, self.accelerator, self.settings.clip
        )

    def _batches(self, stage: int, epoch: int) -> list[np.ndarray]:
        of = self.settings
        return epoch_batches(
            self.costs,
            of.batch_size,
            (of.seed, stage, epoch),
            most_cost=of.batch_seconds,
            least=self.problem.objective.least_batch,
        )

    def _loaded(self, batches: Sequence[np.ndarray], key: tuple[int, int, int]) -> Any:
        return load_batches(
            self.problem.train,
            batches,
            device=self.accelerator.device,
            key=key,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
            num_workers=self.settings.num_workers,
        )

    def _step_key(self, stage: int, epoch: int, batch: int) -> tuple[int, ...]:
        return (self.settings.seed, stage, epoch, batch, self.accelerator.process_index)

    def _judge(self) -> dict[str, float]:
        """Loss and metrics of the validation rows, over all of them at once."""
        if self.problem.val is None:
            return {}
        val, objective = self.problem.val, self.problem.objective
        with self.average.swapped(self.network) if self.average else nullcontext():
            outputs = outputs_of(
                self.network,
                val,
                self.accelerator,
                size=self.settings.batch_size,
                most_cost=self.settings.batch_seconds,
                num_workers=self.settings.num_workers,
            )
        truth = {name: torch.from_numpy(np.asarray(values)) for name, values in val.truth.items()}
        found = scores(objective.targets, objective.answers(outputs), val.truth)
        return {f"val_{name}": value for name, value in {"loss": float(objective(outputs, truth)), **found}.items()}

    def _ended(self, stage: Stage) -> bool:
        return self.state.epoch >= stage.epochs or bool(stage.patience and self.state.waited >= stage.patience)

    def _rates_of(self, stage: Stage) -> list[float]:
        found = None
        for sweep in self.state.sweeps:  # those of the stages up to this one: names are looked up in order
            found = sweep["rate"] if self._place(sweep["stage"]) <= self._place(stage.name) else found
        return list(stage.rates(found))

    def _place(self, name: str) -> int:
        return next(place for place, stage in enumerate(self.stages) if stage.name == name)

    # The learning-rate finder

    def _find_rate(self, stage: Stage, trained: Sequence[Part]) -> None:
        kept = {name: tensor.clone() for name, tensor in self._tensors().items()}
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        stepper = self._stepper(trained, (1.0, 1.0))
        batches = self._endless(self.state.stage)
        number = 0

        def step(rate: float) -> float:
            nonlocal number
            generators.seed_step(self._step_key(self.state.stage, _SWEEP, number))
            number += 1
            if self.progress:
                self.progress(number, 100, "looking for a learning rate")
            return stepper.once(next(batches), rate)

        found = finder.sweep(step, bounded=self.problem.objective.bounded)
        stepper.release()
        self._put_back(kept)
        if scaler:
            self.accelerator.scaler.load_state_dict(scaler)
        self.state.sweeps.append({"stage": stage.name, **found.plain()})
        self.state.found = found.rate
        self._write_tables()
        if found.rate is None:
            message = f"stage '{stage.name}': no learning rate found: {found.reason}"
            place = self.folder / "lr_find.json"
            raise AffectkitError("input", message, file=place, remedy="give --learning-rate a number")
        logger.info("stage %s: learning rate %.3g found in %d steps", stage.name, found.rate, len(found.rates))

    def _endless(self, stage: int) -> Any:
        """Batches for a sweep, epoch after epoch, in an order of their own."""
        epoch = _SWEEP
        while True:
            yield from self._loaded(self._batches(stage, epoch), (self.settings.seed, stage, epoch))
            epoch += 1

    # What lies on the disk

    def _due(self) -> bool:
        every = self.settings.checkpoint_steps
        by_steps = bool(every) and self.state.step % every == 0
        return by_steps or time.monotonic() - self.saved > self.settings.checkpoint_seconds

    def _save(self, stepper: Stepper | None) -> None:
        """Write a checkpoint. stepper: of the stage under way; None between stages."""
        self.saved = time.monotonic()
        if not self.accelerator.is_main_process:
            return
        tensors = {f"network.{name}": tensor for name, tensor in self._tensors().items()}
        state = self.state.plain()
        if stepper:
            stored = optimizing.optimizer_tensors(stepper.optimizer, self.names)
            tensors |= {f"optimizer.{name}": tensor for name, tensor in stored.items()}
            state["scaler"] = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
            if self.average:
                tensors |= {f"average.{name}": tensor for name, tensor in self.average.tensors().items()}
        # A stage's end stands at the step of its last epoch, whose checkpoint it replaces.
        write_checkpoint(self.folder / CHECKPOINTS, Checkpoint(tensors, state), step=self.state.step)

    def _resume_stage(self, stored: Checkpoint, stepper: Stepper) -> None:
        def under(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): t for k, t in stored.tensors.items() if k.startswith(prefix)}

        optimizing.load_optimizer(stepper.optimizer, under("optimizer."), self.names)
        if self.average:
            self.average.load(under("average."))
        if self.accelerator.scaler and stored.state.get("scaler"):
            self.accelerator.scaler.load_state_dict(stored.state["scaler"])
        logger.info("going on after step %d", self.state.step)

    def _keep_best(self) -> None:
        """Write the weights of the epoch just judged."""
        self.state.best_row = len(self.state.history) - 1
        self.state.best = f"best-{self.state.step:08d}.safetensors"
        if self.accelerator.is_main_process:
            with self.average.swapped(self.network) if self.average else nullcontext():
                write_tensors(self.folder / CHECKPOINTS / self.state.best, self._tensors())

    def _load_best(self) -> None:
        self.accelerator.wait_for_everyone()
        assert self.state.best is not None
        self._put_back(read_tensors(self.folder / CHECKPOINTS / self.state.best))

    def _write_tables(self) -> None:
        import pandas as pd

        if not self.accelerator.is_main_process:
            return
        write_table(self.folder / "history.csv", pd.DataFrame(self.state.history))
        write_table(self.folder / "speed.csv", pd.DataFrame(self.state.speeds))
        if self.state.sweeps:
            write_json(self.folder / "lr_find.json", {"sweeps": self.state.sweeps})

    # What is said

    def _record_speed(self, stage: Stage) -> None:
        state = self.state
        facts = {"stage": stage.name, "epoch": state.epoch + 1, "seconds": state.seconds}
        facts["rows_per_second"] = state.rows / max(state.seconds, 1e-9)
        state.speeds.append(facts | {"loader_wait": state.waiting / max(state.seconds, 1e-9)})

    def _tell(self, stage: Stage, batches: Sequence[np.ndarray], began: float) -> None:
        if self.progress is None:
            return
        state = self.state
        epochs = sum(each.epochs for each in self.stages)
        before = sum(each.epochs for each in self.stages[: state.stage]) + state.epoch
        done = before * len(batches) + state.batch
        rate = state.rows / max(state.seconds + time.perf_counter() - began, 1e-9)
        loss = state.loss_sum / max(state.rows, 1)
        parts = [f"{stage.name} epoch {state.epoch + 1}/{stage.epochs}", f"loss {loss:.3g}"]
        if self.monitor and state.history:
            parts.append(f"{self.monitor} {state.history[-1][self.monitor]:.3f}")
        self.progress(done, epochs * len(batches), ", ".join([*parts, f"{rate:.1f} rows/s"]))
