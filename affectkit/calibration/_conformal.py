"""Conformal quantiles for each value of a column, and the intervals that they make."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import numpy as np

from affectkit.artifacts.outputs import Output
from affectkit.calibration._numbers import SMALLEST_VARIANCE, variances
from affectkit.calibration._quantiles import group_quantile, needed, split_quantile
from affectkit.errors import AffectkitError

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
        found: Table = {}
        for value in sorted(set(values)):
            of = values == value
            found[str(value)] = (
                group_quantile(scores[of], groups[of], self.coverage)
                if self.new_groups
                else split_quantile(scores[of], self.coverage)
            )
        few = [value for value, quantile in found.items() if quantile is None]
        if self.new_groups and len(few) == len(found):
            raise self._too_few_groups(len(np.unique(groups)))
        if few:
            self._warn(few, f"too few to fit on, {needed(self.coverage)} {self._units} are needed")
        return found

    def warn_of_unmet(self, table: Table, values: np.ndarray) -> None:
        unmet = sorted(set(values.tolist()) - set(table))
        if unmet:
            self._warn(unmet, "none to fit on")

    @property
    def _units(self) -> str:
        return "groups" if self.new_groups else "rows"

    def _warn(self, values: list[str], why: str) -> None:
        rows = "rows of " + ", ".join(f"{self.by}={value}" for value in values) if self.by else "rows"
        log.warning("%s: %s get every class, or the whole scale: %s", self.target, rows, why)

    def _too_few_groups(self, count: int) -> AffectkitError:
        where = f"of one {self.by} to fit on" if self.by else f"to fit on, and there are {count}"
        lower = math.floor(1000 * count / (count + 1)) / 1000
        return AffectkitError(
            "input",
            f"{self.target}: covering {self.coverage:g} of new groups needs {needed(self.coverage)} groups {where}",
            remedy=f"use --coverage {lower:g} or --no-new-groups" if count and not self.by else "use --no-new-groups",
        )


def limits(table: Table, values: np.ndarray) -> np.ndarray:
    """[N]: the quantile of each row's value; infinite for too few fit rows, or none, of that value."""
    kinds, code = np.unique(values, return_inverse=True)
    quantiles = [table.get(str(kind)) for kind in kinds]
    return np.array([math.inf if q is None else q for q in quantiles], float)[code]


def spreads(output: Output) -> np.ndarray:
    """[N]: the root of each answer's variance, NaN where it is unknown."""
    return np.sqrt(np.maximum(variances(output), SMALLEST_VARIANCE))


def interval(output: Output, widths: np.ndarray) -> Output:
    """`output` with mean -+ widths [N] as its interval, held to the target's scale; an end that is infinite without a
    scale is unknown."""
    lowest, highest = output.target.scale or (-math.inf, math.inf)
    ends = (np.clip(end, lowest, highest) for end in (output.values - widths, output.values + widths))
    low, high = (np.where(np.isinf(end), np.nan, end) for end in ends)
    return replace(output, low=low, high=high)
