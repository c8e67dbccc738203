"""The penalised losses of vector scaling and beta calibration, and their minima."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.evaluation.temperature import MANY, chunks_of, total

# --- Newton's method for smooth, strictly convex losses of few parameters


Loss = Callable[[np.ndarray], tuple[float, np.ndarray, Any]]
STEPS = 200
HALVINGS = 40
ENOUGH = 1e-4  # the share of the decrease that the slope promises with which a step is taken (Armijo)
DONE = 1e-12  # Newton's decrement per row: what a further step could still win, in nats


def minimise(loss: Loss, start: np.ndarray, rows: int, solve: Callable = np.linalg.solve) -> np.ndarray:
    """The parameters [P] at which `loss`, parameters -> (value, gradient [P], Hessian [P, P]), is least.

    rows: how many the loss sums up. solve: Hessian and gradient -> Newton's step. Steps are halved until the loss
    falls; convexity makes what is found the minimum.
    """
    at = np.array(start, float)
    value, gradient, hessian = loss(at)
    for _ in range(STEPS):
        step = -solve(hessian, gradient)
        promised = float(gradient @ step)
        if -promised <= DONE * max(rows, 1):
            return at
        size = 1.0
        for _ in range(HALVINGS):
            there = loss(at + size * step)
            if there[0] <= value + ENOUGH * size * promised:
                break
            size /= 2
        else:
            return at  # nothing is left that float64 can show
        at = at + size * step
        value, gradient, hessian = there
    return at


DENSE = 64  # classes up to which the Hessian is summed up; beyond, it is multiplied with, which costs N K and not N K^2
SOME = 8  # of many rows, sorted, every eighth gives the start


@dataclass(frozen=True)
class VectorHessian:
    """The Hessian of vector scaling's loss: what a softmax has within a class, less a product of what it has of rows.

    within: [3, K], of two scales, a scale and a bias, two biases. spread: [2 K, n] of chunks of rows, p z and p.
    """

    within: np.ndarray
    spread: list[np.ndarray]
    pull: float

    def dense(self) -> np.ndarray:
        """[2 K, 2 K]"""
        scales, mixed, biases = map(np.diag, self.within)
        inside = np.block([[scales, mixed], [mixed, biases]])
        return inside - sum(part @ part.T for part in self.spread) + self.pull * np.eye(len(inside))

    def times(self, v: np.ndarray) -> np.ndarray:
        scales, mixed, biases = self.within
        by_scale, by_bias = np.split(v, 2)
        inside = np.concatenate([scales * by_scale + mixed * by_bias, mixed * by_scale + biases * by_bias])
        return inside - sum(part @ (v @ part) for part in self.spread) + self.pull * v

    def solved_within(self, v: np.ndarray) -> np.ndarray:
        """What comes near the inverse times v: that of `within`, which is most of it where classes are many."""
        scales, mixed, biases = self.within + self.pull * np.array([[1.0], [0.0], [1.0]])
        by_scale, by_bias = np.split(v, 2)
        inverse = np.concatenate([biases * by_scale - mixed * by_bias, scales * by_bias - mixed * by_scale])
        return inverse / np.tile(scales * biases - mixed**2, 2)


def _conjugate_gradients(hessian: VectorHessian, gradient: np.ndarray) -> np.ndarray:
    from scipy.sparse.linalg import LinearOperator, cg

    square = (len(gradient), len(gradient))
    times = LinearOperator(square, hessian.times, dtype=float)
    return cg(times, gradient, rtol=1e-4, M=LinearOperator(square, hessian.solved_within, dtype=float))[0]


def fit_vector(scores: np.ndarray, truth: np.ndarray, pull: float) -> tuple[np.ndarray, np.ndarray]:
    """[K] scales and [K] biases of logits [K, N] at the least summed NLL plus pull / 2 times their squared distance to
    1 and 0."""
    classes, rows = scores.shape
    chunks = chunks_of(rows, classes)
    start = centre = np.concatenate([np.ones(classes), np.zeros(classes)])
    if rows >= MANY:  # with a part of the pull, as of the rows
        start = np.concatenate(fit_vector(np.ascontiguousarray(scores[:, ::SOME]), truth[::SOME], pull / SOME))

    def loss(at: np.ndarray) -> tuple[float, np.ndarray, VectorHessian | np.ndarray]:
        parts = [_vector_loss(scores[:, chunk], truth[chunk], at) for chunk in chunks]
        values, gradients, within, spread = zip(*parts, strict=True)
        away = at - centre
        value = float(sum(values)) + pull / 2 * float(away @ away)
        hessian = VectorHessian(np.sum(within, axis=0), list(spread), pull)
        return value, sum(gradients) + pull * away, hessian.dense() if classes <= DENSE else hessian

    solve = np.linalg.solve if classes <= DENSE else _conjugate_gradients
    scale, bias = np.split(minimise(loss, start, rows, solve), 2)
    return scale, bias


def _vector_loss(
    scores: np.ndarray, truth: np.ndarray, at: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Of some rows: the summed NLL, its gradient [2 K], and the two parts of a `VectorHessian`."""
    scale, bias = np.split(at[:, None], 2)
    z = scores * scale + bias
    highest, each = z.max(axis=0), np.arange(len(truth))
    of_truth = z[truth, each]
    p = np.exp(z - highest)
    mass = total(p)
    value = (highest + np.log(mass) - of_truth).sum()
    p /= mass
    by_scale = p * scores
    within = np.stack([(by_scale * scores).sum(axis=1), by_scale.sum(axis=1), p.sum(axis=1)])
    spread = np.concatenate([by_scale, p])
    p[truth, each] -= 1
    return value, np.concatenate([(p * scores).sum(axis=1), p.sum(axis=1)]), within, spread


