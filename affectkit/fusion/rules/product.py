"""Product of class probabilities, brought to a sum of 1; nothing is fitted

Right where sources err independently and classes are equally frequent (Kittler et al. 1998, eq. 7): one source can veto
a class. Probabilities are clipped to at least 1e-12, so that a 0 is no veto for ever.
"""

from typing import TYPE_CHECKING, Any

from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    from affectkit.artifacts.outputs import Output, Rows
    from affectkit.fusion.ensemble import Panel
    from affectkit.fusion.rule import Sources


def build() -> "Product":
    """The rule; it has no options."""
    return Product()


class Product:
    """Parameters: `sources`, their names, sorted."""

    name = "product"
    takes_tables = False
    single_group = True

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def fit(self, sources: "Sources", rows: "Rows") -> dict[str, Any]:
        return {"sources": list(self._panel(sources).names)}

    def apply(self, parameters: dict[str, Any], sources: "Sources") -> "Output":
        import numpy as np

        from affectkit.evaluation.temperature import logits, softmax, total
        from affectkit.fusion.ensemble import check_names

        found = self._panel(sources)
        check_names(found.names, parameters["sources"])
        terms = [np.where(known, logits(values), 0.0) for values, known in zip(found.values, found.known, strict=True)]
        fused = np.ascontiguousarray(softmax(total(np.array(terms))).T)
        fused[~found.known.any(axis=0)] = np.nan
        return found.answer(fused)

    def _panel(self, sources: "Sources") -> "Panel":
        from affectkit.fusion.ensemble import panel

        found = panel(sources, self.name)
        if found.target.kind == "number":
            what = f"{self.name} fuses class probabilities, and {found.target.name} is a number"
            raise AffectkitError("usage", what, remedy="use mean, weighted or inverse-variance")
        return found
