"""Fixed weights, or the best on the fit rows, over the sources that a row has

Without `--weights`, a grid is searched; equally good weights go to the most equal ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from affectkit.artifacts.outputs import GroundTruth
from affectkit.errors import AffectkitError
from affectkit.fusion.ensemble import Ensemble, WeightedMean, check_metric, fixed_weights, parse_weights, scorer
from affectkit.fusion.recalibrate import MetricOpt, Recalibrated, RecalibrateOpt, WeightsOpt
from affectkit.fusion.rule import Rule, Sources
from affectkit.registry import Option

SEARCH = "0:1:.1"
MOST_POINTS = 20_000


def build(
    *,
    weights: WeightsOpt = "",
    search: Annotated[
        str,
        Option(f"Grid lowest:highest:step for the weight of the first source; {SEARCH} where no weights are given."),
    ] = "",
    metric: MetricOpt = "auto",
    recalibrate: RecalibrateOpt = False,
) -> Rule:
    """The rule. Raises "usage" for weights or a search that are none, or for both."""
    if weights and search:
        raise AffectkitError("usage", "--weights are fixed, --search looks for some", remedy="give one of them")
    search = "" if parse_weights(weights) else search or SEARCH
    if search:
        parse_search(search)
    rule = Weighted(weights=weights, search=search, metric=check_metric(metric), recalibrate=False)
    return Recalibrated(rule) if recalibrate else rule


class Weighted(WeightedMean):
    """Parameters: `weights`, by source; of a search also `metric`, `score` and how many weightings were `tried`."""

    name = "weighted"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.single_group = bool(options["weights"])

    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        if self.options["weights"]:
            names = Ensemble.of(sources, self.name).as_named
            return {"weights": fixed_weights(parse_weights(self.options["weights"]), names)}
        ensemble, rows = Ensemble.of_fit_rows(sources, rows, self.name)
        judge = scorer(self.options["metric"], ensemble.target, rows.truth)
        points = parse_search(self.options["search"]).points(len(ensemble.names))
        places = [ensemble.as_named.index(name) for name in ensemble.names]
        scores = [judge(ensemble.mean(point[places])) for point in points]
        tied = np.flatnonzero(np.equal(scores, max(scores)))
        # The one nearest to equal weights; then that with most for the first source.
        best = min(tied, key=lambda place: (round(float((points[place] ** 2).sum()), 9), -points[place][0]))
        return {
            "weights": dict(zip(ensemble.as_named, points[best].tolist(), strict=True)),
            "metric": judge.metric.name,
            "score": judge.plain(scores[best]),
            "tried": len(points),
        }


# --- A grid of weights that are at least 0 and sum to 1


@dataclass(frozen=True)
class Grid:
    """Weights of the first source from `low` to `high`, and of the others what is left, all in steps of `step`."""

    low: float
    high: float
    step: float

    def points(self, sources: int) -> np.ndarray:
        """[M, S] weights. Raises "usage" where the steps miss the simplex of more than two sources, or are too many."""
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        first = [round(self.low + i * self.step, 10) for i in range(count)]
        if sources == 1:
            return np.ones((1, 1))
        if sources == 2:
            return np.array([[weight, round(1 - weight, 10)] for weight in first])
        units = round(1 / self.step)
        left = [(1 - weight) / self.step for weight in first]
        if abs(units * self.step - 1) > 1e-6 or any(abs(x - round(x)) > 1e-6 for x in left):
            what = f"--search: steps of {self.step:g} from {self.low:g} do not end at weights that sum to 1"
            raise AffectkitError("usage", what, remedy=f"for {sources} sources, write 0:1:.1")
        size = sum(math.comb(round(x) + sources - 2, sources - 2) for x in left)
        if size > MOST_POINTS:
            what = f"--search: steps of {self.step:g} make {size:,} weightings of {sources} sources"
            raise AffectkitError("usage", what, remedy="take larger steps, or --rule greedy")
        rows = [(units - round(x), *rest) for x in left for rest in _splits(round(x), sources - 1)]
        return np.array(rows) / units


def parse_search(text: str) -> Grid:
    """`.3:.8:.1`. Raises "usage"."""
    try:
        low, high, step = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = step = math.nan
    if not (0 <= low <= high <= 1 and 0 < step <= 1):
        what = f"--search {text} is not lowest:highest:step of the first source's weight, within 0 and 1"
        raise AffectkitError("usage", what, remedy="write .3:.8:.1")
    if (high - low) / step >= MOST_POINTS:
        raise AffectkitError("usage", f"--search {text} tries more than {MOST_POINTS:,}", remedy="take larger steps")
    return Grid(low, high, step)


def _splits(units: int, shares: int) -> Iterator[tuple[int, ...]]:
    """Every way to deal `units` to `shares`, in rising order."""
    if shares == 1:
        yield (units,)
        return
    for first in range(units + 1):
        for rest in _splits(units - first, shares - 1):
            yield (first, *rest)
