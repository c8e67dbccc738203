"""What one metric reads of a table of predictions, as arrays; the metric of them, and its sums per unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.intervals import Figure
from affectkit.evaluation.measure import number_figures, width
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.rows import missing, pair
from affectkit.evaluation.sums import confusions, losses, moments
from affectkit.labels import Target


@dataclass(frozen=True)
class Measured:
    """A metric of a table by its flat name (`uar`, `valence.ccc`, `ccc`): of which targets, and how it reads.

    metric: that of `METRICS`. targets: one class target, or the numbers whose mean it is.
    """

    name: str
    targets: tuple[Target, ...]

    @property
    def metric(self) -> Any:
        return METRICS[self.name.rpartition(".")[2]]

    @property
    def higher_is_better(self) -> bool:
        return self.metric.higher_is_better

    @property
    def figure(self) -> Figure:
        """Its formula of `Answers.sums`, and its link."""
        if self.metric.takes != "numbers":
            return Figure(self.metric.of, self.metric.link)
        return number_figures(self.targets)[self.metric.name]

    def gain(self, value: float) -> float:
        """A difference as a gain: positive is better."""
        return value if self.higher_is_better else -value


@dataclass(frozen=True)
class Answers:
    """What `of` reads of N rows: missing is -1 or NaN.

    truths: [N] of each of its targets, class indices or numbers. predictions: [N] of each, as the truth; of a metric of
    probabilities [N, K].
    """

    of: Measured
    truths: Sequence[np.ndarray]
    predictions: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.truths[0])

    @property
    def known(self) -> np.ndarray:
        """[N] bool: the rows that have a truth and an answer of every target."""
        arrays = [*self.truths, *self.predictions]
        return ~np.any([missing(a) if a.ndim == 1 else np.isnan(a).any(axis=1) for a in arrays], axis=0)

    def take(self, keep: np.ndarray) -> Answers:
        """The rows at `keep`, [N] bool."""
        return Answers(self.of, [a[keep] for a in self.truths], [a[keep] for a in self.predictions])

    def sums(self, codes: np.ndarray | None = None, count: int = 1) -> np.ndarray:
        """Sums per unit, [U, K, K], [U, 3] or [U, T, 10], of a metric that is a formula of sums."""
        pairs = list(zip(self.truths, self.predictions, strict=True))
        if self.of.metric.takes == "classes":
            return confusions(*pairs[0], len(self.of.targets[0].classes), codes, count)
        if self.of.metric.takes == "probabilities":
            return losses(*pairs[0], codes, count)
        targets = zip(pairs, self.of.targets, strict=True)
        return np.stack([moments(*of_target, codes, count, width(target)) for of_target, target in targets], axis=1)

    @property
    def value(self) -> float:
        if self.of.metric.of is None:
            return float(self.of.metric.function(self.truths[0], self.predictions[0]))
        return float(self.of.figure.of(self.sums()[0]))


def answers(table: Predictions, of: Measured) -> Answers:
    """Raises "input" for a table without the probabilities that `of` takes."""
    pairs = [pair(table, target) for target in of.targets]
    truths, predictions = ([of_target[side] for of_target in pairs] for side in (0, 1))
    if of.metric.takes == "probabilities":
        target, declined = of.targets[0], missing(predictions[0])
        predictions = [np.where(declined[:, None], np.nan, table.output(target.name).aligned(target).values)]
    return Answers(of, truths, predictions)
