"""What runs are chosen by: a metric on the rows of a split, `simplest`, `earliest`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.answers import Measured
from affectkit.evaluation.comparison import measured
from affectkit.evaluation.complexity import Facts
from affectkit.labels import Target

SPLITS = ("val", "oof", "test")
SIMPLEST, EARLIEST = "simplest", "earliest"
DIGITS = 12  # figures that agree to so many decimals are equal


@dataclass(frozen=True)
class Criterion:
    """`val_macro_f1`, or `simplest` or `earliest`, which have no split and no metric (`of`)."""

    text: str
    split: str = ""
    of: Measured | None = None

    @property
    def metric(self) -> Measured:
        assert self.of is not None
        return self.of

    def loss(self, value: float) -> float:
        """What figures are sorted by, the better first and the undefined last."""
        return np.inf if np.isnan(value) else -round(self.metric.gain(value), DIGITS)

    def key(self, name: str, facts: Facts, values: Mapping[str, Mapping[str, float]]) -> tuple[Any, ...]:
        """What runs are sorted by. values: by criterion, then by run. A run without a model is never the simplest."""
        if self.of is not None:
            return (self.loss(values[self.text][name]),)
        if self.text == EARLIEST:
            return (facts.made, name)
        return (facts.complexity is None, facts.complexity)


def figure_criterion(text: str, targets: Mapping[str, Target]) -> Criterion:
    """`val_macro_f1` of tables with these targets. Raises "usage" with near misses."""
    split, mark, name = text.partition("_")
    if not mark or split not in SPLITS:
        remedy = f"write {did_you_mean(text, [f'{s}_{text}' for s in SPLITS]).removeprefix('did you mean ')}"
        raise AffectkitError("usage", f"'{text}' names no split, as val_macro_f1 does", remedy=remedy.rstrip("?"))
    return Criterion(text, split, measured(name, targets))


def criterion(text: str, targets: Mapping[str, Target]) -> Criterion:
    """As `figure_criterion`, or `simplest`, or `earliest`."""
    if text in (SIMPLEST, EARLIEST):
        return Criterion(text)
    if text.partition("_")[0] not in SPLITS:
        remedy = did_you_mean(text, [SIMPLEST, EARLIEST, *(f"{s}_{text}" for s in SPLITS)])
        raise AffectkitError("usage", f"'{text}' is no criterion", remedy=remedy)
    return figure_criterion(text, targets)


def default_by(targets: Mapping[str, Target]) -> str:
    return "val_macro_f1" if any(target.kind != "number" for target in targets.values()) else "val_ccc"
