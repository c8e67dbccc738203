"""Ensemble selection: sources are added as long as the fit rows gain

Caruana et al. 2004, with a sorted start (their section 2.3) and replacement (2.2): weights are how often a source was
taken. Of equally good additions, one that is already in is preferred. The best of all the steps is kept, the earliest
of equals, so that no source alone is better on the fit rows.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from affectkit.artifacts.outputs import GroundTruth
from affectkit.errors import AffectkitError
from affectkit.fusion.ensemble import Ensemble, Scorer, WeightedMean, check_metric, scorer
from affectkit.fusion.recalibrate import MetricOpt
from affectkit.fusion.rule import Sources
from affectkit.registry import Option

Step = tuple[float, np.ndarray]  # the score of counts [S]: how often each source is in


def build(
    *,
    most: Annotated[int, Option("Maximum number of models added after the sorted start.", "rounds")] = 25,
    metric: MetricOpt = "auto",
) -> Greedy:
    """The rule. Raises "usage" for fewer than no rounds, or an unknown metric."""
    if most < 0:
        raise AffectkitError("usage", f"--most {most}", remedy="use 0 or more rounds")
    return Greedy(most=most, metric=check_metric(metric))


class Greedy(WeightedMean):
    """Parameters: `weights` and `singles` (each source's own score), by source; `metric`, `score`, `members`."""

    name = "greedy"

    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        ensemble, rows = Ensemble.of_fit_rows(sources, rows, self.name)
        judge = scorer(self.options["metric"], ensemble.target, rows.truth)
        # Each source alone, the rows that it lacks filled by the others; one without any row scores nothing.
        alone = zip(np.eye(len(ensemble.names)), ensemble.known, strict=True)
        singles = [_scored(ensemble, judge, counts) if known.any() else (-np.inf, counts) for counts, known in alone]
        score, counts = _select(ensemble, judge, singles, self.options["most"])
        return {
            "weights": dict(zip(ensemble.names, (counts / counts.sum()).tolist(), strict=True)),
            "singles": {name: judge.plain(single) for name, (single, _) in zip(ensemble.names, singles, strict=True)},
            "metric": judge.metric.name,
            "score": judge.plain(score),
            "members": int(counts.sum()),
        }


def _scored(ensemble: Ensemble, judge: Scorer, counts: np.ndarray) -> Step:
    return judge(ensemble.mean(counts)), counts


def _select(ensemble: Ensemble, judge: Scorer, singles: list[Step], most: int) -> Step:
    """The best step of the sorted start and of `most` additions."""
    places = [ensemble.names.index(name) for name in ensemble.as_named]
    usable = [place for place in places if ensemble.known[place].any()]
    if not usable:
        return -np.inf, np.ones(len(singles))
    ranked = sorted(usable, key=lambda place: -singles[place][0])
    steps = [singles[ranked[0]]]
    for size in range(2, len(ranked) + 1):
        steps.append(_scored(ensemble, judge, np.isin(np.arange(len(singles)), ranked[:size]).astype(float)))
    best = now = max(steps, key=lambda step: step[0])
    for _ in range(most):
        tries = [(_scored(ensemble, judge, now[1] + singles[place][1]), now[1][place] > 0) for place in usable]
        now = max(tries, key=lambda tried: (tried[0][0], tried[1]))[0]
        best = max(best, now, key=lambda step: step[0])
    return best
