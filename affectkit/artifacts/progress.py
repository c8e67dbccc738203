"""How a run is getting on, read from its files alone: `started.json` and `run.json`, `log.jsonl`, `history.csv`,
`steps.csv`, `progress.json`. The folder may be another machine's, and its process may write, die or begin anew
meanwhile."""

from __future__ import annotations

import math
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from affectkit.artifacts.following import TableTail, Tail, opened, stamp
from affectkit.artifacts.histories import HISTORY
from affectkit.artifacts.records import LOG, PROGRESS, RECORD, STARTED, STEPS
from affectkit.artifacts.runs import EMPTYING
from affectkit.plain import parse_json

FILES = (STARTED, RECORD, LOG, HISTORY, STEPS, PROGRESS)

State = Literal["not begun", "emptying", "running", "silent", "killed", "failed", "ended", "finished"]
Row = dict[str, Any]

QUIET = 30.0  # seconds without a sign after which a run is no longer said to be running
SETTLED = 3.0  # seconds without a sign after which a process that is not there is taken for dead
LARGEST = 2**24  # bytes of a JSON file; what is larger is none of ours
FULL_ROWS = 50  # epochs of a fit that are kept with all their figures; of earlier ones what is drawn
DRAWN = ("stage", "epoch", "step", "best", "train_loss", "val_loss", "val_score", "val_uar", "val_ccc")


# --- What the log says


@dataclass
class FitLog:
    """A training within the run. name: `final`, `inner-2`, `fold-03`. number, of: which of how many; 0: not known.
    monitor: the column by which epochs are compared. stage: the one under way, or the last one."""

    name: str = ""
    number: int = 0
    of: int = 0
    monitor: str = ""
    stage: str = ""
    history: list[Row] = field(default_factory=list)
    _places: dict[Any, int] = field(default_factory=dict)  # of stage and epoch

    def add(self, row: Row) -> None:
        """An epoch; one that is told again, as the run was resumed and came to other figures, takes the place of the
        former and of those after it."""
        known = self._places.get(key := (row.get("stage"), row.get("epoch")), len(self.history))
        del self.history[known:]
        self._places[key] = known
        self.history.append(row)
        if len(self.history) > FULL_ROWS and not (early := self.history[-FULL_ROWS - 1]).get("best"):
            self.history[-FULL_ROWS - 1] = {name: early[name] for name in (*DRAWN, self.monitor) if name in early}


class Log:
    """What `log.jsonl` says up to here.

    starts: the events of processes that began or went on with the run. fits: by name, in the order they began.
    seconds: the time of the last event (of the run's own clock, since 1970). trained: whether the last process has
    trained an epoch, or written a checkpoint. ended: whether training has come to its end.
    """

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.fits: dict[str, FitLog] = {}
        self.fit: FitLog | None = None
        self.seconds = math.nan
        self.trained = self.ended = False

    def take(self, line: str) -> None:
        """A line of it; one that was torn is passed over, also where a resumed run wrote on behind it."""
        torn = line.rfind('{"time"')
        event = _object(line) or _object(line[max(torn, 0) :])
        self.seconds = max(filter(math.isfinite, (self.seconds, seconds_of(event))), default=math.nan)
        name, kind = event.get("fit"), event.get("event")
        if isinstance(name, str) and (self.fit is None or self.fit.name != name):
            self.fit = self.fits.setdefault(name, FitLog(name))
        if kind == "start":
            self.starts.append(event)
        self.trained = kind != "start" and (self.trained or kind in ("epoch", "checkpoint"))
        self.ended = kind == "end"
        if self.fit:
            self._take_of_fit(kind, event, self.fit)

    @staticmethod
    def _take_of_fit(kind: Any, event: Mapping[str, Any], fit: FitLog) -> None:
        if kind == "fit":
            fit.number, fit.of = count_of(event.get("number")), count_of(event.get("total"))
            fit.monitor = str(event.get("monitor") or "")
        elif kind == "stage":
            fit.stage = str(event.get("stage") or "")
        elif kind == "epoch":
            fit.add(row_of(event))


