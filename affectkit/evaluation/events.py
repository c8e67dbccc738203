"""Events in time, found and true: which alerts were right, what was missed, how late, how many false ones an hour.

An alert lasts from the moment at which it was raised, a true event from its onset, each to its last row. Both times are
rows' own. The seconds that alerts could be judged in are those between neighbouring rows that lie within the largest
gap, of the answers and of the truth: pauses count for nothing.

    sensitivity = found / true events       precision = right / alerts       false alarms per hour = false / hours

A true event is found by an alert that is on at any moment from its onset to its end, or `tolerance` seconds after its
onset where that is later; with `match` "raised", by one that was raised then. Its delay is that of the first alert that
was raised then; where one was on already at the onset there is none. An alert is right where it finds an event. This is
the any-overlap scoring of seizure detection (Dan et al. 2024, SzCORE).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from affectkit.artifacts.timeline import Timeline
from affectkit.evaluation.intervals import (
    ABOVE_ZERO,
    DEFAULT,
    SHARE,
    Estimate,
    Interval,
    IntervalScale,
    Resampling,
    as_units,
    interval,
)
from affectkit.evaluation.rows import ratio

if TYPE_CHECKING:
    import pandas as pd

Match = Literal["overlap", "raised"]
HOUR = 3600.0
SHIFTS = 200  # of alerts to random times, for the floor: the mean's own error is then a fourteenth of one draw's
MOST_SHIFTED = 2_000_000  # alerts of a sequence, over all draws, which bounds memory


@dataclass(frozen=True)
class Events:
    """E events, in the order of the line. Places are rows of `line.order`.

    start: [E] the row at which the condition began to hold. raised: at which the event was raised. last: the last row
    at which it was on. end: the row that ended it, or `last` where rows ran out. rule: which of the conditions raised
    it. cause: [E] why it ended: `cleared`, `gap` or `end` of the sequence.
    """

    start: np.ndarray
    raised: np.ndarray
    last: np.ndarray
    end: np.ndarray
    rule: np.ndarray
    cause: np.ndarray

    def __len__(self) -> int:
        return len(self.raised)

    def take(self, chosen: np.ndarray) -> Events:
        return Events(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def on(self, rows: int) -> np.ndarray:
        """[rows] bool: the rows from where an event was raised to its last."""
        change = np.zeros(rows + 1, int)
        np.add.at(change, self.raised, 1)
        np.add.at(change, self.last + 1, -1)
        return np.cumsum(change[:-1]) > 0


def covered(line: Timeline, known: np.ndarray, max_gap: float) -> np.ndarray:
    """[N] bool, in the order of the line: whether the step that ends at a row lies between two known rows of its
    sequence that are at most `max_gap` apart."""
    rows = np.flatnonzero(known)
    joined = (line.codes[rows[1:]] == line.codes[rows[:-1]]) & (np.diff(line.times[rows]) <= max_gap)
    change = np.zeros(len(line.times) + 1, int)
    np.add.at(change, rows[:-1][joined] + 1, 1)
    np.add.at(change, rows[1:][joined] + 1, -1)
    return np.cumsum(change[:-1]) > 0


def steps(line: Timeline) -> np.ndarray:
    """[N] seconds from the row before, 0 at the first of a sequence."""
    seconds = np.diff(line.times, prepend=line.times[:1])
    seconds[line.starts] = 0.0
    return seconds


# --- Which alerts go with which events, within each sequence


@dataclass(frozen=True)
class Matches:
    """right: [A] bool. found, already: [E] bool; already: an alert was on at the onset. delay: [E] seconds from the
    onset to the first alert that was raised then, NaN where there is none."""

    right: np.ndarray
    found: np.ndarray
    already: np.ndarray
    delay: np.ndarray


def matched(line: Timeline, alerts: Events, truth: Events, tolerance: float, match: Match) -> Matches:
    """Every alert with every event of its sequence."""
    right, already = np.zeros(len(alerts), bool), np.zeros(len(truth), bool)
    delay = np.full(len(truth), np.nan)
    for a, e in _by_sequence(line, alerts, truth):
        raised, last = line.times[alerts.raised[a]], line.times[alerts.last[a]]
        onset = line.times[truth.start[e]]
        until = np.maximum(line.times[truth.last[e]], onset + tolerance)
        if match == "raised":
            last = raised
        first = np.searchsorted(raised, onset)  # the first alert that is raised at the onset or later
        raised_then = np.append(raised, np.inf)[first]
        in_time = raised_then <= until
        delay[e] = np.where(in_time, raised_then - onset, np.nan)
        already[e] = np.append(last, -np.inf)[first - 1] >= onset
        after = np.searchsorted(until, raised)  # the first event that has not passed when the alert is raised
        right[a] = np.append(onset, np.inf)[after] <= last
    return Matches(right, already | ~np.isnan(delay), already, delay)


def _by_sequence(line: Timeline, alerts: Events, truth: Events) -> Iterator[tuple[slice, slice]]:
    """The alerts and the true events of each sequence that has both."""
    bounds = np.arange(len(line.starts) + 1)
    a, e = (np.searchsorted(line.codes[events.raised], bounds) for events in (alerts, truth))
    for code in np.flatnonzero((np.diff(a) > 0) & (np.diff(e) > 0)):
        yield slice(a[code], a[code + 1]), slice(e[code], e[code + 1])


def at_random_times(
    line: Timeline, clock: np.ndarray, alerts: Events, truth: Events, tolerance: float, match: Match, seed: int
) -> tuple[float, float]:
    """How many events are found, and how many alerts are right, where the alerts of each sequence are shifted to
    random times, all by the same, the end of the sequence being joined to its beginning: the mean of up to `SHIFTS`
    draws.

    clock: [N] judged seconds up to each row, over all sequences: pauses take no part.
    """
    rng, found, right = np.random.default_rng(seed), 0.0, 0.0
    ends = np.append(line.starts[1:], len(clock)) - 1
    for a, e in _by_sequence(line, alerts, truth):
        code = line.codes[alerts.raised[a.start]]
        begin = clock[line.starts[code]]
        length = clock[ends[code]] - begin
        if length <= 0:
            continue
        draws = max(1, min(SHIFTS, MOST_SHIFTED // (a.stop - a.start)))
        shift = rng.uniform(0, length, (draws, 1))
        raised = (clock[alerts.raised[a]] - begin + shift) % length
        last = raised if match == "raised" else raised + clock[alerts.last[a]] - clock[alerts.raised[a]]
        onset = clock[truth.start[e]] - begin
        until = np.maximum(clock[truth.last[e]] - begin, onset + tolerance)
        onset, until = (np.concatenate([ends, ends + length]) for ends in (onset, until))  # twice round
        low, high = np.searchsorted(until, raised), np.searchsorted(onset, last, side="right")
        right += (low < high).sum() / draws
        change = np.zeros((draws, len(onset) + 1), int)
        draw = np.repeat(np.arange(draws), raised.shape[1])
        some = (low < high).ravel()
        np.add.at(change, (draw[some], low.ravel()[some]), 1)
        np.add.at(change, (draw[some], high.ravel()[some]), -1)
        hit = np.cumsum(change[:, :-1], axis=1) > 0
        found += (hit[:, : len(onset) // 2] | hit[:, len(onset) // 2 :]).sum() / draws
    return found, right


# --- What alerts are worth, with intervals over groups

# The columns of a sequence's sums.
HOURS, ALERTS, RIGHT, FALSE, ON, EVENTS, FOUND, ALREADY, TRUE_ON, DELAYS, DELAY = range(11)
COUNTED = {"alerts": ALERTS, "right": RIGHT, "false_alarms": FALSE, "true_events": EVENTS, "found": FOUND}
COUNTED |= {"already_on": ALREADY}

# name -> the sum that it is of, per which other, and the scale of its interval
FIGURES: Mapping[str, tuple[int, int, IntervalScale]] = {
    "sensitivity": (FOUND, EVENTS, SHARE),
    "precision": (RIGHT, ALERTS, SHARE),
    "false_alarms_per_hour": (FALSE, HOURS, ABOVE_ZERO),
    "alerts_per_hour": (ALERTS, HOURS, ABOVE_ZERO),
    "delay_mean": (DELAY, DELAYS, ABOVE_ZERO),
    "delay_median": (DELAY, DELAYS, ABOVE_ZERO),  # whose sums are counts of every delay; see `_median`
    "time_in_alert": (ON, HOURS, SHARE),
    "time_in_event": (TRUE_ON, HOURS, SHARE),
}
BETTER = {"sensitivity": "higher", "precision": "higher", "false_alarms_per_hour": "lower", "delay_mean": "lower"}
BETTER |= {"delay_median": "lower"}
ROUNDING = 1e-9  # of a share that is a mean over draws


@dataclass(frozen=True)
class Judgement:
    """alerts, truth: those that were judged. sums: [S, 11], of every sequence. report: as `alert.json` has it."""

    alerts: Events
    truth: Events
    matches: Matches
    sums: np.ndarray
    report: dict[str, Any]


def judge_events(
    line: Timeline,
    alerts: Events,
    truth: Events,
    step_known: np.ndarray,
    row_known: np.ndarray,
    groups: np.ndarray,
    *,
    tolerance: float = 0.0,
    match: Match = "overlap",
    resampling: Resampling = DEFAULT,
) -> Judgement:
    """Alerts against true events.

    step_known: [N] bool, the steps in which both the answers and the truth are known (`covered`). row_known: [N] bool,
    the rows at which an alert can be judged; others are left out. groups: [S] text.
    """
    judged_alerts = alerts.take(row_known[alerts.raised])
    truth = truth.take(row_known[truth.raised])
    matches = matched(line, judged_alerts, truth, tolerance, match)
    seconds = np.where(step_known, steps(line), 0.0)
    clock = np.cumsum(seconds)
    sums = _sums(line, judged_alerts, truth, matches, clock)
    judgeable = sums[:, HOURS] + sums[:, ALERTS] + sums[:, EVENTS] > 0
    units = as_units(groups[judgeable], int(judgeable.sum()), seed=resampling.seed)
    per_unit = np.zeros((units.count, sums.shape[1]))
    np.add.at(per_unit, units.codes, sums[judgeable])
    figures = {name: _figure(name, per_unit, resampling) for name in FIGURES}
    figures["delay_median"] = _median(line, truth, matches, judgeable, units.codes, units.count, resampling)
    total = sums.sum(axis=0)
    chance = at_random_times(line, clock, judged_alerts, truth, tolerance, match, resampling.seed)
    floors = {"sensitivity": _share(chance[0], total[EVENTS]), "precision": _share(chance[1], total[ALERTS])}
    floors["false_alarms_per_hour"] = _share(total[ALERTS] - chance[1], total[HOURS])
    report = {
        "n": int(row_known.sum()),
        "hours": float(total[HOURS]),
        "sequences": int(judgeable.sum()),
        **{name: int(total[place]) for name, place in COUNTED.items()},
        "missed": int(total[EVENTS] - total[FOUND]),
        "metrics": {name: {**figure.plain(), "groups": figure.groups} for name, figure in figures.items()},
        "floors": {"random_times": floors},
        "interval": {"method": resampling.method_for(units.count), "level": resampling.level},
    }
    return Judgement(judged_alerts, truth, matches, sums, report)


def _sums(line: Timeline, alerts: Events, truth: Events, matches: Matches, clock: np.ndarray) -> np.ndarray:
    """[S, 11] of every sequence."""
    of_alert, of_event = line.codes[alerts.raised], line.codes[truth.raised]
    late = ~np.isnan(matches.delay)
    columns: list[tuple[np.ndarray, np.ndarray]] = [
        (line.codes, np.diff(clock, prepend=clock[:1]) / HOUR),
        (of_alert, np.ones(len(alerts))),
        (of_alert, matches.right),
        (of_alert, ~matches.right),
        (of_alert, (clock[alerts.end] - clock[alerts.raised]) / HOUR),
        (of_event, np.ones(len(truth))),
        (of_event, matches.found),
        (of_event, matches.already),
        (of_event, (clock[truth.end] - clock[truth.start]) / HOUR),
        (of_event, late),
        (of_event, np.where(late, matches.delay, 0.0)),
    ]
    count = len(line.starts)
    return np.stack([np.bincount(codes, weights.astype(float), count) for codes, weights in columns], axis=1)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _figure(name: str, sums: np.ndarray, resampling: Resampling) -> Interval:
    """Over the units [U, 11] that it says anything of."""
    part, whole, scale = FIGURES[name]
    having = sums[sums[:, whole] > 0]
    return interval(Estimate(lambda s: ratio(s[..., part], s[..., whole]), scale), having, resampling)


def _median(
    line: Timeline, truth: Events, matches: Matches, judgeable: np.ndarray, codes: np.ndarray, count: int,
    resampling: Resampling,
) -> Interval:  # fmt: skip
    """The median delay, of how often each delay occurs in each unit. Its interval is the bootstrap's, however few the
    groups: the jackknife of a median is not consistent (Efron 1979). Of 5 to 50 simulated people it covers .95 to .98;
    where nearly all delays are the same whole seconds, there is none."""
    late = ~np.isnan(matches.delay)
    unit = np.full(len(line.starts), -1)
    unit[judgeable] = codes
    delays, places = np.unique(matches.delay[late], return_inverse=True)
    counts = np.zeros((count, len(delays)))
    np.add.at(counts, (unit[line.codes[truth.raised[late]]], places), 1)
    counts = counts[counts.sum(axis=1) > 0]
    if resampling.method == "auto":
        resampling = replace(resampling, method="bootstrap")
    return interval(Estimate(lambda s: median_of_counts(delays, s), ABOVE_ZERO), counts, resampling)


def median_of_counts(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[...] the median of ascending `values` [D] that occur `counts` [..., D] times; NaN of none.

    >>> median_of_counts(np.array([1.0, 4.0, 9.0]), np.array([[2, 1, 0], [1, 0, 1]])).tolist()
    [1.0, 5.0]
    """
    running = np.cumsum(counts, axis=-1)
    if not len(values):
        return np.full(running.shape[:-1], np.nan)
    total = running[..., -1:]
    lower, upper = (running < total / 2).sum(-1), (running <= total / 2).sum(-1)
    most = len(values) - 1
    middle = (values[np.minimum(lower, most)] + values[np.minimum(upper, most)]) / 2
    return np.where(total[..., 0] > 0, middle, np.nan)


