"""Variances that mean what they say: a + b * var, fitted to squared residuals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from affectkit.calibration.methods._probabilities import SMALLEST_VARIANCE, order

NO_VARIANCE = 1e-100  # variances that are smaller on average say nothing, as those of 0
GRID = 33  # points of the first look at the share of `b`; the loss can have two dips, and the lower one is wanted


def fit_variance(residual: np.ndarray, var: np.ndarray) -> tuple[float, float]:
    """a, b >= 0 at the least Gaussian NLL of residuals [N] around 0 under a + b var; b is 0 unless it earns its place.
    The order of rows changes nothing. Without rows `a` is NaN.

    With w = 1 - t + t var / mean(var), the best s of s w is mean(residual^2 / w), so that one search over the share t
    in [0, 1] finds both. b is kept where it lowers the summed NLL by more than ln(N) / 2 (Schwarz 1978): the variances
    of a few passes say little, and a slope fitted to chance would weigh rows by it.

    A plain ratio, mean(residual^2 / var), is unusable here: with 5 passes residual / sd is t-distributed with 4 degrees
    of freedom, and its square has no variance.
    """
    sort = order(residual, var)
    squared, var = residual[sort] ** 2, var[sort]
    overall = float(var.mean()) if len(var) else 0.0
    if not squared.any() or overall <= NO_VARIANCE:
        return float(squared.mean()) if len(squared) else math.nan, 0.0
    relative = var / overall

    def weights(t: float) -> np.ndarray:
        return np.maximum(1 - t + t * relative, SMALLEST_VARIANCE / overall)

    def loss(t: float) -> float:
        w = weights(t)
        return float(np.log(w).mean()) + math.log(float((squared / w).mean()))

    t = _least(loss)
    if len(squared) * (loss(0.0) - loss(t)) <= math.log(len(squared)):
        t = 0.0
    s = float((squared / weights(t)).mean())
    return s * (1 - t), s * t / overall


def _least(loss: Callable[[float], float]) -> float:
    """Where in [0, 1] a smooth loss is least: the best of a grid, then Brent's method around it."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(0, 1, GRID)
    values = [loss(float(t)) for t in grid]
    best = int(np.argmin(values))
    around = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    minimum = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-10})
    return float(minimum.x) if minimum.fun < values[best] else float(grid[best])
