"""What is asked: the rows of a queue, in its order, and the targets to be answered."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from affectkit.artifacts.manifest import Manifest, media_columns, read_manifest
from affectkit.artifacts.predictions import probability_prefix
from affectkit.errors import AffectkitError
from affectkit.labels import Target, spelt_alike, usual_step
from affectkit.plain import comma_separated, printable, shown

LONGEST_TEXT = 20_000  # characters of a row's text that are shown
LONGEST_CELL = 200  # of a further column
MOST_POINTS = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """A target, and how it is answered. step: between two answers of a number."""

    target: Target
    step: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether it is answered in whole points, few enough to be shown beside each other."""
        low, high = self.target.scale or (0, 0)
        return self.step == 1 and low == int(low) and high == int(high) and high - low <= MOST_POINTS


def questions_of(labels: str | None, scales: str | None, name: str, columns: Sequence[str]) -> list[Question]:
    """What `--labels` and `--scale` ask for; without either, the classes that the `columns` of a queue predict.

    Raises "usage" for what is no list of classes, or no scale.
    """
    questions = [Question(Target(name, "class", tuple(_classes(labels))))] if labels is not None else []
    questions += [_scale(part) for part in comma_separated(scales)]
    if labels is None and scales is None:
        prefix = probability_prefix(name)
        classes = [column.removeprefix(prefix) for column in columns if column.startswith(prefix)]
        questions = [Question(Target(name, "class", tuple(classes)))] if classes else []
    no_scale = scales is not None and not comma_separated(scales)
    if not questions or no_scale:
        what = "--scale names no scale" if no_scale else "nothing says what is to be answered"
        raise AffectkitError(
            "usage", what, remedy="write --labels angry,happy,sad or --scale valence=-1:1,arousal=-1:1"
        )
    names = [question.target.name for question in questions]
    if doubled := next((each for each in names if names.count(each) > 1), ""):
        raise AffectkitError("usage", f"'{doubled}' is asked for twice", remedy="name another --target, or --scale")
    return questions


def _classes(text: str) -> list[str]:
    classes = comma_separated(text)
    if not classes:
        raise AffectkitError("usage", "--labels names no class", remedy="write --labels angry,happy,sad")
    if odd := next((each for each in classes if printable(each) != each), ""):
        raise AffectkitError("usage", f"--labels: '{odd}' holds what cannot be seen", remedy="name it in plain letters")
    if doubled := next((each for each in classes if classes.count(each) > 1), ""):
        raise AffectkitError("usage", f"--labels names '{doubled}' twice", remedy="name each class once")
    for spellings in spelt_alike(classes):
        log.warning("labels %s differ by case or spaces only, or by decimals, and are classes of their own", spellings)
    return classes


def _scale(text: str) -> Question:
    name, equals, ends = text.partition("=")
    try:
        low, high, *steps = map(float, ends.split(":"))
        [step] = steps or [usual_step((low, high))]
    except ValueError:
        low, high, step = 0.0, 0.0, 0.0
    if not equals or not name.strip() or not -1e6 <= low < high <= 1e6 or not (high - low) / 1e6 <= step <= high - low:
        raise AffectkitError(
            "usage", f"--scale: '{text}' is not name=low:high", remedy="write stress=1:5 or valence=-1:1"
        )
    return Question(Target(name.strip(), "number", scale=(low, high)), step)


@dataclass(frozen=True)
class Queue:
    """columns: those that name media. told: further ones, which are shown only where they are asked for."""

    manifest: Manifest
    columns: tuple[str, ...]
    told: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.manifest.rows)

    @cached_property
    def ids(self) -> list[str]:
        return self.manifest.rows["id"].tolist()

    @cached_property
    def places(self) -> dict[str, int]:
        """The row of each id, from 0."""
        return {id: row for row, id in enumerate(self.ids)}

    def text(self, row: int) -> str:
        return self.manifest.rows["text"][row] if "text" in self.manifest.rows else ""

    def medium(self, row: int, place: int) -> Path | None:
        """The file of a row under the column `place` of `columns`; None for an empty cell, or where there is none."""
        if not (0 <= row < len(self) and 0 <= place < len(self.columns)):
            return None
        alone = self.manifest.rows.iloc[[row]].reset_index(drop=True)
        return replace(self.manifest, rows=alone).media(self.columns[place])[0]

    def segment(self, row: int) -> tuple[float | None, float | None]:
        """Seconds of the media at which the row begins and ends; None where nothing is said."""
        start, end = (
            float(self.manifest.rows[name][row]) if name in self.manifest.rows else float("nan")
            for name in ("start_sec", "end_sec")
        )
        return None if start != start else start, None if end != end else end

    def cells(self, row: int) -> list[tuple[str, str]]:
        """What the further columns say of a row."""
        rows = self.manifest.rows
        cells = ((name, rows[name][row]) for name in self.told)
        texts = ((name, cell if isinstance(cell, str) else "" if cell != cell else shown(cell)) for name, cell in cells)
        return [(name, text[:LONGEST_CELL]) for name, text in texts if text]

    def digest(self, *more: object) -> str:
        """Tells this queue from others: of its ids, and of `more`."""
        return hashlib.sha256(json.dumps([self.ids, *map(str, more)]).encode()).hexdigest()[:16]


def read_queue(path: Path, *, media_root: Path | None = None) -> Queue:
    """Raises as `read_manifest` does, and "input" for rows with nothing to be seen or heard."""
    manifest = read_manifest(path, media_root=media_root)
    columns = tuple(media_columns(manifest.rows))
    if not columns and "text" not in manifest.rows:
        remedy = "name its files in a column path, or its texts in text"
        raise AffectkitError("input", "has neither a column 'path' nor 'text'", file=path, remedy=remedy)
    shown_anyway = {"id", "text", "corpus", "start_sec", "end_sec", *columns}
    return Queue(manifest, columns, tuple(name for name in manifest.rows.columns if name not in shown_anyway))
