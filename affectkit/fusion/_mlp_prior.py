"""What a network of fusion starts from, is compared with, and falls back to: equal weights, or the best source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import Rows
from affectkit.calibration._probabilities import softmax
from affectkit.evaluation.sums import SMALLEST_PROBABILITY
from affectkit.fusion import _stack_classes, _stack_numbers
from affectkit.fusion._score import ranking, scorer
from affectkit.fusion._stack import Inputs

PRIORS = ("mean", "best")
Parameters = dict[str, Any]


def fit_priors(inputs: Inputs, rows: Rows, balanced: bool) -> dict[str, Parameters]:
    """Both, as stacking has them: `order` of the sources from the best, and `base`, the answer of a row that has
    tables only: how frequent classes are (alike, if balanced), or the mean truth."""
    number = inputs.panel.target.kind == "number"
    judge = scorer("mse" if number else "nll", inputs.panel.target, rows.truth)
    # Within a fold a source may have no row: then its place, the last, is a matter of names, not of what came first.
    order = [name for name, _ in ranking(replace(inputs.panel, given=inputs.panel.names), judge)]
    if number:
        base: Any = float(rows.truth.mean())
    else:
        codes, classes = rows.truth.astype(np.int64), inputs.panel.values.shape[2]
        counts = np.bincount(codes, _stack_classes.row_weights(codes, balanced), minlength=classes)
        base = ((counts + 1.0) / (len(codes) + classes)).tolist()
    return {prior: {"prior": prior, "order": order, "base": base} for prior in PRIORS}


def prior_scores(prior: Mapping[str, Any], inputs: Inputs) -> np.ndarray:
    """[C, N]: log-probabilities, or numbers; of rows without any source too."""
    if inputs.panel.target.kind == "number":
        return np.ascontiguousarray(_stack_numbers.predict({**prior, "ridge": None}, inputs).T)
    return _stack_classes.scores({**prior, "slopes": None, "matrix": None}, inputs)


def answers_of(scores: np.ndarray, number: bool) -> np.ndarray:
    """[N, C] probabilities or numbers, of scores [C, N]."""
    return np.ascontiguousarray((scores if number else softmax(scores)).T)


def losses(answers: np.ndarray, truth: np.ndarray, number: bool) -> np.ndarray:
    """[N]: -log p of the true class, nats, or squared errors."""
    if number:
        return (answers[:, 0] - truth) ** 2
    of_truth = answers[np.arange(len(truth)), truth.astype(np.int64)]
    return -np.log(np.maximum(of_truth, SMALLEST_PROBABILITY))


def row_weights(truth: np.ndarray, number: bool, balanced: bool) -> np.ndarray:
    """[N], mean 1."""
    return np.ones(len(truth)) if number else _stack_classes.row_weights(truth.astype(np.int64), balanced)


def better(priors: Sequence[Parameters], inputs: Inputs, rows: Rows, balanced: bool) -> Parameters:
    """Of priors, the one with less loss on the rows."""
    number = inputs.panel.target.kind == "number"
    weights = row_weights(rows.truth, number, balanced)

    def loss(prior: Parameters) -> float:
        return float(weights @ losses(answers_of(prior_scores(prior, inputs), number), rows.truth, number))

    return min(priors, key=loss)
