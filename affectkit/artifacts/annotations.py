"""Labels that people give: `labels.jsonl`, a journal to which lines are added and in which none is changed.

The first line names the targets. Each further one is an answer, of one person to one row, or takes one back. What is
told to have been written is on the disk; a line that a killed process had not ended was never told, and is dropped.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from sys import intern
from typing import Any

from affectkit.artifacts.files import SCHEMA, misfit, sync_folder
from affectkit.artifacts.locks import locked
from affectkit.artifacts.records import trusted
from affectkit.errors import AffectkitError
from affectkit.labels import Target, are_targets
from affectkit.plain import parse_json, without_nan

LONGEST_KEY, LONGEST_NAME, LONGEST_COMMENT = 100, 200, 4000  # characters

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a person answers to a row, or takes back.

    key: made by who sends it, another one for every answer, so that a repeat is known as one. id: of the row.
    labels: target -> class, or number; none where the row was skipped. seconds: from when the row was shown.
    at: when, as ISO 8601 in UTC. tool: where it was given. undo: the key of the answer that is taken back.
    """

    key: str
    id: str
    annotator: str
    labels: Mapping[str, str | float] = field(default_factory=dict)
    comment: str = ""
    seconds: float | None = None
    at: str = ""
    tool: str = "label"
    undo: str = ""

    @property
    def skipped(self) -> bool:
        return not self.labels and not self.undo

    def to_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in ("key", "id", "annotator", "labels")}
        more = {name: getattr(self, name) for name in ("comment", "seconds", "at", "tool", "undo")}
        return told | {name: value for name, value in more.items() if value not in ("", None)}


_LINE = {
    "key": str, "id": str, "annotator": str, "labels": {str: (float, str)}, "comment?": str, "seconds?": (None, float),
    "at?": str, "tool?": str, "undo?": str,
}  # fmt: skip
_LIMITS = {"key": LONGEST_KEY, "id": LONGEST_NAME, "annotator": LONGEST_NAME, "comment": LONGEST_COMMENT,
           "tool": LONGEST_NAME, "undo": LONGEST_KEY, "at": LONGEST_NAME}  # fmt: skip


def now() -> str:
    return in_utc(datetime.now(UTC))


