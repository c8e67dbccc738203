"""What every calibration method does to the rows that have an answer, and the options that several have."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.method import Method
from affectkit.errors import AffectkitError
from affectkit.evaluation.temperature import total
from affectkit.labels import Target
from affectkit.registry import Option


def normalised(shares: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """[N, K] of [K, N] shares >= 0, each row over its sum; rows of zeros become those of `instead` [N, K]."""
    sums = total(shares)
    scaled = (shares / np.where(sums > 0, sums, 1.0)).T
    fallback = instead / total(np.ascontiguousarray(instead.T))[:, None]
    return np.where((sums > 0)[:, None], scaled, fallback)


def with_unseen(calibrated: np.ndarray, before: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[N, K] `calibrated` where all classes were seen by the fit. A class that was not keeps its probability of
    `before`, and the others share the rest: rows without it would bring it to 0, and a row that is of it after all
    would cost as much as a row can. seen: [K] bool.
    """
    if seen.all():
        return calibrated
    kept = np.where(seen, 0.0, before / before.sum(axis=1, keepdims=True))
    others = np.where(seen, calibrated, 0.0)
    sums = others.sum(axis=1, keepdims=True)
    left = 1 - kept.sum(axis=1, keepdims=True)
    return np.where(sums > 0, kept + others * left / np.where(sums > 0, sums, 1.0), before)


def answered(output: TargetPrediction, change: Callable[[np.ndarray], np.ndarray]) -> TargetPrediction:
    """`output` with [n, K] probabilities changed to others in the rows that were not declined. What was said of
    prediction sets is dropped: it was said of the old probabilities."""
    assert output.probabilities is not None
    known = output.known
    changed = np.full(output.probabilities.shape, np.nan)
    changed[known] = change(output.probabilities[known])
    return replace(output, probabilities=changed, sets=None)


def truths(rows: GroundTruth) -> np.ndarray:
    """[N] class indices int64. Raises "input" without a row."""
    require_rows(rows)
    return rows.truth.astype(np.int64)


def require_rows(rows: GroundTruth) -> None:
    if not len(rows):
        raise AffectkitError("input", "there is no labelled row to fit a calibration on")


def order(truth: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """[N] positions that sort the rows by what is in them: fits that add up floats take them in this order, so that
    the order in which they came changes no bit."""
    *others, first = truth, *columns
    sort = np.argsort(first, kind="stable")
    equal = np.append(~(first[sort[1:]] > first[sort[:-1]]), False)  # NaN are equal
    tied = np.flatnonzero(equal | np.append(False, equal[:-1]))  # only among these the others are looked at
    if others and len(tied):
        sort[tied] = sort[tied][np.lexsort([cells[sort[tied]] for cells in (*others, first)])]
    return sort


def _sorted(p: np.ndarray, hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] probabilities in rising order and their hits, 0.0 before 1.0 among equals: sorted as whole numbers, as which
    the bits of floats from 0 on rise too, with the hit as the last."""
    bits = np.sort((p + 0.0).view(np.int64) * 2 + hit.astype(np.int64))
    return (bits >> 1).view(np.float64), (bits & 1).astype(float)


# --- What calibrations of numbers share: which variances are known, and answers held to the scale of their target


SMALLEST_VARIANCE = 1e-6  # in squared units of the target


def variances(output: TargetPrediction) -> np.ndarray:
    """[N]: the variance of each answer, NaN where it is missing, negative or infinite."""
    if output.var is None:
        return np.full(len(output), np.nan)
    return np.where(np.isfinite(output.var) & (output.var >= 0), output.var, np.nan)


def clamped(output: TargetPrediction) -> tuple[TargetPrediction, np.ndarray]:
    """`output` with mean, low and high held to the target's scale, and [N] bool: the rows whose mean was outside it. A
    target without a scale stays as it is."""
    if output.target.scale is None:
        return output, np.zeros(len(output), bool)
    lowest, highest = output.target.scale
    parts = {"mean": output.values, "low": output.low, "high": output.high}
    held = {name: np.clip(part, lowest, highest) for name, part in parts.items() if part is not None}
    return replace(output, **held), (output.values < lowest) | (output.values > highest)


# --- Calibrations of one number at a time made into calibrations of class probabilities
#
# Zadrozny and Elkan 2002: every class against the rest, then each row over its sum. Of two classes only the second is
# calibrated, and the first gets what remains.


class EachClass(Method):
    """Parameters: `classes`, those of every class that is calibrated, by its name; None of a class that no fit row has,
    or all have (`with_unseen`)."""

    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        truth, classes = truths(rows), {}
        for name, k, p in _columns(output.target, output.values):
            hit = (truth == k).astype(float)
            classes[name] = self.fit_class(*_sorted(p, hit)) if 0 < hit.sum() < len(hit) else None
        return {"classes": classes}

    def check(self, parameters: dict[str, Any], target: Target) -> None:
        for name in target.classes[len(target.classes) == 2 :]:
            if parameters["classes"][name] is not None:
                self.check_class(parameters["classes"][name])

    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        """Each class's shares, normalised; a row in which all are 0 keeps its probabilities, as the fit rows say
        nothing of it that could be true."""

        def of_rows(probabilities: np.ndarray) -> np.ndarray:
            columns = _columns(output.target, probabilities)
            fits = [(parameters["classes"][name], p) for name, _, p in columns]
            seen = np.array([fit is not None for fit, _ in fits])
            if not seen.any():
                return probabilities
            shares = [np.zeros(len(p)) if fit is None else self.apply_class(fit, p) for fit, p in fits]
            if len(output.target.classes) == 2:
                shares, seen = [1 - shares[0], shares[0]], np.repeat(seen, 2)
            return with_unseen(normalised(np.stack(shares), probabilities), probabilities, seen)

        return answered(output, of_rows)

    @abstractmethod
    def fit_class(self, p: np.ndarray, hit: np.ndarray) -> dict[str, Any]:
        """Parameters of [N] probabilities of a class, rising, and [N] 0.0 or 1.0, whether it was right."""

    @abstractmethod
    def check_class(self, parameters: dict[str, Any]) -> None:
        """Raises as `check` does, of the parameters of one class."""

    @abstractmethod
    def apply_class(self, parameters: dict[str, Any], p: np.ndarray) -> np.ndarray:
        """[N] shares >= 0 of [N] probabilities."""


def _columns(target: Target, probabilities: np.ndarray) -> list[tuple[str, int, np.ndarray]]:
    """Name, index and [N] probabilities of each class that is calibrated."""
    columns = [(name, k, np.ascontiguousarray(probabilities[:, k])) for k, name in enumerate(target.classes)]
    return columns[1:] if len(columns) == 2 else columns


# --- Options that several methods have


PullOpt = Annotated[
    float, Option("How strongly scales are drawn to 1 and biases to 0: the inverse variance of a normal prior.")
]

# Held-out NLL of vector scaling fitted on 30, 100, 300, 1,000 rows, CIFAR-10 and FER+ probabilities:
#     1   .273 .257 .230 .203   .769 .713 .679 .664
#     3   .260 .244 .222 .202   .760 .712 .681 .665
#    10   .253 .238 .221 .201   .777 .730 .695 .673
# without any calibration .257 and .965. With 5,000 rows they differ by less than .003.
PULL = 3.0


def check_pull(pull: float) -> float:
    """Refuse a pull without which some fits would have no end."""
    if 0 < pull < float("inf"):
        return pull
    raise AffectkitError("usage", f"--pull {pull:g}", remedy="use a number above 0, such as 1")
