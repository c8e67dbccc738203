"""Alerts: events that are raised by predictions over time.

Each row makes each condition true, false or unknown (`evaluation.conditions`). With the times t_i of a sequence's rows:

- A condition has held since the first row of its run. A row at which it is false ends the run, and so do more than
  `max_gap` seconds from one known row to the next; unknown rows in between do neither.
- An event is raised at the first row at which one of the conditions has held for as long as it must, t_i - t_start >=
  least, while no event is on and at least `cooldown` seconds after the last event of the sequence was raised. A
  condition that goes on holding to the end of a cool-down is raised then.
- It is on until the first row at which no condition holds and, where there is one, the condition that clears it does;
  or to the last known row before a gap, or of the sequence.

A row says nothing of later ones: what is raised by time t is decided by the rows up to t. The default gap is 2.5 times
the median step of the table, a setting that a stream must be given. Two times count as equal within a hundredth of the
median step, which is more than nine digits of a clock are rounded by.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.timeline import Timeline
from affectkit.errors import AffectkitError
from affectkit.evaluation.conditions import (
    Condition,
    Measure,
    Side,
    all_of,
    any_of,
    measures,
    parse_condition,
    written,
)
from affectkit.evaluation.events import Events

GAP = 2.5  # median steps: one missing row is bridged, whatever the clock's jitter, and two are not
ROUNDED = 0.01  # median steps within which times count as equal


# --- What was asked for


@dataclass(frozen=True)
class When:
    """A condition that raises, and the seconds for which it must hold by itself."""

    condition: Condition
    least: float

    def __str__(self) -> str:
        return f"{written(self.condition)} for {self.least:g} s" if self.least else written(self.condition)


@dataclass(frozen=True)
class Rule:
    """When an event is raised and when it ends; times in seconds. truth: the same of the true values.

    unless: rows at which one of these holds say nothing. clear: None ends an event where no `when` holds. max_gap: None
    for 2.5 median steps.
    """

    when: tuple[When, ...]
    truth: tuple[When, ...]
    unless: tuple[Condition, ...] = ()
    clear: Condition | None = None
    cooldown: float = 0.0
    max_gap: float | None = None

    @property
    def names(self) -> list[str]:
        """What the conditions name: a column among them may have to be joined."""
        conditions = [*(when.condition for when in (*self.when, *self.truth)), *self.unless, self.clear or ()]
        return list(dict.fromkeys(clause.name for condition in conditions for clause in condition))

    def refuse_truths(self, targets: Collection[str]) -> None:
        """Raises "usage" for a condition of alerts on what a manifest says is to be learned, and nobody predicts."""
        looking = [*(when.condition for when in self.when), *self.unless, self.clear or ()]
        for clause in (clause for condition in looking for clause in condition):
            if clause.name in targets:
                remedy = "name what is predicted, or give it to --true-when"
                raise clause.refusal("it is the truth, which no alert may look at", remedy)


def rule_of(
    when: Sequence[str],
    *,
    unless: Sequence[str] = (),
    truth: Sequence[str] = (),
    least: float = 0.0,
    clear: str | None = None,
    cooldown: float = 0.0,
    max_gap: float | None = None,
) -> Rule:
    """The rule as it was typed. Raises "usage"."""
    if not when:
        raise AffectkitError("usage", "no condition raises an alert", remedy="name one with --when 'stress>=.7'")
    raising = tuple(_when(text, "--when", least) for text in when)
    return Rule(
        raising,
        tuple(_when(text, "--true-when", least) for text in truth) or raising,
        tuple(parse_condition(text, "--unless") for text in unless),
        _clear(clear, raising),
        cooldown,
        max_gap,
    )


def _when(text: str, option: str, least: float) -> When:
    """`stress>=.7 and confidence>=.8 for 10`."""
    condition, word, seconds = text.rpartition(" for ")
    if not word:
        return When(parse_condition(text, option), least)
    try:
        own = float(seconds.strip().removesuffix("s"))
    except ValueError:
        own = -1.0
    if not 0 <= own < np.inf:
        what = f"{option} '{text}': '{seconds}' is no number of seconds"
        raise AffectkitError("usage", what, remedy=f"write '{condition} for 5'")
    return When(parse_condition(condition, option), own)


def _clear(text: str | None, raising: Sequence[When]) -> Condition | None:
    """A number stands for the only comparison's: an event is on until the score falls below it, or rises above it."""
    if text is None:
        return None
    try:
        float(text)
    except ValueError:
        return parse_condition(text, "--clear")
    [clause, *others] = [clause for when in raising for clause in when.condition]
    if others or clause.alert is None:
        remedy = f"write what clears it: --clear '{clause.name}<.5 and ...'"
        raise AffectkitError("usage", f"--clear {text}: several comparisons raise an alert, or levels", remedy=remedy)
    falls = clause.sign.startswith(">")
    threshold, cutoff = clause.alert.threshold, clause.alert.cutoff
    if float(text) > threshold if falls else float(text) < threshold:
        side = "above" if falls else "below"
        what = f"--clear {text} is {side} the threshold of '{clause}': an alert would end where it is raised"
        raise AffectkitError("usage", what, remedy=f"give {threshold:g}, or what is {'below' if falls else 'above'} it")
    of_truth = "" if cutoff is None else f":{cutoff:g}"  # which is in units of its own
    return parse_condition(f"{clause.name}{'<' if falls else '>'}{text}{of_truth}", "--clear")


