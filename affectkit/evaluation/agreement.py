"""What several tables of predictions agree on: the targets, their classes, and the truth of every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions, probability_columns
from affectkit.errors import AffectkitError
from affectkit.evaluation.rows import column, missing
from affectkit.labels import Target

DIGITS = 1e-6  # relative: tables keep nine significant digits of a number
NAMED = 3  # runs in a sentence


def common_targets(tables: Mapping[str, Predictions]) -> dict[str, Target]:
    """The targets that every table predicts, as the table has them that knows most: every class, or the scale.

    Raises "input" where there is none, or where classes differ.
    """
    first, *others = tables.values()
    found = {
        name: _one(name, tables)
        for name, target in first.targets.items()
        if all(name in o.targets and _number(o.targets[name]) == _number(target) for o in others)
    }
    if not found:
        said = "; ".join(f"{name}: {', '.join(table.targets)}" for name, table in list(tables.items())[:NAMED])
        raise AffectkitError("input", f"the runs predict no common target ({said})", remedy="name runs of one task")
    return found


def _number(target: Target) -> bool:
    return target.kind == "number"


def _one(name: str, tables: Mapping[str, Predictions]) -> Target:
    known = {run: table.targets[name] for run, table in tables.items()}
    first = next(iter(known.values()))
    if _number(first):
        return next((target for target in known.values() if target.scale), first)
    sure = {run: target for run, target in known.items() if probability_columns(target)[0] in tables[run].frame}
    if not sure:  # tables of nothing but answers: a class may be in one alone
        return Target(name, "class", tuple(sorted({c for target in known.values() for c in target.classes})))
    reference, target = next(iter(sure.items()))
    for run, other in known.items():
        odd = set(other.classes) ^ set(target.classes) if run in sure else set(other.classes) - set(target.classes)
        if odd:
            message = f"has other classes of {name} than {reference}: {', '.join(sorted(odd))} on one side only"
            raise AffectkitError("input", message, file=tables[run].path, remedy="prepare them with one label map")
    return target


def with_one_truth(tables: Mapping[str, Predictions], targets: Mapping[str, Target]) -> dict[str, Predictions]:
    """The tables, of the same rows in the same order, each with every truth that any of them knows.

    Raises "input" naming the id on which two of them differ.
    """
    found = dict(tables)
    for target in targets.values():
        truths = {name: column(table, target, target.name) for name, table in tables.items()}
        truth = _truth(tables, truths, target)
        for name, own in truths.items():
            if (missing(own) & ~missing(truth)).any():
                cells = [_cell(value, target) for value in truth]
                found[name] = replace(found[name], frame=found[name].frame.assign(**{target.name: cells}))
    return found


def _truth(tables: Mapping[str, Predictions], truths: Mapping[str, np.ndarray], target: Target) -> np.ndarray:
    """[N] class indices or numbers, as `rows.column` has them."""
    first, *others = truths
    truth, source = truths[first].copy(), np.full(len(truths[first]), first, dtype=object)
    for name in others:
        own = truths[name]
        near = DIGITS * np.maximum(1.0, np.abs(truth)) if _number(target) else 0
        differ = ~missing(truth) & ~missing(own) & (np.abs(truth - own) > near)
        if differ.any():
            row = int(differ.argmax())
            key, ours, theirs = tables[name].frame["id"][row], _cell(truth[row], target), _cell(own[row], target)
            what = f"says {target.name} {theirs} of id '{key}', and {source[row]} says {ours}"
            raise AffectkitError("input", what, file=tables[name].path, remedy="name runs of one manifest")
        new = missing(truth) & ~missing(own)
        truth[new], source[new] = own[new], name
    return truth


def _cell(value: Any, target: Target) -> Any:
    if _number(target):
        return float(value)
    return target.classes[value] if value >= 0 else ""
