"""Conditions on the rows of a table: `stress>=.7 and confidence>=.8`, of each row true, false or unknown.

A condition is one or more comparisons joined by `and`. What stands on the left, the first that there is:

- a number that is predicted, or the probability of a class (`angry`, `stress.high`), as `evaluate --alert` has them;
- `severity.moderate+`: the probability of that level or a higher one, sum_{k >= moderate} p_k;
- `severity>=moderate`, `severity=moderate`: the level, or the class, that is predicted;
- `confidence`: the largest probability of the label, or of the only class target; `stress.confidence` of another;
- any other column: its numbers (`true` and `false` are 1 and 0), or with `=` and `!=` its text (`face=none`).

`stress>=.7:4` has a threshold of its own for the truth, as in `evaluate --alert`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from affectkit.artifacts.predictions import Predictions, cells_of, prediction_column
from affectkit.artifacts.tables import to_numbers
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.alerts import Alert, answers, named, parse_alert
from affectkit.evaluation.rows import column, missing
from affectkit.labels import Target

Sign = Literal[">=", "<=", ">", "<", "=", "!="]
Side = Literal["predicted", "true"]

REACHED: Mapping[str, Callable[[np.ndarray, float], np.ndarray]] = {
    ">=": np.greater_equal, "<=": np.less_equal, ">": np.greater, "<": np.less, "=": np.equal, "!=": np.not_equal,
}  # fmt: skip
CONFIDENCE = "confidence"
SWITCH = {"true": "1", "false": "0"}
HALF = 0.5  # of a class that is true, 1, or not, 0
_CLAUSE = re.compile(r"([^<>=]*[^<>=!\s])\s*(>=|<=|!=|=|>|<)\s*([^<>=\s][^<>=]*)", re.DOTALL)
_JOINED = re.compile(r"\s+and\s+", re.IGNORECASE)


# --- What was written


@dataclass(frozen=True)
class Clause:
    """One comparison as it was written. option: what it was given to."""

    name: str
    sign: Sign
    value: str
    option: str

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.value}"

    @property
    def alert(self) -> Alert | None:
        """Of a comparison with a number, the alert that it is, `>` and `<` aside; None with a level or a text."""
        if self.sign in ("=", "!=") or not re.match(r"[-+]?\.?\d", self.value):
            return None
        return parse_alert(f"{self.name}{self.sign[0]}={self.value}", self.option)

    def refusal(self, what: str, remedy: str) -> AffectkitError:
        return AffectkitError("usage", f"{self.option} '{self}': {what}", remedy=remedy)


Condition = tuple[Clause, ...]


def parse_condition(text: str, option: str) -> Condition:
    """Comparisons joined by `and`. Raises "usage"."""
    clauses = []
    for part in _JOINED.split(text.strip()):
        match = _CLAUSE.fullmatch(part.strip())  # names and values without <, > and =
        if match is None:
            remedy = f"write NAME>=THRESHOLD, joined by 'and', in quotes: {option} 'stress>=.7 and confidence>=.8'"
            raise AffectkitError("usage", f"{option} '{text}' is no condition", remedy=remedy)
        clauses.append(Clause(match[1], cast(Sign, match[2]), match[3], option))
    for clause in clauses:
        _ = clause.alert  # which refuses a number that is none
    return tuple(clauses)


def written(condition: Condition) -> str:
    return " and ".join(map(str, condition))


# --- What it says of the rows of a table


@dataclass(frozen=True)
class Measure:
    """What a comparison looks at, in every row.

    values: [N] float64, NaN where unknown: a number, a probability, a level's place, or 1 and 0 for a text that is the
    same or not. target: None for a column that says nothing of a target. levels: the names of a level's places.
    """

    clause: Clause
    values: np.ndarray
    threshold: float
    target: Target | None = None
    levels: tuple[str, ...] = ()
    is_probability: bool = False

    @property
    def states(self) -> np.ndarray:
        """[N] int8: 1 where the comparison holds, 0 where it does not, -1 where that is unknown."""
        reached = REACHED[self.clause.sign](self.values, self.threshold)
        return np.where(np.isnan(self.values), -1, reached).astype(np.int8)

    @property
    def is_score(self) -> bool:
        """Whether its values are numbers with a threshold, rather than levels or texts."""
        return not self.levels and self.clause.alert is not None


def all_of(states: Sequence[np.ndarray]) -> np.ndarray:
    """[N] of 1, 0, -1: false where any is false, else unknown where any is unknown, else true (Kleene 1938).

    >>> all_of([np.array([1, 1, -1]), np.array([1, -1, 0])]).tolist()
    [1, -1, 0]
    """
    table = np.stack(states)
    return np.where((table == 0).any(0), 0, np.where((table < 0).any(0), -1, 1)).astype(np.int8)


def any_of(states: Sequence[np.ndarray]) -> np.ndarray:
    """[N] of 1, 0, -1: true where any is true, else unknown where any is unknown, else false.

    >>> any_of([np.array([0, 0, -1]), np.array([0, -1, 1])]).tolist()
    [0, -1, 1]
    """
    table = np.stack(states)
    return np.where((table == 1).any(0), 1, np.where((table < 0).any(0), -1, 0)).astype(np.int8)


def measures(predictions: Predictions, condition: Condition, side: Side = "predicted") -> list[Measure]:
    """What each comparison looks at: of the answers, or of the truth. Of the truth, what speaks of the model alone
    (its confidence, a column) is left out, unless it was given to --true-when.

    Raises "usage" for names that are not there, levels of classes without an order, thresholds that cannot be.
    """
    found = (measure(predictions, clause, side) for clause in condition)
    return [each for each in found if each is not None]


def measure(predictions: Predictions, clause: Clause, side: Side = "predicted") -> Measure | None:
    """One of `measures`; None for what has no truth."""
    alert, name = clause.alert, clause.name
    if alert is None and name in predictions.targets and predictions.targets[name].kind != "number":
        return _level(predictions, predictions.targets[name], clause, side)
    if alert is not None and name in answers(predictions):
        return _answer(predictions, *named(predictions, alert, clause.option), clause, alert, side)
    if alert is not None and name.endswith("+") and name[:-1] in answers(predictions):
        return _at_least(predictions, *answers(predictions)[name[:-1]], clause, alert, side)
    if (target := _confident(predictions, name)) is not None and alert is not None:
        _check_probability(clause, alert)
        if side == "true":
            _refuse_without_truth(clause)
            return None
        return Measure(clause, predictions.output(target.name).values.max(axis=1), alert.threshold, is_probability=True)
    if name in predictions.targets:
        raise _wrong_kind(predictions, clause)
    if name in predictions.frame:
        return _column(predictions, clause, alert) if side == "predicted" or clause.option == "--true-when" else None
    others = [*map(str, predictions.frame.columns), CONFIDENCE]
    if alert is None:
        raise clause.refusal(f"there is no '{name}'", did_you_mean(name, [*predictions.targets, *others]))
    named(predictions, alert, clause.option, others)
    raise AssertionError


def _refuse_without_truth(clause: Clause) -> None:
    if clause.option == "--true-when":
        raise clause.refusal("a confidence has no truth", "name a target, or a column")


def _answer(
    predictions: Predictions, target: Target, position: int | None, clause: Clause, alert: Alert, side: Side
) -> Measure:
    """A number, or a class's probability; its truth is the number, or 1 for that class and 0 for others."""
    if position is None:
        cutoff = alert.threshold if alert.cutoff is None else alert.cutoff
        if side == "true":
            return Measure(clause, column(predictions, target, target.name), cutoff, target)
        return Measure(clause, predictions.output(target.name).values, alert.threshold, target)
    if side == "true":
        return Measure(clause, _truth(predictions, target, lambda codes: codes == position), HALF, target)
    values = predictions.output(target.name).values[:, position]
    return Measure(clause, values, alert.threshold, target, is_probability=True)


