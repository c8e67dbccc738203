"""The best single source on the fit rows; where it is missing, the next best

What every fusion is measured against. Sources are compared on the rows that all of them have.
"""

from typing import TYPE_CHECKING, Any

from affectkit.fusion.recalibrate import MetricOpt

if TYPE_CHECKING:
    from affectkit.artifacts.outputs import Output, Rows
    from affectkit.fusion.rule import Sources


def build(*, metric: MetricOpt = "auto") -> "Best":
    """The rule. Raises "usage" for an unknown metric."""
    from affectkit.fusion.ensemble import check_metric

    return Best(check_metric(metric))


class Best:
    """Parameters: `source`, the best; `order`, all from the best to the worst; `metric`; `scores`, by source."""

    name = "best"
    takes_tables = False
    single_group = True

    def __init__(self, metric: str) -> None:
        self.options: dict[str, Any] = {"metric": metric}

    def fit(self, sources: "Sources", rows: "Rows") -> dict[str, Any]:
        from affectkit.fusion.ensemble import fit_panel, ranking, scorer

        found, rows = fit_panel(sources, rows, self.name)
        judge = scorer(self.options["metric"], found.target, rows.truth)
        ranked = ranking(found, judge)
        scores = {name: judge.plain(score) for name, score in ranked}
        names = list(scores)
        return {"source": names[0], "order": names, "metric": judge.metric.name, "scores": scores}

    def apply(self, parameters: dict[str, Any], sources: "Sources") -> "Output":
        from affectkit.fusion.ensemble import check_names, first_known, panel

        found = panel(sources, self.name)
        check_names(found.names, parameters["order"])
        return found.answer(*first_known(found, parameters["order"]))
