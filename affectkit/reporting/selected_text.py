"""What `model_selection.json` says, in sentences and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.evaluation.selection import EARLIEST, LEAST, SIMPLEST
from affectkit.reporting import words
from affectkit.reporting.text import aligned
from affectkit.reporting.words import is_number, ranged, shown, signed

SHOWN = 20  # runs on a terminal
NAMED = 6  # runs in a sentence
ROWS = {
    ("val",): "rows of split val, held out or cross-fitted",
    ("oof",): "cross-fitted rows",
    ("oof", "val"): "rows, of split val or, in runs without one, cross-fitted",
    ("test",): "rows of split test, held out",
}


def key_lines(report: Mapping[str, Any]) -> list[str]:
    """The ranking, which runs tie, which one was chosen and why. The warnings are left to be said."""
    more = len(report["runs"]) - SHOWN
    lines = [f"{judged(report)}", "", *aligned(_cells(report))]
    lines += [f"... and {more} more in model_selection.csv"] if more > 0 else []
    lines += ["", f"intervals: {words.interval(report)}", *ties(report), f"chosen: {reason(report)}"]
    if report["optimism"]:
        lines.append(optimism(report))
    return lines


def judged(report: Mapping[str, Any]) -> str:
    count = len(report["runs"])
    return f"{count} {'run' if count == 1 else 'runs'} on the same {report['n']} {ROWS[tuple(sorted(report['rows']))]}"


def _cells(report: Mapping[str, Any]) -> list[list[str]]:
    others = list(report["runs"][0]["criteria"])
    rows = [["run", report["by"], "", "less the best", "", "p", "tie", *others]]
    listed = report["runs"][:SHOWN]
    widest, digits = max(len(run["run"]) for run in listed), len(str(len(report["runs"])))
    for run in listed:
        value, interval = _parts(run["figure"])
        difference, reach = _parts(run["difference"], "+") if run["run"] != report["best"] else ("", "")
        adjusted = shown(run["p_adjusted"]) if is_number(run["p_adjusted"]) else ""
        criteria = [shown(v) if is_number(v) else "-" for v in run["criteria"].values()]
        tie = "yes" if run["tie"] else "no"
        name = f"{run['rank']:>{digits}} {run['run']:<{widest}}  {run['model']}"
        rows.append([name, value, interval, difference, reach, adjusted, tie, *criteria])
    return rows


def _parts(figure: Mapping[str, Any], sign: str = "") -> tuple[str, str]:
    value, _, interval = ranged(figure, sign).partition(" ")
    return value, interval


def ties(report: Mapping[str, Any]) -> list[str]:
    """Which runs the data cannot tell from the best; nothing for a run alone."""
    count, tied = len(report["runs"]), report["tie_set"]
    if count == 1:
        return []
    best = f"{report['best']} ({ranged({'value': best_run(report)['figure']['value']})})"
    level = f"{100 * report['interval']['level']:g} %"
    if not report["telling"]:
        rest = "ties say nothing, and the figure decides" if report["ties"] else "ties say nothing"
        return [f"ties: {_untold(report, best)}: {rest}"]
    allowing = f"at {level}, Holm over {count} runs"
    if len(tied) == 1:
        return [f"no ties: {best} is told from every other run {allowing}"]
    others = [name for name in tied if name != report["best"]]
    listed = ", ".join(others[:NAMED]) + (f" and {len(others) - NAMED} more" if len(others) > NAMED else "")
    return [f"tie set: {best} is not told from {listed} {allowing}"]


def _untold(report: Mapping[str, Any], best: str) -> str:
    """Why no two runs can be told apart."""
    if report["interval"]["method"] == "none":
        return f"{words.title(report['metric'])} has no interval here, so nothing is told apart"
    if report["groups"] and report["groups"]["count"] < LEAST:
        return f"{report['groups']['count']} groups ({report['groups']['column']}) are too few to tell runs apart"
    return f"the data do not even tell {best} from an answer that is always the same"


def best_run(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(run for run in report["runs"] if run["run"] == report["best"])


def reason(report: Mapping[str, Any]) -> str:
    """The chosen run, and by what."""
    run, decided = report["runs"][0], report["decided_by"]
    if len(report["runs"]) == 1:
        return f"{run['run']}, the only one"
    if decided == report["by"]:
        highest = "highest" if report["higher_is_better"] else "lowest"
        return f"{run['run']}, of the {highest} {decided}, {ranged(run['figure'])}"
    among = "tie set" if report["ties"] and report["telling"] else "runs of an equal figure"
    less = f"; {report['by']} {ranged(run['figure'])}, less the best {ranged(run['difference'], '+')}"
    price = less if run["run"] != report["best"] else ""
    if decided == SIMPLEST:
        return f"{run['run']}, the simplest of the {among}: {run['complexity'] or 'a table'}{price}"
    if decided == EARLIEST:
        return f"{run['run']}, the earliest of the {among}, made {run['made']}{price}"
    return f"{run['run']}, of the best {decided} of the {among}, {shown(run['criteria'][decided])}{price}"


def optimism(report: Mapping[str, Any]) -> str:
    """What the best figure is worth where the rows judged had no say in choosing it."""
    found = report["optimism"]
    group = report["groups"]["column"] if report["groups"] else "row"
    return (
        f"optimism: the best {report['by']} is {shown(found['naive'])}; chosen without each {group} and judged on it, "
        f"{shown(found['nested'])} ({signed(found['nested'] - found['naive'])})"
    )
