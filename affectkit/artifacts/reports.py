"""Reports: `metrics.json`, the same numbers as CSVs, and the judged rows that figures are drawn from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.records import trusted
from affectkit.artifacts.tables import read_table, to_numbers, write_table
from affectkit.errors import AffectkitError
from affectkit.labels import are_targets

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.artifacts.predictions import Predictions

PAGE = "report.html"
METRICS, JUDGED = "metrics.json", "judged.csv"  # of evaluate
MISTAKES, EXAMPLES = "mistakes", "examples.json"  # tables of what is mistaken for what, and pictures of it
ABLATION, ABLATION_TABLE = "ablation_summary.json", "ablation_summary.csv"
SELECTION, SELECTION_TABLE = "model_selection.json", "model_selection.csv"
STABILITY, STABILITY_TABLE, TRACES = "stability.json", "stability.csv", "traces.csv"
ALERTS, EVENTS, TRUE_EVENTS, STATES = "alert.json", "events.csv", "true_events.csv", "states.csv"
ALERTS_BY_SEQUENCE, ALERTS_BY_GROUP = "alerts_by_sequence.csv", "alerts_by_group.csv"
AGGREGATION, COMPARISON = "aggregation.json", "comparison.json"
LEARNING_CURVE, LEARNING_CURVE_TABLE = "learning_curve.json", "learning_curve.csv"
TRANSCRIPTION, ERROR_TABLE = "transcription.json", "error_rates.csv"

_FIGURE = {"value": (float, None), "low?": (float, None), "high?": (float, None)}
_CONFUSION = {"classes": [str], "counts": [[int]]}
_ENDS = {"low": (float, None), "high": (float, None)}
_MISTAKE = {"truth": str, "predicted": str, "rows": int, "share": float, **_ENDS}
_CLASS = {
    "per_class?": ({str: {str: object}}, None),
    "confusion?": (_CONFUSION, {}, None),
    "mistakes?": [
        {"truth": str, "predicted": str, "rows": int, "share": float, "low": (float, None), "high": (float, None)}
    ],
    "calibration?": (dict, None),
}
_LEVEL = {str: _FIGURE}
_AGREED = {
    "n": int, "subjects": int, "repeated": {"subjects": int, "rows": int}, "all": _LEVEL, "between": _LEVEL,
    "within": _LEVEL, "bland_altman?": (dict, None), "floors?": (dict, None),
}  # fmt: skip
_AGREEMENT = {"column": str, "targets": {str: _AGREED}}
_BESIDE = {
    "metrics": {str: _FIGURE}, "n": int, "groups?": (dict, None), "warnings": [str], "agreement?": _AGREEMENT,
}  # fmt: skip
_REPORT = {
    **_CLASS, "metrics": {str: _FIGURE}, "n": int, "split?": (str, None), "groups?": (dict, None),
    "targets?": are_targets, "other_targets?": {str: _CLASS}, "warnings?": [str],
    "required?": [{**_FIGURE, "require": str, "of": str, "state": str}],
    "agreement?": _AGREEMENT, "alerts?": {str: dict},
    "beside?": {str: _BESIDE},
}  # fmt: skip


def write_report(folder: Path, report: Mapping[str, Any], judged: Predictions) -> None:
    """Write a report's numbers into `folder`: what `assess` found, and of numeric targets the judged rows."""
    write_json(folder / METRICS, report)
    for name, table in report_tables(report).items():
        write_table(folder / f"{name}.csv", table)
    numbers = [target.name for target in judged.targets.values() if target.kind == "number"]
    columns = [column for name in numbers if name in judged.frame for column in (name, f"{name}_pred")]
    if columns:
        subject = [column for column in _subject(report) if column not in columns]
        write_table(folder / JUDGED, judged.frame[["id", *subject, *columns]])


def _subject(report: Mapping[str, Any]) -> list[str]:
    """The column of subjects of an agreement, if one was judged."""
    return [report["agreement"]["column"]] if report.get("agreement") else []


