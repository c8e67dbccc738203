"""A table of predictions seen in parts: by class, by group, by fold, by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation import rows
from affectkit.evaluation.calibration_error import null_band, reliability_bins, top_label
from affectkit.evaluation.class_metrics import f1s, precisions, recalls
from affectkit.evaluation.intervals import SHARE, Estimate, Interval, Resampling, intervals
from affectkit.evaluation.measure import measure, number_figures
from affectkit.evaluation.metrics import taking
from affectkit.evaluation.rows import missing, pair, prefix, statistics
from affectkit.labels import Target
from affectkit.splits import distinct

if TYPE_CHECKING:
    import pandas as pd


SHOWN = ("accuracy", "uar", "macro_f1", "ccc", "mae")  # of each group; one group's kappa or NLL is mostly noise


def per_class(
    predictions: Predictions, target: Target, groups: np.ndarray | None, resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Class -> `n`, `precision`, `recall`, `f1`, `recall_low`, `recall_high`."""
    truth, predicted = pair(predictions, target)
    known = ~(missing(truth) | missing(predicted))
    units = resampling.units(groups, known)
    sums = statistics(target, truth[known], predicted[known], units.codes, units.count)
    figures = {name: _recall_of(k) for k, name in enumerate(target.classes)}
    recall_intervals = intervals(figures, sums, resampling, groups=units.groups).values()
    total = sums.sum(axis=0)
    columns = {
        "n": total[rows.TRUE],
        "precision": precisions(total),
        "recall": recalls(total),
        "f1": f1s(total),
        "recall_low": np.array([interval.low for interval in recall_intervals]),
        "recall_high": np.array([interval.high for interval in recall_intervals]),
    }
    return dict(zip(target.classes, rows.records(columns), strict=True))


def _recall_of(k: int) -> Estimate:
    return Estimate(lambda sums: recalls(sums[..., k : k + 1])[..., 0], SHARE)


def confusion(predictions: Predictions, target: Target) -> dict[str, Any]:
    """`classes`, and `counts` [K, K] with the truth in rows."""
    counts = rows.confusions(*pair(predictions, target), len(target.classes))[0]
    return {"classes": list(target.classes), "counts": counts.tolist()}


MOST_MISTAKES = 200  # kinds; of 1,000 classes there may be a million


def mistakes(
    predictions: Predictions, target: Target, groups: np.ndarray | None, resampling: Resampling
) -> list[dict[str, Any]]:
    """What each class is mistaken for, in the order of the classes, the most frequent first: `truth`, `predicted`,
    `rows`, and their `share` of the rows of that truth with its interval, `low` and `high`."""
    truth, predicted = pair(predictions, target)
    known = ~(missing(truth) | missing(predicted))
    units, truth, predicted = resampling.units(groups, known), truth[known], predicted[known]
    kinds, counts = np.unique(np.stack([truth, predicted])[:, truth != predicted], axis=1, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_MISTAKES])
    kept = kept[np.lexsort((-counts[kept], kinds[0, kept]))]
    columns = [(truth == t) & (predicted == p) for t, p in kinds[:, kept].T]
    columns += [truth == t for t in kinds[0, kept]]
    sums = np.stack([np.bincount(units.codes[c], minlength=units.count) for c in columns], axis=1) if columns else None
    shares = {str(k): Estimate(_share_of(k, k + len(kept)), SHARE) for k in range(len(kept))}
    figures = {} if sums is None else intervals(shares, sums, resampling, groups=units.groups)
    listed = []
    for figure, kind in zip(figures.values(), kept, strict=True):
        names = {name: target.classes[k] for name, k in zip(("truth", "predicted"), kinds[:, kind], strict=True)}
        share, low, high = figure.plain().values()
        listed.append({**names, "rows": int(counts[kind]), "share": share, "low": low, "high": high})
    return listed


