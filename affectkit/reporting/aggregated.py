"""What `aggregate` says of its work: `aggregation.json`, and lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.predictions import Predictions
from affectkit.temporal.aggregate import Aggregated
from affectkit.temporal.stabilize import stale_columns

SUMMARY = "aggregation.json"
UNKNOWN_VARIANCE = (
    "the variance of an aggregate depends on how the errors of its rows hang together, which lies anywhere between not "
    "at all and fully"
)


def write_summary(folder: Path, asked: Mapping[str, Any], before: Predictions, found: Aggregated) -> dict[str, Any]:
    """Write and return what `aggregation.json` says. asked: the options that shaped the result."""
    frame = found.predictions.frame
    summary = {
        **asked,
        "rows": len(before.frame),
        "aggregates": len(frame),
        "windows": int(frame["windows"].sum()),
        "declined": int(frame["declined"].sum()),
        "without_answer": int((frame["windows"] == 0).sum()),
        "targets": [target.to_json() for target in found.predictions.targets.values()],
        "mixed_truth": found.mixed,
        "no_majority": found.untold,
        "dropped": found.dropped,
        "left_out": stale_columns(before, list(found.predictions.targets.values())),
        "foreign": before.foreign,
    }
    write_json(folder / SUMMARY, summary)
    return summary


def read_summary(folder: Path) -> dict[str, Any]:
    return read_json(folder / SUMMARY, what="summary")


def key_lines(summary: Mapping[str, Any]) -> list[str]:
    """What a terminal shows."""
    weighted = f" weighted by {summary['weight']}" if summary["weight"] else ""
    whole = (
        f"{summary['rows']} rows became {summary['aggregates']}, one per {summary['to']} ({summary['rule']}{weighted})"
    )
    return [whole, *_notes(summary)]


def _notes(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["declined"]:
        yield f"note: {summary['declined']} rows had no answer and are left out"
    if summary["without_answer"]:
        yield f"warning: {summary['without_answer']} of {summary['aggregates']} have no answer at all"
    for name, count in summary["mixed_truth"].items():
        how = "majority" if name in summary["no_majority"] else summary["rule"]
        if count:
            yield f"note: {name}: {count} of {summary['aggregates']} had rows of differing truth; theirs is the {how}"
    for name, count in summary["no_majority"].items():
        if count:
            yield f"warning: {name}: {count} of these have no majority and stay unlabelled"
    if summary["dropped"]:
        yield f"note: dropped, as they differ within a {summary['to']}: {', '.join(summary['dropped'])}"
    if summary["left_out"]:
        yield f"note: left out: {', '.join(summary['left_out'])}; {UNKNOWN_VARIANCE}"
    if summary["foreign"] and not summary["treat_as"]:
        yield "warning: nothing says how these predictions were made (no column 'seen')"
