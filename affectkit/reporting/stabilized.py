"""What `stabilize` says of its work: `stability.json`, `stability.csv`, a figure of each target, the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.files import read_json, write_json, write_text
from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.reports import PAGE, file_name
from affectkit.artifacts.tables import write_table
from affectkit.artifacts.timeline import Timeline
from affectkit.evaluation.before_after import SIDES, BeforeAfter
from affectkit.evaluation.stability import stability
from affectkit.labels import Target
from affectkit.plain import without_nan
from affectkit.reporting import words
from affectkit.reporting.figures.traces import trace
from affectkit.reporting.lineage import digests, lineage
from affectkit.reporting.page import Figure, Section, Table, page
from affectkit.reporting.words import TRACE, is_number, ranged
from affectkit.temporal.stabilize import gated_column

REPORT, TABLE = "stability.json", "stability.csv"
GATE = (
    "A held frame keeps the last value and does not move the average; it was gated, or declined by the model. Before "
    "the first frame that counts, a gated frame keeps its own value."
)
LAG = (
    "Lag is the shift at which predictions go best with the truth: the largest cross-correlation within sequences, so "
    "that it is unknown where the truth does not vary. Smoothing trades lag for steadiness, and a constant has no "
    "jitter at all: read error, jitter and lag together."
)


def read_stability(folder: Path) -> dict[str, Any]:
    return read_json(folder / REPORT, what="stability report")


def write_stability(
    folder: Path,
    sides: tuple[Predictions, Predictions],
    line: Timeline,
    targets: Sequence[Target],
    settings: Mapping[str, Any],
    how: Mapping[str, Any],
    *,
    notes: Sequence[str] = (),
    inputs: Sequence[Path] = (),
    treat_as: str | None = None,
) -> dict[str, Any]:
    """Judge what smoothing did, and write the report's files. Returns what `stability.json` says.

    sides: the table before and after, of `line`. settings: of the smoothing. how: the options of `stability`.
    """
    before, after = sides
    gated = {target.name: gated_column(target.name, len(targets)) for target in targets}
    found, table, rows = stability(before, after, targets, gated, **how)
    known = {"rows": len(line.order), "sequences": len(line.starts), "foreign": before.foreign}
    settings = {**settings, **{key: how[key] for key in ("sequence", "time")}, "max_lag": how["most"]}
    report = {
        **known,
        "settings": settings,
        **found,
        "notes": list(notes),
        **lineage(inputs),
        "inputs": digests(inputs),
    }
    if treat_as:
        report["warnings"].append(f"the rows stand for split {treat_as} because --treat-as says so")
    report = without_nan(report)
    figures = draw(rows, targets, report) if rows is not None else []
    write_json(folder / REPORT, report)
    if table is not None:
        write_table(folder / TABLE, table)
    for figure in figures:
        write_text(folder / f"{figure.name}.svg", figure.plot.svg)
    write_text(folder / PAGE, _page(report, figures, f"Smoothing of {_source(before)}"))
    return report


def _source(table: Predictions) -> str:
    path = table.path or Path("predictions")
    return path.parent.name if path.name == "predictions.csv" else path.name


def draw(rows: BeforeAfter, targets: Sequence[Target], report: Mapping[str, Any]) -> list[Figure]:
    """The longest sequence of the judged rows, for each target: of a class target, the probability of the class that
    is predicted most often in it."""
    line = rows.line
    longest = int(line.lengths.argmax())
    frames = line.order[line.starts[longest] :][: line.lengths[longest]]
    times = line.times[line.starts[longest] :][: line.lengths[longest]]
    found = []
    for target in targets:
        name, (raw, smoothed, truth) = _drawn(rows, target, frames)
        plot = trace(
            times, raw, smoothed, None if np.isnan(truth).all() else truth, rows.columns[target.name].held[frames],
            name=name, sequence=line.names[longest], note=_note(report["targets"][target.name]),
            unit="s" if report["settings"]["time"].endswith("_sec") else report["settings"]["time"],
        )  # fmt: skip
        found.append(Figure(file_name(f"{target.name}_trace"), target.name, TRACE, plot))
    return found


def _drawn(rows: BeforeAfter, target: Target, frames: np.ndarray) -> tuple[str, list[np.ndarray]]:
    """Raw and smoothed values and the truth of a few rows, and what they are called."""
    raw, smoothed = (table.output(target.name).values[frames] for table in (rows.before, rows.after))
    truth, answers = (of[frames] for of in (rows.columns[target.name].truth, rows.columns[target.name].before))
    if target.kind == "number":
        return target.name, [raw, smoothed, truth]
    chosen = int(np.bincount(answers[answers >= 0], minlength=len(target.classes)).argmax())
    known = np.where(truth < 0, np.nan, truth == chosen)
    return f"p({target.classes[chosen]})", [raw[:, chosen], smoothed[:, chosen], known]


def _note(facts: Mapping[str, Any]) -> str:
    before, after = (ranged({"value": facts["jitter"][side]}) for side in SIDES)
    return f"all sequences: jitter {before} to {after}"


def key_lines(report: Mapping[str, Any]) -> list[str]:
    """What a terminal shows."""
    lines = [f"{report['rows']} rows of {report['sequences']} sequences; {_settings(report['settings'])}"]
    for name, facts in report["targets"].items():
        lines.append(f"{name}: {facts['gated']:.1%} of {facts['rows']} frames held")
        for what, (before, after, change) in _figures(facts).items():
            moved = f" (change {ranged(change, '+')})" if isinstance(change, Mapping) else ""
            lines.append(f"  {what} {ranged(before)} to {ranged(after)}{moved}")
    return lines + [f"note: {text}" for text in report["notes"]] + [f"warning: {text}" for text in report["warnings"]]


def _figures(facts: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Name -> before, after, and the paired change where there is one, with intervals where there are any."""
    plain = {"jitter": facts["jitter"]}
    if "switches" in facts:
        plain["share of frames with another class than the last"] = facts["switches"]
    if any(is_number(facts["lag"]["frames"][side]) for side in SIDES):
        plain |= {"lag (frames)": facts["lag"]["frames"], "lag (time)": facts["lag"]["time"]}
    rows = {name: [{"value": of[side]} for side in SIDES] + [None] for name, of in plain.items()}
    of_metrics = facts.get("metrics", {}).items()
    return rows | {words.title(name): [figure[key] for key in (*SIDES, "change")] for name, figure in of_metrics}