# --- The machine


def find_events(
    line: Timeline,
    conditions: Sequence[np.ndarray],
    least: Sequence[float],
    on: np.ndarray,
    *,
    max_gap: float,
    cooldown: float = 0.0,
    slack: float = 0.0,
) -> Events:
    """The events of every sequence.

    conditions: of each that raises, [N] of 1, 0 and -1 (unknown), in the order of the line; least: seconds that each
    must hold. on: [N], whether an event that was raised goes on; 1 wherever a condition holds. slack: seconds within
    which times are equal.
    """
    ready, began, rule = _ready(line, conditions, least, max_gap + slack, slack)
    if not ready.any():
        none = np.zeros(0, int)
        return Events(none, none, none, none, none, np.zeros(0, "<U7"))
    known = np.flatnonzero(on >= 0)
    cleared = known[on[known] == 0].tolist()
    following = np.append(known[1:], len(on))  # the next known row; another sequence's, or none
    codes, times = np.append(line.codes, -1), np.append(line.times, np.inf)
    same = codes[following] == codes[known]
    breaks = known[~same | (times[following] - times[known] > max_gap + slack)].tolist()
    sequence_ends = np.append(line.starts[1:], len(on)).tolist()
    of_row, clock, candidates = line.codes.tolist(), line.times.tolist(), np.flatnonzero(ready).tolist()
    raised, ends = [], []
    place = 0
    while place < len(candidates):
        row = candidates[place]
        end = breaks[bisect_left(breaks, row)]
        clearing = bisect_left(cleared, row)
        if clearing < len(cleared) and cleared[clearing] <= end:
            end = cleared[clearing]
        raised.append(row)
        ends.append(end)
        again = end + 1
        if cooldown:
            last = sequence_ends[of_row[row]]
            again = max(again, bisect_left(clock, clock[row] + cooldown - slack, row, last))
        place = bisect_left(candidates, again, place + 1)
    at, end_rows = np.array(raised, int), np.array(ends, int)
    was_cleared = on[end_rows] == 0
    before = known[np.maximum(np.searchsorted(known, end_rows) - 1, 0)]
    last_known = np.isin(end_rows, known[~same])
    cause = np.where(was_cleared, "cleared", np.where(last_known, "end", "gap"))
    return Events(began[at], at, np.where(was_cleared, before, end_rows), end_rows, rule[at], cause)


