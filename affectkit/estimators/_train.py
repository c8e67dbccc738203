"""From a manifest and its features to a model and honest predictions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.features import read_features
from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.outputs import Output
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.estimators._estimator import (
    Block,
    Estimator,
    Place,
    TrainedInEpochs,
    refuse_infinite,
    takes_of,
)
from affectkit.estimators._fit import Settings, TargetModel, encode_target, fit_target, load_target
from affectkit.estimators._model import EstimatorModel, one_thread, speaker_normalized, width_of
from affectkit.estimators._network_inputs import read_block
from affectkit.labels import Target
from affectkit.leakage.held_out import HeldOut, hold_out_rows

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

FITS, FITTED = "fits", "fitted.json"
OUTCOME = ("chosen", "search", "history", "sweeps")  # of a fitted target, besides what predicts
MOST_READERS = 4  # threads; each holds two batches of frames, and more are no faster than the disk


@dataclass(frozen=True)
class Dataset:
    """Rows of a manifest with their features: a block per features folder, and what each says of itself.

    group: the column of what must not straddle; None picks the speaker or what stands in for it.
    """

    manifest: Manifest
    blocks: list[Block]
    encoders: list[dict[str, Any]]
    group: str | None = None


@dataclass(frozen=True)
class Trained:
    model: EstimatorModel
    predictions: Predictions
    fit_rows: pd.DataFrame


def load_dataset(
    manifest: Manifest,
    features: Sequence[Path],
    *,
    group: str | None,
    missing: str,
    estimator: Estimator | None = None,
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
    for block, found in zip(blocks, loaded, strict=True):
        refuse_infinite(block, ids, found.path)
    return Dataset(manifest, blocks, [f.described() for f in loaded], group)


def train_model(
    data: Dataset,
    estimator: Estimator,
    targets: Sequence[Target],
    settings: Settings,
    *,
    cv: bool,
    progress: Progress,
    place: Place | None = None,
) -> Trained:
    """Fit each target, and predict every row that may be judged; which those are, `hold_out_rows` says.

    place: where a network is trained, to go on there if it is interrupted; each fit has a folder of its own in `fits/`,
    which `clean_up` removes.
    """
    rows = data.manifest.rows
    if settings.normalize == "speaker":
        speakers = rows["speaker"].to_numpy() if "speaker" in rows else None
        data = replace(data, blocks=speaker_normalized(data.blocks, speakers))
    held_out = hold_out_rows(data.manifest, group=data.group, cv=cv, seed=settings.seed)
    fits = held_out.fits()
    steps = len(targets) * len(fits)
    models, outputs = [], []
    for which, target in enumerate(targets):
        y = encode_target(target, list(rows[target.name]))
        final: TargetModel | None = None
        output: Any = None
        for number, (inside, outside) in enumerate(fits):
            done = which * len(fits) + number
            with one_thread():
                own = _placed(place, f"{which}-{number:02d}", done, steps, progress)
                model = _fitted(estimator, target, data, y, inside, held_out.groups, settings, own)
                values = model.predict([b[outside] for b in data.blocks])
            output = np.array(values) if output is None else output
            output[outside] = values
            final = final or model
            progress(done + 1, steps)
        assert final is not None
        models.append(final)
        outputs.append(Output.of(target, output))
    carried = [held_out.group] if held_out.group else []
    predictions = build_predictions(rows, outputs, held_out.seen, carried)
    spec = _spec(data, held_out, estimator, models, settings)
    return Trained(EstimatorModel(spec, models), predictions.take(held_out.judged), held_out.fit_rows())


def place_of(estimator: Estimator, folder: Path, device: str, num_workers: int) -> Place | None:
    """Where an estimator that is trained in epochs works; None for the others. num_workers: threads that read frames.

    Raises as `open_accelerator` does.
    """
    if not isinstance(estimator, TrainedInEpochs):
        return None
    from affectkit.training.accelerating import open_accelerator

    return Place(folder, open_accelerator(device), min(num_workers, MOST_READERS))


def clean_up(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    shutil.rmtree(folder / FITS, ignore_errors=True)


def _placed(place: Place | None, name: str, done: int, steps: int, progress: Progress) -> Place | None:
    """The place of one fit."""
    if place is None:
        return None
    what = f"fit {done + 1} of {steps}: " if steps > 1 else ""
    return replace(place, folder=place.folder / FITS / name, say=lambda note: progress(done, steps, what + note))


def _fitted(
    estimator: Estimator,
    target: Target,
    data: Dataset,
    y: np.ndarray,
    rows: np.ndarray,
    groups: np.ndarray,
    settings: Settings,
    place: Place | None,
) -> TargetModel:
    """The fit of a target on `rows`; read back, where an interrupted run had finished it."""
    blocks, ids = [b[rows] for b in data.blocks], data.manifest.rows["id"].astype(str).to_numpy()[rows]
    if place is None or not isinstance(estimator, TrainedInEpochs):
        return fit_target(estimator, target, blocks, y[rows], groups[rows], settings, ids)
    record = place.folder / FITTED
    if not record.exists():
        model = fit_target(estimator.at(place), target, blocks, y[rows], groups[rows], settings, ids)
        model.save(place.folder)
        write_json(record, {name: getattr(model, name) for name in OUTCOME})
    for left in [folder for folder in place.folder.iterdir() if folder.is_dir()]:
        shutil.rmtree(left)
    known = read_json(record, what="fit")
    return replace(load_target(place.folder, target, estimator), **{name: known[name] for name in OUTCOME})


def _spec(
    data: Dataset, held_out: HeldOut, estimator: Estimator, models: Sequence[TargetModel], settings: Settings
) -> dict[str, Any]:
    return {
        "kind": "estimator",
        "estimator": estimator.name,
        "options": estimator.options,
        "targets": [model.target.to_json() for model in models],
        "chosen": {model.target.name: model.chosen for model in models},
        "normalize": settings.normalize,
        "class_weight": settings.class_weight,
        "group": held_out.group,
        "groups_straddle": held_out.straddle,
        "features": data.encoders,
        "dimensions": [width_of(block) for block in data.blocks],
        "needs": sorted({str(encoder.get("reads", "features")) for encoder in data.encoders}),
        "parents": [],
    }
