"""What a run tells while networks train in it: `log.jsonl`, `steps.csv`, `progress.json` and its trackers.

A command opens the journal of its run folder; every training inside it, however deep, tells that one, under the name
that the code on the way to it gives (`within`). Without an open journal trainings tell nobody.
"""

from __future__ import annotations

import io
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import atomic
from affectkit.artifacts.records import LOG, PROGRESS, STEPS
from affectkit.plain import parse_json, without_nan
from affectkit.training.state import State
from affectkit.training.steps import StepTable, write_whole
from affectkit.training.trackers import Trackers, open_trackers

FINAL = "final"
SECONDS = 1.0  # between two states of progress.json


# --- Which training it is


@dataclass(frozen=True)
class Place:
    """names: of a training, from the outside in. number, total: which one of how many, as far as that is known."""

    names: tuple[str, ...] = ()
    number: int = 1
    total: int = 1

    @property
    def name(self) -> str:
        return "/".join(self.names) or FINAL


_place: ContextVar[Place] = ContextVar("place", default=Place())  # noqa: B039 - it is frozen
_journal: ContextVar[Journal | None] = ContextVar("journal", default=None)


@contextmanager
def within(name: str, number: int = 1, total: int = 1) -> Iterator[None]:
    """What trains inside the block is called `name`, after the names around it (`fold-02/inner-1`); it is the one
    numbered `number`, from 1, of `total`, each of which may be divided further. "" divides without a name."""
    outer = _place.get()
    names = (*outer.names, name) if name else outer.names
    token = _place.set(Place(names, (outer.number - 1) * total + number, outer.total * total))
    try:
        yield
    finally:
        _place.reset(token)


def name_of_fit(number: int) -> str:
    """Of the fits of a run, the first of which, 0, is of all rows, and the others are of folds."""
    return f"fold-{number:02d}" if number else FINAL


# --- The journal of a run


class Journal:
    """start: what the event `start` says besides what is known here. curves: the fit whose epochs are the rows of
    history.csv, and have plain names in trackers; the others' stand behind the name of their fit.

    Nothing is written before the first training begins: a run that is refused until then leaves nothing.
    """

    def __init__(
        self, folder: Path, start: Mapping[str, Any], trackers: Trackers, *, curves: str | None, resumed: bool
    ) -> None:
        self.folder, self.start, self.trackers, self.curves = folder, dict(start), trackers, curves
        self.resumed, self.began, self.shown = resumed, time.monotonic(), -SECONDS
        self.file: io.FileIO | None = None
        self.logged: dict[tuple[str, str, int], dict[str, Any]] = {}
        self.table: StepTable

    def tell(self, event: str, **facts: Any) -> None:
        """Append an event to the log."""
        if self.file is None:
            self._open()
        assert self.file is not None
        line = json.dumps(without_nan({"time": now(), "event": event, **facts}), ensure_ascii=False, allow_nan=False)
        write_whole(self.file, line + "\n", self.folder / LOG)

    def tell_history(self, history: Sequence[Mapping[str, Any]], *, of: str = "") -> None:
        """Give trackers the rows of history.csv, once they are known; at their steps, else at their epochs. of: the
        target, where the table has those of several."""
        for row in history:
            self.trackers.log(row, int(row.get("step", row["epoch"])), of=of)

    def show(self, facts: Mapping[str, Any]) -> None:
        """Say where training stands, once a second at most."""
        if time.monotonic() - self.shown < SECONDS:
            return
        self.shown = time.monotonic()
        with atomic(self.folder / PROGRESS, passing=True) as temporary:
            temporary.write_text(json.dumps(without_nan({"time": now(), **facts})) + "\n", encoding="utf-8")

    def close(self, *, ended: bool) -> None:
        """ended: whether the run's work is done."""
        (self.folder / PROGRESS).unlink(missing_ok=True)
        if self.file is None:
            return
        try:
            self.table.close()
            if ended:
                self.tell("end", seconds=round(time.monotonic() - self.began, 3))
        finally:
            self.file.close()

    def _open(self) -> None:
        path = self.folder / LOG
        if self.resumed and path.exists():
            self._read(path)
        self.table = StepTable(self.folder / STEPS, resumed=self.resumed)
        try:
            self.file = io.FileIO(path, "a" if self.resumed else "w")
        except OSError as error:
            error.filename = str(path)
            raise
        self.tell("start", **self.start, pid=os.getpid(), host=platform.node(), resumed=self.resumed)

    def _read(self, path: Path) -> None:
        """Take up what a run that was interrupted told, and cut off the line that it did not finish."""
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(path, whole)
        for line in data[:whole].splitlines():
            try:
                event = parse_json(line.decode())
                if event["event"] == "epoch":
                    self.logged[event["fit"], str(event.get("stage")), event["epoch"]] = event
                    self.trackers.go_on_after(event["step"])
            except (ValueError, KeyError, TypeError):
                continue  # a line that something damaged says nothing


