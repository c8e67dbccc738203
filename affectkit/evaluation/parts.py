"""A table of predictions seen in parts: by class, by group, by fold, by slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.calibration_error import null_band, reliability_bins, top_label
from affectkit.evaluation.class_metrics import f1s, precisions, recalls
from affectkit.evaluation.intervals import Figure, Resampling, as_units, intervals
from affectkit.evaluation.links import SHARE
from affectkit.evaluation.measure import measure, number_figures, width
from affectkit.evaluation.metrics import taking
from affectkit.evaluation.rows import missing, pair, prefix
from affectkit.evaluation.sums import confusions, moments
from affectkit.labels import Target

SHOWN = ("accuracy", "uar", "macro_f1", "ccc", "mae")  # of each group; one group's kappa or NLL is mostly noise


def per_class(
    predictions: Predictions, target: Target, groups: np.ndarray | None, resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Class -> `n`, `precision`, `recall`, `f1`, `recall_low`, `recall_high`."""
    truth, predicted = pair(predictions, target)
    known = ~(missing(truth) | missing(predicted))
    units = as_units(None if groups is None else groups[known], int(known.sum()), seed=resampling.seed)
    counts = confusions(truth[known], predicted[known], len(target.classes), units.codes, units.count)
    figures = {name: _recall_of(k) for k, name in enumerate(target.classes)}
    found = intervals(figures, counts, resampling, groups=units.groups)
    total = counts.sum(axis=0)
    columns = zip(total.sum(axis=1), precisions(total), recalls(total), f1s(total), strict=True)
    return {
        name: {
            "n": int(n),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "recall_low": found[name].low,
            "recall_high": found[name].high,
        }
        for name, (n, precision, recall, f1) in zip(target.classes, columns, strict=True)
    }


def _recall_of(k: int) -> Figure:
    return Figure(lambda confusion: recalls(confusion)[..., k], SHARE)


def confusion(predictions: Predictions, target: Target) -> dict[str, Any]:
    """`classes`, and `counts` [K, K] with the truth in rows."""
    truth, predicted = pair(predictions, target)
    return {"classes": list(target.classes), "counts": confusions(truth, predicted, len(target.classes))[0].tolist()}


def calibration(predictions: Predictions, target: Target, *, seed: int = 0) -> dict[str, Any] | None:
    """The reliability diagram's bins and the null band of top-label ECE; None without probabilities."""
    probabilities = predictions.probabilities(target.name)
    if probabilities is None:
        return None
    truth, predicted = pair(predictions, target)
    known = ~(missing(truth) | missing(predicted) | np.isnan(probabilities).any(axis=1))
    confidence, right = top_label(truth[known], probabilities[known])
    band = null_band(confidence, seed=seed)
    return {
        "target": target.name,
        "scheme": "top-label, equal-width right-closed bins",
        "bins": reliability_bins(confidence, right, band),
        "null": {"ece_mean": band.ece_mean, "ece_p95": band.ece_p95},
    }


def by_part(predictions: Predictions, targets: Sequence[Target], parts: np.ndarray) -> dict[str, dict[str, float]]:
    """Part -> `n` and each metric that is a formula of counts or moments, over that part's rows. parts: [N] text."""
    names, codes = np.unique(parts, return_inverse=True)
    table: dict[str, np.ndarray] = {"n": np.bincount(codes, minlength=len(names))}
    numbers = [target for target in targets if target.kind == "number"]
    for target in targets:
        if target.kind != "number":
            counts = confusions(*pair(predictions, target), len(target.classes), codes, len(names))
            table |= {prefix(target) + m.name: m.of(counts) for m in taking("classes") if m.of}
    if numbers:
        sums = [moments(*pair(predictions, t), codes, len(names), width(t)) for t in numbers]
        table |= {name: figure.of(np.stack(sums, axis=1)) for name, figure in number_figures(numbers).items()}
    rows = zip(*(column.tolist() for column in table.values()), strict=True)
    return {str(name): dict(zip(table, row, strict=True)) for name, row in zip(names, rows, strict=True)}


def per_group(predictions: Predictions, targets: Sequence[Target], groups: np.ndarray) -> dict[str, dict[str, float]]:
    """Group -> `n` and its key figures, and `error`, 1 - accuracy; rows without a group are left out."""
    named = groups != ""
    table = by_part(predictions.take(named), targets, groups[named])
    return {group: dict(_key_figures(row)) for group, row in table.items()}


def _key_figures(row: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        before, dot, metric = name.rpartition(".")
        if name == "n" or metric in SHOWN:
            yield name, value
        if metric == "accuracy":
            yield f"{before}{dot}error", 1 - value


def fold_means(predictions: Predictions, targets: Sequence[Target]) -> dict[str, Any] | None:
    """`count` folds, and per metric the mean and standard deviation (ddof 1) over those where it is defined.

    Beside the pooled figure, never in its place: folds differ in size, and a class may be absent from one. None
    without folds.
    """
    folds = predictions.groups("fold")
    if folds is None or len(set(folds) - {""}) < 2:
        return None
    rows = list(by_part(predictions.take(folds != ""), targets, folds[folds != ""]).values())
    found = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows], float)
        values = values[np.isfinite(values)]
        if name != "n" and len(values) > 1:
            found[name] = {"mean": float(values.mean()), "sd": float(values.std(ddof=1)), "folds": len(values)}
    return {"count": len(rows), "metrics": found}


def slices(
    predictions: Predictions,
    targets: Sequence[Target],
    columns: Sequence[str],
    groups: np.ndarray | None,
    resampling: Resampling,
) -> dict[str, dict[str, Any]]:
    """`column=value` -> `n`, `groups` (None without) and `metrics` of those rows; cells that are "" make no slice."""
    found: dict[str, dict[str, Any]] = {}
    for name, inside, _ in named_parts(predictions, columns):
        own = None if groups is None else groups[inside]
        metrics = measure(predictions.take(inside), targets, own, resampling)
        found[name] = {
            "n": int(inside.sum()),
            "groups": None if own is None else as_units(own, len(own)).groups,
            "metrics": {name: figure.plain() for name, figure in metrics.items()},
        }
    return found


def named_parts(predictions: Predictions, columns: Sequence[str]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """`column=value`, its rows and the rows of any other value, both [N] bool; a cell that is "" is in neither.

    Raises "input" for a missing column.
    """
    for column in columns:
        cells = predictions.groups(column)
        if cells is None:
            remedy = did_you_mean(column, list(predictions.frame.columns))
            raise AffectkitError("input", f"has no column '{column}' to slice by", file=predictions.path, remedy=remedy)
        for value in sorted(set(cells) - {""}):
            inside = cells == value
            yield f"{column}={value}", inside, (cells != "") & ~inside
