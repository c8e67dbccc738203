"""The page of an ablation: what `ablation_summary.json` says, part by part of the rows, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.reports import ABLATION, ABLATION_TABLE
from affectkit.evaluation.metrics import meaningful
from affectkit.reporting.figures import intervals
from affectkit.reporting.page import Figure, Page, Section, Sentence, Table, figure, past
from affectkit.reporting.required import required_section
from affectkit.results import words
from affectkit.results.words import headline, is_number

FULL, BEST_SINGLE = "full", "best_single"  # what subsets are compared with
TO = {BEST_SINGLE: "to best single", FULL: "to all"}  # in the heads of tables
LEAST_P = 0.001  # in sentences and on a terminal; the table has every digit
MOST_LINES = 31  # subsets on a terminal: of five sources
PARTS = {"oof": "Cross-fitted rows", "val": "Rows of split val", "test": "Test rows"}
READING = (
    "Every subset has the same rows, folds and seeds. The best single source is the one that is best on the "
    "cross-fitted rows, which favours it there: better than it is said with care, worse than it more readily. On test "
    "rows it is the same one. Holm's adjustment is over the subsets, for each reference and kind of rows apart; "
    "intervals are not adjusted.",
    "The highest of many figures is too high: it was looked for on the rows that it is of. Choose a subset on "
    "cross-fitted rows, and believe its figure on test rows.",
)


def draw(folder: Path) -> Page:
    """The page of the folder that `ablate` wrote."""
    summary = read_json(folder / ABLATION, what="summary of an ablation")
    parts = list(summary["parts"])
    sections = [_section(summary, part, f"{part}_" if position else "") for position, part in enumerate(parts)]
    return Page(
        title=f"Ablation of {', '.join(summary['sources'])}",
        lead=_lead(summary),
        sections=[*required_section(summary.get("required")), *sections, Section("How to read this", text=READING)],
        warnings=_warnings(summary),
        **past(summary, "warnings"),
        metrics=_named(summary),
        source=ABLATION,
        summary=[
            Section("", text=_lead(summary)),
            *(_brief(summary, part) for part in parts),
            *required_section(summary.get("required"), ""),
        ],
    )


def _lead(summary: Mapping[str, Any]) -> list[Sentence]:
    """What was done, and how to read the figures."""
    judged, seeds = next(iter(summary["parts"].values())), len(summary["seeds"])
    what = f"{len(judged['subsets'])} subsets of {', '.join(summary['sources'])}: {summary['how']}"
    sentences: list[Sentence] = [f"{what}. Folds: {summary['folds']}. Intervals: {words.interval(judged)}."]
    if seeds > 1:
        sentences.append(f"Figures are means over {seeds} seeds, their intervals are of groups; sd: over the seeds.")
    for name, values in judged["floors"].items():
        if is_number(values.get(summary["metric"])):
            head = f"Compared by {words.title(summary['metric'])}; floor ({words.FLOORS.get(name, name)}): "
            sentences.append((head, values[summary["metric"]], "."))
    return sentences


def _named(summary: Mapping[str, Any]) -> list[str]:
    """The metrics, the compared one first."""
    first = next(iter(next(iter(summary["parts"].values()))["subsets"].values()))
    return list(dict.fromkeys([summary["metric"], *meaningful(first["metrics"], summary["targets"])]))


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    """Those of the whole and of every part, then those of some parts, which they name."""
    warnings = words.by_part({part: judged["warnings"] for part, judged in summary["parts"].items()})
    return list(dict.fromkeys([*summary["warnings"], *summary["notes"], *warnings]))


# --- What one part of the rows says: sentences, tables, figures


def _section(summary: Mapping[str, Any], part: str, before: str) -> Section:
    """before: what the names of its figures begin with."""
    judged = summary["parts"][part]
    tables = [_main_table(summary, judged), *_language_tables(summary, judged), _metric_table(summary, judged)]
    figures = _figures(summary, judged, before)
    return Section(_heading(part, judged), text=_verdicts(summary, judged), tables=tables, figures=figures)


def _heading(part: str, judged: Mapping[str, Any]) -> str:
    return f"{PARTS.get(part, part)} ({judged['n']})"


def _references(summary: Mapping[str, Any]) -> dict[str, str]:
    """What subsets are compared with, in words; there may be no single source among them."""
    largest = next(iter(summary["parts"].values()))["subsets"][summary["full"]]["sources"]
    full = "all together" if set(largest) == set(summary["sources"]) else summary["full"]
    return ({BEST_SINGLE: summary["best_single"]} if summary["best_single"] else {}) | {FULL: full}


def _verdicts(summary: Mapping[str, Any], judged: Mapping[str, Any]) -> list[Sentence]:
    """The largest subset against the best single source, and without each of its sources against itself."""
    subsets, called = judged["subsets"], _references(summary)
    full = subsets[summary["full"]]
    head = (f"{called[FULL].capitalize()}: ", f"{words.title(summary['metric'])} ", full["metrics"][summary["metric"]])
    best = f"the best single source ({summary['best_single']})"
    versus = _versus(summary, judged, full["against"].get(BEST_SINGLE), best)
    sentences: list[Sentence] = [(*head, "; ", *versus) if versus else (*head, ".")]
    for source in full["sources"]:
        for name, row in subsets.items():
            if set(row["sources"]) == set(full["sources"]) - {source}:
                versus = _versus(summary, judged, row["against"][FULL], called[FULL])
                sentences.append((f"Without {source} ({name}): ", *versus))
    return sentences


def _versus(
    summary: Mapping[str, Any], judged: Mapping[str, Any], comparison: Mapping[str, Any] | None, reference: str
) -> list[Any]:
    """A difference, and whether it is one; nothing where nothing is compared."""
    if comparison is None:
        return []
    difference, p = comparison["difference"], comparison["p_holm"]
    if not is_number(p):
        reason = "no difference at all" if difference["value"] == 0 else "no interval can be estimated"
        return [f"difference to {reference} ", difference, f": {reason}."]
    verdict = _verdict(summary, judged, comparison) or "not told apart by these rows"
    least = ["below ", LEAST_P] if p < LEAST_P else [p]
    return [f"difference to {reference} ", difference, ", p (Holm) ", *least, f": {verdict}."]


def _verdict(summary: Mapping[str, Any], judged: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> str:
    """`better` or `worse` where the adjusted p-value says so, else ""."""
    p = comparison["p_holm"] if comparison else None
    if not comparison or not is_number(p) or p >= 1 - judged["interval"]["level"]:
        return ""
    return "better" if (comparison["difference"]["value"] > 0) == summary["higher_is_better"] else "worse"


def _main_table(summary: Mapping[str, Any], judged: Mapping[str, Any]) -> Table:
    rows = {}
    for name, row in judged["subsets"].items():
        against = [row["against"].get(reference) for reference in _references(summary)]
        pairs = [[other["difference"], other["p_holm"]] if other else [None, None] for other in against]
        rows[name] = [row["n"], *_compared(summary, row), *(cell for pair in pairs for cell in pair)]
    to = [cell for reference in _references(summary) for cell in (TO[reference], "p (Holm)")]
    columns = ["n", *_compared_columns(summary), *to]
    return Table("Every subset, with its paired differences.", "subset", columns, rows, file=ABLATION_TABLE)


def _language_tables(summary: Mapping[str, Any], judged: Mapping[str, Any]) -> list[Table]:
    """The compared metric of each language's rows, where there are several languages."""
    languages = sorted({language for row in judged["subsets"].values() for language in row.get("languages", {})})
    if not languages:
        return []
    rows: dict[str, list[Any]] = {}
    for name, row in judged["subsets"].items():
        known = row.get("languages", {})
        cells = [known.get(language) or {"n": 0, "metrics": {}} for language in languages]
        rows[name] = [cell for each in cells for cell in (each["n"], each["metrics"].get(summary["metric"]))]
    columns = [cell for language in languages for cell in (f"n {language}", language)]
    caption = f"{words.title(summary['metric'])} by language; {ABLATION_TABLE} has every metric."
    return [Table(caption, "subset", columns, rows, file=ABLATION_TABLE)]


