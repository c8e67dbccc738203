"""Stacking: inputs as columns, candidates from simple to flexible for classes and for numbers, and their choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.calibration.methods._probabilities import with_unseen
from affectkit.calibration.methods._scaling import minimise
from affectkit.evaluation.temperature import logits, softmax, total
from affectkit.fusion.ensemble import Ensemble, check_names, first_known, in_order, ranking, scorer
from affectkit.fusion.rule import Sources, SourceTable
from affectkit.labels import class_weights
from affectkit.splits import grouped_folds, random_folds

CONSTANT = 1e-12  # a column that varies less has no say: its coefficient is 0
Parameters = dict[str, Any]


# --- What is stacked: sources of predictions, and tables


@dataclass(frozen=True)
class StackInputs:
    """ensemble: the sources of predictions. tables: name -> [D, N] columns, NaN where missing; sorted by name.
    columns: their names, by table."""

    ensemble: Ensemble
    tables: Mapping[str, np.ndarray]
    columns: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, sources: Sources, rule: str) -> StackInputs:
        outputs = {name: source for name, source in sources.items() if isinstance(source, TargetPrediction)}
        tables = {name: source for name, source in sorted(sources.items()) if isinstance(source, SourceTable)}
        cells = {name: np.asarray(table.values, float).T for name, table in tables.items()}
        finite = {name: np.where(np.isfinite(values), values, np.nan) for name, values in cells.items()}
        return cls(Ensemble.of(outputs, rule), finite, {name: table.names for name, table in tables.items()})

    @property
    def number(self) -> bool:
        return self.ensemble.target.kind == "number"

    @property
    def known(self) -> np.ndarray:
        """[N] bool: rows that have any source."""
        return np.any([*self.ensemble.known, *(~np.isnan(cells).all(axis=0) for cells in self.tables.values())], axis=0)

    def take(self, rows: np.ndarray) -> StackInputs:
        tables = {name: cells[:, rows] for name, cells in self.tables.items()}
        return replace(self, ensemble=self.ensemble.take(rows), tables=tables)

    def in_order(self, rows: GroundTruth) -> tuple[StackInputs, GroundTruth]:
        """Rows that have a source, in the order of what is in them. Raises "input" without any."""
        cells = [column for table in self.tables.values() for column in table]
        at = in_order(rows, self.known, [*self.ensemble.key_columns(), *cells])
        return self.take(at), rows.take(at)


def fit_scaling(columns: Mapping[str, np.ndarray], alike: Iterable[str]) -> dict[str, Parameters]:
    """`center` and `scale` [D] of each source's columns [D, N], from what is known.

    The columns of a source in `alike` (the log-probabilities of classes) share one scale; those of another have their
    own, larger by sqrt(D), so that a table of 88 columns weighs as one source and not as 88.
    """
    scaling = {}
    for name, cells in columns.items():
        known = ~np.isnan(cells)
        count = np.maximum(known.sum(axis=1), 1)
        center = np.where(known, cells, 0.0).sum(axis=1) / count
        square = np.where(known, (cells - center[:, None]) ** 2, 0.0).sum(axis=1) / count
        scale = np.full(len(cells), square.mean() ** 0.5) if name in alike else (square * len(cells)) ** 0.5
        scaling[name] = {"center": center.tolist(), "scale": np.where(scale > CONSTANT, scale, 1.0).tolist()}
    return scaling


def scaled(columns: Mapping[str, np.ndarray], scaling: Mapping[str, Parameters]) -> np.ndarray:
    """[P, N]: all columns centred and scaled, 0 where missing; then for each source whether it is; then ones."""
    check_names(columns, scaling)
    features = []
    for name, cells in columns.items():
        center = checked("center", scaling[name]["center"], [len(cells)])
        scale = checked("scale", scaling[name]["scale"], [len(cells)], low=CONSTANT)
        features.append(np.nan_to_num((cells - center[:, None]) / scale[:, None]))
    missing = [np.isnan(cells).all(axis=0, keepdims=True).astype(float) for cells in columns.values()]
    size = next(iter(columns.values())).shape[1]
    return np.concatenate([*features, *missing, np.ones((1, size))])


def linear(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[C, N] of features [P, N] and weights [P, C], a feature after the other: a matrix product rounds a row's answer
    otherwise alone than among others."""
    scores = np.zeros((weights.shape[1], features.shape[1]))
    for feature, weight in zip(features, weights, strict=True):
        scores += weight[:, None] * feature
    return scores


# --- The candidate that the rows support: the simplest that they cannot tell from the best, on folds within them


FOLDS = 5


