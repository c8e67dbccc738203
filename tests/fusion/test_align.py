"""Named sources brought together by id, their classes by name."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.predictions import with_outputs
from affectkit.artifacts.sources import named_paths, read_source
from affectkit.errors import AffectkitError
from affectkit.fusion.align import align
from affectkit.fusion.rule import SourceTable


@pytest.fixture
def source(tmp_path):
    """Write a CSV and read it as a source: `source("a", id=[...], ...)`."""

    def read(name, tables=False, fitted=(), **columns):
        folder = tmp_path / name
        folder.mkdir()
        pd.DataFrame(columns).to_csv(folder / "predictions.csv", index=False)
        if fitted:
            pd.DataFrame({"id": fitted, "group": "", "role": "fit"}).to_csv(folder / "fit_rows.csv", index=False)
        return read_source(name, folder / "predictions.csv", tables=tables)

    return read


def voices(**more):
    return {
        "id": ["a", "b", "c"], "seen": "oof", "label": ["sad", "calm", "sad"], "speaker": ["1", "1", "2"],
        "prob_calm": [0.2, 0.7, 0.4], "prob_sad": [0.8, 0.3, 0.6], **more,
    }  # fmt: skip


def test_rows_are_all_that_any_source_has_and_classes_are_aligned_by_name(source):
    voice = source("voice", **voices())
    face = source("face", id=["d", "b"], seen="oof", prob_sad=[0.9, 0.1], prob_calm=[0.1, 0.9], label=["sad", "calm"])
    aligned = align([voice, face])
    assert list(aligned.rows.frame["id"]) == ["a", "b", "c", "d"]
    assert list(aligned.rows.frame["label"]) == ["sad", "calm", "sad", "sad"]
    assert list(aligned.rows.frame["speaker"]) == ["1", "1", "2", ""]
    answers = aligned.answers["label"]
    nan = np.nan
    np.testing.assert_array_equal(answers["face"].values, [[nan, nan], [0.9, 0.1], [nan, nan], [0.1, 0.9]])
    np.testing.assert_array_equal(answers["voice"].known, [True, True, True, False])
    face = with_outputs(aligned.rows, [aligned.outputs("label")["face"]], aligned.rows.frame["seen"])
    assert face.frame["pred"].tolist() == ["", "calm", "", "sad"]


def test_seen_is_the_more_careful_of_the_two(source):
    voice = source("voice", **voices(seen=["heldout", "oof", "fit"]))
    text = source("text", **voices(seen=["oof", "heldout", "oof"]))
    assert list(align([voice, text]).rows.frame["seen"]) == ["oof", "oof", "fit"]


def test_numbers_carry_their_variances_where_they_have_them(source):
    one = source("one", id=["a", "b"], seen="oof", valence=[0.1, 0.2], valence_pred=[0.0, 0.3], valence_var=[0.1, 0.2])
    two = source("two", id=["b", "a"], seen="oof", valence_pred=[0.5, 0.6])
    answers = align([one, two]).answers["valence"]
    assert answers["one"].var.tolist() == [0.1, 0.2] and answers["two"].var is None
    assert answers["two"].values.tolist() == [0.6, 0.5]


def test_a_csv_of_features_is_a_table(source):
    voice = source("voice", **voices())
    age = source("age", tables=True, id=["c", "a"], age=[31.0, 22.0], fluency=[0.5, 0.25])
    table = align([voice, age]).answers["label"]["age"]
    assert isinstance(table, SourceTable) and table.names == ("age", "fluency")
    np.testing.assert_array_equal(table.values, [[22, 0.25], [np.nan, np.nan], [31, 0.5]])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (voices(label=["sad", "sad", "sad"]), "says label 'sad' of id 'b', another source 'calm'"),
        (voices(id=["x", "y", "z"]), "shares no id with voice"),
        ({"id": ["a"], "seen": "oof", "prob_calm": [0.5], "prob_angry": [0.5]}, "angry, sad on one side only"),
        ({"id": ["a"], "seen": "oof", "valence_pred": [1.0]}, "no common target"),
    ],
)
def test_what_disagrees_is_refused(other, message, source):
    voice = source("voice", **voices())
    with pytest.raises(AffectkitError, match=message):
        align([voice, source("other", **other)])


def test_rows_that_a_source_was_fitted_on_are_refused_or_left_out(source):
    voice = source("voice", **voices(split=["train", "val", "test"]))
    text = source(
        "text", fitted=["a"], id=["b", "c"], seen="heldout", prob_calm=[0.5, 0.5], prob_sad=[0.5, 0.5],
        split=["val", "test"],
    )  # fmt: skip
    with pytest.raises(AffectkitError, match=r"'text' was fitted on 1 of the rows.*as 'a'; train it with --cv"):
        align([voice, text])
    assert list(align([voice, text], fit_on="val").rows.frame["id"]) == ["b", "c"]


@pytest.mark.parametrize("given", [["voice"], ["=x"], ["a=x", "a=y"], ["a/b=x", "c=y"], ["a=x"]])
def test_names_are_checked(given):
    with pytest.raises(AffectkitError):
        named_paths(given, least=2)
    assert list(named_paths(["a=x=1.csv", "b=y"])) == ["a", "b"]