def _at_least(
    predictions: Predictions, target: Target, position: int | None, clause: Clause, alert: Alert, side: Side
) -> Measure:
    """The probability of a level or a higher one."""
    if position is None:
        raise clause.refusal(f"{target.name} is a number and has no levels", f"write '{target.name}{clause.sign}...'")
    _require_order(predictions, target, clause)
    _check_probability(clause, alert)
    if side == "true":
        return Measure(clause, _truth(predictions, target, lambda codes: codes >= position), HALF, target)
    values = predictions.output(target.name).values[:, position:].sum(axis=1)
    return Measure(clause, values, alert.threshold, target, is_probability=True)


def _level(predictions: Predictions, target: Target, clause: Clause, side: Side) -> Measure:
    """The level, or the class, that is predicted or true."""
    if clause.value not in target.classes:
        what = f"{target.name} has no class '{clause.value}'"
        raise clause.refusal(what, did_you_mean(clause.value, list(target.classes)))
    if clause.sign not in ("=", "!="):
        _require_order(predictions, target, clause)
    name = target.name if side == "true" else prediction_column(target.name)
    codes = column(predictions, target, name)
    values = np.where(codes < 0, np.nan, codes.astype(float))
    return Measure(clause, values, float(target.classes.index(clause.value)), target, levels=target.classes)


