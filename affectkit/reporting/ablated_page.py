"""The sections of an ablation's page, and the sentences that a terminal shows too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.reporting import words
from affectkit.reporting.figures import intervals
from affectkit.reporting.html import headline
from affectkit.reporting.page import Figure, Section, Sentence, Table
from affectkit.reporting.words import is_number

SUMMARY, TABLE = "ablation_summary.json", "ablation_summary.csv"
FULL, BEST_SINGLE = "full", "best_single"
LEAST_P = 0.001  # in sentences and on a terminal; the table has every digit
PARTS = {"oof": "Cross-fitted rows", "val": "Rows of split val", "test": "Test rows"}
READING = (
    "Every subset has the same rows, folds and seeds. The best single source is the one that is best on the "
    "cross-fitted rows, which favours it there: better than it is said with care, worse than it more readily. On test "
    "rows it is the same one. Holm's adjustment is over the subsets, for each reference and kind of rows apart; "
    "intervals are not adjusted.",
    "The highest of many figures is too high: it was looked for on the rows that it is of. Choose a subset on "
    "cross-fitted rows, and believe its figure on test rows.",
)


def lead(summary: Mapping[str, Any]) -> list[Sentence]:
    """What was done, and how to read the figures."""
    of, seeds = next(iter(summary["parts"].values())), len(summary["seeds"])
    what = f"{len(of['subsets'])} subsets of {', '.join(summary['sources'])}: {summary['how']}"
    said: list[Sentence] = [f"{what}. Folds: {summary['folds']}. Intervals: {words.interval(of)}."]
    if seeds > 1:
        said.append(f"Figures are means over {seeds} seeds, their intervals are of groups; sd: over the seeds.")
    for name, values in of["floors"].items():
        if is_number(values.get(summary["metric"])):
            head = f"Compared by {words.title(summary['metric'])}; floor ({words.FLOORS.get(name, name)}): "
            said.append((head, values[summary["metric"]], "."))
    return said


def named(summary: Mapping[str, Any]) -> list[str]:
    """The metrics, the compared one first."""
    first = next(iter(next(iter(summary["parts"].values()))["subsets"].values()))
    kept = words.meaningful({"metrics": first["metrics"], "targets": summary["targets"]})
    return list(dict.fromkeys([summary["metric"], *kept]))


def heading(part: str, of: Mapping[str, Any]) -> str:
    return f"{PARTS.get(part, part)} ({of['n']})"


def verdicts(summary: Mapping[str, Any], part: str) -> list[Sentence]:
    """All sources against the best single one, and all but one against all."""
    of, names = summary["parts"][part], summary["sources"]
    whole = of["subsets"][summary["full"]]
    best = f"the best single source ({summary['best_single']})"
    head = ("All together: ", f"{words.title(summary['metric'])} ", whole["metrics"][summary["metric"]])
    said: list[Sentence] = [(*head, "; ", *_versus(summary, of, whole["against"][BEST_SINGLE], best))]
    for source in names:
        for name, row in of["subsets"].items():
            if set(row["sources"]) == set(names) - {source}:
                versus = _versus(summary, of, row["against"][FULL], "all together")
                said.append((f"Without {source} ({name}): ", *versus))
    return said


def _versus(summary: Mapping[str, Any], of: Mapping[str, Any], said: Mapping[str, Any], to: str) -> list[Any]:
    """A difference, and whether it is one."""
    value, p = said["difference"]["value"], said["p_holm"]
    if not is_number(p):
        told = "no difference at all" if value == 0 else "no interval can be estimated"
        return [f"difference to {to} ", said["difference"], f": {told}."]
    verdict = _verdict(summary, of, said) or "not told apart by these rows"
    least = ["below ", LEAST_P] if p < LEAST_P else [p]
    return [f"difference to {to} ", said["difference"], ", p (Holm) ", *least, f": {verdict}."]


def _verdict(summary: Mapping[str, Any], of: Mapping[str, Any], said: Mapping[str, Any] | None) -> str:
    """`better` or `worse` where the adjusted p-value says so, else ""."""
    if not said or not is_number(said["p_holm"]) or said["p_holm"] >= 1 - of["interval"]["level"]:
        return ""
    return "better" if (said["difference"]["value"] > 0) == summary["higher_is_better"] else "worse"


def section(summary: Mapping[str, Any], part: str) -> Section:
    """One part of the rows: what it says, the subsets, the figures."""
    of = summary["parts"][part]
    tables = [_main_table(summary, of), _metric_table(summary, of)]
    return Section(heading(part, of), text=verdicts(summary, part), tables=tables, figures=_figures(summary, part))


def _main_table(summary: Mapping[str, Any], of: Mapping[str, Any]) -> Table:
    metric, spread = summary["metric"], len(summary["seeds"]) > 1
    rows = {}
    for name, row in of["subsets"].items():
        sd = [(row["seeds"].get(metric) or {}).get("sd")] * spread
        against = [cell for reference in (BEST_SINGLE, FULL) for cell in _difference_cells(row, reference)]
        rows[name] = [row["n"], row["metrics"][metric], *sd, *against]
    columns = ["n", words.title(metric), *["sd"] * spread, "to best single", "p (Holm)", "to all", "p (Holm)"]
    return Table("Every subset, with its paired differences.", "subset", columns, rows, file=TABLE)


def _difference_cells(row: Mapping[str, Any], reference: str) -> list[Any]:
    said = row["against"].get(reference)
    return [said["difference"], said["p_holm"]] if said else [None, None]


def _metric_table(summary: Mapping[str, Any], of: Mapping[str, Any]) -> Table:
    names = [name for name in headline(dict.fromkeys(named(summary)), 9) if name != summary["metric"]]
    rows = {name: [row["metrics"].get(metric) for metric in names] for name, row in of["subsets"].items()}
    caption = f"Other key figures; {TABLE} has every metric."
    return Table(caption, "subset", list(map(words.title, names)), rows if names else {}, file=TABLE, folded=True)


def _figures(summary: Mapping[str, Any], part: str) -> list[Figure]:
    """Of the first part by plain names, of others with theirs before."""
    of, before = summary["parts"][part], "" if part == next(iter(summary["parts"])) else f"{part}_"
    rows, metric, single = of["subsets"], words.title(summary["metric"]), summary["best_single"]
    better = [name for name, row in rows.items() if _verdict(summary, of, row["against"].get(BEST_SINGLE)) == "better"]
    values = {name: row["metrics"][summary["metric"]] for name, row in rows.items()}
    line, mark = (single, values[single]["value"]), f"better than {single} (Holm)"
    plot = intervals.forest(values, metric=metric, reference=line, marked=better, mark=mark)
    caption = words.forest_caption(reference=f"{single}, the best single source", mark=mark if better else "")
    found = [Figure(f"{before}subsets", part, caption, plot)]
    for reference, to in ((BEST_SINGLE, single), (FULL, "all together")):
        said = {name: row["against"][reference] for name, row in rows.items() if reference in row["against"]}
        own = {name: one["difference"] for name, one in said.items()}
        plot = intervals.differences(own, metric=metric, against=to, higher_is_better=summary["higher_is_better"])
        found.append(Figure(f"{before}to_{reference}", part, words.differences_caption(), plot))
    return found