def _share_of(part: int, total: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda sums: rows.ratio(sums[..., part], sums[..., total])


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
    names, codes = distinct(parts)
    table: dict[str, np.ndarray] = {"n": np.bincount(codes, minlength=len(names))}
    sums = {target: statistics(target, *pair(predictions, target), codes, len(names)) for target in targets}
    for target, counts in sums.items():
        if target.kind != "number":
            table |= {prefix(target) + m.name: m.of(counts) for m in taking("classes") if m.of}
    numbers = [target for target in targets if target.kind == "number"]
    if numbers:
        together = np.stack([sums[target] for target in numbers], axis=1)
        table |= {name: figure.of(together) for name, figure in number_figures(numbers).items()}
    return dict(zip(map(str, names), rows.records(table), strict=True))


def per_group(predictions: Predictions, targets: Sequence[Target], groups: np.ndarray) -> dict[str, dict[str, float]]:
    """Group -> `n` and its key figures, and `error`, 1 - accuracy; rows without a group are left out."""
    named = groups != ""
    table = by_part(predictions.take(named), targets, groups[named])
    by_group: dict[str, dict[str, float]] = {group: {} for group in table}
    for group, row in table.items():
        for name, value in row.items():
            before, dot, metric = name.rpartition(".")
            if name == "n" or metric in SHOWN:
                by_group[group][name] = value
            if metric == "accuracy":
                by_group[group][f"{before}{dot}error"] = 1 - value
    return by_group


def fold_means(predictions: Predictions, targets: Sequence[Target]) -> dict[str, Any] | None:
    """`count` folds, and per metric the mean and standard deviation (ddof 1) over those where it is defined.

    Beside the pooled figure, never in its place: folds differ in size, and a class may be absent from one. None
    without folds.
    """
    folds = predictions.groups("fold")
    if folds is None or len(set(folds) - {""}) < 2:
        return None
    by_fold = list(by_part(predictions.take(folds != ""), targets, folds[folds != ""]).values())
    means = {}
    for name in by_fold[0]:
        values = np.array([figures[name] for figures in by_fold], float)
        values = values[np.isfinite(values)]
        if name != "n" and len(values) > 1:
            means[name] = {"mean": float(values.mean()), "sd": float(values.std(ddof=1)), "folds": len(values)}
    return {"count": len(by_fold), "metrics": means}


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
        metrics = measure(predictions.take(inside), targets, None if groups is None else groups[inside], resampling)
        by_slice[name] = {
            "n": int(inside.sum()),
            "groups": None if groups is None else resampling.units(groups, inside).groups,
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
        what = "nothing says how these predictions were made (no column 'seen')"
        sentences.append(f"{what}: their rows are taken as held out")
    sentences += grouping(column, groups)
    for target in targets:
        sentences += [f"{target.name}: {sentence}" for sentence in _of_target(predictions, target)]
        sentences += [f"{target.name}: {sentence}" for sentence in _upside_down(target, metrics)]
    tried = {name: figure for name, figure in metrics.items() if figure.method != "none" and np.isfinite(figure.value)}
    without = [name for name, figure in tried.items() if not np.isfinite(figure.low)]
    if without:
        why = "groups do not differ, or without one of them it is undefined"
        sentences.append(f"no interval for {', '.join(without)}: {why}")
    return sentences


def _upside_down(target: Target, metrics: Mapping[str, Interval]) -> Iterator[str]:
    """Worse than an answer that looks at nothing, which a fusion that learns will turn round and take for a success."""
    number = target.kind == "number"
    name, title, chance = ("pearson", "Pearson's r", 0.0) if number else ("uar", "UAR", 1 / len(target.classes))
    figure = metrics.get(prefix(target) + name)
    if figure is not None and figure.high < chance:
        what = f"{title} {figure.value:.3f} is below chance, {chance:.3g}, with its whole interval"
        yield f"{what}: are labels swapped, or is what a fold leaves out the reverse of what it is fitted on?"


def grouping(column: str | None, groups: np.ndarray | None) -> Iterator[str]:
    if groups is None:
        yield "no groups are known: intervals take rows as independent and are too narrow if speakers repeat"
        return
    sizes = np.bincount(distinct(groups[groups != ""])[1])
    if (groups == "").any():
        yield f"{(groups == '').sum()} rows have no {column}: each counts as a group of its own"
    if len(sizes) == 1:
        yield f"all rows are of one {column}: no interval can be estimated"
    elif 1 < len(sizes) < FEW_GROUPS:
        yield f"only {len(sizes)} groups ({column}): intervals are wide and rest on few degrees of freedom"
    effective = sizes.sum() ** 2 / (sizes**2).sum() if len(sizes) else 0.0
    if len(sizes) > 1 and effective < len(sizes) / 2:
        equal = f"{len(sizes)} weigh as {effective:.1f} equal ones"
        yield f"groups ({column}) differ much in size, {equal}: intervals may be too narrow"


def _of_target(predictions: Predictions, target: Target) -> Iterator[str]:
    truth, predicted = pair(predictions, target)
    unlabelled, declined = missing(truth), missing(predicted)
    for lacking, what in ((unlabelled, "truth"), (declined & ~unlabelled, "prediction")):
        if lacking.any():
            yield f"{lacking.sum()} of {len(truth)} rows have no {what} and are left out"
    if target.kind == "number":
        return
    both = ~(unlabelled | declined)
    present = np.bincount(truth[both], minlength=len(target.classes))
    absent = [name for name, count in zip(target.classes, present, strict=True) if not count]
    if absent:
        yield f"no row is {', '.join(absent)}; UAR is the mean over the other classes"
    if len(np.unique(predicted[both])) == 1 and len(target.classes) > 1:
        yield f"every row is predicted {target.classes[predicted[both][0]]}"
    probabilities = predictions.probabilities(target.name)
    if probabilities is not None:
        off = np.nanmax(np.abs(probabilities.sum(axis=1) - 1), initial=0.0)
        if off > 1e-3:
            yield f"probabilities of a row add up to 1 only within {off:.2g}"
        yield from _at_odds(probabilities[both], truth[both], predicted[both], target)


def _at_odds(probabilities: np.ndarray, truth: np.ndarray, predicted: np.ndarray, target: Target) -> Iterator[str]:
    """Rows whose probabilities rule out the truth, or speak for another class than the one predicted."""
    at = np.arange(len(truth))
    ruled_out = probabilities[at, truth] <= 0
    if ruled_out.any():
        names = ", ".join(target.classes[code] for code in np.unique(truth[ruled_out]))
        cost = -np.log(rows.SMALLEST_PROBABILITY)
        yield f"{ruled_out.sum()} rows have probability 0 of what they are ({names}): NLL counts {cost:.1f} for each"
    others = (probabilities[at, predicted] < probabilities.max(axis=1, initial=0)).sum()
    if others:
        yield f"the prediction of {others} rows is not their most probable class: calibration is of the probabilities"


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
    numbers = [target for target in targets if target.kind == "number"]
    if len(numbers) < len(targets):
        majority = constants["majority" if train is not None else "judged_majority"] = {}
        for target in targets:
            if target.kind != "number":
                majority |= _majority(predictions, target, train)
    if numbers:
        sums = np.stack([_constant(predictions, target, train) for target in numbers])
        means = {name: float(figure.of(sums)) for name, figure in number_figures(numbers).items()}
        constants["train_mean" if train is not None else "judged_mean"] = means
    return constants


def _majority(predictions: Predictions, target: Target, train: pd.DataFrame | None) -> dict[str, float]:
    sums = _constant(predictions, target, train)
    metrics = {m.name: float(m.of(sums)) for m in taking("classes") if m.of}
    if predictions.probabilities(target.name) is not None:
        loss = _constant(predictions, target, train, probabilities=True)
        metrics |= {m.name: float(m.of(loss)) for m in taking("probabilities") if m.of} | {"auroc": 0.5}
    return {prefix(target) + name: value for name, value in metrics.items()}


def _constant(
    predictions: Predictions, target: Target, train: pd.DataFrame | None, *, probabilities: bool = False
) -> np.ndarray:
    """The statistics of an answer that is always the same, over the rows with a truth and an answer."""
    truth, predicted = pair(predictions, target)
    truth = truth[~(missing(truth) | missing(predicted))]
    known = truth if train is None else rows.column(Predictions(train, {}), target, target.name)
    answers = rows.constant_answers(target, known, len(truth), probabilities=probabilities)
    return statistics(target, truth, answers)[0]


def train_rows(predictions: Predictions, targets: Sequence[Target]) -> pd.DataFrame | None:
    """The rows of the train split that a table of predictions carries, if they have every target's truth."""
    frame = predictions.frame
    if "split" not in frame:
        return None
    train = predictions.take((frame["split"] == "train").to_numpy())
    labelled = [not missing(rows.column(train, target, target.name)).all() for target in targets]
    return train.frame if len(train.frame) and all(labelled) else None
