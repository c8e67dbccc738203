"""From a manifest's media to a fine-tuned network and honest predictions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from affectkit.artifacts.manifest import Manifest, row_weights
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.errors import AffectkitError
from affectkit.finetuning.encoded import encode, read_encoded
from affectkit.finetuning.model import FinetunedModel
from affectkit.finetuning.passes import ONCE, over_passes
from affectkit.finetuning.rows import (
    Data,
    Setup,
    labelled,
    say_cost,
    selected_on,
    stopping_rows,
    take,
    thawing,
    truth_of,
    warn,
)
from affectkit.labels import Target
from affectkit.leakage.audit import normal_text
from affectkit.leakage.held_out import hold_out_rows
from affectkit.training.fit import CHECKPOINTS, Fit, Problem, fit
from affectkit.training.judging import outputs_of
from affectkit.training.keeping import read_tensors, write_tensors
from affectkit.training.objective import build_objective

FOLDS = "folds"
ANSWERS, ENCODED = "answers.safetensors", "encoded.safetensors"
Log = Callable[[Mapping[str, float], int], None]


@dataclass(frozen=True)
class Finetuned:
    """fits: the final one, then that of each fold. selected_on: which rows chose the epoch, in words."""

    model: FinetunedModel
    predictions: Predictions
    fit_rows: pd.DataFrame
    fits: Sequence[Fit]
    selected_on: str


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
    held_out = hold_out_rows(manifest, targets, group=group, cv=cv, seed=setup.settings.seed)
    if setup.medium.reads == "text" and not manifest.declared():
        held_out.warn_of_copies(np.array([normal_text(text) for text in manifest.rows["text"]]), "text")
    truth = truth_of(manifest.rows, targets, votes=setup.loss.loss == "soft")
    spoken = setup.loss.row_weights
    weights = row_weights(manifest, spoken, held_out.fit) if spoken else None
    data = Data(manifest, targets, setup.medium.items(manifest), truth, held_out, weights=weights)
    say_cost(data, setup)
    job = _Job(folder, accelerator, progress, log)
    if setup.medium.features and not setup.encodes_once:
        augmented = setup.medium.augmentation
        why = "augmented images differ in every epoch" if augmented else "no stage trains the head alone"
        raise AffectkitError("usage", f"--features serve nothing: {why}", remedy="leave them out")
    if setup.encodes_once:
        data = replace(data, encoded=_encoded(data, setup, job))
    fits: list[Fit] = []
    outputs: dict[str, np.ndarray] = {}
    network = None
    for number, (inside, outside) in enumerate(held_out.fits()):
        done, answers, trained = _fit_one(data, inside, outside, setup, job if number == 0 else job.of_fold(number))
        fits.append(done)
        network = trained if number == 0 else network
        for name, values in answers.items():
            values_of_all = outputs.setdefault(name, np.full((len(manifest.rows), *values.shape[1:]), np.nan))
            values_of_all[outside] = values
    carried = [held_out.group] if held_out.group else []
    predictions = build_predictions(manifest.rows, over_passes(targets, outputs), held_out.seen, carried)
    model = FinetunedModel(_spec(data, setup, network), setup.medium, network)
    judged = predictions.take(held_out.judged)
    return Finetuned(model, judged, held_out.fit_rows(), fits, selected_on(data, setup))


@dataclass(frozen=True)
class _Job:
    """Where a fine-tuning works, and whom it tells."""

    folder: Path
    accelerator: Any
    progress: Progress | None
    log: Log | None

    def of_fold(self, number: int) -> _Job:
        return replace(self, folder=self.folder / FOLDS / f"{number:02d}", log=None)

    def write(self, path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
        """In the main process."""
        if self.accelerator.is_main_process:
            write_tensors(path, tensors)


def _fit_one(
    data: Data, inside: np.ndarray, outside: np.ndarray, setup: Setup, job: _Job
) -> tuple[Fit, dict[str, np.ndarray], Any]:
    """One fine-tuning: what became of it, its answers for the rows `outside`, and the network, whose numbers are in the
    targets' own units."""
    train, stopping = stopping_rows(data, inside, setup)
    train = train[labelled(take(data.truth, train))]
    objective = build_objective(data.targets, take(data.truth, train), **asdict(setup.loss))
    warn(data, objective, train, stopping, setup)
    medium = setup.medium
    network = medium.build(data.targets, setup.settings.seed)
    val = data.examples(stopping, network, medium) if len(stopping) else None
    trained, answering = medium.wrapped(network), medium.wrapped(network, medium.passes)
    at_head = None
    if data.encoded is not None:
        at_head = data.at_head(train, train=True), data.at_head(stopping) if len(stopping) else None
    examples = data.examples(train, network, medium, train=True)
    stages, thawed = setup.stages, frozenset[str]()
    if epochs := getattr(medium, "freeze_feature_encoder_epochs", 0):
        stages, thawed = thawing(stages, epochs)
    problem = Problem(trained, examples, val, objective, medium.frozen, at_head, thawed)
    stages = list(stages) if len(stopping) else [replace(stage, patience=0) for stage in stages]
    done = fit(problem, stages, setup.settings, job.folder, job.accelerator, progress=job.progress, log=job.log)
    stored = job.folder / ANSWERS
    if not stored.exists():
        known = setup.head_only and data.encoded is not None and medium.passes == ONCE
        rows = data.at_head(outside) if known else data.examples(outside, network, medium, passes=medium.passes)
        job.write(stored, outputs_of(answering, rows, job.accelerator, **setup.settings.answering))
    job.accelerator.wait_for_everyone()
    answers = medium.passes.answers(objective, read_tensors(stored))
    network.fold(objective.scaling)
    return done, answers, network