def inner_folds(rows: GroundTruth, labels: np.ndarray) -> np.ndarray:
    """[N] int folds of whole groups; of rows, where there is one group, or one to each row."""
    groups = np.asarray(rows.groups, str)
    if 1 < len(np.unique(groups)) < len(groups):
        return grouped_folds(groups, labels, FOLDS, 0)
    return random_folds(labels, len(labels), min(FOLDS, len(labels)), 0)


def choose(losses: Sequence[np.ndarray], ranks: Sequence[int]) -> int:
    """The simplest candidate whose held-out loss the rows can't tell from the least (Breiman et al. 1984, 1-SE rule).

    losses: [N] of each candidate. ranks: how flexible it is; of equals, the one with less loss.
    """
    means = [float(loss.mean()) for loss in losses]
    least = int(np.argmin(means))
    chance = [float((loss - losses[least]).std()) / len(loss) ** 0.5 for loss in losses]
    close = [i for i, mean in enumerate(means) if mean - means[least] <= chance[i]]
    return min(close, key=lambda i: (ranks[i], means[i]))


def held_out(
    inputs: StackInputs,
    rows: GroundTruth,
    folds: np.ndarray,
    path: Callable[[StackInputs, GroundTruth], list[Parameters]],
    loss: Callable[[Parameters, StackInputs, GroundTruth], np.ndarray],
) -> list[np.ndarray]:
    """[N] losses of each candidate of a path, every row's from fits on the other folds."""
    losses: list[np.ndarray] = []
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fits = path(inputs.take(inside), rows.take(inside))
        losses = losses or [np.empty(len(folds)) for _ in fits]
        for values, fit in zip(losses, fits, strict=True):
            values[outside] = loss(fit, inputs.take(outside), rows.take(outside))
    return losses


# --- What is changed: equal weights, or the best source


def fit_priors(inputs: StackInputs, rows: GroundTruth, balanced: bool) -> list[Parameters]:
    """Equal weights and the best source: `prior`, `order` of the sources from the best, and `base`, the answer of a row
    that has tables only: how frequent classes are (alike, if balanced), or the mean truth."""
    judge = scorer("mse" if inputs.number else "nll", inputs.ensemble.target, rows.truth)
    order = [name for name, _ in ranking(inputs.ensemble, judge)]
    if inputs.number:
        base: Any = float(rows.truth.mean())
    else:
        codes, classes = rows.truth.astype(np.int64), inputs.ensemble.values.shape[2]
        counts = np.bincount(codes, row_weights(rows.truth, balanced), minlength=classes)
        base = ((counts + 1.0) / (len(codes) + classes)).tolist()
    return [{"prior": prior, "order": order, "base": base} for prior in ("mean", "best")]


def row_weights(truth: np.ndarray, balanced: bool) -> np.ndarray:
    """[N], mean 1: n / (k * count of the row's class) over the k classes that occur, or ones."""
    if not balanced:
        return np.ones(len(truth))
    codes = truth.astype(np.int64)
    return class_weights(np.bincount(codes))[codes]


def prior_answers(parameters: Parameters, inputs: StackInputs) -> np.ndarray:
    """[N, C] answers of equal weights or of the best source that a row has; `base` for rows with tables only."""
    ensemble = inputs.ensemble
    if parameters["prior"] == "mean":
        answers = ensemble.mean(np.ones(len(ensemble.names)))
    else:
        answers = first_known(ensemble, parameters["order"])[0]
    answers[~ensemble.known.any(axis=0)] = parameters["base"]
    return answers


def unseen_classes(inputs: StackInputs, rows: GroundTruth) -> Parameters:
    """`unseen`: the indices of the classes that no fit row has; nothing where there are none, and of numbers."""
    seen = np.unique(rows.truth)
    unseen = [] if inputs.number else [k for k in range(inputs.ensemble.values.shape[2]) if k not in seen]
    return {"unseen": unseen} if unseen else {}


def keep_unseen(parameters: Parameters, inputs: StackInputs, answers: np.ndarray) -> np.ndarray:
    """[N, K] answers in which the classes that no fit row had keep what the prior says of them (`with_unseen`)."""
    classes = answers.shape[1]
    unseen = checked("unseen", parameters.get("unseen", []), [None], low=0, high=classes - 1)
    seen = ~np.isin(np.arange(classes), unseen)
    if seen.all():
        return answers
    kept = with_unseen(answers, prior_answers(parameters, inputs), seen)
    return np.where(np.isnan(answers), answers, kept)


# --- Numbers: a ridge regression of what a simpler rule leaves over


