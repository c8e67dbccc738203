"""What an ablation leaves: `ablation_summary.json` and `.csv`, the figures, the page; and lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.files import read_json, write_json, write_text
from affectkit.artifacts.reports import PAGE
from affectkit.artifacts.tables import write_table
from affectkit.reporting import words
from affectkit.reporting.ablated_page import (
    BEST_SINGLE,
    FULL,
    LEAST_P,
    READING,
    SUMMARY,
    TABLE,
    heading,
    lead,
    named,
    section,
    verdicts,
)
from affectkit.reporting.page import Section, Sentence, page
from affectkit.reporting.text import aligned
from affectkit.reporting.words import is_number, ranged, shown

if TYPE_CHECKING:
    import pandas as pd

MOST_LINES = 31  # subsets on a terminal: of five sources


def read_ablation(folder: Path) -> dict[str, Any]:
    return read_json(folder / SUMMARY, what="summary of an ablation")


def write_ablation(folder: Path, found: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write the files, and return what `ablation_summary.json` says.

    found: of `ablate`, with `how` in words, `warnings`, and what `lineage` says. inputs: as `page` has them.
    """
    summary = dict(found)
    write_json(folder / SUMMARY, summary)
    write_table(folder / TABLE, summary_table(summary))
    sections = [section(summary, part) for part in summary["parts"]]
    for one in sections:
        for figure in one.figures:
            write_text(folder / f"{figure.name}.svg", figure.plot.svg)
    html = page(
        title=f"Ablation of {', '.join(summary['sources'])}",
        lead=lead(summary),
        sections=[*sections, Section("How to read this", text=READING)],
        warnings=_warnings(summary),
        declared=summary["declared"],
        corpora=summary["corpora"],
        inputs=inputs,
        normalization=summary["normalization"],
        metrics=named(summary),
        source=SUMMARY,
    )
    write_text(folder / PAGE, html)
    return summary


def key_lines(summary: Mapping[str, Any]) -> list[str]:
    """What was done, the subsets on each part of the rows, what the sources are worth, and what to be wary of."""
    lines = list(map(_plain, lead(summary)))
    for part, of in summary["parts"].items():
        rows = _highest(summary, of["subsets"])
        lines += ["", heading(part, of), ""]
        lines += aligned([_heads(summary), *(_cells(summary, name, row) for name, row in rows.items())])
        if len(rows) < len(of["subsets"]):
            lines.append(f"the {len(rows)} best of {len(of['subsets'])} subsets; {TABLE} has them all")
        lines += ["", *map(_plain, verdicts(summary, part))]
    lines += [f"declared: {sentence}" for sentence in summary["declared"]]
    report = {"corpora": summary["corpora"], "normalization": summary["normalization"], "warnings": _warnings(summary)}
    return lines + [f"warning: {text}" for text in words.warnings(report)]


def _highest(summary: Mapping[str, Any], rows: Mapping[str, Any]) -> dict[str, Any]:
    """As many of the best subsets as a terminal shows, in their order."""
    values = {name: row["metrics"][summary["metric"]]["value"] for name, row in rows.items()}
    known = [name for name, value in values.items() if is_number(value)]
    ranked = sorted(known, key=values.__getitem__, reverse=summary["higher_is_better"])
    kept = set(ranked[:MOST_LINES]) if len(rows) > MOST_LINES else set(rows)
    return {name: row for name, row in rows.items() if name in kept}


def summary_table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """A row for each subset and part of the rows; the compared metric and its differences stand first."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for part, of in summary["parts"].items():
        for name, row in of["subsets"].items():
            line = {"part": part, "subset": name, "sources": len(row["sources"])}
            line |= {key: row[key] for key in ("n", "groups")}
            line |= _metric_columns(row, summary["metric"])
            for reference in (BEST_SINGLE, FULL):
                line |= _difference_columns(reference, row["against"].get(reference) or {})
            for metric in named(summary):
                line |= _metric_columns(row, metric)
            rows.append(line)
    return pd.DataFrame(rows)


def _metric_columns(row: Mapping[str, Any], metric: str) -> dict[str, Any]:
    figure, spread = row["metrics"].get(metric) or {}, row["seeds"].get(metric) or {}
    found = {metric: figure.get("value"), f"{metric}_low": figure.get("low"), f"{metric}_high": figure.get("high")}
    return found | ({f"{metric}_sd": spread["sd"]} if spread else {})


def _difference_columns(reference: str, said: Mapping[str, Any]) -> dict[str, Any]:
    difference, spread = said.get("difference") or {}, (said.get("seeds") or {}).get("difference") or {}
    found = {
        f"to_{reference}": difference.get("value"),
        f"to_{reference}_low": difference.get("low"),
        f"to_{reference}_high": difference.get("high"),
        f"to_{reference}_p": said.get("p"),
        f"to_{reference}_p_holm": said.get("p_holm"),
    }
    return found | ({f"to_{reference}_sd": spread["sd"]} if spread else {})


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    """Those of the whole and of every part, then those of some parts, which they name."""
    parts = summary["parts"]
    said = {part: of["warnings"] for part, of in parts.items()}
    common = [text for text in next(iter(said.values())) if all(text in texts for texts in said.values())]
    own = [f"{part} rows: {text}" for part, texts in said.items() for text in texts if text not in common]
    return list(dict.fromkeys([*summary["warnings"], *summary["notes"], *common, *own]))


def _plain(sentence: Sentence) -> str:
    parts = [sentence] if isinstance(sentence, str) else sentence
    return "".join(part if isinstance(part, str) else _figure(part) for part in parts)


def _figure(part: Any) -> str:
    return ranged(part if isinstance(part, Mapping) else {"value": part})


def _heads(summary: Mapping[str, Any]) -> list[str]:
    spread = ["sd"] * (len(summary["seeds"]) > 1)
    return ["subset", "n", words.title(summary["metric"]), "", *spread, "to best single", "p", "to all", "p"]


def _cells(summary: Mapping[str, Any], name: str, row: Mapping[str, Any]) -> list[str]:
    metric = summary["metric"]
    value, _, brackets = ranged(row["metrics"][metric]).partition(" ")
    spread = [_number((row["seeds"].get(metric) or {}).get("sd"))] * (len(summary["seeds"]) > 1)
    return [name, str(row["n"]), value, brackets, *spread, *_against(row, BEST_SINGLE), *_against(row, FULL)]


def _against(row: Mapping[str, Any], reference: str) -> list[str]:
    said = row["against"].get(reference)
    if said is None:
        return ["", ""]
    p = said["p_holm"]
    least = is_number(p) and p < LEAST_P
    return [ranged({"value": said["difference"]["value"]}, "+"), f"<{LEAST_P}" if least else _number(p)]


def _number(value: Any) -> str:
    return shown(value) if is_number(value) else "-"