def _compared(summary: Mapping[str, Any], row: Mapping[str, Any]) -> list[Any]:
    """The compared metric; of several seeds also its standard deviation over them."""
    metric = summary["metric"]
    spread = [(row["seeds"].get(metric) or {}).get("sd")]
    return [row["metrics"][metric], *(spread if len(summary["seeds"]) > 1 else [])]


def _compared_columns(summary: Mapping[str, Any]) -> list[str]:
    return [words.title(summary["metric"]), *(["sd"] if len(summary["seeds"]) > 1 else [])]


def _metric_table(summary: Mapping[str, Any], judged: Mapping[str, Any]) -> Table:
    names = [name for name in headline(dict.fromkeys(_named(summary)), 9) if name != summary["metric"]]
    subsets = judged["subsets"].items() if names else ()
    rows = {name: [row["metrics"].get(metric) for metric in names] for name, row in subsets}
    caption = f"Other key figures; {ABLATION_TABLE} has every metric."
    return Table(caption, "subset", list(map(words.title, names)), rows, file=ABLATION_TABLE, folded=True)


def _figures(summary: Mapping[str, Any], judged: Mapping[str, Any], before: str) -> list[Figure]:
    rows, metric, called = judged["subsets"], words.title(summary["metric"]), _references(summary)
    first, single = next(iter(called)), summary["best_single"] or summary["full"]
    against = {name: row["against"].get(first) for name, row in rows.items()}
    better = [name for name, comparison in against.items() if _verdict(summary, judged, comparison) == "better"]
    values = {name: row["metrics"][summary["metric"]] for name, row in rows.items()}
    line: dict[str, Any] = {"reference": (single, values[single]["value"]), "mark": f"better than {single} (Holm)"}
    what = f"{single}, the {'best single source' if first == BEST_SINGLE else 'largest subset'}"
    caption = words.forest_caption(what, line["mark"] if better else "")
    figures = [figure(f"{before}subsets", caption, intervals.forest, values, metric=metric, marked=better, **line)]
    for reference, to in called.items():
        against = {name: row["against"].get(reference) for name, row in rows.items()}
        changes = {name: comparison["difference"] for name, comparison in against.items() if comparison}
        sides: dict[str, Any] = {"against": to, "higher_is_better": summary["higher_is_better"]}
        caption = words.differences_caption()
        if changes:
            name = f"{before}to_{reference}"
            figures.append(figure(name, caption, intervals.differences, changes, metric=metric, **sides))
    return figures


