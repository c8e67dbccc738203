"""Self-recorded sessions as they lie on disk: a table of stretches beside recordings, or a folder per session."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectkit.corpora import _tables
from affectkit.corpora._corpus import Dropped
from affectkit.corpora._files import relative
from affectkit.corpora._recordings import Recording, recording_of_folder
from affectkit.errors import AffectkitError, did_you_mean, listed
from affectkit.labels import Target
from affectkit.media import segment_error
from affectkit.media.cuts import EXACT
from affectkit.plain import is_file_name, parse_json

KNOWN = (*_tables.NUMBERS, "focus")  # targets without being asked for, where the files name them
LABELS = "labels.json"
RECORDING = ("video", "audio", "recording", "file", "path")  # what a table calls the column of recordings
SUBJECT, SESSION = ("subject", "subject_id"), ("session", "session_id")
WHOLE = -1  # the place of a label of all of a session
OVERHANG = 1.0  # s; by less, labels that end a little before or behind their recording are the same length
CORRECT = "correct it"


@dataclass(frozen=True)
class Stretch:
    """Seconds of a recording, what was said of them, and where that stands. start, end: NaN of the whole of it.

    values: target -> number or class, those that are labelled. carried: further cells.
    """

    start: float
    end: float
    values: Mapping[str, Any]
    place: str
    carried: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return math.isnan(self.start)


@dataclass(frozen=True)
class Session:
    """A recording with its labels. labels: the file that has them. carried: what holds of all of it. offers: what it
    might have been asked for. uneven: how many labels each of its lists has, where they differ."""

    recording: Recording
    labels: Path
    subject: str
    session: str
    stretches: list[Stretch]
    carried: Mapping[str, str] = field(default_factory=dict)
    offers: frozenset[str] = frozenset()
    uneven: str = ""


def mistake(file: Path, root: Path, reason: str, detail: str, remedy: str = CORRECT, *, at: str = "") -> Dropped:
    """What should have been otherwise: preparing stops at it, unless such are to be left out. at: `row 3`."""
    place = relative(file, root) if file != root else str(root)
    return Dropped(f"{place} {at}".rstrip(), reason, remedy, detail)


# --- The labels of a folder: labels.json


_LISTS = re.compile(r"(.+)_labels?")
_SETTINGS = ("seconds_per_label", "frame_rate", "schema")
_NO_TARGETS = (*SUBJECT, *SESSION, "notes", *_SETTINGS)


def read_folder(
    folder: Path, root: Path, targets: Sequence[Target], *, label_seconds: float | None, frame_rate: float | None
) -> Iterator[Session | Dropped]:
    """A session's own folder: `<name>_labels`, a value for each second (or as the file, or the option, says), and
    scalars for all of it. Raises "input" for a file that is not JSON, or not of this shape."""
    file = folder / LABELS
    data = _json(file)
    rate = _setting(data, "frame_rate", file)
    recording = recording_of_folder(folder, root, frame_rate or rate)
    seconds = label_seconds or _setting(data, "seconds_per_label", file)
    if recording.anything is None:
        detail = f"{folder.name} holds no video, sound, frames or landmarks"
        yield mistake(file, root, "labels without a recording", detail)
        return
    goals = {target.name: target for target in targets}
    lists, scalars = _values(data, goals, file)
    values, problems = _by_position(lists, scalars, goals)
    yield from (mistake(file, root, "an impossible label", problem) for problem in problems)
    lengths = {name: len(cells) for name, cells in lists.items()}
    stretches = [
        Stretch(n * seconds, (n + 1) * seconds, values.get(n, {}), f"{LABELS} position {n + 1}")
        for n in range(max(lengths.values(), default=0))
    ]
    if values.get(WHOLE) or not stretches:
        stretches.append(Stretch(math.nan, math.nan, values.get(WHOLE, {}), LABELS))
    texts = {n: str(cell) for n, cell in data.items() if isinstance(cell, (str, int, float)) and n not in goals}
    subject, session = (next((texts[name] for name in names if name in texts), "") for names in (SUBJECT, SESSION))
    carried = {name: cell for name, cell in texts.items() if name not in (*SUBJECT, *SESSION, *_SETTINGS)}
    offers = frozenset(match[1] if (match := _LISTS.fullmatch(name)) else name for name in data)
    counts = ", ".join(f"{count} of {name}" for name, count in lengths.items())
    uneven = counts if len(set(lengths.values())) > 1 else ""
    yield Session(recording, file, subject.strip(), session.strip(), stretches, carried, offers, uneven)


def _by_position(
    lists: Mapping[str, Sequence[Any]], scalars: Mapping[str, Any], goals: Mapping[str, Target]
) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Position, `WHOLE` of all of the session, -> target -> label; and what is said of those that cannot be."""
    values: dict[int, dict[str, Any]] = defaultdict(dict)
    problems = []
    cells = [(name, place, cell) for name, labels in lists.items() for place, cell in enumerate(labels)]
    for name, place, cell in [*cells, *((name, WHOLE, cell) for name, cell in scalars.items())]:
        try:
            value = _checked(cell, goals[name])
        except ValueError as error:
            where = f"{name}_labels position {place + 1}" if place != WHOLE else name
            problems.append(f"{where}: {error}")
            continue
        values[place] |= {} if value is None else {name: value}
    return values, problems


