"""Fitting a target, or several: hyper-parameters by inner grouped cross-validation, then one fit on all rows given."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import (
    Block,
    Choice,
    Estimator,
    Fold,
    JointLabels,
    Labels,
    Learned,
    Matrix,
    TrainedInEpochs,
    takes_of,
)
from affectkit.estimators._network_options import INNER_FOLDS
from affectkit.estimators._preprocessing import Impute, Preprocessing, Width
from affectkit.evaluation.metrics import ccc, uar
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

    def preprocessing(self, estimator: Estimator, blocks: Sequence[Block], labels: Learned) -> Preprocessing:
        """Fitted on these rows."""
        how: dict[str, Any] = {"scale": self.normalize == "train", "impute": self.impute}
        takes = takes_of(estimator)
        fitted = Preprocessing.fit(blocks, **how, raw=takes.gaps, apart=takes.apart)
        count = self.select_features
        return fitted.choosing(count, blocks, labels, self.seed) if count else fitted


@dataclass(frozen=True)
class FittedTargets:
    """A fit, and the targets that it answers: one, or several that were learned together. chosen: the hyper-parameters.
    search: one row per candidate, its inner out-of-fold score. history, sweeps: of a training, its curves over epochs,
    and how its learning rate was found."""

    targets: tuple[Target, ...]
    estimator: Estimator
    preprocessing: Preprocessing
    fitted: Any
    chosen: dict[str, Any]
    search: list[dict[str, Any]]
    history: list[dict[str, Any]] = field(default_factory=list)
    sweeps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The target's, or those of all."""
        return ", ".join(target.name for target in self.targets)

    @property
    def unlearned(self) -> frozenset[str]:
        """Targets of which no row told anything: their answers are declined."""
        return getattr(self.fitted, "unlearned", frozenset())

    def predict(self, blocks: Sequence[Block]) -> list[np.ndarray]:
        """[N, K] probabilities in the target's class order, or [N] numbers clipped to its scale, of each target; what
        is not finite is NaN, and for `refuse_no_answer`, unless the target is one of those unlearned."""
        return self.answer(self.matrix(blocks))

    def matrix(self, blocks: Sequence[Block]) -> Matrix:
        """Blocks as the estimator takes them."""
        return self.preprocessing.apply(blocks)

    def answer(self, x: Matrix) -> list[np.ndarray]:
        """As `predict`, of what `matrix` gave."""
        together = len(self.targets) > 1
        answers = self.fitted.answers(x) if together else [self.fitted.predict(x)]
        return [_within(target, values) for target, values in zip(self.targets, answers, strict=True)]

    def drawn(self, blocks: Sequence[Block], draws: int) -> list[TargetPrediction]:
        """The same over draws of a network's dropout."""
        parts = [
            [TargetPrediction.over_passes(*each) for each in zip(self.targets, map(_finite, some), strict=True)]
            for some in self.fitted.drawn(self.matrix(blocks), draws)
        ]
        return [TargetPrediction.joined(each) for each in zip(*parts, strict=True)]

    def save(self, folder: Path) -> None:
        stem = _stem(self.targets)
        self.preprocessing.save(folder / f"{stem}.preprocessing.safetensors")
        self.estimator.save(self.fitted, folder / stem)


def _finite(predicted: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(predicted), predicted, np.nan)


def _within(target: Target, predicted: np.ndarray) -> np.ndarray:
    predicted = _finite(predicted)
    if target.kind == "number" and target.scale:
        return np.clip(predicted, *target.scale)
    return predicted


def _stem(targets: Sequence[Target]) -> str:
    """What files of a fit begin with."""
    return targets[0].name if len(targets) == 1 else "together"


def load_fitted(
    folder: Path, targets: Sequence[Target], estimator: Estimator, widths: Sequence[Width] | None = None
) -> FittedTargets:
    """Read what `FittedTargets.save` wrote. widths: see `Preprocessing.load`. Raises ValueError for a fit of others."""
    if len(targets) > 1 and not estimator.learns_together:
        raise ValueError(f"{estimator.name} learns one target at a time")
    stem, takes = _stem(targets), takes_of(estimator)
    how = {"raw": takes.gaps, "apart": takes.apart}
    preprocessing = Preprocessing.load(folder / f"{stem}.preprocessing.safetensors", widths, **how)
    fitted = estimator.load(folder / stem)
    if len(targets) > 1 and [reading.answer for reading in fitted.readings] != [target.name for target in targets]:
        raise ValueError(f"it does not answer {', '.join(target.name for target in targets)}")
    return FittedTargets(tuple(targets), estimator, preprocessing, fitted, {}, [])


def build_estimator(name: str, options: dict[str, Any]) -> Estimator:
    """The estimator called `name`. Raises "usage" for an unknown one, or for an option that it lacks."""
    return registry.build("estimators", name, options)


