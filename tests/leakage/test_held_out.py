"""Rows that a model met before: by a group on both sides, under another id, under another spelling."""

import json

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.manifest import read_manifest
from affectkit.errors import AffectkitError
from affectkit.leakage.held_out import hold_out_rows, seen_of

ROWS = 36
UNDECLARED = "speaker: some stand on both sides of the split"


@pytest.fixture
def study(tmp_path):
    """`study(speaker=..., ...)`: a manifest without a summary, a table of features beside it, and train's options."""

    def make(features=None, **columns):
        known = {
            "id": [f"r{row}" for row in range(ROWS)],
            "label": np.resize(["calm", "tense"], ROWS),
            "speaker": [f"s{row // 6}" for row in range(ROWS)],
            "split": np.repeat(["train", "val", "test"], ROWS // 3),
        }
        rows = pd.DataFrame({**known, **columns})
        rows.dropna(axis=1, how="all").to_csv(tmp_path / "rows.csv", index=False)
        values = np.random.default_rng(0).normal(size=ROWS) if features is None else features
        pd.DataFrame({"id": rows["id"], "level": values}).to_csv(tmp_path / "features.csv", index=False)
        return ["--manifest", tmp_path / "rows.csv", "--features", tmp_path / "features.csv"]

    return make


def of_two(spellings=("a", "b")):
    return np.resize(spellings, ROWS)


def test_speakers_on_both_sides_are_said_and_repeated_by_what_stands_on_the_model(affectkit, study, tmp_path):
    line = study(speaker=of_two())
    result = affectkit("train", *line, "-o", tmp_path / "run")
    assert f"warning: {UNDECLARED}" in result.stderr
    assert "no row was predicted by a model fitted on its group" not in result.stderr
    for command in (
        ["evaluate", tmp_path / "run"],
        ["calibrate", tmp_path / "run", "--method", "temperature"],
        ["fuse", f"a={tmp_path / 'run'}", f"b={tmp_path / 'run' / 'predictions.csv'}"],
    ):
        affectkit(*command, "-o", tmp_path / command[0])
        name = "metrics.json" if command[0] == "evaluate" else "train_report.json"
        [sentence] = json.loads((tmp_path / command[0] / name).read_text())["declared"]
        assert sentence.startswith(UNDECLARED)


def test_speakers_that_keep_to_their_side_are_not_mentioned(affectkit, study, tmp_path):
    result = affectkit("train", *study(), "-o", tmp_path / "run")
    assert UNDECLARED not in result.stderr
    assert json.loads((tmp_path / "run" / "train_report.json").read_text())["declared"] == []


@pytest.mark.parametrize(("fold", "straddles"), [(np.resize([0, 0, 1], ROWS), True), (np.arange(ROWS) // 18, False)])
def test_a_speaker_in_several_folds_is_on_both_sides(study, tmp_path, caplog, fold, straddles):
    study(split=np.nan, fold=fold)
    held_out = hold_out_rows(read_manifest(tmp_path / "rows.csv"), cv=True)
    assert held_out.straddle is straddles
    assert (UNDECLARED in caplog.text) is straddles


def test_speakers_spelt_alike_are_pointed_at(study, tmp_path, caplog):
    study(speaker=[("S1" if row < 12 else "s1 ") if row % 2 else f"t{row // 12}" for row in range(ROWS)])
    hold_out_rows(read_manifest(tmp_path / "rows.csv"))
    assert "speakers ['S1', 's1 '] differ by case or spaces only, or by decimals" in caplog.text


def test_rows_with_the_same_features_on_both_sides_are_counted(affectkit, study, tmp_path):
    values = np.random.default_rng(1).normal(size=ROWS)
    values[[20, 30]] = values[[3, 4]]  # a val and a test row
    values[7] = values[6]  # within train
    result = affectkit("train", *study(values), "-o", tmp_path / "run")
    assert "warning: 2 rows have the same features as rows fitted on for them, as 'r20'" in result.stderr


@pytest.mark.parametrize(("split", "message"), [("train", "has train rows only"), ("test", "has no train rows")])
def test_a_split_with_one_side_is_named_with_its_file(study, tmp_path, split, message):
    study(split=split)
    with pytest.raises(AffectkitError, match=rf"rows\.csv: {message}.*; "):
        hold_out_rows(read_manifest(tmp_path / "rows.csv"))


@pytest.mark.parametrize(
    ("ids", "groups", "message"),
    [
        (["A1"], ["t"], "id 'A1' is one that the model was fitted on but for case"),
        (["b"], ["S 1"], "id|group 'S 1' is one that the model was fitted on"),
        (["b"], ["t"], ""),
        (["a1", "b"], ["s1", "t"], ""),
    ],
)
def test_rows_that_are_spelt_as_those_fitted_on_are_pointed_at(caplog, ids, groups, message):
    fit_rows = pd.DataFrame({"id": ["a1"], "group": ["s1"], "role": "fit"})
    assert seen_of(ids, groups, fit_rows) == ["fit" if key == "a1" else "heldout" for key in ids]
    assert message.rpartition("|")[2] in caplog.text and bool(message) == bool(caplog.records)


def test_a_manifest_without_the_column_of_groups_is_pointed_at(affectkit, study, tmp_path):
    affectkit("train", *study(), "-o", tmp_path / "run")
    line = study(speaker=np.nan, id=[f"new{row}" for row in range(ROWS)])
    result = affectkit("predict", "--model-dir", tmp_path / "run", *line, "-o", tmp_path / "p.csv")
    assert "rows.csv has no column speaker: who the model was fitted on cannot be told" in result.stderr
