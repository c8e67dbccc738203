"""The page of a smoothing: what `stability.json` says of each target before and after, and its longest sequence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.files import read_json
from affectkit.artifacts.records import read_started
from affectkit.artifacts.reports import STABILITY, STABILITY_TABLE, TRACES
from affectkit.artifacts.sources import called
from affectkit.artifacts.tables import read_table, to_numbers
from affectkit.evaluation.before_after import SIDES
from affectkit.reporting.figures.traces import trace
from affectkit.reporting.page import Figure, Page, Section, Table, figure, past
from affectkit.results import words
from affectkit.results.words import is_number, ranged

if TYPE_CHECKING:
    import pandas as pd

GATE = (
    "A held frame keeps the last value and does not move the average; it was gated, or declined by the model. Before "
    "the first frame that counts, a gated frame keeps its own value."
)
LAG = (
    "Lag is the shift at which predictions go best with the truth: the largest cross-correlation within sequences, so "
    "that it is unknown where the truth does not vary. Smoothing trades lag for steadiness, and a constant has no "
    "jitter at all: read error, jitter and lag together."
)


def draw(folder: Path) -> Page:
    """The page of the folder that `stabilize` wrote."""
    report = read_json(folder / STABILITY, what="stability report")
    traces = read_table(folder / TRACES) if (folder / TRACES).exists() else None
    source = called(Path(read_started(folder)["options"]["predictions"]))
    settings, targets = _settings(report["settings"]), report["targets"]
    lead: list[Any] = [(report["rows"], " rows of ", report["sequences"], f" sequences; {settings}.")]
    if report["split"]:
        lead.append((report["n"], f" {words.judged(report)} are judged, {words.seen(report)}."))
    return Page(
        title=f"Smoothing of {source}",
        lead=lead,
        sections=_sections(report, traces),
        **past(report),
        metrics=[name for facts in targets.values() for name in facts["metrics"]],
        source=STABILITY,
        summary=_summary(report),
    )


def _sections(report: Mapping[str, Any], traces: pd.DataFrame | None) -> list[Section]:
    sections = []
    if "metrics" in report["pooled"]:
        sections.append(Section("Mean over the numbers", tables=[_table("Means over the numbers", report["pooled"])]))
    for name, facts in report["targets"].items():
        held: list[Any] = [facts["gated"], " of the judged frames are held"]
        if facts["declined"]:
            declined = [facts["declined"], " frames were declined, of which "]
            held += [", ", *declined, facts["filled"], " now hold the last value"]
        figures = [] if traces is None else [_figure(name, traces[traces["target"] == name], report)]
        sections.append(Section(name, text=[(*held, ".")], tables=[_table(name, facts)], figures=figures))
    brackets = f"In brackets: {words.interval(report)}." if report["targets"] else ""
    text = [GATE, *([LAG] if report["targets"] else []), *map(words.sentence, report["notes"])]
    return [*sections, Section("How to read this", text=text, note=brackets)]


def _table(name: str, facts: Mapping[str, Any]) -> Table:
    better = {words.title(metric): words.better(metric) for metric in facts["metrics"]} | {"jitter": "lower"}
    caption = f"{name}, before and after smoothing, on the frames that the model answered; change is after less before."
    return Table(caption, "figure", ("before", "after", "change"), _values(facts), better, file=STABILITY_TABLE)


def _values(facts: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Name -> before, after, and the paired change where there is one, with intervals where there are any."""
    plain = {"jitter": facts["jitter"]}
    if "switches" in facts:
        plain["share of frames with another class than the last"] = facts["switches"]
    if any(is_number(facts["lag"]["frames"][side]) for side in SIDES):
        plain |= {"lag (frames)": facts["lag"]["frames"], "lag (time)": facts["lag"]["time"]}
    rows = {name: [{"value": values[side]} for side in SIDES] + [None] for name, values in plain.items()}
    metrics = facts.get("metrics", {}).items()
    return rows | {words.title(name): [values[key] for key in (*SIDES, "change")] for name, values in metrics}


def _figure(name: str, frames: pd.DataFrame, report: Mapping[str, Any]) -> Figure:
    """The longest sequence. frames: its rows of `traces.csv`, one target's."""
    time, raw, smoothed, truth = (to_numbers(frames[key], column=key) for key in ("time", "raw", "smoothed", "truth"))
    before, after = (ranged({"value": report["targets"][name]["jitter"][side]}) for side in SIDES)
    unit = report["settings"]["time"]
    return figure(
        f"{name}_trace", words.TRACE, trace, time, raw, smoothed, None if np.isnan(truth).all() else truth,
        (frames["held"] == "True").to_numpy(), name=frames["value"].iloc[0], sequence=frames["sequence"].iloc[0],
        note=f"all sequences: jitter {before} to {after}", unit="s" if unit.endswith("_sec") else unit,
    )  # fmt: skip


def _settings(settings: Mapping[str, Any]) -> str:
    text = f"alpha {settings['alpha']:g}" if settings["half_life"] is None else f"half-life {settings['half_life']:g}"
    if settings["uncertainty_threshold"] is not None:
        text += f", gated above a standard deviation of {settings['uncertainty_threshold']:g}"
    if settings["min_confidence"] is not None:
        text += f", gated below a confidence of {settings['min_confidence']:g}"
    return text


def _summary(report: Mapping[str, Any]) -> list[Section]:
    """What a terminal shows: what was smoothed, and each target before and after."""
    text = [f"{report['rows']} rows of {report['sequences']} sequences; {_settings(report['settings'])}"]
    for name, facts in report["targets"].items():
        text.append(f"{name}: {facts['gated']:.1%} of {facts['rows']} frames held")
        for what, (before, after, change) in _values(facts).items():
            moved = f" (change {ranged(change, '+')})" if isinstance(change, Mapping) else ""
            text.append(f"  {what} {ranged(before)} to {ranged(after)}{moved}")
    return [Section("", text=[*text, *(f"note: {note}" for note in report["notes"])])]
