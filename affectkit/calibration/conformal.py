"""Conformal: sets of classes, or intervals, that hold the truth as often as asked

Split conformal (Vovk et al. 2005): the ceil((n + 1) coverage)-th smallest score of n fit rows bounds that of a new one.
A class's score is 1 - its probability (least ambiguous sets, Sadinle et al. 2019; a set can be empty). A number's is
|truth - prediction|, over the root of its variance where that is known. Probabilities and predictions stay.

What is held is the share over all rows of the same groups; --per holds it for each value of a column, --new-groups in
groups never met. A value that no fit row has, or too few have, is promised no less: it gets every class, or the whole
scale (an unknown interval where there is no scale).
"""

from typing import TYPE_CHECKING, Annotated, Any

from affectkit.calibration._options import check_coverage
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.artifacts.outputs import Output, Rows
    from affectkit.calibration._conformal import Promise
    from affectkit.calibration._method import Kind


def build(
    *,
    coverage: Annotated[float, Option("share of rows whose truth is to be in their set or interval")] = 0.9,
    per: Annotated[str, Option("column, such as sex, for each of whose values the coverage is to hold")] = "",
    new_groups: Annotated[
        bool, Option("hold the coverage in groups never met, such as new speakers; .95 needs 19 groups to fit on")
    ] = False,
    fixed_width: Annotated[bool, Option("one width for all numbers, whatever is known of their variance")] = False,
) -> "Conformal":
    """The method. Raises "usage" for a coverage that is not between 0 and 1."""
    return Conformal(check_coverage(coverage), per, new_groups, fixed_width)


class Conformal:
    """Parameters: `quantiles` of the scores by the value of the column ("" where none is named), None if infinite;
    for numbers also `scaled`, those of the scores over the root of the variance, None where that is of no use.

    Rows without a variance are bounded by what the residuals of all rows say.
    """

    name = "conformal"
    kinds: "tuple[Kind, ...]" = ("class", "number")
    single_group = False

    def __init__(self, coverage: float, per: str, new_groups: bool, fixed_width: bool) -> None:
        self.options: dict[str, Any] = {
            "coverage": coverage,
            "per": per,
            "new_groups": new_groups,
            "fixed_width": fixed_width,
        }
        self.columns: tuple[str, ...] = (per,) if per else ()

    def fit(self, output: "Output", rows: "Rows") -> dict[str, Any]:
        import numpy as np

        from affectkit.calibration._conformal import spreads
        from affectkit.calibration._probabilities import require_rows, truths

        require_rows(rows)
        promise, values = self._promise(output), self._values(rows)
        if output.mean is None:
            scores = 1 - output.values[np.arange(len(rows)), truths(rows)]
            return {"quantiles": promise.table(scores, values, rows.groups)}
        scores, spread = np.abs(rows.truth - output.mean), spreads(output)
        known = ~np.isnan(spread)
        quantiles, scaled = promise.table(scores, values, rows.groups), None
        if known.any() and not self.options["fixed_width"]:
            scaled = promise.table((scores / spread)[known], values[known], rows.groups[known])
        return {"quantiles": quantiles, "scaled": scaled}

    def apply(self, parameters: dict[str, Any], output: "Output", rows: "Rows") -> "Output":
        from dataclasses import replace

        import numpy as np

        from affectkit.calibration._conformal import interval, limits, spreads

        values = self._values(rows)
        self._promise(output).warn_of_unmet(parameters["quantiles"], values[output.known])
        widths = limits(parameters["quantiles"], values)
        if output.mean is None:
            return replace(output, sets=(1 - output.values <= widths[:, None]) & output.known[:, None])
        if parameters["scaled"] is not None:
            spread = spreads(output)
            widths = np.where(np.isnan(spread), widths, limits(parameters["scaled"], values) * spread)
        return interval(output, widths)

    def _promise(self, output: "Output") -> "Promise":
        from affectkit.calibration._conformal import Promise

        options = self.options
        return Promise(output.target.name, options["coverage"], options["per"], options["new_groups"])

    def _values(self, rows: "Rows") -> "np.ndarray":
        """[N]: what the column says of each row."""
        import numpy as np

        per = self.options["per"]
        return rows.columns[per].astype(str) if per else np.full(len(rows), "")
