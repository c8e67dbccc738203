"""The page of a fusion: whether it helps, against which single source, and what each source counts for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.models import BEST, FUSION, TRAIN_REPORT, read_stage
from affectkit.artifacts.predictions import read_predictions
from affectkit.artifacts.records import read_started
from affectkit.artifacts.sources import PREDICTIONS, named_paths
from affectkit.evaluation.rows import answered_parts
from affectkit.reporting.figures import intervals
from affectkit.reporting.page import Figure, Page, Section, Sentence, Table, figure, past
from affectkit.results import words
from affectkit.results.lineage import digests_at_start

MOST_VALUES = 10  # that a sentence names


def draw(folder: Path) -> Page:
    """The page of the folder that `fuse` wrote."""
    report, started = read_json(folder / TRAIN_REPORT), read_started(folder)
    names = ", ".join(report["sources"])
    lead: list[Sentence] = [[f"{report['rule']} of {names}; {words.fitted(report)}"]]
    lead += [_sentence(verdict) for verdict in report["verdicts"]] or list(_figures(report))
    if routed := report.get("routed"):
        lead.append([_routed(routed)])
    if "changes" in report:
        lead += _changes(report, folder)
    files = zip(named_paths(started["options"]["sources"]), started["inputs"], strict=False)  # a manifest comes last
    return Page(
        f"Fusion of {names}",
        lead,
        [_section(target, report) for target in report["targets"]],
        **past(report, "inputs"),
        inputs=[{**file, "name": f"{name}: {file['name']}"} for name, item in files for file in digests_at_start(item)],
        source=TRAIN_REPORT,
    )


def _sentence(verdict: Mapping[str, Any]) -> list[Any]:
    """Whether fusing helps, with the figures that say so: text and numbers in turn."""
    best, name = verdict["against_best"], verdict["best_single"]
    against = f", the best single source, {name}, " if name else ", the best single source "
    head = "fusing helps" if verdict["helps"] else "fusing does not help"
    sentence: list[Any] = [f"{verdict['part']} rows: {head}: {words.title(best['metric'])} ", best["first"]]
    sentence += [against, best["second"], "; difference ", best["difference"]]
    if verdict["rescued"] is not None:
        sentence.append(f"; {verdict['rescued']} rows rescued, {verdict['degraded']} degraded")
    if verdict["against_mean"]:
        sentence += ["; equal weights ", verdict["against_mean"]["second"]]
    return sentence


def _figures(report: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The key figures of each part, where there is nothing to compare them with: a route's sources may share no row."""
    for part in report["groups"]:
        start = f"{part}_"
        metrics = {name.removeprefix(start): m for name, m in report["metrics"].items() if name.startswith(start)}
        sentence: list[Any] = [f"{part} rows: "]
        for name in words.headline(metrics, most=3):
            sentence += [f"{words.title(name)} ", metrics[name], ", "]
        yield sentence[:-1]


def _routed(routed: Mapping[str, Any]) -> str:
    """How many rows went to which source, and which values no source is called."""
    counts = ", ".join(f"{count} to {name}" for name, count in routed["rows"].items() if count)
    lacking = [f"{name} has no answer for {count} of them" for name, count in routed["unanswered"].items() if count]
    unknown = [f"{value or '(empty)'} ({count})" for value, count in routed["unknown"].items()]
    more = f" and {len(unknown) - MOST_VALUES} values more" if len(unknown) > MOST_VALUES else ""
    other = [f"{routed['policy']}: {', '.join(unknown[:MOST_VALUES])}{more}"] if unknown else []
    return "; ".join([f"rows by {routed['by']}: {counts or 'none'}", *lacking, *other])


def _changes(report: Mapping[str, Any], folder: Path) -> Iterator[list[Any]]:
    """What a calibration of the rule's own changed, for each part and target."""
    fitted = read_stage(folder / BEST, FUSION)["targets"]
    answered = answered_parts(read_predictions(folder / PREDICTIONS), quiet=True)  # the run has said it
    for part, targets in report["changes"].items():
        # The rows fitted on go by the name of what they were: cross-fitted val rows are val rows.
        same = part == "oof" and len(answered[part].frame) == report["fit_rows"]
        rows = report["fitted_on"] if same else part
        for target, changes in targets.items():
            before = "" if target == "label" else f"{target}."
            if f"{before}ccc" in changes:
                metric, how = f"{before}ccc", "recalibrated"
            else:
                temperature = fitted[target]["parameters"]["temperature"]
                metric, how = f"{before}nll", f"at temperature {temperature:.3g}"
            change = changes[metric]
            sentence = [f"{rows} rows: {target} {how}: {words.title(metric)} ", change["after"]]
            yield [*sentence, ", uncalibrated ", change["before"], "; difference ", change["difference"]]


def _section(target: str, report: Mapping[str, Any]) -> Section:
    verdicts = [verdict for verdict in report["verdicts"] if verdict["target"] == target]
    figures = [_differences(verdict) for verdict in verdicts]
    if weights := report["weights"].get(target):
        bars = list(weights), {target: list(weights.values())}
        figures.append(figure(f"weights_{target}", words.WEIGHTS, intervals.weights, *bars))
    return Section(target, tables=[_table(verdict) for verdict in verdicts], figures=figures)


def _table(verdict: Mapping[str, Any]) -> Table:
    best, mean = verdict["against_best"], verdict["against_mean"]
    rows: dict[str, list[Any]] = {"fused": [best["first"], None, best["n"]]}
    rows[f"best single ({verdict['best_single']})"] = [best["second"], best["difference"], best["n"]]
    if mean:
        rows["equal weights"] = [mean["second"], mean["difference"], mean["n"]]
    rows |= {f"{name} alone": [value, None, None] for name, value in verdict["singles"].items()}
    caption = f"{verdict['part']} rows; a source alone is judged on the rows that it answers"
    return Table(caption, "", [words.title(best["metric"]), "fused less this", "n"], rows)


def _differences(verdict: Mapping[str, Any]) -> Figure:
    best, mean = verdict["against_best"], verdict["against_mean"]
    rows = {f"to {verdict['best_single'] or 'the best single source'} (best single)": best["difference"]}
    if mean:
        rows["equal weights"] = mean["difference"]
    name, caption = f"differences_{verdict['target']}_{verdict['part']}", f"{verdict['part']} rows. "
    return figure(
        name, caption + words.differences_caption(), intervals.differences, rows, metric=words.title(best["metric"]),
        against="what stands beside", higher_is_better=words.better(best["metric"]) == "higher",
    )  # fmt: skip
