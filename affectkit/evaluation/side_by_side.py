"""Several runs side by side: what each is worth on its own rows, and their differences on the rows that all judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.artifacts.reports import class_targets
from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError
from affectkit.evaluation.candidates import Candidates, common_targets, same_rows
from affectkit.evaluation.comparison import holm, resampled, target_metric
from affectkit.evaluation.intervals import DEFAULT
from affectkit.labels import Target
from affectkit.plain import without_nan

KEPT = ("split", "seen", "n", "groups", "interval", "targets", "metrics", "warnings")  # of each run's report
COMPARED = ("uar", "macro_f1", "accuracy", "nll", "ece", "ccc", "mae")


def side_by_side(
    reports: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, Source],
    *,
    split: str | None = None,
    group: str | None = None,
) -> dict[str, Any]:
    """What `comparison.json` says.

    reports: of each run, as `assess` makes them. sources: the runs whose predictions are there, which alone can be
    compared row by row. That they cannot is a warning: each run's own figures stand all the same.
    """
    runs = {name: {key: report.get(key) for key in KEPT} for name, report in reports.items()}
    for name, report in reports.items():
        runs[name]["reliability"] = {
            target: {**calibration, "ece": (report["metrics"].get(f"{prefix}ece") or {}).get("value")}
            for target, prefix, details in class_targets(report)
            if (calibration := details.get("calibration"))
        }
    paired, warnings = {}, _apart(reports, sources)
    if len(sources) > 1:
        try:
            paired = _paired(sources, split or _common_split([reports[name] for name in sources]), group)
        except AffectkitError as problem:
            warnings.append(f"no differences between the runs: {problem}")
    return without_nan({"runs": runs, "paired": paired, "warnings": [*warnings, *paired.pop("warnings", [])]})


def _apart(reports: Mapping[str, Mapping[str, Any]], sources: Mapping[str, Source]) -> list[str]:
    alone = [name for name in reports if name not in sources]
    if not alone:
        return []
    return [f"{', '.join(alone)}: a report without predictions beside it, so that there are no paired differences"]


def _common_split(reports: list[Mapping[str, Any]]) -> str:
    """Where every run was judged on the same kind of rows, these; else val, for which cross-fitted rows may stand."""
    splits = {report["split"] for report in reports}
    return splits.pop() if len(splits) == 1 and splits <= {"test", "oof", "val"} else "val"


def _paired(sources: Mapping[str, Source], split: str, group: str | None) -> dict[str, Any]:
    """Each metric of every run on the same rows, and its difference to the first one's, paired over groups.

    Intervals and p-values are those of `select`; p-values are Holm's over the runs.
    """
    targets = common_targets({name: source.table() for name, source in sources.items()})
    rows = same_rows(sources, split, targets, group)
    metrics: dict[str, Any] = {}
    warnings: list[str] = []
    count = groups = 0
    for metric in _metrics(rows, targets):
        judged = rows.judged(target_metric(metric, targets))
        values = {name: resampled(answers, judged.groups, DEFAULT) for name, answers in judged.inputs.items()}
        first, *others = values
        differences = {name: values[name].minus(values[first]) for name in others}
        adjusted = holm([difference.p for difference in differences.values()])
        metrics[metric] = {
            "interval": {"method": values[first].method, "level": DEFAULT.level},
            "values": {name: value.interval().plain() for name, value in values.items()},
            "differences": {
                name: {**difference.plain(), "p": difference.p, "p_holm": p}
                for (name, difference), p in zip(differences.items(), adjusted, strict=True)
            },
        }
        warnings += judged.warnings
        count, groups = judged.count, values[first].groups
    known = {"column": rows.group, "count": groups} if rows.group else None
    return {
        "split": split,
        "n": count,
        "groups": known,
        "reference": next(iter(sources)),
        "metrics": metrics,
        "warnings": list(dict.fromkeys(warnings)),
    }


def _metrics(rows: Candidates, targets: Mapping[str, Target]) -> list[str]:
    """Those that every table has what it takes for: probabilities may lack."""
    names = []
    for name in COMPARED:
        try:
            rows.judged(target_metric(name, targets))
        except AffectkitError:
            continue
        names.append(name)
    return names
