"""`report.html` of an evaluation: what `metrics.json` says, and its figures, on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from affectkit.artifacts.reports import class_targets
from affectkit.plain import without_nan
from affectkit.reporting import words
from affectkit.reporting.page import Card, Figure, Section, Sentence, Table, page
from affectkit.reporting.words import shown

__all__ = ["headline", "render", "shown"]

PLAIN = ("n", "groups", "recall", "precision", "mean", "sd", "positives", "raised")  # columns that are no metrics
FOLDED = 40  # groups; a longer table of them is shown on request


def render(report: Mapping[str, Any], figures: Sequence[Figure] = (), *, title: str = "Evaluation") -> str:
    """The page; a pure function of its arguments. report: what `metrics.json` holds."""
    report = {"declared": [], "corpora": [], "inputs": [], "targets": [], **without_nan(dict(report))}
    seen, faces = words.seen(report), words.faces(report)
    judged: Sentence = [report["n"], f" {words.judged(report)}", f", {seen}." if seen else "."]
    return page(
        title=title,
        lead=[judged, *([[f"{faces}."]] if faces else [])],
        sections=list(_sections(report, figures)),
        warnings=report.get("warnings") or [],
        declared=report["declared"],
        corpora=report["corpora"],
        inputs=report["inputs"],
        normalization=report.get("normalization", "unknown"),
        metrics=words.meaningful(report),
    )


def _sections(report: Mapping[str, Any], figures: Sequence[Figure]) -> Iterator[Section]:
    """Those that have anything to show; a figure's `section` names the one it stands in."""
    drawn: dict[str, list[Figure]] = {}
    for figure in figures:
        drawn.setdefault(figure.section, []).append(figure)
    yield _key_figures(report)
    yield Section("All metrics", tables=[_metric_table(report)])
    for name, _, details in class_targets(report):
        title = "Classes" if name == "label" else name
        yield Section(title, tables=[_class_table(details)], figures=drawn.get(name, []))
        if (details.get("calibration") or {}).get("null"):
            yield _calibration(name, details["calibration"]["null"], drawn.get(f"{name} calibration", []))
    for target in report["targets"]:
        if target["kind"] == "number":
            yield Section(target["name"], figures=drawn.get(target["name"], []))
    if report.get("slices"):
        yield Section("Slices", tables=[_slice_table(report["slices"])])
    if report.get("alerts"):
        yield _alerts(report)
    if report.get("per_group"):
        yield Section("Groups", tables=[_group_table(report)], figures=drawn.get("groups", []))
    if (report.get("folds") or {}).get("metrics"):
        yield Section("Folds", tables=[_fold_table(report["folds"])])


def headline(metrics: Mapping[str, Any], most: int = 8) -> list[str]:
    """The names of the key figures, at most `most` of them, means over targets before single targets."""
    ranked = [
        (words.HEADLINE.index(name.rpartition(".")[2]), "." in name, position, name)
        for position, name in enumerate(metrics)
        if name.rpartition(".")[2] in words.HEADLINE
    ]
    return [name for *_, name in sorted(ranked)][:most]


def _key_figures(report: Mapping[str, Any]) -> Section:
    metrics = report["metrics"]
    cards = [Card(words.title(name), metrics[name], _notes(name, report)) for name in headline(metrics)]
    return Section("Key figures", cards=cards, note=f"In brackets: {words.interval(report)}.")


