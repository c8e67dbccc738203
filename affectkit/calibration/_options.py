"""Options that several methods have."""

from typing import Annotated

from affectkit.errors import AffectkitError
from affectkit.registry import Option

PullOpt = Annotated[
    float, Option("how strongly scales are drawn to 1 and biases to 0: the inverse variance of a normal prior")
]

# Held-out NLL of vector scaling fitted on 30, 100, 300, 1,000 rows, CIFAR-10 and FER+ probabilities:
#     1   .273 .257 .230 .203   .769 .713 .679 .664
#     3   .260 .244 .222 .202   .760 .712 .681 .665
#    10   .253 .238 .221 .201   .777 .730 .695 .673
# without any calibration .257 and .965. With 5,000 rows they differ by less than .003.
PULL = 3.0


def check_pull(pull: float) -> float:
    """Refuse a pull without which some fits would have no end."""
    if 0 < pull < float("inf"):
        return pull
    raise AffectkitError("usage", f"--pull {pull:g}", remedy="use a number above 0, such as 1")


def check_coverage(coverage: float) -> float:
    if 0 < coverage < 1:
        return coverage
    raise AffectkitError("usage", f"--coverage {coverage:g}", remedy="use a number between 0 and 1, such as 0.9")