def in_utc(moment: datetime) -> str:
    """As answers have it. Raises OverflowError for a moment that UTC has no year for."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def parse_annotation(data: Any, targets: Mapping[str, Target]) -> Annotation:
    """Raises ValueError, in words, for what is none, or answers what `targets` do not have."""
    if problem := misfit(data, _LINE, "the answer"):
        raise ValueError(problem)
    given = Annotation(**{name: data[name] for name in data if name in Annotation.__dataclass_fields__})
    for name, most in _LIMITS.items():
        if name in data and len(data[name]) > most:
            raise ValueError(f"'{name}' has more than {most:,} characters")
    if empty := next((name for name in ("key", "id", "annotator") if not getattr(given, name).strip()), ""):
        raise ValueError(f"'{empty}' is empty")
    if given.undo and given.labels:
        raise ValueError("'undo' takes an answer back, and gives no labels")
    if given.seconds is not None and given.seconds < 0:
        raise ValueError("'seconds' is negative")
    for name, value in given.labels.items():
        _check_label(name, value, targets)
    # Of what a journal repeats in each line, one copy is held: half of the memory that it takes while it is open.
    labels = {intern(name): intern(value) if isinstance(value, str) else value for name, value in given.labels.items()}
    once: dict[str, Any] = {name: intern(getattr(given, name)) for name in ("id", "annotator", "tool")}
    return replace(given, labels=labels, **once)


def _check_label(name: str, value: str | float, targets: Mapping[str, Target]) -> None:
    target = targets.get(name)
    if target is None:
        raise ValueError(f"there is no target '{name}', only {', '.join(targets)}")
    if target.kind == "number":
        low, high = target.scale or (-1e15, 1e15)
        if isinstance(value, str) or not low <= value <= high:
            raise ValueError(f"{name} '{value}' is no number from {low:g} to {high:g}")
    elif value not in target.classes:
        raise ValueError(f"{name} '{value}' is not in {', '.join(target.classes)}")


@dataclass(frozen=True)
class Annotations:
    """What a journal holds: `given`, in the order in which it was written, repeats left out; all of `targets`."""

    path: Path
    targets: dict[str, Target]
    given: list[Annotation]

    def counting(self) -> list[Annotation]:
        """The newest answer of every person to every row that was not taken back; skipped ones too."""
        return counting(self.given)


def counting(given: Sequence[Annotation]) -> list[Annotation]:
    undone = {each.undo for each in given if each.undo}
    newest: dict[tuple[str, str], Annotation] = {}
    for each in given:
        if not each.undo and each.key not in undone:
            newest.pop((each.id, each.annotator), None)
            newest[each.id, each.annotator] = each
    return list(newest.values())


def read_annotations(path: Path) -> Annotations:
    """Raises "missing", or "input" naming the line: no JSON, a label that the targets lack, a key of two answers."""
    path = trusted(Path(path))
    targets: dict[str, Target] = {}
    given: dict[str, Annotation] = {}
    for number, line, _ in _lines(path):
        try:
            data = parse_json(line)
            if isinstance(data, dict) and "targets" in data:
                targets |= _targets(data, targets)
                continue
            add_once(given, parse_annotation(data, targets))
        except ValueError as error:
            remedy = "mend the line, or delete it"
            raise AffectkitError("input", str(error), file=path, row=number, remedy=remedy) from None
    return Annotations(path, targets, list(given.values()))


def add_once(given: dict[str, Annotation], each: Annotation) -> None:
    """Add an answer under its key, where it is not there already. Raises ValueError for another one that has it."""
    if given.setdefault(each.key, each) != each:
        raise ValueError(f"key '{each.key}' is that of another answer already")


def _lines(path: Path) -> Iterator[tuple[int, str, int]]:
    """Number, text, and the place in the file behind it, of every line that was ended."""
    place = 0
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    log.warning("%s: line %d was never finished, and is left out", path, number)
                    return
                place += len(line)
                if line.strip():
                    yield number, line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode(), place
    except FileNotFoundError:
        raise AffectkitError("missing", "no such labels", file=path, remedy="run affectkit label first") from None
    except IsADirectoryError:
        raise AffectkitError("input", "is a folder", file=path, remedy="name the labels.jsonl in it") from None
    except UnicodeDecodeError:
        raise AffectkitError("input", "is not UTF-8", file=path, row=number, remedy="mend the line") from None


def _targets(data: Mapping[str, Any], known: Mapping[str, Target]) -> dict[str, Target]:
    schema = data.get("schema", SCHEMA)
    if type(schema) is not int or schema > SCHEMA:
        raise ValueError(f"schema {schema} is newer than schema {SCHEMA}, which this affectkit reads")
    if not are_targets(data["targets"]):
        raise ValueError("'targets' is not a list of targets, each with its own name, its kind and its classes")
    found = {target.name: target for target in map(Target.from_json, data["targets"])}
    if odd := next((name for name, target in found.items() if known.get(name, target) != target), None):
        raise ValueError(f"'{odd}' has other classes, or another scale, than above")
    return found


class Journal:
    """An open `labels.jsonl`, of which this process is the one writer. given: by key, what it holds."""

    def __init__(self, path: Path, targets: Mapping[str, Target], given: Mapping[str, Annotation], file: int) -> None:
        self.path, self.targets, self.given = path, dict(targets), dict(given)
        self._file, self._end = file, os.fstat(file).st_size
        self._turn = threading.Lock()

    def append(self, each: Annotation) -> bool:
        """Whether it is new: what was written before under its key is not written again. On the disk when this returns.

        Raises ValueError where another answer has its key; OSError, with the journal as it was, for a full disk.
        """
        with self._turn:
            before = self.given.get(each.key)
            if before is not None:
                if (before.id, before.labels, before.undo) != (each.id, each.labels, each.undo):
                    raise ValueError(f"key '{each.key}' is that of another answer already")
                return False
            self._write(each.to_json())
            self.given[each.key] = each
            return True

    def declare(self) -> None:
        with self._turn:
            self._write({"schema": SCHEMA, "targets": [target.to_json() for target in self.targets.values()]})

    def _write(self, data: Mapping[str, Any]) -> None:
        line = (json.dumps(without_nan(dict(data)), ensure_ascii=False) + "\n").encode()
        if not os.fstat(self._file).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "its file was deleted or replaced", str(self.path))
        try:
            os.ftruncate(self._file, self._end)  # what an earlier failure may have left
            done = 0
            while done < len(line):
                done += os.pwrite(self._file, line[done:], self._end + done)
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise
        self._end += len(line)


@contextmanager
def open_journal(path: Path, targets: Sequence[Target], *, alone: bool = False) -> Iterator[Journal]:
    """Open `labels.jsonl` to add to it, or make it. alone: it is to have no other targets: who answers a row anew
    answers all of them. Raises "busy" where another process writes it, "input" where it is of the same targets with
    other classes, and what `read_annotations` raises."""
    path = Path(path)
    wanted = {target.name: target for target in targets}
    with locked(path.parent, path.with_name(f".{path.name}.lock")):
        before = read_annotations(path) if path.exists() and path.stat().st_size else Annotations(path, {}, [])
        if odd := next((name for name, target in wanted.items() if before.targets.get(name, target) != target), None):
            here = ", ".join(before.targets[odd].classes) or before.targets[odd].scale
            what = f"has labels of {odd} with {here}"
            raise AffectkitError("input", what, file=path, remedy="name the same ones, or another file")
        if alone and before.targets and before.targets.keys() != wanted.keys():
            what = f"has labels of {', '.join(before.targets)}, not of {', '.join(wanted)}"
            raise AffectkitError("input", what, file=path, remedy="ask for the same ones, or name another file")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            os.ftruncate(file, max((place for *_, place in _lines(path)), default=0))
            journal = Journal(path, before.targets | wanted, {each.key: each for each in before.given}, file)
            if journal.targets != before.targets:
                journal.declare()
                sync_folder(path.parent)
            yield journal
        finally:
            os.close(file)
