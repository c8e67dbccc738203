"""The page of an aggregation: what `aggregation.json` says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.records import read_started
from affectkit.artifacts.reports import AGGREGATION
from affectkit.artifacts.sources import called
from affectkit.reporting.page import Page, Section
from affectkit.results import words
from affectkit.results.lineage import lineage

UNKNOWN_VARIANCE = (
    "the variance of an aggregate depends on how the errors of its rows hang together, which lies anywhere between not "
    "at all and fully"
)


def draw(folder: Path) -> Page:
    """The page of the folder that `aggregate` wrote."""
    summary = read_json(folder / AGGREGATION, what="summary")
    weighted = f" weighted by {summary['weight']}" if summary["weight"] else ""
    each = f"one per {summary['to']} ({summary['rule']}{weighted})"
    started = read_started(folder)
    past = lineage(Path(item["path"]) for item in started["inputs"])
    became, notes = f"{summary['rows']} rows became {summary['aggregates']}, {each}", list(_notes(summary))
    return Page(
        title=f"Aggregation of {called(Path(started['options']['predictions']))}",
        lead=[f"{became}."],
        sections=[Section("Notes", text=list(map(words.sentence, notes)))],
        warnings=list(_warnings(summary)),
        texts=past.get("texts", []),
        targets=list(summary["mixed_truth"]),
        source=AGGREGATION,
        summary=[Section("", text=[became, *(f"note: {note}" for note in notes)])],
    )


def _notes(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["declined"]:
        yield f"{summary['declined']} rows had no answer and are left out"
    for name, count in summary["mixed_truth"].items():
        how = "majority" if name in summary["no_majority"] else summary["rule"]
        if count:
            yield f"{name}: {count} of {summary['aggregates']} had rows of differing truth; theirs is the {how}"
    if summary["dropped"]:
        yield f"dropped, as they differ within a {summary['to']}: {', '.join(summary['dropped'])}"
    if summary["left_out"]:
        yield f"left out: {', '.join(summary['left_out'])}; {UNKNOWN_VARIANCE}"


def _warnings(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["without_answer"]:
        yield f"{summary['without_answer']} of {summary['aggregates']} have no answer at all"
    for name, count in summary["no_majority"].items():
        if count:
            yield f"{name}: {count} of these have no majority and stay unlabelled"
    if summary["foreign"] and not summary["treat_as"]:
        yield "nothing says how these predictions were made (no column 'seen')"