# --- The same by sequence and by group, as tables


def by_sequence(line: Timeline, judgement: Judgement, groups: np.ndarray, column: str) -> pd.DataFrame:
    """A row for each sequence that was judged."""
    import pandas as pd

    judged = np.flatnonzero(judgement.sums[:, [HOURS, ALERTS, EVENTS]].sum(axis=1) > 0)
    names = np.array(line.names, dtype=object)[judged]
    beside = {} if column in ("sequence", "") else {column: groups[judged]}
    return pd.DataFrame({"sequence": names, **beside, **_columns(judgement.sums[judged])})


def by_group(judgement: Judgement, groups: np.ndarray, column: str) -> pd.DataFrame:
    """A row for each group."""
    import pandas as pd

    judged = judgement.sums[:, [HOURS, ALERTS, EVENTS]].sum(axis=1) > 0
    names, codes = np.unique(groups[judged], return_inverse=True)
    sums = np.zeros((len(names), judgement.sums.shape[1]))
    np.add.at(sums, codes, judgement.sums[judged])
    return pd.DataFrame({column: names, **_columns(sums)})


def _columns(sums: np.ndarray) -> dict[str, np.ndarray]:
    counts = {name: sums[:, place].astype(int) for name, place in COUNTED.items()}
    figures = {name: ratio(sums[:, f[0]], sums[:, f[1]]) for name, f in FIGURES.items() if name != "delay_median"}
    return {"hours": sums[:, HOURS], **counts, "missed": counts["true_events"] - counts["found"], **figures}


