"""Alerts against true events: matches and figures by hand, floors and intervals against what they stand for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.artifacts.timeline import Timeline
from affectkit.evaluation.events import (
    Events,
    by_group,
    by_sequence,
    cautions,
    covered,
    judge_events,
    matched,
    median_of_counts,
)
from affectkit.evaluation.intervals import ABOVE_ZERO, Estimate, Resampling, interval


def timeline_of(*times):
    lengths = [len(each) for each in times]
    starts = np.cumsum([0, *lengths[:-1]])
    names = [f"s{number}" for number in range(len(times))]
    return Timeline(np.arange(sum(lengths)), starts, names, np.concatenate(times).astype(float))


def events(*spans):
    """From (first row, last row) of each; raised at the first, over at the row after the last."""
    first, last = np.array(spans, int).reshape(-1, 2).T
    return Events(first, first, last, last + 1, np.zeros(len(first), int), np.full(len(first), "cleared"))


LINE = timeline_of(np.arange(100))
MATCHES = {
    # alerts, true events, tolerance, match -> right, found, already on, delay
    "within": ([(5, 8)], [(3, 9)], 0, "overlap", [1], [1], [0], [2]),
    "at its onset": ([(3, 8)], [(3, 9)], 0, "overlap", [1], [1], [0], [0]),
    "at its last row": ([(9, 12)], [(3, 9)], 0, "overlap", [1], [1], [0], [6]),
    "after it": ([(10, 12)], [(3, 9)], 0, "overlap", [0], [0], [0], [None]),
    "within the tolerance after its onset": ([(10, 12)], [(3, 9)], 7, "overlap", [1], [1], [0], [7]),
    "on already": ([(1, 4)], [(3, 9)], 0, "overlap", [1], [1], [1], [None]),
    "on already, and raised again": ([(1, 4), (6, 7)], [(3, 9)], 0, "overlap", [1, 1], [1], [1], [3]),
    "over at its onset": ([(1, 2)], [(3, 9)], 0, "overlap", [0], [0], [0], [None]),
    "on already is not raised": ([(1, 4)], [(3, 9)], 0, "raised", [0], [0], [0], [None]),
    "raised within": ([(1, 4), (6, 30)], [(3, 9)], 0, "raised", [0, 1], [1], [0], [3]),
    "one alert, two events": ([(4, 30)], [(3, 9), (12, 15)], 0, "overlap", [1], [1, 1], [0, 1], [1, None]),
    "one alert, two events, raised": ([(4, 30)], [(3, 9), (12, 15)], 0, "raised", [1], [1, 0], [0, 0], [1, None]),
    "two alerts, one event": ([(4, 5), (7, 8)], [(3, 9)], 0, "overlap", [1, 1], [1], [0], [1]),
    "no alert": ([], [(3, 9)], 0, "overlap", [], [0], [0], [None]),
    "no event": ([(3, 9)], [], 0, "overlap", [0], [], [], []),
}


@pytest.mark.parametrize("case", MATCHES)
def test_matches_by_hand(case):
    alerts, truth, tolerance, match, right, found, already, delay = MATCHES[case]
    matches = matched(LINE, events(*alerts), events(*truth), tolerance, match)
    assert matches.right.tolist() == list(map(bool, right))
    assert matches.found.tolist() == list(map(bool, found))
    assert matches.already.tolist() == list(map(bool, already))
    assert np.where(np.isnan(matches.delay), None, matches.delay).tolist() == delay


def spans(draw_lengths):
    """Spans that follow each other with a row between them at least."""
    place, found = 0, []
    for gap, length in draw_lengths:
        place += gap
        found.append((place, place + length - 1))
        place += length
    return found


some_spans = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=5).map(spans)


@given(some_spans, some_spans, st.integers(0, 12), st.sampled_from(["overlap", "raised"]))
def test_matches_are_those_of_all_pairs(alerts, truth, tolerance, match):
    matches = matched(LINE, events(*alerts), events(*truth), tolerance, match)
    meets = np.zeros((len(alerts), len(truth)), bool)
    delays = np.full((len(alerts), len(truth)), np.nan)
    for a, (raised, last) in enumerate(alerts):
        for e, (onset, end) in enumerate(truth):
            until = max(end, onset + tolerance)
            meets[a, e] = onset <= raised <= until if match == "raised" else raised <= until and onset <= last
            delays[a, e] = raised - onset if onset <= raised <= until else np.nan
    assert matches.right.tolist() == meets.any(axis=1).tolist()
    assert matches.found.tolist() == meets.any(axis=0).tolist()
    first = [np.nanmin(column) if np.isfinite(column).any() else np.nan for column in delays.T]
    np.testing.assert_array_equal(matches.delay, first)


def judged(line, alerts, truth, groups=None, **options):
    every = np.ones(len(line.times), bool)
    groups = np.array(line.names if groups is None else groups, object)
    return judge_events(line, alerts, truth, covered(line, every, 1.5), every, groups, **options)


def test_figures_by_hand():
    """Two sequences of 101 rows, of which the second has a pause of 50 s: 150 s are observed."""
    later = np.concatenate([np.arange(50), np.arange(100, 151)])
    line = timeline_of(np.arange(101), later)
    alerts = events((12, 20), (60, 69), (103, 104), (180, 189))
    truth = events((10, 29), (40, 49), (102, 111))
    judgement = judged(line, alerts, truth)
    report = judgement.report
    hours = (100 + 49 + 50) / 3600
    assert report["hours"] == pytest.approx(hours)
    counts = {"alerts": 4, "right": 2, "false_alarms": 2, "true_events": 3, "found": 2, "missed": 1, "already_on": 0}
    assert {key: report[key] for key in counts} == counts
    values = {name: figure["value"] for name, figure in report["metrics"].items()}
    assert values == pytest.approx(
        {
            "sensitivity": 2 / 3, "precision": 1 / 2, "false_alarms_per_hour": 2 / hours, "alerts_per_hour": 4 / hours,
            "delay_mean": 1.5, "delay_median": 1.5,
            "time_in_alert": (9 + 10 + 2 + 10) / 199, "time_in_event": (20 + 10 + 10) / 199,
        }
    )  # fmt: skip
    table = by_sequence(line, judgement, np.array(["p", "q"], object), "subject")
    assert table["subject"].tolist() == ["p", "q"]
    assert table["missed"].tolist() == [1, 0] and table["false_alarms"].tolist() == [1, 1]
    assert table["hours"].tolist() == pytest.approx([100 / 3600, 99 / 3600])
    together = by_group(judgement, np.array(["p", "p"], object), "subject")
    assert together["alerts"].tolist() == [4] and together["delay_mean"].tolist() == [1.5]


def test_intervals_are_over_the_groups_that_have_what_a_figure_is_of():
    """The share found, of three subjects; checked against the jackknife's formula on the logit scale."""
    from scipy.stats import t

    line = timeline_of(*[np.arange(100)] * 4)
    alerts = events((11, 12), (111, 112), (211, 212), (231, 232))
    truth = events((10, 12), (30, 32), (110, 112), (210, 212), (250, 252), (270, 272))
    report = judged(line, alerts, truth).report
    figure = report["metrics"]["sensitivity"]
    assert figure["groups"] == 3
    found, of = np.array([1, 1, 1]), np.array([2, 1, 3])
    left_out = (found.sum() - found) / (of.sum() - of)
    logit = np.log(left_out / (1 - left_out))
    error = np.sqrt(2 * logit.var())
    low, high = (1 / (1 + np.exp(-(np.log(0.5 / 0.5) + sign * t.ppf(0.975, 2) * error))) for sign in (-1, 1))
    assert (figure["low"], figure["high"]) == pytest.approx((low, high))
    assert report["metrics"]["false_alarms_per_hour"]["groups"] == 4


