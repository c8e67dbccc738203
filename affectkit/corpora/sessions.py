"""Self-recorded sessions: videos, sounds, frames or landmarks with scores per second, per minute or per session."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from affectkit.corpora import _recordings, _sessions, _tables, _windows
from affectkit.corpora._corpus import Corpus, Dropped, Note, Row
from affectkit.corpora._files import checked, find_files, hidden, not_here, relative, require_folder
from affectkit.corpora._recordings import Recording
from affectkit.corpora._sessions import OVERHANG, Session, Stretch, mistake
from affectkit.corpora._tables import safe_id
from affectkit.errors import AffectkitError, did_you_mean, listed
from affectkit.labels import Target
from affectkit.media import segment_error
from affectkit.media.cuts import EXACT, Bounds, Windows
from affectkit.registry import Option
from affectkit.synthesis.sessions import write_sessions

if TYPE_CHECKING:
    import pandas as pd

CORPUS = Corpus(
    title="recorded sessions",
    licence="your own, and the consent of those who were recorded",
    citation="cite where the sessions come from",
    layout="a table of video,start_sec,end_sec,stress,... beside the videos, or folders of video.mp4 (or frames/) and "
    "labels.json",
    reads="video",
    default_group="subject",
    # whose word the labels are, the sessions alone can say
    scores={name: f"{name}, as the labels of the sessions have it" for name in ("stress", "depression", "anxiety")},
)
# Numbers of a row that nobody is to predict.
MEASURES = ("start_sec", "end_sec", "time_sec", "labelled_share")
# Columns of a table that would stand for something else in a manifest.
TAKEN = (*_tables.RESERVED, *MEASURES, "id", "path", "split", "sequence", "track", "dialogue")


def targets(*, target_columns: str = "", rows: "pd.DataFrame | None" = None, **others: object) -> tuple[Target, ...]:
    """What the options name, else the numbers of the `rows` that were read."""
    if target_columns or rows is None:
        return _tables.parse_targets(target_columns)
    numbers = [str(name) for name in rows if rows[name].dtype.kind == "f" and name not in MEASURES]
    return tuple(Target(name, "number") for name in numbers)


def read(
    root: Path,
    *,
    table: _tables.Table = "",
    path_column: _tables.PathColumn = "video",
    start_column: _tables.StartColumn = "start_sec",
    end_column: _tables.EndColumn = "end_sec",
    speaker_column: _tables.SpeakerColumn = "subject",
    session_column: _tables.SessionColumn = "session",
    target_columns: _tables.TargetColumns = "",
    per: _windows.Per = "label",
    window: _windows.Window = None,
    stride: _windows.Stride = None,
    label_seconds: Annotated[
        float | None,
        Option(
            "How long each label of labels.json lasts, or a table's where it has no end: 60 for a label per minute.",
            "s",
            least=0.001,
            default="as labels.json says, else 1",
        ),
    ] = None,
    frame_rate: Annotated[
        float | None,
        Option("Pictures a second in folders frames/.", "1/s", least=0.001, default="as labels.json says, else 1"),
    ] = None,
) -> Iterator[Row | Dropped | Note]:
    """The rows of all sessions below `root`, of either layout; of a table that is named the rows in its folder.

    start_sec, end_sec and time_sec (the start) count from the start of the recording. `path` is the video or sound; of
    frames the picture that is nearest to the middle of the row. `path_landmarks` and so on are series that lie beside.
    Windows carry the mean of the labels in them, by their seconds; a window without any label is dropped. Raises
    "usage" for options that do not go together, "input" for files that are none of theirs.
    """
    wanted = _tables.named_columns(locals())
    _windows.refuse_per(per, "label", "session")
    cut = _windows.asked(window, stride)
    if cut and per == "session":
        raise AffectkitError("usage", "--window and --per session exclude each other", remedy="leave one of them out")
    if root.is_file() and root.suffix.lower() in (".csv", ".tsv"):
        root, table = root.parent, root.name
    require_folder(root, CORPUS)
    goals = _tables.parse_targets(target_columns) if target_columns else ()
    options = {"label_seconds": label_seconds, "frame_rate": frame_rate}
    gathered = _gathered(root, _find_table(root, table, path_column), wanted, goals, **options)
    return checked(_rows(gathered, goals, root, cut, per), root, CORPUS, listed=True)


# --- Which sessions there are


def _find_table(root: Path, name: str, path_column: str) -> Path | None:
    """The table at the root that names recordings, if there is one."""
    tables = _tables_in(root)
    if name:
        found = next((path for path in tables if path.name == name), None)
        if found is None:
            remedy = did_you_mean(name, [path.name for path in tables])
            raise AffectkitError("missing", f"has no table '{name}'", file=root, remedy=remedy)
        return found
    named = [path for path in tables if set(_header(path)) & {path_column, *_sessions.RECORDING}]
    if len(named) > 1:
        remedy = f"choose with --table: {', '.join(path.name for path in named)}"
        raise AffectkitError("usage", f"holds {len(named)} tables that name recordings", file=root, remedy=remedy)
    return named[0] if named else None


def _tables_in(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.suffix.lower() in (".csv", ".tsv") and not hidden(p.name))


def _header(path: Path) -> list[str]:
    return next(_tables.iter_rows(path))


def _gathered(
    root: Path,
    table: Path | None,
    wanted: Mapping[str, str],
    goals: Sequence[Target],
    *,
    label_seconds: float | None,
    frame_rate: float | None,
) -> list[Session | Dropped]:
    folders = [file.parent for file in find_files(root, [_sessions.LABELS]) if file.name == _sessions.LABELS]
    recordings = _recordings.recordings_in(root, root)
    if table is None and not folders:
        tables = [path for path in _tables_in(root) if not _recordings.is_series(path)]
        if len(tables) != 1 or not any(recording.medium for recording in recordings.values()):
            raise not_here(root, CORPUS)
        [table] = tables  # which columns it lacks is said of it
    if table is not None:
        recordings.pop(relative(table.with_suffix(""), root), None)
    loose = {
        name: recording
        for name, recording in recordings.items()
        if recording.anything and not any(recording.anything.is_relative_to(folder) for folder in folders)
    }
    items: list[Session | Dropped] = []
    if table is not None:
        items += _of_table(root, table, wanted, goals, recordings, label_seconds)
    for folder in folders:
        items += _sessions.read_folder(folder, root, goals, label_seconds=label_seconds, frame_rate=frame_rate)
    items = list(_twice(items, root))
    labelled = {item.recording.name for item in items if isinstance(item, Session)}
    for name, recording in loose.items():
        named = any(path.stem.lower() != Path(name).name.lower() for path in recording.series.values())
        if name not in labelled and (recording.medium or named):
            items.append(Dropped(relative(recording.anything or root, root), "a recording without labels"))
    return items


def _of_table(
    root: Path,
    table: Path,
    wanted: Mapping[str, str],
    goals: Sequence[Target],
    recordings: Mapping[str, Recording],
    label_seconds: float | None,
) -> Iterator[Session | Dropped]:
    header = _header(table)
    roles = {"path": "path", "start_sec": "start", "end_sec": "end", "speaker": "speaker", "session": "session"}
    defaults = _tables.named_columns(read.__kwdefaults__ or {})
    asked, usual = ({roles[c]: names[c] for c in roles} for names in (wanted, defaults))
    columns = _sessions.columns_of(header, asked, usual, table)
    for target in (target for target in goals if target.name not in header):
        remedy = did_you_mean(target.name, header)
        raise AffectkitError("input", f"has no column '{target.name}'", file=table, remedy=remedy)
    there = goals or [Target(name, "number") for name in _sessions.KNOWN if name in header]
    if not there:
        message = f"has no labels among {listed(header)}"
        raise AffectkitError("input", message, file=table, remedy="name them with --target-columns")
    yield from _sessions.read_table(table, root, columns, there, recordings, label_seconds=label_seconds)


def _twice(items: Iterable[Session | Dropped], root: Path) -> Iterator[Session | Dropped]:
    """Leave out sessions that a table labels and a labels.json too: nobody knows which is right."""
    items = list(items)
    names = Counter(_places(item, root) for item in items if isinstance(item, Session))
    for item in items:
        if isinstance(item, Session) and names[_places(item, root)] > 1:
            detail = f"{_places(item, root)} has others in another file"
            yield mistake(item.labels, root, "labels of one session in two places", detail, "remove one of them")
        else:
            yield item


def _places(session: Session, root: Path) -> str:
    """What tells sessions apart: the folder that a labels.json lies in, else the recording's name."""
    medium = session.recording.anything
    if medium is not None and (medium.parent / _sessions.LABELS).is_file():
        return relative(medium.parent, root)
    return session.recording.name


