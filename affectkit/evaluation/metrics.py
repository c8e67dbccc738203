"""Every metric of the suite, by the name it has in reports: the one table, and the functions to import.

A metric is a plain function `(truth, prediction, ...) -> float`, in float64, NaN where it is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from affectkit.evaluation import class_metrics as by_counts
from affectkit.evaluation import number_metrics as by_moments
from affectkit.evaluation import probability_metrics as by_losses
from affectkit.evaluation.calibration_error import classwise_ece, ece, ece_adaptive, ece_debiased, smece
from affectkit.evaluation.class_metrics import (
    accuracy,
    confusion_matrix,
    f1s,
    kappa,
    kappa_linear,
    kappa_quadratic,
    macro_f1,
    precisions,
    recalls,
    uar,
    weighted_f1,
)
from affectkit.evaluation.intervals import ABOVE_ZERO, BELOW_ONE, CORRELATION, SHARE, IntervalScale, between
from affectkit.evaluation.number_metrics import ccc, mae, mse, one_minus_mae, pearson, r2, rmse
from affectkit.evaluation.probability_metrics import auroc, brier, nll

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "auroc",
    "brier",
    "ccc",
    "classwise_ece",
    "confusion_matrix",
    "ece",
    "ece_adaptive",
    "ece_debiased",
    "f1s",
    "kappa",
    "kappa_linear",
    "kappa_quadratic",
    "macro_f1",
    "mae",
    "meaningful",
    "mse",
    "nll",
    "one_minus_mae",
    "pearson",
    "precisions",
    "r2",
    "recalls",
    "rmse",
    "smece",
    "uar",
    "weighted_f1",
]


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    function: `(truth, prediction, ...) -> float`; its name is the metric's.
    takes: what stands beside the truth: predicted "classes", class "probabilities" or predicted "numbers".
    interval_scale: its range, and the scale on which its interval is symmetric.
    of: its formula on summed statistics (`rows.confusions`, `losses` or `moments`), None where it has none.
    ordered: means something only for classes in a meaningful order.
    """

    function: Callable[..., float]
    takes: Literal["classes", "probabilities", "numbers"]
    higher_is_better: bool
    interval_scale: IntervalScale
    description: str
    of: Callable[[np.ndarray], np.ndarray] | None = None
    ordered: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__


def _classes(
    function: Callable[..., float], scale: IntervalScale, text: str, of: Callable, ordered: bool = False
) -> Metric:
    return Metric(function, "classes", True, scale, text, of, ordered)


def _probabilities(
    function: Callable[..., float], scale: IntervalScale, text: str, of: Callable | None = None
) -> Metric:
    return Metric(function, "probabilities", function is auroc, scale, text, of)


def _numbers(function: Callable[..., float], scale: IntervalScale, text: str, of: Callable) -> Metric:
    return Metric(function, "numbers", scale is not ABOVE_ZERO, scale, text, of)


_TABLE = (
    _classes(accuracy, SHARE, "share of rows predicted right (WA)", by_counts.accuracy_of),
    _classes(uar, SHARE, "unweighted average recall (UA, balanced accuracy)", by_counts.uar_of),
    _classes(macro_f1, SHARE, "mean F1 over classes", by_counts.macro_f1_of),
    _classes(weighted_f1, SHARE, "mean F1 over classes, weighted by their frequency", by_counts.weighted_f1_of),
    _classes(kappa, CORRELATION, "Cohen's kappa: agreement beyond chance", by_counts.kappa_of),
    _classes(kappa_linear, CORRELATION, "kappa by class distance", by_counts.kappa_linear_of, ordered=True),
    _classes(
        kappa_quadratic, CORRELATION, "kappa by squared class distance", by_counts.kappa_quadratic_of, ordered=True
    ),
    _probabilities(nll, ABOVE_ZERO, "negative log-likelihood, nats", by_losses.nll_of),
    _probabilities(brier, between(0.0, 2.0), "Brier score, summed over classes", by_losses.brier_of),
    _probabilities(ece, SHARE, "expected calibration error: top-label, 15 equal-width bins"),
    _probabilities(ece_adaptive, SHARE, "expected calibration error: top-label, 15 equal-mass bins"),
    _probabilities(classwise_ece, SHARE, "calibration error of each class's probability, mean over classes"),
    _probabilities(ece_debiased, SHARE, "top-label L2 calibration error less what chance adds"),
    _probabilities(smece, SHARE, "smooth top-label calibration error, without bins"),
    _probabilities(auroc, SHARE, "area under the ROC curve, one class against the rest"),
    _numbers(ccc, CORRELATION, "concordance correlation coefficient", by_moments.ccc_of),
    _numbers(pearson, CORRELATION, "Pearson's correlation", by_moments.pearson_of),
    _numbers(mae, ABOVE_ZERO, "mean absolute error, in the target's units", by_moments.mae_of),
    _numbers(mse, ABOVE_ZERO, "mean squared error, in the target's units squared", by_moments.mse_of),
    _numbers(rmse, ABOVE_ZERO, "root mean squared error, in the target's units", by_moments.rmse_of),
    _numbers(r2, BELOW_ONE, "coefficient of determination", by_moments.r2_of),
    _numbers(
        one_minus_mae, BELOW_ONE, "1 - MAE with the target's scale brought to [0, 1]", by_moments.one_minus_mae_of
    ),
)

METRICS = {metric.name: metric for metric in _TABLE}


def taking(takes: str) -> list[Metric]:
    """The metrics of predicted "classes", class "probabilities" or "numbers", in the table's order."""
    return [metric for metric in _TABLE if metric.takes == takes]


def meaningful(names: Iterable[str], targets: Iterable[Mapping[str, Any]]) -> list[str]:
    """The metrics of `targets` (as `Target.to_json` has them) that say something: without those that ask for an order
    where classes have none."""
    kinds = {target["name"]: target["kind"] for target in targets}

    def says(name: str) -> bool:
        target, _, metric = name.rpartition(".")
        return not (metric in METRICS and METRICS[metric].ordered and kinds.get(target or "label") == "class")

    return [name for name in names if says(name)]
