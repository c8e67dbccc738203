"""Predictions of windows or frames put together into predictions of clips, sessions, subjects.

Classes: `mean`, `median` or `max` of the probabilities, the latter two brought back to a sum of 1, or `vote`, the share
of windows that predict each class; of equals the first in the label map wins. Numbers: `mean`, `median` or `max`.

No variance is given (t_var, t_low and t_high are left out): windows of one clip share speaker, microphone and often
half of their samples, so that the variance of their mean lies anywhere between one window's and its share of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from affectkit.artifacts.manifest import NUMBERS as TIMES
from affectkit.artifacts.outputs import Output
from affectkit.artifacts.predictions import LEADING, Predictions, output_columns, prediction_column, target_columns
from affectkit.artifacts.tables import to_numbers
from affectkit.corpora._tables import safe_id
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.rows import column as cells_of
from affectkit.fusion._members import Members, carried, members, provenance
from affectkit.fusion._pool import pool, pool_probabilities
from affectkit.labels import Target

Rule = Literal["mean", "median", "max", "vote"]
Truth = Literal["unanimous", "majority"]
RULES: tuple[Rule, ...] = get_args(Rule)
OF_ONE_ROW = (
    "gated",
    "abstain",
    "windows",
    "declined",
    *TIMES,
)  # no fact of an aggregate, even where all its rows agree


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
    chosen = list(targets) or list(predictions.targets.values())
    _check_rule(predictions, chosen, rule, weight)
    parts, weights = members(predictions, to), _weights(predictions, weight)
    columns: dict[str, Any] = {"id": _ids(parts.names), **provenance(parts)}
    used: dict[str, np.ndarray] = {}
    mixed, untold = {}, {}
    for target in chosen:
        if target.name in predictions.frame and target.kind == "number":
            columns[target.name], mixed[target.name] = _numbers(parts, target, weights, rule)
        elif target.name in predictions.frame:
            columns[target.name], mixed[target.name], untold[target.name] = _labels(parts, target, weights, truth)
        output, used[target.name] = _answer(parts, target, weights, rule)
        columns |= output_columns(output)
    kept, dropped = carried(parts, _others(predictions), group)
    columns |= kept | _counts(parts, used)
    return Aggregated(_table(predictions, columns, chosen), dropped, mixed, untold)


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
    if column not in predictions.frame:
        remedy = f"pass the --manifest that has it; {did_you_mean(column, list(predictions.frame.columns))}"
        raise AffectkitError("input", f"has no column '{column}' to weigh by", file=predictions.path, remedy=remedy)
    weights = to_numbers(list(predictions.frame[column]), file=predictions.path, column=column)
    bad = ~(weights > 0)
    if bad.any():
        row = int(bad.argmax())
        message = f"{column} '{predictions.frame[column].iloc[row]}' is no weight"
        raise AffectkitError("input", message, file=predictions.path, row=row + 1, remedy="weights are above 0")
    return weights


def _ids(names: Sequence[str]) -> list[str]:
    """Ids that are safe as file names, and as different as the names."""
    ids: dict[str, None] = {}
    for name in names:
        ids[safe_id(name, ids)] = None
    return list(ids)


def _answer(parts: Members, target: Target, weights: np.ndarray, rule: Rule) -> tuple[Output, np.ndarray]:
    """The pooled answers, and [N] bool which rows had one."""
    source = parts.source
    if rule == "vote":
        codes = cells_of(source, target, prediction_column(target.name))
        values, known = np.eye(len(target.classes))[codes], codes >= 0
    else:
        output = source.output(target.name)
        values, known = output.values.reshape(len(weights), -1), output.known
    reduce = pool if target.kind == "number" else pool_probabilities
    found = reduce(
        "mean" if rule == "vote" else rule, values[known], parts.codes[known], weights[known], len(parts.names)
    )
    return Output.of(target, found[:, 0] if target.kind == "number" else found), known


def _numbers(parts: Members, target: Target, weights: np.ndarray, rule: Rule) -> tuple[np.ndarray, int]:
    """The truth [G] of a number, and how many aggregates had differing ones; rows without an answer count here too."""
    assert rule != "vote"
    truth = cells_of(parts.source, target, target.name)
    known = ~np.isnan(truth)
    values, codes, count = truth[known, None], parts.codes[known], len(parts.names)
    found = pool(rule, values, codes, weights[known], count)[:, 0]
    highest = pool("max", values, codes, weights[known], count)[:, 0]
    lowest = -pool("max", -values, codes, weights[known], count)[:, 0]
    return np.where(lowest == highest, highest, found), int((lowest < highest).sum())


def _labels(parts: Members, target: Target, weights: np.ndarray, truth: Truth) -> tuple[np.ndarray, int, int]:
    """The label [G] of each aggregate, "" where no row has one; how many have several, how many of them no majority.

    Raises "input" naming the first aggregate of several labels, unless the majority is asked for.
    """
    codes = cells_of(parts.source, target, target.name)
    known, shape = codes >= 0, (len(parts.names), len(target.classes))
    cells = parts.codes[known] * shape[1] + codes[known]
    weight = np.bincount(cells, weights[known], shape[0] * shape[1]).reshape(shape)
    mixed = (weight > 0).sum(axis=1) > 1
    if mixed.any() and truth == "unanimous":
        place = int(mixed.argmax())
        several = " and ".join(f"'{target.classes[k]}'" for k in np.flatnonzero(weight[place])[:3])
        message = f"{parts.called(place)} has rows of {target.name} {several}"
        raise AffectkitError(
            "input", message, file=parts.source.path, remedy="--truth majority takes the most frequent"
        )
    top = weight.max(axis=1, keepdims=True)
    tied = (weight >= top * (1 - 1e-9)).sum(axis=1) > 1
    best = np.where(tied | (top[:, 0] == 0), -1, weight.argmax(axis=1))
    labels = np.array([*target.classes, ""], dtype=object)[best]
    return labels, int(mixed.sum()), int((tied & mixed).sum())


def _counts(parts: Members, used: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    def count(rows: np.ndarray) -> np.ndarray:
        return np.bincount(parts.codes[rows], minlength=len(parts.names))

    answered = np.any(list(used.values()), axis=0)
    found = {"windows": count(answered), "declined": count(~answered)}
    return found | ({f"{name}_windows": count(rows) for name, rows in used.items()} if len(used) > 1 else {})


def _others(predictions: Predictions) -> list[str]:
    """Columns that say something of the rows, neither of their predictions nor of one row alone."""
    own = {column for target in predictions.targets.values() for column in target_columns(target)}
    own |= {*LEADING, *OF_ONE_ROW} | {f"{t}_{said}" for t in predictions.targets for said in ("gated", "windows")}
    return [column for column in predictions.frame if column not in own]


def _table(predictions: Predictions, columns: dict[str, Any], targets: Sequence[Target]) -> Predictions:
    import pandas as pd

    return replace(predictions, frame=pd.DataFrame(columns), targets={target.name: target for target in targets})
