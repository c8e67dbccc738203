"""A training as its options describe it: those of the command line, or of the record of a run that is fitted again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.manifest import Manifest, read_manifest
from affectkit.artifacts.models import whole
from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.records import STARTED, read_started, require_unchanged
from affectkit.artifacts.sequences import Gathering
from affectkit.console import Progress, unwatched
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Estimator, Workspace, takes_of
from affectkit.estimators._fit import FitSettings, build_estimator
from affectkit.estimators._train import Dataset, Trained, load_dataset, train_model, workspace_of
from affectkit.labels import Target
from affectkit.leakage.held_out import groups_of
from affectkit.plain import comma_separated
from affectkit.splits import grouped_folds


@dataclass(frozen=True)
class Training:
    data: Dataset
    estimator: Estimator
    targets: Sequence[Target]
    settings: FitSettings

    def run(self, *, cv: bool, progress: Progress, workspace: Workspace | None, **more: Any) -> Trained:
        """more: as `train_model` takes it."""
        how: dict[str, Any] = {"cv": cv, "progress": progress, "workspace": workspace}
        return train_model(self.data, self.estimator, self.targets, self.settings, **how, **more)


def assemble(rows: Manifest, estimator: Estimator, options: Mapping[str, Any]) -> Training:
    """options: of `train`, as they were typed or as its record has them."""
    targets = rows.chosen_targets(options["target"])
    known = {"group": options["group"], "missing": options["missing"], "exclude": comma_separated(options["exclude"])}
    known["gathering"] = _gathering(estimator, options)
    data = load_dataset(rows, options["features"], estimator=estimator, targets=targets, **known)
    names = ("normalize", "class_weight", "seed", "impute")
    told = {name: options[name] for name in names} | {"select_features": options["select_features"] or 0}
    settings = FitSettings(**told)
    return Training(replace(data, row_weights=options["row_weights"]), estimator, targets, settings)


def _gathering(estimator: Estimator, options: Mapping[str, Any]) -> Gathering | None:
    """Of rows into sequences, where it is asked for. Raises "usage" for an estimator that takes no frames, and for what
    says how without asking for it."""
    columns, time, truth = (options.get(name) for name in ("sequence", "time", "truth"))
    if columns is None:
        for name, value in (("time", time), ("truth", truth)):
            if value is not None:
                remedy = "name the columns that tell sequences apart, such as --sequence session"
                raise AffectkitError("usage", f"--{name} needs --sequence", remedy=remedy)
        return None
    if not takes_of(estimator).frames:
        message = f"--sequence: {estimator.name} reads one vector per row, and pools no windows"
        remedy = "use --model attention, or train on the windows and put their predictions together with aggregate"
        raise AffectkitError("usage", message, remedy=remedy)
    if not comma_separated(columns):
        raise AffectkitError("usage", "--sequence names no column", remedy="name one, such as --sequence session")
    return Gathering(tuple(comma_separated(columns)), time or "time_sec", truth or "unanimous")


@dataclass(frozen=True)
class Again:
    """A run of `train`, to be fitted on other rows of its manifest."""

    training: Training
    device: str = "auto"
    num_workers: int = 0

    def __call__(self, inside: Sequence[str], outside: Sequence[str], folder: Path) -> Predictions:
        """Answers for the ids inside, out of fold, and for those outside, from a fit on all inside. folder: to work in.

        Raises "input" for an id that its manifest lacks.
        """
        training = self.training
        workspace = workspace_of(training.estimator, folder, self.device, self.num_workers)
        training = replace(training, data=_split(training.data, inside, outside))
        with silent("estimators"):  # what there is to warn of was said when the run was made
            return training.run(cv=True, importance=False, progress=unwatched, workspace=workspace).predictions


@contextmanager
def silent(*rooms: str) -> Iterator[None]:
    """No warnings of these folders of the package."""
    loggers = [logging.getLogger(f"affectkit.{room}") for room in rooms]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)


def again(run: Path, *, device: str = "auto", num_workers: int = 0) -> Again:
    """Raises AffectkitError that says why a run cannot be fitted again: it is of another command, or what it was fitted
    on has changed or gone."""
    started = read_started(run)
    if started["command"] != "train":
        raise AffectkitError("input", f"affectkit {started['command']} made it, which is not fitted again", file=run)
    require_unchanged(started)
    with whole(run / STARTED, "record of a training"):
        options = {"exclude": None, "impute": "median", "select_features": None, **started["options"]}
        estimator = build_estimator(options["model"], options["plugin_options"])
        training = assemble(read_manifest(Path(options["manifest"])), estimator, options)
    return Again(training, device, num_workers)


def _split(data: Dataset, inside: Sequence[str], outside: Sequence[str]) -> Dataset:
    """The rows of these ids: those inside are fitted on, in the manifest's folds, else in five at most: leaving out
    each of 19 patients inside each of 20 would be 400 fits."""
    ids = data.manifest.rows["id"]
    if missing := sorted({*inside, *outside}.difference(ids)):
        raise AffectkitError("input", f"has no id '{missing[0]}'", file=data.manifest.path)
    keep = ids.isin({*inside, *outside}).to_numpy()
    manifest = data.manifest.take(keep)
    table = manifest.rows.assign(split=np.where(manifest.rows["id"].isin(set(inside)), "train", "test"))
    fitted = (table["split"] == "train").to_numpy()
    if "fold" not in table or table["fold"][fitted].nunique() < 2:
        folds = grouped_folds(groups_of(manifest, data.group)[1][fitted], None)
        table.loc[fitted, "fold"] = [str(fold) for fold in folds]
        table = table.assign(fold=table["fold"].fillna(""))
    blocks = [block[np.flatnonzero(keep)] for block in data.blocks]
    return replace(data, manifest=replace(manifest, rows=table), blocks=blocks)
