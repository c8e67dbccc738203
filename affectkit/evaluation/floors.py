"""What a model has to beat: an answer that looks at nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.measure import number_figures, width
from affectkit.evaluation.metrics import taking
from affectkit.evaluation.rows import column, missing, pair, prefix
from affectkit.evaluation.sums import confusions, encode, losses, moments
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd


def floors(
    predictions: Predictions, targets: Sequence[Target], train: pd.DataFrame | None = None
) -> dict[str, dict[str, float]]:
    """The metrics of constant answers on the judged rows.

    train: rows with target columns. `majority`: always the most frequent class of the train rows, with their class
    shares as probabilities; `train_mean`: always their mean. Where `train` is None the judged rows' own class and mean
    serve, which nobody could know beforehand, and the names are `judged_majority` and `judged_mean`.
    """
    found: dict[str, dict[str, float]] = {}
    classes = [t for t in targets if t.kind != "number"]
    numbers = [t for t in targets if t.kind == "number"]
    if classes:
        name = "majority" if train is not None else "judged_majority"
        found[name] = {key: value for t in classes for key, value in _majority(predictions, t, train).items()}
    if numbers:
        found["train_mean" if train is not None else "judged_mean"] = _means(predictions, numbers, train)
    return found


def train_rows(predictions: Predictions, targets: Sequence[Target]) -> pd.DataFrame | None:
    """The rows of the train split that a table of predictions carries, if they have every target's truth."""
    frame = predictions.frame
    if "split" not in frame:
        return None
    train = predictions.take((frame["split"] == "train").to_numpy())
    labelled = [not missing(column(train, target, target.name)).all() for target in targets]
    return train.frame if len(train.frame) and all(labelled) else None


def _majority(predictions: Predictions, target: Target, train: pd.DataFrame | None) -> dict[str, float]:
    truth, predicted = pair(predictions, target)
    truth = truth[~(missing(truth) | missing(predicted))]
    known = truth if train is None else encode(train[target.name], target.classes)
    counts = np.bincount(known[known >= 0], minlength=len(target.classes))
    answers = np.full(len(truth), counts.argmax())
    shares = np.broadcast_to(counts / max(counts.sum(), 1), (len(truth), len(counts)))
    confusion, loss = confusions(truth, answers, len(counts))[0], losses(truth, shares)[0]
    found = {m.name: float(m.of(confusion)) for m in taking("classes") if m.of}
    if predictions.probabilities(target.name) is not None:
        found |= {m.name: float(m.of(loss)) for m in taking("probabilities") if m.of} | {"auroc": 0.5}
    return {prefix(target) + name: value for name, value in found.items()}


def _means(predictions: Predictions, targets: Sequence[Target], train: pd.DataFrame | None) -> dict[str, float]:
    tables = []
    for target in targets:
        truth, predicted = pair(predictions, target)
        truth = truth[~(missing(truth) | missing(predicted))]
        known = truth if train is None else train[target.name].to_numpy(float)
        tables.append(moments(truth, np.full(len(truth), np.nanmean(known)), width=width(target))[0])
    return {name: float(figure.of(np.stack(tables))) for name, figure in number_figures(targets).items()}