def clean_up(folder: Path) -> None:
    """Remove what only an unfinished run needs: checkpoints, answers that are in the predictions by now."""
    for place in [folder, *sorted((folder / FOLDS).glob("*"))]:
        shutil.rmtree(place / CHECKPOINTS, ignore_errors=True)
        for name in (ANSWERS, ENCODED):
            (place / name).unlink(missing_ok=True)


def _encoded(data: Data, setup: Setup, job: _Job) -> np.ndarray:
    """[N, D] of the rows that the head is trained on, and, if that is all that is trained, of those to be answered; NaN
    for the others. Computed once, and kept in the run folder until the run is finished; or read from features."""
    stored, features = job.folder / ENCODED, setup.medium.features
    if features or not stored.exists():
        network, rows = setup.medium.build(data.targets, setup.settings.seed), data.rows_of(setup)
        if features:
            ids = [item.id for item in data.items]
            return read_encoded(features, ids, rows, network.describe(), setup.medium.spec()["crop"])
        network = network.to(job.accelerator.device)
        examples = partial(data.examples, network=network, medium=setup.medium)
        values = encode(network, rows, examples, job.accelerator, setup.settings.answering, job.progress)
        values_of_all = torch.full((len(data.items), values.shape[1]), torch.nan)
        values_of_all[torch.from_numpy(rows)] = values
        job.write(stored, {"encoded": values_of_all})
    job.accelerator.wait_for_everyone()
    return read_tensors(stored)["encoded"].numpy()


def _spec(data: Data, setup: Setup, network: Any) -> dict[str, Any]:
    return {
        "kind": "finetuned",
        "reads": setup.medium.reads,
        "base": {"checkpoint": setup.medium.checkpoint, **network.describe()},
        **setup.medium.spec(),
        "targets": [target.to_json() for target in data.targets],
        **setup.medium.passes.plain(),
        "loss": setup.loss.loss,
        "class_weight": setup.loss.class_weight,
        **({"row_weights": setup.loss.row_weights} if setup.loss.row_weights else {}),
        "group": data.held_out.group,
        "groups_straddle": data.held_out.straddle,
        "needs": [setup.medium.reads],
        "parents": [],
    }
