"""Whether targets that were learned together are answered better than by networks that learned each alone."""

from __future__ import annotations

from typing import Any

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.comparison import compare, holm, target_metric
from affectkit.evaluation.rows import answered_parts, answers_any
from affectkit.labels import Target
from affectkit.plain import without_nan

SEPARATE = "separate/predictions.csv"  # in the run folder


def separate_of(joint: Predictions, separate: Predictions, group: str | None) -> list[dict[str, Any]]:
    """What `train_report.json` says: of each part of the rows and each target, the joint model's figure less that of
    the network that learned the target alone, paired over groups. p_holm: of all targets of the part (Holm 1979).

    Both tables: of the same rows in the same order. A target without a row that both answer is not there.
    """
    rows: list[dict[str, Any]] = []
    others = answered_parts(separate, quiet=True)
    for part, table in answered_parts(joint, quiet=True).items():
        if part not in others:
            continue
        known = [target for name, target in table.targets.items() if name in others[part].targets]
        targets = [target for target in known if answers_any(table, target) and answers_any(others[part], target)]
        of_part = []
        for target in targets:
            metric = target_metric(_metric(target), {target.name: target})
            compared = compare(table, others[part], metric, table.groups(group))
            of_part.append({"part": part, "target": target.name, **compared.plain()})
        for row, adjusted in zip(of_part, holm([row["p"] for row in of_part]), strict=True):
            rows.append(without_nan({**row, "p_holm": adjusted}))
    return rows


def _metric(target: Target) -> str:
    """The one that epochs are chosen by."""
    return f"{target.name}.{'ccc' if target.kind == 'number' else 'uar'}"
