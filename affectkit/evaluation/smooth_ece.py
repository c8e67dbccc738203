"""Smooth calibration error: no bins, and so nothing to choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.fft import dct
from scipy.optimize import brentq

from affectkit.evaluation.calibration_error import top_label
from affectkit.evaluation.probability_metrics import known_rows

GRID = 2048  # intervals of [0, 1]; widths below 1/2048 are not told apart


def smece(truth: Any, probabilities: Any, *, classes: Sequence[Any] | None = None) -> float:
    """Top-label smooth ECE (Błasiok and Nakkiran 2023), in [0, 1]; truth and probabilities as for `ece`.

    The residuals (right - confidence) are smoothed along the confidence by a Gaussian of width s, reflected at 0 and 1;
    smECE_s is the integral of the smoothed residual's absolute value, and smECE the one s with smECE_s = s.

    >>> round(smece([0, 1], [[0.9, 0.1], [0.9, 0.1]]), 6)
    0.4
    """
    confidence, right = top_label(*known_rows(truth, probabilities, classes))
    return smooth_error(confidence, right - confidence) if len(confidence) else np.nan


def smooth_error(position: np.ndarray, residual: np.ndarray) -> float:
    """The fixed point of `smoothed_gap`, for positions [N] in [0, 1] and residuals [N]."""
    spectrum = _spectrum(np.clip(position, 0.0, 1.0), residual)

    def excess(width: float) -> float:
        return smoothed_gap(spectrum, width) - width

    if excess(1 / GRID) <= 0:
        return smoothed_gap(spectrum, 1 / GRID)
    return 1.0 if excess(1.0) >= 0 else float(brentq(excess, 1 / GRID, 1.0, xtol=1e-12))


def smoothed_gap(spectrum: np.ndarray, width: float) -> float:
    """Integral over [0, 1] of |residual smoothed by a reflected Gaussian|: in cosines that kernel is diagonal."""
    wave = np.arange(GRID + 1, dtype=float)
    smooth = dct(spectrum * np.exp(-0.5 * (np.pi * wave * width) ** 2), type=1)
    return float(np.trapezoid(np.abs(smooth), dx=1 / GRID))


def _spectrum(position: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Mean of residual * cos(pi k position), k = 0..GRID; each row is shared by the two grid points nearest to it."""
    place = position * GRID
    left = np.minimum(place.astype(np.int64), GRID - 1)
    share = place - left
    mass = np.zeros(GRID + 1)
    mass += np.bincount(left, weights=residual * (1 - share), minlength=GRID + 1)
    mass += np.bincount(left + 1, weights=residual * share, minlength=GRID + 1)
    mass[1:-1] /= 2  # a type-1 transform counts inner points twice and the ends once
    return dct(mass, type=1) / len(position)
