"""Reports: `metrics.json`, the same numbers as CSVs, and the judged rows that figures are drawn from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.runs import require_finished
from affectkit.artifacts.tables import read_table, to_numbers, write_table
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.artifacts.predictions import Predictions

PAGE = "report.html"
METRICS, JUDGED = "metrics.json", "judged.csv"  # of evaluate
ABLATION, ABLATION_TABLE = "ablation_summary.json", "ablation_summary.csv"
SELECTION, SELECTION_TABLE = "model_selection.json", "model_selection.csv"
STABILITY, STABILITY_TABLE, TRACES = "stability.json", "stability.csv", "traces.csv"
AGGREGATION, COMPARISON = "aggregation.json", "comparison.json"


def write_report(folder: Path, report: Mapping[str, Any], judged: Predictions) -> None:
    """Write a report's numbers into `folder`: what `assess` found, and of numeric targets the judged rows."""
    write_metrics(folder / METRICS, report)
    for name, table in report_tables(report).items():
        write_table(folder / f"{name}.csv", table)
    numbers = [target.name for target in judged.targets.values() if target.kind == "number"]
    columns = [column for name in numbers if name in judged.frame for column in (name, f"{name}_pred")]
    if columns:
        write_table(folder / JUDGED, judged.frame[["id", *columns]])


def read_judged(folder: Path) -> pd.DataFrame | None:
    """`id`, truth and prediction of each numeric target [N] float64; None where there was no such target."""
    if not (folder / JUDGED).exists():
        return None
    table = read_table(folder / JUDGED)
    return table.assign(**{name: to_numbers(table[name], column=name) for name in table if name != "id"})


def read_report(path: Path) -> dict[str, Any]:
    """What `metrics.json` says; `path` is the file or its folder. Raises "missing", "unfinished" or "input"."""
    path = Path(path)
    if path.is_dir():
        require_finished(path)
        path = path / METRICS
    report = read_json(path, what="report")
    for key in ("metrics", "n"):
        if key not in report:
            raise AffectkitError(
                "input", f"has no '{key}'", file=path, remedy="name a metrics.json of affectkit evaluate"
            )
    return report


def class_targets(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(name, prefix of its metrics, details) of each class target; details: `per_class`, `confusion`, `calibration`."""
    names = [target["name"] for target in report.get("targets", []) if target["kind"] != "number"]
    for name in names:
        details = report if name == names[0] else report["other_targets"][name]
        yield name, "" if name == "label" else f"{name}.", details


def write_metrics(path: Path, report: Mapping[str, Any]) -> None:
    write_json(path, dict(report))


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
    groups = report.get("groups") or {}
    tables = {
        **_class_tables(report),
        "per_group": _keyed(groups.get("column", "group"), report.get("per_group") or {}),
        "per_target": _target_table(report["metrics"]),
        "per_fold": _keyed("metric", (report.get("folds") or {}).get("metrics") or {}),
        "slices": _slice_table(report.get("slices") or {}),
        "alerts": _alert_table(report.get("alerts") or {}),
        "alerts_per_group": _alert_groups(groups.get("column", "group"), report.get("alerts") or {}),
        "metrics": _metric_table(report),
    }
    return {name: table for name, table in tables.items() if len(table)}


def _class_tables(report: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Of the first class target by plain names, of further ones with the target's name before."""
    tables: dict[str, pd.DataFrame] = {}
    for position, (name, _, details) in enumerate(class_targets(report)):
        of_target = _confusion_tables(details.get("confusion") or {})
        of_target["per_class"] = _keyed("class", details.get("per_class") or {})
        tables |= {file_name(f"{name}_{key}") if position else key: table for key, table in of_target.items()}
    return tables


def _confusion_tables(confusion: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Counts, and shares of the true class (empty where a class never occurs); rows are the truth."""
    import pandas as pd

    classes: Sequence[str] = confusion.get("classes") or []
    if not classes:
        return {}
    counts = np.asarray(confusion["counts"], int)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)

    def table(values: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(values, columns=list(classes))
        frame.insert(0, "true", list(classes), allow_duplicates=True)
        return frame

    return {"confusion_counts": table(counts), "confusion_row_normalized": table(shares)}


def confusion_files(part: str, report: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Counts of true and predicted classes by file name: `test_confusion_matrix.csv` of the first class target, with
    the target's name for further ones and for other parts: `val_confusion_matrix_label.csv`."""
    files = {}
    for position, (name, _, details) in enumerate(class_targets(report)):
        tables = _confusion_tables(details.get("confusion") or {})
        named = f"{part}_confusion_matrix" + (f"_{name}" if position or part != "test" else "")
        if tables:
            files[file_name(named) + ".csv"] = tables["confusion_counts"]
    return files


def _keyed(name: str, rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([{name: key, **row} for key, row in rows.items()])


def _target_table(metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row for each target that has a prefix of its own: every metric with its interval side by side."""
    rows: dict[str, dict[str, Any]] = {}
    for name, figure in metrics.items():
        target, dot, metric = name.rpartition(".")
        if dot:
            row = rows.setdefault(target, {})
            row.update(
                {metric: figure["value"], f"{metric}_low": figure.get("low"), f"{metric}_high": figure.get("high")}
            )
    return _keyed("target", rows)


def _slice_table(slices: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            {"slice": part, "n": row["n"], "groups": row.get("groups"), "metric": name, **_figure(figure)}
            for part, row in slices.items()
            for name, figure in row["metrics"].items()
        ]
    )


def _alert_table(alerts: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row for each rate of an alert, over all rows (`slice` is empty) and in each slice."""
    import pandas as pd

    rows = []
    for name, alert in alerts.items():
        for part, row in {"": alert, **alert["slices"]}.items():
            leading = {
                "alert": name,
                "slice": part,
                **{key: row[key] for key in ("n", "groups", "positives", "raised")},
            }
            differences = {f"{key}_difference": figure for key, figure in row.get("differences", {}).items()}
            figures = {**row["metrics"], **differences}
            rows += [{**leading, "metric": key, **_figure(figure)} for key, figure in figures.items()]
    return pd.DataFrame(rows)


def _alert_groups(column: str, alerts: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            {"alert": name, column: group, **row}
            for name, alert in alerts.items()
            for group, row in alert["per_group"].items()
        ]
    )


def _metric_table(report: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    floors: Mapping[str, Mapping[str, float]] = report.get("floors") or {}
    return pd.DataFrame(
        [
            {"metric": name, **_figure(figure), **{f"floor_{floor}": of.get(name) for floor, of in floors.items()}}
            for name, figure in report["metrics"].items()
        ]
    )


def _figure(figure: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": figure["value"], "low": figure.get("low"), "high": figure.get("high")}
