"""Features that were extracted before must be what the model was trained on."""

from pathlib import Path

import pytest

from affectkit.errors import AffectkitError
from affectkit.inference.estimator_model import _check_same_encoder as check

TEXT = {"checkpoint": "here", "revision": "", "pool": "mean", "layer": "last", "dtype": "float32", "batch_tokens": 4096}
RECORD = {"encoder": "hf-text", "weights": "1f", "dim": 32, "options": {**TEXT, "max_tokens": 0}}
NGRAMS = {"encoder": "text-ngrams", "dim": 8, "options": {"word_ngrams": "1-2", "char_ngrams": "2-5", "columns": 4}}
IMAGES = {"encoder": "timm", "weights": "1f", "dim": 32, "options": {"crop": "face"}, "preprocessing": {"size": [8, 8]}}


@pytest.mark.parametrize(
    ("record", "change", "fact"),
    [
        (RECORD, {"pool": "cls"}, "pool"),  # of the same dimension, of the same weights, and another vector
        (RECORD, {"layer": "0"}, "layer"),
        (RECORD, {"max_tokens": 5}, "max_tokens"),
        (NGRAMS, {"word_ngrams": "1-1"}, "word_ngrams"),
        (IMAGES, {"crop": "none"}, "crop"),
    ],
)
def test_options_that_change_the_values_are_compared(record, change, fact):
    other = {**record, "options": {**record["options"], **change}}
    for trained_on, extracted in ((record, other), (other, record)):
        with pytest.raises(AffectkitError, match=f"differs in '{fact}' from the features of the model"):
            check(trained_on, extracted, Path("f"))


@pytest.mark.parametrize("change", [{"weights": "2e"}, {"preprocessing": {"size": [9, 9]}}, {"dim": 4}])
def test_facts_of_the_encoder_are_compared(change):
    with pytest.raises(AffectkitError, match=f"differs in '{next(iter(change))}'"):
        check(IMAGES, {**IMAGES, **change}, Path("f"))


@pytest.mark.parametrize(
    "change",
    [{"checkpoint": "there"}, {"revision": "main"}, {"dtype": "bfloat16"}, {"batch_tokens": 9}, {"pool": "none"}],
)
def test_where_weights_lie_and_how_they_are_run_changes_nothing(change):
    check(RECORD, {**RECORD, "options": {**RECORD["options"], **change}}, Path("f"))


def test_tables_are_compared_by_their_columns():
    table = {"encoder": None, "feature_names": ["a"], "dim": 1}
    check(table, dict(table), Path("f"))
    with pytest.raises(AffectkitError, match=r"differs in 'feature_names'.*another table"):
        check(table, {**table, "feature_names": ["b"]}, Path("f"))
    with pytest.raises(AffectkitError, match="differs in 'encoder'"):
        check(table, RECORD, Path("f"))
