"""Every metric of the suite, by the name it has in reports: the one table, and the functions to import.

A metric is a plain function `(truth, prediction, ...) -> float`, in float64, NaN where it is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from affectkit.evaluation.calibration_error import classwise_ece, ece, ece_adaptive, ece_debiased, smece
from affectkit.evaluation.class_metrics import (
    accuracy,
    kappa,
    kappa_linear,
    kappa_quadratic,
    macro_f1,
    mae_levels,
    uar,
    weighted_f1,
)
from affectkit.evaluation.intervals import ABOVE_ZERO, BELOW_ONE, CORRELATION, SHARE, Estimate, IntervalScale, between
from affectkit.evaluation.number_metrics import ccc, mae, mse, one_minus_mae, pearson, r2, rmse
from affectkit.evaluation.probability_metrics import auroc, brier, nll


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    function: `(truth, prediction, ...) -> float`; its name is the metric's.
    takes: what stands beside the truth: predicted "classes", class "probabilities" or predicted "numbers".
    interval_scale: its range, and the scale on which its interval is symmetric.
    ordered: means something only for classes in a meaningful order.
    """

    function: Callable[..., float]
    takes: Literal["classes", "probabilities", "numbers"]
    higher_is_better: bool
    interval_scale: IntervalScale
    description: str
    ordered: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def of(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Its formula on summed `rows.statistics`, None where it has none."""
        return getattr(self.function, "of", None)

    @property
    def estimate(self) -> Estimate:
        """Of a metric that has a formula."""
        assert self.of is not None
        return Estimate(self.of, self.interval_scale)


_TABLE = (
    Metric(accuracy, "classes", True, SHARE, "share of rows predicted right (WA)"),
    Metric(uar, "classes", True, SHARE, "unweighted average recall (UA, balanced accuracy)"),
    Metric(macro_f1, "classes", True, SHARE, "mean F1 over classes"),
    Metric(weighted_f1, "classes", True, SHARE, "mean F1 over classes, weighted by their frequency"),
    Metric(kappa, "classes", True, CORRELATION, "Cohen's kappa: agreement beyond chance"),
    Metric(kappa_linear, "classes", True, CORRELATION, "kappa by class distance", ordered=True),
    Metric(kappa_quadratic, "classes", True, CORRELATION, "kappa by squared class distance", ordered=True),
    Metric(mae_levels, "classes", False, ABOVE_ZERO, "mean distance from the truth, in levels", ordered=True),
    Metric(nll, "probabilities", False, ABOVE_ZERO, "negative log-likelihood, nats"),
    Metric(brier, "probabilities", False, between(0.0, 2.0), "Brier score, summed over classes"),
    Metric(ece, "probabilities", False, SHARE, "expected calibration error: top-label, 15 equal-width bins"),
    Metric(ece_adaptive, "probabilities", False, SHARE, "expected calibration error: top-label, 15 equal-mass bins"),
    Metric(
        classwise_ece, "probabilities", False, SHARE, "calibration error of each class's probability, mean over classes"
    ),
    Metric(ece_debiased, "probabilities", False, SHARE, "top-label L2 calibration error less what chance adds"),
    Metric(smece, "probabilities", False, SHARE, "smooth top-label calibration error, without bins"),
    Metric(auroc, "probabilities", True, SHARE, "area under the ROC curve, one class against the rest"),
    Metric(ccc, "numbers", True, CORRELATION, "concordance correlation coefficient"),
    Metric(pearson, "numbers", True, CORRELATION, "Pearson's correlation"),
    Metric(mae, "numbers", False, ABOVE_ZERO, "mean absolute error, in the target's units"),
    Metric(mse, "numbers", False, ABOVE_ZERO, "mean squared error, in the target's units squared"),
    Metric(rmse, "numbers", False, ABOVE_ZERO, "root mean squared error, in the target's units"),
    Metric(r2, "numbers", True, BELOW_ONE, "coefficient of determination"),
    Metric(one_minus_mae, "numbers", True, BELOW_ONE, "1 - MAE with the target's scale brought to [0, 1]"),
)

METRICS = {metric.name: metric for metric in _TABLE}


def taking(takes: str) -> list[Metric]:
    """The metrics of predicted "classes", class "probabilities" or "numbers", in the table's order."""
    return [metric for metric in METRICS.values() if metric.takes == takes]


def meaningful(names: Iterable[str], targets: Iterable[Mapping[str, Any]]) -> list[str]:
    """The metrics of `targets` (as `Target.to_json` has them) that say something: without those that ask for an order
    where classes have none."""
    unordered = [target["name"] for target in targets if target["kind"] == "class"]
    ordered = [metric.name for metric in _TABLE if metric.ordered]
    silent = {f"{target}.{metric}".removeprefix("label.") for target in unordered for metric in ordered}
    return [name for name in names if name not in silent]
