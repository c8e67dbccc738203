"""Every metric of a table of predictions, with its interval; of repeats of one table (seeds), every metric's mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.intervals import Estimate, Interval, Resampling, from_left_out, intervals
from affectkit.evaluation.metrics import taking
from affectkit.evaluation.probability_metrics import left_out_auroc
from affectkit.evaluation.rows import missing, pair, prefix, statistics
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
    """The metrics of one class target, over the rows that have a truth and a prediction.

    Proper scores from sums, AUROC by leaving units out. Calibration errors have no interval: chance biases them
    upwards, so that resampling covers 0 % for a calibrated model; their null band stands beside them instead.
    """
    tables = repeats(predictions)
    pairs = [pair(table, target) for table in tables]
    known = ~np.any([missing(truth) | missing(predicted) for truth, predicted in pairs], axis=0)
    metrics = _of_class(target, "classes", pairs, known, groups, resampling)
    probabilities = [p for table in tables if (p := table.probabilities(target.name)) is not None]
    if len(probabilities) == len(tables):
        known &= ~np.isnan(probabilities).any(axis=(0, 2))
        pairs = [(truth, predicted) for (truth, _), predicted in zip(pairs, probabilities, strict=True)]
        metrics |= _of_class(target, "probabilities", pairs, known, groups, resampling)
    return metrics


def _of_class(
    target: Target,
    takes: str,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    known: np.ndarray,
    groups: np.ndarray | None,
    resampling: Resampling,
) -> dict[str, Interval]:
    """The metrics that take `takes`, of what each repeat predicted of the known rows."""
    units = resampling.units(groups, known)
    answers = [(truth[known], predicted[known]) for truth, predicted in pairs]
    figures = {m.name: averaged(m.estimate) for m in taking(takes) if m.of}
    sums = np.stack([statistics(target, *answer, units.codes, units.count) for answer in answers], axis=1)
    measured = intervals(figures, sums, resampling, groups=units.groups)
    for metric in taking(takes):
        if metric.name == "auroc":
            areas = [left_out_auroc(*answer, units.codes, units.count) for answer in answers]
            value, left_out = float(np.mean([area for area, _ in areas])), np.mean([left for _, left in areas], axis=0)
            area = from_left_out(value, left_out, metric.interval_scale, resampling, groups=units.groups)
            measured[metric.name] = area.interval()
        elif not metric.of:
            value = float(np.mean([metric.function(*answer) for answer in answers]))
            measured[metric.name] = Interval(value, groups=units.groups)
    return {prefix(target) + metric.name: measured[metric.name] for metric in taking(takes)}


def number_intervals(
    predictions: Repeats, targets: Sequence[Target], groups: np.ndarray | None, resampling: Resampling
) -> dict[str, Interval]:
    """The metrics of each number and their means over all of them, from the same resamples."""
    tables = [[pair(table, target) for target in targets] for table in repeats(predictions)]
    lacking = [[missing(truth) | missing(predicted) for truth, predicted in pairs] for pairs in tables]
    known = ~np.any(np.all(lacking, axis=1), axis=0)
    units = resampling.units(groups, known)

    def sums(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        columns = zip(targets, pairs, strict=True)
        return np.stack([statistics(t, a[known], b[known], units.codes, units.count) for t, (a, b) in columns], axis=1)

    figures = {name: averaged(figure) for name, figure in number_figures(targets).items()}
    return intervals(figures, np.stack(list(map(sums, tables)), axis=1), resampling, groups=units.groups)


def repeats(predictions: Repeats) -> list[Predictions]:
    return [predictions] if isinstance(predictions, Predictions) else list(predictions)


def averaged(figure: Estimate) -> Estimate:
    """The mean of a figure over one more axis of the sums, before those that its formula takes: repeats, or targets."""
    return Estimate(lambda sums: figure.of(sums).mean(axis=-1), figure.interval_scale)


def number_figures(targets: Sequence[Target]) -> dict[str, Estimate]:
    """Figures of moments [..., T, 10]: `<metric>`, the mean over the T targets, and `t.<metric>` of each of them."""
    metrics = taking("numbers")
    scaled = [m for m in metrics if m.name != "one_minus_mae"]
    figures = {m.name: averaged(m.estimate) for m in (metrics if all(t.width for t in targets) else scaled)}
    for position, target in enumerate(targets):
        for metric in metrics if target.width else scaled:
            figures[f"{target.name}.{metric.name}"] = _of_target(metric.estimate, position)
    return figures


def _of_target(figure: Estimate, position: int) -> Estimate:
    return Estimate(lambda sums: figure.of(sums[..., position, :]), figure.interval_scale)
