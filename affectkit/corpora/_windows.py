"""What a row of a recorded session is: the options, and what labels become of a window.

Windows begin and end by time, as `media.cuts` has them, whatever the frame rate.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.media.cuts import EXACT, Bounds
from affectkit.registry import Option

Per = Annotated[
    Literal["turn", "label", "session"],
    Option(
        "What a row is, without windows: a turn of an interview, with its sound; a stretch with a label of its own; or "
        "a whole session, with its text, or with the mean of its labels, of classes the one that lasts longest."
    ),
]
Window = Annotated[
    float | None,
    Option(
        "Length of windows of the recordings, which become the rows; the last one may be half to one and a half times "
        "as long.",
        "s",
        default="none, or the corpus's own",
    ),
]
Stride = Annotated[
    float | None,
    Option("From the start of a window to the start of the next.", "s", default="the window, or the corpus's own"),
]


def refuse_per(per: str, *known: str) -> None:
    """Raises "usage" for a `Per` that a corpus has no rows of."""
    if per not in known:
        raise AffectkitError("usage", f"--per {per}", remedy=f"use {' or '.join(known)}")


class Labelled(NamedTuple):
    """A stretch of a recording, in seconds, and its label: a number or a class."""

    start: float
    end: float
    value: Any


class Track:
    """The labels of one target along a recording, each in its stretch, of any lengths."""

    def __init__(self, target: Target, stretches: Sequence[Labelled]) -> None:
        self.target = target
        self.stretches = sorted(stretches, key=lambda stretch: stretch[:2])
        self._starts = [stretch.start for stretch in self.stretches]
        self._longest = max((stretch.end - stretch.start for stretch in self.stretches), default=0.0)

    def about(self, bounds: Bounds) -> list[Labelled]:
        """The stretches that may reach into `bounds`, in their order; none but those need be looked at."""
        first = bisect_right(self._starts, bounds[0] - self._longest - EXACT)
        return self.stretches[first : bisect_left(self._starts, bounds[1])]

    def within(self, bounds: Bounds) -> list[tuple[float, Any]]:
        """(seconds, label) of what lies within, in its order."""
        parts = [
            (min(stretch.end, bounds[1]) - max(stretch.start, bounds[0]), stretch.value)
            for stretch in self.about(bounds)
        ]
        return [(seconds, value) for seconds, value in parts if seconds > EXACT]

    def pooled(self, bounds: Bounds) -> Any:
        """What the labels within amount to.

        Of numbers their mean, weighted by seconds; of classes the one that lasts longest, "" (unlabelled) where two
        last as long: nobody has said which it is. NaN or "" without any.
        """
        parts = self.within(bounds)
        if self.target.kind == "number":
            total = math.fsum(seconds for seconds, _ in parts)
            return math.fsum(seconds * value for seconds, value in parts) / total if parts else math.nan
        lasting: dict[str, float] = defaultdict(float)
        for seconds, value in parts:
            lasting[value] += seconds
        most = max(lasting.values(), default=0.0)
        first = [value for value, seconds in lasting.items() if seconds >= most - EXACT]
        return first[0] if len(first) == 1 else ""


def covered(stretches: Sequence[Bounds], bounds: Bounds) -> float:
    """Seconds of `bounds` that lie in any of `stretches`, which are in order of their starts."""
    total, until = 0.0, bounds[0]
    for start, end in stretches:
        start, end = max(start, until), min(end, bounds[1])
        if end > start:
            total, until = total + end - start, end
    return total
