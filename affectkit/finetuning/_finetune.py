"""From a manifest's media to a fine-tuned network and honest predictions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.outputs import Output
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.encoders._encoder import Item
from affectkit.finetuning._medium import Medium
from affectkit.finetuning._model import FinetunedModel
from affectkit.finetuning._truth import labelled, take, truth_of
from affectkit.labels import Target
from affectkit.leakage.held_out import HeldOut, hold_out_rows
from affectkit.splits import hold_out
from affectkit.training.checkpoints import read_tensors, write_tensors
from affectkit.training.evaluating import outputs_of
from affectkit.training.examples import Examples
from affectkit.training.fit import CHECKPOINTS, Fit, Problem, Settings, fit
from affectkit.training.objective import Objective, build_objective
from affectkit.training.stages import Stage

logger = logging.getLogger(__name__)

FOLDS = "folds"
ANSWERS = "answers.safetensors"
Log = Callable[[Mapping[str, float], int], None]


@dataclass(frozen=True)
class Setup:
    """What is fine-tuned, and how.

    loss, class_weight, label_smoothing, focal_gamma: of the objective. stopping_fraction: share of the rows fitted on,
    whole groups, that is set apart to choose epochs by; None: the val rows, or with cross-prediction .15.
    """

    medium: Medium
    stages: Sequence[Stage]
    settings: Settings
    loss: str = "auto"
    class_weight: str = "balanced"
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    stopping_fraction: float | None = None


@dataclass(frozen=True)
class Finetuned:
    """fits: the final one, then that of each fold. selected_on: which rows chose the epoch, in words."""

    model: FinetunedModel
    predictions: Predictions
    fit_rows: pd.DataFrame
    fits: Sequence[Fit]
    selected_on: str


@dataclass(frozen=True)
class _Data:
    """Rows with their media and truth."""

    manifest: Manifest
    targets: Sequence[Target]
    items: Sequence[Item]
    truth: Mapping[str, np.ndarray]
    held_out: HeldOut

    def examples(self, rows: np.ndarray, network: Any, medium: Medium, *, train: bool = False) -> Examples:
        def where(position: int) -> dict[str, Any]:
            return self.manifest.where(int(rows[position]))

        items = [self.items[row] for row in rows]
        return medium.examples(items, take(self.truth, rows), network, where, train=train)


def finetune(
    manifest: Manifest,
    targets: Sequence[Target],
    setup: Setup,
    folder: Path,
    accelerator: Any,
    *,
    group: str | None = None,
    cv: bool = False,
    progress: Progress | None = None,
    log: Log | None = None,
) -> Finetuned:
    """Fine-tune a network on the train rows (with `cv` on train and val rows, cross-predicted), and predict every row
    that may be judged. Test rows are never fitted on, and no epoch is chosen by them.

    folder: of the open run, which gets the checkpoints; each fold has a folder of its own in `folds/`.
    """
    held_out = hold_out_rows(manifest, group=group, cv=cv, seed=setup.settings.seed)
    truth = truth_of(manifest.rows, targets, votes=setup.loss == "soft")
    data = _Data(manifest, targets, setup.medium.items(manifest), truth, held_out)
    _say_cost(data, setup)
    fits: list[Fit] = []
    outputs: dict[str, np.ndarray] = {}
    network = None
    for number, (inside, outside) in enumerate(held_out.fits()):
        place = folder if number == 0 else folder / FOLDS / f"{number:02d}"
        logged = log if number == 0 else None
        done, answers, trained = _fit_one(data, inside, outside, setup, place, accelerator, progress, logged)
        fits.append(done)
        network = trained if number == 0 else network
        for name, values in answers.items():
            whole = outputs.setdefault(name, np.full((len(manifest.rows), *values.shape[1:]), np.nan))
            whole[outside] = values
    said = [Output.of(target, outputs[target.name]) for target in targets]
    carried = [held_out.group] if held_out.group else []
    predictions = build_predictions(manifest.rows, said, held_out.seen, carried)
    spec = _spec(data, setup, network)
    return Finetuned(
        FinetunedModel(spec, setup.medium, network),
        predictions.take(held_out.judged),
        held_out.fit_rows(),
        fits,
        _selected_on(data, setup),
    )


def _fit_one(
    data: _Data,
    inside: np.ndarray,
    outside: np.ndarray,
    setup: Setup,
    folder: Path,
    accelerator: Any,
    progress: Progress | None,
    log: Log | None,
) -> tuple[Fit, dict[str, np.ndarray], Any]:
    """One fine-tuning: what became of it, its answers for the rows `outside`, and the network, whose numbers are in the
    targets' own units."""
    train, stopping = _stopping_rows(data, inside, setup)
    train = train[labelled(take(data.truth, train))]
    objective = build_objective(
        data.targets,
        take(data.truth, train),
        loss=setup.loss if setup.loss != "auto" else None,
        class_weight=setup.class_weight,
        label_smoothing=setup.label_smoothing,
        focal_gamma=setup.focal_gamma,
    )
    _warn(data, objective, train, stopping, setup)
    medium = setup.medium
    network = medium.build(data.targets, setup.settings.seed)
    whole = medium.whole(network)
    problem = Problem(
        whole,
        data.examples(train, network, medium, train=True),
        data.examples(stopping, network, medium) if len(stopping) else None,
        objective,
        medium.frozen,
    )
    stages = list(setup.stages) if len(stopping) else [replace(stage, patience=0) for stage in setup.stages]
    done = fit(problem, stages, setup.settings, folder, accelerator, progress=progress, log=log)
    stored = folder / ANSWERS
    if not stored.exists():
        outputs = outputs_of(
            whole,
            data.examples(outside, network, medium),
            accelerator,
            size=setup.settings.batch_size,
            most_cost=setup.settings.batch_seconds,
            num_workers=setup.settings.num_workers,
        )
        if accelerator.is_main_process:
            write_tensors(stored, outputs)
    accelerator.wait_for_everyone()
    answers = objective.answers(read_tensors(stored))
    network.fold(objective.scaling)
    return done, answers, network


