"""Several sources of predictions as arrays, and their weighted means over what each row has.

Sources stand in the order of their names, fit rows in the order of what is in them: sums of floats then come out the
same, to the bit, however sources and rows were ordered. Nothing here adds up over rows, and over sources and classes
only in whole vectors, so that a row's answer has the same bits alone as among others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.methods._probabilities import order, variances
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.metrics import METRICS, Metric
from affectkit.evaluation.rows import statistics
from affectkit.evaluation.temperature import total
from affectkit.fusion.rule import Rule, Sources, SourceTable
from affectkit.labels import Target


@dataclass(frozen=True)
class Ensemble:
    """What S sources say of N rows.

    names: [S], sorted. as_named: the same in the user's order; ties go to the first. values: [S, N, C], class
    probabilities or (C = 1) numbers; 0 where unknown. known: [S, N]. var: [S, N], above 0, NaN where unknown; None
    where no source has any.
    """

    target: Target
    names: tuple[str, ...]
    as_named: tuple[str, ...]
    values: np.ndarray
    known: np.ndarray
    var: np.ndarray | None

    @classmethod
    def of(cls, sources: Sources, rule: str) -> Ensemble:
        """Raises "usage" for a source that is no prediction."""
        for name, source in sources.items():
            if isinstance(source, SourceTable):
                what = f"'{name}' is a table of columns, and {rule} fuses predictions"
                raise AffectkitError("usage", what, remedy="fuse it with --rule stacked")
        outputs = {name: source for name, source in sorted(sources.items()) if isinstance(source, TargetPrediction)}
        if not outputs:
            what = f"{rule} fuses predictions, and there are none"
            raise AffectkitError("usage", what, remedy="name a source of them")
        columns = (np.asarray(output.values, float) for output in outputs.values())
        raw = np.array([values[:, None] if values.ndim == 1 else values for values in columns])
        known = np.isfinite(raw).all(axis=2)
        values, target = np.where(known[:, :, None], raw, 0.0), next(iter(outputs.values())).target
        var = None
        if any(output.var is not None for output in outputs.values()):
            var = np.array([variances(output) for output in outputs.values()])
            var[var == 0] = np.nan
        return cls(target, tuple(outputs), tuple(sources), values, known, var)

    @classmethod
    def of_fit_rows(cls, sources: Sources, rows: GroundTruth, rule: str) -> tuple[Ensemble, GroundTruth]:
        """That of the rows to fit on, and what is known of them, in the order of what is in them.

        Raises "input" where no row has a source, "usage" as `of`.
        """
        ensemble = cls.of(sources, rule)
        at = in_order(rows, np.asarray(ensemble.known.any(axis=0)), ensemble.key_columns())
        return ensemble.take(at), rows.take(at)

    def __len__(self) -> int:
        return self.known.shape[1]

    @property
    def variances(self) -> np.ndarray:
        """[S, N], NaN throughout where no source has any."""
        return np.full(self.known.shape, np.nan) if self.var is None else self.var

    def take(self, rows: np.ndarray) -> Ensemble:
        var = None if self.var is None else self.var[:, rows]
        return replace(self, values=self.values[:, rows], known=self.known[:, rows], var=var)

    def answer(self, values: np.ndarray, var: np.ndarray | None = None) -> TargetPrediction:
        """[N, C] fused values, NaN where declined, as an output; var [N] stands only where some source has one."""
        if self.target.kind != "number":
            return TargetPrediction(self.target, probabilities=values)
        return TargetPrediction(self.target, mean=values[:, 0], var=None if self.var is None else var)

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """[N, C]: the sources' values, weighted as `shares` has it."""
        share = shares(self.known, weights)
        fused = self.values[0] * share[0][:, None]
        for values, of_rows in zip(self.values[1:], share[1:], strict=True):
            fused += values * of_rows[:, None]
        return fused

    def shown(self) -> np.ndarray:
        """[S, N, C], NaN where unknown."""
        return np.where(self.known[:, :, None], self.values, np.nan)

    def key_columns(self) -> list[np.ndarray]:
        """What tells rows apart."""
        columns = [column for source in self.values for column in source.T]
        return columns + list(self.known) + ([] if self.var is None else list(self.var))


def in_order(rows: GroundTruth, there: np.ndarray, columns: Iterable[np.ndarray]) -> np.ndarray:
    """Positions of the rows that are `there` [N], sorted by truth, group and `columns`, whatever order they came in.

    Raises "input" where there are none.
    """
    if not there.any():
        raise AffectkitError("input", "no row to fit on has any of the sources", remedy="give sources of these rows")
    group = np.unique(np.asarray(rows.groups, str), return_inverse=True)[1]
    at = order(rows.truth, group, *columns)
    return at[there[at]]


