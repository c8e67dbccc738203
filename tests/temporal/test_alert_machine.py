"""When events are raised and when they end: by hand, row by row as a stream would, and against theory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import norm

from affectkit.artifacts.timeline import Timeline
from affectkit.temporal.alert import find_events


def timeline_of(times, lengths=None):
    lengths = [len(times)] if lengths is None else lengths
    starts = np.cumsum([0, *lengths[:-1]])
    names = [f"s{number:03}" for number in range(len(lengths))]
    return Timeline(np.arange(len(times)), starts, names, np.asarray(times, float))


def states(text):
    """`..##?` is 0, 0, 1, 1, unknown."""
    return np.array([".#".find(mark) for mark in text])


def events_of(text, least=0.0, *, on=None, times=None, max_gap=1.5, **options):
    """(start, raised, last, end, cause) of each, in seconds where a row is one second."""
    holds = states(text)
    line = timeline_of(np.arange(len(text)) if times is None else times)
    found = find_events(line, [holds], [least], holds if on is None else states(on), max_gap=max_gap, **options)
    places = (line.times[rows].tolist() for rows in (found.start, found.raised, found.last, found.end))
    return list(zip(*places, found.cause.tolist(), strict=True))


BY_HAND = {
    "at the first row": (".##..", {}, [(1, 1, 2, 3, "cleared")]),
    "held for two seconds": (".###.##.", {"least": 2}, [(1, 3, 3, 4, "cleared")]),
    "not held": (".##.##.", {"least": 2}, []),
    "to the end of the rows": (".##", {}, [(1, 1, 2, 2, "end")]),
    "the last row alone": ("..#", {}, [(2, 2, 2, 2, "end")]),
    "a missing row is bridged by a larger gap": ("##?#.", {"least": 3, "max_gap": 2}, [(0, 3, 3, 4, "cleared")]),
    "and breaks the run by a smaller one": ("##?#.", {"least": 3}, []),
    "a gap ends what is on": ("##??.#", {"max_gap": 2}, [(0, 0, 1, 1, "gap"), (5, 5, 5, 5, "end")]),
    "unknown at the end": ("##???", {}, [(0, 0, 1, 1, "end")]),
    "hysteresis": (".#..#...", {"on": ".####..."}, [(1, 1, 4, 5, "cleared")]),
    "hysteresis that is not known": (".#?.#...", {"on": ".#?##...", "max_gap": 2}, [(1, 1, 4, 5, "cleared")]),
    "cool-down": ("#.#.#.#", {"cooldown": 4}, [(0, 0, 0, 1, "cleared"), (4, 4, 4, 5, "cleared")]),
    "what goes on holding is raised when the cool-down is over": (
        "#.######.", {"cooldown": 5, "least": 0}, [(0, 0, 0, 1, "cleared"), (2, 5, 7, 8, "cleared")]
    ),
    "a cool-down ends no event": ("#####.#", {"cooldown": 2}, [(0, 0, 4, 5, "cleared"), (6, 6, 6, 6, "end")]),
    "nothing known": ("????", {}, []),
    "nothing": ("", {}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_by_hand(case):
    text, options, expected = BY_HAND[case]
    assert events_of(text, **options) == expected


def test_seconds_are_those_of_the_clock_not_rows():
    times = [0, 1, 2.5, 2.75, 3, 6, 6.5]
    assert events_of("#######", 3, times=times, max_gap=2) == [(0, 3, 3, 3, "gap")]
    assert events_of("#######", 3, times=times, max_gap=3) == [(0, 3, 6.5, 6.5, "end")]


def test_times_that_nine_digits_round_are_equal():
    times = np.round(86_000 + np.arange(200) / 29.97, 4)
    [(start, raised, *_)] = events_of("#" * 200, 100 / 29.97, times=times, max_gap=1, slack=0.01 / 29.97)
    assert round((raised - start) * 29.97) == 100


def test_sequences_know_nothing_of_each_other():
    holds = states("###...###")
    line = timeline_of([0, 1, 2, 3, 4, 5, 6, 7, 8], [2, 7])
    found = find_events(line, [holds], [1], holds, max_gap=2, cooldown=100)
    assert line.times[found.raised].tolist() == [1, 7]  # row 2 begins a run and a cool-down of its own
    assert found.cause.tolist() == ["end", "end"]


def test_each_condition_must_hold_by_itself():
    """And the first that does is named."""
    first, second = states("###...###"), states("...###.##")
    line = timeline_of(range(9))
    on = np.maximum(first, second)
    found = find_events(line, [first, second], [2, 2], on, max_gap=1)
    assert (found.raised.tolist(), found.rule.tolist(), found.last.tolist()) == ([2], [0], [8])
    found = find_events(line, [first, second], [5, 1], on, max_gap=1)
    assert (found.start.tolist(), found.raised.tolist(), found.rule.tolist()) == ([3], [4], [1])
    found = find_events(line, [first, second], [0, 0], on, max_gap=1)
    assert (found.raised.tolist(), found.rule.tolist()) == ([0], [0])


# --- The same row by row, as a stream would decide


def streamed(times, conditions, least, on, max_gap, cooldown):
    """(start, raised, last, end, cause) of one sequence, decided with nothing but the rows so far."""
    runs = [None] * len(conditions)  # the start of each run and its last known row
    event, raised_at, events = None, -np.inf, []
    for row, time in enumerate(times):
        if event is not None and on[row] >= 0:
            if time - times[event["last"]] > max_gap:
                events.append({**event, "end": event["last"], "cause": "gap"})
                event = None
            elif on[row] == 0:
                events.append({**event, "end": row, "cause": "cleared"})
                event = None
            else:
                event["last"] = row
        ready = None
        for number, holds in enumerate(conditions):
            if holds[row] == 0:
                runs[number] = None
            elif holds[row] == 1:
                if runs[number] is None or time - times[runs[number][1]] > max_gap:
                    runs[number] = (row, row)
                runs[number] = (runs[number][0], row)
                if ready is None and time - times[runs[number][0]] >= least[number]:
                    ready = number
        if event is None and ready is not None and time - raised_at >= cooldown:
            event = {"start": runs[ready][0], "raised": row, "last": row, "rule": ready}
            raised_at = time
    if event is not None:
        events.append({**event, "end": event["last"], "cause": "end"})
    return events


marks = st.sampled_from([0, 1, 1, -1])
process = st.tuples(
    st.lists(st.tuples(st.integers(1, 4), marks, marks, st.booleans()), min_size=1, max_size=40),
    st.integers(0, 5), st.integers(0, 5), st.integers(1, 8), st.integers(0, 12),
)  # fmt: skip


def as_arrays(rows):
    steps, first, second, stays = (np.array(column) for column in zip(*rows, strict=True))
    any_of = np.where((first == 1) | (second == 1), 1, np.where((first < 0) | (second < 0), -1, 0))
    return np.cumsum(steps).astype(float), first, second, np.where(any_of == 0, stays, any_of)


@given(process)
def test_it_decides_as_a_stream_does(drawn):
    rows, *least, max_gap, cooldown = drawn
    times, first, second, on = as_arrays(rows)
    found = find_events(timeline_of(times), [first, second], least, on, max_gap=max_gap, cooldown=cooldown)
    keys = ("start", "raised", "last", "end", "rule", "cause")
    expected = streamed(times, [first, second], least, on, max_gap, cooldown)
    assert [[event[key] for key in keys] for event in expected] == [
        list(event) for event in zip(*(getattr(found, key).tolist() for key in keys), strict=True)
    ]


@given(process, st.integers(1, 40))
def test_what_is_raised_depends_on_earlier_rows_only(drawn, length):
    rows, *least, max_gap, cooldown = drawn
    times, first, second, on = as_arrays(rows)
    options = {"max_gap": max_gap, "cooldown": cooldown}
    whole = find_events(timeline_of(times), [first, second], least, on, **options)
    length = min(length, len(times))
    known = [column[:length] for column in (first, second, on)]
    part = find_events(timeline_of(times[:length]), known[:2], least, known[2], **options)
    so_far = whole.take(whole.raised < length)
    for key in ("start", "raised", "rule"):
        assert getattr(part, key).tolist() == getattr(so_far, key).tolist()
    over = (so_far.cause == "cleared") & (so_far.end < length)
    assert part.end[over].tolist() == so_far.end[over].tolist()


# --- Against theory: rates and delays of simulated processes, within four of their standard errors


def rate_and_error(holds, least, **options):
    """Events per row and its standard error, over independent sequences of one second rows. holds: [S, T]."""
    sequences, rows = holds.shape
    line = timeline_of(np.tile(np.arange(rows), sequences), [rows] * sequences)
    on = options.pop("on", holds).ravel().astype(int)
    found = find_events(line, [holds.ravel().astype(int)], [least], on, max_gap=1.5, slack=0.01, **options)
    counts = np.bincount(line.codes[found.raised], minlength=sequences) / rows
    return counts.mean(), counts.std(ddof=1) / np.sqrt(sequences)


@pytest.mark.parametrize(("p", "k"), [(0.3, 3), (0.8, 6)])
def test_false_alarms_of_independent_rows_are_as_many_as_runs(p, k):
    """A run of k or more begins after a row at which the condition fails: (1 - p) p^k per row (Feller 1968, XIII.7)."""
    holds = np.random.default_rng(k).random((200, 5000)) < p
    rate, error = rate_and_error(holds, k - 1.0)
    expected = (1 - p) * p**k
    # The first run needs no failure before it; what begins in the last k rows is cut: both below k / 5000 of a rate.
    assert abs(rate - expected) < 4 * error + expected * k / 5000
    assert error < 0.04 * expected


def cycle(p, k, cooldown):
    """The mean number of rows from one alert to the next: k rows in a row raise one, it ends at the first failure, and
    for `cooldown` rows after it was raised there is none. By first steps of a chain: the length of the run, up to k,
    and whether the event is on; no more than the definition, with no code of the machine."""
    from_run = np.zeros(k + 1)  # rows still to wait, by the length of the run, once the cool-down is over
    from_run[k] = 0.0
    matrix, constant = np.eye(k), np.ones(k)
    for run in range(k):
        matrix[run, 0] -= 1 - p
        if run + 1 < k:
            matrix[run, run + 1] -= p
    from_run[:k] = np.linalg.solve(matrix, constant)
    share = np.zeros(k + 2)  # of the runs 0..k after the event, and of the event itself at the end
    share[k + 1] = 1.0
    mean = 0.0
    for _ in range(max(cooldown, 1)):
        after = np.zeros(k + 2)
        after[k + 1] = share[k + 1] * p
        after[0] = share.sum() * (1 - p)
        after[1 : k + 1] += share[:k] * p
        after[k] += share[k] * p
        share, mean = after, mean + 1.0
    still_on = share[k + 1]
    mean += float((share[: k + 1] * from_run).sum())
    return mean + still_on * (1 / (1 - p) + from_run[0])


@pytest.mark.parametrize(("p", "k", "cooldown"), [(0.5, 1, 10), (0.8, 5, 30), (0.6, 2, 0)])
def test_the_rate_with_a_cool_down_is_that_of_the_renewal_process(p, k, cooldown):
    holds = np.random.default_rng(cooldown).random((200, 6000)) < p
    rate, error = rate_and_error(holds, k - 1.0, cooldown=float(cooldown))
    expected = 1 / cycle(p, k, cooldown)
    assert abs(rate - expected) < 4 * error + expected * cycle(p, k, cooldown) / 6000
    assert error < 0.04 * expected


def test_the_chain_of_no_cool_down_is_the_closed_form():
    assert 1 / cycle(0.6, 2, 0) == pytest.approx(0.4 * 0.6**2)
    assert 1 / cycle(0.3, 4, 1) == pytest.approx(0.7 * 0.3**4)


@pytest.mark.parametrize(("p", "k"), [(0.9, 5), (0.6, 4)])
def test_the_delay_is_the_waiting_time_for_a_run(p, k):
    """From an onset, k rows in a row are waited for during (1 - p^k) / ((1 - p) p^k) rows (Feller 1968, XIII.7)."""
    holds = np.random.default_rng(k).random((2000, 400)) < p
    line = timeline_of(np.tile(np.arange(400), 2000), [400] * 2000)
    flat = holds.ravel().astype(int)
    found = find_events(line, [flat], [k - 1.0], flat, max_gap=1.5, cooldown=1000.0)
    assert len(found) > 1995  # one each: the cool-down is longer than the sequence
    waited = line.times[found.raised] + 1
    expected, error = (1 - p**k) / ((1 - p) * p**k), waited.std(ddof=1) / np.sqrt(len(waited))
    assert abs(waited.mean() - expected) < 4 * error


def ornstein_uhlenbeck_rate(rho, high, low, cells=500):
    """Alerts per row of a stationary AR(1) score of variance 1 that are raised at `high` and end below `low`: the
    flow from off to on in the stationary state of the chain of the score and the alert, the score in cells."""
    edges = np.concatenate([[-np.inf], np.linspace(-5, 5, cells - 1), [np.inf]])
    middle = np.clip((edges[:-1] + edges[1:]) / 2, -5.01, 5.01)
    cdf = norm.cdf((edges[None] - rho * middle[:, None]) / np.sqrt(1 - rho**2))
    step = np.diff(cdf, axis=1)
    above, below = middle >= high, middle < low
    off, on = norm.cdf(edges[1:]) - norm.cdf(edges[:-1]), np.zeros(cells)
    for _ in range(1000):
        to = off @ step, on @ step
        off, on = to[0] * ~above + to[1] * below, to[0] * above + to[1] * ~below
    return float((off @ step)[above].sum())


@pytest.mark.parametrize(("rho", "high", "low"), [(0.9, 1.0, 1.0), (0.97, 1.5, 0.5)])
def test_the_rate_of_an_ornstein_uhlenbeck_score_is_that_of_its_chain(rho, high, low):
    rng = np.random.default_rng(7)
    noise = rng.normal(0, np.sqrt(1 - rho**2), (300, 6000))
    noise[:, 0] = rng.normal(size=300)
    score = lfilter([1], [1, -rho], noise)
    rate, error = rate_and_error(score >= high, 0.0, on=score >= low)
    expected = ornstein_uhlenbeck_rate(rho, high, low)
    at_start = norm.sf(high) / 6000  # sequences that begin above
    assert abs(rate - expected - at_start) < 4 * error + 0.01 * expected  # cells of .02 standard deviations
    assert error < 0.04 * expected
