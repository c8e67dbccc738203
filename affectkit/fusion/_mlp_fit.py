"""Fitting a network of fusion: what it starts from, the training, and whether it is any better, by rows that were not
fitted on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import Rows
from affectkit.calibration._temperature import BOUND, fit_sharpness, sharpened
from affectkit.fusion._mlp_prior import Parameters, answers_of, better, fit_priors, prior_scores
from affectkit.fusion._mlp_study import Study
from affectkit.fusion._stack import Inputs, choose

logger = logging.getLogger(__name__)


def fit_mlp(inputs: Inputs, rows: Rows, columns: np.ndarray, options: Mapping[str, Any], seed: int) -> Parameters:
    """`prior`, `order` and `base`; `network`, None where it is no better; `temperature`; `search`: the candidates with
    their held-out losses; `history` of the training; `seed`.

    inputs, rows: in an order that is the rows' own. columns: [P, N] standardised, NaN where missing. What chooses is of
    rows that were not fitted on: the members of the inner folds say at which epoch the loss is least, then, each
    candidate at a temperature of its own, whether the rows can tell the network from equal weights or the best source
    (the 1-SE rule of `_stack.choose`), and the temperature.
    """
    from affectkit.fusion._mlp_train import train

    balanced = options["class_weight"] == "balanced"
    if len(np.unique(rows.truth)) < 2:
        return {**_untold(inputs, rows, balanced), "seed": seed}
    study = Study.of(inputs, rows, columns, balanced)
    each = [fit_priors(inputs.take(own), rows.take(own), balanced) for _, own in study.parts()]
    candidates = [{**prior, "network": None} for prior in each[-1].values()]
    held_out = [study.held_out([_answers(study, priors[name]) for priors in each]) for name in each[-1]]
    history: list[dict[str, Any]] = []
    if trainable(study):
        starts = [
            better(list(priors.values()), inputs.take(own), rows.take(own), balanced)
            for priors, (_, own) in zip(each, study.parts(), strict=True)
        ]
        trained = train(study, starts, options, seed)
        history = trained.history
        candidates.append({**starts[-1], "network": trained.network})
        held_out.append(study.held_out(trained.answers))
    temperatures = [temperature(answers, study) for answers in held_out]
    losses = [study.losses(_at(answers, t)) for answers, t in zip(held_out, temperatures, strict=True)]
    taken = choose(losses, [0, 0, 1][: len(losses)])
    search = [_told(one, loss, history) for one, loss in zip(candidates, losses, strict=True)]
    found = {**candidates[taken], "temperature": temperatures[taken], "search": search, "history": history}
    return {**found, "seed": seed}


def _untold(inputs: Inputs, rows: Rows, balanced: bool) -> Parameters:
    """Equal weights, where all rows have one truth."""
    target = inputs.panel.target
    logger.warning("all %d fit rows have one %s: mlp is left at equal weights", len(rows), target.name)
    without = None if target.kind == "number" else 1.0
    prior = fit_priors(inputs, rows, balanced)["mean"]
    return {**prior, "network": None, "temperature": without, "search": [], "history": []}


def trainable(study: Study) -> bool:
    """Whether there are columns, and two truths at least to tell apart in the rows of every member."""
    return bool(len(study.columns)) and all(len(np.unique(study.rows.truth[own])) > 1 for _, own in study.parts())


def temperature(answers: np.ndarray, study: Study) -> float | None:
    """Of held-out probabilities, at the least NLL; 1 where they are all right, or tell nothing of the truth: the rows
    then bound it on one side only. None for numbers."""
    if study.number:
        return None
    sharpness = fit_sharpness(answers, study.rows.truth.astype(np.int64))
    return 1.0 if sharpness in (BOUND, 1 / BOUND) else 1 / sharpness


def _at(answers: np.ndarray, temperature: float | None) -> np.ndarray:
    return answers if temperature is None else sharpened(answers, 1 / temperature)


def _answers(study: Study, prior: Parameters) -> np.ndarray:
    return answers_of(prior_scores(prior, study.inputs), study.number)


def _told(candidate: Parameters, loss: np.ndarray, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A candidate in the search: its prior, the epochs that were trained, its held-out loss."""
    best = [row["epoch"] for row in history if row["best"]] if candidate["network"] else [0]
    return {"prior": candidate["prior"], "epochs": best[-1], "loss": float(loss.mean())}
