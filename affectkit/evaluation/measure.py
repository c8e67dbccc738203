"""Every metric of a table of predictions, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.intervals import Figure, Interval, Resampling, Units, as_units, from_left_out, intervals
from affectkit.evaluation.metrics import METRICS, taking
from affectkit.evaluation.probability_metrics import left_out_auroc
from affectkit.evaluation.rows import missing, pair, prefix
from affectkit.evaluation.sums import confusions, losses, moments
from affectkit.labels import Target


def measure(
    predictions: Predictions, targets: Sequence[Target], groups: np.ndarray | None, resampling: Resampling
) -> dict[str, Interval]:
    """All metrics of `targets` by their flat names: `uar`, `t.uar` of a class target other than `label`; `t.ccc` of a
    number, and `ccc`, the mean over the numbers.

    groups: [N] text, None for rows that are taken as independent.
    """
    found: dict[str, Interval] = {}
    for target in targets:
        if target.kind != "number":
            found |= class_intervals(predictions, target, groups, resampling)
    numbers = [target for target in targets if target.kind == "number"]
    return found | (number_intervals(predictions, numbers, groups, resampling) if numbers else {})


def class_intervals(
    predictions: Predictions, target: Target, groups: np.ndarray | None, resampling: Resampling
) -> dict[str, Interval]:
    """The metrics of one class target, over the rows that have a truth and a prediction."""
    truth, predicted = pair(predictions, target)
    known = ~(missing(truth) | missing(predicted))
    units = _units(groups, known, resampling)
    counts = confusions(truth[known], predicted[known], len(target.classes), units.codes, units.count)
    figures = {prefix(target) + m.name: Figure(m.of, m.link) for m in taking("classes") if m.of}
    found = intervals(figures, counts, resampling, groups=units.groups)
    probabilities = predictions.probabilities(target.name)
    if probabilities is not None:
        known &= ~np.isnan(probabilities).any(axis=1)
        units = _units(groups, known, resampling)
        found |= _probability_intervals(prefix(target), truth[known], probabilities[known], units, resampling)
    return found


def _probability_intervals(
    prefix: str, truth: np.ndarray, probabilities: np.ndarray, units: Units, resampling: Resampling
) -> dict[str, Interval]:
    """Proper scores from sums, AUROC by leaving units out. Calibration errors have no interval: chance biases them
    upwards, so that resampling covers 0 % for a calibrated model; their null band stands beside them instead."""
    metrics = taking("probabilities")
    figures = {prefix + m.name: Figure(m.of, m.link) for m in metrics if m.of}
    sums = losses(truth, probabilities, units.codes, units.count)
    found = intervals(figures, sums, resampling, groups=units.groups)
    for metric in metrics:
        if metric.name == "auroc":
            value, left_out = left_out_auroc(truth, probabilities, units.codes, units.count)
            found[prefix + metric.name] = from_left_out(value, left_out, metric.link, resampling, groups=units.groups)
        elif not metric.of:
            found[prefix + metric.name] = Interval(metric.function(truth, probabilities), groups=units.groups)
    return {prefix + m.name: found[prefix + m.name] for m in metrics}


def number_intervals(
    predictions: Predictions, targets: Sequence[Target], groups: np.ndarray | None, resampling: Resampling
) -> dict[str, Interval]:
    """The metrics of each number and their means over all of them, from the same resamples."""
    pairs = [pair(predictions, target) for target in targets]
    known = ~np.all([missing(truth) | missing(predicted) for truth, predicted in pairs], axis=0)
    units = _units(groups, known, resampling)
    widths = [width(target) for target in targets]
    tables = [
        moments(truth[known], predicted[known], units.codes, units.count, wide)
        for (truth, predicted), wide in zip(pairs, widths, strict=True)
    ]
    figures = number_figures(targets)
    return intervals(figures, np.stack(tables, axis=1), resampling, groups=units.groups)


def number_figures(targets: Sequence[Target]) -> dict[str, Figure]:
    """Figures of moments [..., T, 10]: `t.<metric>` of each of the T targets, and `<metric>`, their mean."""
    figures: dict[str, Figure] = {}
    for position, target in enumerate(targets):
        for metric in taking("numbers"):
            if metric.name != "one_minus_mae" or width(target):
                figures[f"{target.name}.{metric.name}"] = _of_target(metric.name, position)
    every = [m.name for m in taking("numbers") if m.name != "one_minus_mae" or all(map(width, targets))]
    return {name: _mean_over_targets(name) for name in every} | figures


def _of_target(name: str, position: int) -> Figure:
    of = METRICS[name].of
    assert of is not None
    return Figure(lambda sums: of(sums[..., position, :]), METRICS[name].link)


def _mean_over_targets(name: str) -> Figure:
    of = METRICS[name].of
    assert of is not None
    return Figure(lambda sums: of(sums).mean(axis=-1), METRICS[name].link)


def width(target: Target) -> float | None:
    """Of a number's scale; None where it has none."""
    return target.scale[1] - target.scale[0] if target.scale else None


def _units(groups: np.ndarray | None, known: np.ndarray, resampling: Resampling) -> Units:
    return as_units(None if groups is None else groups[known], int(known.sum()), seed=resampling.seed)
