"""Equal weights over the sources that a row has; nothing is fitted to weigh them

The variance of a fused number is that of a mean of independent errors, sum(var) / n^2: too small where experts err
together. It is unknown where any of the row's sources has none.
"""

from typing import TYPE_CHECKING, Any

from affectkit.fusion.recalibrate import RecalibrateOpt, recalibrating

if TYPE_CHECKING:
    from affectkit.artifacts.outputs import Output, Rows
    from affectkit.fusion.rule import Rule, Sources


def build(*, recalibrate: RecalibrateOpt = False) -> "Rule":
    """The rule."""
    return recalibrating(Mean(), recalibrate)


class Mean:
    """Parameters: `weights`, by source."""

    name = "mean"
    takes_tables = False
    single_group = True

    def __init__(self) -> None:
        self.options: dict[str, Any] = {"recalibrate": False}

    def fit(self, sources: "Sources", rows: "Rows") -> dict[str, Any]:
        from affectkit.fusion.ensemble import panel

        names = panel(sources, self.name).given
        return {"weights": {name: 1 / len(names) for name in names}}

    def apply(self, parameters: dict[str, Any], sources: "Sources") -> "Output":
        from affectkit.fusion.ensemble import blended, panel, weights_of

        found = panel(sources, self.name)
        return blended(found, weights_of(parameters, found))
