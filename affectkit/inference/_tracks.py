"""Faces of consecutive frames, linked to tracks: which of them are the same face going on.

Each track expects its face where its own motion would have brought it; faces and tracks that overlap are paired, the
best pair first, after the greedy linking of Bochinski et al. 2017 (IoU tracker), which has no motion: without it two
faces that pass each other at one height change names. What is left over is paired once more by where the faces last
were, for a face that stopped. Nothing is drawn, and nothing looks at who it is: a face that comes back later than the
gap is a new track.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Box = tuple[float, float, float, float]

# Intersection over union. Of a face that moves sideways by .67 of its width it is .2; two faces that do not cover each
# other have 0.
LEAST_OVERLAP = 0.2
MEMORY_SEC = 1.0  # of a face's motion: the jitter of single boxes, some 3 % of their width, is averaged over it


@dataclass
class _Track:
    number: int
    seen: deque[tuple[float, Box]] = field(default_factory=deque)

    @property
    def last(self) -> tuple[float, Box]:
        return self.seen[-1]

    def see(self, time: float, box: Box) -> None:
        self.seen.append((time, box))
        while len(self.seen) > 2 and time - self.seen[0][0] > MEMORY_SEC:
            self.seen.popleft()

    def expected(self, time: float) -> Box:
        """The last box, moved on as its centre has moved within `MEMORY_SEC`."""
        (began, first), (ended, last) = self.seen[0], self.last
        if ended <= began:
            return last
        share = (time - ended) / (ended - began)
        x, y = (last[side] + last[side + 2] / 2 - first[side] - first[side + 2] / 2 for side in (0, 1))
        return last[0] + share * x, last[1] + share * y, last[2], last[3]


class Tracks:
    """The tracks of one video. gap: seconds for which a face may be unseen and still be the same track.

    What is kept are the faces of the last moments, however long the video is.
    """

    def __init__(self, gap: float) -> None:
        self.gap, self.count, self._live, self._before = gap, 0, list[_Track](), -float("inf")

    def follow(self, time: float, boxes: Sequence[Box]) -> list[int]:
        """The number of each face's track, from 1 by first appearance. Times go up from call to call.

        boxes: (x, y, width, height), of the frame at `time`.
        """
        live = [t for t in self._live if t.last[0] == self._before or time - t.last[0] <= self.gap]
        found: dict[int, _Track] = {}
        _pair(found, live, boxes, lambda track: track.expected(time))
        _pair(found, live, boxes, lambda track: track.last[1])
        for place, box in enumerate(boxes):
            if place not in found:
                self.count += 1
                found[place] = _Track(self.count)
                live.append(found[place])
            found[place].see(time, box)
        self._live, self._before = live, time
        return [found[place].number for place in range(len(boxes))]


def _pair(
    found: dict[int, _Track], live: Sequence[_Track], boxes: Sequence[Box], where: Callable[[_Track], Box]
) -> None:
    """Add to `found` the tracks of boxes that have none yet, the largest overlap first; of equals the oldest track."""
    taken = {track.number for track in found.values()}
    free = {track.number: (track, where(track)) for track in live if track.number not in taken}
    pairs = [
        (overlap(place, box), number, position)
        for number, (_, place) in free.items()
        for position, box in enumerate(boxes)
        if position not in found
    ]
    for share, number, position in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
        if share < LEAST_OVERLAP:
            return
        if number in free and position not in found:
            found[position] = free.pop(number)[0]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0 to 1; 0 for boxes without an area."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
