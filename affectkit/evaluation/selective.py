"""Selective prediction: answering only where the model is sure, and how often it is wrong then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RiskCoverage:
    """The error of the rows that are kept, from the surest row on; equal confidences are kept together.

    threshold, coverage, risk: [M], a point for each confidence that occurs, from the highest; coverage: the share kept.
    """

    threshold: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray

    @property
    def area(self) -> float:
        """The mean risk over rows, kept one by one (AURC, Geifman and El-Yaniv 2017); NaN without rows."""
        if not len(self.coverage):
            return np.nan
        return float((self.risk * np.diff(self.coverage, prepend=0.0)).sum())

    def for_error(self, wanted: float) -> tuple[float, float, float] | None:
        """(threshold, coverage, risk) of the most rows that keep the error at or below `wanted`; None where none do."""
        within = np.flatnonzero(self.risk <= wanted)
        if not len(within):
            return None
        last = within[-1]
        return float(self.threshold[last]), float(self.coverage[last]), float(self.risk[last])


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """From [N] confidences and [N] 1.0 where right (`calibration_error.top_label`).

    >>> curve = risk_coverage(np.array([0.9, 0.8, 0.8, 0.6]), np.array([1.0, 1.0, 0.0, 0.0]))
    >>> curve.coverage.tolist(), curve.risk.round(3).tolist()
    ([0.25, 0.75, 1.0], [0.0, 0.333, 0.5])
    """
    order = np.argsort(-confidence, kind="stable")
    levels, wrong = confidence[order], np.cumsum(1 - right[order])
    last = np.flatnonzero(np.append(levels[1:] != levels[:-1], True)) if len(levels) else np.empty(0, int)
    kept = last + 1
    return RiskCoverage(levels[last], kept / max(len(levels), 1), wrong[last] / kept)
