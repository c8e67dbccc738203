"""Histogram binning: probabilities become the shares of the fit rows in bins

Zadrozny and Elkan 2001. Bins are right-closed; of equal mass by default, where equal probabilities share one (so there
may be fewer) and none is empty, else of equal width, where an empty one answers with its middle. It makes ties, and
probabilities of exactly 0 and 1; where classes are many it is too coarse to tell them apart. Each class is calibrated
against the rest, then every row divided by its sum.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from affectkit.artifacts.arrays import checked
from affectkit.calibration.methods._probabilities import EachClass
from affectkit.errors import AffectkitError
from affectkit.registry import Option


def build(
    *,
    bins: Annotated[int, Option("bins of each class's probability")] = 15,
    binning: Annotated[Literal["mass", "width"], Option("bins of as many rows each, or equally wide ones")] = "mass",
) -> Histogram:
    """The method. Raises "usage" for less than one bin."""
    if not 1 <= bins <= 10_000:
        raise AffectkitError("usage", f"--bins {bins}", remedy="use a number between 1 and 10000")
    return Histogram(bins=bins, binning=binning)


class Histogram(EachClass):
    """Parameters: `edges`, rising, between the bins, and `value`, one more, of every calibrated class."""

    name = "histogram"

    def fit_class(self, p: np.ndarray, hit: np.ndarray) -> dict[str, Any]:
        bins = self.options["bins"]
        inner = np.arange(1, bins) / bins
        if self.options["binning"] == "mass":
            inner = np.unique(np.quantile(p, inner, method="inverted_cdf"))
            inner = inner[inner < p.max()]  # the last bin would be empty
        bin_of = np.searchsorted(inner, p, side="left")
        count = np.bincount(bin_of, minlength=len(inner) + 1)
        hits = np.bincount(bin_of, weights=hit, minlength=len(inner) + 1)
        ends = np.concatenate([[0.0], inner, [1.0]])
        value = np.where(count > 0, hits / np.maximum(count, 1), (ends[1:] + ends[:-1]) / 2)
        return {"edges": inner.tolist(), "value": value.tolist()}

    def check_class(self, parameters: dict[str, Any]) -> None:
        edges = checked("edges", parameters["edges"], [None], low=0, high=1, rising=True)
        checked("value", parameters["value"], [len(edges) + 1], low=0, high=1)

    def apply_class(self, parameters: dict[str, Any], p: np.ndarray) -> np.ndarray:
        return np.array(parameters["value"])[np.searchsorted(parameters["edges"], p, side="left")]