# --- Their rows


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


def _rows(
    items: Sequence[Session | Dropped], goals: Sequence[Target], root: Path, cut: Windows | None, per: str
) -> Iterator[Row | Dropped | Note]:
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
        columns = {f"path_{kind}": _path(session.recording.series.get(kind), root) for kind in series}
        common = {**_groups(session, names[session.recording.name]), **columns}
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
        s.recording.name: (f"{s.subject}_{s.session}" if shared and s.subject else s.session)
        or safe_id(s.recording.name)
        for s in sessions
    }


def _groups(session: Session, name: str) -> Row:
    subject = {"subject": session.subject} if session.subject else {}
    return {**subject, "session": name, "sequence": safe_id(session.recording.name)}


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
    listed = session.labels.name == _sessions.LABELS
    inside = min(stretch.end, length) - stretch.start
    if listed:
        late = inside < (stretch.end - stretch.start) / 2 - EXACT
        detail = f"{session.recording.name} lasts {length:.1f} s, {stretch.place} begins at {stretch.start:g} s"
        place = relative(session.labels, root)
        return Dropped(place, "a label beyond the end of its recording", detail=detail) if late else None
    error = segment_error(
        session.recording.anything, stretch.start, min(stretch.end, length + OVERHANG), length + OVERHANG
    )
    if stretch.end <= length + OVERHANG and inside > EXACT and error is None:
        return None
    error = segment_error(session.recording.anything, stretch.start, stretch.end, length) or error
    detail = f"{session.recording.name} {error.message if error else 'is shorter'}"
    remedy = (error and error.remedy) or "correct its times"
    return mistake(session.labels, root, "labels outside of their recording", detail, remedy, at=stretch.place)