def _ready(
    line: Timeline, conditions: Sequence[np.ndarray], least: Sequence[float], max_gap: float, slack: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[N] bool, the rows at which a condition has held long enough; [N] where its run began, and [N] which it is, the
    first of several."""
    rows = len(line.times)
    ready, began, rule = np.zeros(rows, bool), np.zeros(rows, int), np.zeros(rows, int)
    for number, (states, seconds) in reversed(list(enumerate(zip(conditions, least, strict=True)))):
        known = np.flatnonzero(states >= 0)
        holds = states[known] == 1
        goes_on = np.zeros(len(known), bool)
        goes_on[1:] = holds[:-1] & (np.diff(line.codes[known]) == 0) & (np.diff(line.times[known]) <= max_gap)
        first = known[np.maximum.accumulate(np.where(holds & ~goes_on, np.arange(len(known)), 0))]
        long_enough = holds & (line.times[known] - line.times[first] >= seconds - slack)
        at = known[long_enough]
        ready[at], began[at], rule[at] = True, first[long_enough], number
    return ready, began, rule


@dataclass(frozen=True)
class Alerted:
    """What a rule made of a table.

    holds: [N], whether a condition holds (1, 0, -1), in the order of the line. max_gap: in seconds; joined: the same
    with what rounding may add. found: what each condition looks at, [N] in the order of the table.
    """

    line: Timeline
    events: Events
    holds: np.ndarray
    max_gap: float
    joined: float
    found: list[list[Measure]]


def alerted(table: Predictions, line: Timeline, rule: Rule, side: Side = "predicted") -> Alerted:
    """The events of all rows, by the answers or by the truth.

    Raises as `measures` does, and "usage" for a condition that no truth could meet.
    """
    asked = rule.when if side == "predicted" else rule.truth
    found = [measures(table, when.condition, side) for when in asked]
    if not all(found):
        what = f"'{asked[list(map(bool, found)).index(False)]}' speaks of the model alone: it has no truth"
        raise AffectkitError("usage", what, file=table.path, remedy="name what is true, with --true-when")
    ordered = [all_of([measure.states for measure in each])[line.order] for each in found]
    cleared = _cleared(table, rule, side)
    if side == "predicted" and rule.unless:
        apart = [all_of([m.states for m in measures(table, condition)]) for condition in rule.unless]
        silent = (any_of(apart) == 1)[line.order]
        ordered = [np.where(silent, -1, states) for states in ordered]
    holds = any_of(ordered)
    on = holds
    if cleared is not None:
        stays = 1 - cleared[line.order]
        on = np.where(holds == 0, np.where(stays > 1, -1, stays), holds)
    known = holds >= 0
    gap = _largest_gap(line, known, rule.max_gap, side)
    slack = ROUNDED * line.step if np.isfinite(line.step) else 0.0
    least = [when.least for when in asked]
    cooldown = rule.cooldown if side == "predicted" else 0.0
    events = find_events(line, ordered, least, on, max_gap=gap, cooldown=cooldown, slack=slack)
    return Alerted(line, events, holds, gap, gap + slack, found)


def _cleared(table: Predictions, rule: Rule, side: Side) -> np.ndarray | None:
    """[N] of 1, 0, -1, in the table's order: whether an event is to end. The truth ends by the same condition, unless
    it has one of its own to begin."""
    if rule.clear is None or (side == "true" and rule.truth is not rule.when):
        return None
    states = [measure.states for measure in measures(table, rule.clear, side)]
    return all_of(states) if states else None


def _largest_gap(line: Timeline, known: np.ndarray, asked: float | None, side: Side) -> float:
    """What was asked for, else 2.5 median steps from one known row to the next. Truths may be rarer than answers."""
    rows = np.flatnonzero(known)
    between = np.diff(line.times[rows])[np.diff(line.codes[rows]) == 0]
    usual = GAP * float(np.median(between)) if len(between) else 0.0
    if asked is None:
        return usual
    return asked if side == "predicted" else max(asked, usual)