def _settings(settings: Mapping[str, Any]) -> str:
    said = f"alpha {settings['alpha']:g}" if settings["half_life"] is None else f"half-life {settings['half_life']:g}"
    if settings["uncertainty_threshold"] is not None:
        said += f", gated above a standard deviation of {settings['uncertainty_threshold']:g}"
    if settings["min_confidence"] is not None:
        said += f", gated below a confidence of {settings['min_confidence']:g}"
    return said


def _page(report: Mapping[str, Any], figures: Sequence[Figure], title: str) -> str:
    lead: list[Any] = [
        (report["rows"], " rows of ", report["sequences"], f" sequences; {_settings(report['settings'])}.")
    ]
    if report["split"]:
        lead.append((report["n"], f" {words.judged(report)} are judged, {words.seen(report)}."))
    sections = [_section(name, facts, figures) for name, facts in report["targets"].items()]
    if "metrics" in report["pooled"]:
        sections.insert(
            0, Section("Mean over the numbers", tables=[_table("Means over the numbers", report["pooled"])])
        )
    reading = [GATE, LAG] if report["targets"] else [GATE]
    brackets = f"In brackets: {words.interval(report)}." if report["targets"] else ""
    sections.append(Section("How to read this", text=[*reading, *map(_sentence, report["notes"])], note=brackets))
    return page(
        title=title,
        lead=lead,
        sections=sections,
        warnings=report["warnings"],
        declared=report["declared"],
        corpora=report["corpora"],
        inputs=report["inputs"],
        normalization=report["normalization"],
        metrics=[name for facts in report["targets"].values() for name in facts["metrics"]],
        source=REPORT,
    )


def _section(name: str, facts: Mapping[str, Any], figures: Sequence[Figure]) -> Section:
    said: list[Any] = [facts["gated"], " of the judged frames are held"]
    if facts["declined"]:
        said += [
            ", ",
            facts["declined"],
            " frames were declined, of which ",
            facts["filled"],
            " now hold the last value",
        ]
    own = [figure for figure in figures if figure.section == name]
    return Section(name, text=[(*said, ".")], tables=[_table(name, facts)], figures=own)


def _table(name: str, facts: Mapping[str, Any]) -> Table:
    better = {words.title(metric): words.better(metric) for metric in facts["metrics"]} | {"jitter": "lower"}
    caption = f"{name}, before and after smoothing, on the frames that the model answered; change is after less before."
    return Table(caption, "figure", ("before", "after", "change"), _figures(facts), better, file=TABLE)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
