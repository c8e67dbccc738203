"""Logistic model or ridge on sources and tables, shrunk when rows are few

Stacking (Wolpert 1992) as a change to the mean rule or to the best single source. How strongly the change is penalised,
up to no change at all, is chosen on folds of whole groups within the fit rows: the simplest candidate that the rows
can't tell from the best. A missing source, or cell of a table, counts as its mean over the fit rows; that a source is
missing is a column of its own. A row with tables only starts from how frequent the classes are, or the mean truth.

Classes count alike in the loss unless told otherwise, as in training. Counted by their rows, and with sources that were
trained on balanced classes (7 of .40 to .02), a stack of one source and noise gained .06 of accuracy and lost .07 of
UAR: it had learned nothing but which classes are frequent.
"""

from __future__ import annotations

import logging
from typing import Any

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.fusion.ensemble import check_names
from affectkit.fusion.rule import Rule, Sources
from affectkit.fusion.rules import _stacked
from affectkit.fusion.rules._stacked import ClassStack, NumberStack, StackInputs
from affectkit.registry import check_values
from affectkit.training.settings import ClassWeight

log = logging.getLogger(__name__)


def build(*, class_weight: ClassWeight = "balanced") -> Stacked:
    """The rule. Raises "usage" for another class weight."""
    check_values(build, {"class_weight": class_weight})
    return Stacked(class_weight=class_weight)


class Stacked(Rule):
    """Parameters: `prior` (mean or best), `order` of the sources from the best, what is added to the prior (see
    `_stacked`), and the `search`: each candidate's held-out loss; where a class had no fit row, `unseen`."""

    name = "stacked"
    takes_tables = True

    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        inputs, rows = StackInputs.of(sources, self.name).in_order(rows)
        model = self._model(inputs)
        labels = rows.truth if inputs.number else rows.truth.astype(int)
        fits, unseen = model.path(inputs, rows), _stacked.unseen_classes(inputs, rows)
        if len(set(labels.tolist())) < 2:
            name = inputs.ensemble.target.name
            log.warning("all %d fit rows have one %s: stacked is left at equal weights", len(rows), name)
            return {**fits[0], **unseen, "search": []}
        weights, folds = _stacked.row_weights(rows.truth, model.balanced), _stacked.inner_folds(rows, labels)
        losses = [weights * loss for loss in _stacked.held_out(inputs, rows, folds, model.path, model.loss)]
        search = [
            # The prior alone, with slopes, or with more under a penalty.
            {"prior": fit["prior"], "slopes": fit.get("slopes") is not None, "penalty": fit["penalty"]}
            | {"loss": float(loss.mean())}
            for fit, loss in zip(fits, losses, strict=True)
        ]
        return {**fits[_stacked.choose(losses, model.ranks)], **unseen, "search": search}

    def apply(self, parameters: dict[str, Any], sources: Sources, rows: GroundTruth | None = None) -> TargetPrediction:
        inputs = StackInputs.of(sources, self.name)
        check_names(inputs.ensemble.names, parameters["order"])
        return inputs.ensemble.answer(self._model(inputs).predict(parameters, inputs))

    def _model(self, inputs: StackInputs) -> ClassStack | NumberStack:
        return NumberStack() if inputs.number else ClassStack(self.options["class_weight"] == "balanced")
