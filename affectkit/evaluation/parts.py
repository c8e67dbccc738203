"""A table of predictions seen in parts: by class, by group, by fold, by slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.calibration_error import null_band, reliability_bins, top_label
from affectkit.evaluation.class_metrics import f1s, precisions, recalls
from affectkit.evaluation.intervals import SHARE, Estimate, Interval, Resampling, as_units, intervals
from affectkit.evaluation.measure import measure, number_figures, width
from affectkit.evaluation.metrics import taking
from affectkit.evaluation.rows import column, confusions, encode, losses, missing, moments, pair, prefix
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd


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
    recall_intervals = intervals(figures, counts, resampling, groups=units.groups)
    total = counts.sum(axis=0)
    columns = zip(total.sum(axis=1), precisions(total), recalls(total), f1s(total), strict=True)
    return {
        name: {
            "n": int(n),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "recall_low": recall_intervals[name].low,
            "recall_high": recall_intervals[name].high,
        }
        for name, (n, precision, recall, f1) in zip(target.classes, columns, strict=True)
    }


def _recall_of(k: int) -> Estimate:
    return Estimate(lambda confusion: recalls(confusion)[..., k], SHARE)


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
        statistics = [moments(*pair(predictions, t), codes, len(names), width(t)) for t in numbers]
        table |= {name: figure.of(np.stack(statistics, axis=1)) for name, figure in number_figures(numbers).items()}
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
    means = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows], float)
        values = values[np.isfinite(values)]
        if name != "n" and len(values) > 1:
            means[name] = {"mean": float(values.mean()), "sd": float(values.std(ddof=1)), "folds": len(values)}
    return {"count": len(rows), "metrics": means}


def slices(
    predictions: Predictions,
    targets: Sequence[Target],
    columns: Sequence[str],
    groups: np.ndarray | None,
    resampling: Resampling,
) -> dict[str, dict[str, Any]]:
    """`column=value` -> `n`, `groups` (None without) and `metrics` of those rows; cells that are "" make no slice."""
    by_slice: dict[str, dict[str, Any]] = {}
    for name, inside, _ in named_parts(predictions, columns):
        groups_inside = None if groups is None else groups[inside]
        metrics = measure(predictions.take(inside), targets, groups_inside, resampling)
        by_slice[name] = {
            "n": int(inside.sum()),
            "groups": None if groups_inside is None else as_units(groups_inside, len(groups_inside)).groups,
            "metrics": {name: figure.plain() for name, figure in metrics.items()},
        }
    return by_slice


def named_parts(predictions: Predictions, columns: Sequence[str]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """`column=value`, its rows and the rows of any other value, both [N] bool; a cell that is "" is in neither.

    Raises "input" for a missing column.
    """
    for name in columns:
        cells = predictions.groups(name)
        if cells is None:
            remedy = did_you_mean(name, list(predictions.frame.columns))
            raise AffectkitError("input", f"has no column '{name}' to slice by", file=predictions.path, remedy=remedy)
        for value in sorted(set(cells) - {""}):
            inside = cells == value
            yield f"{name}={value}", inside, (cells != "") & ~inside


# --- What a reader of the figures must know: sentences that stand in the report


FEW_GROUPS = 5


def caveats(
    predictions: Predictions,
    targets: Sequence[Target],
    column: str | None,
    groups: np.ndarray | None,
    metrics: Mapping[str, Interval],
) -> list[str]:
    """Every caveat that the judged rows give cause for; empty where there is none."""
    sentences = []
    if predictions.foreign:
        sentences.append(
            "nothing says how these predictions were made (no column 'seen'): their rows are taken as held out"
        )
    sentences += grouping(column, groups)
    for target in targets:
        sentences += _coverage(predictions, target)
        if target.kind != "number":
            sentences += _classes(predictions, target)
    return sentences + _without_interval(metrics)


def grouping(column: str | None, groups: np.ndarray | None) -> list[str]:
    if groups is None:
        return ["no groups are known: intervals take rows as independent and are too narrow if speakers repeat"]
    sizes = np.unique(groups[groups != ""], return_counts=True)[1]
    sentences = []
    if (groups == "").any():
        sentences.append(f"{(groups == '').sum()} rows have no {column}: each counts as a group of its own")
    if len(sizes) == 1:
        sentences.append(f"all rows are of one {column}: no interval can be estimated")
    elif 1 < len(sizes) < FEW_GROUPS:
        sentences.append(f"only {len(sizes)} groups ({column}): intervals are wide and rest on few degrees of freedom")
    effective = sizes.sum() ** 2 / (sizes**2).sum() if len(sizes) else 0.0
    if len(sizes) > 1 and effective < len(sizes) / 2:
        sentences.append(
            f"groups ({column}) differ much in size, {len(sizes)} weigh as {effective:.1f} equal ones: "
            "intervals may be too narrow"
        )
    return sentences


def _coverage(predictions: Predictions, target: Target) -> list[str]:
    truth, predicted = pair(predictions, target)
    unlabelled, declined = missing(truth), missing(predicted) & ~missing(truth)
    sentences = []
    if unlabelled.any():
        sentences.append(f"{target.name}: {unlabelled.sum()} of {len(truth)} rows have no truth and are left out")
    if declined.any():
        sentences.append(f"{target.name}: {declined.sum()} of {len(truth)} rows have no prediction and are left out")
    return sentences


def _classes(predictions: Predictions, target: Target) -> list[str]:
    truth, predicted = pair(predictions, target)
    both = ~(missing(truth) | missing(predicted))
    present = np.bincount(truth[both], minlength=len(target.classes))
    sentences = []
    absent = [name for name, count in zip(target.classes, present, strict=True) if not count]
    if absent:
        sentences.append(f"{target.name}: no row is {', '.join(absent)}; UAR is the mean over the other classes")
    if len(np.unique(predicted[both])) == 1 and len(target.classes) > 1:
        sentences.append(f"{target.name}: every row is predicted {target.classes[predicted[both][0]]}")
    probabilities = predictions.probabilities(target.name)
    if probabilities is not None:
        off = np.nanmax(np.abs(probabilities.sum(axis=1) - 1), initial=0.0)
        if off > 1e-3:
            sentences.append(f"{target.name}: probabilities of a row add up to 1 only within {off:.2g}")
    return sentences


def _without_interval(metrics: Mapping[str, Interval]) -> list[str]:
    names = [
        name
        for name, figure in metrics.items()
        if figure.method != "none" and np.isfinite(figure.value) and not np.isfinite(figure.low)
    ]
    if names:
        return [f"no interval for {', '.join(names)}: groups do not differ, or without one of them it is undefined"]
    return []


# --- What a model has to beat: an answer that looks at nothing


def floors(
    predictions: Predictions, targets: Sequence[Target], train: pd.DataFrame | None = None
) -> dict[str, dict[str, float]]:
    """The metrics of constant answers on the judged rows.

    train: rows with target columns. `majority`: always the most frequent class of the train rows, with their class
    shares as probabilities; `train_mean`: always their mean. Where `train` is None the judged rows' own class and mean
    serve, which nobody could know beforehand, and the names are `judged_majority` and `judged_mean`.
    """
    constants: dict[str, dict[str, float]] = {}
    classes = [t for t in targets if t.kind != "number"]
    numbers = [t for t in targets if t.kind == "number"]
    if classes:
        name = "majority" if train is not None else "judged_majority"
        constants[name] = {key: value for t in classes for key, value in _majority(predictions, t, train).items()}
    if numbers:
        constants["train_mean" if train is not None else "judged_mean"] = _means(predictions, numbers, train)
    return constants


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
    metrics = {m.name: float(m.of(confusion)) for m in taking("classes") if m.of}
    if predictions.probabilities(target.name) is not None:
        metrics |= {m.name: float(m.of(loss)) for m in taking("probabilities") if m.of} | {"auroc": 0.5}
    return {prefix(target) + name: value for name, value in metrics.items()}


def _means(predictions: Predictions, targets: Sequence[Target], train: pd.DataFrame | None) -> dict[str, float]:
    tables = []
    for target in targets:
        truth, predicted = pair(predictions, target)
        truth = truth[~(missing(truth) | missing(predicted))]
        known = truth if train is None else train[target.name].to_numpy(float)
        tables.append(moments(truth, np.full(len(truth), np.nanmean(known)), width=width(target))[0])
    return {name: float(figure.of(np.stack(tables))) for name, figure in number_figures(targets).items()}