def together(estimator: Estimator, targets: Sequence[Target]) -> list[list[Target]]:
    """Which targets are fitted at once: all, or each alone."""
    return [list(targets)] if estimator.learns_together and len(targets) > 1 else [[target] for target in targets]


def fit_targets(
    estimator: Estimator,
    targets: Sequence[Target],
    blocks: Sequence[Block],
    truths: Sequence[np.ndarray],
    groups: np.ndarray,
    settings: FitSettings,
    ids: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> FittedTargets:
    """Fit targets, one or several together, on the rows that are labelled with any of them.

    blocks: sets of features of N rows. truths: [N] of each target, NaN where unlabelled (`encode_target`). groups: [N];
    inner folds do not share one. ids: [N] text, for messages. weights: [N], how much each counts, not at all for 0.
    Raises "input" when no row, or one class only, is labelled; of several targets, when that is so of each.
    """
    known = ~np.isnan(np.stack(truths)).all(axis=0)
    labelled = np.flatnonzero(known if weights is None else known & (weights > 0))
    truths = [y[labelled] for y in truths]
    _refuse_nothing(targets, truths)
    blocks, groups = [block[labelled] for block in blocks], groups[labelled]
    ids = None if ids is None else ids[labelled]
    each = [_labels(y, target, settings, ids) for target, y in zip(targets, truths, strict=True)]
    if weights is not None:
        each = [_counted(labels, weights[labelled]) for labels in each]
    labels: Learned = each[0] if len(each) == 1 else JointLabels(tuple(each))
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
    return FittedTargets(tuple(targets), estimator, preprocessing, fitted, *outcome)


def _refuse_nothing(targets: Sequence[Target], truths: Sequence[np.ndarray]) -> None:
    """Raise "input" unless some target has two labelled rows and, where it has classes, two of these."""
    lacking = {}
    for target, y in zip(targets, truths, strict=True):
        labelled = y[~np.isnan(y)]
        if len(labelled) < 2:
            lacking[target.name] = "no two labelled rows"
        elif target.kind != "number" and len(np.unique(labelled)) < 2:
            lacking[target.name] = f"only one class of {target.name}"
    if len(lacking) < len(targets):
        return
    if len(targets) > 1:
        what = f"the fit rows tell nothing of any target: {'; '.join(f'{n}: {why}' for n, why in lacking.items())}"
        raise AffectkitError("input", what, remedy="give rows of two classes or more, or numbers")
    [target] = targets
    remedy = "give rows of two classes or more" if target.kind != "number" else f"give rows with a {target.name}"
    raise AffectkitError("input", f"the fit rows hold {lacking[target.name]}", remedy=remedy)


def _labels(y: np.ndarray, target: Target, settings: FitSettings, ids: np.ndarray | None) -> Labels:
    """y: [N], NaN where the row is labelled with other targets only."""
    known = ~np.isnan(y)
    weights, classes = known.astype(float), len(target.classes) if target.kind != "number" else 0
    if classes:
        y = np.where(known, y, -1).astype(np.int64)
        if settings.class_weight == "balanced":
            weights[known] = class_weights(np.bincount(y[known], minlength=classes))[y[known]]
    return Labels(y, classes, weights, target, ids)


def _counted(labels: Labels, weights: np.ndarray) -> Labels:
    counted = labels.weights * weights
    return replace(labels, weights=counted / counted.mean())


def _inner(
    estimator: Estimator, blocks: Sequence[Block], labels: Learned, groups: np.ndarray, settings: FitSettings
) -> Iterator[Fold]:
    """Inner folds, made as they are asked for."""
    cells, balance = _cells(labels)
    if len(np.unique(groups)) > 1:
        folds = grouped_folds(groups, cells if balance else None, INNER_FOLDS, settings.seed)
    else:
        logger.warning("the fit rows are all of one group: hyper-parameters are chosen on folds that share it")
        folds = random_folds(cells, len(groups), min(INNER_FOLDS, len(groups)), settings.seed)
    for number in np.unique(folds):
        inside, outside = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        preprocessing = settings.preprocessing(estimator, [b[inside] for b in blocks], labels.take(inside))
        x, held = (preprocessing.apply([b[rows] for b in blocks]) for rows in (inside, outside))
        yield Fold(x, labels.take(inside), held, labels.take(outside), outside)


def _cells(labels: Learned) -> tuple[np.ndarray, bool]:
    """What folds are drawn by, and whether they can be balanced by it: [N] classes or numbers; of several targets,
    which of them are known, and the class of the first with classes. By names, so that no order decides."""
    if len(labels.each) == 1:
        return labels.each[0].y, bool(labels.each[0].classes)
    each = sorted(labels.each, key=lambda own: own.target.name)
    classes = next((np.array([*own.target.classes, ""])[own.y] for own in each if own.classes), None)
    known = [np.where(own.known, "1", "0") for own in each]
    return np.array(
        ["".join(cells) for cells in zip(*known, *([] if classes is None else [classes]), strict=True)]
    ), True


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