# --- What a terminal shows of a part


def _brief(summary: Mapping[str, Any], part: str) -> Section:
    """The subsets, and what the sources are worth."""
    judged = summary["parts"][part]
    subsets = judged["subsets"]
    values = {name: row["metrics"][summary["metric"]]["value"] for name, row in subsets.items()}
    known = [name for name, value in values.items() if is_number(value)]
    ranked = sorted(known, key=values.__getitem__, reverse=summary["higher_is_better"])
    best = ranked[:MOST_LINES] if len(subsets) > MOST_LINES else list(subsets)
    rows = {}
    for name in sorted(best, key=list(subsets).index):
        row = subsets[name]
        against = [cell for other in _references(summary) for cell in _difference(row["against"].get(other))]
        rows[name] = [row["n"], *_compared(summary, row), *against]
    to = [cell for reference in _references(summary) for cell in (TO[reference], "p")]
    columns = ["n", *_compared_columns(summary), *to]
    caption = (
        f"the {len(rows)} best of {len(subsets)} subsets; {ABLATION_TABLE} has them all"
        if len(rows) < len(subsets)
        else ""
    )
    table = Table(caption, "subset", columns, rows, signed=tuple(TO.values()))
    return Section(_heading(part, judged), tables=[table], text=_verdicts(summary, judged))


def _difference(comparison: Mapping[str, Any] | None) -> list[Any]:
    if comparison is None:
        return ["", ""]
    p = comparison["p_holm"]
    return [comparison["difference"]["value"], f"<{LEAST_P}" if is_number(p) and p < LEAST_P else p]
