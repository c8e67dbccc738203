"""Transcripts of interviews between a participant and an interviewer, as DAIC-WOZ writes them: lines, words, turns."""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from affectkit.corpora._tables import decode
from affectkit.errors import AffectkitError

Role = Literal["participant", "interviewer"]
ROLES: dict[str, Role] = {"participant": "participant", "ellie": "interviewer"}
HEADER = ("start_time", "stop_time", "speaker", "value")


@dataclass(frozen=True)
class Line:
    """A line of a transcript. number: its place, 1 for the first below the header. start, stop: seconds. role: "" where
    the speaker is neither of the two. text: as it is written."""

    number: int
    start: float
    stop: float
    role: Role | Literal[""]
    text: str


@dataclass(frozen=True)
class Turn:
    """Consecutive lines of one speaker. number: of the first of them. text: the words, cleaned."""

    number: int
    start: float
    stop: float
    role: Role
    text: str


@dataclass
class Interview:
    """What is read of a transcript. left_out: reason -> lines that are of no turn. scrubbed: lines that hold a
    `scrubbed_entry`. interviewed: whether the interviewer's side is written down."""

    turns: list[Turn] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=dict)
    scrubbed: int = 0
    interviewed: bool = False

    def of(self, *roles: Role) -> list[Turn]:
        return [turn for turn in self.turns if turn.role in roles]


# --- Lines


def read_lines(file: Path) -> list[Line]:
    """The lines of a tab-separated transcript, blank ones left out.

    Raises "input" naming the file, or the row of a time that is none.
    """
    rows = decode(file, "latin-1").splitlines()
    header = [name.strip().lower() for name in rows[0].split("\t")] if rows else []
    if not rows or tuple(header[:4]) != HEADER:
        remedy = "unpack it again" if not header or len(header) < 2 else "name its columns so"
        raise AffectkitError(
            "input", f"does not begin with {' '.join(HEADER)}, separated by tabs", file=file, remedy=remedy
        )
    return [_line(number, row, file) for number, row in enumerate(rows[1:], start=1) if row.strip()]


def _line(number: int, row: str, file: Path) -> Line:
    start, stop, speaker, *text = (*row.split("\t"), "", "", "")
    begin, end = (_seconds(cell, file, number) for cell in (start, stop))
    return Line(number, begin, end, ROLES.get(speaker.strip().lower(), ""), " ".join(text).strip())


def _seconds(cell: str, file: Path, number: int) -> float:
    try:
        time = float(cell)
    except ValueError:
        time = math.nan
    if not math.isfinite(time):
        remedy = "correct it, or take the line out"
        raise AffectkitError("input", f"'{cell}' is no time", file=file, row=number, remedy=remedy)
    return time


# --- Words


SCRUBBED = re.compile(r"\bscrubbed[_ ]entry\b", re.IGNORECASE)
PROMPT = re.compile(r"\S+ +\((.*)\)\s*")  # how_doingV (so how are you doing today)
SYNCHRONISED = re.compile(r"[<\[](?:sync(?:h|ing|hing)?)[>\]]", re.IGNORECASE)
MARKER = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")  # <laughter>, [sigh]
UNHEARD = re.compile(r"\bx{3,}\b", re.IGNORECASE)


def words_of(text: str, role: str, *, markers: bool = False) -> str:
    """What was said in a line: of a scripted prompt the words in its brackets, without what the transcriber noted.

    markers: keep notes of sounds, such as `<laughter>`.

    >>> words_of("how_doingV (so how are you doing today)", "interviewer")
    'so how are you doing today'
    >>> words_of("<laughter> well i met scrubbed_entry at xxx school", "participant")
    'well i met at school'
    """
    if role == "interviewer" and (prompt := PROMPT.fullmatch(text)):
        text = prompt[1]
    for mark in (SCRUBBED, SYNCHRONISED, UNHEARD, *([] if markers else [MARKER])):
        text = mark.sub(" ", text)
    return " ".join(text.split())


# --- Turns


def read_interview(
    lines: Sequence[Line],
    *,
    roles: Collection[Role],
    max_pause: float,
    markers: bool = False,
    shift: float = 0.0,
    interrupted: Sequence[tuple[float, float]] = (),
) -> Interview:
    """The turns of an interview, and which lines are of none.

    roles: whose lines are kept; the others' only end turns. max_pause: seconds between consecutive lines of one speaker
    up to which they are one turn; 0 keeps every line apart. shift: seconds by which the transcript's clock is behind
    the recording's. interrupted: seconds of the recording.
    """
    kept = [line for line in lines if line.role in roles]
    interview = Interview(
        interviewed=any(line.role == "interviewer" for line in lines),
        scrubbed=sum(bool(SCRUBBED.search(line.text)) for line in kept),
    )
    begins = min((line.start for line in lines if line.role == "interviewer"), default=-math.inf)
    open_turn: Turn | None = None
    for line in lines:
        moved = replace(line, start=round(line.start + shift, 6), stop=round(line.stop + shift, 6))
        text = words_of(line.text, line.role, markers=markers)
        reason = _reason(moved, text, line.start < begins, interrupted) if line.role in (*roles, "") else ""
        if reason:
            interview.left_out.setdefault(reason, []).append(line.number)
        if not line.role or line.role not in roles or reason:
            # What is not of the turn must not be heard in the middle of it either, but for the speaker's own laughter.
            open_turn = open_turn if open_turn and reason == WORDLESS and line.role == open_turn.role else None
        elif open_turn and _goes_on(open_turn, moved, max_pause):
            open_turn = replace(open_turn, stop=max(open_turn.stop, moved.stop), text=f"{open_turn.text} {text}")
            interview.turns[-1] = open_turn
        else:
            open_turn = Turn(line.number, moved.start, moved.stop, line.role, text)
            interview.turns.append(open_turn)
    return interview


OTHERS = "a line of neither the participant nor the interviewer"
WORDLESS = "a line without words, such as <laughter> alone"


def _reason(line: Line, text: str, before: bool, interrupted: Sequence[tuple[float, float]]) -> str:
    """Why a line is of no turn; "" where it is of one."""
    if not line.role:
        return OTHERS
    if line.stop <= line.start:
        return "a line that ends before it begins" if line.stop < line.start else "a line that lasts no time"
    if line.start < 0:
        return "a line that begins before the recording"
    if before and line.role == "participant":
        return "a line before the interviewer's first words"
    if any(line.start < end and start < line.stop for start, end in interrupted):
        return "a line in an interruption of the session"
    if not text:
        return "a line that the corpus scrubbed: its sound is silent" if SCRUBBED.search(line.text) else WORDLESS
    return ""


def _goes_on(turn: Turn, line: Line, max_pause: float) -> bool:
    return max_pause > 0 and turn.role == line.role and line.start - turn.stop <= max_pause
