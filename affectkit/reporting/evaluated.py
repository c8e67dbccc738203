"""Which figures a report has, and what stands below each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.reports import class_targets, file_name
from affectkit.reporting import words
from affectkit.reporting.figures import evaluation
from affectkit.reporting.page import Figure

if TYPE_CHECKING:
    from affectkit.artifacts.predictions import Predictions

GROUP_METRICS = ("uar", "ccc")  # what is drawn of each group: of classes, of each number
MOST_GROUP_FIGURES = 4


def draw(report: Mapping[str, Any], predictions: Predictions) -> list[Figure]:
    """Every figure that a report's numbers allow, in the order of the report.

    predictions: the judged rows; the clouds of a numeric target need them.
    """
    found: list[Figure] = []
    for position, (name, prefix, details) in enumerate(class_targets(report)):
        before = f"{name}_" if position else ""
        found += _class_figures(name, before, details)
        found += _calibration_figures(name, before, details, report["metrics"].get(f"{prefix}ece", {}))
    found += _group_figures(report)
    for target in predictions.targets.values():
        if target.kind == "number":
            found += _number_figures(report, predictions, target.name, target.scale)
    return found


def _class_figures(name: str, before: str, details: Mapping[str, Any]) -> list[Figure]:
    figures = []
    per_class = details.get("per_class") or {}
    if per_class:
        plot = evaluation.recalls(list(per_class), list(per_class.values()), chance=1 / len(per_class))
        caption = "Recall of each class. Chance, one over the number of classes, is also the UAR of a constant answer."
        figures.append(Figure(file_name(f"{before}recall"), name, caption, plot))
    confusion = details.get("confusion") or {}
    if confusion.get("classes"):
        plot = evaluation.confusion(confusion["counts"], confusion["classes"])
        caption = "Confusion: rows are the truth, columns the prediction; shares add up to 100 % along a row."
        if len(confusion["classes"]) > evaluation.WORDY_CELLS:
            caption += " Numbers are percent, on the diagonal and from 10 % on; every count is in confusion_counts.csv."
        figures.append(Figure(file_name(f"{before}confusion"), name, caption, plot))
    return figures


def _calibration_figures(name: str, before: str, details: Mapping[str, Any], ece: Mapping[str, Any]) -> list[Figure]:
    calibration = details.get("calibration") or {}
    bins = calibration.get("bins") or []
    if not any(b["n"] for b in bins) or ece.get("value") is None:
        return []
    plot = evaluation.reliability(bins, ece=ece["value"], null=calibration.get("null"))
    caption = (
        "Reliability: below the dashed line the model is too sure of itself, above it too timid. Within the grey bars "
        "a bin cannot be told from a calibrated model's, rows taken as independent."
    )
    return [Figure(file_name(f"{before}reliability"), f"{name} calibration", caption, plot)]


def _group_figures(report: Mapping[str, Any]) -> list[Figure]:
    per_group, groups = report.get("per_group") or {}, report.get("groups")
    if not groups:
        return []
    names = dict.fromkeys(name for row in per_group.values() for name, value in row.items() if value is not None)
    drawn = [name for name in names if name.rpartition(".")[2] in GROUP_METRICS]
    drawn = [name for name in drawn if not any(other.endswith(f".{name}") for other in drawn)]  # no mean over targets
    return [_group_figure(report, name) for name in drawn[:MOST_GROUP_FIGURES]]


def _group_figure(report: Mapping[str, Any], metric: str) -> Figure:
    per_group, column = report["per_group"], report["groups"]["column"]
    plot = evaluation.groups(
        list(per_group),
        [float("nan") if row.get(metric) is None else row[metric] for row in per_group.values()],
        [row["n"] for row in per_group.values()],
        metric=words.title(metric),
        column=column,
        pooled=report["metrics"].get(metric, {}),
    )
    caption = f"{words.title(metric)} of each {column}, worst first. The pooled figure is not their mean."
    return Figure(file_name(f"groups_{metric}"), "groups", caption, plot)


def _number_figures(report: Mapping[str, Any], predictions: Predictions, name: str, scale: Any) -> list[Figure]:
    frame = predictions.frame
    if name not in frame or not (frame[name].notna() & frame[f"{name}_pred"].notna()).any():
        return []
    truth, predicted = frame[name], frame[f"{name}_pred"]
    note = _note(report["metrics"].get(f"{name}.ccc"))
    cloud = evaluation.scatter(truth, predicted, name=name, scale=scale, note=note)
    errors = evaluation.bland_altman(truth, predicted, name=name)
    return [
        Figure(
            file_name(f"{name}_scatter"),
            name,
            "Prediction against truth; a perfect model lies on the dashed line.",
            cloud,
        ),
        Figure(
            file_name(f"{name}_bland_altman"),
            name,
            "Bland-Altman: the error against the mean of truth and prediction. A downward slope says that predictions "
            "are drawn towards their mean.",
            errors,
        ),
    ]


def _note(figure: Mapping[str, Any] | None) -> str:
    if not figure or figure.get("value") is None:
        return ""
    low, high = figure.get("low"), figure.get("high")
    return f"CCC {figure['value']:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
