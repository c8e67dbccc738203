"""Predictions of windows or frames put together into predictions of clips, sessions, subjects.

Classes: `mean`, `median` or `max` of the probabilities, the latter two brought back to a sum of 1, or `vote`, the share
of windows that predict each class; of equals the first in the label map wins. Numbers: `mean`, `median` or `max`.

No variance is given (t_var, t_low and t_high are left out): windows of one clip share speaker, microphone and often
half of their samples, so that the variance of their mean lies anywhere between one window's and its share of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from affectkit.artifacts.files import write_json
from affectkit.artifacts.grouping import Grouping, Truth, majority
from affectkit.artifacts.manifest import NUMBERS as TIMES
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import LEADING, Predictions, output_columns, prediction_column, target_columns
from affectkit.artifacts.reports import AGGREGATION
from affectkit.artifacts.tables import LARGEST_NUMBER, first_row, to_numbers
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.rows import column as cells_of
from affectkit.labels import Target
from affectkit.plain import safe_id
from affectkit.temporal.stabilize import stale_columns

# --- Which rows make up an aggregate, and what they have in common


def group_rows(predictions: Predictions, to: str) -> Grouping:
    """Raises "input" for a missing column or naming the row of an empty cell."""
    import pandas as pd

    _require_column(predictions, to, "aggregate to")
    codes, names = pd.factorize(predictions.frame[to].astype(str).to_numpy(object))
    if "" in names:
        row = int((codes == list(names).index("")).argmax()) + 1
        raise AffectkitError("input", f"has no {to}", file=predictions.path, row=row, remedy="leave such rows out")
    firsts = np.unique(codes, return_index=True)[1]
    return Grouping(predictions.frame, to, codes, [str(name) for name in names], firsts, predictions.path)


def _require_column(predictions: Predictions, column: str, use: str) -> None:
    if column not in predictions.frame:
        remedy = f"pass the --manifest that has it; {did_you_mean(column, list(predictions.frame.columns))}"
        raise AffectkitError("input", f"has no column '{column}' to {use}", file=predictions.path, remedy=remedy)


def provenance(grouping: Grouping) -> dict[str, Any]:
    """`split`, `fold` where there is one, and `seen` of each aggregate: `fit` where any of its rows is in-sample.

    Raises "leak" for an aggregate across splits or folds, or of both oof and held-out rows: no one fit made it.
    """
    columns = [column for column in ("split", "fold") if column in grouping.frame]
    mixed_at = {column: grouping.differing(column) for column in columns}
    seen = grouping.frame["seen"].to_numpy()
    fitted, oof, heldout = (grouping.count(seen == kind) > 0 for kind in ("fit", "oof", "heldout"))
    mixed = oof & heldout & ~fitted
    mixed_at["seen"] = int(mixed.argmax()) if mixed.any() else None
    for column, place in mixed_at.items():
        if place is not None:
            remedy = "split by what you aggregate to, or aggregate to something smaller"
            raise grouping.refusal("leak", column, place, remedy)
    common = {column: grouping.common(column) for column in [*columns, "seen"]}
    return {**common, "seen": np.where(fitted, "fit", common["seen"])}


# --- Many answers into one: weighted mean, median and maximum of the rows of each aggregate


Pool = Literal["mean", "median", "max"]
ROUNDING = 1e-9  # of an aggregate's weight: sums of weights this close to its half are its half


def pool(rule: Pool, values: np.ndarray, codes: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """[count, K] from values [M, K]: codes [M] says which aggregate a row belongs to; NaN for one without a row.

    weights: [M], positive. The maximum has no use for them. The median is the value at which the weight below and above
    is half of all, the mean of both neighbours where it falls between two: with equal weights, the usual median.
    """
    pooled = np.full((count, values.shape[1]), np.nan)
    if not len(values):
        return pooled
    total = np.bincount(codes, weights, count)
    for place, column in enumerate(values.T):
        if rule == "mean":
            np.divide(np.bincount(codes, weights * column, count), total, out=pooled[:, place], where=total > 0)
            continue
        order = np.lexsort((column, codes))
        present, starts = np.unique(codes[order], return_index=True)
        ends = np.append(starts[1:], len(order)) - 1
        ranked = column[order]
        pooled[present, place] = ranked[ends] if rule == "max" else _median(ranked, weights[order], starts, ends)
    return pooled


def _median(ranked: np.ndarray, weights: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """[G] of aggregates that lie end to end, ascending within each."""
    lengths = ends - starts + 1
    running = np.cumsum(weights)
    below = np.repeat(running[starts] - weights[starts], lengths)
    total = running[ends] - running[starts] + weights[starts]
    half, slack = np.repeat(total / 2, lengths), np.repeat(total * ROUNDING, lengths)
    lower = starts + np.add.reduceat((running - below < half - slack).astype(int), starts)
    upper = starts + np.add.reduceat((running - below <= half + slack).astype(int), starts)
    return (ranked[np.minimum(lower, ends)] + ranked[np.minimum(upper, ends)]) / 2


def pool_probabilities(
    rule: Pool, values: np.ndarray, codes: np.ndarray, weights: np.ndarray, count: int
) -> np.ndarray:
    """As `pool`, of probabilities [M, K]: medians and maxima are brought back to a sum of 1.

    Where all medians are 0 (three windows, each sure of another class) the means stand in for them.
    """
    pooled = pool(rule, values, codes, weights, count)
    if rule == "mean":
        return pooled
    nothing = pooled.sum(axis=1) == 0
    if nothing.any():
        pooled[nothing] = pool("mean", values, codes, weights, count)[nothing]
    return pooled / pooled.sum(axis=1)[:, None]


Rule = Literal["mean", "median", "max", "vote"]
RULES: tuple[Rule, ...] = get_args(Rule)
OF_ONE_ROW = ("gated", "abstain", "windows", "declined", *TIMES)  # no fact of an aggregate, even where all rows agree


@dataclass(frozen=True)
class Aggregated:
    """predictions: a row per aggregate, in the order in which they first appear; `windows` says how many rows had an
    answer, `declined` how many had none, and of several targets `<target>_windows` how many went into each.
    dropped: columns that differ within an aggregate.
    mixed: how many aggregates had differing truths, by target; untold: those of them without a majority.
    """

    predictions: Predictions
    dropped: list[str]
    mixed: dict[str, int] = field(default_factory=dict)
    untold: dict[str, int] = field(default_factory=dict)


def aggregate(
    predictions: Predictions,
    to: str,
    rule: Rule = "mean",
    *,
    targets: Sequence[Target] = (),
    weight: str | None = None,
    truth: Truth = "unanimous",
    group: str | None = None,
) -> Aggregated:
    """One row for each value of column `to`.

    targets: by default all. weight: a column of numbers above 0, such as duration_sec. truth: of a class, the one label
    of an aggregate, or the one with most of its weight; of a number, made by `rule` as its predictions are.
    group: a column that must not differ within an aggregate.
    Raises "usage" where the rule does not fit a target, "leak" for an aggregate across splits, folds or ways of being
    seen, "input" for a missing column, an empty cell, labels that differ, weights that are none.
    """
    import pandas as pd

    chosen = list(targets) or list(predictions.targets.values())
    _check_rule(predictions, chosen, rule, weight)
    grouping, weights = group_rows(predictions, to), _weights(predictions, weight)
    ids: dict[str, None] = {}  # safe as file names, and as different as the names
    for name in grouping.names:
        ids[safe_id(name, ids)] = None
    columns: dict[str, Any] = {"id": list(ids), **provenance(grouping)}
    used: dict[str, np.ndarray] = {}
    mixed, untold = {}, {}
    for target in chosen:
        name = target.name
        if name in predictions.frame and target.kind == "number":
            columns[name], mixed[name] = _numbers(predictions, grouping, target, weights, rule)
        elif name in predictions.frame:
            columns[name], mixed[name], untold[name] = _labels(predictions, grouping, target, weights, truth)
        output, used[name] = _answer(predictions, grouping, target, weights, rule)
        columns |= output_columns(output)
    grouping.require_whole(group, "aggregates")
    kept, dropped = grouping.shared(_others(predictions))
    answered = np.any(list(used.values()), axis=0)
    columns |= kept | {"windows": grouping.count(answered), "declined": grouping.count(~answered)}
    if len(used) > 1:
        columns |= {f"{name}_windows": grouping.count(rows) for name, rows in used.items()}
    table = replace(predictions, frame=pd.DataFrame(columns), targets={target.name: target for target in chosen})
    return Aggregated(table, dropped, mixed, untold)


def _check_rule(predictions: Predictions, targets: Sequence[Target], rule: Rule, weight: str | None) -> None:
    for target in targets:
        if rule == "vote" and target.kind == "number":
            remedy = "name the classes with --target, or use mean, median or max"
            raise AffectkitError("usage", f"--rule vote is for classes, and {target.name} is a number", remedy=remedy)
        if rule != "vote" and target.kind != "number" and predictions.probabilities(target.name) is None:
            message = f"has no probabilities of {target.name}, which --rule {rule} needs"
            raise AffectkitError("input", message, file=predictions.path, remedy="use --rule vote")
    if weight is not None and rule == "max":
        raise AffectkitError("usage", "--rule max has no use for --weight", remedy="leave one of them out")


def _weights(predictions: Predictions, column: str | None) -> np.ndarray:
    if column is None:
        return np.ones(len(predictions.frame))
    _require_column(predictions, column, "weigh by")
    weights = to_numbers(predictions.frame[column], file=predictions.path, column=column)
    if (row := first_row(~((weights > 1 / LARGEST_NUMBER) & (weights < LARGEST_NUMBER)))) is not None:
        message = f"{column} '{predictions.frame[column].iloc[row]}' is no weight"
        remedy = f"weights are above 0, from {1 / LARGEST_NUMBER:g} to {LARGEST_NUMBER:g}"
        raise AffectkitError("input", message, file=predictions.path, row=row + 1, remedy=remedy)
    return weights


def _answer(
    predictions: Predictions, grouping: Grouping, target: Target, weights: np.ndarray, rule: Rule
) -> tuple[TargetPrediction, np.ndarray]:
    """The pooled answers, and [N] bool which rows had one."""
    if rule == "vote":
        codes = cells_of(predictions, target, prediction_column(target.name))
        values, known = np.eye(len(target.classes))[codes], codes >= 0
    else:
        output = predictions.output(target.name)
        values, known = output.values.reshape(len(weights), -1), output.known
    reduce = pool if target.kind == "number" else pool_probabilities
    how: Pool = "mean" if rule == "vote" else rule
    pooled = reduce(how, values[known], grouping.codes[known], weights[known], len(grouping.names))
    return TargetPrediction.of(target, pooled[:, 0] if target.kind == "number" else pooled), known


def _numbers(
    predictions: Predictions, grouping: Grouping, target: Target, weights: np.ndarray, rule: Rule
) -> tuple[np.ndarray, int]:
    """The truth [G] of a number, and how many aggregates had differing ones; rows without an answer count here too."""
    assert rule != "vote"
    truth = cells_of(predictions, target, target.name)
    known = ~np.isnan(truth)
    values, of_rows = truth[known, None], (grouping.codes[known], weights[known], len(grouping.names))
    pooled, highest = (pool(how, values, *of_rows)[:, 0] for how in (rule, "max"))
    lowest = -pool("max", -values, *of_rows)[:, 0]
    return np.where(lowest == highest, highest, pooled), int((lowest < highest).sum())


def _labels(
    predictions: Predictions, grouping: Grouping, target: Target, weights: np.ndarray, truth: Truth
) -> tuple[np.ndarray, int, int]:
    """The label [G] of each aggregate, "" where no row has one; how many have several, how many of them no majority.

    Raises "input" naming the first aggregate of several labels, unless the majority is asked for.
    """
    codes = cells_of(predictions, target, target.name)
    known, shape = codes >= 0, (len(grouping.names), len(target.classes))
    cells = grouping.codes[known] * shape[1] + codes[known]
    weight = np.bincount(cells, weights[known], shape[0] * shape[1]).reshape(shape)
    best, mixed, tied = majority(weight)
    if mixed.any() and truth == "unanimous":
        place = int(mixed.argmax())
        labels = [target.classes[k] for k in np.flatnonzero(weight[place])]
        raise grouping.refusal("input", target.name, place, "--truth majority takes the most frequent", labels)
    return np.array([*target.classes, ""], dtype=object)[best], int(mixed.sum()), int(tied.sum())


def _others(predictions: Predictions) -> list[str]:
    """Columns that say something of the rows, neither of their predictions nor of one row alone."""
    left_out = {*LEADING, *OF_ONE_ROW}
    for target in predictions.targets.values():
        left_out |= {*target_columns(target), f"{target.name}_gated", f"{target.name}_windows"}
    return [column for column in predictions.frame if column not in left_out]


def write_summary(folder: Path, asked: Mapping[str, Any], before: Predictions, aggregated: Aggregated) -> None:
    """Write `aggregation.json`. asked: the options that shaped the result."""
    frame, targets = aggregated.predictions.frame, list(aggregated.predictions.targets.values())
    summary = {
        **asked,
        "rows": len(before.frame),
        "aggregates": len(frame),
        "windows": int(frame["windows"].sum()),
        "declined": int(frame["declined"].sum()),
        "without_answer": int((frame["windows"] == 0).sum()),
        "targets": [target.to_json() for target in targets],
        "mixed_truth": aggregated.mixed,
        "no_majority": aggregated.untold,
        "dropped": aggregated.dropped,
        "left_out": stale_columns(before, targets),
        "foreign": before.foreign,
    }
    write_json(folder / AGGREGATION, summary)
