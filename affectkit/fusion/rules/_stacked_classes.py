"""Stacking of class probabilities: a multinomial logistic model that starts from a simpler rule.

scores = log prior + sum over sources of slope * log p + matrix @ standardised columns; each part is drawn to 0, so that
less data means less change: to slopes only (how sharp each source is, and how much it adds), or to the prior itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectkit.artifacts.outputs import Rows
from affectkit.calibration.methods._scaling import minimise
from affectkit.evaluation.temperature import logits, softmax, total
from affectkit.fusion.ensemble import first_known, mixed, ranking, scorer, shares
from affectkit.fusion.rules._stacked import Inputs, Parameters, fit_scaling, linear, scaled
from affectkit.labels import class_weights

PULL = 1.0  # of slopes: a normal prior of standard deviation 1 around no change
PENALTIES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of the matrix, per row
STEPS = 100
SLOPE = 1e-4  # the largest derivative of a row's mean loss at which a search ends


def row_weights(truth: np.ndarray, balanced: bool) -> np.ndarray:
    """[N], mean 1: n / (k * count of the row's class) over the k classes that occur, or ones."""
    return class_weights(np.bincount(truth))[truth] if balanced else np.ones(len(truth))


def path(inputs: Inputs, rows: Rows, balanced: bool) -> list[Parameters]:
    """The candidates: equal weights, the best source, slopes, and a matrix under falling penalties."""
    truth = rows.truth.astype(np.int64)
    weights = row_weights(truth, balanced)
    judge = scorer("nll", inputs.panel.target, rows.truth)
    order = [name for name, _ in ranking(inputs.panel, judge)]
    classes = inputs.panel.values.shape[2]
    base = (np.bincount(truth, weights, minlength=classes) + 1.0) / (len(truth) + classes)
    plain = {"order": order, "base": base.tolist(), "slopes": None, "penalty": None, "matrix": None}
    priors = [{"prior": prior, **plain} for prior in ("mean", "best")]
    sloped = [_with_slopes(prior, inputs, truth, weights) for prior in priors]
    better = min(sloped, key=lambda fit: weights @ _nll(fit, inputs, truth))
    return [*priors, better, *_with_matrix(better, inputs, truth, weights)]


def ranks() -> Sequence[int]:
    """How flexible each candidate of the path is."""
    return [0, 0, *range(1, len(PENALTIES) + 2)]


def loss(parameters: Parameters, inputs: Inputs, rows: Rows) -> np.ndarray:
    """[N]: -log p of the true class, nats."""
    return _nll(parameters, inputs, rows.truth.astype(np.int64))


def predict(parameters: Parameters, inputs: Inputs) -> np.ndarray:
    """[N, K] probabilities; NaN for rows without any source."""
    found = np.ascontiguousarray(softmax(scores(parameters, inputs)).T)
    found[~inputs.known] = np.nan
    return found


def scores(parameters: Parameters, inputs: Inputs) -> np.ndarray:
    """[K, N], up to a constant of each row."""
    prior, directions = _starts(parameters, inputs)
    if parameters["slopes"] is None:
        return prior
    for name, direction in directions.items():
        prior = prior + parameters["slopes"][name] * direction
    matrix = parameters["matrix"]
    if matrix is None:
        return prior
    return prior + linear(scaled(_columns(inputs), matrix["scaling"]), np.array(matrix["coefficients"]))


def _nll(parameters: Parameters, inputs: Inputs, truth: np.ndarray) -> np.ndarray:
    found = scores(parameters, inputs)
    found = found - found.max(axis=0)
    return np.log(total(np.exp(found))) - found[truth, np.arange(len(truth))]


def _starts(parameters: Parameters, inputs: Inputs) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """[K, N] log-probabilities of the prior, and the directions that slopes go along, by name ("" is the prior's)."""
    of = inputs.panel
    equal = parameters["prior"] == "mean"
    found = mixed(of, shares(of.known, np.ones(len(of.names)))) if equal else first_known(of, parameters["order"])[0]
    silent = ~of.known.any(axis=0)
    found[silent] = parameters["base"]
    prior = logits(found)
    directions = {name: np.nan_to_num(columns) for name, columns in _log_ratios(inputs).items()}
    if equal and len(of.names) > 1:
        directions[""] = prior - total(prior) / len(prior)
    return prior, directions


def _log_ratios(inputs: Inputs) -> dict[str, np.ndarray]:
    """[K, N] log-probabilities of each source less their mean over classes, NaN where it is missing."""
    found = {}
    for name, values, known in zip(inputs.panel.names, inputs.panel.values, inputs.panel.known, strict=True):
        logs = logits(values)
        found[name] = np.where(known, logs - total(logs) / len(logs), np.nan)
    return found


def _columns(inputs: Inputs) -> dict[str, np.ndarray]:
    return {**_log_ratios(inputs), **inputs.tables}


def _with_slopes(parameters: Parameters, inputs: Inputs, truth: np.ndarray, weights: np.ndarray) -> Parameters:
    """At the least summed NLL + pull / 2 |slopes|^2, which is strictly convex: Newton's method."""
    prior, directions = _starts(parameters, inputs)
    along = np.array(list(directions.values()))
    at = np.arange(len(truth))
    of_truth = along[:, truth, at]

    def value(slopes: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        found = prior + np.tensordot(slopes, along, 1)
        found -= found.max(axis=0)
        shares = np.exp(found)
        mass = shares.sum(axis=0)
        expected = along * (shares / mass)
        means = expected.sum(axis=1)
        sharp = np.tensordot(expected * weights, along, ((1, 2), (1, 2))) - (means * weights) @ means.T
        gradient = (means - of_truth) @ weights + PULL * slopes
        summed = float(weights @ (np.log(mass) - found[truth, at]) + PULL / 2 * slopes @ slopes)
        return summed, gradient, sharp + PULL * np.eye(len(slopes))

    slopes = minimise(value, np.zeros(len(along)), len(truth))
    return {**parameters, "slopes": dict(zip(directions, slopes.tolist(), strict=True))}


def _with_matrix(parameters: Parameters, inputs: Inputs, truth: np.ndarray, weights: np.ndarray) -> list[Parameters]:
    """At the least mean NLL + penalty / 2 |matrix|^2, for each penalty from where the last one ended."""
    from scipy.optimize import minimize

    offset, columns = scores(parameters, inputs), _columns(inputs)
    scaling = fit_scaling(columns, alike=inputs.panel.names)
    axes, features = _spanned(scaled(columns, scaling))
    shape = len(features), len(offset)
    one_hot = np.equal(np.arange(len(offset))[:, None], truth).astype(float)
    each = weights / len(truth)

    def value(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        matrix = flat.reshape(shape)
        found = matrix.T @ features
        found += offset
        found -= found.max(axis=0)
        of_truth = (found * one_hot).sum(axis=0)
        np.exp(found, out=found)
        mass = found.sum(axis=0)
        found /= mass
        found -= one_hot
        found *= each
        gradient = features @ found.T + penalty * matrix
        return float(each @ (np.log(mass) - of_truth) + penalty / 2 * (flat @ flat)), gradient.ravel()

    flat, fits = np.zeros(shape[0] * shape[1]), []
    for penalty in PENALTIES:
        options = {"maxiter": STEPS, "gtol": SLOPE, "ftol": 1e-10}
        flat = minimize(value, flat, args=(penalty,), jac=True, method="L-BFGS-B", options=options).x
        matrix = {"scaling": scaling, "coefficients": (axes @ flat.reshape(shape)).tolist()}
        fits.append({**parameters, "penalty": penalty, "matrix": matrix})
    return fits


def _spanned(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal axes [P, R] and the features [R, N] along them: with more columns than rows, only the N dimensions
    that the rows span, as an L2 penalty does not see a rotation."""
    columns, rows = features.shape
    if columns <= rows:
        return np.eye(columns), features
    axes, sizes, along = np.linalg.svd(features, full_matrices=False)
    return axes, sizes[:, None] * along
