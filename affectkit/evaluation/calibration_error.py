"""Calibration error of the predicted class, of every class, and what a perfectly calibrated model would show.

"Top-label" throughout: the confidence is the largest probability and a row is right where that class is the true one.
For two classes this differs from the error of the positive class. `truth` and `probabilities` as in
`probability_metrics`; every figure is in [0, 1], NaN without rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.evaluation.probability_metrics import known_rows
from affectkit.evaluation.rows import ratio, records

BINS = 15
CELLS = 100  # per bin; rows whose confidence differs by less than 1/1500 share a draw of the null band


def ece(truth: Any, probabilities: Any, *, classes: Sequence[Any] | None = None, bins: int = BINS) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 5): sum_b (n_b / n) |accuracy_b - confidence_b|.

    Top-label, equal-width right-closed bins; a confidence of 0 belongs to the first, of 1 to the last.

    >>> round(ece([0, 1], [[0.9, 0.1], [0.6, 0.4]]), 6)
    0.35
    """
    confidence, right = top_label(*known_rows(truth, probabilities, classes))
    return _expected_gap(right - confidence, equal_width(confidence, bins))


def ece_adaptive(truth: Any, probabilities: Any, *, classes: Sequence[Any] | None = None, bins: int = BINS) -> float:
    """Top-label ECE over bins of equal mass (Nguyen and O'Connor 2015); equal confidences share a bin.

    >>> round(ece_adaptive([0, 1, 0], [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]], bins=2), 6)
    0.3
    """
    confidence, right = top_label(*known_rows(truth, probabilities, classes))
    return _expected_gap(right - confidence, equal_mass(confidence, bins))


def classwise_ece(truth: Any, probabilities: Any, *, classes: Sequence[Any] | None = None, bins: int = BINS) -> float:
    """Mean over classes of the ECE of that class's probability (Kull et al. 2019, eq. 5).

    >>> round(classwise_ece([0, 1], [[0.9, 0.1], [0.6, 0.4]]), 6)
    0.35
    """
    codes, probabilities = known_rows(truth, probabilities, classes)
    columns = range(probabilities.shape[1])
    gaps = [_expected_gap((codes == k) - probabilities[:, k], equal_width(probabilities[:, k], bins)) for k in columns]
    return float(np.mean(gaps))


def ece_debiased(truth: Any, probabilities: Any, *, classes: Sequence[Any] | None = None, bins: int = BINS) -> float:
    """Debiased top-label L2 calibration error (Kumar et al. 2019, definition 5.2), equal-mass bins.

    sqrt(max(0, sum_b (n_b / n) ((accuracy_b - confidence_b)^2 - accuracy_b (1 - accuracy_b) / (n_b - 1)))): the second
    term is what chance alone adds to the first. Bins of one row say nothing and count 0, as in the authors' code.

    >>> round(ece_debiased([0, 1, 0, 1], [[0.9, 0.1]] * 4, bins=1), 6)
    0.276887
    """
    confidence, right = top_label(*known_rows(truth, probabilities, classes))
    if not len(confidence):
        return np.nan
    bin_of = equal_mass(confidence, bins)
    count = np.bincount(bin_of, minlength=bins)
    hit = ratio(np.bincount(bin_of, weights=right, minlength=bins), count)
    gap = hit - ratio(np.bincount(bin_of, weights=confidence, minlength=bins), count)
    enough = count > 1
    squared = (gap**2 - ratio(hit * (1 - hit), count - 1))[enough]
    return float(np.sqrt(max(0.0, (squared * count[enough]).sum() / len(confidence))))


