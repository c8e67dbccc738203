"""Seconds of a recording: where windows begin and end, and what a row is of. Arithmetic, without the recording."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from affectkit.errors import AffectkitError

SHORTEST = 0.01  # s; ids tell windows apart by milliseconds
EXACT = 1e-6  # s; a sum of strides is off by less, and a sample lasts longer
Bounds = tuple[float, float]  # start and end, in seconds
AT = "@"  # in an id of ours, between what a window or a frame is of and where it begins


def id_at(name: str, seconds: float) -> str:
    """The id of what begins at a time; ids of one recording are in the order of time.

    >>> id_at("p1_s2", 12.5)
    'p1_s2@000012.500'
    """
    return f"{name}{AT}{seconds:010.3f}"


@dataclass(frozen=True)
class Windows:
    """seconds: the length of each. stride: seconds from the start of one to the start of the next."""

    seconds: float
    stride: float

    @classmethod
    def asked(cls, seconds: float | None, stride: float | None) -> Windows | None:
        """As `of`; None where there are to be no windows. Raises "usage" for a stride alone too."""
        if seconds is None and stride is not None:
            remedy = "give the length of a window in seconds"
            raise AffectkitError("usage", "--stride needs --window", remedy=remedy)
        return None if seconds is None else cls.of(seconds, stride)

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


# --- Stretches of a recording that are all of a row, as a manifest has them


def write_stretches(stretches: Iterable[Bounds]) -> str:
    """`12.31-15.22;16.0-18.5`: seconds to the millisecond, in order; those that touch or overlap as one.

    >>> write_stretches([(16, 18.5), (12.31, 14), (13.9, 15.2204)])
    '12.31-15.22;16-18.5'
    """
    joined: list[Bounds] = []
    for start, end in sorted((round(start, 3), round(end, 3)) for start, end in stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return ";".join(f"{start}-{end}" for start, end in joined)


def parse_stretches(text: str) -> tuple[Bounds, ...]:
    """`12.31-15.22;16-18.5` in seconds, one after the other. Raises ValueError for anything else.

    >>> parse_stretches("12.31-15.22;16-18.5")
    ((12.31, 15.22), (16.0, 18.5))
    """
    stretches: list[Bounds] = []
    for part in text.split(";"):
        match = re.fullmatch(r"\s*([\d.]+(?:e-?\d+)?)\s*-\s*([\d.]+(?:e-?\d+)?)\s*", part)
        start, end = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
        if not start < end or (stretches and start < stretches[-1][1]):
            raise ValueError(part.strip())
        stretches.append((start, end))
    return tuple(stretches)