def _notes(name: str, report: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What a key figure is to be held against."""
    notes = [
        (f"floor, {words.FLOORS.get(floor, floor)}: ", values[name])
        for floor, values in (report.get("floors") or {}).items()
        if values.get(name) is not None
    ]
    for _, prefix, details in class_targets(report):
        if name == f"{prefix}ece" and details.get("calibration"):
            notes.append(("calibrated model, 95th percentile: ", details["calibration"]["null"]["ece_p95"]))
    return notes


def _metric_table(report: Mapping[str, Any]) -> Table:
    floors, names = report.get("floors") or {}, words.meaningful(report)
    return Table(
        caption="Each metric over all judged rows, beside what needs no model. ↑ higher is better, ↓ lower is better.",
        first="metric",
        columns=["value", *(words.FLOORS.get(name, name) for name in floors)],
        rows={words.title(n): [report["metrics"][n], *(of.get(n) for of in floors.values())] for n in names},
        better={words.title(name): words.better(name) for name in names},
        file="metrics.csv",
    )


def _class_table(details: Mapping[str, Any]) -> Table:
    def one(row: Mapping[str, Any]) -> dict[str, Any]:
        recall = {"value": row.get("recall"), "low": row.get("recall_low"), "high": row.get("recall_high")}
        return {"n": row["n"], "recall": recall, "precision": row.get("precision"), "f1": row.get("f1")}

    caption = "Per class; n counts its true rows. Brackets: interval of the recall."
    rows = {name: one(row) for name, row in (details.get("per_class") or {}).items()}
    return _table(rows, caption=caption, first="class", file="per_class.csv")


def _calibration(name: str, null: Mapping[str, Any], figures: Sequence[Figure]) -> Section:
    sentence = (
        "ECE is above 0 even for a perfectly calibrated model: with as many rows and these confidences it would come ",
        "to ",
        null["ece_mean"],
        " on average, and stay below ",
        null["ece_p95"],
        " in 95 % of cases. Only an ECE above that is evidence of miscalibration.",
    )
    return Section("Calibration" if name == "label" else f"Calibration of {name}", text=[sentence], figures=figures)


def _slice_table(slices: Mapping[str, Mapping[str, Any]]) -> Table:
    names = headline(next(iter(slices.values()))["metrics"], 4)
    rows = {
        part: {"n": row["n"], "groups": row.get("groups"), **{name: row["metrics"].get(name) for name in names}}
        for part, row in slices.items()
    }
    caption = "The same metrics within parts of the rows; brackets as above. Slices with few groups say little."
    return _table(rows, caption=caption, first="slice", file="slices.csv")


def _alerts(report: Mapping[str, Any]) -> Section:
    """Each alert over all rows, in the slices, and by group."""
    alerts = report["alerts"]
    rows = {}
    for name, alert in alerts.items():
        rows[name] = _alert_row(alert)
        rows |= {f"{name}, {part}": _alert_row(row) for part, row in alert["slices"].items()}
    caption = "Decisions at a threshold: rows that are positive, rows that raise it, and rates; brackets as above."
    if len(rows) > len(alerts):
        caption += " Differences are to the rest of the rows."
    tables = [_table(rows, caption=caption, first="alert", file="alerts.csv")]
    return Section("Alerts", tables=[*tables, *_alert_groups(report)])


def _alert_groups(report: Mapping[str, Any]) -> Iterator[Table]:
    column = (report.get("groups") or {}).get("column", "group")
    for name, alert in report["alerts"].items():
        if rows := alert["per_group"]:
            caption, folded = f"{name} per {column}.", len(rows) > FOLDED
            yield _table(rows, caption=caption, first=column, file="alerts_per_group.csv", folded=folded)


def _alert_row(row: Mapping[str, Any]) -> dict[str, Any]:
    counts = {key: row[key] for key in ("n", "groups", "positives", "raised")}
    differences = {f"difference in {words.title(key)}": of for key, of in (row.get("differences") or {}).items()}
    return {**counts, **row["metrics"], **differences}


def _group_table(report: Mapping[str, Any]) -> Table:
    per_group, column = report["per_group"], report["groups"]["column"]
    folded = len(per_group) > FOLDED
    return _table(per_group, caption=f"Per {column}.", first=column, file="per_group.csv", folded=folded)


def _fold_table(folds: Mapping[str, Any]) -> Table:
    found = folds["metrics"]
    rows = {words.title(name): {"mean": found[name]["mean"], "sd": found[name]["sd"]} for name in headline(found)}
    count = folds.get("count")
    caption = f"Mean and standard deviation over {count} folds; the key figures above are pooled over all rows."
    return _table(rows, caption=caption, first="metric", file="per_fold.csv")


def _table(
    rows: Mapping[str, Mapping[str, Any]], *, caption: str, first: str, file: str = "", folded: bool = False
) -> Table:
    """Of rows that name their cells: every name in one of them is a column, in words."""
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    columns = [key if key in PLAIN else words.title(key) for key in keys]
    cells = {name: [row.get(key) for key in keys] for name, row in rows.items()}
    return Table(caption, first, columns, cells, file=file, folded=folded)