RIDGE_PENALTIES = (1e4, 1e3, 1e2, 1e1, 1.0)  # against the sum over rows, columns standardised


class NumberStack:
    balanced = False  # there are no classes
    ranks = (0, 0, *range(1, len(RIDGE_PENALTIES) + 1))  # how flexible each candidate of the path is

    def path(self, inputs: StackInputs, rows: GroundTruth) -> list[Parameters]:
        """The candidates: equal weights, the best source, and a ridge on the better of them under falling penalties."""
        priors = [{**prior, "penalty": None, "ridge": None} for prior in fit_priors(inputs, rows, False)]
        better = min(priors, key=lambda prior: self.loss(prior, inputs, rows).mean())
        return [*priors, *self._ridges(better, inputs, rows.truth)]

    def loss(self, parameters: Parameters, inputs: StackInputs, rows: GroundTruth) -> np.ndarray:
        """[N] squared errors."""
        return (self.predict(parameters, inputs)[:, 0] - rows.truth) ** 2

    def predict(self, parameters: Parameters, inputs: StackInputs) -> np.ndarray:
        """[N, 1] numbers, held to the target's scale; NaN for rows without any source."""
        numbers = prior_answers(parameters, inputs)
        ridge = parameters["ridge"]
        if ridge is not None:
            features = scaled(_number_columns(inputs), ridge["scaling"])
            coefficients = checked("coefficients", ridge["coefficients"], [len(features)])
            numbers = numbers + linear(features, coefficients[:, None]).T
        if inputs.ensemble.target.scale:
            numbers = np.clip(numbers, *inputs.ensemble.target.scale)
        numbers[~inputs.known] = np.nan
        return numbers

    def _ridges(self, parameters: Parameters, inputs: StackInputs, truth: np.ndarray) -> list[Parameters]:
        """At the least sum of squares + penalty |coefficients|^2, from one decomposition for all penalties."""
        columns = _number_columns(inputs)
        scaling = fit_scaling(columns, alike=())
        left = truth - self.predict(parameters, inputs)[:, 0]
        axes, sizes, scores = np.linalg.svd(scaled(columns, scaling), full_matrices=False)
        along = sizes * (scores @ left)
        coefficients = [(axes @ (along / (sizes**2 + penalty))).tolist() for penalty in RIDGE_PENALTIES]
        ridges = [{"scaling": scaling, "coefficients": each} for each in coefficients]
        return [{**parameters, "penalty": p, "ridge": ridge} for p, ridge in zip(RIDGE_PENALTIES, ridges, strict=True)]


def _number_columns(inputs: StackInputs) -> dict[str, np.ndarray]:
    sources = zip(inputs.ensemble.names, inputs.ensemble.values, inputs.ensemble.known, strict=True)
    return {**{name: np.where(k, v[:, 0], np.nan)[None] for name, v, k in sources}, **inputs.tables}


# --- Classes: a multinomial logistic model that starts from a simpler rule
#
# scores = log prior + sum over sources of slope * log p + matrix @ standardised columns; each part is drawn to 0, so
# that less data means less change: to slopes only (how sharp each source is, and how much it adds), or to the prior
# itself.


PULL = 1.0  # of slopes: a normal prior of standard deviation 1 around no change
MATRIX_PENALTIES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # per row
STEPS = 100
SLOPE = 1e-4  # the largest derivative of a row's mean loss at which a search ends


@dataclass(frozen=True)
class ClassStack:
    """balanced: whether classes count alike in the loss, and not as their rows do."""

    balanced: bool
    ranks = (0, 0, *range(1, len(MATRIX_PENALTIES) + 2))  # how flexible each candidate of the path is

    def path(self, inputs: StackInputs, rows: GroundTruth) -> list[Parameters]:
        """The candidates: equal weights, the best source, slopes, and a matrix under falling penalties."""
        truth = rows.truth.astype(np.int64)
        weights = row_weights(rows.truth, self.balanced)
        nothing = {"slopes": None, "penalty": None, "matrix": None}
        priors = [{**prior, **nothing} for prior in fit_priors(inputs, rows, self.balanced)]
        sloped = [_with_slopes(prior, inputs, truth, weights) for prior in priors]
        better = min(sloped, key=lambda fit: weights @ self.loss(fit, inputs, rows))
        return [*priors, better, *_with_matrix(better, inputs, truth, weights)]

    def loss(self, parameters: Parameters, inputs: StackInputs, rows: GroundTruth) -> np.ndarray:
        """[N]: -log p of the true class, nats."""
        scores = class_scores(parameters, inputs)
        scores = scores - scores.max(axis=0)
        return np.log(total(np.exp(scores))) - scores[rows.truth.astype(np.int64), np.arange(len(rows))]

    def predict(self, parameters: Parameters, inputs: StackInputs) -> np.ndarray:
        """[N, K] probabilities; NaN for rows without any source."""
        probabilities = np.ascontiguousarray(softmax(class_scores(parameters, inputs)).T)
        probabilities[~inputs.known] = np.nan
        return keep_unseen(parameters, inputs, probabilities)


