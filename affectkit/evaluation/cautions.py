"""What a reader of the figures must know: sentences that stand in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.intervals import Interval
from affectkit.evaluation.rows import missing, pair
from affectkit.labels import Target

FEW_GROUPS = 5


def cautions(
    predictions: Predictions,
    targets: Sequence[Target],
    column: str | None,
    groups: np.ndarray | None,
    metrics: Mapping[str, Interval],
) -> list[str]:
    """Every caution that the judged rows give cause for; empty where there is none."""
    found = _provenance(predictions) + grouping(column, groups)
    for target in targets:
        found += _coverage(predictions, target)
        if target.kind != "number":
            found += _classes(predictions, target)
    return found + _without_interval(metrics)


def _provenance(predictions: Predictions) -> list[str]:
    if predictions.foreign:
        return ["nothing says how these predictions were made (no column 'seen'): their rows are taken as held out"]
    return []


def grouping(column: str | None, groups: np.ndarray | None) -> list[str]:
    if groups is None:
        return ["no groups are known: intervals take rows as independent and are too narrow if speakers repeat"]
    sizes = np.unique(groups[groups != ""], return_counts=True)[1]
    found = []
    if (groups == "").any():
        found.append(f"{(groups == '').sum()} rows have no {column}: each counts as a group of its own")
    if len(sizes) == 1:
        found.append(f"all rows are of one {column}: no interval can be estimated")
    elif 1 < len(sizes) < FEW_GROUPS:
        found.append(f"only {len(sizes)} groups ({column}): intervals are wide and rest on few degrees of freedom")
    effective = sizes.sum() ** 2 / (sizes**2).sum() if len(sizes) else 0.0
    if len(sizes) > 1 and effective < len(sizes) / 2:
        found.append(
            f"groups ({column}) differ much in size, {len(sizes)} weigh as {effective:.1f} equal ones: "
            "intervals may be too narrow"
        )
    return found


def _coverage(predictions: Predictions, target: Target) -> list[str]:
    truth, predicted = pair(predictions, target)
    unlabelled, declined = missing(truth), missing(predicted) & ~missing(truth)
    found = []
    if unlabelled.any():
        found.append(f"{target.name}: {unlabelled.sum()} of {len(truth)} rows have no truth and are left out")
    if declined.any():
        found.append(f"{target.name}: {declined.sum()} of {len(truth)} rows have no prediction and are left out")
    return found


def _classes(predictions: Predictions, target: Target) -> list[str]:
    truth, predicted = pair(predictions, target)
    both = ~(missing(truth) | missing(predicted))
    present = np.bincount(truth[both], minlength=len(target.classes))
    found = []
    absent = [name for name, count in zip(target.classes, present, strict=True) if not count]
    if absent:
        found.append(f"{target.name}: no row is {', '.join(absent)}; UAR is the mean over the other classes")
    if len(np.unique(predicted[both])) == 1 and len(target.classes) > 1:
        found.append(f"{target.name}: every row is predicted {target.classes[predicted[both][0]]}")
    probabilities = predictions.probabilities(target.name)
    if probabilities is not None:
        off = np.nanmax(np.abs(probabilities.sum(axis=1) - 1), initial=0.0)
        if off > 1e-3:
            found.append(f"{target.name}: probabilities of a row add up to 1 only within {off:.2g}")
    return found


def _without_interval(metrics: Mapping[str, Interval]) -> list[str]:
    names = [
        name
        for name, figure in metrics.items()
        if figure.method != "none" and np.isfinite(figure.value) and not np.isfinite(figure.low)
    ]
    if names:
        return [f"no interval for {', '.join(names)}: groups do not differ, or without one of them it is undefined"]
    return []
