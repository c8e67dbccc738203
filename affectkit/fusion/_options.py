"""Options that several rules share, by one name with one meaning."""

from typing import Annotated, Literal

from affectkit.registry import Option

WeightsOpt = Annotated[str, Option("Weights in the order of the sources, such as .7,.3.")]
MetricOpt = Annotated[
    str, Option("Metric that sources or weights are chosen by on the fit rows; auto: uar for classes, ccc for numbers.")
]
ClassWeightOpt = Annotated[
    Literal["balanced", "none"], Option("Balanced: every class counts alike in the loss; none: every row does.")
]
