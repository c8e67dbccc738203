"""`report.html` of a selection: what `model_selection.json` says, and its figures, on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affectkit.artifacts.sources import Source
from affectkit.reporting import words
from affectkit.reporting.figures.intervals import differences, forest
from affectkit.reporting.lineage import digests, lineage
from affectkit.reporting.page import Card, Figure, Section, Table, page
from affectkit.reporting.selected_text import best_run, judged, optimism, reason, ties

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


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """The figures of all runs with the tie set marked, and their differences to the best; none for a run alone."""
    runs, title = report["runs"], words.title(report["metric"])
    if len(runs) < 2:
        return []
    best = best_run(report)
    marked = report["tie_set"] if report["telling"] else []
    plot = forest(
        {run["run"]: run["figure"] for run in runs},
        metric=title,
        reference=(f"best, {best['run']}", best["figure"]["value"]),
        marked=marked,
        chosen=report["chosen"],
    )
    caption = words.forest_caption(reference="the best figure", mark="the tie set" if marked else "", chosen=True)
    found = [Figure("selection", "runs", caption, plot)]
    if report["interval"]["method"] != "none":
        others = {run["run"]: run["difference"] for run in runs if run["run"] != best["run"]}
        plot = differences(others, metric=title, against=best["run"], higher_is_better=report["higher_is_better"])
        found.append(Figure("differences", "runs", words.differences_caption(adjusted=FAMILY), plot))
    return found


def selected_page(report: Mapping[str, Any], runs: Mapping[str, Source], drawn: Sequence[Figure]) -> str:
    paths = [source.path for source in runs.values()]
    said = lineage(paths)
    inputs = [{**row, "name": f"{name}/{row['name']}"} for name, run in runs.items() for row in digests([run.path])]
    return page(
        title=f"Selection of {report['chosen']}",
        lead=[f"Chosen: {reason(report)}.", f"{judged(report)}."],
        sections=_sections(report, drawn),
        warnings=report["warnings"],
        declared=said["declared"],
        corpora=said["corpora"],
        normalization=said["normalization"],
        inputs=inputs,
        metrics=[report["metric"], *(name.partition("_")[2] for name in report["runs"][0]["criteria"])],
        source="model_selection.json",
    )


def _sections(report: Mapping[str, Any], drawn: Sequence[Figure]) -> list[Section]:
    note = f"In brackets: {words.interval(report)}. {HOW} {SIMPLICITY}"
    sentences = [f"{said[0].upper()}{said[1:]}." for said in ties(report)]
    sections = [Section("Runs", text=sentences, tables=[_table(report)], figures=drawn, note=note)]
    if report["optimism"]:
        found = report["optimism"]
        cards = [
            Card("best figure", found["naive"], [f"{report['by']}, picked on the rows it is judged on"]),
            Card("nested", found["nested"], [f"{found['folds']} choices, which fell on {found['chosen']} runs"]),
        ]
        said = optimism(report)
        sections.append(Section("Optimism", text=[f"{said[0].upper()}{said[1:]}."], cards=cards, note=NESTED))
    return sections


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
    return Table("All runs, the chosen one first.", "run", columns, rows, file="model_selection.csv")
