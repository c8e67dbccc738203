"""The audit: names, then content, then near-identical media."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.leakage.content import identical
from affectkit.leakage.near import near_identical
from affectkit.leakage.near_images import near_identical_images
from affectkit.leakage.sides import CLAIMS, AuditReport, FileSet, Leak, sides_of, sort_sides, straddling
from affectkit.media import AnyHeader

if TYPE_CHECKING:
    import pandas as pd

# Kind of leak of each column. A corpus's names mean nothing in another corpus, except texts and paths.
_GROUPS = {"speaker": "speaker", "subject": "speaker", "session": "session", "dialogue": "dialogue"}
PARTS = ("start_sec", "end_sec", "time_sec", "track")  # which part of a recording a row is, as a box is of an image
_UNTELLING = ("session", "dialogue", "text_id", "text")  # where no split can keep apart what is one
BOXES = ("face_", "person_")
_GROUPS |= {"sequence": "source", "text_id": "text"}


def audit(
    rows: pd.DataFrame,
    *,
    level: str = "content",
    media: Sequence[Path | None] | None = None,
    headers: Sequence[AnyHeader | None] | None = None,
    beside: Sequence[Mapping[Path, AnyHeader | None]] = (),
    defects: Sequence[tuple[str, str]] = (),
    group_column: str | None = None,
    num_workers: int | None = 0,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Look for what stands on two sides of a manifest's split, or in two of its folds.

    level: "names" compares columns (speaker, subject, session, dialogue, sequence, path, path_<name>, text_id, text).
    "content" also finds media that are equal byte by byte, sample by sample or pixel by pixel: it reads only files on
    different sides whose headers agree in length, rate and channels, or in width and height (other media: in size).
    "near" also finds resampled, re-encoded, gain-changed, noise-augmented and trimmed copies of recordings; not speed-
    or pitch-changed ones; and re-encoded, resized and gain-changed copies of images; not cropped, turned or mirrored
    ones.
    media, headers: of each row; None where there is none. beside: the further pictures of each row, with their headers;
    each is compared with all. defects: (kind, sentence) that the corpus declares.
    group_column: a further column that must not straddle. num_workers: threads, None for as many as there are cores.
    """
    sides = sides_of(rows)
    paths = list(media) if media is not None else [None] * len(rows)
    asked = [column for column in _UNTELLING if _GROUPS.get(column, column) not in dict(defects)]
    constant = [column for column in asked if column in rows and _says_nothing(rows[column])]
    leaks = _names(rows.drop(columns=constant), sides, paths, group_column)
    notes = [f"{column} is '{rows[column].iloc[0]}' in every row, so it tells nothing apart" for column in constant]
    notes += _uncertified(rows, sides)
    first: dict[Path, Path] = {}  # of files that hold the same
    if level != "names":
        workers = (os.cpu_count() or 1) if num_workers is None else num_workers
        files = FileSet.of(paths, list(headers) if headers is not None else [None] * len(rows), sides, rows, beside)
        copies = identical(files, workers, progress)
        leaks += copies.leaks
        notes += copies.notes
        first = {file.path: group[0].path for group in copies.same for file in group}
        if level == "near":
            redundant = copies.redundant
            rest = FileSet([file for file in files.files if file.path not in redundant])
            for search in (near_identical, near_identical_images):
                near = search(rest, workers, progress)
                leaks += near.leaks
                notes += near.notes
    known = {kind: " ".join(text for other, text in defects if other == kind) for kind, _ in defects}
    leaks = [replace(leak, declared=known.get(leak.kind, "")) for leak in leaks]
    counts = Counter(side for side in sides if side)
    conflicts = tuple(_conflicts(rows, [first.get(path, path) if path else None for path in paths]))
    by_side = {side: counts[side] for side in sort_sides(counts)}
    return AuditReport(level, by_side, tuple(leaks), tuple(defects), tuple(notes), conflicts)


def _says_nothing(cells: pd.Series) -> bool:
    """Whether all of a table's cells are the same: a column that means something else, or one session, one sentence."""
    first = cells.iloc[0] if len(cells) > 1 else ""
    return first != "" and bool((cells == first).all())


def _names(rows: pd.DataFrame, sides: list[str], paths: Sequence[Path | None], group_column: str | None) -> list[Leak]:
    ids = list(rows["id"])
    corpora = list(rows["corpus"]) if "corpus" in rows else [""] * len(rows)
    kinds = dict(_GROUPS)
    if group_column and group_column in rows and group_column not in (*kinds, "id"):
        kinds[group_column] = "group"
    if "array_index" not in rows:  # arrays hold all rows
        pictures = [str(name) for name in rows if str(name).startswith("path_")]
        kinds |= {name: "source" for name in pictures if "path" not in rows or not rows[name].equals(rows["path"])}
    leaks = []
    files = [str(path) if path else "" for path in paths]
    find = partial(straddling, files=files)
    for column, kind in kinds.items():
        if column in rows:
            values = [f"{c}\0{v}" if v else "" for c, v in zip(corpora, rows[column].astype(str), strict=True)]
            leaks.append(find(kind, column, values, sides, ids, show=lambda value: value.partition("\0")[2]))
    leaks.append(find("source", "path", files, sides, ids))
    if "text" in rows:
        leaks.append(find("text", "text", [normal_text(cell) for cell in rows["text"]], sides, ids))
    return [leak for leak in leaks if leak]


def normal_text(text: str) -> str:
    """Case, punctuation, accents' encodings and white space made alike; "" where nothing is left."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def _conflicts(rows: pd.DataFrame, recordings: Sequence[Path | None]) -> Iterator[str]:
    """Recordings, or segments of one, that stand under two labels or two speakers, on whichever sides."""
    parts = [rows[column] for column in rows if column in PARTS or column.startswith(BOXES)]
    counts = Counter(recordings)
    places = list(zip((r if counts[r] > 1 else None for r in recordings), *parts, strict=True))
    for column in CLAIMS:
        if column not in rows:
            continue
        members: dict[tuple[Any, ...], dict[str, str]] = {}
        for place, cell, key in zip(places, rows[column].astype(str), rows["id"], strict=True):
            if place[0] and cell:
                members.setdefault(tuple(map(str, place)), {}).setdefault(cell, key)
        doubled = {place: cells for place, cells in members.items() if len(cells) > 1}
        if doubled:
            place, cells = next(iter(doubled.items()))
            example = ", ".join(f"{cell} ({key})" for cell, key in cells.items())
            what = f"recordings stand under more than one {column}, as {Path(place[0]).name}: {example}"
            yield f"{len(doubled)} {what}; leave all but one of each out"


def _uncertified(rows: pd.DataFrame, sides: list[str]) -> list[str]:
    """Rows without a speaker, or the subject that stands for one, on a side that is judged: they may be of anybody."""
    person = next((name for name in ("speaker", "subject") if name in rows and (rows[name] != "").any()), None)
    if person is None:
        return []
    unknown = Counter(side for side, cell in zip(sides, rows[person], strict=True) if cell == "" and side)
    what = f"name no {person}: theirs may be on another side"
    return [f"{unknown[side]} rows of {side} {what}" for side in sort_sides(unknown)]
