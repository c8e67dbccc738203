"""A metric's range, and the scale on which its interval is symmetric: near a bound the plain one is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Link:
    """A strictly increasing map from a range to the real line, its inverse and its slope; low, high: the range."""

    low: float
    high: float
    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    slope: Callable[[Any], Any]


def between(low: float, high: float) -> Link:
    """The logit of the place between two ends; between -1 and 1 it is twice Fisher's z."""
    width = high - low
    return Link(
        low,
        high,
        forward=lambda v: np.log((v - low) / (high - v)),
        inverse=lambda z: low + width / (1 + np.exp(-z)),
        slope=lambda v: width / ((v - low) * (high - v)),
    )


ANY = Link(-np.inf, np.inf, lambda v: v, lambda z: z, np.ones_like)
SHARE = between(0.0, 1.0)
CORRELATION = between(-1.0, 1.0)
ABOVE_ZERO = Link(0.0, np.inf, np.log, np.exp, lambda v: 1 / v)
BELOW_ONE = Link(-np.inf, 1.0, lambda v: -np.log(1 - v), lambda z: 1 - np.exp(-z), lambda v: 1 / (1 - v))
