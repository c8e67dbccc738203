"""Rows of self-recorded sessions: labels in time, cut into windows, one by one, or all of a session."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from affectkit.corpora import _recordings, _sessions, _tables, _windows
from affectkit.corpora._corpus import Dropped, Note, Row
from affectkit.corpora._files import relative
from affectkit.corpora._sessions import OVERHANG, Session, Stretch, mistake
from affectkit.corpora._tables import safe_id
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target
from affectkit.media import segment_error
from affectkit.media.cuts import EXACT, Bounds, Windows, id_at

# Numbers of a row that nobody is to predict.
MEASURES = ("start_sec", "end_sec", "time_sec", "labelled_share")
# Columns of a table that would stand for something else in a manifest.
TAKEN = (*_tables.RESERVED, *MEASURES, "id", "path", "split", "sequence", "track", "dialogue")


@dataclass(frozen=True)
class Timeline:
    """A session with its length in seconds (NaN where no file says it), and its labels, within that length."""

    session: Session
    length: float
    stretches: list[Stretch]

    @property
    def end(self) -> float:
        """Of the recording, else of the last label."""
        last = max((stretch.end for stretch in self.stretches if not stretch.whole), default=math.nan)
        return last if math.isnan(self.length) else self.length

    @property
    def jumbled(self) -> bool:
        """Whether the labels do not stand in the order of time."""
        return any(later.start < sooner.start for sooner, later in pairwise(self.timed))

    @property
    def timed(self) -> list[Stretch]:
        return [stretch for stretch in self.stretches if not stretch.whole]

    def unlabelled(self) -> float:
        """Seconds that no label is for; 0 where a label is for all of it, or the length is unknown."""
        if math.isnan(self.length) or any(stretch.values for stretch in self.stretches if stretch.whole):
            return 0.0
        labelled = sorted((stretch.start, stretch.end) for stretch in self.timed if stretch.values)
        return self.length - _windows.covered(labelled, (0.0, self.length))


def rows_of(
    items: Sequence[Session | Dropped], goals: Sequence[Target], root: Path, cut: Windows | None, per: str
) -> Iterator[Row | Dropped | Note]:
    """The rows of sessions, as `sessions.read` says. goals: targets that were asked for, or none for all.

    Raises "input" for a target that no session has a label of.
    """
    sessions = [item for item in items if isinstance(item, Session)]
    yield from (item for item in items if isinstance(item, Dropped))
    names = _session_names(sessions)
    known = {target.name: target for target in goals}
    seen = {name for session in sessions for stretch in session.stretches for name in stretch.values}
    known |= {name: Target(name, "number") for name in sorted(seen - known.keys())}
    offered = {name for session in sessions for name in session.offers}
    for target in (target for target in goals if sessions and target.name not in seen | offered):
        remedy = did_you_mean(target.name, sorted(offered))
        raise AffectkitError("input", f"no session has a label of '{target.name}'", file=root, remedy=remedy)
    series = sorted({name for session in sessions for name in session.recording.series})
    timelines: list[Timeline] = []
    for session in sessions:
        timeline, problems = _timeline(session, root)
        yield from problems
        if timeline is None:
            continue
        timelines.append(timeline)
        subject = {"subject": session.subject} if session.subject else {}
        columns = {f"path_{kind}": _path(session.recording.series.get(kind), root) for kind in series}
        common = {**subject, "session": names[session.recording.name], "sequence": _key(session), **columns}
        yield from _of_session(timeline, tuple(known.values()), common, root, cut, per)
    yield from _notes(timelines)


def _session_names(sessions: Sequence[Session]) -> dict[str, str]:
    """Recording -> its session: as the labels call it, with the subject before it where two subjects have a session of
    one name; without a name the recording's."""
    owners = defaultdict(set)
    for session in sessions:
        owners[session.session].add(session.subject)
    shared = any(len(subjects) > 1 for name, subjects in owners.items() if name)
    return {
        s.recording.name: (f"{s.subject}_{s.session}" if shared and s.subject else s.session) or _key(s)
        for s in sessions
    }


def _key(session: Session) -> str:
    """The id of all of it, with which those of its rows begin."""
    return safe_id(session.recording.name)


HAVE = ("has", "have")  # of one session, of several


