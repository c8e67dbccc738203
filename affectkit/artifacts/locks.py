"""The lock of a folder, or of a file, that a command writes: there is one writer at a time."""

import contextlib
import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from affectkit.errors import AffectkitError

ELSEWHERE = "name another folder"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, lock: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Hold `lock`, a file in `folder`, which is made where there is none. patience: seconds to wait for its holder."""
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        what = "leads to a folder that is not there" if folder.is_symlink() else "is a file, not a folder"
        raise AffectkitError("exists", what, file=folder, remedy=ELSEWHERE) from None
    try:
        with ExitStack() as stack:
            _take(stack, lock, time.monotonic() + patience)
            yield
    finally:
        if not existed:
            with contextlib.suppress(OSError):  # only an empty folder goes: the run left nothing worth keeping
                folder.rmdir()


def _take(stack: ExitStack, lock: Path, until: float) -> None:
    while True:
        try:
            stack.enter_context(_held(lock))
            return
        except AffectkitError as error:
            if error.code != "busy" or time.monotonic() >= until:
                raise
            time.sleep(0.05)


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a lock that the kernel, of another machine too, releases however the process ends.

    A file that was there and is not empty is somebody's: it is neither changed nor deleted. Raises "busy".
    """
    if lock.is_symlink():
        raise AffectkitError("exists", "is a link, not a lock that affectkit made", file=lock, remedy=ELSEWHERE)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if not lock.exists():  # the folder is what takes no file
            error.filename = str(lock.parent)
        raise
    with open(descriptor, "rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            busy = not lock.exists() or not os.path.samestat(os.fstat(handle.fileno()), lock.stat())
        except BlockingIOError:
            busy = True
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            busy = False
            log.warning("%s: this file system has no locks; run no second command here meanwhile", lock.parent)
        if busy:
            remedy = "wait until it has ended, or name another output"
            raise AffectkitError("busy", "another process is writing here", file=lock.parent, remedy=remedy)
        try:
            yield
        finally:
            if not os.fstat(handle.fileno()).st_size:
                lock.unlink(missing_ok=True)
