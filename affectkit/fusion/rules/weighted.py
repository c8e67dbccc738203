"""Fixed weights, or the best on the fit rows, over the sources that a row has

Without `--weights`, a grid is searched; equally good weights go to the most equal ones.
"""

from typing import TYPE_CHECKING, Annotated, Any

from affectkit.errors import AffectkitError
from affectkit.fusion.recalibrate import MetricOpt, RecalibrateOpt, WeightsOpt, recalibrating
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.artifacts.outputs import Output, Rows
    from affectkit.fusion.rule import Rule, Sources

SEARCH = "0:1:.1"


def build(
    *,
    weights: WeightsOpt = "",
    search: Annotated[
        str, Option(f"Grid lowest:highest:step of the first source's weight; {SEARCH} where no weights are given.")
    ] = "",
    metric: MetricOpt = "auto",
    recalibrate: RecalibrateOpt = False,
) -> "Rule":
    """The rule. Raises "usage" for weights or a search that are none, or for both."""
    from affectkit.fusion.ensemble import check_metric, parse_search, parse_weights

    if weights and search:
        raise AffectkitError("usage", "--weights are fixed, --search looks for some", remedy="give one of them")
    if parse_weights(weights):
        search = ""
    else:
        search = search or SEARCH
        parse_search(search)
    options = {"weights": weights, "search": search, "metric": check_metric(metric), "recalibrate": False}
    return recalibrating(Weighted(options), recalibrate)


class Weighted:
    """Parameters: `weights`, by source; of a search also `metric`, `score` and how many weightings were `tried`."""

    name = "weighted"
    takes_tables = False

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.single_group = bool(options["weights"])

    def fit(self, sources: "Sources", rows: "Rows") -> dict[str, Any]:
        from affectkit.fusion.ensemble import (
            by_name,
            fit_panel,
            fixed_weights,
            mixed,
            panel,
            parse_search,
            parse_weights,
            scorer,
            shares,
        )

        if self.options["weights"]:
            return {"weights": fixed_weights(parse_weights(self.options["weights"]), panel(sources, self.name).given)}
        found, rows = fit_panel(sources, rows, self.name)
        judge = scorer(self.options["metric"], found.target, rows.truth)
        points = parse_search(self.options["search"]).points(len(found.given))
        place = [found.given.index(name) for name in found.names]
        scores = [judge(mixed(found, shares(found.known, point[place]))) for point in points]
        best = _most_equal(points, scores)
        return {
            "weights": by_name(found.given, points[best]),
            "metric": judge.metric.name,
            "score": judge.plain(scores[best]),
            "tried": len(points),
        }

    def apply(self, parameters: dict[str, Any], sources: "Sources") -> "Output":
        from affectkit.fusion.ensemble import blended, panel, weights_of

        found = panel(sources, self.name)
        return blended(found, weights_of(parameters, found))


def _most_equal(points: "np.ndarray", scores: "list[float]") -> int:
    """Of the best points [M, S], the one nearest to equal weights; then that with most for the first source."""
    best = max(scores)
    tied = [i for i, score in enumerate(scores) if score == best]
    return min(tied, key=lambda i: (round(float((points[i] ** 2).sum()), 9), -points[i][0]))