def _json(file: Path) -> dict[str, Any]:
    remedy = 'write {"stress_labels": [1, 2, ...], "subject_id": "p01"}, and null where there is no label'
    try:
        data = parse_json(_tables.decode(file))
    except ValueError as error:
        raise AffectkitError("input", f"is not JSON: {error}", file=file, remedy=remedy) from None
    if not isinstance(data, dict):
        raise AffectkitError("input", "is no object of labels", file=file, remedy=remedy)
    for name in data:
        if not is_file_name(name):
            raise AffectkitError("input", f"{name!r} cannot be a column's name", file=file, remedy="rename it")
    return data


def _setting(data: Mapping[str, Any], name: str, file: Path) -> float:
    """What a file says of all of its labels; 1 where it says nothing."""
    value = data.get(name)
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise AffectkitError("input", f"{name} {value!r} is no number above 0", file=file, remedy=CORRECT)
    return float(value)


def _values(
    data: Mapping[str, Any], goals: dict[str, Target], file: Path
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Target -> its list of labels, and target -> its one label. Where no targets were named, the lists of numbers are
    targets, and `goals` learns of them."""
    lists: dict[str, list[Any]] = {}
    scalars: dict[str, Any] = {}
    asked = bool(goals)
    for key, cell in data.items():
        match = _LISTS.fullmatch(key)
        name = match[1] if match else key
        if key in _NO_TARGETS or (asked and name not in goals) or not (match or asked or name in KNOWN):
            continue
        goals.setdefault(name, Target(name, "number"))
        if name in lists or name in scalars:
            raise AffectkitError("input", f"says twice what {name} is", file=file, remedy="leave one of them out")
        if isinstance(cell, list):
            lists[name] = cell
        else:
            scalars[name] = cell
    return lists, scalars


def _checked(cell: Any, target: Target) -> Any:
    """A label as the target has it; None for none. Raises ValueError saying what is wrong."""
    if cell is None or cell == "":
        return None
    if target.kind != "number":
        if str(cell).strip() not in target.classes:
            raise ValueError(f"'{cell}' is not in {', '.join(target.classes)}")
        return str(cell).strip()
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        hint = "" if target.scale else f" (name its classes with --target-columns '{target.name}=first|second')"
        raise ValueError(f"'{cell}' is not a number{hint}")
    return in_scale(float(cell), target)


def in_scale(value: float, target: Target) -> float:
    """Raises ValueError for a number outside its target's scale."""
    low, high = target.scale or (-math.inf, math.inf)
    if not low <= value <= high:
        raise ValueError(f"{target.name} {value:g} is outside its scale {low:g}:{high:g}")
    return value


# --- The labels of a table


@dataclass(frozen=True)
class Columns:
    """What a table calls its columns: recording, start, end (None where there is none), subject, session."""

    recording: str
    start: str | None
    end: str | None
    subject: str | None
    session: str | None

    @property
    def named(self) -> set[str]:
        return {name for name in (self.recording, self.start, self.end, self.subject, self.session) if name}


def columns_of(header: Sequence[str], asked: Mapping[str, str], defaults: Mapping[str, str], file: Path) -> Columns:
    """The columns that the options name, which have to be there, or those that are usual. asked, defaults: path, start,
    end, speaker, session."""

    def choose(role: str, usual: Sequence[str]) -> str | None:
        name = asked[role]
        if name != defaults[role] and name not in header:
            raise AffectkitError("input", f"has no column '{name}'", file=file, remedy=did_you_mean(name, list(header)))
        return next((column for column in (name, *usual) if column in header), None)

    recording = choose("path", RECORDING)
    if recording is None:
        message = f"has no column '{asked['path']}' among {listed(header)}"
        raise AffectkitError("input", message, file=file, remedy="name the column of recordings with --path-column")
    return Columns(
        recording, choose("start", ()), choose("end", ()), choose("speaker", SUBJECT), choose("session", SESSION)
    )


def read_table(
    file: Path,
    root: Path,
    columns: Columns,
    targets: Sequence[Target],
    known: Mapping[str, Recording],
    *,
    label_seconds: float | None,
) -> Iterator[Session | Dropped]:
    """The sessions of a table, a row for each stretch, or for the whole of a recording where it has no times."""
    rows: dict[str, list[tuple[Stretch, dict[str, str]]]] = defaultdict(list)
    index = _index(known)
    for number, record in enumerate(_tables.records(file), start=1):
        try:
            name = _named(record[columns.recording], index, known)
            stretch = _stretch(record, columns, targets, file, number, label_seconds)
        except AffectkitError as error:
            reason, _, detail = error.message.partition(": ")
            yield mistake(file, root, reason, detail, error.remedy or CORRECT, at=f"row {number}")
            continue
        owners = {"subject": columns.subject, "session": columns.session}
        names = {what: record[column].strip() if column else "" for what, column in owners.items()}
        rows[name].append((stretch, names))
    for name, members in rows.items():
        named = {what: list(dict.fromkeys(n[what] for _, n in members if n[what])) for what in ("subject", "session")}
        if twice := next((what for what, each in named.items() if len(each) > 1), None):
            detail = f"{name} is of {twice} '{named[twice][0]}' and of {twice} '{named[twice][1]}'"
            yield mistake(file, root, f"a recording of two {twice}s", detail)
            continue
        subject, session = ((named[what] or [""])[0] for what in ("subject", "session"))
        stretches = [stretch for stretch, _ in members]
        yield Session(known[name], file, subject, session, stretches, offers=frozenset(t.name for t in targets))


def _index(known: Mapping[str, Recording]) -> dict[str, list[str]]:
    """How a table may call a recording, in small letters -> its names: by path or name, with or without its ending."""
    index: dict[str, list[str]] = defaultdict(list)
    for name, recording in known.items():
        files = [path for path in (recording.medium, recording.sound, *recording.series.values()) if path]
        folder, _, stem = name.rpartition("/")
        spellings = {name, stem}
        spellings |= {path.name for path in files} | {f"{folder}/{path.name}".lstrip("/") for path in files}
        for spelling in {_folded(text) for text in spellings}:
            index[spelling].append(name)
    return index


def _folded(name: str) -> str:
    """In small letters, and with `ö` as one character: file systems of a Mac have two."""
    return unicodedata.normalize("NFC", name).lower()


def _named(cell: str, index: Mapping[str, Sequence[str]], known: Mapping[str, Recording]) -> str:
    """The recording that a cell means: one that was found in the corpus's folder. Of a path from another machine
    (`C:\\videos\\p01.mp4`) the name alone."""
    wanted = os.path.normpath(_folded(cell.strip().replace("\\", "/")))
    if re.match(r"/|[a-z]:/", wanted):
        wanted = wanted.rpartition("/")[2]
    names = index.get(wanted) or index.get(os.path.splitext(wanted)[0], ())
    if not cell.strip():
        raise AffectkitError("input", "labels without a recording: the cell is empty", remedy="name one")
    if not names:
        stems = sorted({name.rpartition("/")[2] for name in known})  # all endings are alike
        remedy = did_you_mean(os.path.splitext(wanted)[0].rpartition("/")[2], stems)
        remedy = remedy if stems else "put the recordings beside the table"
        raise AffectkitError("input", f"labels without a recording: there is no '{cell}'", remedy=remedy)
    if len(names) > 1:
        what = f"labels of several recordings: '{cell}' may be {names[0]} or {names[1]}"
        raise AffectkitError("input", what, remedy="write the path from the table")
    return names[0]


def _stretch(
    record: Mapping[str, str], columns: Columns, targets: Sequence[Target], file: Path, row: int, every: float | None
) -> Stretch:
    """A row of the table. Raises AffectkitError whose reason begins with its kind and a colon."""
    start, end = (_time(record, name, file, row) for name in (columns.start, columns.end))
    if math.isnan(end) and not math.isnan(start):
        if every is None:
            remedy = "give its end, or --label-seconds"
            raise AffectkitError("input", f"impossible times: it starts at {start:g} s and has no end", remedy=remedy)
        end = start + every
    if math.isnan(start) and not math.isnan(end):
        start = 0.0
    if not math.isnan(start) and (error := segment_error(file, start, end, math.inf)):
        what = f"impossible times: it starts at {start:g} s and ends at {end:g} s"
        raise AffectkitError("input", what, remedy=error.remedy)
    values: dict[str, Any] = {}
    for target in (target for target in targets if target.name in record):
        cell = record[target.name].strip()
        try:
            value = _checked(cell if target.kind != "number" else _number(cell, target, file, row), target)
        except ValueError as error:
            raise AffectkitError("input", f"an impossible label: {error}", remedy=CORRECT) from None
        values |= {} if value is None else {target.name: value}
    named = columns.named | {target.name for target in targets}
    carried = {name: cell for name, cell in record.items() if name and name not in named and is_file_name(name)}
    return Stretch(start, end, values, f"row {row}", carried)


def _time(record: Mapping[str, str], column: str | None, file: Path, row: int) -> float:
    if column is None:
        return math.nan
    try:
        return _tables.seconds(record[column], column, file=file, row=row)
    except AffectkitError as error:
        raise AffectkitError("input", f"impossible times: {error.message}", remedy=error.remedy) from None


def _number(cell: str, target: Target, file: Path, row: int) -> float | None:
    if not cell:
        return None
    try:
        value = _tables.number(cell, target.name, file=file, row=row)
    except AffectkitError as error:
        raise AffectkitError("input", f"an impossible label: {error.message}", remedy=error.remedy) from None
    if math.isnan(value):
        raise AffectkitError("input", f"an impossible label: {target.name} '{cell}'", remedy="leave the cell empty")
    return value


# --- Labels that contradict each other, or their recording


def contradictions(stretches: Sequence[Stretch]) -> Iterator[tuple[Stretch, Stretch, str]]:
    """Pairs of stretches that lie on each other by more than half of the shorter, with different values of a target.

    A smaller overlap is that of neighbours whose ends are rounded.
    """
    timed = sorted((s for s in stretches if not s.whole), key=lambda stretch: stretch.start)
    whole = [stretch for stretch in stretches if stretch.whole]
    open_: list[Stretch] = []
    for stretch in timed:
        open_ = [other for other in open_ if other.end > stretch.start + EXACT]
        for other in open_:
            shared = min(other.end, stretch.end) - stretch.start
            if shared > min(other.end - other.start, stretch.end - stretch.start) / 2 and (
                name := _differs(other, stretch)
            ):
                yield other, stretch, name
        open_.append(stretch)
    for place, first in enumerate(whole):
        for other in (*whole[place + 1 :], *timed):
            if name := _differs(first, other):
                yield first, other, name


def _differs(first: Stretch, second: Stretch) -> str:
    """The first target that both have a value of, and not the same; "" without."""
    return next((n for n, v in first.values.items() if n in second.values and second.values[n] != v), "")