def _column(predictions: Predictions, clause: Clause, alert: Alert | None) -> Measure:
    frame, name = predictions.frame, clause.name
    if alert is None:
        if clause.sign not in ("=", "!="):
            raise clause.refusal(f"'{clause.value}' is no number, and '{name}' is a column", f"write '{name}=...'")
        cells = cells_of(frame, name)
        same = np.where(cells == "", np.nan, (cells == clause.value).astype(float))
        return Measure(clause, same, 1.0)
    if frame[name].dtype.kind in "fiu":
        return Measure(clause, frame[name].to_numpy(float), alert.threshold)
    texts = [SWITCH.get(cell, cell) for cell in frame[name].tolist()]
    return Measure(clause, to_numbers(texts, file=predictions.path, column=name), alert.threshold)


def _truth(predictions: Predictions, target: Target, holds: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """[N] 1 or 0 by the true class's place, NaN where it is missing."""
    codes = column(predictions, target, target.name)
    return np.where(missing(codes), np.nan, holds(codes).astype(float))


def _confident(predictions: Predictions, name: str) -> Target | None:
    """The class target whose confidence is meant; None where nothing of the kind is."""
    classes = [target for target in predictions.targets.values() if target.kind != "number"]
    if name == CONFIDENCE:
        return next((t for t in classes if t.name == "label"), classes[0] if len(classes) == 1 else None)
    return next((target for target in classes if f"{target.name}.{CONFIDENCE}" == name), None)


def _require_order(predictions: Predictions, target: Target, clause: Clause) -> None:
    if target.kind == "ordinal" or predictions.probabilities(target.name) is not None:
        return
    what = f"nothing says in which order the classes of {target.name} are"
    raise clause.refusal(what, "pass the --manifest that says it, or probabilities in that order")


def ordered_by_columns(found: Sequence[Measure]) -> dict[str, str]:
    """Of targets whose levels are compared though nothing but the order of their columns says what it is: that
    order."""
    compared = (m for m in found if (m.levels and m.clause.sign not in ("=", "!=")) or m.clause.name.endswith("+"))
    targets = (m.target for m in compared if m.target is not None and m.target.kind == "class")
    return {target.name: " < ".join(target.classes) for target in targets}


def pointless(found: Measure) -> str:
    """What to say of a threshold that all values of a number's scale reach, or none; "" where there is neither."""
    if found.target is None or found.target.scale is None or not found.is_score:
        return ""
    reached = [bool(REACHED[found.clause.sign](np.array(end), found.threshold)) for end in found.target.scale]
    if len(set(reached)) > 1:
        return ""
    low, high = found.target.scale
    every = "holds of every value" if reached[0] else "holds of no value"
    return f"'{found.clause}' {every} of the scale of {found.target.name}, {low:g} to {high:g}: is it in other units?"


def _check_probability(clause: Clause, alert: Alert) -> None:
    if alert.cutoff is not None:
        raise clause.refusal("a probability takes no second threshold", f"write '{clause.name}{clause.sign}.5'")
    if not 0 <= alert.threshold <= 1:
        what = "the threshold of a probability lies between 0 and 1"
        raise clause.refusal(what, f"write '{clause.name}{clause.sign}.5' for one half")


def _wrong_kind(predictions: Predictions, clause: Clause) -> AffectkitError:
    """A target that is compared as what it is not. Its column is the truth, which no alert may look at."""
    target = predictions.targets[clause.name]
    if target.kind == "number":
        return clause.refusal(f"{target.name} is a number", f"write '{target.name}>=NUMBER'")
    name = target.classes[-1] if target.classes else "CLASS"
    remedy = f"write '{target.name}={name}', or '{target.name}.{name}>=.5' for its probability"
    return clause.refusal(f"{target.name} has classes", remedy)
