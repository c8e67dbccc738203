"""Ensemble selection: sources are added as long as the fit rows gain

Caruana et al. 2004, with a sorted start (their section 2.3) and replacement (2.2): weights are how often a source was
taken. Of equally good additions, one that is already in is preferred. The best of all the steps is kept, the earliest
of equals, so that no source alone is better on the fit rows.
"""

from typing import TYPE_CHECKING, Annotated, Any

from affectkit.errors import AffectkitError
from affectkit.fusion.recalibrate import MetricOpt
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.artifacts.outputs import Output, Rows
    from affectkit.fusion.ensemble import Panel, Scorer
    from affectkit.fusion.rule import Sources

    Step = tuple[float, np.ndarray]  # the score of counts [S]: how often each source is in


def build(
    *,
    most: Annotated[int, Option("Most additions after the sorted start", "rounds")] = 25,
    metric: MetricOpt = "auto",
) -> "Greedy":
    """The rule. Raises "usage" for fewer than no rounds, or an unknown metric."""
    from affectkit.fusion.ensemble import check_metric

    if most < 0:
        raise AffectkitError("usage", f"--most {most}", remedy="use 0 or more rounds")
    return Greedy({"most": most, "metric": check_metric(metric)})


class Greedy:
    """Parameters: `weights` and `singles` (each source's own score), by source; `metric`, `score`, `members`."""

    name = "greedy"
    takes_tables = False
    single_group = False

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def fit(self, sources: "Sources", rows: "Rows") -> dict[str, Any]:
        from affectkit.fusion.ensemble import by_name, fit_panel, scorer

        found, rows = fit_panel(sources, rows, self.name)
        judge = scorer(self.options["metric"], found.target, rows.truth)
        singles = _singles(found, judge)
        score, counts = _select(found, judge, singles, self.options["most"])
        return {
            "weights": by_name(found.names, counts / counts.sum()),
            "singles": {name: judge.plain(single) for name, (single, _) in zip(found.names, singles, strict=True)},
            "metric": judge.metric.name,
            "score": judge.plain(score),
            "members": int(counts.sum()),
        }

    def apply(self, parameters: dict[str, Any], sources: "Sources") -> "Output":
        from affectkit.fusion.ensemble import blended, panel, weights_of

        found = panel(sources, self.name)
        return blended(found, weights_of(parameters, found))


def _scored(of: "Panel", judge: "Scorer", counts: "np.ndarray") -> "Step":
    from affectkit.fusion.ensemble import mixed, shares

    return judge(mixed(of, shares(of.known, counts))), counts


def _singles(of: "Panel", judge: "Scorer") -> "list[Step]":
    """Each source alone, the rows that it lacks filled by the others; a source without any row scores nothing."""
    import numpy as np

    steps = [_scored(of, judge, counts) for counts in np.eye(len(of.names))]
    return [(s if known.any() else -np.inf, counts) for (s, counts), known in zip(steps, of.known, strict=True)]


def _select(of: "Panel", judge: "Scorer", singles: "list[Step]", most: int) -> "Step":
    import numpy as np

    there = [i for i in sorted(range(len(singles)), key=lambda i: of.given.index(of.names[i])) if of.known[i].any()]
    if not there:
        return -np.inf, np.ones(len(singles))
    ranked = sorted(there, key=lambda i: -singles[i][0])
    steps = [singles[ranked[0]]]
    for size in range(2, len(ranked) + 1):
        steps.append(_scored(of, judge, _together(ranked[:size], len(singles))))
    best = now = max(steps, key=lambda step: step[0])
    for _ in range(most):
        tries = [(_scored(of, judge, now[1] + singles[i][1]), now[1][i] > 0) for i in there]
        now = max(tries, key=lambda one: (one[0][0], one[1]))[0]
        best = max(best, now, key=lambda step: step[0])
    return best


def _together(members: "list[int]", sources: int) -> "np.ndarray":
    """[S] counts: 1 for each of `members`."""
    import numpy as np

    counts = np.zeros(sources)
    counts[members] = 1
    return counts
