"""Sufficient statistics of rows, and which rows are judged: one split, never pooled, never a row fitted on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import GroundTruth
from affectkit.artifacts.predictions import Predictions, prediction_column
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.splits import read_parts

log = logging.getLogger(__name__)

# --- Sufficient statistics, summed per unit: what every additive metric is computed from
#
# A unit is what a resample leaves out or repeats: a speaker, a block of speakers, or (without groups) a row. Sums add
# up over units, so leaving one out is a subtraction and resampling is one matrix product.


SMALLEST_PROBABILITY = 1e-12  # its logarithm stands for log 0: one row can cost a mean NLL at most 27.6 / n

# The rows of `tallies`, each [K]: by true class how many are right, how many there are, and the sums of
# |truth - answer| and of its square in places of the class list; and how many are predicted as each class.
RIGHT, TRUE, DISTANCE, SQUARED_DISTANCE, PREDICTED = range(5)

# The columns of `moments`: a is the truth and b the prediction, each less its median; e is prediction less truth.
COUNT, A, B, AA, BB, AB, ERROR, SQUARED, ABSOLUTE, SCALED = range(10)


def encode(labels: Any, classes: Sequence[Any]) -> np.ndarray:
    """Labels [N] as indices [N] int64 into `classes`; -1 where missing ("", None or NaN).

    Raises AffectkitError "input" with the row of a label that is not a class.
    """
    index = {None: -1, "": -1} | {name: code for code, name in enumerate(classes)}
    cells = np.asarray(labels)
    places, kinds = _distinct(cells)
    known = np.array([index.get(kind, -2) for kind in kinds.tolist()] + [-1], dtype=np.int64)
    codes = known[places]  # a gap has the place -1
    if (codes == -2).any():
        row = int((codes == -2).argmax())
        what = f"label '{cells.tolist()[row]}' is not in {', '.join(map(str, classes))}"
        raise AffectkitError("input", what, row=row + 1)
    return codes


def encode_target(target: Target, cells: Sequence[Any]) -> np.ndarray:
    """A manifest's cells as [N] float64: class indices or numbers, NaN where the row is unlabelled."""
    if target.kind == "number":
        return np.asarray(cells, float)
    codes = encode(cells, target.classes)
    return np.where(codes < 0, np.nan, codes)