def class_scores(parameters: Parameters, inputs: StackInputs) -> np.ndarray:
    """[K, N], up to a constant of each row."""
    scores, directions = _starts(parameters, inputs)
    if parameters["slopes"] is None:
        return scores
    for name, direction in directions.items():
        scores = scores + parameters["slopes"][name] * direction
    matrix = parameters["matrix"]
    if matrix is None:
        return scores
    columns = {**_log_ratios(inputs), **inputs.tables}
    features = scaled(columns, matrix["scaling"])
    return scores + linear(features, checked("coefficients", matrix["coefficients"], [len(features), len(scores)]))


def _starts(parameters: Parameters, inputs: StackInputs) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """[K, N] log-probabilities of the prior, and the directions that slopes go along, by name ("" is the prior's)."""
    prior = logits(prior_answers(parameters, inputs))
    directions = {name: np.nan_to_num(columns) for name, columns in _log_ratios(inputs).items()}
    if parameters["prior"] == "mean" and len(inputs.ensemble.names) > 1:
        directions[""] = prior - total(prior) / len(prior)
    return prior, directions


def _log_ratios(inputs: StackInputs) -> dict[str, np.ndarray]:
    """[K, N] log-probabilities of each source less their mean over classes, NaN where it is missing."""
    ratios = {}
    for name, values, known in zip(inputs.ensemble.names, inputs.ensemble.values, inputs.ensemble.known, strict=True):
        logs = logits(values)
        ratios[name] = np.where(known, logs - total(logs) / len(logs), np.nan)
    return ratios


def _with_slopes(parameters: Parameters, inputs: StackInputs, truth: np.ndarray, weights: np.ndarray) -> Parameters:
    """At the least summed NLL + pull / 2 |slopes|^2, which is strictly convex: Newton's method."""
    prior, directions = _starts(parameters, inputs)
    along = np.array(list(directions.values()))
    at = np.arange(len(truth))
    of_truth = along[:, truth, at]

    def value(slopes: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        scores = prior + np.tensordot(slopes, along, 1)
        scores -= scores.max(axis=0)
        shares = np.exp(scores)
        mass = shares.sum(axis=0)
        expected = along * (shares / mass)
        means = expected.sum(axis=1)
        sharp = np.tensordot(expected * weights, along, ((1, 2), (1, 2))) - (means * weights) @ means.T
        gradient = (means - of_truth) @ weights + PULL * slopes
        summed = float(weights @ (np.log(mass) - scores[truth, at]) + PULL / 2 * slopes @ slopes)
        return summed, gradient, sharp + PULL * np.eye(len(slopes))

    slopes = minimise(value, np.zeros(len(along)), len(truth))
    return {**parameters, "slopes": dict(zip(directions, slopes.tolist(), strict=True))}


def _with_matrix(
    parameters: Parameters, inputs: StackInputs, truth: np.ndarray, weights: np.ndarray
) -> list[Parameters]:
    """At the least mean NLL + penalty / 2 |matrix|^2, for each penalty from where the last one ended."""
    from scipy.optimize import minimize

    offset, columns = class_scores(parameters, inputs), {**_log_ratios(inputs), **inputs.tables}
    scaling = fit_scaling(columns, alike=inputs.ensemble.names)
    axes, features = _spanned(scaled(columns, scaling))
    shape = len(features), len(offset)
    one_hot = np.equal(np.arange(len(offset))[:, None], truth).astype(float)
    each = weights / len(truth)

    def value(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        matrix = flat.reshape(shape)
        scores = matrix.T @ features
        scores += offset
        scores -= scores.max(axis=0)
        of_truth = (scores * one_hot).sum(axis=0)
        shares = np.exp(scores, out=scores)
        mass = shares.sum(axis=0)
        shares /= mass
        error = np.subtract(shares, one_hot, out=shares)
        error *= each
        gradient = features @ error.T + penalty * matrix
        return float(each @ (np.log(mass) - of_truth) + penalty / 2 * (flat @ flat)), gradient.ravel()

    flat, fits = np.zeros(shape[0] * shape[1]), []
    for penalty in MATRIX_PENALTIES:
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