def _notes(timelines: Sequence[Timeline]) -> Iterator[Note]:
    """What is told of the sessions as a whole: whose they are, and what is odd about their labels."""
    count = len(timelines)
    if without := [timeline.session for timeline in timelines if not timeline.session.subject]:
        who = "No session says" if len(without) == count else _so_many(without, count, ("does not say", "do not say"))
        risk = "one person may be on both sides of a split; give a column subject, or subject_id in labels.json"
        yield Note(f"{who} whose it is: {risk}", in_reports=True)
    if gaps := [timeline for timeline in timelines if timeline.unlabelled() > OVERHANG]:
        total, worst = math.fsum(timeline.unlabelled() for timeline in gaps), max(gaps, key=Timeline.unlabelled)
        where = f"most in {worst.session.recording.name} ({worst.unlabelled():.1f} of {worst.length:.1f} s)"
        sessions = f"{len(gaps)} of {count} session{'s' * (count != 1)} {HAVE[len(gaps) > 1]}"
        yield Note(f"{sessions} stretches without a label: {total:.1f} s in all, {where}")
    if uneven := [timeline.session for timeline in timelines if timeline.session.uneven]:
        what = (
            f"lists of different lengths in labels.json ({uneven[0].uneven}): the end of the longer ones stands alone"
        )
        yield Note(f"{_so_many(uneven, count, HAVE)} {what}")
    if jumbled := [timeline.session for timeline in timelines if timeline.jumbled]:
        what = "labels that are not in the order of time; each counts for the time that it names"
        yield Note(f"{_so_many(jumbled, count, HAVE)} {what}")


def _so_many(sessions: Sequence[Session], count: int, verbs: tuple[str, str]) -> str:
    """`1 of 5 sessions (p1_s1) has`, `2 of 5 sessions (p1_s1, ...) have`."""
    names = sessions[0].recording.name + ", ..." * (len(sessions) > 1)
    return f"{len(sessions)} of {count} session{'s' * (count != 1)} ({names}) {verbs[len(sessions) > 1]}"


def _timeline(session: Session, root: Path) -> tuple[Timeline | None, list[Dropped]]:
    """The labels that can be relied on, and what is wrong with the others."""
    recording = session.recording
    problems: list[Dropped] = []
    try:
        length = _recordings.length_of(recording)
    except AffectkitError as error:
        file = recording.anything or session.labels
        return None, [mistake(file, root, "a recording that cannot be read", error.message, error.remedy or "drop it")]
    contested: dict[int, Stretch] = {}
    for first, second, name in _sessions.contradictions(session.stretches):
        values = f"{name} {_word(first.values[name])} ({first.place}) and {_word(second.values[name])} ({second.place})"
        detail = f"{recording.name} has {values} at one time"
        problems.append(mistake(session.labels, root, "labels that contradict each other", detail))
        contested |= {id(first): first, id(second): second}
    kept: list[Stretch] = []
    for stretch in (stretch for stretch in session.stretches if id(stretch) not in contested):
        problem = None if stretch.whole or math.isnan(length) else _outside(stretch, length, session, root)
        if problem is not None:
            problems.append(problem)
        elif stretch.whole or math.isnan(length):
            kept.append(stretch)
        else:
            kept.append(replace(stretch, end=min(stretch.end, length)))
    return Timeline(session, length, kept), problems


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _outside(stretch: Stretch, length: float, session: Session, root: Path) -> Dropped | None:
    """Why a stretch does not lie in its recording: of a list a label too many, which is counted; of a table a mistake.

    A label of which more than half lies within is taken for that; so is any whose end is rounded.
    """
    recording, inside = session.recording, min(stretch.end, length) - stretch.start
    if session.labels.name == _sessions.LABELS:
        late = inside < (stretch.end - stretch.start) / 2 - EXACT
        detail = f"{recording.name} lasts {length:.1f} s, {stretch.place} begins at {stretch.start:g} s"
        place = relative(session.labels, root)
        return Dropped(place, "a label beyond the end of its recording", detail=detail) if late else None
    most = length + OVERHANG
    error = segment_error(recording.anything, stretch.start, min(stretch.end, most), most)
    if stretch.end <= most and inside > EXACT and error is None:
        return None
    error = segment_error(recording.anything, stretch.start, stretch.end, length) or error
    detail = f"{recording.name} {error.message if error else 'is shorter'}"
    remedy = (error and error.remedy) or "correct its times"
    return mistake(session.labels, root, "labels outside of their recording", detail, remedy, at=stretch.place)


