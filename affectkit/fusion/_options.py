"""Options that several rules share, by one name with one meaning."""

from typing import TYPE_CHECKING, Annotated, Literal

from affectkit.registry import Option

if TYPE_CHECKING:
    from affectkit.fusion._rule import Rule

WeightsOpt = Annotated[str, Option("Weights in the order of the sources, such as .7,.3.")]
MetricOpt = Annotated[
    str, Option("Metric that sources or weights are chosen by on the fit rows; auto: uar for classes, ccc for numbers.")
]
RecalibrateOpt = Annotated[
    bool,
    Option(
        "Of numbers: fit a + b * answer to what rows of several sources got, and their variances to the errors left; "
        "averaging takes spread away, and CCC with it."
    ),
]
ClassWeightOpt = Annotated[
    Literal["balanced", "none"], Option("Balanced: every class counts alike in the loss; none: every row does.")
]


def recalibrating(rule: "Rule", wanted: bool) -> "Rule":
    """The rule, recalibrated where that is wanted."""
    if not wanted:
        return rule
    from affectkit.fusion._recalibrated import Recalibrated

    return Recalibrated(rule)
