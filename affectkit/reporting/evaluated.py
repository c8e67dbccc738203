"""The page of an evaluation: what `metrics.json` says, and its figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.records import read_started
from affectkit.artifacts.reports import METRICS, class_targets, read_examples, read_judged, read_report
from affectkit.artifacts.sources import PREDICTIONS, called
from affectkit.evaluation.metrics import meaningful
from affectkit.plain import without_nan
from affectkit.reporting.agreed import agreement_section, summary_section
from affectkit.reporting.beside import beside_columns, beside_lines, beside_section, beside_warnings
from affectkit.reporting.figures import evaluation
from affectkit.reporting.mistakes import mistakes
from affectkit.reporting.page import Card, Figure, Page, Section, Sentence, Table, figure, keyed, past
from affectkit.reporting.required import required_section
from affectkit.reporting.screened import alert_tables, alerts_section
from affectkit.results import words
from affectkit.results.words import headline, is_number, shown

if TYPE_CHECKING:
    import pandas as pd

FOLDED = 40  # groups; a longer table of them is shown on request
GROUP_METRICS = ("uar", "ccc")  # what is drawn of each group: of classes, of each number
MOST_GROUP_FIGURES = 4


def draw(folder: Path) -> Page:
    """The page of the folder that `evaluate` wrote."""
    options = read_started(folder)["options"]
    source = called(Path(options["model_dir"] or options["predictions"])) or PREDICTIONS
    title = f"Evaluation of {source}"
    return page(read_report(folder / METRICS), read_judged(folder), read_examples(folder), title=title)


def page(
    report: Mapping[str, Any],
    judged: pd.DataFrame | None = None,
    pictures: Sequence[Mapping[str, str]] = (),
    *,
    title: str = "Evaluation",
) -> Page:
    """report: what `metrics.json` holds. judged: truth and prediction of each numeric target, which clouds need.
    pictures: as `read_examples` gives them."""
    defaults = {"declared": [], "corpora": [], "inputs": [], "targets": [], "normalization": "unknown"}
    report = {**defaults, **without_nan(dict(report))}
    seen, faces = words.seen(report), words.faces(report)
    lead: Sentence = [report["n"], f" {words.judged(report)}", f", {seen}." if seen else "."]
    return Page(
        title=title,
        lead=[lead, *([[f"{faces}."]] if faces else [])],
        sections=list(_sections(report, judged, pictures)),
        warnings=[*(report.get("warnings") or []), *beside_warnings(report)],
        **past(report, "warnings"),
        metrics=meaningful(report["metrics"], report["targets"]),
        summary=_summary(report),
    )


def _sections(
    report: Mapping[str, Any], judged: pd.DataFrame | None, pictures: Sequence[Mapping[str, str]]
) -> Iterator[Section]:
    """Those that have anything to show."""
    yield _key_figures(report)
    yield from beside_section(report)
    yield from required_section(report.get("required"))
    yield Section("All metrics", tables=[_metric_table(report)])
    for position, (name, prefix, details) in enumerate(class_targets(report)):
        before, plain = f"{name}_" if position else "", name == "label"
        figures = list(_class_figures(before, details))
        yield Section("Classes" if plain else name, tables=[_class_table(details)], figures=figures)
        yield from mistakes(name, details.get("mistakes") or [], [p for p in pictures if p["target"] == name])
        calibration = details.get("calibration") or {}
        if null := calibration.get("null"):
            bins, ece = calibration.get("bins") or [], report["metrics"].get(f"{prefix}ece", {}).get("value")
            drawn = []
            if any(b["n"] for b in bins) and ece is not None:
                error = {"ece": ece, "null": null}
                drawn.append(figure(f"{before}reliability", words.RELIABILITY, evaluation.reliability, bins, **error))
            title = "Calibration" if plain else f"Calibration of {name}"
            yield Section(title, text=[_null_sentence(null)], figures=drawn)
    for target in report["targets"]:
        agreement = report.get("agreement") or {"targets": {}}
        if target["name"] in agreement["targets"]:
            yield agreement_section(target["name"], agreement, judged, target.get("scale"))
        elif target["kind"] == "number":
            yield Section(target["name"], figures=_number_figures(report, judged, target["name"], target["scale"]))
    if report.get("slices"):
        yield Section("Slices", tables=[_slice_table(report["slices"])])
    if report.get("alerts"):
        yield alerts_section(report)
    if report.get("per_group") and report.get("groups"):
        rows, column = report["per_group"], report["groups"]["column"]
        table = keyed(rows, f"Per {column}.", column, "per_group.csv", folded=len(rows) > FOLDED)
        yield Section("Groups", tables=[table], figures=_group_figures(report))
    if (report.get("folds") or {}).get("metrics"):
        yield Section("Folds", tables=[_fold_table(report["folds"])])


def _key_figures(report: Mapping[str, Any]) -> Section:
    metrics = report["metrics"]
    names = headline(metrics, targets=report["targets"])
    cards = [Card(words.title(name), metrics[name], _notes(name, report)) for name in names]
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


def _null_sentence(null: Mapping[str, Any]) -> Sentence:
    head = "ECE is above 0 even for a perfectly calibrated model: with as many rows and these confidences it would "
    tail = " in 95 % of cases. Only an ECE above that is evidence of miscalibration."
    return (head, "come to ", null["ece_mean"], " on average, and stay below ", null["ece_p95"], tail)


# --- Tables


def _metric_table(report: Mapping[str, Any]) -> Table:
    floors, names = report.get("floors") or {}, meaningful(report["metrics"], report["targets"])
    caption = "Each metric over all judged rows, beside what needs no model. ↑ higher is better, ↓ lower is better."
    columns = ["value", *(words.FLOORS.get(name, name) for name in floors)]
    rows = {words.title(n): [report["metrics"][n], *(floor.get(n) for floor in floors.values())] for n in names}
    better = {words.title(name): words.better(name) for name in names}
    return Table(caption, "metric", columns, rows, better, file="metrics.csv")


def _class_table(details: Mapping[str, Any]) -> Table:
    rows = {}
    for name, row in (details.get("per_class") or {}).items():
        recall = {"value": row.get("recall"), "low": row.get("recall_low"), "high": row.get("recall_high")}
        rows[name] = {"n": row["n"], "recall": recall, "precision": row.get("precision"), "f1": row.get("f1")}
    caption = "Per class; n counts its true rows. Brackets: interval of the recall."
    return keyed(rows, caption, "class", "per_class.csv")


def _slice_table(slices: Mapping[str, Mapping[str, Any]]) -> Table:
    names = headline(next(iter(slices.values()))["metrics"], 4)
    rows = {}
    for part, row in slices.items():
        rows[part] = {"n": row["n"], "groups": row.get("groups"), **{name: row["metrics"].get(name) for name in names}}
    caption = "The same metrics within parts of the rows; brackets as above. Slices with few groups say little."
    return keyed(rows, caption, "slice", "slices.csv")


def _fold_table(folds: Mapping[str, Any]) -> Table:
    metrics = folds["metrics"]
    rows = {words.title(name): {key: metrics[name][key] for key in ("mean", "sd")} for name in headline(metrics)}
    caption = f"Mean and standard deviation over {folds.get('count')} folds; the key figures above are pooled over all"
    return keyed(rows, f"{caption} rows.", "metric", "per_fold.csv")


# --- Figures


def _class_figures(before: str, details: Mapping[str, Any]) -> Iterator[Figure]:
    per_class, confusion = details.get("per_class") or {}, details.get("confusion") or {}
    if per_class:
        names, rows, chance = list(per_class), list(per_class.values()), 1 / len(per_class)
        caption = "Recall of each class. Chance, one over the number of classes, is also the UAR of a constant answer."
        yield figure(f"{before}recall", caption, evaluation.recalls, names, rows, chance=chance)
    if classes := confusion.get("classes"):
        caption = "Confusion: rows are the truth, columns the prediction; shares add up to 100 % along a row."
        if len(classes) > evaluation.WORDY_CELLS:
            caption += " Numbers are percent, on the diagonal and from 10 % on; every count is in confusion_counts.csv."
        yield figure(f"{before}confusion", caption, evaluation.confusion, confusion["counts"], classes)


def _group_figures(report: Mapping[str, Any]) -> list[Figure]:
    per_group = report["per_group"]
    names = dict.fromkeys(name for row in per_group.values() for name, value in row.items() if value is not None)
    drawn = [name for name in names if name.rpartition(".")[2] in GROUP_METRICS]
    drawn = [name for name in drawn if not any(other.endswith(f".{name}") for other in drawn)]  # no mean over targets
    return [_group_figure(report, name) for name in drawn[:MOST_GROUP_FIGURES]]


def _group_figure(report: Mapping[str, Any], metric: str) -> Figure:
    per_group, column = report["per_group"], report["groups"]["column"]
    return figure(
        f"groups_{metric}",
        f"{words.title(metric)} of each {column}, worst first. The pooled figure is not their mean.",
        evaluation.groups,
        list(per_group),
        [float("nan") if row.get(metric) is None else row[metric] for row in per_group.values()],
        [row["n"] for row in per_group.values()],
        metric=words.title(metric),
        column=column,
        pooled=report["metrics"].get(metric, {}),
    )


def _number_figures(report: Mapping[str, Any], judged: pd.DataFrame | None, name: str, scale: Any) -> list[Figure]:
    if judged is None or name not in judged:
        return []
    truth, predicted = (judged[column].to_numpy(float) for column in (name, f"{name}_pred"))
    if not np.isfinite(truth + predicted).any():
        return []
    ccc = report["metrics"].get(f"{name}.ccc") or {}
    value, low, high = (ccc.get(key) for key in ("value", "low", "high"))
    note = "" if value is None else f"CCC {value:.3f}"
    note += "" if None in (value, low, high) else f" [{low:.3f}, {high:.3f}]"
    look = {"name": name, "scale": scale, "note": note}
    return [
        figure(f"{name}_scatter", words.SCATTER, evaluation.scatter, truth, predicted, **look),
        figure(f"{name}_bland_altman", words.BLAND_ALTMAN, evaluation.bland_altman, truth, predicted, name=name),
    ]


# --- What a terminal shows


def _summary(report: Mapping[str, Any]) -> list[Section]:
    """What was judged; the key figures with interval and floors; what they are to be held against."""
    judged = [report["n"], f" {words.judged(report)}, {words.seen(report)}"]
    floors, metrics = report.get("floors") or {}, report["metrics"]
    names = headline(metrics, 12, report["targets"])
    beside = beside_columns(report, names)
    rows = {n: [metrics[n], *(floor.get(n) for floor in floors.values())] for n in names}
    rows = {n: [*cells, *(column[k] for column in beside.values())] for k, (n, cells) in enumerate(rows.items())}
    columns = ["held out" if beside else "value", *(name.replace("_", " ") for name in floors), *beside]
    tables = [Table("", "metric", columns, rows, brackets="interval")]
    if alerts := report.get("alerts"):
        tables += alert_tables(alerts)
    text: list[Sentence] = [f"intervals: {words.interval(report)}", *beside_lines(report)]
    for _, prefix, details in class_targets(report):
        # What ECE comes to at this size when nothing is wrong: it has no interval, and 0 is not its floor.
        if null := (details.get("calibration") or {}).get("null"):
            head = f"{prefix}ece of a calibrated model: "
            text.append((head, null["ece_mean"], " on average, 95 % below ", null["ece_p95"]))
    text += _face_lines(report)
    required = required_section(report.get("required"), "")
    agreed = list(summary_section(report["agreement"])) if report.get("agreement") else []
    return [Section("", text=[judged]), Section("", tables=tables, text=text), *agreed, *required]


def _face_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """How many rows a face expert could speak of, and the others on their own."""
    if not (faces := words.faces(report)):
        return
    yield faces
    if without := (report.get("slices") or {}).get("face=none"):
        values = {name: without["metrics"][name]["value"] for name in headline(without["metrics"], 4)}
        texts = (f"{name} {shown(value) if is_number(value) else '-'}" for name, value in values.items())
        yield f"without a face, {without['n']} rows: {', '.join(texts)}"
