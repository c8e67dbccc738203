"""Fitting one target: hyper-parameters by inner grouped cross-validation, then one fit on all rows given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Estimator, Labels, Matrix
from affectkit.estimators._preprocessing import Preprocessing
from affectkit.evaluation.metrics import ccc, uar
from affectkit.labels import Target
from affectkit.splits import grouped_folds, random_folds

logger = logging.getLogger(__name__)

INNER_FOLDS = 5


@dataclass(frozen=True)
class Settings:
    """How targets are fitted: `normalize` train, speaker (done beforehand) or none; `class_weight` balanced or none."""

    normalize: str = "train"
    class_weight: str = "balanced"
    seed: int = 0


@dataclass(frozen=True)
class TargetModel:
    """A fitted target. chosen: the hyper-parameters. search: one row per candidate, its inner out-of-fold score."""

    target: Target
    estimator: Estimator
    preprocessing: Preprocessing
    fitted: Any
    chosen: dict[str, Any]
    search: list[dict[str, Any]]

    def predict(self, blocks: Sequence[Matrix]) -> np.ndarray:
        """[N, K] probabilities in the target's class order, or [N] numbers clipped to its scale."""
        predicted = self.fitted.predict(self.preprocessing.apply(blocks))
        if self.target.kind == "number" and self.target.scale:
            return np.clip(predicted, *self.target.scale)
        return predicted

    def save(self, folder: Path) -> None:
        self.preprocessing.save(folder / f"{self.target.name}.preprocessing.safetensors")
        self.estimator.save(self.fitted, folder / self.target.name)


def load_target(folder: Path, target: Target, estimator: Estimator) -> TargetModel:
    """Read what `TargetModel.save` wrote."""
    preprocessing = Preprocessing.load(folder / f"{target.name}.preprocessing.safetensors")
    return TargetModel(target, estimator, preprocessing, estimator.load(folder / target.name), {}, [])


def build_estimator(name: str, options: dict[str, Any]) -> Estimator:
    """The estimator called `name`. Raises "usage" for an unknown one, or for an option that it lacks."""
    module = registry.load("estimators", name)
    registry.check_options("estimators", name, module.build, options)
    return module.build(**options)


def encode_target(target: Target, cells: Sequence[Any]) -> np.ndarray:
    """A manifest's cells as [N] float64: class indices or numbers, NaN where the row is unlabelled."""
    if target.kind == "number":
        return np.asarray(cells, float)
    index = {name: float(i) for i, name in enumerate(target.classes)} | {"": np.nan}
    return np.array([index[cell] for cell in cells])


def fit_target(
    estimator: Estimator,
    target: Target,
    blocks: Sequence[Matrix],
    y: np.ndarray,
    groups: np.ndarray,
    settings: Settings,
) -> TargetModel:
    """Fit one target on the rows that are labelled.

    blocks: feature blocks, each [N, D]. y: [N], NaN where unlabelled (`encode_target`). groups: [N]; inner folds do
    not share one. Raises "input" when no row, or one class only, is labelled.
    """
    labelled = np.flatnonzero(~np.isnan(y))
    classes = len(target.classes) if target.kind != "number" else 0
    if len(labelled) < 2 or (classes and len(np.unique(y[labelled])) < 2):
        found = "no two labelled rows" if len(labelled) < 2 else f"only one class of {target.name}"
        remedy = "give rows of two classes or more" if classes else f"give rows with a {target.name}"
        raise AffectkitError("input", f"the fit rows hold {found}", remedy=remedy)
    blocks, groups = [block[labelled] for block in blocks], groups[labelled]
    labels = _labels(y[labelled], classes, settings)
    candidates = estimator.candidates(classes=classes)
    scores, oof = _search(estimator, blocks, labels, groups, candidates, settings)
    best = int(np.argmax(scores))  # the first of equals: the most regularised
    preprocessing = Preprocessing.fit(blocks, scale=settings.normalize == "train")
    x = preprocessing.apply(blocks)
    [fitted] = estimator.fit_path(x, labels, [candidates[best]], settings.seed)
    fitted = estimator.calibrated(fitted, oof[best], labels)
    search = [{**c, "score": s, "chosen": i == best} for i, (c, s) in enumerate(zip(candidates, scores, strict=True))]
    return TargetModel(target, estimator, preprocessing, fitted, candidates[best], search)


def _labels(y: np.ndarray, classes: int, settings: Settings) -> Labels:
    weights = np.ones(len(y))
    if classes:
        y = y.astype(np.int64)
        if settings.class_weight == "balanced":
            counts = np.bincount(y, minlength=classes)
            weights = (len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[y]
    return Labels(y, classes, weights)


def _search(
    estimator: Estimator,
    blocks: Sequence[Matrix],
    labels: Labels,
    groups: np.ndarray,
    candidates: Sequence[dict[str, Any]],
    settings: Settings,
) -> tuple[list[float], list[np.ndarray]]:
    """Each candidate's score on its pooled inner out-of-fold predictions, and those predictions."""
    shape = (len(candidates), len(labels.y), labels.classes) if labels.classes else (len(candidates), len(labels.y))
    oof = np.zeros(shape)
    folds = _inner_folds(groups, labels, settings.seed)
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        preprocessing = Preprocessing.fit([b[inside] for b in blocks], scale=settings.normalize == "train")
        fits = estimator.fit_path(
            preprocessing.apply([b[inside] for b in blocks]), labels.take(inside), candidates, settings.seed
        )
        held = preprocessing.apply([b[outside] for b in blocks])
        for number, fitted in enumerate(fits):
            oof[number][outside] = fitted.predict(held)
    return [_score(estimator, labels, predicted) for predicted in oof], list(oof)


def _score(estimator: Estimator, labels: Labels, predicted: np.ndarray) -> float:
    """How good out-of-fold predictions are; higher is better."""
    if not labels.classes:
        return ccc(labels.y, predicted)
    if estimator.selects_on == "uar":
        return uar(labels.y, predicted.argmax(axis=1), classes=range(labels.classes))
    likelihood = np.clip(predicted[np.arange(len(labels.y)), labels.y], 1e-12, 1)
    return float(np.average(np.log(likelihood), weights=labels.weights))


def _inner_folds(groups: np.ndarray, labels: Labels, seed: int) -> np.ndarray:
    if len(np.unique(groups)) > 1:
        return grouped_folds(groups, labels.y if labels.classes else None, INNER_FOLDS, seed)
    logger.warning("the fit rows are all of one group: hyper-parameters are chosen on folds that share it")
    return random_folds(labels.y, len(labels.y), min(INNER_FOLDS, len(labels.y)), seed)
