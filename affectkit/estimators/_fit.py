"""Fitting one target: hyper-parameters by inner grouped cross-validation, then one fit on all rows given."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Block, Choice, Estimator, Fold, Labels, Matrix, TrainedInEpochs, takes_of
from affectkit.estimators._network_options import INNER_FOLDS
from affectkit.estimators._preprocessing import Impute, Preprocessing, Width
from affectkit.evaluation.metrics import ccc, uar
from affectkit.evaluation.rows import encode
from affectkit.labels import Target, class_weights
from affectkit.splits import grouped_folds, random_folds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitSettings:
    """How targets are fitted: `normalize` train, speaker (done beforehand) or none; `class_weight` balanced or none.
    select_features: how many columns are kept; 0: all."""

    normalize: str = "train"
    class_weight: str = "balanced"
    seed: int = 0
    impute: Impute = "median"
    select_features: int = 0

    def preprocessing(self, estimator: Estimator, blocks: Sequence[Block], labels: Labels) -> Preprocessing:
        """Fitted on these rows."""
        how: dict[str, Any] = {"scale": self.normalize == "train", "impute": self.impute}
        fitted = Preprocessing.fit(blocks, **how, raw=takes_of(estimator).gaps)
        count = self.select_features
        return fitted.choosing(count, blocks, labels, self.seed) if count else fitted


@dataclass(frozen=True)
class TargetModel:
    """A fitted target. chosen: the hyper-parameters. search: one row per candidate, its inner out-of-fold score.
    history, sweeps: of a training, its curves over epochs, and how its learning rate was found."""

    target: Target
    estimator: Estimator
    preprocessing: Preprocessing
    fitted: Any
    chosen: dict[str, Any]
    search: list[dict[str, Any]]
    history: list[dict[str, Any]] = field(default_factory=list)
    sweeps: list[dict[str, Any]] = field(default_factory=list)

    def predict(self, blocks: Sequence[Block]) -> np.ndarray:
        """[N, K] probabilities in the target's class order, or [N] numbers clipped to its scale; what is not finite is
        NaN, and for `refuse_no_answer`."""
        return self.answer(self.matrix(blocks))

    def matrix(self, blocks: Sequence[Block]) -> Matrix:
        """Blocks as the estimator takes them."""
        return self.preprocessing.apply(blocks)

    def answer(self, x: Matrix) -> np.ndarray:
        """As `predict`, of what `matrix` gave."""
        predicted = self.fitted.predict(x)
        predicted = np.where(np.isfinite(predicted), predicted, np.nan)
        if self.target.kind == "number" and self.target.scale:
            return np.clip(predicted, *self.target.scale)
        return predicted

    def save(self, folder: Path) -> None:
        self.preprocessing.save(folder / f"{self.target.name}.preprocessing.safetensors")
        self.estimator.save(self.fitted, folder / self.target.name)


def load_target(
    folder: Path, target: Target, estimator: Estimator, widths: Sequence[Width] | None = None
) -> TargetModel:
    """Read what `TargetModel.save` wrote. widths: see `Preprocessing.load`."""
    file, raw = folder / f"{target.name}.preprocessing.safetensors", takes_of(estimator).gaps
    preprocessing = Preprocessing.load(file, widths, raw=raw)
    return TargetModel(target, estimator, preprocessing, estimator.load(folder / target.name), {}, [])


def build_estimator(name: str, options: dict[str, Any]) -> Estimator:
    """The estimator called `name`. Raises "usage" for an unknown one, or for an option that it lacks."""
    return registry.build("estimators", name, options)


def encode_target(target: Target, cells: Sequence[Any]) -> np.ndarray:
    """A manifest's cells as [N] float64: class indices or numbers, NaN where the row is unlabelled."""
    if target.kind == "number":
        return np.asarray(cells, float)
    codes = encode(cells, target.classes)
    return np.where(codes < 0, np.nan, codes)