def _of_session(
    timeline: Timeline, goals: Sequence[Target], common: Row, root: Path, cut: Windows | None, per: str
) -> Iterator[Row | Dropped]:
    session, name = timeline.session, _key(timeline.session)
    if cut is None and per == "label":
        yield from _per_label(timeline, goals, common, root)
        return
    if cut is not None and math.isnan(timeline.end):
        what = f"{session.recording.name} says no length"
        remedy = "convert it to MP4 or WAV, or give times with its labels"
        yield mistake(session.recording.anything or session.labels, root, "a recording of unknown length", what, remedy)
        return
    end = 1.0 if math.isnan(timeline.end) else timeline.end
    tracks = [_track(timeline, target, end) for target in goals]
    carried = _constant([{**session.carried, **stretch.carried} for stretch in timeline.stretches] or [session.carried])
    timed = timeline.timed
    labelled = _windows.Track(_LABELLED, [_windows.Labelled(s.start, s.end, 1.0) for s in timed if s.values])
    for bounds in cut.cut(0.0, end) if cut else [(0.0, end)]:
        values = {track.target.name: track.pooled(bounds) for track in tracks}
        key = id_at(name, bounds[0]) if cut else name
        if not any(value != "" and value == value for value in values.values()):
            where = f" from {bounds[0]:g} to {bounds[1]:g} s" if cut else ""
            yield Dropped(key, "no label lies in it", detail=f"{session.recording.name}{where}")
            continue
        spans = [(first, last) for first, last, _ in labelled.about(bounds)]
        share = _windows.covered(spans, bounds) / (bounds[1] - bounds[0]) if timed else 1.0
        row = _row(key, session, bounds if cut else None, values, common, carried, root)
        yield {**row, "labelled_share": round(share, 6)}


_LABELLED = Target("labelled", "number")  # whether anything is


def _track(timeline: Timeline, target: Target, end: float) -> _windows.Track:
    """A target's labels in time; one of the whole recording where there are no others."""
    labelled = [stretch for stretch in timeline.stretches if target.name in stretch.values]
    timed = [stretch for stretch in labelled if not stretch.whole]
    spans = [
        _windows.Labelled(*((0.0, end) if s.whole else (s.start, s.end)), s.values[target.name])
        for s in timed or labelled
    ]
    return _windows.Track(target, spans)


def _per_label(timeline: Timeline, goals: Sequence[Target], common: Row, root: Path) -> Iterator[Row | Dropped]:
    """A row for each stretch, with what holds of the whole session; a single one where there is nothing else."""
    session = timeline.session
    whole = {name: value for stretch in timeline.stretches if stretch.whole for name, value in stretch.values.items()}
    timed = timeline.timed
    carried = _constant([{**session.carried, **s.carried} for s in timeline.stretches if s.whole] or [session.carried])
    taken: set[str] = set()
    for stretch in timed or ([Stretch(math.nan, math.nan, {}, "")] if timeline.stretches else []):
        values = {target.name: (whole | dict(stretch.values)).get(target.name) for target in goals}
        filled = {
            t.name: (math.nan if t.kind == "number" else "") if values[t.name] is None else values[t.name]
            for t in goals
        }
        key = _key(session) if stretch.whole else id_at(_key(session), stretch.start)
        key = key if key not in taken else f"{key}-{len(taken)}"
        taken.add(key)
        if all(value is None for value in values.values()):
            yield Dropped(key, "no label lies in it", detail=f"{session.labels.name} {stretch.place}".strip())
            continue
        bounds = None if stretch.whole else (stretch.start, stretch.end)
        yield _row(key, session, bounds, filled, common, carried | dict(stretch.carried), root)


def _row(
    key: str, session: Session, bounds: Bounds | None, values: Row, common: Row, carried: Mapping[str, str], root: Path
) -> Row:
    recording = session.recording
    middle = sum(bounds) / 2 if bounds else (recording.frames.length / 2 if recording.frames else 0.0)
    picture = recording.frames.at(middle) if recording.frames else None
    start, end = bounds or (math.nan, math.nan)
    further = {f"source_{name}" if name in (*TAKEN, *values) else name: cell for name, cell in carried.items()}
    return {
        "id": key,
        "path": _path(recording.medium or picture, root),
        **({"path_audio": _path(recording.sound, root)} if recording.sound else {}),
        **values,
        "start_sec": start,
        "end_sec": end,
        "time_sec": 0.0 if math.isnan(start) else start,
        **further,
        **common,
        "split": "",
    }


def _path(path: Path | None, root: Path) -> str:
    return relative(path, root) if path else ""


def _constant(cells: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all have alike."""
    first, *others = cells
    return {name: cell for name, cell in first.items() if all(other.get(name) == cell for other in others)}
