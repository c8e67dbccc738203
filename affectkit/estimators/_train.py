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
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Estimator, Matrix, refuse_infinite
from affectkit.estimators._fit import Settings, TargetModel, encode_target, fit_target
from affectkit.estimators._model import EstimatorModel, one_thread, speaker_normalized
from affectkit.labels import Target
from affectkit.splits import apart, default_group, outer_folds

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """Rows of a manifest with their features.

    blocks: one [N, D] matrix per features folder. encoders: what each says of itself. groups: [N], what must not
    straddle; each row its own group where `group_column` is None.
    """

    rows: pd.DataFrame
    blocks: list[Matrix]
    encoders: list[dict[str, Any]]
    groups: np.ndarray
    group_column: str | None

    def take(self, keep: np.ndarray) -> Dataset:
        rows = self.rows.iloc[keep].reset_index(drop=True)
        return Dataset(rows, [b[keep] for b in self.blocks], self.encoders, self.groups[keep], self.group_column)


@dataclass(frozen=True)
class Trained:
    model: EstimatorModel
    predictions: Predictions
    fit_rows: pd.DataFrame


def load_dataset(manifest: Manifest, features: Sequence[Path], *, group: str | None, missing: str) -> Dataset:
    """Join a manifest's rows with their features by id.

    group: the column of what must not straddle; None picks the speaker or what stands in for it.
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
    column = group or default_group(manifest.rows)
    if column is not None and column not in manifest.rows:
        raise AffectkitError("input", f"--group: there is no column '{column}'", file=manifest.path)
    if column is None:
        logger.warning("the manifest names no speakers or other groups: folds and intervals take rows as independent")
    groups = row_groups(manifest.rows, column)
    return Dataset(manifest.rows, blocks, [f.described() for f in loaded], groups, column)


def row_groups(rows: pd.DataFrame, column: str | None) -> np.ndarray:
    """[N] text: each row's group; a row without one is a group of its own."""
    own = rows["id"].astype(str).to_numpy()
    if column is None:
        return own
    return apart(own, rows[column].astype(str).to_numpy())


def train_model(
    data: Dataset,
    estimator: Estimator,
    targets: Sequence[Target],
    settings: Settings,
    *,
    cv: bool,
    progress: Progress,
) -> Trained:
    """Fit each target, and predict every row that may be judged.

    Without `cv` the train rows are fitted and the val and test rows predicted. With `cv` the train and val rows are
    cross-predicted by the manifest's folds, else by groups, then fitted all together, and the test rows predicted.
    """
    if settings.normalize == "speaker":
        speakers = data.rows["speaker"].to_numpy() if "speaker" in data.rows else None
        data = replace(data, blocks=speaker_normalized(data.blocks, speakers))
    fit = _fit_positions(data.rows, cv)
    folds = _outer_folds(data.take(fit), settings.seed) if cv else None
    steps = len(targets) * (1 + (len(np.unique(folds)) if folds is not None else 0))
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, steps)

    models, outputs = [], []
    for target in targets:
        with one_thread():
            model, output = _fit_and_predict(data, fit, folds, estimator, target, settings, step)
        models.append(model)
        outputs.append(Output.of(target, output))
    judged = np.ones(len(data.rows), bool)
    seen = np.full(len(data.rows), "heldout", dtype=object)
    if cv:
        seen[fit] = "oof"
    else:
        judged[fit] = False
    carried = [data.group_column] if data.group_column else []
    predictions = build_predictions(data.rows, outputs, seen, carried)
    spec = _spec(data, estimator, models, settings)
    outside = np.setdiff1d(np.arange(len(data.rows)), fit)
    spec["groups_straddle"] = bool(np.isin(data.groups[outside], data.groups[fit]).any())
    return Trained(EstimatorModel(spec, models), predictions.take(judged), _fit_rows(data, fit))


def _fit_positions(rows: pd.DataFrame, cv: bool) -> np.ndarray:
    splits = rows["split"].to_numpy() if "split" in rows else np.full(len(rows), "train", dtype=object)
    if "fold" in rows and not cv:
        raise AffectkitError("usage", "a manifest of folds holds nothing out", remedy="pass --cv")
    fit = np.flatnonzero(np.isin(splits, ["train", "val"] if cv else ["train"]))
    if not len(fit):
        raise AffectkitError("input", "the manifest has no train rows", remedy="give its folder, or its train.csv too")
    if not cv and len(fit) == len(rows):
        raise AffectkitError("input", "the manifest has train rows only: nothing is held out", remedy="pass --cv")
    return fit


def _outer_folds(data: Dataset, seed: int) -> np.ndarray:
    if "fold" in data.rows and (data.rows["fold"] != "").any():
        names, folds = np.unique(data.rows["fold"].astype(str), return_inverse=True)
        if "" in names:
            lacking = data.rows["id"][data.rows["fold"] == ""].iloc[0]
            raise AffectkitError("input", f"--cv: id '{lacking}' has no fold", remedy="give every row one, or none")
        if len(names) < 2:
            raise AffectkitError("input", "the manifest has one fold only", remedy="make folds with prepare-manifest")
        return folds
    return outer_folds(data.groups, grouped=data.group_column is not None, seed=seed)


def _fit_and_predict(
    data: Dataset,
    fit: np.ndarray,
    folds: np.ndarray | None,
    estimator: Estimator,
    target: Target,
    settings: Settings,
    step: Any,
) -> tuple[TargetModel, np.ndarray]:
    """The final model, and a prediction for every row: out of fold on the fit rows where there are folds."""
    y = encode_target(target, list(data.rows[target.name]))

    def fitted_on(rows: np.ndarray) -> TargetModel:
        model = fit_target(estimator, target, [b[rows] for b in data.blocks], y[rows], data.groups[rows], settings)
        step()
        return model

    final = fitted_on(fit)
    output = np.array(final.predict(data.blocks))
    for fold in np.unique(folds) if folds is not None else ():
        outside = fit[folds == fold]
        output[outside] = fitted_on(fit[folds != fold]).predict([b[outside] for b in data.blocks])
    return final, output


def _spec(data: Dataset, estimator: Estimator, models: Sequence[TargetModel], settings: Settings) -> dict[str, Any]:
    return {
        "kind": "estimator",
        "estimator": estimator.name,
        "options": estimator.options,
        "targets": [model.target.to_json() for model in models],
        "chosen": {model.target.name: model.chosen for model in models},
        "normalize": settings.normalize,
        "class_weight": settings.class_weight,
        "group": data.group_column,
        "features": data.encoders,
        "dimensions": [int(block.shape[1]) for block in data.blocks],
        "needs": sorted({str(encoder.get("reads", "features")) for encoder in data.encoders}),
        "parents": [],
    }


def _fit_rows(data: Dataset, fit: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"id": data.rows["id"].to_numpy()[fit], "group": data.groups[fit], "role": "fit"})
