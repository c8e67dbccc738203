"""Alerts: a yes-or-no decision at a given threshold, such as `angry>=.5`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.intervals import (
    ABOVE_ZERO,
    SHARE,
    Estimate,
    Interval,
    IntervalScale,
    Resampling,
    Units,
    as_units,
    difference,
    interval,
)
from affectkit.evaluation.parts import FEW_GROUPS, named_parts
from affectkit.evaluation.rows import confusions, missing, pair, ratio
from affectkit.labels import Target
from affectkit.plain import comma_separated

Sign = Literal[">=", "<="]


@dataclass(frozen=True)
class Alert:
    """Raised where a prediction is at least (`>=`) or at most (`<=`) `threshold`.

    name: a number, a class of `label`, or `<target>.<class>`; of a class, its probability is what is looked at.
    cutoff: of a number, where the truth is positive, by the same sign; None: at the threshold itself. For a class, the
    rows of that class are positive where the sign is `>=`, all others where it is `<=`.
    """

    name: str
    sign: Sign
    threshold: float
    cutoff: float | None = None

    def __str__(self) -> str:
        cutoff = "" if self.cutoff is None else f":{self.cutoff:.9g}"
        return f"{self.name}{self.sign}{self.threshold:.9g}{cutoff}"

    def reached(self, values: np.ndarray, threshold: float) -> np.ndarray:
        """[N] int64: 1 where `values` reach a threshold, 0 where they do not, -1 where they are NaN."""
        reached = values >= threshold if self.sign == ">=" else values <= threshold
        return np.where(np.isnan(values), -1, reached.astype(np.int64))


def parse_alert(text: str, option: str = "--alert") -> Alert:
    """`angry>=.5`, `valence<=2`, or `phq8>=8:10`: raised from 8 on, positive from 10 on.

    option: what it was given to. Raises "usage".
    """
    match = re.fullmatch(r"(.*\S)\s*(>=|<=)([^:<>=]+)(?::([^:<>=]+))?", text.strip(), re.DOTALL)
    try:
        numbers = [float(part) for part in match.groups()[2:] if part is not None] if match else []
    except ValueError:
        numbers = []
    if match is None or not numbers or not np.isfinite(numbers).all():
        remedy = f"write NAME>=THRESHOLD or NAME<=THRESHOLD, in quotes: {option} 'angry>=.5'"
        raise AffectkitError("usage", f"{option} '{text}' names no threshold", remedy=remedy)
    alert = Alert(match[1].strip(), cast(Sign, match[2]), *numbers)
    return replace(alert, cutoff=None) if alert.cutoff == alert.threshold else alert


def answers(predictions: Predictions) -> dict[str, tuple[Target, int | None]]:
    """What an alert may look at, by name: a number, a class (`angry`, `label.angry`, `stress.high`) with its place."""
    known: dict[str, tuple[Target, int | None]] = {}
    for target in predictions.targets.values():
        known |= {f"{target.name}.{name}": (target, place) for place, name in enumerate(target.classes)}
        if target.kind == "number":
            known[target.name] = target, None
    return {key.removeprefix("label."): value for key, value in known.items()} | known  # a number before a class


def named(
    predictions: Predictions, alert: Alert, option: str = "--alert", others: Sequence[str] = ()
) -> tuple[Target, int | None]:
    """The target that an alert is about, and its class's place among the classes; None for a number.

    option: what it was given to. others: further names that may be meant there.
    Raises "usage" for an unknown name, and for thresholds that a class's probability cannot have.
    """
    known = answers(predictions)
    if alert.name not in known:
        remedy = did_you_mean(alert.name, [*(name for name in known if not name.startswith("label.")), *others])
        raise AffectkitError("usage", f"{option} '{alert}': there is no number or class '{alert.name}'", remedy=remedy)
    target, position = known[alert.name]
    if position is not None and alert.cutoff is not None:
        message = f"{option} '{alert}': a class is true or not and takes no second threshold"
        raise AffectkitError("usage", message, remedy=f"write '{replace(alert, cutoff=None)}'")
    if position is not None and not 0 <= alert.threshold <= 1:
        message = f"{option} '{alert}': the threshold of a probability lies between 0 and 1"
        raise AffectkitError("usage", message, remedy=f"write '{alert.name}{alert.sign}.5' for one half")
    return target, position


def decided(predictions: Predictions, alert: Alert) -> tuple[np.ndarray, np.ndarray]:
    """Truth and alert [N] int64: 1 for yes, 0 for no, -1 where missing.

    Raises "usage" as `named`, "input" for a class without probabilities and where no row has a truth.
    """
    target, position = named(predictions, alert)
    truth, predicted = pair(predictions, target)
    if missing(truth).all():
        remedy = f"give a column {target.name}, or the --manifest that has it"
        raise AffectkitError("input", f"no row has a truth for {target.name}", file=predictions.path, remedy=remedy)
    if position is None:
        cutoff = alert.threshold if alert.cutoff is None else alert.cutoff
        return alert.reached(truth, cutoff), alert.reached(predicted, alert.threshold)
    raised = alert.reached(predictions.output(target.name).values[:, position], alert.threshold)
    positive = (truth == position) == (alert.sign == ">=")
    return np.where(missing(truth), -1, positive), raised


def described(predictions: Predictions, alert: Alert) -> dict[str, Any]:
    """The alert in parts, as reports have it; `class` is None for a number, `cutoff` for a class."""
    target, position = named(predictions, alert)
    described = {"target": target.name, "class": None, "sign": alert.sign, "threshold": alert.threshold, "cutoff": None}
    if position is not None:
        return described | {"class": target.classes[position]}
    return described | {"cutoff": alert.threshold if alert.cutoff is None else alert.cutoff}


# --- What alerts get right and wrong: rates with intervals, over all judged rows, by slice and by group
#
# A rate is a share of the rows of one kind: sensitivity, of the positive ones. Only groups that have such rows say
# anything of it, so these are what its interval counts: one that rests on three speakers is as wide as three deserve.


Cells = tuple[tuple[int, int], tuple[int, int]]  # of 2 x 2 counts: the truth in rows, the alert in columns, "no" first

NEGATIVES: Cells = ((1, 1), (0, 0))
POSITIVES: Cells = ((0, 0), (1, 1))
ALERTS: Cells = ((0, 1), (0, 1))
QUIET: Cells = ((1, 0), (1, 0))
ROWS: Cells = ((1, 1), (1, 1))


@dataclass(frozen=True)
class Rate:
    """The share that the cells `counted` have of the cells `among`."""

    counted: Cells
    among: Cells

    def of(self, counts: np.ndarray) -> np.ndarray:
        """Counts [..., 2, 2] -> [...]; NaN where there is nothing to be a share of."""
        return ratio((counts * np.array(self.counted)).sum((-2, -1)), self.base(counts))

    def base(self, counts: np.ndarray) -> np.ndarray:
        """How many rows it is a share of: counts [..., 2, 2] -> [...]."""
        return (counts * np.array(self.among)).sum((-2, -1))

    def interval(self, counts: np.ndarray, resampling: Resampling) -> Interval:
        """Over the units of counts [U, 2, 2] that it is a share of any rows of."""
        return interval(Estimate(self.of, SHARE), counts[self.base(counts) > 0], resampling)


RATES = {
    "sensitivity": Rate(((0, 0), (0, 1)), POSITIVES),
    "specificity": Rate(((1, 0), (0, 0)), NEGATIVES),
    "fpr": Rate(((0, 1), (0, 0)), NEGATIVES),
    "fnr": Rate(((0, 0), (1, 0)), POSITIVES),
    "precision": Rate(((0, 0), (0, 1)), ALERTS),
    "npv": Rate(((1, 0), (0, 0)), QUIET),
    "error": Rate(((0, 1), (1, 0)), ROWS),
    "prevalence": Rate(((0, 0), (1, 1)), ROWS),
}
# Of a slice with the rest: equalised odds asks that both differ by 0 (Hardt et al. 2016).
COMPARED = ("sensitivity", "specificity", "fpr", "fnr")
OF_A_GROUP = ("error", "fpr", "fnr")
# What rates are shares of.
KINDS = {"positives": POSITIVES, "negatives": NEGATIVES, "alerts": ALERTS, "rows without an alert": QUIET}


@dataclass(frozen=True)
class Joint:
    """A figure of sensitivity and specificity together. of: both, [...] -> [...], NaN where it is undefined."""

    of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    interval_scale: IntervalScale = SHARE

    def interval(self, counts: np.ndarray, resampling: Resampling) -> Interval:
        """Over the units of counts [U, 2, 2], each left out or drawn with its positive and its negative rows at once.

        With the degrees of freedom of the rate that rests on fewer units, as each rate alone is judged.
        """
        from scipy.special import stdtrit

        having = [RATES[name].base(counts) > 0 for name in ("sensitivity", "specificity")]
        either, fewest = having[0] | having[1], min(int(each.sum()) for each in having)
        figure = interval(Estimate(self._of_counts, self.interval_scale), counts[either], resampling)
        if fewest < 2 or not np.isfinite([figure.low, figure.high]).all():
            return replace(figure, low=np.nan, high=np.nan)
        freedom = np.array([fewest, int(either.sum())]) - 1
        wider = stdtrit(freedom, 0.5 + resampling.level / 2)
        scale = self.interval_scale
        centre, ends = scale.forward(figure.value), scale.forward(np.array([figure.low, figure.high]))
        low, high = scale.inverse(centre + (ends - centre) * wider[0] / wider[1])
        return replace(figure, low=float(low), high=float(high))

    def _of_counts(self, counts: np.ndarray) -> np.ndarray:
        return self.of(RATES["sensitivity"].of(counts), RATES["specificity"].of(counts))


# How much an alert, or its absence, multiplies the odds of being positive (Deeks and Altman 2004); undefined where no
# negative row raises an alert, or all do.
LIKELIHOOD_RATIOS = {
    "lr_positive": Joint(lambda found, spared: ratio(found, 1 - spared), ABOVE_ZERO),
    "lr_negative": Joint(lambda found, spared: ratio(1 - found, spared), ABOVE_ZERO),
}


def predictive_values(prevalence: float) -> dict[str, Joint]:
    """PPV and NPV where a share `prevalence` of people is positive, by Bayes' rule from sensitivity and specificity:
    those of the judged rows hold only where positives are as frequent as among these."""

    def ppv(found: np.ndarray, spared: np.ndarray) -> np.ndarray:
        right, wrong = prevalence * found, (1 - prevalence) * (1 - spared)
        return ratio(right, right + wrong)

    def npv(found: np.ndarray, spared: np.ndarray) -> np.ndarray:
        right, wrong = (1 - prevalence) * spared, prevalence * (1 - found)
        return ratio(right, right + wrong)

    return {"ppv": Joint(ppv), "npv": Joint(npv)}


def parse_prevalences(texts: Sequence[str]) -> tuple[float, ...]:
    """`--prevalence .1 --prevalence .05,.2`, each once, as they stand. Raises "usage"."""
    prevalences: dict[float, None] = {}
    for text in (part for each in texts for part in comma_separated(each)):
        try:
            share = float(text)
        except ValueError:
            share = np.nan
        if not 0 < share < 1:
            remedy = "write a share such as .1 for one in ten"
            raise AffectkitError("usage", f"--prevalence '{text}' does not lie between 0 and 1", remedy=remedy)
        prevalences[share] = None
    return tuple(prevalences)


def judge_alerts(
    predictions: Predictions,
    alerts: Sequence[Alert],
    slices: Sequence[str],
    column: str | None,
    groups: np.ndarray | None,
    resampling: Resampling,
    prevalences: Sequence[float] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Alert -> what `metrics.json` says of it; and what its reader must know, in sentences.

    Each has, of the rows with a truth and a prediction, `n`, `groups`, `positives`, `raised` and `metrics` (`RATES` and
    `LIKELIHOOD_RATIOS`); `at_prevalence`, the predictive values at each of `prevalences`; the same in `slices`, with
    `differences` to the rows of that column's other values; and `per_group`.
    slices: columns. column: of the groups [N], which are None for rows that are taken as independent.
    """
    judgements: dict[str, Any] = {}
    warnings: list[str] = []
    for alert in dict.fromkeys(alerts):
        rows = _Rows(*decided(predictions, alert), groups, resampling, prevalences)
        overall = rows.judged(rows.known)
        by_slice = {name: rows.compared(inside, rest) for name, inside, rest in named_parts(predictions, slices)}
        details = {"slices": by_slice, "per_group": rows.per_group()}
        judgements[str(alert)] = described(predictions, alert) | overall | details
        sentences = [*_undefined(overall, by_slice), *_uncertain(overall, rows.counts(rows.known), column, resampling)]
        warnings += [f"alert {alert}: {sentence}" for sentence in sentences]
    return judgements, warnings


