"""Opening a media file, and the errors that do not depend on what is in it."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from typing import TypeVar

import numpy as np

from affectkit.errors import AffectkitError


class LengthUnknown(AffectkitError):
    """A file may be sound, but its header does not say how much: it has to be decoded."""


# Endings of names, in lower case.
AUDIO = frozenset({
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".aifc", ".au", ".caf", ".rf64", ".w64",
    ".3gp", ".amr", ".mka", ".mp2", ".oga", ".snd", ".sph", ".spx", ".voc", ".wma", ".wv",
})  # fmt: skip
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
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

    @property
    def after_id3(self) -> int:
        """Where what follows the ID3v2 tags begins: at 0 mostly."""
        place = 0
        while (tag := self.at(place, 10))[:3] == b"ID3" and len(tag) == 10:
            place += 10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9])
        return place

    def cut_off(self, what: str, remedy: str = "copy it again") -> AffectkitError:
        """The error for a file that ends too early."""
        return AffectkitError("input", f"is truncated: {what}", file=self.path, remedy=remedy)


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
            what = "is a Git-LFS pointer, not the media itself"
            raise AffectkitError("input", what, file=path, remedy="run git lfs pull there")
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


# --- Names as a table has them and as a disk has them


Listings = dict[Path, list[str]]  # of folders, so that each is looked into once


def spelled(root: Path, place: str, listings: Listings) -> str:
    """The path `place` below `root` as the disk spells it, where there is no file of just that name: macOS decomposes
    accents, Windows ignores case. Of several names that differ by case only none is taken for another."""
    if not place or (root / place).exists():
        return place
    folder, parts = root, []
    for part in Path(place).parts:
        if folder not in listings:
            listings[folder] = os.listdir(folder) if folder.is_dir() else []
        part = _like(part, listings[folder]) or part
        folder /= part
        parts.append(part)
    return Path(*parts).as_posix() if folder.exists() else place


def _like(name: str, entries: list[str]) -> str | None:
    """The entry that is the same text in another normal form, else the only one that is the same in another case."""
    from unicodedata import normalize

    if name in entries or name in (".", "..", os.sep):
        return name
    normal = normalize("NFC", name)
    composed = [entry for entry in entries if normalize("NFC", entry) == normal]
    folded = [entry for entry in entries if normalize("NFC", entry).casefold() == normal.casefold()]
    alike = composed[:1] or folded
    return alike[0] if len(alike) == 1 else None


# --- NumPy arrays on disk


NPY = ".npy"
# What NumPy raises for a header that is no Python, or says what no array can be.
DAMAGED = (ValueError, OSError, EOFError, OverflowError, TypeError, SyntaxError, RecursionError, TokenError)


def open_array(path: Path) -> np.ndarray:
    """A .npy file, mapped into memory and read-only: only its header is read now.

    Raises as `check_file` does; "input" for pickled objects and for what has no row per sample.
    """
    check_file(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED as error:
        why = str(error).rstrip(".")
        objects = "pickle" in why or "Python objects" in why  # NumPy's own words tell how to run what is in it
        message = f"is no plain array: {'it holds Python objects, which are never loaded' if objects else why}"
        raise AffectkitError("input", message, file=path, remedy="save it with numpy.save") from None
    if not isinstance(array, np.ndarray) or not array.ndim:
        raise AffectkitError("input", "is not an array with a row per sample", file=path)
    return array


def open_numbers(path: Path) -> np.ndarray:
    """`open_array` of features: numbers [N, D], [N, T, D] or [N, T, L, D]. Raises "input" for anything else."""
    array = open_array(path)
    if array.dtype.kind not in "iufb" or not 2 <= array.ndim <= 4 or 0 in array.shape[1:]:
        message = f"is of shape {list(array.shape)} and type {array.dtype}; expected numbers [N, D] or [N, T, D]"
        raise AffectkitError("input", message, file=path)
    return array


# --- Work on many files at once, in order and in bounded memory


In = TypeVar("In")
Out = TypeVar("Out")


def or_error(function: Callable[[In], Out], item: In) -> Out | AffectkitError:
    """What `function` makes of an item, or why it cannot; without a traceback, which would keep what was read alive."""
    try:
        return function(item)
    except AffectkitError as error:
        error.__traceback__ = error.__context__ = None
        return error


def mapped(function: Callable[[In], Out], items: Iterable[In], workers: int) -> Iterator[Out]:
    """`map` on `workers` threads (without threads up to 1), at most twice as many items in flight as threads."""
    if workers <= 1:
        yield from map(function, items)
        return
    items = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(items, 2 * workers))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
