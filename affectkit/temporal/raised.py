"""What `alert` leaves in its folder: events, the state of every row, and how the alerts compare with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.files import write_json
from affectkit.artifacts.predictions import Predictions, places_of
from affectkit.artifacts.reports import (
    ALERTS,
    ALERTS_BY_GROUP,
    ALERTS_BY_SEQUENCE,
    EVENTS,
    STATES,
    TRUE_EVENTS,
)
from affectkit.artifacts.tables import EXACT, write_table
from affectkit.artifacts.timeline import Timeline
from affectkit.errors import AffectkitError
from affectkit.evaluation.conditions import Measure, measures, ordered_by_columns, pointless, written
from affectkit.evaluation.events import (
    HOUR,
    Events,
    Judgement,
    Match,
    by_group,
    by_sequence,
    cautions,
    covered,
    judge_events,
    steps,
)
from affectkit.evaluation.intervals import DEFAULT, Resampling
from affectkit.evaluation.parts import caveats
from affectkit.evaluation.rows import judged
from affectkit.splits import group_column
from affectkit.temporal.alert import Alerted, Rule, alerted

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 9  # of a difference of times, whose last ones are rounding
SHOWN = 4  # sequences with a figure on the page
RIGHT, FALSE, FOUND, MISSED = "right", "false", "found", "missed"


@dataclass(frozen=True)
class Judging:
    """How alerts are judged; see `evaluation.events`."""

    split: str | None = None
    group: str | None = None
    tolerance: float = 0.0
    match: Match = "overlap"
    resampling: Resampling = DEFAULT


def write_alerts(
    folder: Path,
    table: Predictions,
    line: Timeline,
    rule: Rule,
    judging: Judging,
    *,
    time: str,
    sequence: Sequence[str],
    warnings: Sequence[str] = (),
    lineage: Mapping[str, Any],
) -> None:
    """Raise the alerts of a table, judge them where a truth is known, and write `alert.json` and the tables beside it.

    time, sequence: the columns of `line`. lineage: of the inputs read.
    """
    raised = alerted(table, line, rule)
    column = group_column(table.frame, judging.group, file=table.path)
    groups = _groups(table, line, column)
    truth, notes = _truth(table, line, rule)
    judgement: Judgement | None = None
    facts: dict[str, Any] = {"split": None, "seen": [], "groups": None, "judged": None}
    cautious: list[str] = []
    inside = np.full(len(line.starts), True)
    if truth is not None:
        judgement, inside, facts, cautious = _judge(table, raised, truth, groups, column, judging, rule.cooldown)
    events = _events(raised, groups, column, _outcomes(raised.events, judgement))
    write_table(folder / EVENTS, events, EXACT)
    write_table(folder / STATES, _states(table, raised, truth, time), EXACT)
    if truth is not None and judgement is not None:
        write_table(folder / TRUE_EVENTS, _true_events(truth, judgement, groups, column), EXACT)
        write_table(folder / ALERTS_BY_SEQUENCE, by_sequence(line, judgement, groups, column or ""))
        write_table(folder / ALERTS_BY_GROUP, by_group(judgement, groups, column or "sequence"))
    report = {
        "rule": _described(rule, raised, truth),
        "settings": {"sequence": list(sequence), "time": time, "match": judging.match, "tolerance": judging.tolerance},
        "rows": len(line.order),
        "unknown": int((raised.holds < 0).sum()),
        "sequences": len(line.starts),
        "events": len(raised.events),
        "by_condition": _by_condition(rule, raised),
        "measures": [_measure(each, rule) for each in _distinct(raised)],
        **_time(raised),
        **facts,
        "shown": _shown(line, raised, truth, inside),
        "foreign": table.foreign,
        "notes": [*notes, *_notes(table, rule, raised)],
        **lineage,
        "warnings": [*cautious, *warnings],
    }
    write_json(folder / ALERTS, report)


def _groups(table: Predictions, line: Timeline, column: str | None) -> np.ndarray:
    """[S] the group of each sequence, itself where there are no groups. Raises "input" for a sequence of several."""
    if column is None:
        return np.array(line.names, dtype=object)
    cells = table.frame[column].astype(str).to_numpy()[line.order]
    groups = cells[line.starts]
    if (differs := cells != groups[line.codes]).any():
        row = int(differs.argmax())
        name, first = line.names[line.codes[row]], groups[line.codes[row]]
        what = f"sequence '{name}' has rows of {column} '{first}' and '{cells[row]}'"
        remedy = f"name what tells them apart too: --sequence sequence,{column}"
        raise AffectkitError("input", what, file=table.path, row=int(line.order[row]) + 1, remedy=remedy)
    return groups


# --- Against the truth


def _truth(table: Predictions, line: Timeline, rule: Rule) -> tuple[Alerted | None, list[str]]:
    """The true events; None, and why, where nothing says what is true."""
    asked = rule.truth is not rule.when
    if not asked and not all(measures(table, when.condition, "true") for when in rule.when):
        return None, ["not judged: a condition speaks of the model alone and has no truth; name one with --true-when"]
    truth = alerted(table, line, rule, "true")
    if (truth.holds >= 0).any():
        return truth, []
    names = ", ".join(dict.fromkeys(m.target.name if m.target else m.clause.name for f in truth.found for m in f))
    if asked:
        remedy = f"give a column {names}, or the --manifest that has it"
        raise AffectkitError("input", f"--true-when: no row has a truth for {names}", file=table.path, remedy=remedy)
    return None, [f"not judged: no row has a truth for {names}"]


def _judge(
    table: Predictions,
    raised: Alerted,
    truth: Alerted,
    groups: np.ndarray,
    column: str | None,
    judging: Judging,
    cooldown: float,
) -> tuple[Judgement, np.ndarray, dict[str, Any], list[str]]:
    """The judgement of the rows that may be judged, [S] which sequences these are, what the report says of it, and
    what its reader must know."""
    part, rows = judged(table, judging.split)
    line = raised.line
    chosen = np.zeros(len(line.order), bool)
    chosen[places_of(rows, table)] = True
    chosen = chosen[line.order]
    _refuse_divided(table, line, chosen)
    knows_step = covered(line, raised.holds >= 0, raised.joined)
    truth_known = covered(line, truth.holds >= 0, truth.joined)
    judgement = judge_events(
        line, raised.events, truth.events, knows_step & truth_known & chosen,
        (truth_known | (truth.holds >= 0)) & chosen, groups,
        tolerance=judging.tolerance, match=judging.match, resampling=judging.resampling,
    )  # fmt: skip
    inside = chosen[line.starts]
    named = column or "sequence"
    row_groups = groups[line.codes[chosen]].astype(str)
    said = caveats(rows, [], named, row_groups, {})
    of_part = raised.events.take(chosen[raised.events.raised])
    facts = {
        "split": part,
        "seen": sorted(set(rows.frame["seen"])),
        "groups": {"column": named, "count": len(set(groups[inside]))},
        "interval": judgement.report["interval"],
        "judged": {key: value for key, value in judgement.report.items() if key != "interval"}
        | {"missed_in_cooldown": _in_cooldown(line, raised.events, judgement, cooldown)},
    }
    return judgement, inside, facts, [*said, *cautions(judgement, of_part, named)]


def _in_cooldown(line: Timeline, alerts: Events, judgement: Judgement, cooldown: float) -> int:
    """How many true events were missed that began in a cool-down, when no alert could be raised."""
    if not len(alerts):
        return 0
    onset = judgement.truth.start[~judgement.matches.found]
    last = alerts.raised[np.maximum(np.searchsorted(alerts.raised, onset, side="right") - 1, 0)]
    since = line.times[onset] - line.times[last]
    return int(((line.codes[last] == line.codes[onset]) & (since >= 0) & (since < cooldown)).sum())


def _refuse_divided(table: Predictions, line: Timeline, chosen: np.ndarray) -> None:
    """A sequence of which only some rows may be judged: its events would rest on the others too."""
    count = np.add.reduceat(chosen.astype(int), line.starts)
    divided = (count > 0) & (count < line.lengths)
    if divided.any():
        name = line.names[int(divided.argmax())]
        what = f"of sequence '{name}' only some rows are judged, and the others are in-sample or of another split"
        raise AffectkitError("leak", what, file=table.path, remedy="split by whole sequences, better by subjects")


def _outcomes(events: Events, judgement: Judgement | None) -> np.ndarray:
    """[E] `right`, `false`, or nothing for what was not judged."""
    outcomes = np.full(len(events), "", object)
    if judgement is not None:
        places = np.searchsorted(events.raised, judgement.alerts.raised)
        outcomes[places] = np.where(judgement.matches.right, RIGHT, FALSE)
    return outcomes


# --- Tables


def _events(raised: Alerted, groups: np.ndarray, column: str | None, outcomes: np.ndarray) -> pd.DataFrame:
    """A row for each event, in the order of sequences and time."""
    import pandas as pd

    line, events = raised.line, raised.events
    names = np.array([_name(found) for found in raised.found], object)
    columns: dict[str, Any] = _whose(line, events, groups, column)
    columns |= {f"{key}_sec": line.times[getattr(events, key)] for key in ("start", "raised", "end")}
    columns["duration_sec"] = np.round(line.times[events.end] - line.times[events.start], DIGITS)
    known = np.append(0, np.cumsum(raised.holds >= 0))
    columns["rows"] = known[events.last + 1] - known[events.start]
    columns["condition"] = names[events.rule]
    columns["measure"], columns["peak"] = _peaks(raised)
    return pd.DataFrame(columns | {"ended": events.cause, "outcome": outcomes})


def _name(found: Sequence[Measure]) -> str:
    return " and ".join(str(measure.clause) for measure in found)


def _whose(line: Timeline, events: Events, groups: np.ndarray, column: str | None) -> dict[str, Any]:
    """The sequence of each event, and its group where that is something else."""
    codes = line.codes[events.raised]
    whose: dict[str, Any] = {"sequence": np.array(line.names, dtype=object)[codes]}
    return whose if column in (None, "sequence") else whose | {str(column): groups[codes]}


def _peaks(raised: Alerted) -> tuple[np.ndarray, np.ndarray]:
    """Of each event, the first comparison that raised it has its most extreme value: [E] its name and [E] text."""
    events, order = raised.events, raised.line.order
    names, peaks = np.full(len(events), "", object), np.full(len(events), "", object)
    for number, found in enumerate(raised.found):
        which = np.flatnonzero(events.rule == number)
        measure = next((m for m in found if m.is_score or m.levels), None)
        if measure is None or not len(which):
            continue
        falls = measure.clause.sign.startswith("<")
        values = np.append(measure.values[order], np.nan)
        bounds = np.stack([events.start[which], events.last[which] + 1], axis=1).ravel()
        most = (np.fmin if falls else np.fmax).reduceat(values, bounds)[::2]
        texts = [measure.levels[int(value)] if measure.levels else f"{value:.9g}" for value in most]
        names[which], peaks[which] = measure.clause.name, texts
    return names, peaks


def _true_events(truth: Alerted, judgement: Judgement, groups: np.ndarray, column: str | None) -> pd.DataFrame:
    """A row for each true event that was judged."""
    import pandas as pd

    line, events, matches = truth.line, judgement.truth, judgement.matches
    columns = _whose(line, events, groups, column)
    columns |= {"start_sec": line.times[events.start], "end_sec": line.times[events.end]}
    columns["duration_sec"] = np.round(columns["end_sec"] - columns["start_sec"], DIGITS)
    columns["outcome"] = np.where(matches.found, FOUND, MISSED)
    columns["already_on"] = np.where(matches.already, "true", "false")
    return pd.DataFrame(columns | {"delay_sec": np.round(matches.delay, DIGITS)})


def _states(table: Predictions, raised: Alerted, truth: Alerted | None, time: str) -> pd.DataFrame:
    """Every row, sequence by sequence in time: whether a condition holds, whether an alert is on, and what they look
    at. Empty where that is unknown."""
    import pandas as pd

    line = raised.line
    rows = len(line.order)
    columns: dict[str, Any] = {"id": table.frame["id"].to_numpy()[line.order]}
    columns |= {"sequence": np.array(line.names, dtype=object)[line.codes]}
    columns |= {"time_sec": table.frame[time].to_numpy()[line.order]}
    columns |= {"holds": _marks(raised.holds), "alert": raised.events.on(rows).astype(int)}
    if truth is not None:
        columns |= {"true_holds": _marks(truth.holds), "true_event": truth.events.on(rows).astype(int)}
    for measure in _distinct(raised):
        columns[f"{measure.clause.name}_score"] = measure.values[line.order]
    for measure in _distinct(truth) if truth is not None else ():
        columns[f"{measure.clause.name}_true"] = measure.values[line.order]
    return pd.DataFrame(columns)


def _marks(states: np.ndarray) -> np.ndarray:
    return np.array(["", "0", "1"], dtype=object)[states + 1]


def _distinct(of: Alerted) -> list[Measure]:
    """What the conditions look at, each name once."""
    named: dict[str, Measure] = {}
    for measure in (measure for found in of.found for measure in found):
        named.setdefault(measure.clause.name, measure)
    return list(named.values())


# --- What `alert.json` says


def _described(rule: Rule, raised: Alerted, truth: Alerted | None) -> dict[str, Any]:
    return {
        "when": list(map(str, rule.when)),
        "unless": list(map(written, rule.unless)),
        "clear": written(rule.clear) if rule.clear else None,
        "cooldown": rule.cooldown,
        "cooldown_from": "raised",
        "max_gap": raised.max_gap,
        "truth": [_name(found) for found in truth.found] if truth is not None else None,
        "truth_max_gap": truth.max_gap if truth is not None else None,
    }


def _measure(measure: Measure, rule: Rule) -> dict[str, Any]:
    cleared = [clause.alert for clause in rule.clear or () if clause.name == measure.clause.name]
    return {
        "name": measure.clause.name,
        "sign": measure.clause.sign,
        "threshold": measure.threshold,
        "clear": next((alert.threshold for alert in cleared if alert is not None), None),
        "levels": list(measure.levels),
        "probability": measure.is_probability,
        "target": None if measure.target is None else measure.target.name,
    }


def _by_condition(rule: Rule, raised: Alerted) -> list[dict[str, Any]]:
    counts = np.bincount(raised.events.rule, minlength=len(rule.when))
    return [{"when": str(when), "events": int(n)} for when, n in zip(rule.when, counts, strict=True)]


def _time(raised: Alerted) -> dict[str, float]:
    """Hours that were observed, and hours in alert, of all rows."""
    seconds = np.where(covered(raised.line, raised.holds >= 0, raised.joined), steps(raised.line), 0.0)
    clock = np.cumsum(seconds)
    on = (clock[raised.events.end] - clock[raised.events.raised]).sum()
    return {"hours": float(seconds.sum() / HOUR), "hours_in_alert": float(on / HOUR)}


def _shown(line: Timeline, raised: Alerted, truth: Alerted | None, judged: np.ndarray) -> list[str]:
    """The sequences with most events, found and true, of equals the first by name; of those that are judged, since
    nothing is said of what is true in the others."""
    events = [raised.events, *([truth.events] if truth is not None else [])]
    counts = sum(np.bincount(line.codes[e.raised], minlength=len(line.starts)) for e in events)
    order = np.argsort(-counts, kind="stable")
    return [line.names[code] for code in order[judged[order]][:SHOWN]]


def _notes(table: Predictions, rule: Rule, raised: Alerted) -> list[str]:
    """What a user should know who mistook units, an order or a value."""
    found = [measure for each in raised.found for measure in each]
    apart = [
        m for condition in (*rule.unless, *([rule.clear] if rule.clear else [])) for m in measures(table, condition)
    ]
    notes = [sentence for measure in found if (sentence := pointless(measure))]
    for name, order in ordered_by_columns([*found, *apart]).items():
        notes.append(f"the levels of {name} are taken in the order of their columns: {order}")
    for measure in apart:
        if not (measure.states == 1).any():
            notes.append(f"{measure.clause.option} '{measure.clause}' holds at no row")
    return notes
