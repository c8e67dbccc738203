"""What branches and stages were worth, for the page of a training and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.reporting import terminal
from affectkit.reporting.page import Section, Sentence, Table
from affectkit.results import words

TITLE = "What branches and stages were worth"
NOTE = (
    "Val rows that chose the epoch flatter what was trained: rows that chose nothing say what it is worth. An interval "
    "that includes 0 cannot tell the two apart."
)


def worth_section(report: Mapping[str, Any]) -> Section:
    """report: `train_report.json` of a training of several branches or stages."""
    worth = report["worth"]
    metric = words.title(worth["metric"])
    columns = ["rows", metric, "without", "difference"]
    rows = {f"{_what(row)}, {words.part({'split': row['part']})}": _cells(row) for row in _rows(worth)}
    caption = f"Paired differences in {metric} on the same rows. {NOTE}"
    table = Table(caption, "compared", columns, rows, signed=["difference"], brackets="95 %")
    return Section(TITLE, text=[*_mixed(report.get("beside", {})), *_undone(worth)], tables=[table] if rows else [])


def worth_lines(report: Mapping[str, Any]) -> list[str]:
    """For the terminal; none of a training of one branch and one stage. report: `train_report.json`, or its facts."""
    lines = []
    if "init" in report:
        first = report["init"]["fits"][0]
        counts = ", ".join(f"{first[name]} {name}" for name in ("loaded", "missing", "unexpected", "misshapen"))
        heads = f"; head of {', '.join(first['heads'])} too" if first["heads"] else "; a new head"
        by = report["init"]["chosen_by"]
        chosen = f", whose epoch was chosen by {by}" if by else ""
        lines += ["", f"started from {report['init']['path']}{chosen}: tensors {counts}{heads}"]
    if "worth" in report:
        section = worth_section(report)
        lines += ["", TITLE, *(line for table in section.tables for line in terminal.aligned(table))]
        lines += [terminal.plain(sentence) for sentence in section.text]
    return lines


def _rows(worth: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*worth["branches"], *worth["stages"]]


def _what(row: Mapping[str, Any]) -> str:
    return f"stage {row['name']} over {row['over']}" if "over" in row else f"mixture over {row['name']} alone"


def _cells(row: Mapping[str, Any]) -> list[Any]:
    return [row["n"], row["first"], row["second"], row["difference"]]


def _mixed(beside: Mapping[str, Any]) -> list[Sentence]:
    """The shares of branches, and which of them enter folds by answers that they had already."""
    sentences: list[Sentence] = []
    for target, shares in (beside.get("shares") or {}).items():
        each = ", ".join(f"{name} {words.shown(share)}" for name, share in shares.items())
        sentences.append(f"Shares of {target}: {each}.")
    for name, how in beside.get("nested", {}).items():
        if how.startswith("not nested"):
            sentences.append(f"{name} is {how}. In folds its answers may be from fits on rows that are judged.")
    return sentences


def _undone(worth: Mapping[str, Any]) -> list[Sentence]:
    sentences: list[Sentence] = []
    for name, row in {row["name"]: row for row in worth["stages"]}.items():
        folds = f" ({row['folds_undone']} of {row['folds']} folds too)" if row["folds_undone"] else ""
        if row["undone"]:
            why = "brought no better epoch and was undone"
            sentences.append(f"Stage {name} {why}: the weights from before are kept{folds}.")
        elif row["folds_undone"]:
            sentences.append(f"Stage {name} was undone in {row['folds_undone']} of {row['folds']} folds.")
    return sentences
