"""Product of class probabilities, brought to a sum of 1; nothing is fitted

Right where sources err independently and classes are equally frequent (Kittler et al. 1998, eq. 7): one source can veto
a class. Probabilities are clipped to at least 1e-12, so that a 0 is no veto for ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.evaluation.temperature import logits, softmax, total
from affectkit.fusion.ensemble import Ensemble, check_names
from affectkit.fusion.rule import Rule, Sources


def build() -> Product:
    """The rule; it has no options."""
    return Product()


class Product(Rule):
    """Parameters: `sources`, their names, sorted."""

    name = "product"
    single_group = True

    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        return {"sources": list(self._ensemble(sources).names)}

    def apply(self, parameters: dict[str, Any], sources: Sources, rows: GroundTruth | None = None) -> TargetPrediction:
        ensemble = self._ensemble(sources)
        check_names(ensemble.names, parameters["sources"])
        answers = zip(ensemble.values, ensemble.known, strict=True)
        terms = np.array([np.where(known, logits(values), 0.0) for values, known in answers])
        fused = np.ascontiguousarray(softmax(total(terms)).T)
        fused[~ensemble.known.any(axis=0)] = np.nan
        return ensemble.answer(fused)

    def _ensemble(self, sources: Sources) -> Ensemble:
        ensemble = Ensemble.of(sources, self.name)
        if ensemble.target.kind == "number":
            what = f"{self.name} fuses class probabilities, and {ensemble.target.name} is a number"
            raise AffectkitError("usage", what, remedy="use mean, weighted or inverse-variance")
        return ensemble
