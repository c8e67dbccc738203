"""The penalised losses of vector scaling and beta calibration, and their minima."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from affectkit.evaluation.temperature import softmax, total

# --- Newton's method for smooth, strictly convex losses of few parameters


Loss = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]
STEPS = 200
HALVINGS = 40
ENOUGH = 1e-4  # the share of the decrease that the slope promises with which a step is taken (Armijo)
DONE = 1e-12  # Newton's decrement per row: what a further step could still win, in nats


def minimise(loss: Loss, start: np.ndarray, rows: int) -> np.ndarray:
    """The parameters [P] at which `loss`, parameters -> (value, gradient [P], Hessian [P, P]), is least.

    rows: how many the loss sums up. Steps are halved until the loss falls; convexity makes what is found the minimum.
    """
    at = np.array(start, float)
    value, gradient, hessian = loss(at)
    for _ in range(STEPS):
        step = -np.linalg.solve(hessian, gradient)
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


def fit_vector(scores: np.ndarray, truth: np.ndarray, pull: float) -> tuple[np.ndarray, np.ndarray]:
    """[K] scales and [K] biases of logits [K, N] at the least summed NLL plus pull / 2 times their squared distance to
    1 and 0."""
    classes, rows = scores.shape
    hit = np.zeros_like(scores)
    hit[truth, np.arange(rows)] = 1.0
    centre = np.concatenate([np.ones(classes), np.zeros(classes)])

    def loss(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        z = scores * at[:classes, None] + at[classes:, None]
        highest, of_truth = z.max(axis=0), (z * hit).sum(axis=0)
        value = (highest + np.log(total(np.exp(z - highest))) - of_truth).sum()
        p = softmax(z)
        error = p - hit
        by_scale = p * scores
        spread = np.concatenate([by_scale, p])
        hessian = -spread @ spread.T  # plus, within a class, what a softmax has on its diagonal
        k = np.arange(classes)
        hessian[k, k] += (by_scale * scores).sum(axis=1)
        hessian[k, k + classes] += by_scale.sum(axis=1)
        hessian[k + classes, k] += by_scale.sum(axis=1)
        hessian[k + classes, k + classes] += p.sum(axis=1)
        gradient = np.concatenate([(error * scores).sum(axis=1), error.sum(axis=1)])
        return penalised(value, gradient, hessian, at - centre, pull)

    scale, bias = np.split(minimise(loss, centre, rows), 2)
    return scale, bias


def fit_beta(features: np.ndarray, hit: np.ndarray, pull: float) -> np.ndarray:
    """[3]: a, b >= 0 and c of sigmoid(a x1 + b x2 + c) at the least summed NLL plus pull / 2 times the squared distance
    to (1, 1, 0). features: [2, N]; hit: [N] 0.0 or 1.0.

    The loss is convex: where the free minimum has a negative a or b, the least one lies where one or both are 0.
    """
    design = np.concatenate([features, np.ones((1, len(hit)))])
    centre = np.array([1.0, 1.0, 0.0])
    best, least = centre, np.inf
    for free in ([0, 1, 2], [0, 2], [1, 2], [2]):
        at = np.zeros(3)
        at[free] = minimise(_logistic(design[free], hit, centre[free], pull), centre[free], len(hit))
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
        p = np.exp(-np.logaddexp(0.0, -z))
        value = (np.logaddexp(0.0, z) - hit * z).sum()
        return penalised(value, design @ (p - hit), (design * (p * (1 - p))) @ design.T, at - centre, pull)

    return loss


def penalised(
    value: float, gradient: np.ndarray, hessian: np.ndarray, away: np.ndarray, pull: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """A loss, its gradient and Hessian with pull / 2 |away|^2 added."""
    value = float(value) + pull / 2 * float(away @ away)
    return value, gradient + pull * away, hessian + pull * np.eye(len(away))
