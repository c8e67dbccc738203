"""The page of several runs side by side: metrics, paired differences, learning curves, reliability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.reports import COMPARISON, file_name
from affectkit.reporting.figures import evaluation, intervals
from affectkit.reporting.figures.learning import learning_curves
from affectkit.reporting.page import Figure, Page, Section, Table, figure, past
from affectkit.results import words
from affectkit.results.words import headline

SHOWN = 6  # metrics of a run
METRICS = (
    "Each run on the rows that it is judged on, which differ where their number does. Overlapping intervals of two "
    "runs are no test; the paired differences are."
)
PAIRED = (
    "Every run on the same rows, less {reference}. Intervals are paired over groups, each for itself; p-values are "
    "Holm's over the runs. A calibration error has no interval."
)


def draw(folder: Path) -> Page:
    """The page of the folder that `report` wrote of several runs."""
    comparison = read_json(folder / COMPARISON, what="comparison")
    runs, paired = comparison["runs"], comparison["paired"]
    names = dict.fromkeys([*runs, *comparison["histories"]])
    return Page(
        title=f"Comparison of {', '.join(names)}",
        lead=[f"{len(names)} runs side by side.", *([f"{_paired_rows(paired)}."] if paired else [])],
        sections=list(_sections(comparison)),
        **past({**comparison, "targets": _targets(runs)}),
        metrics=_columns(runs),
        source=COMPARISON,
        summary=_summary(comparison),
    )


def _targets(runs: Mapping[str, Any]) -> list[str]:
    """The targets of all runs, by name."""
    return list(dict.fromkeys(target["name"] for run in runs.values() for target in run.get("targets") or []))


def _sections(comparison: Mapping[str, Any]) -> Iterator[Section]:
    runs, paired = comparison["runs"], comparison["paired"]
    intervals_of = {words.interval(run): None for run in runs.values()}
    note = f"In brackets: {'; or '.join(intervals_of)}."
    if runs:  # of histories alone there are none
        yield Section("Metrics", text=[METRICS], tables=[_metric_table(runs)], figures=_forests(runs), note=note)
    if paired:
        text = [f"{_paired_rows(paired)}.", PAIRED.format(reference=paired["reference"])]
        yield Section("Differences", text=text, tables=_difference_tables(paired), figures=_difference_figures(paired))
    yield Section("Learning curves", figures=list(_curves(comparison["histories"])))
    yield Section("Reliability", figures=list(_reliability(runs)))


def _paired_rows(paired: Mapping[str, Any]) -> str:
    return f"Compared on the same {paired['n']} {words.judged(paired)}, paired over {words.over(paired)}"


def _columns(runs: Mapping[str, Any]) -> list[str]:
    """The key figures that any run has."""
    return headline(dict.fromkeys(name for run in runs.values() for name in run["metrics"]), SHOWN)


def _metric_table(runs: Mapping[str, Any]) -> Table:
    names = _columns(runs)
    rows = {
        name: [run["command"], words.part(run), run["n"], *(run["metrics"].get(metric) for metric in names)]
        for name, run in runs.items()
    }
    columns = ["command", "rows", "n", *map(words.title, names)]
    return Table("The runs and their key figures.", "run", columns, rows, file=COMPARISON)


def _forests(runs: Mapping[str, Any]) -> list[Figure]:
    """One of each of the first two key figures."""
    figures = []
    for metric in _columns(runs)[:2]:
        values = {name: run["metrics"][metric] for name, run in runs.items() if metric in run["metrics"]}
        title, caption = words.title(metric), words.forest_caption()
        figures.append(figure(f"runs_{metric}", caption, intervals.forest, values, metric=title))
    return figures


def _difference_tables(paired: Mapping[str, Any]) -> list[Table]:
    tables = []
    for metric, judged in _pooled(paired).items():
        rows = {}
        for name, value in judged["values"].items():
            difference = judged["differences"].get(name) or {}
            rows[name] = [value, difference or None, difference.get("p"), difference.get("p_holm")]
        columns = [words.title(metric), f"less {paired['reference']}", "p", "p (Holm)"]
        better = f"; {words.better(metric)} is better" if words.better(metric) else ""
        tables.append(Table(f"{words.title(metric)}{better}.", "run", columns, rows, file=COMPARISON))
    return [*tables, *_tables_of_targets(paired)]


def _pooled(paired: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics that are of all targets, or of the only one."""
    return {metric: judged for metric, judged in paired["metrics"].items() if "." not in metric}


