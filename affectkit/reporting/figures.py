"""Which figures a report has, and what stands below each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affectkit.reporting import plots, words
from affectkit.reporting.svg import Plot

if TYPE_CHECKING:
    from affectkit.artifacts.predictions import Predictions

GROUP_METRICS = ("uar", "accuracy", "ccc")  # the first that the groups have is drawn


@dataclass(frozen=True)
class Figure:
    """A plot in its place. name: of its file. section: of the report. caption: what it shows and how to read it."""

    name: str
    section: str
    caption: str
    plot: Plot


def draw(report: Mapping[str, Any], predictions: Predictions) -> list[Figure]:
    """Every figure that a report's numbers allow, in the order of the report.

    predictions: the judged rows; the clouds of a numeric target need them.
    """
    found = [*_class_figures(report), *_calibration_figures(report), *_group_figures(report)]
    for target in predictions.targets.values():
        if target.kind == "number":
            found += _number_figures(report, predictions, target.name, target.scale)
    return found


def _class_figures(report: Mapping[str, Any]) -> list[Figure]:
    figures = []
    per_class = report.get("per_class") or {}
    if per_class:
        plot = plots.recalls(list(per_class), list(per_class.values()), chance=1 / len(per_class))
        caption = "Recall of each class; chance is one over the number of classes, which is also the majority class's UAR."
        figures.append(Figure("recall", "classes", caption, plot))
    confusion = report.get("confusion") or {}
    if confusion.get("classes"):
        plot = plots.confusion(confusion["counts"], confusion["classes"])
        caption = "Confusion: rows are the truth, columns the prediction; shares add up to 100 % along a row."
        if len(confusion["classes"]) > plots.WORDY_CELLS:
            caption += " Numbers are percent, on the diagonal and from 10 % on; every count is in confusion_counts.csv."
        figures.append(Figure("confusion", "classes", caption, plot))
    return figures


def _calibration_figures(report: Mapping[str, Any]) -> list[Figure]:
    calibration = report.get("calibration") or {}
    bins = calibration.get("bins") or []
    if not any(b["n"] for b in bins):
        return []
    ece = report["metrics"]["ece"]["value"]
    plot = plots.reliability(bins, ece=ece, null=calibration.get("null"))
    caption = (
        "Reliability: below the dashed line the model is too sure of itself, above it too timid. Within the grey bars a bin "
        "cannot be told from a calibrated model's, rows taken as independent."
    )
    return [Figure("reliability", "calibration", caption, plot)]


def _group_figures(report: Mapping[str, Any]) -> list[Figure]:
    per_group, groups = report.get("per_group") or {}, report.get("groups")
    metric = _group_metric(per_group)
    if not metric or not groups:
        return []
    rows = list(per_group.values())
    values = [float("nan") if row.get(metric) is None else row[metric] for row in rows]
    plot = plots.groups(
        list(per_group),
        values,
        [row["n"] for row in rows],
        metric=words.title(metric),
        column=groups["column"],
        pooled=report["metrics"].get(metric, {}),
    )
    caption = f"{words.title(metric)} of each {groups['column']}, worst first. The pooled figure is over all rows, not their mean."
    return [Figure("groups", "groups", caption, plot)]


def _group_metric(per_group: Mapping[str, Mapping[str, Any]]) -> str | None:
    names = {name for row in per_group.values() for name, value in row.items() if value is not None}
    for wanted in GROUP_METRICS:
        for name in sorted(names, key=lambda name: ("." in name, name)):
            if name.rpartition(".")[2] == wanted:
                return name
    return None


def _number_figures(report: Mapping[str, Any], predictions: Predictions, name: str, scale: Any) -> list[Figure]:
    frame = predictions.frame
    if name not in frame or not (frame[name].notna() & frame[f"{name}_pred"].notna()).any():
        return []
    truth, predicted = frame[name], frame[f"{name}_pred"]
    note = _note(report["metrics"].get(f"{name}.ccc"))
    cloud = plots.scatter(truth, predicted, name=name, scale=scale, note=note)
    errors = plots.bland_altman(truth, predicted, name=name)
    safe = re.sub(r"[^\w.-]+", "_", name)
    return [
        Figure(f"{safe}_scatter", name, "Prediction against truth; a perfect model lies on the dashed line.", cloud),
        Figure(
            f"{safe}_bland_altman",
            name,
            "Bland-Altman: the error against the mean of truth and prediction. A downward slope says that predictions are "
            "drawn towards their mean.",
            errors,
        ),
    ]


def _note(figure: Mapping[str, Any] | None) -> str:
    if not figure or figure.get("value") is None:
        return ""
    low, high = figure.get("low"), figure.get("high")
    return f"CCC {figure['value']:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