def row_of(cells: Mapping[str, Any]) -> Row:
    """A row of the history, as the log has it or as the table has it: `stage` is text, `best` whether the epoch was the
    best so far, `epoch` and `step` are counts, all others numbers, NaN where they are not known."""
    row: Row = {}
    for name, cell in cells.items():
        if name == "stage":
            row[name] = str(cell or "")
        elif name == "best":
            row[name] = cell in (True, "True", "true")
        elif name not in ("time", "event", "fit"):
            row[name] = count_of(cell) if name in ("epoch", "step") else number_of(cell)
    return row


def number_of(cell: Any) -> float:
    """NaN for what is no number."""
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def count_of(cell: Any) -> int:
    """0 for what is no count."""
    number = number_of(cell)
    return int(number) if math.isfinite(number) and number > 0 else 0


def seconds_of(event: Mapping[str, Any]) -> float:
    """Its `time` in seconds since 1970."""
    try:
        return datetime.fromisoformat(str(event.get("time"))).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _object(text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


# --- A run as it is seen at one moment


@dataclass(frozen=True)
class Status:
    """started, record: what `started.json` and `run.json` say; empty where they are not there. history: the table's
    rows. steps: those of `steps.csv`, as text. progress: where training stands; empty where it does not say.

    silent: seconds since the last sign. seen: whether that sign was seen to come; else it is told from the times of
    files and this machine's clock, which may be another one than theirs. dead: whether the process is known to be no
    longer there. left: seconds to go; NaN where that cannot be told.
    """

    folder: Path
    started: Mapping[str, Any]
    record: Mapping[str, Any]
    log: Log
    history: list[Row]
    steps: list[dict[str, str]]
    progress: Mapping[str, Any]
    silent: float
    seen: bool
    dead: bool
    left: float

    @property
    def state(self) -> State:
        if not self.started:
            return "not begun"
        if self.started.get(EMPTYING):
            return "emptying"
        if self.record:
            return "finished"
        if self.silent >= SETTLED and self.log.trained and not self.log.ended and not self.progress:
            return "failed"  # who is killed leaves `progress.json` behind; an error or Ctrl-C does not
        if self.dead:
            return "killed" if self.progress else "ended"
        return "silent" if self.silent >= QUIET else "running"

    @property
    def fit(self) -> str:
        """The training under way, or the last one; "" where none is named."""
        return str(self.progress.get("fit") or (self.log.fit.name if self.log.fit else ""))

    @property
    def monitor(self) -> str:
        """The column by which epochs are compared; "" where nothing says."""
        fit = self.log.fits.get(self.fit) or self.log.fit
        of_run = self.starts[-1].get("monitor") if self.starts else ""
        return (fit.monitor if fit else "") or str(of_run or "")

    @property
    def epochs(self) -> list[Row]:
        """Of that training; of a finished run those of its history, where it has one."""
        if self.log.fits and not (self.record and self.history):
            return self.log.fits[self.fit].history if self.fit in self.log.fits else []
        return self.history

    @property
    def last_step(self) -> Mapping[str, str]:
        return self.steps[-1] if self.steps else {}

    @property
    def starts(self) -> list[dict[str, Any]]:
        return self.log.starts

    @property
    def elapsed(self) -> float:
        """Seconds from the first start to the last sign, by the run's own clock, however often it was resumed."""
        if self.starts:
            ends = (seconds_of(self.progress), self.log.seconds)
            return max(filter(math.isfinite, ends), default=math.nan) - seconds_of(self.starts[0])
        return number_of(self.record.get("seconds"))


class Follower:
    """Looks at a run again and again, and reads only what is new."""

    def __init__(
        self, folder: Path, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.folder, self._clock, self._wall = folder, clock, wall
        self._log, self._steps, self._history = (
            Tail(folder / LOG),
            TableTail(folder / STEPS),
            TableTail(folder / HISTORY),
        )
        self._stamps: dict[str, Any] = {}
        self._json: dict[str, dict[str, Any]] = {}
        self._last_sign, self._seen = clock(), False
        self._pace = Pace()
        self.log, self.steps, self.history = Log(), list[dict[str, str]](), list[Row]()

    def look(self) -> Status:
        """Raises PermissionError."""
        stamps = {name: stamp(self.folder / name) for name in FILES}
        changed = {name for name in FILES if stamps[name] != self._stamps.get(name)}
        self._note_signs(stamps, changed)
        self._stamps = stamps
        for name in changed & {STARTED, RECORD, PROGRESS}:
            self._json[name] = self._read(name) if stamps[name] else {}
        if LOG in changed:
            for line in self._log.lines(self._forget_log):
                self.log.take(line)
        if STEPS in changed:
            for cells in self._steps.rows(self.steps.clear):
                self.steps.append(cells)
        if HISTORY in changed:
            for cells in self._history.rows(self.history.clear):
                self.history.append(row_of(cells))
        started, record, progress = (self._json.get(name, {}) for name in (STARTED, RECORD, PROGRESS))
        self._pace.note(progress, self.log)
        silent = max(self._clock() - self._last_sign, 0.0)
        dead = silent >= SETTLED and bool(started) and self._process_is_gone()
        seen = (self.log, self.history, self.steps, progress, silent, self._seen, dead)
        return Status(self.folder, started, record, *seen, self._pace.left(progress, self.log))

    def _note_signs(self, stamps: Mapping[str, Any], changed: set[str]) -> None:
        """When the run last wrote. Of what was written before the first look only the times of files can tell."""
        if changed and self._stamps:
            self._last_sign, self._seen = self._clock(), True
        elif changed:
            newest = max(known[0] for known in stamps.values() if known) / 1e9
            self._last_sign = self._clock() - max(self._wall() - newest, 0.0)

    def _read(self, name: str) -> dict[str, Any]:
        """A JSON file; what it said before, while it cannot be read."""
        content = b""
        with opened(self.folder / name) as file:
            content = file.read(LARGEST) if file else b""
        return _object(content.decode(errors="replace")) or self._json.get(name, {})

    def _forget_log(self) -> None:
        self.log, self._pace = Log(), Pace()

    def _process_is_gone(self) -> bool:
        """Whether the process of this machine that last wrote is no longer there; of another machine's nothing can be
        told."""
        start = self.log.starts[-1] if self.log.starts else {}
        pid = start.get("pid")
        if start.get("host") != socket.gethostname() or type(pid) is not int or pid <= 0:
            return False
        with suppress(PermissionError, OverflowError):  # somebody else's, so it is there
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
        return False


class Pace:
    """How fast batches are done, by the run's own clock."""

    RECENT = 300.0  # seconds that count; stages differ in their pace
    ENOUGH = 20.0  # seconds after which what was seen tells more than what was written down

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, progress: Mapping[str, Any], log: Log) -> None:
        seconds, done = seconds_of(progress), number_of(progress.get("done"))
        if not (math.isfinite(seconds) and math.isfinite(done)):
            return
        if self._seen and (done < self._seen[-1][1] or self._interrupted(log)):
            self._seen.clear()
        if not self._seen or seconds > self._seen[-1][0]:
            self._seen.append((seconds, done))
        while seconds - self._seen[0][0] > self.RECENT:
            self._seen.popleft()

    def _interrupted(self, log: Log) -> bool:
        return bool(log.starts) and seconds_of(log.starts[-1]) > self._seen[0][0]

    def left(self, progress: Mapping[str, Any], log: Log) -> float:
        """Seconds to go, from what was seen lately; at first from the start of the run, or from the rows a second."""
        done, total = number_of(progress.get("done")), number_of(progress.get("total"))
        pace = self._pace(progress, log, done)
        return max(total - done, 0.0) / pace if pace > 0 else math.nan

    def _pace(self, progress: Mapping[str, Any], log: Log, done: float) -> float:
        """Batches a second; NaN where nothing tells."""
        if self._seen and (span := self._seen[-1][0] - self._seen[0][0]) >= self.ENOUGH:
            return (self._seen[-1][1] - self._seen[0][1]) / span
        if len(log.starts) == 1 and (span := seconds_of(progress) - seconds_of(log.starts[0])) > 0:
            return done / span
        return math.nan