@dataclass(frozen=True)
class _Rows:
    """Truth and alert [N] of every row, 1, 0 or -1 where missing; its group and how it is resampled."""

    truth: np.ndarray
    raised: np.ndarray
    groups: np.ndarray | None
    resampling: Resampling
    prevalences: Sequence[float] = ()

    @property
    def known(self) -> np.ndarray:
        return (self.truth >= 0) & (self.raised >= 0)

    @cached_property
    def units(self) -> Units:
        return as_units(self.groups, len(self.truth), seed=self.resampling.seed)

    def counts(self, chosen: np.ndarray) -> np.ndarray:
        """[U, 2, 2] of some rows, [N] bool."""
        return confusions(np.where(chosen, self.truth, -1), self.raised, 2, self.units.codes, self.units.count)

    def judged(self, chosen: np.ndarray) -> dict[str, Any]:
        chosen = chosen & self.known
        counts = self.counts(chosen)
        return {
            "n": int(chosen.sum()),
            "groups": None if self.groups is None else self.resampling.units(self.groups, chosen).groups,
            **_totals(counts.sum(axis=0)),
            "metrics": self._intervals(counts, RATES) | self._intervals(counts, LIKELIHOOD_RATIOS),
            "at_prevalence": {f"{p:.9g}": self._intervals(counts, predictive_values(p)) for p in self.prevalences},
        }

    def _intervals(self, counts: np.ndarray, figures: Mapping[str, Rate | Joint]) -> dict[str, dict[str, float]]:
        return {name: figure.interval(counts, self.resampling).plain() for name, figure in figures.items()}

    def compared(self, inside: np.ndarray, rest: np.ndarray) -> dict[str, Any]:
        """As `judged`, of the rows inside, with `differences`: each rate less that of the rest."""
        counts, others = self.counts(inside), self.counts(rest)
        differences = {name: rate_difference(RATES[name], counts, others, self.resampling) for name in COMPARED}
        return self.judged(inside) | {"differences": {name: figure.plain() for name, figure in differences.items()}}

    def per_group(self) -> dict[str, dict[str, Any]]:
        """Group -> `n`, `positives`, `raised` and rates without intervals; rows without a group are left out."""
        if self.groups is None:
            return {}
        names, codes = np.unique(self.groups, return_inverse=True)
        rows = {}
        for name, counts in zip(names, confusions(self.truth, self.raised, 2, codes, len(names)), strict=True):
            if name and counts.sum():
                rates = {key: float(RATES[key].of(counts)) for key in OF_A_GROUP}
                rows[str(name)] = {"n": int(counts.sum()), **_totals(counts), **rates}
        return rows


