"""From a manifest's media to a fine-tuned network and honest predictions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectkit.artifacts.manifest import Manifest, row_weights
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.errors import AffectkitError
from affectkit.finetuning.beside import Beside
from affectkit.finetuning.fitting import (
    BRANCH,
    FINAL,
    STAGE,
    WHOLE,
    WORKING,
    Answers,
    Fitting,
    Job,
    Part,
    beside_of,
    encoded_of,
    rows_of_start,
)
from affectkit.finetuning.model import FinetunedModel
from affectkit.finetuning.passes import over_passes
from affectkit.finetuning.rows import Data, Setup, say_cost, selected_on, stopping_rows, truth_of
from affectkit.finetuning.start import FOLDS, Loaded, Start
from affectkit.labels import Target
from affectkit.leakage.audit import normal_text
from affectkit.leakage.held_out import hold_out_rows
from affectkit.training.fit import CHECKPOINTS, Fit
from affectkit.training.journal import name_of_fit, within
from affectkit.training.objective import AUTO, LOSSES
from affectkit.training.settings import EQUAL, LossOptions

logger = logging.getLogger(__name__)

ALONE = "alone"  # where targets are learned each alone; gone when all is done


@dataclass(frozen=True)
class Finetuned:
    """fits: the final one, then that of each fold. selected_on: which rows chose the epoch, in words. in_sample: what
    the model says of the very rows that it was fitted on, those that chose the epoch left out.

    stages, branches: predictions of the same rows after each stage but the last, and of each branch alone, by name.
    loaded: what each fit took from `start`. beside: what the network is mixed with. separate: what networks say that
    learned each target alone.
    """

    model: FinetunedModel
    predictions: Predictions
    fit_rows: pd.DataFrame
    fits: Sequence[Fit]
    selected_on: str
    in_sample: Predictions
    stages: Mapping[str, Predictions] = field(default_factory=dict)
    branches: Mapping[str, Predictions] = field(default_factory=dict)
    loaded: Sequence[Loaded] = ()
    start: Start | None = None
    beside: Beside | None = None
    separate: Predictions | None = None


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
    _check_features(setup)
    answers = Answers(len(manifest.rows))
    fits, loaded, final = _fit_all(data, setup, Job(folder, accelerator, progress), answers)
    carried = [held_out.group] if held_out.group else []
    of_model = over_passes(targets, answers.of_kind.pop(FINAL))
    fitted = np.isin(np.arange(len(manifest.rows)), stopping_rows(data, held_out.fit, setup)[0])
    in_sample = build_predictions(manifest.rows, of_model, held_out.fitted).take(fitted)
    tables: dict[str, dict[str, Predictions]] = {WHOLE[0]: {}, STAGE: {}, BRANCH: {}}
    for (kind, name), values in answers.of_kind.items():
        table = build_predictions(manifest.rows, over_passes(targets, values), held_out.seen, carried)
        tables[kind][name] = table.take(held_out.judged)
    model = FinetunedModel(_spec(data, setup, final), setup.medium, final.network, final.mixture)
    fit_rows, chosen = held_out.fit_rows(), selected_on(data, setup)
    kept = (tables[STAGE], tables[BRANCH], loaded, setup.start, setup.beside)
    return Finetuned(model, tables[""][""], fit_rows, fits, chosen, in_sample, *kept)


def separately(
    manifest: Manifest,
    targets: Sequence[Target],
    setup: Setup,
    folder: Path,
    accelerator: Any,
    *,
    group: str | None = None,
    cv: bool = False,
    progress: Progress | None = None,
) -> Predictions:
    """What networks say of the same rows that learned each target alone, with the same folds, stages and seed; they are
    not kept. folder: of the open run."""
    tables = []
    for place, target in enumerate(targets):
        how = replace(setup, loss=_alone(setup.loss, target), keep_folds=False)
        where = folder / ALONE / f"{place:02d}"
        with within(f"{ALONE}-{target.name}", place + 1, len(targets)):
            done = finetune(manifest, [target], how, where, accelerator, group=group, cv=cv, progress=progress)
        tables.append(done.predictions)
    columns = {name: table.frame[name] for table in reversed(tables) for name in table.frame}
    ordered = list(dict.fromkeys(name for table in tables for name in table.frame))
    frame = pd.DataFrame(columns)[ordered]
    return replace(tables[0], frame=frame, targets={target.name: target for target in targets})


def check_separate(targets: Sequence[Target], setup: Setup) -> None:
    """Raises "usage" where there is nothing to compare, or no network that stands alone."""
    if len(targets) < 2:
        raise AffectkitError("usage", f"--separate: there is one target, {targets[0].name}", remedy="leave it out")
    if setup.beside is not None:
        message = "--separate compares networks, and --beside mixes this one with other models"
        raise AffectkitError("usage", message, remedy="leave one of them out")


def _alone(loss: LossOptions, target: Target) -> LossOptions:
    """The loss that a target has among others, without the others."""
    number = target.kind == "number"
    if loss.loss != AUTO and (LOSSES[loss.loss] == "numbers") != number:
        loss = replace(loss, loss="auto")
    return replace(loss, label_smoothing=0.0 if number else loss.label_smoothing, task_weights=EQUAL)


def _fit_all(data: Data, setup: Setup, job: Job, answers: Answers) -> tuple[list[Fit], list[Loaded], Fitting]:
    """The final fit, and those of folds, with what each started from; the final one's network."""
    held_out = data.held_out
    both = zip(held_out.fits(), held_out.judging(), strict=True)
    parts = [Part(number, *rows, judged) for number, (rows, (_, judged)) in enumerate(both)]
    if setup.start:
        if (column := setup.start.group) and column not in data.manifest.rows:
            what = "%s has no column %s: who %s was fitted on cannot be told from others"
            logger.warning(what, data.manifest.path, column, setup.start.path)
        for part in parts:  # before any work
            setup.start.check(part.number, rows_of_start(data, part, setup))
    beside = setup.beside.answers(list(held_out.ids)) if setup.beside else None
    by_fold = setup.start is not None and setup.start.by_fold
    if setup.encodes_once and not by_fold:
        data = replace(data, encoded=encoded_of(data, parts, setup, job))
    fits, loaded, final = [], [], None
    for part in parts:
        here = job.of_fit(part.number)
        with within(name_of_fit(part.number), part.number + 1, len(parts)):
            inside = beside_of(beside, part, setup.beside, data, here) if setup.beside and beside is not None else None
            if setup.encodes_once and by_fold:
                data = replace(data, encoded=encoded_of(data, [part], setup, here))
            fitting = Fitting(data, part, setup, here, inside)
            fits.append(fitting.run(answers))
        if setup.keep_folds and job.is_main:
            fitting.keep(job.fold(part.number))
        loaded += [fitting.loaded] if fitting.loaded else []
        final = final or fitting
    assert final is not None
    return fits, loaded, final


