"""Equal weights over the sources that a row has; nothing is fitted to weigh them

The variance of a fused number is that of a mean of independent errors, sum(var) / n^2: too small where experts err
together. It is unknown where any of the row's sources has none.
"""

from __future__ import annotations

from typing import Any

from affectkit.artifacts.outputs import GroundTruth
from affectkit.fusion.ensemble import Ensemble, WeightedMean, fixed_weights
from affectkit.fusion.recalibrate import Recalibrated, RecalibrateOpt
from affectkit.fusion.rule import Rule, Sources


def build(*, recalibrate: RecalibrateOpt = False) -> Rule:
    """The rule."""
    rule = Mean(recalibrate=False)
    return Recalibrated(rule) if recalibrate else rule


class Mean(WeightedMean):
    """Parameters: `weights`, by source."""

    name = "mean"
    single_group = True

    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        return {"weights": fixed_weights((), Ensemble.of(sources, self.name).as_named)}