# --- What must be read with the figures


def cautions(judgement: Judgement, alerts: Events, column: str) -> Sequence[str]:
    """What figures rest on nothing, or on little."""
    report, sentences = judgement.report, []
    hours = report["hours"]
    if left_out := len(alerts) - len(judgement.alerts):
        sentences.append(f"{left_out} alerts were raised where no truth is known: they are not judged")
    if not report["true_events"]:
        sentences.append("there is no true event: sensitivity and delay are undefined")
    if not report["alerts"]:
        sentences.append("no alert was raised: precision and delay are undefined")
    if hours and not report["false_alarms"]:
        most = -np.log(1 - DEFAULT.level) / hours
        text = f"no false alarm in {hours:.3g} h: up to {most:.2g} per hour would give none in one of twenty such times"
        sentences.append(f"{text}, were they independent")
    chance = report["floors"]["random_times"]["sensitivity"]
    if report["found"] and report["metrics"]["sensitivity"]["value"] <= chance + ROUNDING:
        on = report["metrics"]["time_in_alert"]["value"]
        text = f"at random times these alerts find as many events ({chance:.3f} of them), as one is on for {on:.3f} of"
        sentences.append(f"{text} the time: what they find says nothing of the model")
    few = {name: figure["groups"] for name, figure in report["metrics"].items() if 1 < figure["groups"] < 5}
    if few:
        text = f"of few {column}s, so that intervals rest on few degrees of freedom"
        sentences.append(f"{', '.join(few)}: {text}")
    return sentences
