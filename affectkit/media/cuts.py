"""Where windows begin and end in a recording: arithmetic, without the recording."""

from __future__ import annotations

import math
from dataclasses import dataclass

from affectkit.errors import AffectkitError

SHORTEST = 0.01  # s; ids tell windows apart by milliseconds
EXACT = 1e-6  # s; a sum of strides is off by less, and a sample lasts longer
Bounds = tuple[float, float]  # start and end, in seconds


@dataclass(frozen=True)
class Windows:
    """seconds: the length of each. stride: seconds from the start of one to the start of the next."""

    seconds: float
    stride: float

    @classmethod
    def of(cls, seconds: float, stride: float | None = None) -> Windows:
        """From `--window` and `--stride`, by default the window. Raises "usage" for what cuts nothing."""
        for option, value in (("--window", seconds), ("--stride", seconds if stride is None else stride)):
            if not (math.isfinite(value) and value >= SHORTEST):
                remedy = f"give seconds, at least {SHORTEST:g}"
                raise AffectkitError("usage", f"{option} {value:g} is no length of time", remedy=remedy)
        return cls(seconds, seconds if stride is None else stride)

    def cut(self, start: float, end: float) -> list[Bounds]:
        """(start, end) of each window from `start` to `end`, in seconds; the last one ends at `end`, unless what is
        left lies in a gap between windows, or is less than half a window behind one."""
        if end - start <= self.seconds + EXACT:
            return [(start, end)]
        full = math.floor((end - start - self.seconds + EXACT) / self.stride) + 1
        starts = [round(start + number * self.stride, 6) for number in range(full + 1)]
        windows = [(first, round(first + self.seconds, 6)) for first in starts[:-1]]
        heard, following = windows[-1][1], starts[-1]
        if end - heard > EXACT and end - following >= self.seconds / 2:
            windows.append((following, end))
        elif following <= heard + EXACT or end - heard <= EXACT:
            windows[-1] = (windows[-1][0], end)
        return windows

    def unheard(self, start: float, end: float) -> float:
        """Seconds that lie in no window."""
        heard = sum(last - first for first, last in self.cut(start, end))
        return end - start - heard if self.stride > self.seconds else 0.0