def _totals(counts: np.ndarray) -> dict[str, int]:
    return {"positives": int(counts[1].sum()), "raised": int(counts[:, 1].sum())}


def rate_difference(rate: Rate, counts: np.ndarray, others: np.ndarray, resampling: Resampling) -> Interval:
    """rate(counts) - rate(others), both [U, 2, 2], of two parts of the rows.

    Parts of the same units are paired; of different ones, the intervals of both are joined (Newcombe 1998, method 10;
    Zou and Donner 2008), which keeps to [-1, 1]. Simulated with a truth of 0, at most 6 % of 95 % intervals leave it
    out, for 2 speakers against 8 as for 50 against 50; of Welch's t it is 8 to 10 % where one part has few.
    """
    from scipy.special import stdtrit

    mine, theirs = rate.base(counts) > 0, rate.base(others) > 0
    either = mine | theirs
    if (mine & theirs).any():
        paired = difference(Estimate(rate.of), counts[either], others[either], resampling)
        # With the degrees of freedom of the part that has fewer units: the others add rows, but no pair.
        freedom = np.array([min(mine.sum(), theirs.sum()), either.sum()]) - 1
        wider = stdtrit(freedom, 0.5 + resampling.level / 2)
        reach = float((paired.high - paired.low) / 2 * wider[0] / wider[1])
        return replace(paired, low=paired.value - reach, high=paired.value + reach)
    first, second = rate.interval(counts, resampling), rate.interval(others, resampling)
    value = first.value - second.value
    low = value - np.hypot(first.value - first.low, second.high - second.value)
    high = value + np.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, float(low), float(high), first.method, first.groups + second.groups)


