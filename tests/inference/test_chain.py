"""A calibration or a fusion behind its parents."""

import logging
from pathlib import Path

import pandas as pd
import pytest

from affectkit.inference import Work
from affectkit.inference.load import StackedModel


class Parent:
    """It says how it was asked to work, and the second one asked ends the test."""

    feature_sets = 0

    def __init__(self, asked):
        self.asked = asked

    def predict(self, manifest, work, features):
        self.asked.append(work)
        if len(self.asked) == 2:
            raise InterruptedError


def test_all_parents_share_one_work():
    asked = []
    chain = StackedModel(Path(), {}, pd.DataFrame(), None, parents={"a": Parent(asked), "b": Parent(asked)})
    with pytest.raises(InterruptedError):
        chain.predict(None, Work())
    assert isinstance(asked[0], Work) and asked[0] is asked[1]


def test_a_row_that_several_models_skip_is_named_once(caplog):
    """Each reason once: one model may fail on a row's sound, another on its image."""
    work, later = Work(on_error="skip"), Work(on_error="skip")
    with caplog.at_level(logging.WARNING):
        for reason in ("a.png: is truncated", "a.png: is truncated", "a.wav: is empty"):
            work.tell_skipped("a", reason)
        work.tell_skipped("b", "a.png: is truncated")
        later.tell_skipped("a", "a.png: is truncated")
    assert [record.getMessage() for record in caplog.records] == [
        "a is skipped: a.png: is truncated",
        "a is skipped: a.wav: is empty",
        "b is skipped: a.png: is truncated",
        "a is skipped: a.png: is truncated",
    ]
