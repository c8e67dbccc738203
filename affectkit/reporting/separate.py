"""Targets that were learned together against each learned alone, for the page of a training and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.reporting import terminal
from affectkit.reporting.page import Section, Table
from affectkit.results import words
from affectkit.results.separate import SEPARATE

TITLE = "Together or each alone"
NOTE = (
    "The joint model's figure less that of a network that learned the target alone, on the same rows with the same "
    "folds and seed: paired over groups, p by Holm over the targets of a part. An interval that includes 0 cannot tell "
    f"the two apart. The model and predictions.csv are the joint ones; the others' answers are in {SEPARATE}."
)


def separate_section(report: Mapping[str, Any]) -> Section:
    """report: `train_report.json` of a training with --separate. A table for each part: they are never pooled."""
    tables = []
    for part in dict.fromkeys(row["part"] for row in report["separate"]):
        rows = {row["target"]: _cells(row) for row in report["separate"] if row["part"] == part}
        columns = ["metric", "rows", "together", "alone", "difference", "p (Holm)"]
        caption = words.sentence(f"{words.SEEN.get(part, part)} rows")
        tables.append(Table(caption, "target", columns, rows, signed=["difference"], brackets="95 %"))
    return Section(TITLE, note=NOTE, tables=tables)


def separate_lines(report: Mapping[str, Any]) -> list[str]:
    """For the terminal; none of a training that was not compared. report: `train_report.json`, or its facts."""
    if not report.get("separate"):
        return []
    section = separate_section(report)
    return ["", TITLE, *(line for table in section.tables for line in terminal.aligned(table))]


def _cells(row: Mapping[str, Any]) -> list[Any]:
    metric = words.title(row["metric"].rpartition(".")[2])
    return [metric, row["n"], row["first"], row["second"], row["difference"], row["p_holm"]]