def _of_session(
    timeline: Timeline, goals: Sequence[Target], common: Row, root: Path, cut: Windows | None, per: str
) -> Iterator[Row | Dropped]:
    session = timeline.session
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
    labelled = _windows.Track(_SAID, [_windows.Labelled(s.start, s.end, 1.0) for s in timed if s.values])
    for bounds in cut.cut(0.0, end) if cut else [(0.0, end)]:
        values = {track.target.name: track.pooled(bounds) for track in tracks}
        key = f"{safe_id(session.recording.name)}@{bounds[0]:010.3f}" if cut else safe_id(session.recording.name)
        if not any(value != "" and value == value for value in values.values()):
            where = f" from {bounds[0]:g} to {bounds[1]:g} s" if cut else ""
            yield Dropped(key, "no label lies in it", detail=f"{session.recording.name}{where}")
            continue
        spans = [(first, last) for first, last, _ in labelled.about(bounds)]
        share = _windows.covered(spans, bounds) / (bounds[1] - bounds[0]) if timed else 1.0
        row = _row(key, session, bounds if cut else None, values, common, carried, root)
        yield {**row, "labelled_share": round(share, 6)}


_SAID = Target("said", "number")  # whether anything is


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
        key = safe_id(session.recording.name) + ("" if stretch.whole else f"@{stretch.start:010.3f}")
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


# --- The synthetic twin


def synthesize(
    root: Path,
    *,
    size: int,
    speakers: int,
    seed: int,
    session_layout: Annotated[
        Literal["table", "folders"], Option("A table beside recordings, or a folder per session with labels.json.")
    ] = "table",
) -> None:
    """Write the twin: `size` seconds with a stress rating each, in sessions of some 20 to 60 s of `speakers` subjects.

    Restless hands, raised shoulders and a tense voice go with stress, sinking down with depression; each person has a
    posture and a level of stress of their own. A third of the sessions lack a depression score, others an anxiety
    score. Landmarks come at 25, 29.97 and 30 frames a second, and at a rate that varies.
    """
    write_sessions(root, size=size, speakers=speakers, seed=seed, layout=session_layout)
