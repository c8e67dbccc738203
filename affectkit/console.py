"""The terminal: messages and progress on stderr, results on stdout."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from affectkit.plain import printable, without_nan

_quiet = False
_json = False
_LOG_SECONDS = 30.0  # how often work that is not watched on a terminal says where it stands
_LONGEST_ERROR = 4000  # characters; paths may have 4,096 bytes, and lists of names are cut before
_LONGEST_BAR = 40  # characters; on a narrow terminal a quarter of its width, which leaves room for the note


class Progress(Protocol):
    """Called as work goes on: `done` of `total` steps, and where the work has more to say, a short note.

    Work that is resumed begins with the steps that it found done, so that the time left is that of the others.
    """

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


def unwatched(done: int, total: int, note: str = "") -> None:
    """The callback of work that nobody watches."""


def configure(*, quiet: bool = False, json_output: bool = False) -> None:
    """Set how much is said, and send the library's log messages to stderr."""
    global _quiet, _json
    _quiet, _json = quiet, json_output
    logger = logging.getLogger("affectkit")
    logger.handlers = [_Handler()]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


class _Handler(logging.Handler):
    """Says a warning once in a command, though each of its fits may have it."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message, warns = record.getMessage(), record.levelno >= logging.WARNING
        if message not in self._warned:
            _write_line("warning: " * warns + message)
        self._warned |= {message} if warns else set()


def _write_line(text: str) -> None:
    """The one way of a message to the terminal: names and cells of data may hold anything."""
    print(printable(text), file=sys.stderr)


def error(message: str) -> None:
    """What went wrong; of a very long message, which quotes what a file holds, the beginning and the remedy."""
    cut = len(message) > _LONGEST_ERROR
    _write_line(f"error: {message[:1000]} ... {message[-500:]}" if cut else f"error: {message}")


def say(message: str) -> None:
    """A message for people; silenced by --quiet."""
    if not _quiet:
        _write_line(message)


@dataclass(frozen=True)
class Outcome:
    """What a command did. An empty one says nothing: the processes of a launch that are not the first return it.

    path: what was written. facts: for --json. lines: for people. warnings: for people, also with --quiet. data: text
    that goes to stdout instead of the path. finished: the run was found finished, and nothing was done. verdict: what
    the command ends with, though its work is done and written: an `AffectkitError` of a requirement that is not met.
    """

    path: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()
    warnings: Sequence[str] = ()
    data: str = ""
    finished: bool = False
    verdict: Exception | None = None


App = Callable[[Sequence[str]], Outcome]  # called with the words of a command line; it prints nothing


def show(outcome: Outcome) -> None:
    """End a command: lines and warnings on stderr; data, the path, or one JSON line with --json on stdout."""
    for line in outcome.lines:
        say(line)
    for warning in outcome.warnings:
        _write_line(f"warning: {warning}")
    sys.stdout.write(outcome.data)
    if outcome.path is None:
        return
    if _json:
        print(printable(json.dumps(without_nan({"path": str(outcome.path), **outcome.facts}), ensure_ascii=False)))
    else:
        print(outcome.path)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A callback that shows a bar on a terminal and a line now and then in a log."""
    if _quiet:
        yield unwatched
    elif sys.stderr.isatty():
        yield from _bar(what)
    else:
        yield _log_lines(what)


def _bar(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(min(_LONGEST_BAR, console.width // 4)),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        # What does not fit is cut with an ellipsis: the note alone gives way, and the bar keeps to its line.
        TextColumn(
            "{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        ),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as bars:
        task = bars.add_task(printable(what), total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            bars.update(task, completed=done, total=total, note=printable(note))

        yield update


def _log_lines(what: str) -> Progress:
    began = last = time.monotonic()
    before: int | None = None  # done when the first call came: a resumed run took no time for these

    def update(done: int, total: int, note: str = "") -> None:
        nonlocal began, last, before
        now = time.monotonic()
        if before is None:
            began, before = (now, done) if done > 1 else (began, 0)
        if now - last >= _LOG_SECONDS and done:
            last = now
            left = (now - began) / (done - before) * (total - done) if done > before else None
            rest = "" if left is None else f", about {duration(left)} to go"
            say(f"{what}: {done} of {total}{rest}" + (f"; {note}" if note else ""))

    return update


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 5 min`."""
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 120 else f"{minutes} min"
