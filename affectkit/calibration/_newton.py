"""Newton's method for smooth, strictly convex losses of few parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
