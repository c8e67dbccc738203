"""A folder that is replaced in one step: whoever opens it by its name finds a whole one at any moment.

The new one is written beside it, `.NAME.next`, then called `.NAME.swap`, and both are exchanged; what was there becomes
`NAME.previous`. A program that has files of it open keeps them until the replacement after the next one.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from affectkit.artifacts.locks import locked
from affectkit.artifacts.records import LOCK, RECORD
from affectkit.artifacts.runs import require_own
from affectkit.errors import AffectkitError

log = logging.getLogger(__name__)

FLAG = "--replace-stable"
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of linux/fs.h
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


@contextmanager
def replacing(path: Path, command: str) -> Iterator[Path]:
    """A folder beside `path` for a run of `command` to write, with --overwrite; after it, it is in the place of `path`.

    What a killed process left is put right first. Raises "exists" for what another command wrote, or nobody's folder.
    """
    if path.is_symlink():
        raise AffectkitError("exists", f"{FLAG}: is a link", file=path, remedy="name the folder itself")
    stable = _Stable(path)
    with locked(path.parent, path.with_name(f".{path.name}{LOCK}")):
        stable.recover()
        if path.exists():
            require_own(path, command, FLAG, deleted=False)
        if stable.previous.exists():  # it goes at the end
            require_own(stable.previous, command, FLAG)
        try:
            yield stable.next
        except BaseException:
            shutil.rmtree(stable.next, ignore_errors=True)
            raise
        stable.replace()


@dataclass(frozen=True)
class _Stable:
    """The folder, and those beside it: the one that is written, the one about to take its place, the one that had it
    (where folders cannot be exchanged), the one before, and one about to be deleted."""

    path: Path

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{ending}")

    @property
    def next(self) -> Path:
        return self._beside("next")

    @property
    def previous(self) -> Path:
        return self.path.with_name(f"{self.path.name}.previous")

    def replace(self) -> None:
        swap, old = self._beside("swap"), self._beside("old")
        os.rename(self.next, swap)
        if not self.path.exists():
            os.rename(swap, self.path)
        elif exchanged(swap, self.path):
            self._keep(swap)
        else:
            log.warning("%s is missing for a moment: this file system cannot exchange folders", self.path)
            os.rename(self.path, old)
            os.rename(swap, self.path)
            self._keep(old)

    def recover(self) -> None:
        """Put right what a process left that was killed while it replaced the folder."""
        swap, old = self._beside("swap"), self._beside("old")
        if not self.path.exists() and (swap.exists() or old.exists()):
            os.rename(swap if swap.exists() else old, self.path)
        if swap.exists() and _made(swap) > _made(self.path):
            shutil.rmtree(swap)  # it never got its place, and is made again
        for left in (swap, old):
            if left.exists():
                self._keep(left)
        shutil.rmtree(self._beside("gone"), ignore_errors=True)
        shutil.rmtree(self.next, ignore_errors=True)

    def _keep(self, folder: Path) -> None:
        """As the previous one, in place of the one before."""
        gone = self._beside("gone")
        shutil.rmtree(gone, ignore_errors=True)
        if self.previous.exists():
            os.rename(self.previous, gone)
        os.rename(folder, self.previous)
        shutil.rmtree(gone, ignore_errors=True)


def _made(folder: Path) -> int:
    record = folder / RECORD
    return record.stat().st_mtime_ns if record.exists() else 0


def exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; whether this system can, and has."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    error = ctypes.get_errno()
    if error in _NO_EXCHANGE:
        return False
    raise OSError(error, os.strerror(error), str(other))
