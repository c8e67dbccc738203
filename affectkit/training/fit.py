"""The one training loop: stages of epochs of steps, on Accelerate, resumable to the bit."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.console import Progress
from affectkit.errors import AffectkitError
from affectkit.plain import without_nan
from affectkit.training import accelerating, finder, optimizing
from affectkit.training.failures import check_weights
from affectkit.training.journal import record
from affectkit.training.judging import Judge
from affectkit.training.keeping import CHECKPOINTS, Keeper
from affectkit.training.loading import Feed, Loaded
from affectkit.training.optimizing import Pace
from affectkit.training.problem import Fit, Part, Problem, WithTaskWeights, check_problem, check_rates, identity
from affectkit.training.schedules import Plateau
from affectkit.training.settings import Settings
from affectkit.training.stages import Stage
from affectkit.training.stepping import Stepper
from affectkit.training.weights import Weights

__all__ = ["CHECKPOINTS", "Fit", "Problem", "Settings", "fit"]

logger = logging.getLogger(__name__)

AfterStage = Callable[[Stage], None]

_SWEEP = 1_000_000  # stands for the epoch in the order of a sweep's batches


def fit(
    problem: Problem,
    stages: Sequence[Stage],
    settings: Settings,
    folder: Path,
    accelerator: Any,
    *,
    progress: Progress | None = None,
    after_stage: AfterStage | None = None,
) -> Fit:
    """Train the network of `problem` through `stages`; it ends with the best weights over all of them.

    Each stage starts from the best weights so far, so a stage that does not help is undone. One in which nothing trains
    is judged once, as epoch 0. `folder` gets history.csv, lr_find.json and checkpoints/; where it holds checkpoints,
    training goes on from the newest whole one, and ends with the same bits as if it had never stopped. The journal in
    force is told of it. accelerator: Accelerate's, which says on what it runs.
    progress: the main process's alone.
    after_stage: called, in every process, with a stage that has ended, while the network has the best weights so far;
    again after an interruption, if that came before the next stage.
    Raises "input" for a loss, weights or answers that are not finite (naming ids or the tensor; checkpoints are kept),
    for a sweep that finds no rate, for checkpoints that are all damaged; "environment" where memory does not suffice;
    "usage" for stages that contradict each other, and for checkpoints of another training.
    """
    check_problem(problem, stages)
    with accelerating.untouched(accelerator.device):
        if accelerator.device.type == "cpu" and np.ptp(problem.train.costs) == 0:
            accelerating.keep_memory()
        loop = _Loop(problem, stages, settings, Path(folder), accelerator)
        loop.progress = progress if accelerator.is_main_process else None
        loop.after_stage = after_stage
        return loop.run()


class _Loop:
    """A training under way."""

    progress: Progress | None
    after_stage: AfterStage | None

    def __init__(
        self, problem: Problem, stages: Sequence[Stage], settings: Settings, folder: Path, accelerator: Any
    ) -> None:
        problem = problem.weighed
        self.all_rows = self.problem = problem  # the latter with the rows of the stage under way
        self.stages, self.settings, self.accelerator = stages, settings, accelerator
        self.network = problem.module.to(accelerator.device)
        parts = optimizing.parts_of(problem)
        self.trained = [optimizing.trained_parts(parts, stage, problem.frozen_in(stage)) for stage in stages]
        check_rates(stage for stage, trained in zip(stages, self.trained, strict=True) if trained)
        self.weights = Weights(self.network, [p for parts in self.trained for _, ps in parts for p in ps])
        self.judge = Judge.of(problem, stages, settings)
        same = identity(problem, stages, settings, accelerator.mixed_precision)
        self.keeper = Keeper(folder, self.weights, settings, same, accelerator)
        rows = len(problem.train.ids), len(problem.judged.ids) if problem.judged is not None else 0
        self.record = record(*rows, self.judge.monitor, accelerator.device)

    def run(self) -> Fit:
        self.state, stored = self.keeper.resume()
        state = self.state
        self.record.begin(state, [stage.name for stage in self.stages])
        while state.stage < len(self.stages):
            stage = self.stages[state.stage]
            if not self.trained[state.stage]:
                self._evaluate_stage(stage)
                continue
            stepper = self._begin_stage(stage)
            if stored and (state.epoch or state.batch):  # within a stage: its optimiser has a past
                stepper.load(stored.tensors)
            stored = None
            self._train_stage(stage, stepper)
        self.keeper.load_best(state)
        self.keeper.write_tables(state)
        told = self._as_run(), self.judge.monitor, self._task_weights()
        return Fit(state.history, state.best_epoch, state.sweeps, *told)

    # A stage

    def _begin_stage(self, stage: Stage) -> Stepper:
        """What trains its parts, at its rates: looked for first, where it has none."""
        trained = self._enter_stage(stage)
        self.feed = Feed(self.problem.train, self.settings, self.accelerator)
        if stage.finds and self.state.sweep_of(stage.name) is None:
            self._find_rate(stage, trained)
        rates, batches = stage.rates(self.state.found), len(self.feed.batches(self.state.stage, self.state.epoch))
        plan = {"stage": stage.name, "epochs": stage.epochs * self.problem.passes, "batches": batches}
        self.record.tell("stage", **plan, rates=list(rates))
        return self._stepper(trained, rates, self.settings.average)

    def _enter_stage(self, stage: Stage) -> list[Part]:
        """Its rows, and the parts that train in it."""
        trained = self.trained[self.state.stage]
        self.problem = self.all_rows.of_stage(stage)
        self.judge = replace(self.judge, problem=self.problem)
        optimizing.freeze(self.network, trained)
        return trained

    def _evaluate_stage(self, stage: Stage) -> None:
        """Judge the network once, as no epoch of the stage would change it."""
        self._enter_stage(stage)
        logger.info("nothing trains in stage '%s': evaluated once", stage.name)
        row = {"stage": stage.name, "epoch": 0, "step": self.state.step, "learning_rate": math.nan}
        self._compare({**row, "train_loss": math.nan, **self.judge.measure(self.network, self.accelerator)})
        self.keeper.write_tables(self.state)
        self._end_stage(stage)

    def _train_stage(self, stage: Stage, stepper: Stepper) -> None:
        """Its epochs, or those that are left of them, and then the best weights so far."""
        while not self._ended(stage):
            self._train_epoch(stage, stepper)
            self._close_epoch(stage, stepper)
            if not self._ended(stage) and self.keeper.worthwhile():
                self._save(stepper)
            self.keeper.write_tables(self.state)
        why = "epochs" if self.state.epoch >= stage.epochs else "patience"
        self.record.tell("stop", stage=stage.name, why=why)
        stepper.release()
        self._end_stage(stage)

    def _end_stage(self, stage: Stage) -> None:
        self.keeper.load_best(self.state)
        if self.after_stage:
            self.after_stage(stage)
        self.state.end_stage()
        self._save()

    def _save(self, stepper: Stepper | None = None) -> None:
        """A checkpoint. stepper: of the stage under way; None between stages."""
        with self.record.saving(self.state.step):
            self.keeper.save(self.state, stepper)

    def _ended(self, stage: Stage) -> bool:
        return self.state.epoch >= stage.epochs or bool(stage.patience and self.state.waited >= stage.patience)

    # An epoch

    def _train_epoch(self, stage: Stage, stepper: Stepper) -> None:
        """Its batches, or those that are left of them."""
        state, together = self.state, self.settings.accumulation
        count = len(self.feed.batches(state.stage, state.epoch))
        steps = math.ceil(count / together)
        pace = Pace.of(stage, steps, self._plateau(stage).factor)
        with closing(self.feed.load(state.stage, state.epoch, start=state.batch)) as loading:
            for number in range(state.batch // together, steps):
                of_step, before = min(together, count - state.batch), state.sums
                rows = [
                    self._take_batch(stepper, loading, count, share_of_step=1 / of_step, last=place == of_step)
                    for place in range(1, of_step + 1)
                ]
                with self._clocked():
                    rate = stepper.step(pace, state.epoch * steps + number, np.concatenate(rows))
                state.end_step(rate)
                figures = state.since(before) | {"rate": rate, "norm": stepper.norm}
                self.record.step(stage.name, (state.epoch + 1) * self.problem.passes, state.step, **figures)
                if self.keeper.due(state.step):
                    self._save(stepper)

    def _take_batch(
        self, stepper: Stepper, loading: Iterator[Loaded], count: int, *, share_of_step: float, last: bool
    ) -> np.ndarray:
        """Add the gradient of the next of `count` batches; its rows. last: whether an update follows."""
        state = self.state
        with self._clocked():
            loaded = next(loading)
            self._seed(state.epoch, state.batch)
            loss = stepper.backward(loaded, share_of_step=share_of_step, last=last)
        state.end_batch(loss, len(loaded.rows), loaded.waited)
        self._tell(count)
        return loaded.rows

    def _close_epoch(self, stage: Stage, stepper: Stepper) -> None:
        """Judge the epoch, and keep its weights if they are the best."""
        state = self.state
        place = {"stage": stage.name, "epoch": (state.epoch + 1) * self.problem.passes}
        with stepper.averaged():
            check_weights(self.weights.tensors(), f"epoch {state.epoch + 1} of stage '{stage.name}'")
            row: dict[str, Any] = {
                **place,
                "step": state.step,
                "learning_rate": state.rate,
                "train_loss": state.train_loss,
            }
            row |= self.judge.measure(self.network, self.accelerator)
        self._compare(row, stepper)
        if self.judge.monitor:
            self._watch(stage, row[self.judge.monitor])
        state.end_epoch()

    def _compare(self, row: dict[str, Any], stepper: Stepper | None = None) -> None:
        """Put a row into the history, and keep the weights if they are the best."""
        state = self.state
        row["best"] = self.judge.best(row, state.best_epoch if state.best_row is not None else None)
        state.history.append(row)
        if row["best"]:
            self.keeper.keep_best(state, stepper)
        self.record.epoch(row, state.speed() if stepper else {})

    def _watch(self, stage: Stage, value: float) -> None:
        """What a monitored value means for the stage's end, and for its rate."""
        state = self.state
        if self.judge.better(value, state.stage_best, by=stage.min_delta):
            state.stage_best, state.waited = value, 0
        else:
            state.waited += 1
        if stage.schedule == "plateau":
            plateau = self._plateau(stage)
            before, highest = plateau.factor, stage.rates(state.found)[1]
            plateau.step(value, self.judge.higher)
            state.plateau = asdict(plateau)
            if plateau.factor != before:
                rates = {"from": before * highest, "to": plateau.factor * highest}
                self.record.tell("rate", **rates, why="plateau", stage=stage.name, epoch=state.epoch + 1)

    def _plateau(self, stage: Stage) -> Plateau:
        return Plateau(**{"min_delta": stage.min_delta, **self.state.plateau})

    # Its parts

    def _stepper(self, trained: Sequence[Part], rates: tuple[float, float], average: float = 0.0) -> Stepper:
        optimizer = optimizing.optimizer_for(trained, rates, self.settings.weight_decay)
        return Stepper(self.problem, optimizer, self.accelerator, clip=self.settings.clip, average=average)

    def _find_rate(self, stage: Stage, trained: Sequence[Part]) -> None:
        """Sweep over rates before a stage, after which the network is as it was."""
        kept = self.weights.copy()
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        stepper = self._stepper(trained, (1.0, 1.0))
        with closing(self.feed.load_on(self.state.stage, _SWEEP)) as loading:
            sweep = finder.sweep(self._trial(stepper, loading), bounded=self.problem.objective.bounded)
        stepper.release()
        self.weights.put_back(kept)
        if scaler:
            self.accelerator.scaler.load_state_dict(scaler)
        self.state.sweeps.append(without_nan({"stage": stage.name, **asdict(sweep)}))
        self.state.found = sweep.rate
        outcome = {"rate": sweep.rate} if sweep.rate is not None else {"reason": sweep.reason}
        self.record.tell("lr_find", stage=stage.name, **outcome)
        self.keeper.write_tables(self.state)
        if sweep.rate is None:
            message = f"stage '{stage.name}': no learning rate found: {sweep.reason}"
            place = self.keeper.folder / "lr_find.json"
            raise AffectkitError("input", message, file=place, remedy="give --learning-rate a number")
        logger.info("stage %s: learning rate %.3g found in %d steps", stage.name, sweep.rate, len(sweep.rates))

    def _trial(self, stepper: Stepper, loading: Iterator[Loaded]) -> Callable[[float], float]:
        """One update of a sweep at a rate."""
        numbers = itertools.count()

        def step(rate: float) -> float:
            number = next(numbers)
            self._seed(_SWEEP, number)
            if self.progress:
                self.progress(number + 1, finder.STEPS, "looking for a learning rate")
            return stepper.once(next(loading), rate)

        return step

    def _seed(self, epoch: int, batch: int) -> None:
        """Set the generators for a batch, for this process's share of it."""
        key = (self.settings.seed, self.state.stage, epoch, batch, self.accelerator.process_index)
        accelerating.seed_step(key, self.accelerator.device)

    def _task_weights(self) -> dict[str, float]:
        """How much each target counts under the best weights, where that was learned."""
        if not isinstance(self.network, WithTaskWeights):
            return {}
        objective = self.problem.objective
        factors = objective.factors(self.network.log_variances.detach())
        shares = (factors / factors.mean()).tolist()
        return {target.name: share for target, share in zip(objective.targets, shares, strict=True)}

    def _as_run(self) -> list[dict[str, Any]]:
        """The stages with (lowest, highest) rates as they were used."""
        rate, ran = None, []
        for stage in self.stages:
            sweep = self.state.sweep_of(stage.name)
            rate = sweep["rate"] if sweep else rate
            ran.append(asdict(stage) | {"rates": list(stage.rates(rate))})
        return ran

    # What is said

    @contextmanager
    def _clocked(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.state.seconds += time.perf_counter() - began

    def _tell(self, count: int) -> None:
        """Say where training stands, in batches, of which each epoch has about `count`."""
        state, stage, passes = self.state, self.stages[self.state.stage], self.problem.passes
        before = sum(each.epochs for each in self.stages[: state.stage]) + state.epoch
        done, total = before * count + state.batch, sum(each.epochs for each in self.stages) * count
        speed = state.speed()["rows_per_second"]
        at = {"stage": stage.name, "epoch": (state.epoch + 1) * passes, "epochs": stage.epochs * passes}
        at |= {"batch": state.batch, "batches": count, "done": done, "total": total}
        self.record.show(**at, train_loss=state.train_loss, rows_per_second=speed)
        if self.progress is None:
            return
        note = f"{stage.name} epoch {state.epoch + 1}/{stage.epochs}, loss {state.train_loss:.3g}"
        if self.judge.monitor and state.history:
            note += f", {self.judge.monitor} {state.history[-1][self.judge.monitor]:.3f}"
        note += f", {speed:.1f} rows/s"
        self.progress(done, total, note)
