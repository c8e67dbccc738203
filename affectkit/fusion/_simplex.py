"""Weights that are at least 0 and sum to 1: as options say them, and in grids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from affectkit.errors import AffectkitError

MOST_POINTS = 20_000


@dataclass(frozen=True)
class Grid:
    """Weights of the first source from `low` to `high`, and of the others what is left, all in steps of `step`."""

    low: float
    high: float
    step: float

    def points(self, sources: int) -> np.ndarray:
        """[M, S] weights. Raises "usage" where the steps miss the simplex of more than two sources, or are too many."""
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        first = [round(self.low + i * self.step, 10) for i in range(count)]
        if sources == 1:
            return np.ones((1, 1))
        if sources == 2:
            return np.array([[one, round(1 - one, 10)] for one in first])
        whole = round(1 / self.step)
        left = [(1 - one) / self.step for one in first]
        if abs(whole * self.step - 1) > 1e-6 or any(abs(x - round(x)) > 1e-6 for x in left):
            what = f"--search: steps of {self.step:g} from {self.low:g} do not end at weights that sum to 1"
            raise AffectkitError("usage", what, remedy=f"for {sources} sources, write 0:1:.1")
        size = sum(math.comb(round(x) + sources - 2, sources - 2) for x in left)
        if size > MOST_POINTS:
            what = f"--search: steps of {self.step:g} make {size:,} weightings of {sources} sources"
            raise AffectkitError("usage", what, remedy="take larger steps, or --rule greedy")
        rows = [(whole - round(x), *rest) for x in left for rest in _splits(round(x), sources - 1)]
        return np.array(rows) / whole


def parse_weights(text: str) -> tuple[float, ...]:
    """`.7,.3` brought to a sum of 1; none for "". Raises "usage"."""
    if not text:
        return ()
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = [math.nan]
    if not all(0 <= weight < math.inf for weight in weights) or not sum(weights) > 0:
        what = f"--weights {text} are not numbers of at least 0 with a sum above it"
        raise AffectkitError("usage", what, remedy="write .7,.3, in the order of the sources")
    return tuple(weight / math.fsum(weights) for weight in weights)


def fixed_weights(weights: Sequence[float], sources: Sequence[str]) -> dict[str, float]:
    """By source; equal ones where there are none. Raises "usage" where they are not as many as the sources."""
    if not weights:
        return {name: 1 / len(sources) for name in sources}
    if len(weights) != len(sources):
        what = f"--weights: {len(weights)} for {len(sources)} sources ({', '.join(sources)})"
        raise AffectkitError("usage", what, remedy="give one weight to each, in their order")
    return dict(zip(sources, weights, strict=True))


def parse_search(text: str) -> Grid:
    """`.3:.8:.1`. Raises "usage"."""
    try:
        low, high, step = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = step = math.nan
    if not (0 <= low <= high <= 1 and 0 < step <= 1):
        what = f"--search {text} is not lowest:highest:step of the first source's weight, within 0 and 1"
        raise AffectkitError("usage", what, remedy="write .3:.8:.1")
    if (high - low) / step >= MOST_POINTS:
        raise AffectkitError("usage", f"--search {text} tries more than {MOST_POINTS:,}", remedy="take larger steps")
    return Grid(low, high, step)


def _splits(units: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Every way to deal `units` to `parts`, in rising order."""
    if parts == 1:
        yield (units,)
        return
    for one in range(units + 1):
        for rest in _splits(units - one, parts - 1):
            yield (one, *rest)
