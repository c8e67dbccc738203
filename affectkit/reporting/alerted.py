"""The page of alerts: what `alert.json` says of them, and sequences over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.files import read_json
from affectkit.artifacts.records import read_started
from affectkit.artifacts.reports import ALERTS, ALERTS_BY_GROUP, EVENTS, STATES, TRUE_EVENTS
from affectkit.artifacts.sources import called
from affectkit.artifacts.tables import read_table, to_numbers
from affectkit.evaluation.events import BETTER, FIGURES
from affectkit.reporting.figures.timelines import Score, Span, timeline
from affectkit.reporting.page import Card, Figure, Page, Section, Table, figure, past
from affectkit.results import words
from affectkit.results.words import is_number, ranged, shown

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.reporting.page import Plot

TITLES = {
    "sensitivity": "true events found",
    "precision": "alerts that were right",
    "false_alarms_per_hour": "false alarms per hour",
    "alerts_per_hour": "alerts per hour",
    "delay_mean": "mean delay (s)",
    "delay_median": "median delay (s)",
    "time_in_alert": "share of time in alert",
    "time_in_event": "share of time in a true event",
}
HEADLINE = ("sensitivity", "precision", "false_alarms_per_hour", "delay_median")
SHARES = {
    "sensitivity": ("found", "true_events", "true events"),
    "precision": ("right", "alerts", "alerts"),
    "false_alarms_per_hour": ("false_alarms", "hours", "h"),
}
FOUND = {
    "overlap": "A true event is found by an alert that is on at any moment of it{after}; an alert is right where it "
    "finds one. Where an alert was on already at the onset, the event is found without a delay",
    "raised": "A true event is found by an alert that is raised within it{after}; an alert is right where it finds one",
}
DELAY = "The delay is that of the first alert raised at the onset or later: what --for demands is part of it."
CHANCE = (
    "Random times: the same alerts of each sequence, shifted in time by chance. A rule that says nothing about the "
    "truth finds as much."
)
THRESHOLDS = (
    "Nothing was fitted here. Where thresholds were chosen by looking at these rows, the figures flatter them: choose "
    "them on validation or cross-fitted rows."
)
HOURS = "Hours are those between rows no further apart than the largest gap; pauses count for nothing."
CAPTION = (
    "Scores over time, their thresholds (dashed) and what clears an alert (dotted). Shaded: an alert is on, from where "
    "it was raised. Below, alerts and, where they are known, true events, which begin at their onset. Lines break "
    "where rows are missing."
)


def draw(folder: Path) -> Page:
    """The page of the folder that `alert` wrote."""
    report = read_json(folder / ALERTS, what="report of alerts")
    source = called(Path(read_started(folder)["options"]["predictions"]))
    return Page(
        title=f"Alerts of {source}",
        lead=[(*_rows(report), "."), f"{_raised(report)}.", words.ALERTS_USE, *_judged_lead(report)],
        sections=list(_sections(folder, report)),
        **past(report),
        source=ALERTS,
        summary=_summary(report),
    )


def _rows(report: Mapping[str, Any]) -> list[Any]:
    where = f"{report['rows']} rows of {report['sequences']} sequences"
    text = f"{report['events']} alerts in {shown(report['hours'])} h ({where})"
    unknown = f"; {report['unknown']} rows say nothing" if report["unknown"] else ""
    return [text, unknown]


def _raised(report: Mapping[str, Any]) -> str:
    """The rule in words."""
    rule = report["rule"]
    text = f"Raised when {' or '.join(rule['when'])}"
    if rule["unless"]:
        text += f", unless {' or '.join(rule['unless'])}"
    text += f"; cleared when {rule['clear']}" if rule["clear"] else "; cleared when that no longer holds"
    if rule["cooldown"]:
        text += f"; none for {rule['cooldown']:g} s after one was raised"
    return f"{text}; rows more than {rule['max_gap']:.4g} s apart do not go together"


def _judged_lead(report: Mapping[str, Any]) -> list[Any]:
    if not report["judged"]:
        return []
    count = report["judged"]["n"]
    return [(count, f" {words.judged(report)} are judged, {words.seen(report)}.")]


def _sections(folder: Path, report: Mapping[str, Any]) -> list[Section]:
    sections = []
    if report["judged"]:
        sections.append(_against_the_truth(folder, report))
    sections.append(_timelines(folder, report))
    sections.append(_events(folder, report))
    text = [HOURS, THRESHOLDS, *map(words.sentence, report["notes"])]
    if report["judged"]:
        text = [_definition(report), DELAY, CHANCE, *text]
    return [*sections, Section("How to read this", text=text)]


def _definition(report: Mapping[str, Any]) -> str:
    settings = report["settings"]
    after = f", or within {settings['tolerance']:g} s of its onset" if settings["tolerance"] else ""
    return f"{FOUND[settings['match']].format(after=after)}. True events: {' or '.join(report['rule']['truth'])}."


def _against_the_truth(folder: Path, report: Mapping[str, Any]) -> Section:
    judged = report["judged"]
    floors = judged["floors"]["random_times"]
    cards = []
    for name in HEADLINE:
        part, whole, of = SHARES.get(name, ("", "", ""))
        notes: list[Any] = (
            [(judged[part], " of " if whole != "hours" else " in ", judged[whole], f" {of}")] if of else []
        )
        notes += [("random times: ", floors[name])] if name in floors else []
        cards.append(Card(TITLES[name], judged["metrics"][name], notes))
    rows = {TITLES[name]: [judged["metrics"][name], floors.get(name)] for name in FIGURES}
    better = {TITLES[name]: way for name, way in BETTER.items()}
    tables = [Table("Alerts against the truth.", "figure", ("value", "random times"), rows, better, file=ALERTS)]
    if (folder / ALERTS_BY_GROUP).exists():
        tables.append(_by_group(folder, report))
    text = [judged["missed"], " of ", judged["true_events"], " true events were missed"]
    if judged["missed_in_cooldown"]:
        text += [", ", judged["missed_in_cooldown"], " of which began in a cool-down"]
    if judged["already_on"]:
        text += ["; ", judged["already_on"], " found by an alert that was on already at the onset"]
    note = f"In brackets: {words.interval(report)}; of the median delay, bootstrap with Student's t."
    return Section("Against the truth", [(*text, ".")], cards, tables, note=note)


def _by_group(folder: Path, report: Mapping[str, Any]) -> Table:
    table = read_table(folder / ALERTS_BY_GROUP)
    column = report["groups"]["column"]
    counts = ("hours", "true_events", "found", "missed", "alerts", "false_alarms")
    means = ("false_alarms_per_hour", "delay_mean")
    numbers = {name: to_numbers(table[name], column=name) for name in (*counts, *means)}
    whole = {name: [int(v) for v in numbers[name]] for name in counts[1:]} | {"hours": numbers["hours"].tolist()}
    rows = {
        name: [*(whole[key][place] for key in counts), *(float(numbers[key][place]) for key in means)]
        for place, name in enumerate(table[column])
    }
    headings = [*(key.replace("_", " ") for key in counts), *(TITLES[key] for key in means)]
    return Table(f"By {column}.", column, headings, rows, file=ALERTS_BY_GROUP)


def _events(folder: Path, report: Mapping[str, Any]) -> Section:
    table = read_table(folder / EVENTS)
    columns = [name for name in table if name not in ("sequence", "start_sec", "measure", "condition")]
    rows = {
        f"{cells['sequence']} at {cells['raised_sec']} s": [_cell(cells[name]) for name in columns]
        for cells in table.head(MOST).to_dict("records")
    }
    if len(report["rule"]["when"]) > 1:
        columns.append("condition")
        for cells, row in zip(table.head(MOST).to_dict("records"), rows.values(), strict=True):
            row.append(cells["condition"])
    headings = [name.removesuffix("_sec").replace("_", " ") for name in columns]
    more = f" The first {MOST} of {len(table)}; {EVENTS} has all." if len(table) > MOST else ""
    caption = f"Every alert, times in seconds.{more}"
    return Section("Alerts", tables=[Table(caption, "alert", headings, rows, file=EVENTS, folded=True)] * bool(rows))


MOST = 200  # alerts on the page


def _cell(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


# --- Sequences over time


def _timelines(folder: Path, report: Mapping[str, Any]) -> Section:
    """The sequences with most events."""

    @cache
    def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
        truth = read_table(folder / TRUE_EVENTS) if (folder / TRUE_EVENTS).exists() else None
        return read_table(folder / STATES), read_table(folder / EVENTS), truth

    figures: list[Figure] = []
    for number, name in enumerate(report["shown"], start=1):
        figures.append(figure(f"timeline_{number}", CAPTION if number == 1 else "", _plot, tables, name, report))
    return Section("Over time", figures=figures)


def _plot(tables: Callable[[], Sequence[Any]], name: str, report: Mapping[str, Any]) -> Plot:
    states, events, truth = tables()
    rows = states[states["sequence"] == name]
    raised = events[events["sequence"] == name]
    spans = {"alerts": _spans(raised, "raised_sec")}
    if truth is not None:
        spans["true events"] = _spans(truth[truth["sequence"] == name], "start_sec")
    time = to_numbers(rows["time_sec"], column="time_sec")
    scores = [_score(rows, measure, report) for measure in report["measures"]]
    return timeline(time, scores, spans, sequence=name, gap=report["rule"]["max_gap"])


def _spans(events: pd.DataFrame, begin: str) -> list[Span]:
    begins, ends = (to_numbers(events[column], column=column) for column in (begin, "end_sec"))
    return [Span(float(a), float(b), kind) for a, b, kind in zip(begins, ends, events["outcome"], strict=True)]


def _score(rows: pd.DataFrame, measure: Mapping[str, Any], report: Mapping[str, Any]) -> Score:
    name = measure["name"]
    known = {key: rows.get(f"{name}_{key}") for key in ("score", "true")}
    values = {key: None if cells is None else to_numbers(cells, column=name) for key, cells in known.items()}
    truth = values["true"] if measure["target"] and not measure["probability"] else None
    score = values["score"] if values["score"] is not None else np.full(len(rows), np.nan)
    threshold, cleared = measure["threshold"], measure["clear"]
    return Score(name, score, truth, threshold, cleared, measure["levels"], measure["probability"])


# --- On a terminal


def _summary(report: Mapping[str, Any]) -> list[Section]:
    text: list[Any] = [_rows(report), _raised(report)]
    if len(report["by_condition"]) > 1:
        text += [f"  {each['when']}: {each['events']} alerts" for each in report["by_condition"]]
    if judged := report["judged"]:
        true = f"{judged['true_events']} true events: {judged['found']} found, {judged['missed']} missed"
        text.append(f"{true}; {judged['false_alarms']} of {judged['alerts']} alerts were false")
        floors = judged["floors"]["random_times"]
        for name in (*HEADLINE, "delay_mean", "time_in_alert"):
            floor = f" (random times {ranged({'value': floors[name]})})" if is_number(floors.get(name)) else ""
            text.append(f"  {TITLES[name]} {ranged(judged['metrics'][name])}{floor}")
        text.append(f"on {judged['n']} {words.judged(report)}; in brackets: {words.interval(report)}")
    return [Section("", text=[*text, *(f"note: {note}" for note in report["notes"]), words.ALERTS_USE])]
