"""From a manifest and its features to a model and honest predictions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.features import read_features
from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.manifest import Manifest, row_weights
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.distributed import one_thread
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import (
    Block,
    Estimator,
    TrainedInEpochs,
    Workspace,
    refuse_infinite,
    refuse_no_answer,
    takes_of,
)
from affectkit.estimators._fit import FitSettings, TargetModel, encode_target, fit_target, load_target
from affectkit.estimators._model import EstimatorModel, speaker_normalized, width_of
from affectkit.estimators._network_inputs import read_block
from affectkit.labels import Target
from affectkit.leakage.held_out import HeldOut, hold_out_rows

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


# --- Where networks are trained: a folder for each fit, in which an interrupted run goes on, gone when all is done


FITS, FITTED = "fits", "fitted.json"
OUTCOME = ("chosen", "search", "history", "sweeps")  # of a fitted target, besides what predicts
MOST_READERS = 4  # threads; each holds two batches of frames, and more read no faster


def workspace_of(estimator: Estimator, folder: Path, device: str, num_workers: int) -> Workspace | None:
    """Where an estimator that is trained in epochs works; None for the others. num_workers: threads that read frames.

    Raises as `open_accelerator` does.
    """
    if not isinstance(estimator, TrainedInEpochs):
        return None
    from affectkit.training.accelerating import open_accelerator

    return Workspace(folder, open_accelerator(device), min(num_workers, MOST_READERS))


def clean_up(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    shutil.rmtree(folder / FITS, ignore_errors=True)


@dataclass(frozen=True)
class ResumableFits:
    """The fits of a target: `first`, `first` + 1, ... of `total`, with what is said of them, and where they work."""

    first: int
    total: int
    progress: Progress
    workspace: Workspace | None = None

    def run(
        self, number: int, estimator: Estimator, target: Target, fit: Callable[[Estimator], TargetModel]
    ) -> TargetModel:
        """`fit` of the estimator, which works in a workspace of its own; read back, where it was done before."""
        if self.workspace is None or not isinstance(estimator, TrainedInEpochs):
            return fit(estimator)
        number += self.first
        what = f"fit {number + 1} of {self.total}: " if self.total > 1 else ""

        def say(note: str) -> None:
            self.progress(number, self.total, what + note)

        workspace = replace(self.workspace, folder=self.workspace.folder / FITS / f"{number:03d}", say=say)
        record = workspace.folder / FITTED
        if not record.exists():
            model = fit(estimator.at(workspace))
            model.save(workspace.folder)
            write_json(record, {name: getattr(model, name) for name in OUTCOME})
        for folder in [path for path in workspace.folder.iterdir() if path.is_dir()]:
            shutil.rmtree(folder)
        known = read_json(record, what="fit")
        return replace(load_target(workspace.folder, target, estimator), **{name: known[name] for name in OUTCOME})


@dataclass(frozen=True)
class Dataset:
    """Rows of a manifest with their features: a block per features folder, and what each says of itself.

    group: the column of what must not straddle; None picks the speaker or what stands in for it. row_weights: how much
    train rows count, as `--row-weights` says it.
    """

    manifest: Manifest
    blocks: list[Block]
    encoders: list[dict[str, Any]]
    group: str | None = None
    row_weights: str = ""


@dataclass(frozen=True)
class Trained:
    model: EstimatorModel
    predictions: Predictions
    fit_rows: pd.DataFrame


def load_dataset(
    manifest: Manifest, features: Sequence[Path], *, group: str | None, missing: str, estimator: Estimator | None = None
) -> Dataset:
    """Join a manifest's rows with their features by id.

    missing: "drop" leaves out rows that a features folder lacks, "stop" raises naming the first. estimator: what is to
    be fitted on them; None takes one vector of each row.
    """
    takes, name = takes_of(estimator), getattr(estimator, "name", "")
    loaded = [read_features(path) for path in features]
    if missing == "drop":
        there = set.intersection(*({*f.ids} for f in loaded))
        keep = manifest.rows["id"].isin(there).to_numpy()
        if not keep.all():
            logger.warning("%d of %d rows have no features and are dropped", (~keep).sum(), len(keep))
        manifest = manifest.take(keep)
    ids = list(manifest.rows["id"])
    blocks = [read_block(f, ids, takes, name) for f in loaded]
    for block, source in zip(blocks, loaded, strict=True):
        refuse_infinite(block, ids, source.path)
    return Dataset(manifest, blocks, [f.described() for f in loaded], group)


def train_model(
    data: Dataset,
    estimator: Estimator,
    targets: Sequence[Target],
    settings: FitSettings,
    *,
    cv: bool,
    progress: Progress,
    workspace: Workspace | None = None,
) -> Trained:
    """Fit each target, and predict every row that may be judged; which those are, `hold_out_rows` says.

    workspace: where a network is trained, to go on there if it is interrupted (`clean_up` removes what it leaves).
    """
    rows = data.manifest.rows
    if settings.normalize == "speaker":
        speakers = rows["speaker"].to_numpy() if "speaker" in rows else None
        data = replace(data, blocks=speaker_normalized(data.blocks, speakers))
    held_out = hold_out_rows(data.manifest, targets, group=data.group, cv=cv, seed=settings.seed)
    if data.row_weights and isinstance(estimator, TrainedInEpochs):
        able = "linear, svm or forest"
        raise AffectkitError("usage", f"--row-weights: {estimator.name} weighs classes alone", remedy=f"use {able}")
    weights = row_weights(data.manifest, data.row_weights, held_out.fit) if data.row_weights else None
    _warn_of_copies(data, held_out)
    count = len(held_out.fits())
    models, outputs = [], []
    for number, target in enumerate(targets):
        fits = ResumableFits(number * count, len(targets) * count, progress, workspace)
        with one_thread():
            model, output = _fit_and_predict(data, held_out, estimator, target, settings, fits, weights)
        models.append(model)
        outputs.append(TargetPrediction.of(target, output))
    carried = [held_out.group] if held_out.group else []
    predictions = build_predictions(rows, outputs, held_out.seen, carried)
    spec = _spec(data, held_out, estimator, models, settings)
    return Trained(EstimatorModel(spec, models), predictions.take(held_out.judged), held_out.fit_rows())


def _fit_and_predict(
    data: Dataset,
    held_out: HeldOut,
    estimator: Estimator,
    target: Target,
    settings: FitSettings,
    fits: ResumableFits,
    weights: np.ndarray | None,
) -> tuple[TargetModel, np.ndarray]:
    """The final model, and a prediction for every row: out of fold on the fit rows where there are folds."""
    y = encode_target(target, list(data.manifest.rows[target.name]))
    ids = data.manifest.rows["id"].astype(str).to_numpy()
    _warn_of_unseen(target, y[held_out.fits()[0][0]])
    models: list[TargetModel] = []
    output: Any = None
    for number, (inside, outside) in enumerate(held_out.fits()):

        def fit(placed: Estimator, rows: np.ndarray = inside) -> TargetModel:
            blocks, groups = [b[rows] for b in data.blocks], held_out.groups[rows]
            counted = None if weights is None else weights[rows]
            return fit_target(placed, target, blocks, y[rows], groups, settings, ids[rows], counted)

        model = fits.run(number, estimator, target, fit)
        values = model.predict([b[outside] for b in data.blocks])
        refuse_no_answer(values, data.manifest, outside)
        output = np.array(values) if output is None else output
        output[outside] = values
        models = models or [model]
        fits.progress(fits.first + number + 1, fits.total)
    return models[0], output


def _warn_of_copies(data: Dataset, held_out: HeldOut) -> None:
    if not data.blocks or not all(isinstance(block, np.ndarray) for block in data.blocks):
        return
    cells = np.array(
        [hash(b"".join(block[row].tobytes() for block in data.blocks)) for row in range(len(held_out.ids))]
    )
    held_out.warn_of_copies(cells, "features")


def _warn_of_unseen(target: Target, fitted: np.ndarray) -> None:
    """Name the classes that no row fitted on has. fitted: [M] class indices of those rows, NaN unlabelled."""
    if unseen := target.unseen(fitted):
        message = "%s: none of the rows fitted on is %s: the model gives these classes a probability of 0"
        logger.warning(message, target.name, ", ".join(unseen))


def _spec(
    data: Dataset, held_out: HeldOut, estimator: Estimator, models: Sequence[TargetModel], settings: FitSettings
) -> dict[str, Any]:
    return {
        "kind": "estimator",
        "estimator": estimator.name,
        "options": estimator.options,
        "targets": [model.target.to_json() for model in models],
        "chosen": {model.target.name: model.chosen for model in models},
        "normalize": settings.normalize,
        "class_weight": settings.class_weight,
        **({"row_weights": data.row_weights} if data.row_weights else {}),
        "group": held_out.group,
        "groups_straddle": held_out.straddle,
        "features": data.encoders,
        "dimensions": [width_of(block) for block in data.blocks],
        "needs": sorted({str(encoder.get("reads", "features")) for encoder in data.encoders}),
        "parents": [],
    }
