"""`affectkit alert` against the same written again, row by row, from what its documentation says: on random tables."""

import json
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest

AT_LEAST = 4.0


def raised(times, scores, least, clear, cooldown, gap):
    """(began, raised, last row on) of every event, by walking through the rows."""
    events, began, on, known, before = [], None, None, None, -np.inf
    for time, score in zip(times, scores, strict=True):
        if np.isnan(score):
            continue
        if known is not None and time - known > gap:
            events += [(*on, known)] if on else []
            began = on = None
        holds = score >= AT_LEAST
        began = (time if began is None else began) if holds else None
        if on and not holds and score < clear:
            events.append((*on, known))
            on = None
        elif not on and holds and time - began >= least and time - before >= cooldown:
            on, before = (began, time), time
        known = time
    return events + ([(*on, known)] if on else [])


def steps_known(times, values, gap):
    """[N] bool: whether the step up to a row lies between known rows that are near enough."""
    covered, known = np.zeros(len(times), bool), np.flatnonzero(~np.isnan(values))
    for first, second in pairwise(known):
        covered[first + 1 : second + 1] |= times[second] - times[first] <= gap
    return covered


def counted(sessions, rule, tolerance, match):
    """What `alert.json` must say."""
    truths = [np.diff(times[~np.isnan(true)]) for times, true, _ in sessions]
    gap, gap_of_truth = rule["gap"], max(rule["gap"], 2.5 * float(np.median(np.concatenate(truths))))
    found = dict.fromkeys(("alerts", "right", "true_events", "found"), 0)
    hours, delays = 0.0, []
    for times, true, predicted in sessions:
        told = steps_known(times, true, gap_of_truth)
        observed = told & steps_known(times, predicted, gap)
        hours += float(np.diff(times)[observed[1:]].sum()) / 3600
        alerts = [a for a in raised(times, predicted, **rule) if (told | ~np.isnan(true))[times == a[1]][0]]
        ends = [a[2] if match == "overlap" else a[1] for a in alerts]
        events = raised(times, true, **{**rule, "cooldown": 0.0, "gap": gap_of_truth})
        until = [max(event[2], event[0] + tolerance) for event in events]
        meets = np.zeros((len(events), len(alerts)), bool)
        for (e, event), (a, one) in product(enumerate(events), enumerate(alerts)):
            meets[e, a] = event[0] <= ends[a] and one[1] <= until[e]
        found["alerts"] += len(alerts)
        found["true_events"] += len(events)
        found["right"] += int(meets.any(axis=0).sum())
        found["found"] += int(meets.any(axis=1).sum())
        late = [[a[1] - e[0] for a in alerts if e[0] <= a[1] <= u] for e, u in zip(events, until, strict=True)]
        delays += [min(each) for each in late if each]
    return found, hours, delays


def drawn(rng):
    """Times with pauses, truths and answers with gaps, of two to four sessions."""
    for number in range(rng.integers(2, 5)):
        count = rng.integers(20, 90)
        times = np.cumsum(rng.choice([1.0, 1.0, 1.0, 2.0, 5.0], count))
        course = 3 + 2 * np.sin(np.arange(count) / rng.uniform(2, 9) + number)
        true = np.where(rng.random(count) < 0.05, np.nan, course)
        predicted = np.where(rng.random(count) < 0.07, np.nan, course + rng.normal(0, 0.8, count))
        yield times, true.round(6), predicted.round(6)


@pytest.mark.parametrize("seed", range(8))
def test_alerts_are_those_that_the_documentation_describes(affectkit, tmp_path, seed):
    rng = np.random.default_rng(seed)
    sessions = list(drawn(rng))
    rows = [
        (f"k{number}_{row}", "test", "heldout", f"k{number}", *cells)
        for number, session in enumerate(sessions)
        for row, cells in enumerate(zip(*session, strict=True))
    ]
    columns = ["id", "split", "seen", "session", "time_sec", "stress", "stress_pred"]
    pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=seed).to_csv(tmp_path / "p.csv", index=False)
    choices = {"least": [0, 2, 4], "clear": [4, 3.5, 3], "cooldown": [0, 10, 40], "gap": [2.5, 6]}
    rule = {name: float(rng.choice(values)) for name, values in choices.items()}
    tolerance, match = float(rng.choice([0, 3])), str(rng.choice(["overlap", "raised"]))
    told = ["--for", rule["least"], "--clear", rule["clear"], "--cooldown", rule["cooldown"], "--max-gap", rule["gap"]]
    told += ["--tolerance", tolerance, "--match", match, "--sequence", "session", "-o", tmp_path / "alerts"]
    affectkit("alert", tmp_path / "p.csv", "--when", f"stress>={AT_LEAST:g}", *told)
    judged = json.loads((tmp_path / "alerts" / "alert.json").read_text())["judged"]
    found, hours, delays = counted(sessions, rule, tolerance, match)
    assert {name: judged[name] for name in found} == found and found["true_events"]
    assert judged["hours"] == pytest.approx(hours)
    assert judged["metrics"]["delay_mean"]["value"] == pytest.approx(np.mean(delays) if delays else None)