@contextmanager
def open_journal(
    folder: Path,
    command: str,
    *,
    resumed: bool,
    options: Mapping[str, Any],
    track: str | None = None,
    is_main: bool = True,
    curves: str | None = None,
    **start: Any,
) -> Iterator[Journal]:
    """The journal in force for what is trained inside the block; in processes that are not the first, none is.

    options: of the command, which trackers store. start: of the event `start`.
    """
    with open_trackers(track, folder, options) as trackers:
        journal = Journal(folder, {"command": command, **start}, trackers, curves=curves, resumed=resumed)
        ended = False
        try:
            with _in_force(journal if is_main else None):
                yield journal
            ended = True
        finally:
            if is_main:
                journal.close(ended=ended)


@contextmanager
def _in_force(journal: Journal | None) -> Iterator[None]:
    tokens = _journal.set(journal), _place.set(Place())
    try:
        yield
    finally:
        _journal.reset(tokens[0])
        _place.reset(tokens[1])


def now() -> str:
    """UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- What one training tells


class Record:
    """What a fit tells the journal in force. rows, val_rows, monitor: of the fit. device: on which it trains."""

    def __init__(self, journal: Journal, rows: int, val_rows: int, monitor: str | None, device: Any) -> None:
        self.journal, self.place, self.device = journal, _place.get(), device
        self.facts = {"rows": rows, "val_rows": val_rows, "monitor": monitor}

    def tell(self, event: str, **facts: Any) -> None:
        self.journal.tell(event, fit=self.place.name, **facts)

    def begin(self, state: State, stages: Sequence[str]) -> None:
        """Say that the fit begins or goes on; what was told of later steps is told again. A fit that has ended already
        tells nothing."""
        if state.stage >= len(stages):
            return
        self.tell("fit", number=self.place.number, total=self.place.total, **self.facts)
        self.journal.table.drop_after(self.place.name, state.step)
        if state.saves:
            self.tell("resume", stage=stages[state.stage], epoch=state.epoch, batch=state.batch, step=state.step)

    def step(self, stage: str, epoch: int, step: int, **figures: Any) -> None:
        """As `StepTable.add` has it."""
        self.journal.table.add(self.place.name, stage, epoch, step, device=self.device, **figures)

    def epoch(self, row: Mapping[str, Any], speed: Mapping[str, float]) -> None:
        """Of the history. One that was told before the run was interrupted, with the same figures, is not told again.
        speed: how long it took, of which nothing is known where nothing trained."""
        name, key = self.place.name, (self.place.name, str(row["stage"]), row["epoch"])
        before, plain = self.journal.logged.get(key), without_nan(dict(row))
        new = before is None or any(before.get(column) != value for column, value in plain.items())
        if new:
            self.tell("epoch", **row, **speed)
        self.journal.trackers.log(row, row["step"], of="" if name == self.journal.curves else name, new=new)

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """A checkpoint is written inside the block; the steps before it stand in the table by then."""
        self.journal.table.write_pending()
        yield
        self.tell("checkpoint", step=step)

    def show(self, **facts: Any) -> None:
        """As progress.json has it; `done` and `total`: batches of this fit, which stands for those that follow."""
        place, total = self.place, facts["total"]
        facts |= {"done": (place.number - 1) * total + facts["done"], "total": place.total * total}
        self.journal.show({"fit": place.name, "fit_number": place.number, "fits": place.total, **facts})


class Nobody(Record):
    """Where no journal is open."""

    def __init__(self) -> None:
        pass

    def tell(self, event: str, **facts: Any) -> None:
        pass

    def begin(self, state: State, stages: Sequence[str]) -> None:
        pass

    def step(self, stage: str, epoch: int, step: int, **figures: Any) -> None:
        pass

    def epoch(self, row: Mapping[str, Any], speed: Mapping[str, float]) -> None:
        pass

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        yield

    def show(self, **facts: Any) -> None:
        pass


def record(rows: int, val_rows: int, monitor: str | None, device: Any) -> Record:
    """Of a training that begins here."""
    journal = _journal.get()
    return Record(journal, rows, val_rows, monitor, device) if journal else Nobody()
