"""The same judged rows before and after they were smoothed, and what that did to their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import Predictions, prediction_column
from affectkit.artifacts.timeline import Timeline, timeline
from affectkit.evaluation.intervals import Resampling, Units, resample
from affectkit.evaluation.measure import averaged
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.rows import column, judged, missing, statistics
from affectkit.labels import Target
from affectkit.splits import group_column

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("before", "after")
ERRORS = {"number": ("mae", "ccc"), "class": ("uar", "accuracy"), "ordinal": ("uar", "accuracy")}


@dataclass(frozen=True)
class Columns:
    """Of one target: the truth [N] and the answers [N] before and after, as `rows.pair` has them; and what was held."""

    target: Target
    truth: np.ndarray
    before: np.ndarray
    after: np.ndarray
    held: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """[N] bool: rows with a truth and both answers."""
        return ~(missing(self.truth) | missing(self.before) | missing(self.after))


@dataclass(frozen=True)
class BeforeAfter:
    """Judged rows, in the same order before and after.

    part: which rows, as `rows.judged` names them. line: their sequences. groups: [N] text, of the column `group`.
    columns: by target.
    """

    part: str
    before: Predictions
    after: Predictions
    line: Timeline
    group: str
    groups: np.ndarray
    columns: Mapping[str, Columns]


def before_after(
    before: Predictions,
    after: Predictions,
    gated: Mapping[str, str],
    *,
    sequence: Sequence[str],
    time: str,
    split: str | None = None,
    group: str | None = None,
) -> BeforeAfter:
    """The rows to be judged. gated: the column of `after` that marks held rows, by target.

    group: what intervals resample, by default as `evaluate` has it, else sequences.
    Raises as `rows.judged` does, and "input" for a missing column.
    """
    (part, old), (_, new) = judged(before, split), judged(after, split)
    line = timeline(old.frame, sequence, time, file=old.path)
    named = group_column(old.frame, group, file=old.path)
    groups = line.labels if named is None else old.frame[named].astype(str).to_numpy()
    columns = {}
    for name, mark in gated.items():
        target = old.targets[name]
        was, now = (column(table, target, prediction_column(name)) for table in (old, new))
        columns[name] = Columns(target, column(old, target, name), was, now, (new.frame[mark] == "true").to_numpy())
    return BeforeAfter(part, old, new, line, named or ",".join(sequence), groups, columns)


def errors(columns: Sequence[Columns], units: Units, resampling: Resampling) -> dict[str, dict[str, Any]]:
    """Metric -> `n`, its value and interval `before` and `after`, and their paired `change` (after - before) with `p`.

    Of one class target, of one number, or the means over several numbers; over the rows answered on both sides, so that
    it is empty where no row has a truth.
    """
    known = np.all([each.known for each in columns], axis=0)
    if not known.any():
        return {}
    codes = units.codes[known]
    present = np.bincount(codes, minlength=units.count) > 0
    figures = {name: averaged(METRICS[name].estimate) for name in ERRORS[columns[0].target.kind]}
    groups = int(present.sum()) if units.count == units.groups else units.groups
    sides = {}
    for side in SIDES:
        sums = np.stack([_sums(each, side, known, codes, units.count)[present] for each in columns], axis=1)
        sides[side] = resample(figures, sums, resampling, groups=groups)
    changes = {}
    for name in figures:
        change = sides["after"][name].minus(sides["before"][name])
        values = {side: resamples[name].interval().plain() for side, resamples in sides.items()}
        changes[name] = {"n": int(known.sum()), **values, "change": change.plain() | {"p": change.p}}
    return changes


def _sums(columns: Columns, side: str, known: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """[count, *S] statistics of the known rows."""
    return statistics(columns.target, columns.truth[known], getattr(columns, side)[known], codes, count)


def errors_by_sequence(columns: Columns, line: Timeline) -> dict[str, np.ndarray]:
    """`mae_before`, `mae_after`, ... of each sequence [S]; NaN for one without a truth."""
    known = columns.known
    codes = line.to_table(line.codes)[known]
    table = {}
    for name in ERRORS[columns.target.kind]:
        for side in SIDES:
            sums = _sums(columns, side, known, codes, len(line.starts))
            table[f"{name}_{side}"] = METRICS[name].estimate.of(sums)
    return table


def traces(rows: BeforeAfter) -> pd.DataFrame:
    """The longest sequence, frame by frame, for each target: of a class target, the probability of the class that is
    predicted most often in it."""
    import pandas as pd

    line = rows.line
    longest = int(line.lengths.argmax())
    frames = line.order[line.starts[longest] :][: line.lengths[longest]]
    times = line.times[line.starts[longest] :][: line.lengths[longest]]
    tables = []
    for name, columns in rows.columns.items():
        target, value, truth = columns.target, name, columns.truth[frames]
        raw, smoothed = (table.output(name).values[frames] for table in (rows.before, rows.after))
        if target.kind != "number":
            answers = columns.before[frames]
            chosen = int(np.bincount(answers[answers >= 0], minlength=len(target.classes)).argmax())
            value, truth = f"p({target.classes[chosen]})", np.where(truth < 0, np.nan, truth == chosen)
            raw, smoothed = raw[:, chosen], smoothed[:, chosen]
        about = {"target": name, "value": value, "sequence": line.names[longest]}
        lines = {"time": times, "raw": raw, "smoothed": smoothed, "truth": truth, "held": columns.held[frames]}
        tables.append(pd.DataFrame(about | lines, index=range(len(frames))))
    return pd.concat(tables, ignore_index=True)
