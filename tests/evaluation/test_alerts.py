"""Alerts as they are typed, and what each makes of truth and prediction, by hand."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.evaluation.alerts import Alert, decided, described, parse_alert
from affectkit.labels import Target


@pytest.fixture
def table():
    """Four rows: the third has no truth, the fourth no prediction."""
    frame = pd.DataFrame(
        {
            "id": list("abcd"),
            "label": ["angry", "sad", "", "sad"],
            "pred": ["angry", "angry", "sad", ""],
            "prob_angry": [0.5, 0.7, 0.2, np.nan],
            "prob_sad": [0.5, 0.3, 0.8, np.nan],
            "phq8": [10.0, 9.0, np.nan, 12.0],
            "phq8_pred": [8.0, 10.0, 11.0, np.nan],
            "stress": ["high", "low", "", "low"],
            "stress_pred": ["high", "low", "high", ""],
            "stress_prob_low": [0.1, 0.9, 0.4, np.nan],
            "stress_prob_high": [0.9, 0.1, 0.6, np.nan],
        }
    )
    targets = [
        Target("label", "class", ("angry", "sad")),
        Target("phq8", "number"),
        Target("stress", "ordinal", ("low", "high")),
    ]
    return Predictions(frame, {target.name: target for target in targets})


@pytest.mark.parametrize(
    ("text", "alert", "shown"),
    [
        ("angry>=.5", Alert("angry", ">=", 0.5), "angry>=0.5"),
        (" valence <= -2 ", Alert("valence", "<=", -2.0), "valence<=-2"),
        ("phq8>=8:10", Alert("phq8", ">=", 8.0, 10.0), "phq8>=8:10"),
        ("phq8>=10:10.0", Alert("phq8", ">=", 10.0), "phq8>=10"),
        ("very >= angry>=1e-3", Alert("very >= angry", ">=", 0.001), "very >= angry>=0.001"),
        ("stress.high>=.25", Alert("stress.high", ">=", 0.25), "stress.high>=0.25"),
    ],
)
def test_an_alert_is_a_name_a_sign_and_a_threshold(text, alert, shown):
    assert parse_alert(text) == alert
    assert str(alert) == shown
    assert parse_alert(shown) == alert


@pytest.mark.parametrize(
    "text",
    ["", "angry", "angry>", "angry>.5", "angry=.5", ">=.5", "angry>=", "angry>=x", "angry>=nan", "angry>=inf", "a>=1:"],
)
def test_anything_else_is_refused_and_says_to_quote(text):
    with pytest.raises(AffectkitError, match="write NAME>=THRESHOLD or NAME<=THRESHOLD, in quotes") as caught:
        parse_alert(text)
    assert caught.value.code == "usage"


@pytest.mark.parametrize(
    ("text", "truth", "raised"),
    [
        ("angry>=.5", [1, 0, -1, 0], [1, 1, 0, -1]),  # .5 itself is enough
        ("angry>=.6", [1, 0, -1, 0], [0, 1, 0, -1]),
        ("angry<=.5", [0, 1, -1, 1], [1, 0, 1, -1]),  # not angry
        ("label.sad>=.8", [0, 1, -1, 1], [0, 0, 1, -1]),
        ("phq8>=10", [1, 0, -1, 1], [0, 1, 1, -1]),
        ("phq8>=8:10", [1, 0, -1, 1], [1, 1, 1, -1]),
        ("phq8<=9", [0, 1, -1, 0], [1, 0, 0, -1]),
        ("stress.high>=.5", [1, 0, -1, 0], [1, 0, 1, -1]),
    ],
)
def test_truth_and_alert_by_hand(table, text, truth, raised):
    found = decided(table, parse_alert(text))
    assert (found[0].tolist(), found[1].tolist()) == (truth, raised)


def test_an_alert_says_what_it_looks_at(table):
    assert described(table, parse_alert("phq8>=8:10")) == {
        "target": "phq8",
        "class": None,
        "sign": ">=",
        "threshold": 8.0,
        "cutoff": 10.0,
    }
    assert described(table, parse_alert("phq8>=8"))["cutoff"] == 8.0
    assert described(table, parse_alert("angry>=.5"))["class"] == "angry"
    assert described(table, parse_alert("angry>=.5"))["cutoff"] is None


def test_a_number_comes_before_a_class_of_its_name(table):
    both = Predictions(table.frame, {"label": Target("label", "class", ("angry", "phq8")), **table.targets})
    both.targets["label"] = Target("label", "class", ("angry", "phq8"))
    assert described(both, parse_alert("phq8>=.5"))["target"] == "phq8"
    assert described(both, parse_alert("label.phq8>=.5"))["class"] == "phq8"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("angri>=.5", "usage", "there is no number or class 'angri'; did you mean angry?"),
        ("high>=.5", "usage", "there is no number or class 'high'"),
        ("angry>=50", "usage", "the threshold of a probability lies between 0 and 1; write 'angry>=.5'"),
        ("angry>=.5:.6", "usage", "a class is true or not and takes no second threshold; write 'angry>=0.5'"),
    ],
)
def test_an_alert_that_the_table_knows_nothing_of(table, text, code, message):
    with pytest.raises(AffectkitError) as caught:
        decided(table, parse_alert(text))
    assert caught.value.code == code and message in str(caught.value)


def test_no_probabilities_no_alert_of_a_class_and_no_truth_none_at_all(table):
    bare = Predictions(table.frame.drop(columns=["prob_angry", "prob_sad", "phq8"]), table.targets)
    with pytest.raises(AffectkitError, match="has no probabilities of label; give columns prob_angry"):
        decided(bare, parse_alert("angry>=.5"))
    with pytest.raises(AffectkitError, match="no row has a truth for phq8; give a column phq8, or the --manifest"):
        decided(bare, parse_alert("phq8>=10"))
