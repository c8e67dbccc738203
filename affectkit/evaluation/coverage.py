"""How often prediction sets and intervals hold the truth, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from affectkit.artifacts.predictions import SET_MARK, Predictions, set_column
from affectkit.evaluation.calibration_error import top_label
from affectkit.evaluation.intervals import DEFAULT, SHARE, Estimate, Interval, Resampling, interval
from affectkit.evaluation.rows import missing, pair, ratio
from affectkit.labels import Target


class Covered(NamedTuple):
    """inside: [N] 1.0 where the truth is held, 0.0 where not, NaN where unknown. size: [N] classes, or width."""

    inside: np.ndarray
    size: np.ndarray


def covered(predictions: Predictions, target: Target) -> Covered | None:
    """Of a table's prediction sets (`pred_set`) or intervals (`t_low`, `t_high`); None where it has none."""
    truth = pair(predictions, target)[0]
    if target.kind == "number":
        if not {f"{target.name}_low", f"{target.name}_high"} <= set(predictions.frame):
            return None
        low, high = (predictions.frame[f"{target.name}_{end}"].to_numpy(float) for end in ("low", "high"))
        inside = np.where((truth >= low) & (truth <= high), 1.0, 0.0)
        return Covered(np.where(missing(truth) | np.isnan(low) | np.isnan(high), np.nan, inside), high - low)
    if set_column(target.name) not in predictions.frame:
        return None
    sets = [set(str(cell).split(SET_MARK)) - {""} for cell in predictions.frame[set_column(target.name)]]
    inside = np.array([float(t >= 0 and target.classes[t] in s) for t, s in zip(truth, sets, strict=True)])
    declined = missing(pair(predictions, target)[1])
    return Covered(np.where(missing(truth) | declined, np.nan, inside), np.array([float(len(s)) for s in sets]))


def coverage(inside: np.ndarray, groups: np.ndarray | None, resampling: Resampling = DEFAULT) -> Interval:
    """The share of rows whose truth is held, with an interval over groups. inside: [N], NaN is left out."""
    known = ~np.isnan(inside)
    units = resampling.units(groups, known)
    if not units.count:
        return Interval(np.nan)
    held = np.bincount(units.codes, weights=inside[known], minlength=units.count)
    statistics = np.stack([np.bincount(units.codes, minlength=units.count), held], axis=1)
    return interval(Estimate(lambda s: ratio(s[..., 1], s[..., 0]), SHARE), statistics, resampling, groups=units.groups)


def central(predictions: Predictions, target: Target, levels: np.ndarray) -> np.ndarray | None:
    """[L] the share of rows whose truth lies in the central Gaussian interval of each level, from `t_var`; None without
    variances."""
    from scipy.special import ndtri

    z = standardized(predictions, target)
    if z is None or not np.isfinite(z).any():
        return None
    z = np.abs(z[np.isfinite(z)])
    return (z[:, None] <= ndtri(0.5 + np.asarray(levels) / 2)[None, :]).mean(axis=0)


def standardized(predictions: Predictions, target: Target) -> np.ndarray | None:
    """[N] (truth - prediction) / sqrt(variance), NaN where unknown; None without a column of variances."""
    var = predictions.frame.get(f"{target.name}_var")
    if var is None:
        return None
    truth, mean = pair(predictions, target)
    values = var.to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(values > 0, (truth - mean) / np.sqrt(values), np.nan)


# --- Selective prediction: answering only where the model is sure, and how often it is wrong then


@dataclass(frozen=True)
class RiskCoverage:
    """The error of the rows that are kept, from the surest row on; equal confidences are kept together.

    threshold, coverage, risk: [M], a point for each confidence that occurs, from the highest; coverage: the share kept.
    """

    threshold: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray

    @property
    def area(self) -> float:
        """The mean risk over rows, kept one by one (AURC, Geifman and El-Yaniv 2017); NaN without rows."""
        if not len(self.coverage):
            return np.nan
        return float((self.risk * np.diff(self.coverage, prepend=0.0)).sum())

    def for_error(self, wanted: float) -> tuple[float, float, float] | None:
        """(threshold, coverage, risk) of the most rows that keep the error at or below `wanted`; None where none do."""
        within = np.flatnonzero(self.risk <= wanted)
        if not len(within):
            return None
        return float(self.threshold[within[-1]]), float(self.coverage[within[-1]]), float(self.risk[within[-1]])


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """From [N] confidences and [N] 1.0 where right (`calibration_error.top_label`).

    >>> curve = risk_coverage(np.array([0.9, 0.8, 0.8, 0.6]), np.array([1.0, 1.0, 0.0, 0.0]))
    >>> curve.coverage.tolist(), curve.risk.round(3).tolist()
    ([0.25, 0.75, 1.0], [0.0, 0.333, 0.5])
    """
    order = np.argsort(-confidence)
    levels, wrong = confidence[order], np.cumsum(1 - right[order])
    last = np.flatnonzero(np.append(levels[1:] != levels[:-1], True)) if len(levels) else np.empty(0, int)
    kept = last + 1
    return RiskCoverage(levels[last], kept / max(len(levels), 1), wrong[last] / kept)


def risk_coverage_of(predictions: Predictions, target: Target) -> RiskCoverage:
    """Of a class target's top labels, over the rows that have a truth and an answer."""
    truth, predicted = pair(predictions, target)
    output = predictions.output(target.name)
    known = ~(missing(truth) | missing(predicted)) & output.known
    return risk_coverage(*top_label(truth[known], output.values[known]))
