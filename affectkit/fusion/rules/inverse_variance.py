"""Numbers weighted by 1 / variance, variances first scaled to the errors

mu = sum(mu_i / var_i) / sum(1 / var_i), var = 1 / sum(1 / var_i), over the sources that a row has: the best there is
where errors are independent and Gaussian; where experts err together, the fused variance is too small. Variances of
different kinds (dropout, test-time augmentation) are not commensurable, so each source's is scaled first. A row with a
source whose variance is missing or not above 0 gets the fixed weights, and no variance.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.methods._probabilities import SMALLEST_VARIANCE
from affectkit.calibration.methods._variance import fit_variance
from affectkit.errors import AffectkitError
from affectkit.evaluation.temperature import total
from affectkit.fusion.ensemble import Ensemble, fixed_weights, parse_weights, shares, weights_of
from affectkit.fusion.recalibrate import Recalibrated, RecalibrateOpt, WeightsOpt
from affectkit.fusion.rule import Rule, Sources
from affectkit.registry import Option

log = logging.getLogger(__name__)


def build(
    *,
    weights: WeightsOpt = "",
    rescale: Annotated[
        bool, Option("Whether to rescale each source's variance to its errors (var' = a + b * var) before weighting.")
    ] = True,
    recalibrate: RecalibrateOpt = False,
) -> Rule:
    """The rule. Raises "usage" for weights that are none."""
    parse_weights(weights)
    rule = InverseVariance(weights=weights, rescale=rescale, recalibrate=False)
    return Recalibrated(rule) if recalibrate else rule


class InverseVariance(Rule):
    """Parameters, by source: `weights`, of rows without all variances; `scales`, [a, b], None where nothing could be
    fitted (its variances are then unknown); `shares`, what each counts for on average over the fit rows
    that have them all."""

    name = "inverse-variance"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.single_group = not options["rescale"]

    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        ensemble, rows = Ensemble.of_fit_rows(sources, rows, self.name)
        _require_numbers(ensemble)
        weights = fixed_weights(parse_weights(self.options["weights"]), ensemble.as_named)
        fits = fit_scales(ensemble, rows) if self.options["rescale"] else dict.fromkeys(ensemble.names, UNSCALED)
        for name, known in zip(ensemble.names, ensemble.known, strict=True):
            if fits[name] is None and known.any():
                log.warning("%s has no variances of %s: its rows get fixed weights", name, ensemble.target.name)
        scales = {name: None if fit is None else [float(x) for x in fit] for name, fit in fits.items()}
        return {"weights": weights, "scales": scales, "shares": _mean_shares(ensemble, fits) or weights}

    def apply(self, parameters: dict[str, Any], sources: Sources, rows: GroundTruth | None = None) -> TargetPrediction:
        ensemble = Ensemble.of(sources, self.name)
        _require_numbers(ensemble)
        weights = weights_of(parameters, ensemble)
        scales = [parameters["scales"][name] for name in ensemble.names]
        checked("scales", [scale for scale in scales if scale] or np.empty((0, 2)), [None, 2], low=0)
        precision, complete = precisions(ensemble, scales)
        # 1 / sum(1 / var'), NaN where a source of the row has none
        var = np.where(complete, 1 / np.where(complete, total(precision), 1.0), np.nan)
        return ensemble.answer(ensemble.mean(np.where(complete, precision, weights[:, None])), var)


def _require_numbers(ensemble: Ensemble) -> None:
    if ensemble.target.kind != "number":
        what = f"inverse-variance fuses numbers, and {ensemble.target.name} has classes"
        raise AffectkitError("usage", what, remedy="use mean, weighted, stacked or greedy")


def _mean_shares(ensemble: Ensemble, scales: Mapping[str, Scale | None]) -> dict[str, float]:
    """By source, in the user's order; empty where no row has all sources and their variances."""
    precision, complete = precisions(ensemble, [scales[name] for name in ensemble.names])
    answered = complete & ensemble.known.all(axis=0)
    if not answered.any():
        return {}
    # sorted: a sum of floats depends on its order, and rows may come in any
    means = np.sort(shares(ensemble.known, precision)[:, answered], axis=1).mean(axis=1)
    by_source = dict(zip(ensemble.names, means.tolist(), strict=True))
    return {name: by_source[name] for name in ensemble.as_named}


# --- Each source's variances brought to the size of its errors, so that those of several sources can be weighed


Scale = tuple[float, float]
UNSCALED: Scale = (0.0, 1.0)


def fit_scales(ensemble: Ensemble, rows: GroundTruth) -> dict[str, Scale | None]:
    """a, b of var' = a + b * var by source, from the fit rows where it has a variance; None without any.

    The sizes of the sources' errors are drawn together as far as they may differ by chance. With few rows the ratio of
    two estimates is mostly chance: of three equal experts and 30 rows, weights from it cost 5 % more squared error than
    equal ones, drawn together 2 %; with 10 rows 18 % and 9 %.
    """
    fits: dict[str, Scale | None] = dict.fromkeys(ensemble.names)
    sizes = {}
    answers = zip(ensemble.names, ensemble.values, ensemble.variances, ensemble.known, strict=True)
    for name, values, var, known in answers:
        usable = known & ~np.isnan(var)
        if usable.any():
            residual = rows.truth[usable] - values[usable, 0]
            a, b = fits[name] = fit_variance(residual, var[usable])
            sizes[name] = _size(residual, a + b * var[usable], rows.groups[usable])
    for name, change in _drawn_together(sizes).items():
        a, b = fits[name] or UNSCALED
        fits[name] = a * change, b * change
    return fits


def precisions(ensemble: Ensemble, scales: Sequence[Scale | None]) -> tuple[np.ndarray, np.ndarray]:
    """[S, N] 1 / var' of what each row has, 0 where unknown; [N] bool: rows all of whose sources have one."""
    pairs = [scale or (np.nan, np.nan) for scale in scales]
    var = np.array([a + b * raw for (a, b), raw in zip(pairs, ensemble.variances, strict=True)])
    usable = ensemble.known & ~np.isnan(var)
    complete = (usable == ensemble.known).all(axis=0) & usable.any(axis=0)
    return np.where(usable, 1 / np.maximum(var, SMALLEST_VARIANCE), 0.0), complete


def _size(residual: np.ndarray, var: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The log of the mean squared error, and how uncertain it is: its variance over groups, or 2 / N (Gaussian, of
    independent rows) if that is more."""
    relative = residual**2 / np.maximum(var, SMALLEST_VARIANCE)
    codes = np.unique(np.asarray(groups, str), return_inverse=True)[1]
    count = int(codes.max()) + 1
    by_chance = 2 / len(residual)
    if count > 1 and relative.any():
        deviations = np.bincount(codes, relative - relative.mean()) / (len(relative) * relative.mean())
        by_chance = max(by_chance, float((deviations**2).sum()) * count / (count - 1))
    return float(np.log(max(np.mean(residual**2), SMALLEST_VARIANCE))), by_chance


def _drawn_together(sizes: dict[str, tuple[float, float]]) -> dict[str, float]:
    """The factor of each source's variances: empirical Bayes, normal sizes around a common mean (Morris 1983)."""
    if len(sizes) < 2:
        return {}
    size, chance = np.array(list(sizes.values())).T
    centre = float(np.average(size, weights=1 / chance))
    between = max(0.0, float(((size - centre) ** 2).sum() / (len(size) - 1) - chance.mean()))
    moved = (size - centre) * (between / (between + chance) - 1)
    return {name: float(np.exp(move)) for name, move in zip(sizes, moved, strict=True)}
