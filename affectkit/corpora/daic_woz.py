"""DAIC-WOZ: interviews by a virtual interviewer, with the PHQ-8: sound, transcripts, COVAREP, formants and CLNF."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from affectkit.corpora._corpus import Corpus, Defect, Dropped, Note, Row
from affectkit.corpora._files import checked, find_home, folders_in, hidden, is_pointer, not_here, pointer, relative
from affectkit.corpora._interviews import Interview, Role, Turn, read_interview, read_lines
from affectkit.corpora._tables import number, records
from affectkit.corpora._windows import Per, refuse_per
from affectkit.errors import AffectkitError
from affectkit.instruments import PHQ8_LEVELS, PHQ8_LIKELY, SCORES
from affectkit.labels import Target
from affectkit.media.cuts import write_stretches
from affectkit.registry import Option

PHQ8 = Target("phq8", "number", scale=(0, 24))
DEPRESSED = Target("depressed", "class", ("no", "yes"))
SEVERITY = Target("severity", "ordinal", PHQ8_LEVELS.names)
ITEMS = ("NoInterest", "Depressed", "Sleep", "Tired", "Appetite", "Failure", "Concentrating", "Moving")
CORPUS = Corpus(
    title="DAIC-WOZ",
    licence="DAIC-WOZ end user licence agreement (USC ICT): academic, not for profit, on request",
    citation="J. Gratch, R. Artstein, G. Lucas, G. Stratou, S. Scherer, A. Nazarian, R. Wood, J. Boberg, D. DeVault, "
    "S. Marsella, D. Traum, S. Rizzo, L.-P. Morency: The Distress Analysis Interview Corpus of human and computer "
    "interviews. LREC 2014.",
    url="https://dcapswoz.ict.usc.edu/",
    layout="300_P/300_TRANSCRIPT.csv, 300_P/300_AUDIO.wav, ... and train_split_Depression_AVEC2017.csv, dev_split_..., "
    "full_test_split.csv",
    language="en",
    targets=(PHQ8,),
    official="the split of AVEC 2017: 107 train, 35 dev, 47 test",
    default_group="subject",
    scores={
        "phq8": SCORES["phq8"],
        "depressed": f"PHQ-8 of {PHQ8_LIKELY} or more, a self-report that calls for a closer look (Kroenke et al. "
        "2009)",
        "severity": PHQ8_LEVELS.in_words("PHQ-8"),
    },
    defects=(Defect("text", "DAIC-WOZ's short answers ('yes', 'mhm') recur in train, dev and test"),),
    speakers=189,
    overruns=True,
)
EXCLUDED = ("342", "394", "398", "460")
# What users of the corpus found, and its documentation does not correct (A. Bailey, M. D. Plumbley: Gender bias in
# depression detection using audio features. EUSIPCO 2021, and the tool beside it), in seconds of the recording.
SHIFTS = {"318": 34.319917, "321": 3.8379167, "341": 6.1892, "362": 16.8582}
INTERRUPTED = {"373": ((395.0, 428.0),), "444": ((286.0, 387.0),)}
# What the tables' names begin with -> the split; the test table with labels before the one without.
SPLITS = {"train_split": "train", "dev_split": "val", "full_test_split": "test", "test_split": "test"}
# What a session's files are called -> the column of the manifest. A copy may say `300_CLNF_AUs.csv`.
SERIES = {
    "covarep": "covarep", "formant": "formant", "clnf_aus": "aus", "clnf_gaze": "gaze", "clnf_pose": "pose",
    "clnf_features": "landmarks", "clnf_features3d": "landmarks3d",
}  # fmt: skip
LEAK = (
    "the interviewer's turns are among its rows (--interviewer). Her follow-up prompts give the label away (Burdisso "
    "et al. 2024): compare with the participant's turns alone"
)


def targets(**options: object) -> tuple[Target, ...]:
    return PHQ8, DEPRESSED, SEVERITY


def read(
    root: Path,
    *,
    per: Per = "turn",
    interviewer: Annotated[
        bool,
        Option(
            "The interviewer's turns too, which give the label away: every report says so. Rows of turns have a column "
            "role then, those of sessions text_participant and text_interviewer beside text."
        ),
    ] = False,
    max_pause: Annotated[
        float,
        Option(
            "Longest pause within a turn: lines of the transcript that follow each other and lie no further apart are "
            "one; 0 keeps every line apart.",
            unit="s",
            least=0,
        ),
    ] = 1.0,
    keep_markers: Annotated[
        bool, Option("Keep what the transcript notes of sounds, such as <laughter>, in the text.")
    ] = False,
    mend_times: Annotated[
        bool,
        Option(
            "Shift the transcripts of 318, 321, 341 and 362, whose clock is known to be late, to their recordings, and "
            "leave the interruptions of 373 and 444 out."
        ),
    ] = True,
) -> Iterator[Row | Dropped | Note]:
    """A row for each turn of a participant, or for each interview.

    Ids are `300_t0012`, the line of the transcript at which the turn begins, or `300`. `subject` is the participant,
    and `sex` is the participant's in every row. `stretches` of an interview are the seconds of its turns; such rows
    have no `path`, so that no encoder of audio hears the interviewer. `path_covarep`, ..., `path_landmarks3d` are its
    series, empty where there are none. Targets follow the PHQ-8 score alone; its items are `phq8_<item>`.
    """
    refuse_per(per, "turn", "session")
    home, found = find_home(root, CORPUS, _held)
    folders = {session: folder for session, folder in found.items() if isinstance(folder, Path)}
    if not folders:
        _refuse_archives(root, home)
    labels, notes = _labels(home, folders)
    options = _Options(per, interviewer, max_pause, keep_markers, mend_times)
    reader = _Reader(root, {session: _files(session, folder) for session, folder in folders.items()}, options)
    yield from checked(_rows(folders, found.keys() - folders, labels, reader), root, CORPUS)
    yield from notes
    yield from reader.notes()


# --- Which sessions there are, and what is known of them


def _held(folder: Path) -> dict[str, Path | None]:
    """Session -> its folder, `300_P` or `300`; None where it lies in `300_P.zip` only."""
    sessions: dict[str, Path | None] = {}
    for entry in sorted(folder.iterdir()):
        name = re.fullmatch(r"([34]\d\d)(?:_P)?(\.zip)?", entry.name, re.IGNORECASE)
        if name and name[2] and entry.is_file():
            sessions.setdefault(name[1], None)
        elif name and not name[2] and entry.is_dir():
            sessions[name[1]] = entry
    return sessions


def _refuse_archives(root: Path, home: Path) -> None:
    archives = sorted(entry.name for entry in home.iterdir() if re.fullmatch(r"[34]\d\d(_P)?\.zip", entry.name, re.I))
    if not archives:
        raise not_here(root, CORPUS)
    listed = ", ".join(archives[:3]) + (f" and {len(archives) - 3} more" if len(archives) > 3 else "")
    remedy = "unpack each into a folder of its name: for z in *_P.zip; do unzip -d ${z%.zip} $z; done"
    raise AffectkitError("input", f"holds archives that are not unpacked: {listed}", file=home, remedy=remedy)


@dataclass(frozen=True)
class _Labels:
    """What the tables say of a session. place: table and row. cells: of the manifest."""

    place: str
    cells: Row


def _labels(home: Path, folders: Mapping[str, Path]) -> tuple[dict[str, _Labels], list[Note]]:
    """What the tables of the split say of each session, and what is wrong with it.

    Raises "missing" where there are none, "input" for a session in two parts of the split.
    """
    tables = _tables(home, folders)
    if not tables:
        names = "train_split_Depression_AVEC2017.csv, dev_split_... or full_test_split.csv"
        raise AffectkitError("missing", f"has no {names}", file=home, remedy="put the tables beside the sessions")
    labels: dict[str, _Labels] = {}
    problems: dict[str, list[str]] = {}
    for part, file in tables:
        seen: set[str] = set()
        for row, line in enumerate(records(file), start=1):
            cells = {name.strip().lower(): cell.strip() for name, cell in line.items()}
            session = _session(cells, file, row)
            known = labels.get(session)
            if known and (session in seen or known.cells["split"] != SPLITS[part]):
                message = f"participant {session} stands in {known.place} too"
                raise AffectkitError("input", message, file=file, row=row, remedy="leave one of them")
            seen.add(session)
            if known is None:  # full_test_split comes before test_split, which has no labels
                made = _cells(cells, session, SPLITS[part], file, row, problems)
                labels[session] = _Labels(f"{file.name} row {row}", made)
    return labels, [Note(f"{problem}: {', '.join(each)}") for problem, each in problems.items()]


def _tables(home: Path, folders: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """The tables of the split, in the home or in a folder of it, as (what they are, file); those with labels first."""
    places = [home, *(folder for folder in folders_in(home) if folder not in set(folders.values()))]
    tables: dict[str, Path] = {}
    for place in places:
        for file in sorted(place.iterdir()):
            name = re.match(rf"({'|'.join(SPLITS)}).*\.csv$", file.name, re.IGNORECASE)
            if name and file.is_file() and not hidden(file.name):
                tables.setdefault(name[1].lower(), file)
    return [(part, tables[part]) for part in SPLITS if part in tables]


def _session(cells: Mapping[str, str], file: Path, row: int) -> str:
    if "participant_id" not in cells:
        raise AffectkitError("input", "has no column 'Participant_ID'", file=file, remedy="name the column so")
    session = cells["participant_id"].removesuffix(".0")
    if not re.fullmatch(r"\d{3}", session):
        message = f"Participant_ID '{session}' is no number of three digits"
        raise AffectkitError("input", message, file=file, row=row, remedy="correct it, or take the row out")
    return session


def _cells(
    cells: Mapping[str, str], session: str, split: str, file: Path, row: int, problems: dict[str, list[str]]
) -> Row:
    """A row's cells of the manifest. What contradicts itself goes to `problems`, with its session; the score stands."""

    def value(*names: str) -> float:
        name = next((name for name in names if cells.get(name)), None)
        return number(cells[name], name, file=file, row=row) if name else math.nan

    score, binary = value("phq8_score", "phq_score"), value("phq8_binary", "phq_binary")
    items = {item: value(f"phq8_{item.lower()}") for item in ITEMS}
    for problem, detail in _contradictions(score, binary, items):
        problems.setdefault(problem, []).append(f"{session} ({detail})")
    score = score if _is_score(score) else math.nan
    depressed = "" if math.isnan(score) else DEPRESSED.classes[score >= PHQ8_LIKELY]
    severity = PHQ8_LEVELS.of(score) if depressed else ""
    sex = {"0": "male", "1": "female", "male": "male", "female": "female"}.get(cells.get("gender", "").lower(), "")
    of_items = {f"phq8_{item.lower()}": points for item, points in items.items()}
    return {"split": split, "phq8": score, "depressed": depressed, "severity": severity, "sex": sex, **of_items}