def _distinct(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] the place of each cell among the distinct ones, -1 of None and NaN, and these; by hashing, in C."""
    from pandas import factorize

    return factorize(cells)


def union(*labels: Any) -> list[Any]:
    """The classes that occur in any of `labels`, sorted, missing ones left out."""
    cells = {cell for column in labels for cell in np.asarray(column).tolist() if cell == cell}
    return sorted(cells - {"", None})


def confusions(
    truth: np.ndarray, prediction: np.ndarray, classes: int, units: np.ndarray | None = None, count: int = 1
) -> np.ndarray:
    """Confusion matrices [count, K, K] int64, rows the truth, of class indices [N]; rows with a -1 are left out."""
    _check_lengths(truth, prediction)
    known = (truth >= 0) & (prediction >= 0)
    cells = truth[known] * classes + prediction[known]
    if units is not None:
        cells += units[known] * classes**2
    return np.bincount(cells, minlength=count * classes**2).reshape(count, classes, classes)


def tallies(
    truth: np.ndarray, prediction: np.ndarray, classes: int, units: np.ndarray | None = None, count: int = 1
) -> np.ndarray:
    """[count, 5, K] int64: what metrics need of the confusion matrices of class indices [N], K numbers in place of K^2.
    Rows with a -1 are left out."""
    _check_lengths(truth, prediction)
    known = (truth >= 0) & (prediction >= 0)
    truth, prediction = truth[known], prediction[known]
    unit = 0 if units is None else units[known] * classes
    away = np.abs(truth - prediction)
    of_truth = ((truth == prediction).astype(float), None, away.astype(float), away.astype(float) ** 2)
    sums = [np.bincount(unit + truth, weights, minlength=count * classes) for weights in of_truth]
    sums.append(np.bincount(unit + prediction, minlength=count * classes))
    return np.stack([each.astype(np.int64).reshape(count, classes) for each in sums], axis=1)


def losses(truth: np.ndarray, probabilities: np.ndarray, units: np.ndarray | None = None, count: int = 1) -> np.ndarray:
    """[count, 3] float64: rows, sum of -log p(truth), sum of the squared distances to the one-hot truth.

    truth: [N] class indices; probabilities: [N, K]. Rows without truth or with a NaN probability are left out.
    """
    _check_lengths(truth, probabilities)
    known = (truth >= 0) & ~np.isnan(probabilities).any(axis=1)
    truth, probabilities = truth[known], np.asarray(probabilities, float)[known]
    of_truth = probabilities[np.arange(len(truth)), truth]
    surprise = -np.log(np.clip(of_truth, SMALLEST_PROBABILITY, 1.0))
    squares = probabilities**2
    squares[np.arange(len(truth)), truth] = (of_truth - 1.0) ** 2
    distance = squares.sum(axis=1)
    return _per_unit([np.ones(len(truth)), surprise, distance], None if units is None else units[known], count)


def moments(
    truth: Any, prediction: Any, units: np.ndarray | None = None, count: int = 1, width: float | None = None
) -> np.ndarray:
    """[count, 10] float64: rows; sums of a, b, aa, bb, ab; of e, ee, |e| and |e| / width. Rows with a NaN are left out.

    a and b are taken from their medians: sums of raw squares lose all digits where the mean is far above the spread,
    and a constant stays exactly constant.
    """
    truth, prediction = np.asarray(truth, float), np.asarray(prediction, float)
    _check_lengths(truth, prediction)
    known = ~(np.isnan(truth) | np.isnan(prediction))
    truth, prediction = truth[known], prediction[known]
    a = truth - np.median(truth) if len(truth) else truth
    b = prediction - np.median(prediction) if len(truth) else prediction
    e = prediction - truth
    scaled = np.abs(e) / width if width else np.full(len(e), np.nan)
    columns = [np.ones(len(a)), a, b, a * a, b * b, a * b, e, e * e, np.abs(e), scaled]
    return _per_unit(columns, None if units is None else units[known], count)


def statistics(
    target: Target, truth: np.ndarray, prediction: np.ndarray, units: np.ndarray | None = None, count: int = 1
) -> np.ndarray:
    """Of one target: the moments of numbers [N], the tallies of class indices [N], the losses of probabilities
    [N, K]."""
    if target.kind == "number":
        return moments(truth, prediction, units, count, target.width)
    if prediction.ndim > 1:
        return losses(truth, prediction, units, count)
    return tallies(truth, prediction, len(target.classes), units, count)


def metric_of(summed: Callable[..., np.ndarray], *, undefined: str = "") -> Callable[[Callable], Callable[..., float]]:
    """Make of a formula on summed statistics the metric `(truth, prediction, ...) -> float`, with the formula as its
    attribute `of`.

    summed: truth, prediction and what the metric takes beside them -> the statistics. undefined: a warning for NaN.
    """

    def decorate(formula: Callable[[np.ndarray], np.ndarray]) -> Callable[..., float]:
        @wraps(formula, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
        def metric(truth: Any, prediction: Any, **settings: Any) -> float:
            value = float(formula(summed(truth, prediction, **settings)))
            if undefined and np.isnan(value):
                log.warning(undefined)
            return value

        metric.of = formula  # type: ignore[attr-defined]
        del metric.__wrapped__  # type: ignore[attr-defined]  # help() shows what it is called with
        return metric

    return decorate


def constant_answers(target: Target, known: np.ndarray, rows: int, *, probabilities: bool = False) -> np.ndarray:
    """[rows] always the mean of known truths, or their most frequent class; or the shares of all classes, [rows, K]."""
    if target.kind == "number":
        return np.full(rows, np.nanmean(known))
    counts = np.bincount(known[known >= 0], minlength=len(target.classes))
    return np.tile(counts / max(counts.sum(), 1), (rows, 1)) if probabilities else np.full(rows, counts.argmax())


def records(columns: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A table of columns [N] as N rows of plain values."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where `whole` is 0 or NaN."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def mean_of_defined(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean along an axis over what is not NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis), defined.sum(axis))


def _per_unit(columns: Sequence[np.ndarray], units: np.ndarray | None, count: int) -> np.ndarray:
    if units is None:
        units = np.zeros(len(columns[0]), dtype=np.int64)
    summed = [np.bincount(units, weights=column, minlength=count) for column in columns]
    return np.stack(summed, axis=1).astype(float)  # bincount of nothing has whole numbers


def _check_lengths(truth: Any, prediction: Any) -> None:
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} truths and {len(prediction)} predictions")


# --- The rows of a table that may be judged, and what their cells say of a target


def judged(predictions: Predictions, split: str | None = None) -> tuple[str, Predictions]:
    """The name of the chosen part and its rows: `split`, else test, else oof, else val, else all rows where none is
    assigned. "oof" means the cross-fitted rows, whatever their split.

    Raises "leak" naming the first of the chosen rows that is in-sample, "input" where nothing is left to judge.
    """
    frame = predictions.frame
    splits = frame["split"].astype(str).to_numpy() if "split" in frame else np.full(len(frame), "")
    seen = frame["seen"].astype(str).to_numpy()
    masks = {name: splits == name for name in ("test", "val", *(set(splits) - {""}))} | {"oof": seen == "oof"}
    if not (splits != "").any():
        masks["all"] = np.full(len(frame), True)
    split = read_parts([split, *splits]).get(split, split) if split else None
    order = [split] if split else [name for name in ("test", "oof", "val", "all") if name in masks]
    for name in order:
        if name in masks and masks[name].any():
            fitted = masks[name] & (seen == "fit")
            if fitted.any():
                row = int(fitted.argmax())
                what = f"id '{frame['id'].iloc[row]}' is in-sample (seen=fit): such rows are never judged"
                remedy = "predict them with --cv, or judge another split"
                raise AffectkitError("leak", what, file=predictions.path, row=row + 1, remedy=remedy)
            return name, predictions.take(masks[name])
    available = ", ".join(f"{name} ({mask.sum()})" for name, mask in sorted(masks.items()) if mask.any()) or "no split"
    what = f"has no rows of {split or 'test, oof or val'}"
    raise AffectkitError("input", what, file=predictions.path, remedy=f"it has {available}")


def judged_parts(predictions: Predictions) -> dict[str, Predictions]:
    """The rows that may be judged, apart: cross-fitted ones under "oof", held-out ones under their split."""
    frame = predictions.frame
    parts = {"oof": predictions.take(frame["seen"] == "oof")}
    for split in ("val", "test"):
        if "split" in frame:
            parts[split] = predictions.take((frame["split"] == split) & (frame["seen"] == "heldout"))
    return {name: part for name, part in parts.items() if len(part.frame)}


def answered_parts(predictions: Predictions, *, quiet: bool = False, some: bool = True) -> dict[str, Predictions]:
    """`judged_parts` without those of which no row has a truth and an answer (images without a face).

    It says which, unless quiet. Where all are so and there should be some, all are kept: what judges them says what is
    wrong.
    """
    parts = judged_parts(predictions)
    judged = {name: part for name, part in parts.items() if any(answers_any(part, t) for t in part.targets.values())}
    for name in parts if (judged or not some) and not quiet else ():
        if name not in judged:
            log.warning("none of the %d %s rows has a truth and an answer: not judged", len(parts[name].frame), name)
    return judged if judged or not some else parts


def answers_any(predictions: Predictions, target: Target) -> bool:
    """Whether at least one row has a truth and a prediction."""
    return not bool(np.logical_or(*map(missing, pair(predictions, target))).all())


def pair(predictions: Predictions, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Truth [N] and prediction [N]: class indices with -1 for missing, or float64 with NaN.

    A target without a column of truth is missing everywhere.
    """
    return column(predictions, target, target.name), column(predictions, target, prediction_column(target.name))