def fit_beta(features: np.ndarray, hit: np.ndarray, pull: float) -> np.ndarray:
    """[3]: a, b >= 0 and c of sigmoid(a x1 + b x2 + c) at the least summed NLL plus pull / 2 times the squared distance
    to (1, 1, 0). features: [2, N]; hit: [N] 0.0 or 1.0.

    The loss is convex: where the free minimum has a negative a or b, the least one lies where one or both are 0.
    """
    design = np.concatenate([features, np.ones((1, len(hit)))])
    centre = np.array([1.0, 1.0, 0.0])
    start, best, least = centre, centre, np.inf
    if len(hit) >= MANY:  # with a part of the pull, as of the rows
        start = fit_beta(np.ascontiguousarray(features[:, ::SOME]), hit[::SOME], pull / SOME)
    for free in ([0, 1, 2], [0, 2], [1, 2], [2]):
        at = np.zeros(3)
        at[free] = minimise(_logistic(design[free], hit, centre[free], pull), start[free], len(hit))
        if (at[:2] < 0).any():
            continue
        value = _logistic(design, hit, centre, pull)(at)[0]
        if value < least:
            best, least = at, value
        if len(free) == 3:
            break
    return best


def _logistic(design: np.ndarray, hit: np.ndarray, centre: np.ndarray, pull: float) -> Loss:
    """The penalised loss of logistic regression on columns [P, N]."""

    def loss(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        z = at @ design
        away_from_half = np.exp(-np.abs(z))
        p = np.where(z < 0, away_from_half, 1.0) / (1 + away_from_half)
        value = (np.maximum(z, 0.0) + np.log1p(away_from_half) - hit * z).sum()
        return penalised(value, design @ (p - hit), (design * (p * (1 - p))) @ design.T, at - centre, pull)

    return loss


def penalised(
    value: float, gradient: np.ndarray, hessian: np.ndarray, away: np.ndarray, pull: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """A loss, its gradient and Hessian with pull / 2 |away|^2 added."""
    value = float(value) + pull / 2 * float(away @ away)
    return value, gradient + pull * away, hessian + pull * np.eye(len(away))