def shares(known: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[S, N]: weights [S] over what each row has, summing to 1; equal where all that it has weighs 0; NaN without any.

    A weight may also be each row's own, [S, N].
    """
    raw = np.where(known, weights.reshape(len(weights), -1), 0.0)
    sums = total(raw)
    nothing = sums == 0
    raw[:, nothing] = known[:, nothing]
    sums[nothing] = total(raw)[nothing]
    return raw / np.where(sums > 0, sums, np.nan)


class WeightedMean(Rule):
    """The weighted mean of what each row has, by the `weights` that parameters hold.

    Its variance is that of a mean of independent errors; NaN where a source that has a share has none.
    """

    def apply(self, parameters: dict[str, Any], sources: Sources, rows: GroundTruth | None = None) -> TargetPrediction:
        ensemble = Ensemble.of(sources, self.name)
        weights = weights_of(parameters, ensemble)
        share = shares(ensemble.known, weights)
        var = None if ensemble.var is None else total(np.where(share == 0, 0.0, share**2 * ensemble.var))
        return ensemble.answer(ensemble.mean(weights), var)


def weights_of(parameters: Mapping[str, Any], ensemble: Ensemble) -> np.ndarray:
    """[S] weights as parameters hold them, in the ensemble's order."""
    check_names(ensemble.names, parameters["weights"])
    return checked("weights", [parameters["weights"][name] for name in ensemble.names], [len(ensemble.names)], low=0)


def check_names(names: Iterable[str], fitted: Iterable[str]) -> None:
    """Raise "input" unless the sources are those that were fitted."""
    if set(names) != set(fitted):
        what = f"the sources are {', '.join(sorted(names))}, and the fusion is of {', '.join(sorted(fitted))}"
        raise AffectkitError("input", what, remedy="give the sources that it was fitted on, by the same names")


# --- How good answers are on the fit rows: the one number that rules choose by


DEFAULT_METRIC = {"class": "uar", "ordinal": "uar", "number": "ccc"}
SHARED_ROWS = 20  # sources are compared on the rows that all have, if these are at least so many
DIGITS = 6  # of a score; what differs less is rounding


@dataclass(frozen=True)
class Scorer:
    """Scores [N, C] values against truth [N], rows without an answer left out; higher is better, -inf undefined."""

    metric: Metric
    target: Target
    truth: np.ndarray

    def __call__(self, values: np.ndarray) -> float:
        known = ~np.isnan(values).any(axis=1)
        value = self._value(self.truth[known], values[known]) if known.any() else np.nan
        value = value if self.metric.higher_is_better else -value
        return -np.inf if np.isnan(value) else float(f"{value:.{DIGITS}g}")

    def _value(self, truth: np.ndarray, values: np.ndarray) -> float:
        if self.metric.takes == "numbers":
            values = values[:, 0]
        else:
            truth = truth.astype(np.int64)
            values = values.argmax(axis=1) if self.metric.takes == "classes" else values
        if self.metric.of is None:
            return float(self.metric.function(truth, values))
        return float(self.metric.of(statistics(self.target, truth, values)[0]))

    def plain(self, score: float) -> float | None:
        """A score as the metric has it."""
        return None if np.isinf(score) else score if self.metric.higher_is_better else -score


def check_metric(name: str) -> str:
    """Raises "usage" for what is neither a metric nor auto."""
    if name != "auto" and name not in METRICS:
        raise AffectkitError("usage", f"--metric: there is no '{name}'", remedy=did_you_mean(name, list(METRICS)))
    return name


def scorer(name: str, target: Target, truth: np.ndarray) -> Scorer:
    """name: of a metric, or auto (uar, ccc). Raises "usage" for one that does not suit the target."""
    metric = METRICS[DEFAULT_METRIC[target.kind] if name == "auto" else name]
    if (metric.takes == "numbers") != (target.kind == "number"):
        suit = [m.name for m in METRICS.values() if (m.takes == "numbers") == (target.kind == "number")]
        what = f"--metric {name} does not suit {target.name}"
        raise AffectkitError("usage", what, remedy=f"use one of {', '.join(suit)}")
    if metric.name == "one_minus_mae" and target.width is None:
        raise AffectkitError("usage", f"--metric {name} needs the scale of {target.name}", remedy="use mae")
    return Scorer(metric, target, truth)


def ranking(ensemble: Ensemble, scorer: Scorer) -> list[tuple[str, float]]:
    """Sources from the best to the worst with their scores; of equals, the first named.

    They are compared on the rows that all of them have, so that a source which answers only what is easy gains nothing
    by it; where these are fewer than `SHARED_ROWS`, each on its own. A source without any row is last.
    """
    shared = np.asarray(ensemble.known[ensemble.known.any(axis=1)].all(axis=0))
    if shared.sum() >= SHARED_ROWS:
        ensemble, scorer = ensemble.take(shared), replace(scorer, truth=scorer.truth[shared])
    shown = dict(zip(ensemble.names, ensemble.shown(), strict=True))
    return sorted(((name, scorer(shown[name])) for name in ensemble.as_named), key=lambda scored: -scored[1])


def first_known(ensemble: Ensemble, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """[N, C] values and [N] variances of the first source of `names` that a row has; NaN without any."""
    values = np.full(ensemble.values.shape[1:], np.nan)
    var = np.full(len(ensemble), np.nan)
    for name in reversed(names):
        at = ensemble.names.index(name)
        known = ensemble.known[at]
        values[known], var[known] = ensemble.values[at][known], ensemble.variances[at][known]
    return values, None if ensemble.var is None else var


# --- Weights that are at least 0 and sum to 1, as options say them


def parse_weights(text: str) -> tuple[float, ...]:
    """`.7,.3` brought to a sum of 1; none for "". Raises "usage"."""
    if not text:
        return ()
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = [math.nan]
    if not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < math.inf:
        what = f"--weights {text} are not numbers of at least 0 with a sum above it"
        raise AffectkitError("usage", what, remedy="write .7,.3, in the order of the sources")
    return tuple(weight / math.fsum(weights) for weight in weights)


def fixed_weights(weights: Sequence[float], sources: Sequence[str]) -> dict[str, float]:
    """By source; equal ones where there are none. Raises "usage" where they are not as many as the sources."""
    if not weights:
        return {name: 1 / len(sources) for name in sources}
    if len(weights) != len(sources):
        what = f"--weights: {len(weights)} for {len(sources)} sources ({', '.join(sources)})"
        raise AffectkitError("usage", what, remedy="give one weight to each, in their order")
    return dict(zip(sources, weights, strict=True))
