"""Conformal: sets of classes, or intervals, that hold the truth as often as asked

Split conformal (Vovk et al. 2005): the ceil((n + 1) coverage)-th smallest score of n fit rows bounds that of a new one.
A class's score is 1 - its probability (least ambiguous sets, Sadinle et al. 2019; a set can be empty). A number's is
|truth - prediction|, over the root of its variance where that is known. Probabilities and predictions stay.

What is held is the share over all rows of the same groups; --per holds it for each value of a column, --new-groups in
groups never met. A value that no fit row has, or too few have, is promised no less: it gets every class, or the whole
scale (an unknown interval where there is no scale).
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Any

import numpy as np

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.method import Method
from affectkit.calibration.methods._probabilities import SMALLEST_VARIANCE, require_rows, truths, variances
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.registry import Option


def build(
    *,
    coverage: Annotated[
        float, Option("Share of rows whose truth should lie in their prediction set or interval.")
    ] = 0.9,
    per: Annotated[str, Option("Column, such as sex, for each of whose values the coverage should hold.")] = "",
    new_groups: Annotated[
        bool,
        Option(
            "Whether the coverage should hold for new groups, such as unseen speakers; .95 needs 19 groups to fit on."
        ),
    ] = False,
    fixed_width: Annotated[
        bool, Option("Whether all intervals have the same width, whatever is known of their variance.")
    ] = False,
) -> Conformal:
    """The method. Raises "usage" for a coverage that is not between 0 and 1."""
    if not 0 < coverage < 1:
        raise AffectkitError("usage", f"--coverage {coverage:g}", remedy="use a number between 0 and 1, such as 0.9")
    return Conformal(coverage=coverage, per=per, new_groups=new_groups, fixed_width=fixed_width)


class Conformal(Method):
    """Parameters: `quantiles` of the scores by the value of the column ("" where none is named), None if infinite;
    for numbers also `scaled`, those of the scores over the root of the variance, None where that is of no use.

    Rows without a variance are bounded by what the residuals of all rows say.
    """

    name = "conformal"
    kinds = ("class", "number")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.columns = (options["per"],) if options["per"] else ()

    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        require_rows(rows)
        promise, values = self._promise(output), self._values(rows)
        if output.mean is None:
            scores = 1 - output.values[np.arange(len(rows)), truths(rows)]
            return {"quantiles": promise.table(scores, values, rows.groups)}
        scores, spread = np.abs(rows.truth - output.mean), spreads(output)
        known = ~np.isnan(spread)
        quantiles, scaled = promise.table(scores, values, rows.groups), None
        if known.any() and not self.options["fixed_width"]:
            scaled = promise.table((scores / spread)[known], values[known], rows.groups[known])
        return {"quantiles": quantiles, "scaled": scaled}

    def check(self, parameters: dict[str, Any], target: Target) -> None:
        of_numbers = [parameters["scaled"]] if target.kind == "number" and parameters["scaled"] is not None else []
        for table in (parameters["quantiles"], *of_numbers):
            known = [quantile for quantile in dict(table).values() if quantile is not None]
            checked("quantiles", known, [None], low=0)

    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        values = self._values(rows)
        self._promise(output).warn_of_unmet(parameters["quantiles"], values[output.known])
        widths = limits(parameters["quantiles"], values)
        if output.mean is None:
            return replace(output, sets=(1 - output.values <= widths[:, None]) & output.known[:, None])
        if parameters["scaled"] is not None:
            spread = spreads(output)
            widths = np.where(np.isnan(spread), widths, limits(parameters["scaled"], values) * spread)
        return interval(output, widths)

    def known_cells(self, parameters: dict[str, Any]) -> dict[str, list[str]]:
        return {column: list(parameters["quantiles"]) for column in self.columns}

    def _promise(self, output: TargetPrediction) -> Promise:
        options = self.options
        return Promise(output.target.name, options["coverage"], options["per"], options["new_groups"])

    def _values(self, rows: GroundTruth) -> np.ndarray:
        """[N]: what the column says of each row."""
        per = self.options["per"]
        return rows.columns[per].astype(str) if per else np.full(len(rows), "")


# --- The quantile of calibration scores that covers a wanted share of new ones


def split_quantile(scores: np.ndarray, coverage: float) -> float | None:
    """The ceil((n + 1) coverage)-th smallest of [n] scores (Vovk et al. 2005), None (infinite) where n is too small.

    A new score exchangeable with these is at most that with a probability of at least `coverage`, and of less than
    coverage + 1 / (n + 1) where no two are equal.
    """
    rank = math.ceil((len(scores) + 1) * _exact(coverage))
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else None


def group_quantile(scores: np.ndarray, groups: np.ndarray, coverage: float) -> float | None:
    """The quantile for rows of a group that was never met (Lee, Barber and Willett 2023, hierarchical conformal).

    Each of the K groups weighs 1 / (K + 1), shared by its rows, and the new one's 1 / (K + 1) lies at infinity: None
    with fewer groups than are `needed`. scores: [n]; groups: [n] text.
    """
    _, code, size = np.unique(groups, return_inverse=True, return_counts=True)
    if len(size) < needed(coverage):
        return None
    weight = 1 / ((len(size) + 1) * size[code])
    sort = np.lexsort((weight, scores))
    reached = np.cumsum(weight[sort]) >= coverage - 1e-12
    return float(scores[sort][reached.argmax()])


def needed(coverage: float) -> int:
    """How many rows `split_quantile` needs, and groups `group_quantile`: 1 / alpha - 1, so 9 at .9 and 19 at .95."""
    return math.ceil(_exact(coverage) / (1 - _exact(coverage)))


def _exact(coverage: float) -> Fraction:
    """.9 as 9/10: in binary it is a little more, and 9 rows would not do for what 9 rows can do."""
    return Fraction(repr(float(coverage)))


# --- Conformal quantiles for each value of a column, and the intervals that they make


log = logging.getLogger(__name__)

Table = dict[str, float | None]  # the quantile of each value of the column; None is infinite


@dataclass(frozen=True)
class Promise:
    """What is to hold of a target: the coverage, for each value of the column `by` ("" for none), in rows of the same
    groups or of new ones."""

    target: str
    coverage: float
    by: str
    new_groups: bool

    def table(self, scores: np.ndarray, values: np.ndarray, groups: np.ndarray) -> Table:
        """The quantiles of [N] scores. With new groups, rows of none ("") are left out.

        Raises "input" where new groups are to be covered and no value of the column has enough; other values with too
        few are warned of.
        """
        if self.new_groups:
            kept = groups != ""
            scores, values, groups = scores[kept], values[kept], groups[kept]
        quantiles: Table = {}
        for value in sorted(set(values)):
            rows = values == value
            of_groups = group_quantile(scores[rows], groups[rows], self.coverage) if self.new_groups else None
            quantiles[str(value)] = of_groups if self.new_groups else split_quantile(scores[rows], self.coverage)
        few = [value for value, quantile in quantiles.items() if quantile is None]
        if self.new_groups and len(few) == len(quantiles):
            count = len(np.unique(groups))
            where = f"of one {self.by} to fit on" if self.by else f"to fit on, and there are {count}"
            lower = math.floor(1000 * count / (count + 1)) / 1000
            what = f"covering {self.coverage:g} of new groups needs {needed(self.coverage)} groups {where}"
            remedy = f"use --coverage {lower:g} or --no-new-groups" if count and not self.by else "use --no-new-groups"
            raise AffectkitError("input", f"{self.target}: {what}", remedy=remedy)
        if few:
            units = "groups" if self.new_groups else "rows"
            self._warn(few, f"too few to fit on, {needed(self.coverage)} {units} are needed")
        return quantiles

    def warn_of_unmet(self, table: Table, values: np.ndarray) -> None:
        unmet = sorted(set(values.tolist()) - set(table))
        if unmet:
            self._warn(unmet, "none to fit on")

    def _warn(self, values: list[str], why: str) -> None:
        rows = "rows of " + ", ".join(f"{self.by}={value}" for value in values) if self.by else "rows"
        log.warning("%s: %s get every class, or the whole scale: %s", self.target, rows, why)


def limits(table: Table, values: np.ndarray) -> np.ndarray:
    """[N]: the quantile of each row's value; infinite for too few fit rows, or none, of that value."""
    kinds, code = np.unique(values, return_inverse=True)
    quantiles = [table.get(str(kind)) for kind in kinds]
    return np.array([math.inf if q is None else q for q in quantiles], float)[code]


def spreads(output: TargetPrediction) -> np.ndarray:
    """[N]: the root of each answer's variance, NaN where it is unknown."""
    return np.sqrt(np.maximum(variances(output), SMALLEST_VARIANCE))


def interval(output: TargetPrediction, widths: np.ndarray) -> TargetPrediction:
    """`output` with mean -+ widths [N] as its interval, held to the target's scale; an end that is infinite without a
    scale is unknown."""
    lowest, highest = output.target.scale or (-math.inf, math.inf)
    ends = (np.clip(end, lowest, highest) for end in (output.values - widths, output.values + widths))
    low, high = (np.where(np.isinf(end), np.nan, end) for end in ends)
    return replace(output, low=low, high=high)