def clean_up(folder: Path) -> None:
    """Remove what only an unfinished run needs: checkpoints, answers that are in the predictions by now."""
    for place in [folder, *sorted((folder / FOLDS).glob("*"))]:
        shutil.rmtree(place / CHECKPOINTS, ignore_errors=True)
        (place / ANSWERS).unlink(missing_ok=True)


def _stopping_rows(data: _Data, inside: np.ndarray, setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on, and those by which epochs are judged; none of these where there are none to be had."""
    fraction = setup.stopping_fraction
    if fraction is None and data.held_out.folds is not None:
        fraction = 0.15
    if fraction is None:
        splits = data.manifest.rows["split"].to_numpy() if "split" in data.manifest.rows else np.array([])
        val = np.flatnonzero(splits == "val")
        return inside, val[labelled(take(data.truth, val))]
    if fraction == 0:
        return inside, np.array([], dtype=int)
    groups = data.held_out.groups[inside]
    apart = hold_out(list(groups), None, fraction=fraction, seed=setup.settings.seed)
    return inside[~apart], inside[apart]


def _selected_on(data: _Data, setup: Setup) -> str:
    _, stopping = _stopping_rows(data, data.held_out.fit, setup)
    if not len(stopping):
        return "nothing: the weights of the last epoch were kept"
    if setup.stopping_fraction is None and data.held_out.folds is None:
        return "val"
    column = data.held_out.group
    what = f"whole {column}s" if column else "rows"
    return f"{len(stopping)} of the rows fitted on, {what} that no weight was fitted to"


def _say_cost(data: _Data, setup: Setup) -> None:
    fits = data.held_out.fits()
    epochs = sum(stage.epochs for stage in setup.stages)
    total, unit = 0.0, ""
    for inside, _ in fits:
        amount, unit = setup.medium.amount([data.items[row] for row in inside])
        total += amount * epochs
    times = "1 fine-tuning" if len(fits) == 1 else f"{len(fits)} fine-tunings: {len(fits) - 1} folds and the final one"
    logger.info("%s of at most %d epochs: %.3g %s to go through", times, epochs, total, unit)


def _warn(data: _Data, objective: Objective, train: np.ndarray, stopping: np.ndarray, setup: Setup) -> None:
    """Say what is likely to disappoint: a class that epochs cannot be judged on, a CCC over few rows."""
    for target in data.targets:
        values = data.truth[target.name]
        if target.kind == "number" or values.ndim == 2 or not len(stopping):
            continue
        absent = [
            name
            for place, name in enumerate(target.classes)
            if (values[train] == place).any() and not (values[stopping] == place).any()
        ]
        if absent:
            named = ", ".join(absent)
            logger.warning("the rows that choose the epoch have no %s: their UAR is over the other classes", named)
    if setup.settings.batch_seconds is None and setup.settings.batch_size < objective.least_batch:
        logger.warning(
            "the CCC of a batch of %d rows is mostly noise: --batch-size %d or more, or --loss mse, learns better",
            setup.settings.batch_size,
            objective.least_batch,
        )


def _spec(data: _Data, setup: Setup, network: Any) -> dict[str, Any]:
    return {
        "kind": "finetuned",
        "reads": setup.medium.reads,
        "base": {"checkpoint": setup.medium.checkpoint, **network.describe()},
        **setup.medium.spec(),
        "targets": [target.to_json() for target in data.targets],
        "loss": setup.loss,
        "class_weight": setup.class_weight,
        "group": data.held_out.group,
        "groups_straddle": data.held_out.straddle,
        "needs": [setup.medium.reads],
        "parents": [],
    }