def column(predictions: Predictions, target: Target, name: str) -> np.ndarray:
    """One of a target's two columns, as `pair` has it."""
    frame = predictions.frame
    if target.kind == "number":
        return frame[name].to_numpy(float) if name in frame else np.full(len(frame), np.nan)
    return encode(frame[name], target.classes) if name in frame else np.full(len(frame), -1)


def rows_of(predictions: Predictions, target: Target, groups: np.ndarray, columns: Sequence[str] = ()) -> GroundTruth:
    """What is known of the rows beside the answers. Raises "input" for a column that the table lacks."""
    truth = pair(predictions, target)[0]
    cells = {}
    for name in columns:
        texts = predictions.groups(name)
        if texts is None:
            remedy = "pass the --manifest that has it"
            raise AffectkitError("input", f"has no column '{name}'", file=predictions.path, remedy=remedy)
        cells[name] = texts
    return GroundTruth(np.where(missing(truth), np.nan, truth.astype(float)), groups, cells)


def unseen(predictions: Predictions, target: Target, fitted: np.ndarray) -> list[str]:
    """The classes that none of the rows at `fitted`, positions [M], has; none of numbers."""
    return target.unseen(column(predictions, target, target.name)[fitted])


def missing(values: np.ndarray) -> np.ndarray:
    """[N] bool: which class indices or numbers are missing."""
    return np.isnan(values) if values.dtype.kind == "f" else values < 0


def judged_targets(predictions: Predictions) -> list[Target]:
    """The targets of which at least one row has a truth and a prediction.

    Raises "input" where there is none.
    """
    targets = [target for target in predictions.targets.values() if answers_any(predictions, target)]
    if not targets:
        names, file = ", ".join(predictions.targets), predictions.path
        if any(not missing(pair(predictions, target)[0]).all() for target in predictions.targets.values()):
            raise AffectkitError("input", f"no row with a truth has an answer for {names}", file=file)
        remedy = "pass the --manifest that has it"
        raise AffectkitError("input", f"no row has a truth for {names}", file=file, remedy=remedy)
    return targets


def fittable(predictions: Predictions, targets: Iterable[Target], fitted: np.ndarray) -> list[Target]:
    """Those of which some of the rows at `fitted`, positions [M], has a truth; the others are named in a warning.

    Raises "input" where there is none.
    """
    wanted = list(targets)
    known = [t for t in wanted if not missing(column(predictions, t, t.name)[fitted]).all()]
    others = ", ".join(target.name for target in wanted if target not in known)
    if not known:
        what = f"no row to fit on has a truth for {others}"
        raise AffectkitError("input", what, file=predictions.path, remedy="pass the --manifest that has it")
    if others:
        log.warning("%s left out: no row to fit on has a truth for it", others)
    return known


def prefix(target: Target) -> str:
    """What stands before a metric's name: nothing for `label`, `<target>.` for any other."""
    return "" if target.name == "label" else f"{target.name}."
