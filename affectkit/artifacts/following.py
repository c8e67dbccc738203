"""Files that another process writes, on another machine too, read as they grow: nothing is locked, nothing written."""

from __future__ import annotations

import csv
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LONGEST = 2**20  # bytes of a line; what is longer is none of ours, and comes in pieces that nobody can read
KNOWN = 64  # bytes before the place that was reached: are they others, the file was cut or replaced


class Tail:
    """The lines of a file, each read once, when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset, self._last = path, 0, b""

    def lines(self, forget: Callable[[], None]) -> Iterator[str]:
        """Those that have come since the last call.

        forget: called first where what was read before is no longer there, as the file was cut, replaced or removed;
        its lines then come from the first one on.
        """
        with opened(self.path) as file:
            if self.offset and not self._goes_on(file):
                self.offset, self._last = 0, b""
                forget()
            if file is None:
                return
            file.seek(self.offset)
            while (line := file.readline(LONGEST)) and (line.endswith(b"\n") or len(line) == LONGEST):
                self.offset, self._last = self.offset + len(line), line[-KNOWN:]
                yield line.decode(errors="replace")

    def _goes_on(self, file: BinaryIO | None) -> bool:
        if file is None:
            return False
        file.seek(self.offset - len(self._last))
        return file.read(len(self._last)) == self._last


class TableTail:
    """The rows of a CSV with a header, each read once, by column; text as it stands there."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._columns: list[str] = []

    def rows(self, forget: Callable[[], None]) -> Iterator[dict[str, str]]:
        """Those that have come since; a row that lacks cells is none. forget: as `Tail.lines` takes it."""

        def begin_anew() -> None:
            self._columns = []
            forget()

        for line in self._tail.lines(begin_anew):
            cells = _cells(line)
            if not self._columns:
                self._columns = cells
            elif len(cells) == len(self._columns):
                yield dict(zip(self._columns, cells, strict=True))


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:  # a cell of more than 128 kB, which is none of ours
        return []


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO | None]:
    """A file to read; None for one that is not there, or is no file. On a disk of another machine a file may go while
    it is open (ESTALE): the block then ends there.

    Raises PermissionError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
    except PermissionError:
        raise
    except OSError:
        yield None
        return
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        yield None
        return
    with open(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise


def stamp(path: Path) -> tuple[int, int, int] | None:
    """When a file was last changed (ns), its size and number, of which one changes where somebody writes; None for a
    file that is not there."""
    try:
        known = os.stat(path)
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size, known.st_ino
