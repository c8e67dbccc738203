"""Several runs side by side: what each is worth on its own rows, and their differences on the rows that all judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.artifacts.reports import class_targets
from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError
from affectkit.evaluation.candidates import common_targets, same_rows
from affectkit.evaluation.comparison import holm, resampled, target_metric
from affectkit.evaluation.intervals import DEFAULT
from affectkit.evaluation.rows import prefix
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
    alone = [name for name in reports if name not in sources]
    why = "a report without predictions beside it, so that there are no paired differences"
    paired, warnings = {}, [f"{', '.join(alone)}: {why}"] if alone else []
    if len(sources) > 1:
        # The rows that every run was judged on; else val, for which cross-fitted rows may stand.
        splits = {reports[name]["split"] for name in sources}
        common = splits.pop() if len(splits) == 1 and splits <= {"test", "oof", "val"} else "val"
        try:
            paired = _paired(sources, split or common, group)
        except AffectkitError as problem:
            warnings.append(f"no differences between the runs: {problem}")
    return without_nan({"runs": runs, "paired": paired, "warnings": [*warnings, *paired.pop("warnings", [])]})


def _paired(sources: Mapping[str, Source], split: str, group: str | None) -> dict[str, Any]:
    """Each metric of every run on the same rows, and its difference to the first one's, paired over groups; of several
    targets the CCC or UAR of each as well.

    Intervals and p-values are those of `select`; p-values are Holm's over the runs.
    """
    targets = common_targets({name: source.table() for name, source in sources.items()})
    rows = same_rows(sources, split, targets, group)
    metrics: dict[str, Any] = {}
    warnings: list[str] = []
    count = groups = 0
    for metric in (*COMPARED, *_of_each(targets)):
        try:
            judged = rows.judged(target_metric(metric, targets))
        except AffectkitError:  # not every table has what it takes: probabilities may lack
            continue
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
    return {
        "split": split,
        "n": count,
        "groups": {"column": rows.group, "count": groups} if rows.group else None,
        "reference": next(iter(sources)),
        "metrics": metrics,
        "warnings": list(dict.fromkeys(warnings)),
    }


def _of_each(targets: Mapping[str, Target]) -> list[str]:
    """The key figure of each of several targets, but for what has no name of its own."""
    if len(targets) < 2:
        return []
    return [
        f"{target.name}.{'ccc' if target.kind == 'number' else 'uar'}" for target in targets.values() if prefix(target)
    ]
