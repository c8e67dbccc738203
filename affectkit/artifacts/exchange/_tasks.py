"""A row to be labelled, as every tool is told of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from affectkit.artifacts.manifest import media_columns
from affectkit.artifacts.predictions import prediction_column, probability_columns
from affectkit.errors import AffectkitError
from affectkit.labels import Target, in_points
from affectkit.media.files import AUDIO, IMAGES
from affectkit.media.video import VIDEO
from affectkit.plain import shown

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["audio", "video", "image"]
KINDS: dict[Kind, frozenset[str]] = {"audio": AUDIO, "video": VIDEO, "image": IMAGES}
STEPS = 9  # of a scale of numbers where one of several has to be chosen, as of the self-assessment manikin


@dataclass(frozen=True)
class Task:
    """media: column of a path -> its cell. start, end: seconds of the media. said: target -> class, or number, that is
    predicted. sure: the probability of the class, the mean over targets. why: `strategy`, `score`, `reason`."""

    id: str
    media: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    start: float | None = None
    end: float | None = None
    said: Mapping[str, str | float] = field(default_factory=dict)
    sure: float | None = None
    why: Mapping[str, Any] = field(default_factory=dict)

    @property
    def segment(self) -> str:
        """In words; "" where the row is all of its media."""
        if self.start is None and self.end is None:
            return ""
        return f"from {shown(self.start or 0.0)} s" + (f" to {shown(self.end)} s" if self.end is not None else "")


def tasks_of(queue: pd.DataFrame, targets: Sequence[Target], *, blind: bool) -> tuple[dict[str, Kind], list[Task]]:
    """The kind of each column of media, and the rows of a queue. blind: without what a model says of them.

    Columns whose files nobody can see or hear, such as series, are left out. Raises "input" naming the row that has
    nothing to be seen or heard, or media of another kind than others.
    """
    kinds = {name: kind for name in media_columns(queue) if (kind := _kind_of(queue, name))}
    tasks = [
        Task(
            str(row["id"]),
            {name: row[name] for name in kinds if row[name]},
            str(row.get("text", "")),
            _seconds(row, "start_sec"),
            _seconds(row, "end_sec"),
            **({} if blind else _predicted(row, targets)),
        )
        for row in queue.to_dict("records")
    ]
    for task in tasks:
        if "path" in kinds and not task.media.get("path"):
            what = f"id '{task.id}' has no path, and others have"
            raise AffectkitError("input", what, remedy="query such rows apart, or write a CSV")
        if not task.text.strip() and not task.media:
            remedy = "query rows of a --manifest with path or text, or write a CSV"
            raise AffectkitError("input", f"id '{task.id}' has nothing to be seen or heard", remedy=remedy)
    return kinds, tasks


def kind_of(cell: str) -> Kind | None:
    """By the ending of a path or an address."""
    ending = PurePosixPath(cell.partition("?")[0]).suffix.lower()
    return next((kind for kind, endings in KINDS.items() if ending in endings), None)


def choices_of(target: Target) -> list[str]:
    """What one of several choices can be: the classes, whole points, or steps of a scale. Raises "input" for a number
    without a scale."""
    if target.kind != "number":
        return list(target.classes)
    if target.scale is None:
        what = f"'{target.name}' has no scale, of which steps could be chosen"
        raise AffectkitError("input", what, remedy="name targets with a scale, or use label-studio or csv")
    low, high = target.scale
    count = int(high - low) if in_points(target.scale) else STEPS - 1
    return [f"{low + (high - low) * step / count:g}" for step in range(count + 1)]


def _kind_of(queue: pd.DataFrame, name: str) -> Kind | None:
    """Of a column's files; None where none can be seen or heard."""
    cells = [(row, cell, kind_of(cell)) for row, cell in zip(queue["id"], queue[name], strict=True) if cell]
    known = next((kind for *_, kind in cells if kind), None)
    for row, cell, kind in cells if known else ():
        if kind != known:
            what = f"{name} of id '{row}', {cell}, is no {known} as that of others"
            remedy = "query them apart, as a project shows one kind of media, or write a CSV"
            raise AffectkitError("input", what, remedy=remedy)
    return known


def _seconds(row: Mapping[str, Any], name: str) -> float | None:
    cell = row.get(name, "")
    value = math.nan if cell in ("", None) else float(cell)
    return None if math.isnan(value) else value


def _predicted(row: Mapping[str, Any], targets: Sequence[Target]) -> dict[str, Any]:
    said: dict[str, str | float] = {}
    sure: list[float] = []
    for target in targets:
        answer = row.get(prediction_column(target.name), "")
        if answer == "" or answer != answer:  # nothing is predicted
            continue
        said[target.name] = float(answer) if target.kind == "number" else str(answer)
        columns = probability_columns(target)
        if columns and columns[0] in row:
            sure.append(max(row[name] for name in columns))
    why = {name: row[name] for name in ("strategy", "score", "reason") if row.get(name, "") == row.get(name, "")}
    return {"said": said, "sure": sum(sure) / len(sure) if sure else None, "why": why}