def _check_features(setup: Setup) -> None:
    """Raises "usage" for features that serve nothing."""
    if not setup.medium.features or (setup.encodes_once and setup.start is None):
        return
    augmented = "augmented images differ in every epoch" if setup.medium.augmentation else ""
    why = "--init gives the network other weights" if setup.start else augmented or "no stage trains the head alone"
    raise AffectkitError("usage", f"--features serve nothing: {why}", remedy="leave them out")


def clean_up(folder: Path) -> None:
    """Remove what only an unfinished run needs: checkpoints, answers that are in the predictions by now."""
    shutil.rmtree(folder / ALONE, ignore_errors=True)
    for place in [folder, *sorted((folder / FOLDS).glob("*"))]:
        shutil.rmtree(place / CHECKPOINTS, ignore_errors=True)
        shutil.rmtree(place / "beside", ignore_errors=True)
        for path in [path for name in WORKING for path in place.glob(name)]:
            path.unlink()


def _spec(data: Data, setup: Setup, final: Fitting) -> dict[str, Any]:
    return {
        "kind": "finetuned",
        "reads": setup.medium.reads,
        "base": {"checkpoint": setup.medium.checkpoint, **final.network.describe()},
        **setup.medium.spec(),
        "targets": [target.to_json() for target in data.targets],
        **setup.medium.passes.plain(),
        "loss": setup.loss.loss,
        "class_weight": setup.loss.class_weight,
        **({"row_weights": setup.loss.row_weights} if setup.loss.row_weights else {}),
        **({"init": str(setup.start.path)} if setup.start else {}),
        **({"beside": final.mixture.options.plain()} if final.mixture else {}),
        "group": data.held_out.group,
        "groups_straddle": data.held_out.straddle,
        "needs": [setup.medium.reads],
        "parents": [],
    }
