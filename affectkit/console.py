"""The terminal: messages and progress on stderr, results on stdout."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from affectkit.plain import without_nan

Progress = Callable[[int, int], None]  # (done, total), called as work goes on

_quiet = False
_json = False
_LOG_SECONDS = 30.0  # how often work that is not watched on a terminal says where it stands


def configure(*, quiet: bool = False, json_output: bool = False) -> None:
    """Set how much is said, and send the library's log messages to stderr."""
    global _quiet, _json
    _quiet, _json = quiet, json_output
    logger = logging.getLogger("affectkit")
    logger.handlers = [_Handler()]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        print(prefix + record.getMessage(), file=sys.stderr)


def error(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def say(message: str) -> None:
    """A message for people; silenced by --quiet."""
    if not _quiet:
        print(message, file=sys.stderr)


def data(text: str) -> None:
    """Data for a pipe, on stdout."""
    sys.stdout.write(text)


def result(path: Path | None, facts: Mapping[str, Any], lines: list[str] | None = None) -> None:
    """End a command: what it found for people (stderr), and the path, or one JSON line with --json, on stdout."""
    for line in lines or []:
        say(line)
    if _json:
        print(json.dumps(without_nan({"path": str(path) if path else None, **facts}), ensure_ascii=False))
    elif path is not None:
        print(path)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A callback that shows a bar on a terminal and a line now and then in a log."""
    if _quiet:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        yield from _bar(what)
    else:
        yield _log_lines(what)


def _bar(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _log_lines(what: str) -> Progress:
    began = last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LOG_SECONDS and done:
            last = now
            left = (now - began) / done * (total - done)
            say(f"{what}: {done} of {total}, about {left:.0f} s to go")

    return update
