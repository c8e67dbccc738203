"""A file as libsndfile should see it: stretches of the one on disk, with a header in front that says what is there."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

Piece = bytes | range  # bytes as they are, or those of the file that lie in a range


class Spliced(io.RawIOBase):
    """Pieces one after the other, to be read and sought in like a file."""

    def __init__(self, path: str | Path, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  closed by `close`
        self._pieces = pieces
        self._ends = list(accumulate(len(piece) for piece in pieces))
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._ends[-1]}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def readinto(self, buffer) -> int:
        """As much as the buffer takes, over the borders of pieces; 0 at the end."""
        from bisect import bisect_right

        view, filled = memoryview(buffer).cast("B"), 0
        number = bisect_right(self._ends, self._place)
        while filled < len(view) and number < len(self._pieces):
            piece, end = self._pieces[number], self._ends[number]
            start = self._place - (end - len(piece))
            stop = min(len(piece), start + len(view) - filled)
            part = piece[start:stop]
            data = os.pread(self._file.fileno(), len(part), part.start) if isinstance(part, range) else part
            view[filled : filled + len(data)] = data
            filled, self._place = filled + len(data), self._place + len(data)
            if len(data) < stop - start:  # the file became shorter
                break
            number += stop == len(piece)
        return filled

    def close(self) -> None:
        self._file.close()
        super().close()
