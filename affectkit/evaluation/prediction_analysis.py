"""What predictions of numbers are worth, target by target, in the words of the published personality system: errors,
correlations, and the moments and ranges of both sides, over the rows that may be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.coverage import covered
from affectkit.evaluation.rows import COUNT, SQUARED, mean_of_defined, missing, moments, pair
from affectkit.labels import Target
from affectkit.plain import without_nan

if TYPE_CHECKING:
    from affectkit.evaluation.intervals import Interval

METRICS = ("mse", "mae", "rmse", "r2", "ccc", "pearson", "one_minus_mae")
FLOORED = ("mse", "mae", "r2", "one_minus_mae")
NAMES = {"pearson": "pearson_r"}  # where the published system has another name than the suite


def analyse(
    rows: Predictions, targets: Sequence[Target], figures: Mapping[str, Interval], floors: Mapping[str, Any]
) -> dict[str, Any]:
    """`overall_<metric>`, means over the targets, with `overall_intervals` and `overall_floors`; `trait_metrics`, the
    same of each target with means, spreads (ddof 0) and ranges of truth and prediction.

    rows: those of one part that may be judged. figures: their metrics, as `measure.number_intervals` has them.
    floors: as reports have them; the floor is the mean of the train rows (`train_mean`), else of these rows.
    `overall_r2_variance_weighted` is the published system's: one less the pooled squared errors over the pooled spread.
    `pearson_p` takes rows as independent.
    """
    floor = "train_mean" if "train_mean" in floors else "judged_mean"
    constant = floors.get(floor, {})
    analysis: dict[str, Any] = {"n": len(rows.frame), "floor": floor}
    analysis |= {f"overall_{NAMES.get(m, m)}": _value(figures, m) for m in METRICS}
    analysis["overall_r2_variance_weighted"] = _weighted_r2(rows, targets)
    analysis["overall_intervals"] = {NAMES.get(m, m): _ends(figures, m) for m in METRICS}
    analysis["overall_floors"] = {m: constant.get(m) for m in FLOORED}
    analysis["trait_metrics"] = {t.name: _of_target(rows, t, figures, constant) for t in targets}
    return without_nan(analysis)


def _of_target(
    rows: Predictions, target: Target, figures: Mapping[str, Interval], floors: Mapping[str, float]
) -> dict[str, Any]:
    truth, predicted = pair(rows, target)
    known = ~(missing(truth) | missing(predicted))
    truth, predicted = truth[known], predicted[known]
    row: dict[str, Any] = {"n": len(truth)}
    row |= {NAMES.get(m, m): _value(figures, f"{target.name}.{m}") for m in METRICS}
    row["pearson_p"] = _p_of_correlation(row["pearson_r"], len(truth))
    for side, values in (("true", truth), ("pred", predicted)):
        for name, of in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max)):
            row[f"{name}_{side}"] = float(of(values)) if len(values) else np.nan
    row["intervals"] = {NAMES.get(m, m): _ends(figures, f"{target.name}.{m}") for m in METRICS}
    row["floors"] = {m: floors.get(f"{target.name}.{m}") for m in FLOORED}
    if held := covered(rows, target):
        row["interval_coverage"] = float(mean_of_defined(held.inside))
        row["interval_width"] = float(mean_of_defined(held.size))
    return row


def _value(figures: Mapping[str, Interval], name: str) -> float:
    return figures[name].value if name in figures else np.nan


def _ends(figures: Mapping[str, Interval], name: str) -> list[float]:
    return [figures[name].low, figures[name].high] if name in figures else [np.nan, np.nan]


def _p_of_correlation(r: float, count: int) -> float:
    """Two-sided p of Pearson's correlation, of independent rows that are normal: Student's t with n - 2 degrees of
    freedom. NaN of fewer than three rows."""
    from scipy.special import stdtr

    if count < 3 or not np.isfinite(r):
        return np.nan
    if abs(r) == 1:
        return 0.0
    return float(2 * stdtr(count - 2, -abs(r) * np.sqrt((count - 2) / (1 - r * r))))


def _weighted_r2(rows: Predictions, targets: Sequence[Target]) -> float:
    errors = spreads = 0.0
    for target in targets:
        truth, predicted = pair(rows, target)
        known = ~(missing(truth) | missing(predicted))
        sums = moments(truth, predicted)[0]
        errors += float(sums[SQUARED])
        spreads += float(np.var(truth[known]) * sums[COUNT]) if known.any() else 0.0
    return 1 - errors / spreads if spreads > 0 else np.nan
