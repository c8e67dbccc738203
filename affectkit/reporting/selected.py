"""The page of a selection: what `model_selection.json` says, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.reports import SELECTION, SELECTION_TABLE
from affectkit.evaluation.requirements import STATES, UNDECIDABLE
from affectkit.evaluation.selection import EARLIEST, LEAST, SIMPLEST
from affectkit.reporting.figures import intervals
from affectkit.reporting.page import Card, Figure, Page, Section, Table, figure, past
from affectkit.reporting.required import UNDECIDED
from affectkit.results import words
from affectkit.results.words import is_number, ranged, shown, signed

SHOWN = 20  # runs on a terminal
NAMED = 6  # runs in a sentence
ROWS = {
    ("val",): "rows of split val, held out or cross-fitted",
    ("oof",): "cross-fitted rows",
    ("oof", "val"): "rows, of split val or, in runs without one, cross-fitted",
    ("test",): "rows of split test, held out",
}
FAMILY = "each for itself; ties go by the adjusted p-values of the table"
HOW = (
    "Every run is compared with the one of the best figure, paired over groups. The p-values are Holm's over the runs, "
    "times half their number, because the best was picked on these very rows. Runs of p 0.05 or more tie, and so do "
    "runs that could not be tested. Of the tie set the criteria of --then choose, and earliest at last."
)
SIMPLICITY = (
    "Simple to complex: fewer models in the chain; then a single model, a calibration, a fusion of fixed weights, a "
    "fitted fusion; then fewer bytes of weights. What an encoder costs is not counted."
)
NESTED = (
    "The best of several figures is too high: it was picked for being high. In nested selection each group is judged "
    "by the run that is best on the other groups. The difference is what picking adds here."
)


def draw(folder: Path) -> Page:
    """The page of the folder that `select` wrote."""
    report = read_json(folder / SELECTION, what="selection")
    return Page(
        title=f"Selection of {report['chosen']}",
        lead=[f"Chosen: {_reason(report)}.", f"{_judged(report)}."],
        sections=_sections(report),
        **past(report),
        metrics=[report["metric"], *(name.partition("_")[2] for name in report["runs"][0]["criteria"])],
        source=SELECTION,
        summary=_summary(report),
    )


def _sections(report: Mapping[str, Any]) -> list[Section]:
    note = f"In brackets: {words.interval(report)}. {HOW} {SIMPLICITY}"
    text = [words.sentence(line) for line in _ties(report)]
    sections = [Section("Runs", text=text, tables=[_table(report)], figures=_figures(report), note=note)]
    if required := report.get("required"):
        sections.append(_required(required))
    if optimism := report["optimism"]:
        choices = f"{optimism['folds']} choices, which fell on {optimism['chosen']} runs"
        picked = f"{report['by']}, picked on the rows it is judged on"
        cards = [Card("best figure", optimism["naive"], [picked]), Card("nested", optimism["nested"], [choices])]
        sections.append(Section("Optimism", text=[words.sentence(_optimism(report))], cards=cards, note=NESTED))
    return sections


def _required(required: Mapping[str, Any]) -> Section:
    """What each run comes to by what was required, and which were chosen among."""
    judged, kept = required["judged"], required["kept"]
    names = list(next(iter(judged.values())))
    rows = {n: [*(c for by_run in judged.values() for c in (by_run[n], by_run[n]["state"])), n in kept] for n in names}
    text = [f"Given up, as no run meets it besides the others: {required['given_up']}."] if required["given_up"] else []
    open_ = any(row["state"] == UNDECIDABLE for by_run in judged.values() for row in by_run.values())
    columns = [cell for requirement in judged for cell in (requirement, "")]
    table = Table("What was required of the runs.", "run", [*columns, "chosen among"], rows)
    return Section("Requirements", text=text, tables=[table], note=UNDECIDED if open_ else "")


def _table(report: Mapping[str, Any]) -> Table:
    others = list(report["runs"][0]["criteria"])
    columns = ["rank", "model", report["by"], "less the best", "adjusted p", "tie", *others, "complexity", "made"]
    rows = {
        run["run"]: [
            run["rank"], run["model"], run["figure"], run["difference"], run["p_adjusted"], run["tie"],
            *run["criteria"].values(), run["complexity"] or "a table, without its model", run["made"][:19],
        ]
        for run in report["runs"]
    }  # fmt: skip
    return Table("All runs, the chosen one first.", "run", columns, rows, file=SELECTION_TABLE)


def _figures(report: Mapping[str, Any]) -> list[Figure]:
    """The figures of all runs with the tie set marked, and their differences to the best; none for a run alone."""
    runs, title, best = report["runs"], words.title(report["metric"]), _best_run(report)
    if len(runs) < 2:
        return []
    marked = report["tie_set"] if report["telling"] else []
    line: dict[str, Any] = {"reference": (f"best, {best['run']}", best["figure"]["value"]), "chosen": report["chosen"]}
    values = {run["run"]: run["figure"] for run in runs}
    caption = words.forest_caption("the best figure", "the tie set" if marked else "", chosen=True)
    figures = [figure("selection", caption, intervals.forest, values, metric=title, marked=marked, **line)]
    if report["interval"]["method"] != "none":
        others = {run["run"]: run["difference"] for run in runs if run["run"] != best["run"]}
        sides: dict[str, Any] = {"against": best["run"], "higher_is_better": report["higher_is_better"]}
        caption = words.differences_caption(FAMILY)
        figures.append(figure("differences", caption, intervals.differences, others, metric=title, **sides))
    return figures


# --- Sentences, of the page and of a terminal


def _judged(report: Mapping[str, Any]) -> str:
    count = len(report["runs"])
    return f"{count} {'run' if count == 1 else 'runs'} on the same {report['n']} {ROWS[tuple(sorted(report['rows']))]}"


def _ties(report: Mapping[str, Any]) -> list[str]:
    """Which runs the data cannot tell from the best; nothing for a run alone."""
    count, tied = len(report["runs"]), report["tie_set"]
    if count == 1:
        return []
    best = f"{report['best']} ({ranged({'value': _best_run(report)['figure']['value']})})"
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


def _best_run(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(run for run in report["runs"] if run["run"] == report["best"])


def _reason(report: Mapping[str, Any]) -> str:
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


def _optimism(report: Mapping[str, Any]) -> str:
    """What the best figure is worth where the rows judged had no say in choosing it."""
    naive, nested = report["optimism"]["naive"], report["optimism"]["nested"]
    group = report["groups"]["column"] if report["groups"] else "row"
    without = f"chosen without each {group} and judged on it, {shown(nested)} ({signed(nested - naive)})"
    return f"optimism: the best {report['by']} is {shown(naive)}; {without}"


# --- What a terminal shows


def _summary(report: Mapping[str, Any]) -> list[Section]:
    """The ranking, which runs tie, which one was chosen and why."""
    text = [f"intervals: {words.interval(report)}", *_ties(report), f"chosen: {_reason(report)}"]
    text += [_optimism(report)] if report["optimism"] else []
    text += _states((report.get("required") or {}).get("judged", {}))
    return [Section("", text=[_judged(report)]), Section("", tables=[_ranking(report)], text=text)]


def _states(judged: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of each requirement the runs that meet it, miss it, or cannot be told from it."""
    lines = []
    for requirement, by_run in judged.items():
        runs: dict[str, list[str]] = {}
        for name, row in by_run.items():
            runs.setdefault(row["state"], []).append(name)
        more = {state: f" and {len(names) - NAMED} more" * (len(names) > NAMED) for state, names in runs.items()}
        named = [f"{state}: {', '.join(runs[state][:NAMED])}{more[state]}" for state in STATES if state in runs]
        lines.append(f"{requirement} {'; '.join(named)}")
    return lines


def _ranking(report: Mapping[str, Any]) -> Table:
    listed, more = report["runs"][:SHOWN], len(report["runs"]) - SHOWN
    widest, digits = max(len(run["run"]) for run in listed), len(str(len(report["runs"])))
    rows = {}
    for run in listed:
        name = f"{run['rank']:>{digits}} {run['run']:<{widest}}  {run['model']}"
        difference = run["difference"] if run["run"] != report["best"] else ""
        p = run["p_adjusted"] if is_number(run["p_adjusted"]) else ""
        rows[name] = [run["figure"], difference, p, run["tie"], *run["criteria"].values()]
    columns = [report["by"], "less the best", "p", "tie", *report["runs"][0]["criteria"]]
    caption = f"... and {more} more in {SELECTION_TABLE}" if more > 0 else ""
    return Table(caption, "run", columns, rows, signed=("less the best",))
