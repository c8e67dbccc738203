"""Opening a media file, and the errors that do not depend on what is in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from affectkit.errors import AffectkitError

HEAD = 512  # enough for the fmt and data chunks of nearly every WAV, so that most files cost one read
LFS_MARK = b"version https://git-lfs"


class OpenFile:
    """An open file: its descriptor, its size in bytes and its first `HEAD` bytes."""

    __slots__ = ("fd", "head", "path", "size")

    def __init__(self, fd: int, size: int, head: bytes, path: str | Path) -> None:
        self.fd, self.size, self.head, self.path = fd, size, head, path

    def at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer where the file ends."""
        if offset + length <= len(self.head):
            return self.head[offset : offset + length]
        return os.pread(self.fd, length, offset)


@contextmanager
def opened(path: str | Path) -> Iterator[OpenFile]:
    """The file, open; raises for one that no decoder could use."""
    file = open_file(path)
    try:
        yield file
    finally:
        os.close(file.fd)


def open_file(path: str | Path) -> OpenFile:
    """As `opened`, for a caller who closes `.fd`: a context manager would double the cost of reading a header."""
    fd = -1
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # not to wait for the other end of a named pipe
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            what = "is a folder, not a media file" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
            raise AffectkitError("input", what, file=path)
        head = os.read(fd, HEAD)
        if not head:
            raise AffectkitError("input", "is empty (0 bytes)", file=path, remedy="copy it again, or drop its row")
        if head.startswith(LFS_MARK):
            raise AffectkitError(
                "input", "is a Git-LFS pointer, not the media itself", file=path, remedy="run git lfs pull there"
            )
    except BaseException as error:
        if fd >= 0:
            os.close(fd)
        if isinstance(error, (OSError, ValueError)):  # ValueError: a null byte in the path
            raise _unreadable(path, error) from None
        raise
    return OpenFile(fd, status.st_size, head, path)


def _unreadable(path: str | Path, error: OSError | ValueError) -> AffectkitError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        broken = Path(path).is_symlink()
        return AffectkitError("missing", "is a link to a file that is missing" if broken else "no such file", file=path)
    why = getattr(error, "strerror", None) or str(error)
    return AffectkitError("input", f"cannot be read: {why.lower()}", file=path)


def check_file(path: str | Path) -> None:
    """Raise unless `path` is a readable file with something in it that is not a Git-LFS pointer (for any media)."""
    os.close(open_file(path).fd)