def test_the_floor_is_what_the_same_alerts_find_at_random_times():
    """Of one alert of a rows and one event of b rows, on a circle of n seconds: both touch with (a + b) / n where an
    alert and an event last from their first row to their last."""
    line = timeline_of(*[np.arange(101)] * 40)
    first = 101 * np.arange(40)
    alerts, truth = (events(*np.stack([first + a, first + b], axis=1)) for a, b in ((5, 10), (50, 70)))
    report = judged(line, alerts, truth).report
    floors = report["floors"]["random_times"]
    assert report["metrics"]["sensitivity"]["value"] == 0
    expected, error = 0.25, np.sqrt(0.25 * 0.75 / (40 * 200))
    assert abs(floors["sensitivity"] - expected) < 4 * error
    assert floors["precision"] == floors["sensitivity"]
    assert floors["false_alarms_per_hour"] == pytest.approx(40 * (1 - floors["precision"]) / report["hours"])
    raised = judged(line, alerts, truth, match="raised").report["floors"]["random_times"]
    assert abs(raised["sensitivity"] - 0.2) < 4 * error


def test_alerts_at_random_times_are_worth_their_floor():
    rng = np.random.default_rng(0)
    line = timeline_of(*[np.arange(2000)] * 200)

    def random():
        begins = [(number, 10 * place) for number in range(200) for place in np.sort(rng.choice(190, 6, replace=False))]
        return events(*[(2000 * number + place, 2000 * number + place + 6) for number, place in begins])

    report = judged(line, random(), random()).report
    for name in ("sensitivity", "precision"):
        figure, floor = report["metrics"][name], report["floors"]["random_times"][name]
        assert figure["low"] < floor < figure["high"]


def test_no_false_alarm_is_said_with_what_it_allows():
    line = timeline_of(np.arange(3601))
    judgement = judged(line, events((12, 20)), events((10, 29)))
    figure = judgement.report["metrics"]["false_alarms_per_hour"]
    assert figure["value"] == 0 and np.isnan(figure["high"])
    [sentence, *_] = cautions(judgement, events((12, 20)), "subject")
    assert sentence.startswith("no false alarm in 1 h: up to 3 per hour")  # -log .05 = 3.0, the rule of three