def _tables_of_targets(paired: Mapping[str, Any]) -> list[Table]:
    """One for each metric that is known of several targets: a row for each of these, what the first run reaches, and
    how much more or less each other one does."""
    of_targets: dict[str, dict[str, Any]] = {}
    for name, judged in paired["metrics"].items():
        target, _, metric = name.rpartition(".")
        if target:
            of_targets.setdefault(metric, {})[target] = judged
    tables, reference = [], paired["reference"]
    for metric, by_target in of_targets.items():
        others = list(next(iter(by_target.values()))["differences"])
        rows = {
            target: [judged["values"][reference], *(judged["differences"][name] for name in others)]
            for target, judged in by_target.items()
        }
        columns = [reference, *(f"{name} less {reference}" for name in others)]
        caption = f"{words.title(metric)} of each target, and the differences to it of the other runs."
        tables.append(Table(caption, "target", columns, rows, file=COMPARISON))
    return tables


def _difference_figures(paired: Mapping[str, Any]) -> list[Figure]:
    figures = []
    for metric, judged in _pooled(paired).items():
        if judged["interval"]["method"] != "none":
            sides = {"against": paired["reference"], "higher_is_better": words.better(metric) == "higher"}
            name, caption, differences = f"differences_{metric}", words.differences_caption(), judged["differences"]
            title = words.title(metric)
            figures.append(figure(name, caption, intervals.differences, differences, metric=title, **sides))
    return figures


def _curves(histories: Mapping[str, Any]) -> Iterator[Figure]:
    """Loss and monitored metric of each run that has a history, one below the other."""
    for name, history in histories.items():
        for curve in learning_curves(history["epochs"], monitor=history["monitor"])[:-1]:
            yield replace(curve, name=file_name(f"{name}_{curve.name}"), caption=f"{name}. {curve.caption}")


def _reliability(runs: Mapping[str, Any]) -> Iterator[Figure]:
    for name, run in runs.items():
        for target, calibration in run["reliability"].items():
            if calibration["ece"] is None or not any(b["n"] for b in calibration["bins"]):
                continue
            caption = f"{name}{'' if target == 'label' else f', {target}'}. {words.RELIABILITY}"
            bins, error = calibration["bins"], {"ece": calibration["ece"], "null": calibration.get("null")}
            yield figure(f"{name}_{target}_reliability", caption, evaluation.reliability, bins, **error)


def _summary(comparison: Mapping[str, Any]) -> list[Section]:
    """What a terminal shows: the key figures of each run, and the differences of the first of them."""
    runs, paired = comparison["runs"], comparison["paired"]
    names = _columns(runs)[:3]
    rows = {
        name: [words.part(run), run["n"], *(run["metrics"].get(metric, "") for metric in names)]
        for name, run in runs.items()
    }
    histories = ", ".join(name for name in comparison["histories"] if name not in runs)
    told = [f"curves alone: {histories}"] if histories else []
    sections = [Section("", text=told, tables=[Table("", "run", ["rows", "n", *names], rows)] if rows else [])]
    if paired and paired["metrics"]:
        text = [_paired_rows(paired)]
        metric, judged = next(iter(paired["metrics"].items()))
        for name, difference in judged["differences"].items():
            p = f", p (Holm) {words.shown(difference['p_holm'])}" if difference["p_holm"] is not None else ""
            text.append(f"{name} less {paired['reference']}: {metric} {words.ranged(difference, '+')}{p}")
        sections.append(Section("", text=text))
    return sections
