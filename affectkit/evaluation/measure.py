"""Every metric of a table of predictions, with its interval; of repeats of one table (seeds), every metric's mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.intervals import Estimate, Interval, Resampling, Units, as_units, from_left_out, intervals
from affectkit.evaluation.metrics import METRICS, taking
from affectkit.evaluation.probability_metrics import left_out_auroc
from affectkit.evaluation.rows import confusions, losses, missing, moments, pair, prefix
from affectkit.labels import Target

Repeats = Predictions | Sequence[Predictions]


def measure(
    predictions: Repeats, targets: Sequence[Target], groups: np.ndarray | None, resampling: Resampling
) -> dict[str, Interval]:
    """All metrics of `targets` by their flat names: `uar`, `t.uar` of a class target other than `label`; `t.ccc` of a
    number, and `ccc`, the mean over the numbers.

    predictions: one table, or repeats of it, the same rows in the same order. Each figure is then the mean over the
    repeats, and its interval that of the mean: groups are left out or drawn of all repeats at once.
    groups: [N] text, None for rows that are taken as independent.
    """
    metrics: dict[str, Interval] = {}
    for target in targets:
        if target.kind != "number":
            metrics |= class_intervals(predictions, target, groups, resampling)
    numbers = [target for target in targets if target.kind == "number"]
    return metrics | (number_intervals(predictions, numbers, groups, resampling) if numbers else {})


def class_intervals(
    predictions: Repeats, target: Target, groups: np.ndarray | None, resampling: Resampling
) -> dict[str, Interval]:
    """The metrics of one class target, over the rows that have a truth and a prediction."""
    tables = repeats(predictions)
    pairs = [pair(table, target) for table in tables]
    known = ~np.any([missing(truth) | missing(predicted) for truth, predicted in pairs], axis=0)
    units = _units(groups, known, resampling)
    classes = len(target.classes)
    counts = [confusions(truth[known], said[known], classes, units.codes, units.count) for truth, said in pairs]
    figures = {
        prefix(target) + m.name: over_repeats(Estimate(m.of, m.interval_scale)) for m in taking("classes") if m.of
    }
    metrics = intervals(figures, np.stack(counts, axis=1), resampling, groups=units.groups)
    probabilities = [p for table in tables if (p := table.probabilities(target.name)) is not None]
    if len(probabilities) == len(tables):
        known &= ~np.isnan(probabilities).any(axis=(0, 2))
        units = _units(groups, known, resampling)
        answers = [(truth[known], predicted[known]) for (truth, _), predicted in zip(pairs, probabilities, strict=True)]
        metrics |= _probability_intervals(prefix(target), answers, units, resampling)
    return metrics


def _probability_intervals(
    prefix: str, answers: Sequence[tuple[np.ndarray, np.ndarray]], units: Units, resampling: Resampling
) -> dict[str, Interval]:
    """Proper scores from sums, AUROC by leaving units out. Calibration errors have no interval: chance biases them
    upwards, so that resampling covers 0 % for a calibrated model; their null band stands beside them instead.

    answers: truth [n] and probabilities [n, K] of each repeat.
    """
    metrics = taking("probabilities")
    figures = {prefix + m.name: over_repeats(Estimate(m.of, m.interval_scale)) for m in metrics if m.of}
    statistics = np.stack([losses(*answer, units.codes, units.count) for answer in answers], axis=1)
    figures_of = intervals(figures, statistics, resampling, groups=units.groups)
    for metric in metrics:
        if metric.name == "auroc":
            areas = [left_out_auroc(*answer, units.codes, units.count) for answer in answers]
            value, left_out = float(np.mean([area for area, _ in areas])), np.mean([left for _, left in areas], axis=0)
            area = from_left_out(value, left_out, metric.interval_scale, resampling, groups=units.groups)
            figures_of[prefix + metric.name] = area
        elif not metric.of:
            value = float(np.mean([metric.function(*answer) for answer in answers]))
            figures_of[prefix + metric.name] = Interval(value, groups=units.groups)
    return {prefix + m.name: figures_of[prefix + m.name] for m in metrics}


def number_intervals(
    predictions: Repeats, targets: Sequence[Target], groups: np.ndarray | None, resampling: Resampling
) -> dict[str, Interval]:
    """The metrics of each number and their means over all of them, from the same resamples."""
    tables = [[pair(table, target) for target in targets] for table in repeats(predictions)]
    lacking = [np.all([missing(truth) | missing(said) for truth, said in pairs], axis=0) for pairs in tables]
    known = ~np.any(lacking, axis=0)
    units = _units(groups, known, resampling)

    def statistics(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        columns = zip(pairs, map(width, targets), strict=True)
        return np.stack([moments(t[known], p[known], units.codes, units.count, w) for (t, p), w in columns], axis=1)

    figures = {name: over_repeats(figure) for name, figure in number_figures(targets).items()}
    return intervals(figures, np.stack(list(map(statistics, tables)), axis=1), resampling, groups=units.groups)


def repeats(predictions: Repeats) -> list[Predictions]:
    return [predictions] if isinstance(predictions, Predictions) else list(predictions)


def over_repeats(figure: Estimate) -> Estimate:
    """The mean of a figure over repeats, of sums that have an axis [R] before those that its formula takes."""
    return Estimate(lambda statistics: figure.of(statistics).mean(axis=-1), figure.interval_scale)


def number_figures(targets: Sequence[Target]) -> dict[str, Estimate]:
    """Figures of moments [..., T, 10]: `t.<metric>` of each of the T targets, and `<metric>`, their mean."""
    figures: dict[str, Estimate] = {}
    for position, target in enumerate(targets):
        for metric in taking("numbers"):
            if metric.name != "one_minus_mae" or width(target):
                figures[f"{target.name}.{metric.name}"] = _of_target(metric.name, position)
    every = [m.name for m in taking("numbers") if m.name != "one_minus_mae" or all(map(width, targets))]
    return {name: _mean_over_targets(name) for name in every} | figures


def _of_target(name: str, position: int) -> Estimate:
    of = METRICS[name].of
    assert of is not None
    return Estimate(lambda statistics: of(statistics[..., position, :]), METRICS[name].interval_scale)


def _mean_over_targets(name: str) -> Estimate:
    of = METRICS[name].of
    assert of is not None
    return Estimate(lambda statistics: of(statistics).mean(axis=-1), METRICS[name].interval_scale)


def width(target: Target) -> float | None:
    """Of a number's scale; None where it has none."""
    return target.scale[1] - target.scale[0] if target.scale else None


def _units(groups: np.ndarray | None, known: np.ndarray, resampling: Resampling) -> Units:
    return as_units(None if groups is None else groups[known], int(known.sum()), seed=resampling.seed)
