"""Numbers weighted by 1 / variance, variances first scaled to the errors

mu = sum(mu_i / var_i) / sum(1 / var_i), var = 1 / sum(1 / var_i), over the sources that a row has: the best there is
where errors are independent and Gaussian; where experts err together, the fused variance is too small. Variances of
different kinds (dropout, test-time augmentation) are not commensurable, so each source's is scaled first. A row with a
source whose variance is missing or not above 0 gets the fixed weights, and no variance.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from affectkit.errors import AffectkitError
from affectkit.fusion._options import RecalibrateOpt, WeightsOpt, recalibrating
from affectkit.registry import Option

if TYPE_CHECKING:
    from affectkit.artifacts.outputs import Output, Rows
    from affectkit.fusion._panel import Panel
    from affectkit.fusion._rule import Rule, Sources
    from affectkit.fusion._scales import Scale

log = logging.getLogger(__name__)


def build(
    *,
    weights: WeightsOpt = "",
    rescale: Annotated[bool, Option("Fit var' = a + b * var to each source's errors before weighting.")] = True,
    recalibrate: RecalibrateOpt = False,
) -> "Rule":
    """The rule. Raises "usage" for weights that are none."""
    from affectkit.fusion._simplex import parse_weights

    parse_weights(weights)
    return recalibrating(InverseVariance({"weights": weights, "rescale": rescale, "recalibrate": False}), recalibrate)


class InverseVariance:
    """Parameters, by source: `weights`, of rows without all variances; `scales`, [a, b], None where nothing could be
    fitted (its variances are then unknown); `shares`, what each counts for on average over the fit rows
    that have them all."""

    name = "inverse-variance"
    takes_tables = False

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.single_group = not options["rescale"]

    def fit(self, sources: "Sources", rows: "Rows") -> dict[str, Any]:
        from affectkit.fusion._panel import fit_panel
        from affectkit.fusion._scales import UNSCALED, fit_scales
        from affectkit.fusion._simplex import fixed_weights, parse_weights

        found, rows = fit_panel(sources, rows, self.name)
        _require_numbers(found)
        weights = fixed_weights(parse_weights(self.options["weights"]), found.given)
        fits = fit_scales(found, rows) if self.options["rescale"] else dict.fromkeys(found.names, UNSCALED)
        for name, known in zip(found.names, found.known, strict=True):
            if fits[name] is None and known.any():
                log.warning("%s has no variances of %s: its rows get fixed weights", name, found.target.name)
        scales = {name: None if fit is None else [float(x) for x in fit] for name, fit in fits.items()}
        return {"weights": weights, "scales": scales, "shares": _mean_shares(found, fits) or weights}

    def apply(self, parameters: dict[str, Any], sources: "Sources") -> "Output":
        import numpy as np

        from affectkit.fusion._panel import mixed, panel, shares, weights_of
        from affectkit.fusion._scales import fused_variance, precisions

        found = panel(sources, self.name)
        _require_numbers(found)
        weights = weights_of(parameters, found)
        precision, complete = precisions(found, [parameters["scales"][name] for name in found.names])
        share = shares(found.known, np.where(complete, precision, weights[:, None]))
        return found.answer(mixed(found, share), fused_variance(precision, complete))


def _mean_shares(of: "Panel", scales: "Mapping[str, Scale | None]") -> dict[str, float]:
    """By source, in the order given; empty where no row has all sources and their variances."""
    import numpy as np

    from affectkit.fusion._panel import shares
    from affectkit.fusion._scales import precisions

    precision, complete = precisions(of, [scales[name] for name in of.names])
    whole = complete & of.known.all(axis=0)
    if not whole.any():
        return {}
    # sorted: a sum of floats depends on its order, and rows may come in any
    means = np.sort(shares(of.known, precision)[:, whole], axis=1).mean(axis=1)
    found = dict(zip(of.names, means.tolist(), strict=True))
    return {name: found[name] for name in of.given}


def _require_numbers(of: "Panel") -> None:
    if of.target.kind != "number":
        what = f"inverse-variance fuses numbers, and {of.target.name} has classes"
        raise AffectkitError("usage", what, remedy="use mean, weighted, stacked or greedy")
