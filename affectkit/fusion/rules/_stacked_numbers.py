"""Stacking of numbers: a ridge regression of what a simpler rule leaves over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectkit.artifacts.outputs import Rows
from affectkit.fusion.ensemble import first_known, mixed, ranking, scorer, shares
from affectkit.fusion.rules._stacked import Inputs, Parameters, fit_scaling, linear, scaled

PENALTIES = (1e4, 1e3, 1e2, 1e1, 1.0)  # against the sum over rows, columns standardised


def row_weights(truth: np.ndarray, balanced: bool) -> np.ndarray:
    """[N] ones: numbers have no classes to balance."""
    return np.ones(len(truth))


def path(inputs: Inputs, rows: Rows, balanced: bool) -> list[Parameters]:
    """The candidates: equal weights, the best source, and a ridge on the better of them under falling penalties."""
    judge = scorer("mse", inputs.panel.target, rows.truth)
    order = [name for name, _ in ranking(inputs.panel, judge)]
    plain = {"order": order, "base": float(rows.truth.mean()), "penalty": None, "ridge": None}
    priors = [{"prior": prior, **plain} for prior in ("mean", "best")]
    better = min(priors, key=lambda prior: loss(prior, inputs, rows).mean())
    return [*priors, *_ridges(better, inputs, rows.truth)]


def ranks() -> Sequence[int]:
    """How flexible each candidate of the path is."""
    return [0, 0, *range(1, len(PENALTIES) + 1)]


def loss(parameters: Parameters, inputs: Inputs, rows: Rows) -> np.ndarray:
    """[N] squared errors."""
    return (predict(parameters, inputs)[:, 0] - rows.truth) ** 2


def predict(parameters: Parameters, inputs: Inputs) -> np.ndarray:
    """[N, 1] numbers, held to the target's scale; NaN for rows without any source."""
    of = inputs.panel
    if parameters["prior"] == "mean":
        found = mixed(of, shares(of.known, np.ones(len(of.names))))
    else:
        found = first_known(of, parameters["order"])[0]
    found[~of.known.any(axis=0)] = parameters["base"]
    ridge = parameters["ridge"]
    if ridge is not None:
        features = scaled(_columns(inputs), ridge["scaling"])
        found = found + linear(features, np.array(ridge["coefficients"])[:, None]).T
    if of.target.scale:
        found = np.clip(found, *of.target.scale)
    found[~inputs.known] = np.nan
    return found


def _columns(inputs: Inputs) -> dict[str, np.ndarray]:
    of = inputs.panel
    means = {n: np.where(k, v[:, 0], np.nan)[None] for n, v, k in zip(of.names, of.values, of.known, strict=True)}
    return {**means, **inputs.tables}


def _ridges(parameters: Parameters, inputs: Inputs, truth: np.ndarray) -> list[Parameters]:
    """At the least sum of squares + penalty |coefficients|^2, from one decomposition for all penalties."""
    columns = _columns(inputs)
    scaling = fit_scaling(columns, alike=())
    features = scaled(columns, scaling)
    left = truth - predict(parameters, inputs)[:, 0]
    axes, sizes, scores = np.linalg.svd(features, full_matrices=False)
    along = sizes * (scores @ left)
    fits = []
    for penalty in PENALTIES:
        coefficients = axes @ (along / (sizes**2 + penalty))
        ridge = {"scaling": scaling, "coefficients": coefficients.tolist()}
        fits.append({**parameters, "penalty": penalty, "ridge": ridge})
    return fits
