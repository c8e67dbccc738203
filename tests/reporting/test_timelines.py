"""A sequence over time with alerts and true events, and the page that it stands on."""

import json

import numpy as np
import pandas as pd
import pytest

from affectkit.reporting.figures.timelines import COLOURS, MOST_SPANS, Score, Span, timeline

NAN = float("nan")
TIME = np.arange(100) / 10
SINE = np.sin(TIME)
SPANS = {
    "alerts": [Span(1, 2, "right"), Span(4, 5, "false")],
    "true events": [Span(1.5, 3, "found"), Span(7, 8, "missed")],
}
STRESS = Score("stress", SINE, SINE / 2, 0.7, 0.5)

LEVELS = Score("anxiety", np.round(abs(SINE) * 2), None, 1, None, ("no", "some", "much"))


def drawn(time=TIME, scores=(STRESS,), spans=SPANS, sequence="visit 1", gap=0.3):
    return timeline(time, scores, spans, sequence=sequence, gap=gap)


CASES = {
    "ordinary": drawn,
    "no truth": lambda: drawn(scores=[Score("stress", SINE, None, 0.7)], spans={"alerts": [Span(1, 2)]}),
    "levels": lambda: drawn(scores=[STRESS, LEVELS]),
    "probability": lambda: drawn(scores=[Score("angry", abs(SINE), None, 0.5, 0.3, (), True)]),
    "more scores than panels": lambda: drawn(scores=[STRESS] * 5),
    "nothing known": lambda: drawn(scores=[Score("stress", SINE * NAN, None, 0.7)], spans={"alerts": []}),
    "no rows": lambda: drawn([], [Score("stress", np.array([]), None, 0.7)], {"alerts": []}),
    "one row": lambda: drawn([3.0], [Score("stress", np.array([1.0]), None, 0.7)], {"alerts": [Span(3, 3)]}),
    "a name": lambda: drawn(sequence="<script>" * 9),
    "a day": lambda: drawn(
        np.arange(86_400), [Score("stress", np.sin(np.arange(86_400) / 700), None, 0.7)],
        {"alerts": [Span(20 * i, 20 * i + 10, "right") for i in range(4000)]}, gap=2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error")
def test_figure_is_sound(case, sound):
    plot = CASES[case]()
    sound(plot, largest=120_000)
    assert plot.wide
    assert "<script" not in plot.svg


def test_a_timeline_says_what_it_shows(sound):
    plot = drawn()
    assert plot.alt == (
        "stress over time in visit 1: 100 rows from 0.000 to 9.900 s; 2 alerts (1 right, 1 false); "
        "2 true events (1 found, 1 missed)"
    )
    words = {"2 alerts", "2 true events", "right alert", "false alert", "event found", "event missed", "stress"}
    assert words | {"visit 1", "time (s)"} <= set(sound(plot))
    for kind in ("right", "false", "found", "missed"):
        assert COLOURS[kind].lower() in plot.svg


def test_many_alerts_are_drawn_as_few():
    plot = CASES["a day"]()
    assert plot.svg.count("<path") < MOST_SPANS and "4000 alerts" in plot.alt


def test_the_page_of_alerts_stays_small_and_has_its_figures(affectkit, tmp_path):
    """Eight hours of four people, with more alerts than a page lists."""
    rng = np.random.default_rng(0)
    rows, people = 7200, 4
    truth = np.repeat(rng.random((people, rows // 30)) < 0.2, 30, axis=1)
    score = np.clip(0.6 * truth + rng.normal(0.2, 0.2, truth.shape), 0, 1)
    frame = pd.DataFrame({"id": np.arange(people * rows), "seen": "heldout", "split": "test"})
    frame = frame.assign(stress=truth.ravel().astype(int), stress_pred=score.ravel().round(4))
    frame = frame.assign(subject=np.repeat(list("abcd"), rows), time_sec=np.tile(np.arange(rows), people))
    frame.assign(sequence=frame["subject"]).to_csv(tmp_path / "p.csv", index=False)
    affectkit("alert", tmp_path / "p.csv", "--when", "stress>=.7", "-o", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "alert.json").read_text())
    page = (tmp_path / "out" / "report.html").read_text()
    assert report["events"] > 1000
    assert page.count("<svg") == 4 and len(page.encode()) < 500_000
    assert f"The first 200 of {report['events']}; events.csv has all" in page
    for number in range(1, 5):
        assert (tmp_path / "out" / f"timeline_{number}.svg").read_text().startswith("<svg")