def _is_score(score: float) -> bool:
    return 0 <= score <= 24 and not score % 1


def _contradictions(score: float, binary: float, items: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """What a row of a table says that cannot be, and its numbers. NaN is what it does not say."""
    if not math.isnan(score) and not _is_score(score):
        yield "The PHQ-8 score is no whole number from 0 to 24, so that the session has no label", f"{score:g}"
    elif not math.isnan(score):
        beside, total = f"beside a score of {score:g}", sum(items.values())
        if not math.isnan(binary) and (binary > 0) != (score >= PHQ8_LIKELY):
            what = (
                f"The table's binary label contradicts its score; depressed follows the score ({PHQ8_LIKELY} or more)"
            )
            yield what, f"{binary:g} {beside}"
        if not math.isnan(total) and total != score:
            yield "The items of the PHQ-8 do not sum to its score, which stands", f"{total:g} {beside}"
    lacking = [item for item, points in items.items() if math.isnan(points)]
    if len(lacking) not in (0, len(ITEMS)):
        yield "Items of the PHQ-8 are missing, and stay empty", ", ".join(lacking)


def _files(session: str, folder: Path) -> dict[str, Path]:
    """A session's files by what their names say (`audio`, `clnf_aus`), in its folder or in one of its name in it."""
    inner = [place for place in folders_in(folder) if place.name.lower() == folder.name.lower()]
    files: dict[str, Path] = {}
    for file in (file for place in (folder, *inner) for file in sorted(place.iterdir())):
        name = re.fullmatch(rf"{session}[._](\w[\w.]*)\.(wav|csv|txt)", file.name, re.IGNORECASE)
        if name and file.is_file():
            files.setdefault(name[1].lower().replace(".", "_"), file)
    return files


# --- The rows of each session


@dataclass(frozen=True)
class _Options:
    """As `read` has them."""

    per: str
    interviewer: bool
    max_pause: float
    markers: bool
    mend_times: bool

    @property
    def roles(self) -> tuple[Role, ...]:
        return ("participant", "interviewer") if self.interviewer else ("participant",)


def _rows(
    folders: Mapping[str, Path], packed: Collection[str], labels: Mapping[str, _Labels], reader: "_Reader"
) -> Iterator[Row | Dropped]:
    """packed: sessions of which only an archive is there."""
    for session in sorted({*folders, *labels}):
        folder = folders.get(session)
        place = relative(folder, reader.root) if folder else labels[session].place
        if session in EXCLUDED:
            yield Dropped(place, "a session that the corpus excludes for technical reasons")
        elif session not in labels:
            yield Dropped(place, "stands in no table of the split")
        elif session in packed:
            yield Dropped(place, "the archive of the session is not unpacked", f"unpack {session}_P.zip")
        elif folder is None:
            yield Dropped(place, "there is no folder of the session", f"get {session}_P from the corpus")
        else:
            yield from reader.session(session, place, labels[session].cells)


class _Reader:
    """Reads sessions, and counts what is to be told of all of them."""

    def __init__(self, root: Path, files: Mapping[str, Mapping[str, Path]], options: _Options) -> None:
        self.root, self.files, self.options = root, files, options
        self.kinds = {kind for each in files.values() for kind in each}
        self.alone: list[str] = []  # sessions without the interviewer's side
        self.mended: list[str] = []
        self.lacking: Counter[str] = Counter()
        self.scrubbed = 0

    def session(self, session: str, place: str, labels: Row) -> Iterator[Row | Dropped]:
        files = self.files[session]
        if problem := self._problem(files, place):
            yield problem
            return
        transcript = files["transcript"]
        try:
            interview = self._interview(session, transcript)
        except AffectkitError as error:
            where = f" row {error.row}" if error.row else ""
            yield Dropped(relative(transcript, self.root) + where, error.message, error.remedy or "correct it")
            return
        yield from self._left_out(interview, transcript)
        if not interview.of("participant"):
            yield Dropped(relative(transcript, self.root), "has no words of the participant")
            return
        self.scrubbed += interview.scrubbed
        self.alone += [] if interview.interviewed else [session]
        shared = {**self._shared(session, files), **labels}
        turns = self.options.per == "turn"
        yield from self._turns(interview, files, shared) if turns else [self._whole(interview, shared)]

    def _interview(self, session: str, transcript: Path) -> Interview:
        mended = self.options.mend_times and session in {**SHIFTS, **INTERRUPTED}
        self.mended += [session] if mended else []
        return read_interview(
            read_lines(transcript),
            roles=self.options.roles,
            max_pause=self.options.max_pause,
            markers=self.options.markers,
            shift=SHIFTS.get(session, 0.0) if mended else 0.0,
            interrupted=INTERRUPTED.get(session, ()) if mended else (),
        )

    def _problem(self, files: Mapping[str, Path], place: str) -> Dropped | None:
        """Why a session cannot be read: a file that it should have is missing, empty or not the file itself."""
        needed = ["transcript", *(["audio"] if self.options.per == "turn" and "audio" in self.kinds else [])]
        if missing := next((kind for kind in needed if kind not in files), None):
            name = {"transcript": "TRANSCRIPT.csv", "audio": "AUDIO.wav"}[missing]
            return Dropped(place, f"has no {name}", "unpack its archive again")
        for kind in (kind for kind in (*needed, *SERIES) if kind in files):
            if not files[kind].stat().st_size:
                return Dropped(relative(files[kind], self.root), "is empty", "unpack its archive again")
            if is_pointer(files[kind]):
                return Dropped(relative(files[kind], self.root), pointer(), "run git lfs pull in the corpus")
        return None

    def _left_out(self, interview: Interview, transcript: Path) -> Iterator[Dropped]:
        for reason, numbers in interview.left_out.items():
            for line in numbers:
                yield Dropped(f"{relative(transcript, self.root)} row {line}", reason)

    def _shared(self, session: str, files: Mapping[str, Path]) -> Row:
        """What all rows of a session share. Series that no session has are no columns."""
        series = {kind: name for kind, name in SERIES.items() if kind in self.kinds}
        self.lacking.update(name for kind, name in series.items() if kind not in files)
        paths = {
            f"path_{name}": relative(files[kind], self.root) if kind in files else "" for kind, name in series.items()
        }
        return {"subject": session, "session": session, "sequence": session, "language": "en", **paths}

    def _turns(self, interview: Interview, files: Mapping[str, Path], shared: Row) -> Iterator[Row]:
        path = relative(files["audio"], self.root) if "audio" in files else ""
        for turn in interview.turns:
            role = {"role": turn.role} if self.options.interviewer else {}
            times = {"start_sec": turn.start, "end_sec": turn.stop, "time_sec": turn.start}
            key = f"{shared['session']}_t{turn.number:04d}"
            yield {"id": key, "path": path, "text": turn.text, **times, **role, **shared}

    def _whole(self, interview: Interview, shared: Row) -> Row:
        texts = {"text": _text(interview.turns)}
        if self.options.interviewer:
            texts |= {f"text_{role}": _text(interview.of(role)) for role in self.options.roles}
        spans = {"stretches": write_stretches((turn.start, turn.stop) for turn in interview.turns)}
        return {"id": shared["session"], "path": "", **texts, **spans, **shared}

    def notes(self) -> Iterator[Note]:
        if self.options.interviewer:
            yield Note(LEAK, in_reports=True)
            if self.alone:
                what = "the transcripts lack the interviewer's side, by which a model can tell them, in session"
                yield Note(f"{what} {', '.join(self.alone)}", in_reports=True)
        if self.mended:
            yield Note(
                f"Known errors of the transcripts' times were mended (--no-mend-times) in {', '.join(self.mended)}"
            )
        if self.scrubbed:
            yield Note(f"Lines with a scrubbed_entry, which is no word and is left out of their text: {self.scrubbed}")
        for name, count in self.lacking.items():
            yield Note(f"Sessions without the series {name}, whose cells of path_{name} are empty: {count}")
        if self.options.per == "turn" and "audio" not in self.kinds:
            yield Note("No session has an AUDIO.wav: the rows are texts")


def _text(turns: Sequence[Turn]) -> str:
    """A line for each turn."""
    return "\n".join(turn.text for turn in turns)


# --- The synthetic twin


def synthesize(
    root: Path,
    *,
    size: int,
    speakers: int,
    seed: int,
    series: Annotated[bool, Option("COVAREP, formants and CLNF, beside sound and transcripts.")] = True,
) -> None:
    """Write the twin: `size` turns of `speakers` participants, an interview each, with the corpus's known defects."""
    from affectkit.synthesis.interviews import write_interviews

    sessions = [str(name) for name in range(300, 493) if str(name) not in EXCLUDED]
    write_interviews(root, sessions, size=size, speakers=speakers, seed=seed, shifts=SHIFTS, items=ITEMS, series=series)
