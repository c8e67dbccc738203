"""Conditions on rows: what they look at, of the answers and of the truth, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.predictions import parse_predictions
from affectkit.errors import AffectkitError
from affectkit.evaluation.conditions import all_of, any_of, measures, ordered_by_columns, parse_condition, pointless
from affectkit.labels import Target

LEVELS = ("none", "mild", "moderate", "severe")


@pytest.fixture
def table(tmp_path):
    """Stress, a number from 0 to 1; anxiety in four levels; a label of two classes; four rows, of which the model
    declined the third."""
    frame = pd.DataFrame(
        {
            "id": list("abcd"), "seen": "heldout",
            "label": ["calm", "angry", "calm", ""], "prob_calm": ["0.9", "0.25", "", "0.5"],
            "prob_angry": ["0.1", "0.75", "", "0.5"],
            "stress": ["0.2", "0.7", "", "1"], "stress_pred": ["0.7", "0.8", "", "0.1"],
            "anxiety_pred": ["none", "severe", "", "mild"], "anxiety": ["none", "severe", "mild", ""],
            "anxiety_prob_none": ["0.5", "0.1", "", "0"], "anxiety_prob_mild": ["0.3", "0.2", "", "0.5"],
            "anxiety_prob_moderate": ["0.1", "0.3", "", "0.2"], "anxiety_prob_severe": ["0.1", "0.4", "", "0.3"],
            "gated": ["true", "false", "", "true"], "face": ["found", "none", "", "found"], "lux": ["3", "5", "", "7"],
        }
    )  # fmt: skip
    targets = [Target("stress", "number", scale=(0, 1)), Target("anxiety", "ordinal", LEVELS)]
    return parse_predictions(frame, tmp_path / "p.csv", targets=targets)


def of(table, text, side="predicted", option="--when"):
    found = measures(table, parse_condition(text, option), side)
    return all_of([measure.states for measure in found]).tolist() if found else None


PREDICTED = {
    "stress>=.7": [1, 1, -1, 0],
    "stress>.7": [0, 1, -1, 0],
    "stress<.7": [0, 0, -1, 1],
    "stress <= .7": [1, 0, -1, 1],
    "angry>=.5": [0, 1, -1, 1],
    "label.calm<.5": [0, 1, -1, 0],
    "anxiety.severe>=.4": [0, 1, -1, 0],
    "anxiety>=mild": [0, 1, -1, 1],  # the most probable levels: none, severe, mild
    "anxiety<severe": [1, 0, -1, 1],
    "anxiety=severe": [0, 1, -1, 0],
    "anxiety!=severe": [1, 0, -1, 1],
    "label=angry": [0, 1, -1, 0],  # of equals the first
    "anxiety.moderate+>=.5": [0, 1, -1, 1],  # .2, .7, .5
    "anxiety.mild+<.95": [1, 1, -1, 0],  # .5, .9, 1
    "confidence>=.8": [1, 0, -1, 0],
    "anxiety.confidence>=.5": [1, 0, -1, 1],
    "gated>=1": [1, 0, -1, 1],
    "gated=true": [1, 0, -1, 1],
    "face=none": [0, 1, -1, 0],
    "face!=none": [1, 0, -1, 1],
    "lux>4": [0, 1, -1, 1],
    "stress>=.7 and anxiety>=moderate": [0, 1, -1, 0],
    "stress>=.7 AND confidence>=.8": [1, 0, -1, 0],
}


@pytest.mark.parametrize("text", PREDICTED)
def test_answers_by_hand(table, text):
    assert of(table, text) == PREDICTED[text]


TRUE = {
    "stress>=.7": [0, 1, -1, 1],
    "stress>=.7:.9": [0, 0, -1, 1],  # a threshold of the truth's own
    "angry>=.9": [0, 1, 0, -1],
    "angry<=.1": [1, 0, 1, -1],
    "anxiety>=mild": [0, 1, 1, -1],
    "anxiety.moderate+>=.9": [0, 1, 0, -1],
    "label=calm": [1, 0, 1, -1],
    "stress>=.7 and confidence>=.8": [0, 1, -1, 1],  # what speaks of the model alone is left out
    "stress>=.7 and gated>=1": [0, 1, -1, 1],
    "confidence>=.8": None,
}


@pytest.mark.parametrize("text", TRUE)
def test_the_truth_by_hand(table, text):
    assert of(table, text, "true") == TRUE[text]


def test_a_column_that_is_named_to_be_true_is_looked_at(table):
    assert of(table, "face=none", "true", "--true-when") == [0, 1, -1, 0]
    with pytest.raises(AffectkitError, match="a confidence has no truth"):
        of(table, "confidence>=.5", "true", "--true-when")


REFUSED = {
    "stress": "'stress' is no condition; write NAME>=THRESHOLD",
    "stress>=": "is no condition",
    ">=.5": "is no condition",
    "stress>=.7 and ": "names no threshold",
    "stres>=.7": "there is no number or class 'stres'; did you mean stress",
    "lus>=.7": "did you mean lux",
    "fce=none": "there is no 'fce'; did you mean face",
    "angry>=1.5": "the threshold of a probability lies between 0 and 1",
    "confidence>=80": "the threshold of a probability lies between 0 and 1",
    "anxiety.moderate+>=50": "the threshold of a probability lies between 0 and 1",
    "anxiety.moderate+>=.5:.3": "a probability takes no second threshold",
    "angry>=.5:.3": "takes no second threshold",
    "anxiety>=modrate": "anxiety has no class 'modrate'; did you mean moderate",
    "anxiety>=.7": "anxiety has classes; write 'anxiety=severe', or 'anxiety.severe>=.5'",
    "stress=high": "stress is a number; write 'stress>=NUMBER'",
    "stress>=high": "stress is a number",
    "stress+>=.5": "is a number and has no levels",
    "face>=none": "'none' is no number, and 'face' is a column",
    "stress>=nan": "stress is a number",
    "stress>=1e999": "names no threshold",
    "stress>=.5.5": "names no threshold",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_is_one_line(table, text):
    with pytest.raises(AffectkitError) as caught:
        of(table, text)
    assert caught.value.code == "usage"
    assert REFUSED[text] in str(caught.value) and "--when" in str(caught.value)


def test_a_column_of_words_is_no_number(table):
    with pytest.raises(AffectkitError, match="face 'found' is not a number") as caught:
        of(table, "face>=1")
    assert (caught.value.code, caught.value.row) == ("input", 1)


def test_the_order_of_levels_must_be_known(tmp_path):
    rows = {"id": ["a", "b"], "seen": "heldout", "mood_pred": ["low", "high"], "mood": ["high", "low"]}
    bare = parse_predictions(
        pd.DataFrame({**rows, "mood_prob_low": "0.5", "mood_prob_high": "0.5"}), tmp_path / "p.csv"
    )
    [measure] = measures(bare, parse_condition("mood>=high", "--when"))
    assert measure.states.tolist() == [0, 1]
    assert ordered_by_columns([measure]) == {"mood": "low < high"}
    assert ordered_by_columns(measures(bare, parse_condition("mood=high", "--when"))) == {}
    frame = pd.DataFrame({"id": ["a", "b"], "seen": "heldout", "pred": ["low", "high"]})
    unknown = parse_predictions(frame, tmp_path / "q.csv")
    assert of(unknown, "label=high") == [0, 1]
    with pytest.raises(AffectkitError, match="nothing says in which order the classes of label are"):
        of(unknown, "label>=high")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stress>=.7", ""),
        ("stress>=0", "holds of every value of the scale of stress, 0 to 1"),
        ("stress>=4", "holds of no value of the scale"),
        ("stress>1", "holds of no value"),
        ("stress<=1", "holds of every value"),
        ("lux>=4000", ""),
        ("anxiety>=none", ""),
    ],
)
def test_a_threshold_in_other_units_is_told(table, text, said):
    [measure] = measures(table, parse_condition(text, "--when"))
    assert (said in pointless(measure)) if said else pointless(measure) == ""


def test_three_values_as_kleene_has_them():
    values = np.array([[0, 0], [0, -1], [0, 1], [-1, -1], [-1, 1], [1, 1]]).T
    assert all_of(list(values)).tolist() == [0, 0, 0, -1, -1, 1]
    assert any_of(list(values)).tolist() == [0, -1, 1, -1, 1, 1]
