"""The learning-rate finder: a sweep from tiny to huge rates, and the rate in the middle of the loss's longest fall.

The suggestion is fastai's "valley". A loss that falls no more than its own noise would make it fall has none: fastai
then still names a rate, which is that noise's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

STEPS = 100
SMOOTHING = 0.98
LAST = 5  # points dropped at the end, where the loss diverges; at the start it is a tenth of the steps
SHORTEST = 10  # points left to look at
FEWEST = 6  # points of a fall: with fewer, its middle may be the first or last point of the curve
DIVERGED = 4.0  # times the best smoothed loss
# 1 - CCC returns to 1 from a best of .3 or .7, never to 4 times that, and its smoothed curve climbs slowly. A rise of
# .05 that is also 4 standard deviations of chance ended at most 1.3 % of 300 simulated sweeps that learn nothing, with
# batch noise of .05 to .35, and sweeps with a best of .2 or .5 some 5 to 10 steps after the loss was back at 1.
ROSE = 0.05
SURE = 4.0
# Standard deviations of chance that a fall must exceed. 3 to 5 % of 2,000 sweeps of pure noise (normal, exponential,
# lognormal or two-valued) had a longest fall of over 2.5; sweeps that learn have 5 to 27.
CHANCE = 2.5
ROUNDING = 1e-6  # of the loss, in float32


@dataclass(frozen=True)
class Sweep:
    """rates, losses and smoothed: [n], as swept. rate: the one found; None for the reason given."""

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    rate: float | None
    reason: str = ""


def sweep(
    step: Callable[[float], float], *, bounded: bool, low: float = 1e-7, high: float = 10.0, steps: int = STEPS
) -> Sweep:
    """Train `steps` steps, each at a higher rate, from `low` up to just below `high`, until the loss diverges.

    step: makes one update at the given rate and returns the batch's loss. bounded: the loss has a ceiling, as 1 - CCC
    has, so that divergence is a rise and not a multiple of the best. A loss that is not finite ends the sweep.
    """
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    for position in range(steps):
        rates.append(low * (high / low) ** (position / steps))
        losses.append(float(step(rates[-1])))
        average = SMOOTHING * average + (1 - SMOOTHING) * losses[-1]
        smoothed.append(average / (1 - SMOOTHING ** (position + 1)))
        if not math.isfinite(smoothed[-1]) or _diverged(losses, smoothed, steps // 10, bounded):
            break
    reason = _objection(rates, losses, smoothed, steps)
    return Sweep(rates, losses, smoothed, None if reason else valley(rates, smoothed, steps=steps), reason)


def valley(rates: Sequence[float], losses: Sequence[float], *, steps: int = STEPS) -> float | None:
    """The rate in the middle of the middle third of the longest fall, as fastai finds it; None where there is none.

    rates, losses: [n], the whole of a sweep that was to have `steps` steps, losses smoothed. The fall is the longest
    strictly decreasing subsequence, and its length L is laid off from where it ends: it starts at end - L, which is not
    its first member. The first tenth, the last 5 points and whatever follows a NaN are not looked at.
    """
    first, stop = _kept(losses, steps)
    end, length = _longest_fall(losses[first:stop])
    if length < FEWEST:
        return None
    return float(rates[first + end - length + length // 3 + length // 6])


def _kept(losses: Sequence[float], steps: int) -> tuple[int, int]:
    """The first point to look at, and the one after the last. A sweep that a NaN ended counts as swept to its end."""
    broken = [position for position, loss in enumerate(losses) if math.isnan(loss)]
    first, stop = steps // 10, min(broken[0], steps - LAST) if broken else len(losses) - LAST
    return first, max(first, stop)


def _longest_fall(losses: Sequence[float]) -> tuple[int, int]:
    """Where the longest strictly decreasing subsequence ends, the first of several, and its length; (0, 0) of none."""
    lengths: list[int] = []
    for loss in losses:
        lengths.append(1 + max((n for n, other in zip(lengths, losses, strict=False) if other > loss), default=0))
    return (lengths.index(max(lengths)), max(lengths)) if lengths else (0, 0)


def _diverged(losses: Sequence[float], smoothed: Sequence[float], first: int, bounded: bool) -> bool:
    """Whether the smoothed loss is far above its best since `first`: before, one lucky batch would be best for good."""
    if len(smoothed) <= first:
        return False
    best = min(range(first, len(smoothed)), key=smoothed.__getitem__)
    if not bounded:
        return smoothed[-1] > DIVERGED * smoothed[best]
    return smoothed[-1] - smoothed[best] > max(ROSE, SURE * _deviation(losses, best, len(losses) - 1))


def _objection(rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], steps: int) -> str:
    """Why a sweep has no valley; empty where it has one."""
    first, stop = _kept(smoothed, steps)
    if stop - first < SHORTEST:
        fate = "ended" if len(losses) == steps else "met a loss of NaN" if math.isnan(losses[-1]) else "diverged"
        return f"the sweep {fate} after {len(losses)} steps, at the rate {rates[-1]:.1e}: too few to see the loss fall"
    end, length = _longest_fall(smoothed[first:stop])
    top, bottom = first + max(end - length, 0), first + end
    fall = smoothed[top] - smoothed[bottom]
    chance = max(CHANCE * _deviation(losses, top, bottom), ROUNDING * abs(smoothed[top]))
    if length >= FEWEST and fall > chance:
        return ""
    if length < FEWEST and smoothed[stop - 1] - smoothed[first] > ROUNDING * abs(smoothed[first]):
        return f"the loss only rises with the learning rate, from {smoothed[first]:.4g} to {smoothed[stop - 1]:.4g}"
    what = f"its longest fall, from {smoothed[top]:.4g}, is {max(fall, 0.0):.2g}"
    return f"the loss does not fall at any learning rate: {what}, and chance alone gives up to {chance:.2g}"


def _deviation(losses: Sequence[float], top: int, bottom: int) -> float:
    """Of the difference of two points of the smoothed curve, if the losses were noise about one level.

    The noise is taken from neighbours' differences, which a trend hardly touches (von Neumann 1941).
    """
    weights = _weights(bottom)
    weights[: top + 1] -= _weights(top)
    noise = np.mean(np.diff(losses[: bottom + 1]) ** 2) / 2 if bottom else 0.0
    return float(np.sqrt(noise * (weights**2).sum()))


def _weights(position: int) -> np.ndarray:
    """[position + 1] weights that the smoothed loss at `position` gives to the losses up to it."""
    weights = SMOOTHING ** np.arange(position, -1.0, -1.0)
    return weights / weights.sum()
