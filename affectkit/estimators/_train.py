"""From a manifest and its features to a model and honest predictions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.outputs import Output
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.estimators._estimator import Estimator, Matrix, refuse_infinite
from affectkit.estimators._fit import Settings, TargetModel, encode_target, fit_target
from affectkit.estimators._model import EstimatorModel, one_thread, speaker_normalized
from affectkit.labels import Target
from affectkit.leakage.held_out import HeldOut, hold_out_rows

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """Rows of a manifest with their features: one [N, D] matrix per features folder, and what each says of itself.

    group: the column of what must not straddle; None picks the speaker or what stands in for it.
    """

    manifest: Manifest
    blocks: list[Matrix]
    encoders: list[dict[str, Any]]
    group: str | None = None


@dataclass(frozen=True)
class Trained:
    model: EstimatorModel
    predictions: Predictions
    fit_rows: pd.DataFrame


def load_dataset(manifest: Manifest, features: Sequence[Path], *, group: str | None, missing: str) -> Dataset:
    """Join a manifest's rows with their features by id.

    missing: "drop" leaves out rows that a features folder lacks, "stop" raises naming the first.
    """
    loaded = [read_features(path) for path in features]
    if missing == "drop":
        there = set.intersection(*({*f.ids} for f in loaded))
        keep = manifest.rows["id"].isin(there).to_numpy()
        if not keep.all():
            logger.warning("%d of %d rows have no features and are dropped", (~keep).sum(), len(keep))
        manifest = manifest.take(keep)
    ids = list(manifest.rows["id"])
    blocks = [f.matrix(ids) for f in loaded]
    for block, found in zip(blocks, loaded, strict=True):
        refuse_infinite(block, ids, found.path)
    return Dataset(manifest, blocks, [f.described() for f in loaded], group)


def train_model(
    data: Dataset, estimator: Estimator, targets: Sequence[Target], settings: Settings, *, cv: bool, progress: Progress
) -> Trained:
    """Fit each target, and predict every row that may be judged; which those are, `hold_out_rows` says."""
    rows = data.manifest.rows
    if settings.normalize == "speaker":
        speakers = rows["speaker"].to_numpy() if "speaker" in rows else None
        data = replace(data, blocks=speaker_normalized(data.blocks, speakers))
    held_out = hold_out_rows(data.manifest, group=data.group, cv=cv, seed=settings.seed)
    steps = len(targets) * len(held_out.fits())
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, steps)

    models, outputs = [], []
    for target in targets:
        with one_thread():
            model, output = _fit_and_predict(data, held_out, estimator, target, settings, step)
        models.append(model)
        outputs.append(Output.of(target, output))
    carried = [held_out.group] if held_out.group else []
    predictions = build_predictions(rows, outputs, held_out.seen, carried)
    spec = _spec(data, held_out, estimator, models, settings)
    return Trained(EstimatorModel(spec, models), predictions.take(held_out.judged), held_out.fit_rows())


def _fit_and_predict(
    data: Dataset, held_out: HeldOut, estimator: Estimator, target: Target, settings: Settings, step: Any
) -> tuple[TargetModel, np.ndarray]:
    """The final model, and a prediction for every row: out of fold on the fit rows where there are folds."""
    y = encode_target(target, list(data.manifest.rows[target.name]))
    models: list[TargetModel] = []
    output: Any = None
    for inside, outside in held_out.fits():
        blocks, groups = [b[inside] for b in data.blocks], held_out.groups[inside]
        models.append(fit_target(estimator, target, blocks, y[inside], groups, settings))
        values = models[-1].predict([b[outside] for b in data.blocks])
        output = np.array(values) if output is None else output
        output[outside] = values
        step()
    return models[0], output


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
        "dimensions": [int(block.shape[1]) for block in data.blocks],
        "needs": sorted({str(encoder.get("reads", "features")) for encoder in data.encoders}),
        "parents": [],
    }
