"""Alerts on the page of an evaluation and on a terminal: what is decided, and what that says of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from affectkit.reporting.page import Section, Table, keyed
from affectkit.results import words
from affectkit.results.words import is_number, shown

FOLDED = 40  # groups; a longer table of them is shown on request
DECISIONS = ("sensitivity", "specificity", "fpr", "fnr")
FURTHER = ("error", "lr_positive", "lr_negative")
ON_A_TERMINAL = ("sensitivity", "fpr", "precision")  # what fits; the others are in alerts.csv
COUNTS = ("n", "groups", "positives", "raised")
FILE = "alerts.csv"
CAPTION = "Decisions at a threshold: rows that are positive, rows that raise it, and rates; brackets as above."
PREDICTIVE = (
    "What an alert, or its absence, says of a person. The predictive values of these rows hold where positives are as "
    "frequent as among them, and not where they are rarer; those at a stated prevalence follow from sensitivity and "
    "specificity by Bayes' rule."
)
RATIOS = (
    "The share of wrong decisions, and likelihood ratios: how much an alert (LR+), or its absence (LR\N{MINUS SIGN}), "
    "multiplies the odds of being positive. LR+ is undefined where no negative row raises an alert."
)
DIFFERENCES = "Each rate of a slice less that of the rest of the rows."


def alerts_section(report: Mapping[str, Any]) -> Section:
    """Each alert over all rows, in the slices, and by group."""
    alerts = report["alerts"]
    rows = {
        title: row
        for name, alert in alerts.items()
        for title, row in {name: alert, **{f"{name}, {part}": row for part, row in alert["slices"].items()}}.items()
    }
    decisions = {title: {key: row[key] for key in COUNTS} | _chosen(row, DECISIONS) for title, row in rows.items()}
    tables = [keyed(decisions, CAPTION, "alert", FILE), *_predictive_values(rows)]
    further = {title: chosen for title, row in rows.items() if (chosen := _chosen(row, FURTHER))}
    differences = {
        title: {f"difference in {words.title(key)}": figure for key, figure in row["differences"].items()}
        for title, row in rows.items()
        if row.get("differences")
    }
    tables += [keyed(further, RATIOS, "alert", FILE)] if further else []
    tables += [keyed(differences, DIFFERENCES, "alert", FILE)] if differences else []
    column = (report.get("groups") or {}).get("column", "group")
    for name, alert in alerts.items():
        if per_group := alert["per_group"]:
            folded = len(per_group) > FOLDED
            tables.append(keyed(per_group, f"{name} per {column}.", column, "alerts_per_group.csv", folded=folded))
    return Section("Alerts", tables=tables)


def _chosen(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row["metrics"][name] for name in names if name in row["metrics"]}


def _predictive_values(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    """At the prevalence of the rows, and at each stated one."""
    cells: dict[str, list[Any]] = {}
    for title, row in rows.items():
        metrics = row["metrics"]
        if "npv" in metrics:
            cells[f"{title}: these rows"] = [metrics[key] for key in ("prevalence", "precision", "npv")]
        for share, figures in row.get("at_prevalence", {}).items():
            cells[f"{title}: at {share}"] = [float(share), figures["ppv"], figures["npv"]]
    if cells:
        columns = ["prevalence", "positive predictive value (precision)", words.title("npv")]
        yield Table(PREDICTIVE, "alert", columns, cells, file=FILE)


def alert_tables(alerts: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    """What a terminal shows: what was decided, and where a prevalence is stated, predictive values."""
    columns = ["positive", "raised", *map(words.title, ON_A_TERMINAL)]
    rows = {n: [a["positives"], a["raised"], *map(a["metrics"].get, ON_A_TERMINAL)] for n, a in alerts.items()}
    yield Table("", "alert", columns, rows)
    values = {}
    for name, alert in alerts.items():
        if stated := alert.get("at_prevalence"):
            here, share = alert["metrics"], alert["metrics"]["prevalence"]["value"]
            own = f"prevalence {shown(share) if is_number(share) else '-'} (these rows)"
            values[f"{name}, {own}"] = [here["precision"], here["npv"]]
            values |= {f"{name}, prevalence {share}": [f["ppv"], f["npv"]] for share, f in stated.items()}
    if values:
        yield Table("", "predictive values", ["positive (precision)", "negative"], values)