def test_alerts_that_are_always_on_are_said_to_find_by_chance():
    """One alert that never ends finds every event, is right, and raises no false alarm."""
    line = timeline_of(np.arange(100))
    truth, always = events((10, 29), (60, 69)), events((0, 98))
    judgement = judged(line, always, truth)
    assert judgement.report["found"] == 2 and not judgement.report["false_alarms"]
    said = " ".join(cautions(judgement, always, "subject"))
    assert (
        "at random times these alerts find as many events (1.000 of them), as one is on for 1.000 of the time" in said
    )
    sharp = events((11, 20), (61, 66))
    assert "at random times" not in " ".join(cautions(judged(line, sharp, truth), sharp, "subject"))


def test_what_is_undefined_is_said():
    line = timeline_of(np.arange(100))
    judgement = judged(line, events(), events())
    assert all(np.isnan(judgement.report["metrics"][n]["value"]) for n in ("sensitivity", "precision", "delay_median"))
    said = " ".join(cautions(judgement, events((3, 4)), "subject"))
    for part in ("1 alerts were raised where no truth is known", "no true event", "no alert was raised"):
        assert part in said


def test_steps_are_covered_between_known_rows_that_are_near():
    line = timeline_of([0, 1, 2, 3, 10, 11], [0, 1])
    known = np.array([1, 0, 1, 1, 1, 0, 1, 1], bool)
    assert covered(line, known, 2).tolist() == [False, True, True, True, False, False, False, True]
    assert covered(line, known, 1).tolist() == [False, False, False, True, False, False, False, True]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=8))
def test_the_median_of_counts_is_numpys(drawn):
    counts = pd.Series(dict(drawn)).sort_index()
    values, times = counts.index.to_numpy(float), counts.to_numpy()
    if times.sum():
        assert median_of_counts(values, times) == np.median(np.repeat(values, times))
    else:
        assert np.isnan(median_of_counts(values, times))


# --- Intervals hold the truth as often as they say: ten people who differ in how well and how often they are alerted


def simulated(rng, people=10, visits=2, rows=3600):
    """Alerts and true events of two hours each; false alarms 6 an hour on average, 60 % of the events found, a delay of
    0 to 9 s by a geometric law."""
    rates, skill = 6 * np.exp(rng.normal(0, 0.5, people) - 0.125), rng.beta(6, 4, people)
    alerts, truth = [], []
    for visit in range(people * visits):
        person, begin = visit // visits, visit * rows
        slots = begin + 20 * rng.permutation(rows // 20 - 2)
        true, false = rng.poisson(5), rng.poisson(rates[person])
        truth += [(place, place + 9) for place in slots[:true]]
        delays = np.minimum(rng.geometric(0.4, true) - 1, 9)
        raised = (slots[:true] + delays)[rng.random(true) < skill[person]]
        alerts += [(place, place) for place in [*raised, *(slots[true : true + false] + 12)]]
    return events(*sorted(alerts)), events(*sorted(truth))


@pytest.mark.slow
def test_intervals_cover():
    rng, people = np.random.default_rng(0), np.repeat([f"p{i}" for i in range(10)], 2)
    line = timeline_of(*[np.arange(3600)] * 20)
    chances = np.append(0.4 * 0.6 ** np.arange(9), 0.6**9)
    truths = {"false_alarms_per_hour": 6 * 3600 / 3599, "sensitivity": 0.6, "delay_mean": chances @ np.arange(10)}
    inside = {name: [] for name in truths}
    for _ in range(200):
        metrics = judged(line, *simulated(rng), people, resampling=Resampling(resamples=100)).report["metrics"]
        for name, truth in truths.items():
            inside[name].append(metrics[name]["low"] <= truth <= metrics[name]["high"])
    for name, held in inside.items():
        assert 0.89 <= np.mean(held) <= 0.99, (name, np.mean(held))  # .95 within four standard errors of 200


@pytest.mark.parametrize("people", [5, 20])
def test_the_median_delays_bootstrap_covers(people):
    rng, inside = np.random.default_rng(1), []
    for _ in range(200):
        delays = 8 * np.exp(rng.normal(0, 0.3, (people, 1)) + rng.normal(0, 0.6, (people, 6)))
        values, places = np.unique(delays, return_inverse=True)
        counts = np.zeros((people, len(values)))
        np.add.at(counts, (np.repeat(np.arange(people), 6), places.ravel()), 1)
        estimate = Estimate(lambda sums, values=values: median_of_counts(values, sums), ABOVE_ZERO)
        found = interval(estimate, counts, Resampling(method="bootstrap", resamples=500))
        inside.append(found.low <= 8 <= found.high)
    assert 0.89 <= np.mean(inside) <= 0.995
