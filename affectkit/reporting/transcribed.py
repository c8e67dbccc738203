"""The page of a transcription: where texts are from, what was heard, and how far that is from what was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.records import read_started
from affectkit.artifacts.reports import ERROR_TABLE, TRANSCRIPTION
from affectkit.evaluation.error_rates import NORMALISATION, RATES
from affectkit.reporting.page import Card, Page, Section, Table, past
from affectkit.results import words


def draw(folder: Path) -> Page:
    """The page of the folder that `transcribe` wrote."""
    report = read_json(folder / TRANSCRIPTION, what="report of a transcription")
    options = read_started(folder)["options"]
    language = {"auto": "as it was heard", "column": "as the manifest says it"}.get(options["language"])
    how = f"{report['engine']}, language {language or options['language']}"
    lead = f"{report['asked']} of {report['rows']} rows were asked of {report['model']} ({how})"
    languages = ", ".join(f"{name} {count}" for name, count in report["languages"].items())
    heard = [f"Languages of what was heard: {languages}."] if languages else []
    return Page(
        title=f"Transcription by {report['model']}",
        lead=[f"{lead}.", *heard],
        sections=list(_sections(report)),
        warnings=list(_warnings(report, options)),
        **past(report, "warnings"),
        source=TRANSCRIPTION,
        summary=list(_summary(report, lead)),
    )


def _sections(report: Mapping[str, Any]) -> Iterator[Section]:
    errors = report["errors"]
    if errors is None:
        return
    judged = f"{errors['n']} rows are judged against what their column '{errors['reference']}' says"
    left_out = f"; {errors['left_out']} could not be: no word is in it, or they could not be read"
    text = [f"{judged}{left_out * bool(errors['left_out'])}.", f"{NORMALISATION}"]
    if not errors["n"]:
        yield Section("Error rates", text=text)
        return
    cards = [Card(RATES[name], rate, [_made_of(rate)]) for name, rate in errors["rates"]["all"].items()]
    note = f"In brackets: {words.interval(errors)}. {ERROR_TABLE} has every row, with what was said and heard."
    yield Section("Error rates", text=text, cards=cards, tables=[_table(errors)], note=note)


def _made_of(rate: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{rate[kind]} {kind}" for kind in ("substitutions", "deletions", "insertions"))
    return f"{kinds} in {rate['length']}"


def _table(errors: Mapping[str, Any]) -> Table:
    columns = [*RATES.values(), "rows", "words"]
    rows = {
        name: [*(rates[rate] for rate in RATES), errors["rows"][name], rates["wer"]["length"]]
        for name, rates in errors["rates"].items()
    }
    return Table("Error rates of all rows, and by language where there are several.", "rows of", columns, rows)


def _warnings(report: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    if report.get("tiny_random"):
        yield "Dry run: the recogniser has random weights (tiny-random), and what it writes means nothing"
    if report["silent"]:
        level = f"quieter than {options['min_level']:g} dB of full scale, or without speech as the model hears it"
        yield f"{report['silent']} rows are silent ({level}): their text is empty"
    if report["skipped"]:
        yield f"{report['skipped']} rows could not be read: their text is empty, see skipped.csv"
    if report["other_language"]:
        what = "rows were heard in another language than the corpus says, which stays"
        yield f"{report['other_language']} {what}"


def _summary(report: Mapping[str, Any], lead: str) -> Iterator[Section]:
    """What a terminal shows."""
    lines: list[Any] = [lead]
    errors = report["errors"] or {"n": 0}
    for name, rates in (errors.get("rates") or {}).items():
        whose = f" of {name}" if name != "all" else ""
        for key, title in RATES.items():
            lines.append((f"{title}{whose}: ", words.ranged(rates[key]), f" ({_made_of(rates[key])})"))
    if errors["n"]:
        lines.append(f"over {errors['n']} rows; in brackets: {words.interval(errors)}")
    yield Section("", text=lines)
