"""Self-recorded sessions: videos, sounds, frames or landmarks with scores per second, per minute or per session."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from affectkit.corpora import _recordings, _sessions, _tables, _windows
from affectkit.corpora._corpus import Corpus, Dropped, Note, Row
from affectkit.corpora._files import checked, find_files, hidden, not_here, relative, require_folder
from affectkit.corpora._recordings import Recording
from affectkit.corpora._session_rows import MEASURES, rows_of
from affectkit.corpora._sessions import Session, mistake
from affectkit.errors import AffectkitError, did_you_mean, listed
from affectkit.labels import Target
from affectkit.media.cuts import Windows
from affectkit.registry import Option

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
    cut = Windows.asked(window, stride)
    if cut and per == "session":
        raise AffectkitError("usage", "--window and --per session exclude each other", remedy="leave one of them out")
    if root.is_file() and root.suffix.lower() in (".csv", ".tsv"):
        root, table = root.parent, root.name
    require_folder(root, CORPUS)
    goals = _tables.parse_targets(target_columns) if target_columns else ()
    options = {"label_seconds": label_seconds, "frame_rate": frame_rate}
    gathered = _gathered(root, _find_table(root, table, path_column), wanted, goals, **options)
    return checked(rows_of(gathered, goals, root, cut, per), root, CORPUS, listed=True)


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
    from affectkit.synthesis.sessions import write_sessions

    write_sessions(root, size=size, speakers=speakers, seed=seed, layout=session_layout)
