"""What one source says of a target: its classes, its rows."""

import numpy as np
import pytest

from affectkit.artifacts import outputs
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.labels import Target

MOOD = Target("label", "class", ("angry", "happy", "sad"))


@pytest.mark.parametrize("block", [1, 7, 100, 1000])
def test_the_first_of_the_most_probable_classes_is_named_however_many_rows_are_looked_at_at_once(monkeypatch, block):
    monkeypatch.setattr(outputs, "BLOCK", block)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (100, 3)) / 2  # with ties
    values[::9, 1] = np.nan
    expected = ["" if np.isnan(row).any() else MOOD.classes[list(row).index(max(row))] for row in values]
    for order in "CF":
        assert TargetPrediction(MOOD, probabilities=np.asarray(values, order=order)).classes.tolist() == expected


def test_no_rows_have_no_classes():
    assert TargetPrediction(MOOD, probabilities=np.empty((0, 3))).classes.tolist() == []


def test_rows_are_taken_by_place_and_by_mask_and_declined_where_there_is_none():
    output = TargetPrediction(MOOD, probabilities=np.eye(3), sets=np.eye(3, dtype=bool))
    output.probabilities.flags.writeable = output.sets.flags.writeable = False  # as pandas hands them out
    assert output.take(np.array([2, 0])).classes.tolist() == ["sad", "angry"]
    assert output.take(np.array([False, True, True])).classes.tolist() == ["happy", "sad"]
    assert output.take(np.arange(3)).classes.tolist() == output.classes.tolist()
    assert output.take(np.array([0, 0, 2])).classes.tolist() == ["angry", "angry", "sad"]
    taken = output.at(np.array([1, -1, 2]))
    assert taken.classes.tolist() == ["happy", "", "sad"] and not taken.sets[1].any()
    assert output.at(np.arange(3)).classes.tolist() == output.classes.tolist()
    assert np.isfinite(output.probabilities).all()