def top_label(codes: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] the largest probability, [N] 1.0 where its class (the first of equals) is the true one."""
    if not len(codes):
        return np.empty(0), np.empty(0)
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == codes).astype(float)


def equal_width(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """[N]: the bin of each confidence, (i/bins, (i+1)/bins]; 0 is in the first."""
    return np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")


def equal_mass(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """[N]: the bin of each confidence by its rank; equal ones share a bin, so the order of rows is of no account."""
    levels = np.sort(confidence)
    first = np.flatnonzero(np.append(True, levels[1:] != levels[:-1])[: len(levels)])
    rank = (first + np.append(first[1:], len(levels)) + 1) / 2  # from 1, of equal ones the mean
    bin_of = ((rank - 0.5) * bins / max(len(levels), 1)).astype(np.int64)
    filled, place = np.unique(bin_of, return_index=True)
    return filled[np.searchsorted(levels[first[place]], confidence, side="right") - 1]


def _expected_gap(residual: np.ndarray, bin_of: np.ndarray) -> float:
    """sum_b |sum of the residuals in b| / n."""
    return float(np.abs(np.bincount(bin_of, weights=residual)).sum() / len(residual)) if len(residual) else np.nan


@dataclass(frozen=True)
class NullBand:
    """What top-label ECE comes to when the probabilities are exactly right: its mean and 95th percentile.

    low, high: [bins] the central 95 % of each bin's accuracy; NaN where a bin is empty.
    """

    ece_mean: float
    ece_p95: float
    low: np.ndarray
    high: np.ndarray


def null_band(confidence: np.ndarray, *, bins: int = BINS, draws: int = 1000, seed: int = 0) -> NullBand:
    """Draw right or wrong from the confidences [N] themselves, `draws` times.

    The rows of a cell, 1/100 of a bin, are drawn together as one binomial: their mean is exact and the variance of a
    row is off by less than 4e-8. The cost does not grow with N.
    """
    bin_of = equal_width(confidence, bins)
    place = np.ceil(confidence * bins * CELLS).astype(np.int64) - 1 - bin_of * CELLS
    cell_of = np.clip(place, 0, CELLS - 1) + bin_of * CELLS
    size = np.bincount(cell_of, minlength=bins * CELLS)
    expected = np.bincount(cell_of, weights=confidence, minlength=bins * CELLS)
    chance = np.clip(ratio(expected, size), 0.0, 1.0)
    filled = size > 0
    hits = np.zeros((draws, bins * CELLS))
    hits[:, filled] = np.random.default_rng(seed).binomial(size[filled], chance[filled], (draws, filled.sum()))
    hits = hits.reshape(draws, bins, CELLS).sum(axis=2)
    gaps = np.abs(hits - expected.reshape(bins, CELLS).sum(axis=1)).sum(axis=1) / max(len(confidence), 1)
    band = np.quantile(hits, [0.025, 0.975], axis=0)
    low, high = ratio(band, np.broadcast_to(size.reshape(bins, CELLS).sum(axis=1), band.shape))
    if not len(confidence):
        return NullBand(np.nan, np.nan, low, high)
    return NullBand(float(gaps.mean()), float(np.quantile(gaps, 0.95)), low, high)


def reliability_bins(confidence: np.ndarray, right: np.ndarray, band: NullBand | None = None) -> list[dict[str, Any]]:
    """A row per equal-width bin: `low`, `high`, `n`, mean `confidence`, `accuracy`, and its `null_low`, `null_high`."""
    bins = BINS if band is None else len(band.low)
    bin_of = equal_width(confidence, bins)
    count = np.bincount(bin_of, minlength=bins)
    columns = {
        "low": np.arange(bins) / bins,
        "high": np.arange(1, bins + 1) / bins,
        "n": count,
        "confidence": ratio(np.bincount(bin_of, weights=confidence, minlength=bins), count),
        "accuracy": ratio(np.bincount(bin_of, weights=right, minlength=bins), count),
    }
    return records(columns if band is None else columns | {"null_low": band.low, "null_high": band.high})


# --- Smooth calibration error: no bins, and so nothing to choose


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
    from scipy.optimize import brentq

    spectrum = _spectrum(np.clip(position, 0.0, 1.0), residual)

    def excess(width: float) -> float:
        return smoothed_gap(spectrum, width) - width

    if excess(1 / GRID) <= 0:
        return smoothed_gap(spectrum, 1 / GRID)
    return 1.0 if excess(1.0) >= 0 else float(brentq(excess, 1 / GRID, 1.0, xtol=1e-12))


def smoothed_gap(spectrum: np.ndarray, width: float) -> float:
    """Integral over [0, 1] of |residual smoothed by a reflected Gaussian|: in cosines that kernel is diagonal."""
    from scipy.fft import dct

    wave = np.arange(GRID + 1, dtype=float)
    smooth = dct(spectrum * np.exp(-0.5 * (np.pi * wave * width) ** 2), type=1)
    return float(np.trapezoid(np.abs(smooth), dx=1 / GRID))


def _spectrum(position: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Mean of residual * cos(pi k position), k = 0..GRID; each row is shared by the two grid points nearest to it."""
    from scipy.fft import dct

    place = position * GRID
    left = np.minimum(place.astype(np.int64), GRID - 1)
    share = place - left
    mass = np.bincount(left, weights=residual * (1 - share), minlength=GRID + 1).astype(float)
    mass += np.bincount(left + 1, weights=residual * share, minlength=GRID + 1)
    mass[1:-1] /= 2  # a type-1 transform counts inner points twice and the ends once
    return dct(mass, type=1) / len(position)
