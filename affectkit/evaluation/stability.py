"""What smoothing did: jitter, lag and error before and after it, over all judged rows and in each sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.timeline import Timeline
from affectkit.errors import AffectkitError
from affectkit.evaluation.before_after import (
    SIDES,
    BeforeAfter,
    Columns,
    before_after,
    errors,
    errors_by_sequence,
    units_of,
)
from affectkit.evaluation.cautions import cautions
from affectkit.evaluation.intervals import DEFAULT, Resampling
from affectkit.evaluation.rows import judged
from affectkit.evaluation.smoothness import MAX_LAG, lag, steps
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd

MOSTLY = 0.5  # a gate that shuts out more frames than this has a threshold in other units than the target's


def stability(
    before: Predictions,
    after: Predictions,
    targets: Sequence[Target],
    gated: Mapping[str, str],
    *,
    sequence: Sequence[str],
    time: str,
    split: str | None = None,
    group: str | None = None,
    most: int = MAX_LAG,
    resampling: Resampling = DEFAULT,
) -> tuple[dict[str, Any], pd.DataFrame | None, BeforeAfter | None]:
    """What `stability.json` says of the judged rows, a table with a row for each target and sequence, and the rows.

    Rows may be smoothed that nobody may judge: unless a `split` is asked for, the reason is then a warning.
    Raises as `before_after` does.
    """
    nothing: dict[str, Any] = {"split": None, "seen": [], "n": 0, "groups": None, "targets": {}, "pooled": {}}
    try:
        judged(before, split)
    except AffectkitError as problem:
        if split is not None:
            raise
        return nothing | {"warnings": [f"no row is judged: {problem}"]}, None, None
    rows = before_after(before, after, gated, sequence=sequence, time=time, split=split, group=group)
    report, table = describe(rows, targets, most=most, resampling=resampling)
    return report, table, rows


def describe(
    rows: BeforeAfter, targets: Sequence[Target], *, most: int = MAX_LAG, resampling: Resampling = DEFAULT
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The figures of judged rows and the table of their sequences."""
    import pandas as pd

    units = units_of(rows, resampling)
    found, tables = {}, []
    for target in targets:
        found[target.name], table = _of_target(rows, target, most)
        found[target.name]["metrics"] = errors([rows.columns[target.name]], units, resampling)
        tables.append(table)
    numbers = [rows.columns[target.name] for target in targets if target.kind == "number"]
    pooled = _pooled(rows, found, numbers)
    if len(numbers) > 1:
        pooled["metrics"] = errors(numbers, units, resampling)
    report = {
        "split": rows.part,
        "seen": sorted(set(rows.before.frame["seen"])),
        "n": len(rows.groups),
        "groups": {"column": rows.group, "count": units.groups},
        "interval": {"method": resampling.method_for(units.count), "level": resampling.level},
        "targets": found,
        "pooled": pooled,
        "warnings": _warnings(rows, found, targets, most),
    }
    return report, pd.concat(tables, ignore_index=True)


def _of_target(rows: BeforeAfter, target: Target, most: int) -> tuple[dict[str, Any], pd.DataFrame]:
    import pandas as pd

    line, columns = rows.line, rows.columns[target.name]
    old, new = (_answers(table, target, line) for table in (rows.before, rows.after))
    declined = np.isnan(old).any(axis=1)
    filled = declined & ~np.isnan(new).any(axis=1)
    new[declined] = np.nan  # both sides are compared on the frames that the model answered
    held = columns.held[line.order]
    by: dict[str, Any] = {"target": target.name, "sequence": line.names, "rows": line.lengths}
    by["gated"] = np.add.reduceat(held.astype(int), line.starts)
    found: dict[str, Any] = {"kind": target.kind, "rows": len(held), "sequences": len(line.starts)}
    found |= {"gated": float(held.mean()), "declined": int(declined.sum()), "filled": int(filled.sum())}
    found["jitter"] = _jitter("jitter", (old, new), line, by)
    truth = columns.truth[line.order, None]
    if target.kind != "number":
        chosen = [_one_hot(codes[line.order], target) for codes in (columns.before, columns.after)]
        found["switches"] = _jitter("switches", chosen, line, by)
        truth = _one_hot(truth[:, 0], target)
    found["lag"] = _lag(truth, (old, new), line, most, by)
    return found, pd.DataFrame(by | errors_by_sequence(columns, line))


def _answers(table: Predictions, target: Target, line: Timeline) -> np.ndarray:
    """[N, K] in the order of time: numbers or probabilities, NaN where declined."""
    values = table.output(target.name).values
    return values.reshape(len(values), -1)[line.order]


def _one_hot(codes: np.ndarray, target: Target) -> np.ndarray:
    """[N, K]; NaN where the class is missing (-1)."""
    return np.vstack([np.eye(len(target.classes)), np.full(len(target.classes), np.nan)])[codes]


def _jitter(name: str, both: Sequence[np.ndarray], line: Timeline, by: dict[str, Any]) -> dict[str, float]:
    found = {}
    for side, values in zip(SIDES, both, strict=True):
        total, count = steps(values, line.starts)
        by[f"{name}_{side}"] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
        found[side] = float(total.sum() / count.sum()) if count.any() else np.nan
    return found


def _lag(
    truth: np.ndarray, both: Sequence[np.ndarray], line: Timeline, most: int, by: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """In frames, and in the unit of time by the median step."""
    frames = {}
    for side, values in zip(SIDES, both, strict=True):
        found = lag(truth, values, line.starts, most=most)
        by[f"lag_{side}"] = found.each
        frames[side] = found.pooled
    return {"frames": frames, "time": {side: value * line.step for side, value in frames.items()}}


def _pooled(rows: BeforeAfter, found: Mapping[str, Mapping[str, Any]], numbers: Sequence[Columns]) -> dict[str, Any]:
    """Over all targets: the share of rows held for any of them; of several numbers, means over them."""
    held = np.any([columns.held for columns in rows.columns.values()], axis=0)
    pooled: dict[str, Any] = {"rows": len(held), "sequences": len(rows.line.starts), "gated": float(held.mean())}
    if len(numbers) > 1:
        own = [found[columns.target.name] for columns in numbers]
        lags = [facts["lag"] for facts in own]
        pooled["jitter"] = {side: float(np.mean([facts["jitter"][side] for facts in own])) for side in SIDES}
        pooled["lag"] = {unit: {s: float(np.mean([f[unit][s] for f in lags])) for s in SIDES} for unit in lags[0]}
    return pooled


def _warnings(
    rows: BeforeAfter, found: Mapping[str, Mapping[str, Any]], targets: Sequence[Target], most: int
) -> list[str]:
    with_truth = [target for target in targets if found[target.name]["metrics"]]
    warnings = cautions(rows.before, with_truth, rows.group, rows.groups, {})
    for name, facts in found.items():
        if not facts["metrics"]:
            warnings.append(f"{name}: no row has a truth, so that neither error nor lag is known")
        if facts["gated"] > MOSTLY:
            warnings.append(f"{name}: {facts['gated']:.0%} of the frames are held; is the threshold in its units?")
        ends = [side for side in SIDES if abs(facts["lag"]["frames"][side]) == most]
        if ends:
            warnings.append(f"{name}: the lag {' and '.join(ends)} smoothing is as large as any that was tried")
    return warnings