def fit_target(
    estimator: Estimator,
    target: Target,
    blocks: Sequence[Block],
    y: np.ndarray,
    groups: np.ndarray,
    settings: FitSettings,
    ids: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> TargetModel:
    """Fit one target on the rows that are labelled.

    blocks: sets of features of N rows. y: [N], NaN where unlabelled (`encode_target`). groups: [N]; inner folds do
    not share one. ids: [N] text, for messages. weights: [N], how much each counts, not at all for 0. Raises "input"
    when no row, or one class only, is labelled.
    """
    labelled = np.flatnonzero(~np.isnan(y) if weights is None else ~np.isnan(y) & (weights > 0))
    classes = len(target.classes) if target.kind != "number" else 0
    if len(labelled) < 2 or (classes and len(np.unique(y[labelled])) < 2):
        lacking = "no two labelled rows" if len(labelled) < 2 else f"only one class of {target.name}"
        remedy = "give rows of two classes or more" if classes else f"give rows with a {target.name}"
        raise AffectkitError("input", f"the fit rows hold {lacking}", remedy=remedy)
    blocks, groups = [block[labelled] for block in blocks], groups[labelled]
    labels = _labels(y[labelled], target, settings, None if ids is None else ids[labelled])
    if weights is not None:
        counted = labels.weights * weights[labelled]
        labels = replace(labels, weights=counted / counted.mean())
    folds = _inner(estimator, blocks, labels, groups, settings)
    if isinstance(estimator, TrainedInEpochs):
        choice = estimator.choose(folds, labels, settings.seed)
    else:
        choice = _search(estimator, labels, folds, settings)
    preprocessing = settings.preprocessing(estimator, blocks, labels)
    x = preprocessing.apply(blocks)
    [fitted] = estimator.fit_path(x, labels, [choice.candidate], settings.seed)
    fitted = estimator.calibrated(fitted, choice.oof, labels)
    sweeps = list(getattr(fitted, "sweeps", ()))
    outcome = choice.candidate, choice.search, choice.history, sweeps
    return TargetModel(target, estimator, preprocessing, fitted, *outcome)


def _labels(y: np.ndarray, target: Target, settings: FitSettings, ids: np.ndarray | None) -> Labels:
    weights, classes = np.ones(len(y)), len(target.classes) if target.kind != "number" else 0
    if classes:
        y = y.astype(np.int64)
        if settings.class_weight == "balanced":
            weights = class_weights(np.bincount(y, minlength=classes))[y]
    return Labels(y, classes, weights, target, ids)


def _inner(
    estimator: Estimator, blocks: Sequence[Block], labels: Labels, groups: np.ndarray, settings: FitSettings
) -> Iterator[Fold]:
    """Inner folds, made as they are asked for."""
    if len(np.unique(groups)) > 1:
        folds = grouped_folds(groups, labels.y if labels.classes else None, INNER_FOLDS, settings.seed)
    else:
        logger.warning("the fit rows are all of one group: hyper-parameters are chosen on folds that share it")
        folds = random_folds(labels.y, len(labels.y), min(INNER_FOLDS, len(labels.y)), settings.seed)
    for number in np.unique(folds):
        inside, outside = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        preprocessing = settings.preprocessing(estimator, [b[inside] for b in blocks], labels.take(inside))
        x, held = (preprocessing.apply([b[rows] for b in blocks]) for rows in (inside, outside))
        yield Fold(x, labels.take(inside), held, labels.take(outside), outside)


def _search(estimator: Estimator, labels: Labels, folds: Iterable[Fold], settings: FitSettings) -> Choice:
    """The candidate with the best score on pooled inner out-of-fold predictions; a single one is taken as it is."""
    candidates = estimator.candidates
    if len(candidates) == 1 and not estimator.calibrates:
        return Choice(candidates[0], [{**candidates[0], "chosen": True}], np.empty(0))
    oof = np.zeros((len(candidates), len(labels.y), labels.classes)[: 3 if labels.classes else 2])
    for fold in folds:
        for number, fitted in enumerate(estimator.fit_path(fold.x, fold.labels, candidates, settings.seed)):
            oof[number][fold.outside] = fitted.predict(fold.held)
    scores = [_score(estimator, labels, predicted) for predicted in oof]
    best = int(np.argmax(scores))  # the first of equals: the most regularised
    search = [{**c, "score": s, "chosen": i == best} for i, (c, s) in enumerate(zip(candidates, scores, strict=True))]
    return Choice(candidates[best], search, oof[best])


def _score(estimator: Estimator, labels: Labels, predicted: np.ndarray) -> float:
    """How good out-of-fold predictions are; higher is better."""
    if not labels.classes:
        return ccc(labels.y, predicted)
    if estimator.selects_on == "uar":
        return uar(labels.y, predicted.argmax(axis=1), classes=range(labels.classes))
    likelihood = np.clip(predicted[np.arange(len(labels.y)), labels.y], 1e-12, 1)
    return float(np.average(np.log(likelihood), weights=labels.weights))
