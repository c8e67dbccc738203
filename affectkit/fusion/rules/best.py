"""The best single source on the fit rows; where it is missing, the next best

What every fusion is measured against. Sources are compared on the rows that all of them have.
"""

from __future__ import annotations

from typing import Any

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.fusion.ensemble import Ensemble, check_metric, check_names, first_known, ranking, scorer
from affectkit.fusion.recalibrate import MetricOpt
from affectkit.fusion.rule import Rule, Sources


def build(*, metric: MetricOpt = "auto") -> Best:
    """The rule. Raises "usage" for an unknown metric."""
    return Best(metric=check_metric(metric))


class Best(Rule):
    """Parameters: `source`, the best; `order`, all from the best to the worst; `metric`; `scores`, by source."""

    name = "best"
    single_group = True

    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        ensemble, rows = Ensemble.of_fit_rows(sources, rows, self.name)
        judge = scorer(self.options["metric"], ensemble.target, rows.truth)
        scores = {name: judge.plain(score) for name, score in ranking(ensemble, judge)}
        names = list(scores)
        return {"source": names[0], "order": names, "metric": judge.metric.name, "scores": scores}

    def apply(self, parameters: dict[str, Any], sources: Sources, rows: GroundTruth | None = None) -> TargetPrediction:
        ensemble = Ensemble.of(sources, self.name)
        check_names(ensemble.names, parameters["order"])
        return ensemble.answer(*first_known(ensemble, parameters["order"]))