def read_judged(folder: Path) -> pd.DataFrame | None:
    """`id`, truth and prediction of each numeric target [N] float64, and of an agreement the subject; None where there
    was no such target."""
    if not (folder / JUDGED).exists():
        return None
    table, texts = read_table(folder / JUDGED), {"id", *_subject(read_report(folder / METRICS))}
    return table.assign(**{name: to_numbers(table[name], column=name) for name in table if name not in texts})


def read_report(path: Path) -> dict[str, Any]:
    """What `metrics.json` says; `path` is the file or its folder. Raises "missing", "unfinished" or "input"."""
    path = Path(path)
    file = trusted(path / METRICS) if path.is_dir() else path  # which a page names whose run is about to finish
    return read_json(file, what="report", shape=_REPORT)


_PICTURES = {"pictures": [{"target": str, "truth": str, "predicted": str, "id": str, "jpeg": str}]}


def read_examples(folder: Path) -> list[dict[str, str]]:
    """The small pictures that were kept of what is mistaken for what, each `jpeg` in base64; none where none were."""
    if not (folder / EXAMPLES).exists():
        return []
    return list(read_json(folder / EXAMPLES, what="list of pictures", shape=_PICTURES)["pictures"])


def class_targets(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(name, prefix of its metrics, details) of each class target; details: `per_class`, `confusion`, `calibration`."""
    names = [target["name"] for target in report.get("targets", []) if target["kind"] != "number"]
    for name in names:
        details = report if name == names[0] else report["other_targets"][name]
        yield name, "" if name == "label" else f"{name}.", details


def write_confusion(path: Path, report: Mapping[str, Any]) -> None:
    """Write the counts of the first class target, as `confusion_counts.csv` has them.

    Raises "input" where no row has both a truth and a prediction of a class.
    """
    table = report_tables(report).get("confusion_counts")
    if table is None:
        raise AffectkitError("input", "no row has a truth of a class: there is no confusion to write", file=path)
    write_table(path, table)


def file_name(name: str) -> str:
    """A name that is safe as a file's, whatever a target is called."""
    return re.sub(r"[^\w-]+", "_", name)


def report_tables(report: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables of a report by file name; a table without rows is left out."""
    import pandas as pd

    group, alerts = (report.get("groups") or {}).get("column", "group"), report.get("alerts") or {}
    tables = {
        **_class_tables(report),
        "per_group": _keyed(group, report.get("per_group")),
        "per_target": _keyed("target", _per_target(report["metrics"])),
        "per_fold": _keyed("metric", (report.get("folds") or {}).get("metrics")),
        "slices": [
            {"slice": part, "n": row["n"], "groups": row.get("groups"), "metric": name, **_figure(figure)}
            for part, row in (report.get("slices") or {}).items()
            for name, figure in row["metrics"].items()
        ],
        "agreement": list(_agreement_rows(report.get("agreement") or {})),
        "beside": [
            {"rows": part, "n": row["n"], **_metric_row(row, name, figure)}
            for part, row in (report.get("beside") or {}).items()
            for name, figure in row["metrics"].items()
        ],
        "alerts": [row for name, alert in alerts.items() for row in _alert_rows(name, alert)],
        "alerts_per_group": [
            {"alert": name, group: value, **row}
            for name, alert in alerts.items()
            for value, row in alert["per_group"].items()
        ],
        "metrics": [_metric_row(report, name, figure) for name, figure in report["metrics"].items()],
    }
    return {name: pd.DataFrame(rows) for name, rows in tables.items() if len(rows)}


def _class_tables(report: Mapping[str, Any]) -> dict[str, Any]:
    """Of the first class target by plain names, of further ones with the target's name before."""
    tables: dict[str, Any] = {}
    for position, (name, _, details) in enumerate(class_targets(report)):
        of_target: dict[str, Any] = {**_confusion_tables(details), MISTAKES: details.get("mistakes") or []}
        of_target["per_class"] = _keyed("class", details.get("per_class"))
        tables |= {file_name(f"{name}_{key}") if position else key: table for key, table in of_target.items()}
    return tables


def _confusion_tables(details: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Counts, and shares of the true class (empty where a class never occurs); rows are the truth."""
    import pandas as pd

    confusion: Mapping[str, Any] = details.get("confusion") or {}
    classes: Sequence[str] = confusion.get("classes") or []
    if not classes:
        return {}
    counts = np.asarray(confusion["counts"], int)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    tables = {
        "confusion_counts": pd.DataFrame(counts, columns=list(classes)),
        "confusion_row_normalized": pd.DataFrame(shares, columns=list(classes)),
    }
    for table in tables.values():
        table.insert(0, "true", list(classes), allow_duplicates=True)
    return tables


def confusion_files(part: str, report: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Counts of true and predicted classes by file name: `test_confusion_matrix.csv` of the first class target, with
    the target's name for further ones and for other parts: `val_confusion_matrix_label.csv`."""
    files = {}
    for position, (name, _, details) in enumerate(class_targets(report)):
        named = f"{part}_confusion_matrix" + (f"_{name}" if position or part != "test" else "")
        if tables := _confusion_tables(details):
            files[file_name(named) + ".csv"] = tables["confusion_counts"]
    return files


def mistake_rows(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The mistakes of each part and class target, test rows first."""
    for part in sorted(reports, key=["test", "val", "oof"].index):
        for name, _, details in class_targets(reports[part]):
            yield from ({"part": part, "target": name, **row} for row in details.get("mistakes") or [])


def _keyed(name: str, rows: Mapping[str, Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    return [{name: key, **row} for key, row in (rows or {}).items()]


def _metric_row(report: Mapping[str, Any], name: str, figure: Mapping[str, Any]) -> dict[str, Any]:
    floors = {f"floor_{floor}": values.get(name) for floor, values in (report.get("floors") or {}).items()}
    return {"metric": name, **_figure(figure), **floors}


def _per_target(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A row for each target that has a prefix of its own: every metric with its interval side by side."""
    rows: dict[str, dict[str, Any]] = {}
    for name, figure in metrics.items():
        target, dot, metric = name.rpartition(".")
        if dot:
            value, low, high = _figure(figure).values()
            rows.setdefault(target, {}).update({metric: value, f"{metric}_low": low, f"{metric}_high": high})
    return rows


def _alert_rows(name: str, alert: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each rate of an alert, over all rows (`slice` is empty) and in each slice."""
    for part, row in {"": alert, **alert["slices"]}.items():
        counts = {key: row[key] for key in ("n", "groups", "positives", "raised")}
        differences = {f"{key}_difference": figure for key, figure in row.get("differences", {}).items()}
        stated = {
            f"{key}_at_{share}": figure
            for share, figures in row.get("at_prevalence", {}).items()
            for key, figure in figures.items()
        }
        for key, figure in {**row["metrics"], **stated, **differences}.items():
            yield {"alert": name, "slice": part, **counts, "metric": key, **_figure(figure)}


def _agreement_rows(agreement: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each figure of each target, by what it is of: a level, `bland_altman`, or what is held against what."""
    for target, row in agreement.get("targets", {}).items():
        floors = {name: part for name, part in (row["floors"] or {}).items() if isinstance(part, Mapping)}
        parts = {level: row[level] for level in ("all", "between", "within")}
        parts["bland_altman"] = row["bland_altman"] or {}
        for of, figures in {**parts, **floors}.items():
            for name, figure in figures.items():
                figure = figure if isinstance(figure, Mapping) else {"value": figure}
                yield {"target": target, "of": of, "figure": name, **_figure(figure), "p": figure.get("p")}


def _figure(figure: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": figure["value"], "low": figure.get("low"), "high": figure.get("high")}