def _undefined(overall: Mapping[str, Any], by_slice: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What has no value, because there are no rows that it could be a share of."""
    for kind, cells in KINDS.items():
        names = [name for name, rate in RATES.items() if rate.among == cells]
        if np.isnan(overall["metrics"][names[0]]["value"]):
            yield f"no {kind}: {' and '.join(names)} undefined"
            continue
        where = [name for name, row in by_slice.items() if np.isnan(row["metrics"][names[0]]["value"])]
        if where:
            yield f"no {kind} in {', '.join(where)}: {' and '.join(names)} undefined there"


def _uncertain(
    overall: Mapping[str, Any], counts: np.ndarray, column: str | None, resampling: Resampling
) -> Iterator[str]:
    """What rests on few groups though there are many, or on one, and what is the same in all of them."""
    if resampling.method_for(len(counts)) == "none":
        return
    for kind, cells in KINDS.items():
        rates = [name for name, rate in RATES.items() if rate.among == cells]
        having, names = int((RATES[rates[0]].base(counts) > 0).sum()), " and ".join(rates)
        if having == 1:
            yield f"all {kind} are of one {column or 'row'}: no interval for {names}"
        elif having and np.isnan(overall["metrics"][rates[0]]["low"]):
            yield f"no interval for {names}: the same in every {column or 'row'}"
        elif 1 < having < FEW_GROUPS <= len(counts):
            rest = "rests" if len(rates) == 1 else "rest"
            yield f"{kind} are of {having} {column or 'row'}s only: {names} {rest} on few degrees of freedom"
