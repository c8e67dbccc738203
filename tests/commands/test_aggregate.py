"""`affectkit aggregate` as a user runs it: windows to clips, sessions, subjects."""

import json

import numpy as np
import pandas as pd
import pytest

CLASSES = ["calm", "glad", "tense"]
PROBABILITIES = [f"prob_{name}" for name in CLASSES]


@pytest.fixture
def windows(tmp_path):
    """`windows(**columns)` writes windows of twelve sessions of four people, in no order."""

    def write(name="windows.csv", rows=120, drop=(), **columns):
        rng = np.random.default_rng(0)
        session = np.arange(rows) % 12
        probabilities = rng.dirichlet([1, 1, 1], rows)
        frame = pd.DataFrame({"id": [f"w{i:04}" for i in range(rows)], "split": np.where(session < 6, "val", "test")})
        frame["seen"] = "heldout"
        frame["label"] = [CLASSES[i % 3] for i in session]
        frame["pred"] = [CLASSES[i] for i in probabilities.argmax(axis=1)]
        frame[PROBABILITIES] = probabilities
        frame["speaker"] = [f"s{i % 4}" for i in session]
        frame["session"] = [f"day{i}" for i in session]
        frame["time_sec"] = np.arange(rows) // 12
        frame = frame.assign(**columns).drop(columns=list(drop)).iloc[rng.permutation(rows)]
        frame.to_csv(tmp_path / name, index=False, float_format="%.9g")
        return tmp_path / name

    return write


def read(folder):
    return pd.read_csv(folder / "predictions.csv", keep_default_na=False, na_values=dict.fromkeys(PROBABILITIES, ""))


def test_windows_become_sessions(affectkit, windows, tmp_path):
    source = windows()
    result = affectkit("aggregate", source, "--to", "session", "-o", tmp_path / "out")
    assert result.stdout == f"{tmp_path / 'out'}\n"
    assert "120 rows became 12, one per session (mean)" in result.stderr
    before, after = pd.read_csv(source), read(tmp_path / "out").set_index("id")
    expected = before.groupby("session")[PROBABILITIES].mean().loc[after.index]
    assert np.allclose(after[PROBABILITIES], expected, rtol=0, atol=1e-8)
    assert after["pred"].tolist() == [CLASSES[i] for i in expected.to_numpy().argmax(axis=1)]
    facts = before.groupby("session")[["split", "seen", "label", "speaker"]].first().loc[after.index]
    assert (after[facts.columns] == facts).all(axis=None)
    assert list(after.columns[-3:]) == ["session", "windows", "declined"]
    assert set(after["windows"]) == {10}


def test_the_summary_counts(affectkit, windows, tmp_path):
    source = windows(track=[str(i % 5) for i in range(120)])
    rows = pd.read_csv(source)
    rows.loc[rows["session"] == "day1", [*PROBABILITIES, "pred"]] = np.nan
    rows.to_csv(source, index=False, float_format="%.9g")
    result = affectkit("aggregate", source, "--to", "session", "--rule", "median", "--json", "-o", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "aggregation.json").read_text())
    assert summary["schema"] == 1
    assert (summary["rows"], summary["aggregates"], summary["windows"], summary["declined"]) == (120, 12, 110, 10)
    assert (summary["without_answer"], summary["dropped"]) == (1, ["track"])
    assert json.loads(result.stdout)["dropped"] == ["track"]
    assert "note: 10 rows had no answer and are left out" in result.stderr
    assert "note: dropped, as they differ within a session: track" in result.stderr
    day = read(tmp_path / "out").set_index("id").loc["day1"]
    assert (day["pred"], day["windows"], day["declined"], day["label"]) == ("", 0, 10, "glad")


def test_evaluate_and_a_second_aggregate_take_what_it_wrote(affectkit, windows, tmp_path):
    affectkit(
        "aggregate", windows(label="calm", split="test"), "--to", "session", "--rule", "vote", "-o", tmp_path / "a"
    )
    affectkit("evaluate", tmp_path / "a", "-o", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (report["n"], report["groups"]) == (12, {"column": "speaker", "count": 4})
    affectkit("aggregate", tmp_path / "a", "--to", "speaker", "-o", tmp_path / "b")
    assert read(tmp_path / "b")["windows"].tolist() == [3] * 4


def test_the_column_may_come_from_the_manifest(affectkit, windows, tmp_path):
    source = windows(drop=["session", "speaker", "label"])
    pd.read_csv(windows("whole.csv"))[["id", "label", "speaker", "session"]].to_csv(tmp_path / "m.csv", index=False)
    affectkit("aggregate", source, "--to", "session", "--manifest", tmp_path / "m.csv", "-o", tmp_path / "out")
    affectkit("aggregate", tmp_path / "whole.csv", "--to", "session", "-o", tmp_path / "whole")
    joined, whole = (read(tmp_path / name).set_index("id") for name in ("out", "whole"))
    pd.testing.assert_frame_equal(joined[whole.columns], whole)


def test_a_foreign_table_stays_one_unless_its_user_vouches_for_it(affectkit, windows, tmp_path):
    source = windows(drop=["seen", "split"])
    result = affectkit("aggregate", source, "--to", "session", "-o", tmp_path / "plain")
    assert "seen" not in read(tmp_path / "plain")
    assert "nothing says how these predictions were made" in result.stderr
    result = affectkit("aggregate", source, "--to", "session", "--treat-as", "test", "-o", tmp_path / "vouched")
    assert set(read(tmp_path / "vouched")["split"]) == {"test"}
    assert "nothing says" not in result.stderr


@pytest.mark.parametrize(
    ("change", "options", "code", "message"),
    [
        ({}, ["--to", "speaker"], 1, "speaker 's0' has rows of split 'test' and 'val'; split by what you aggregate to"),
        ({"split": "test"}, ["--to", "speaker"], 1, "speaker 's0' has rows of label 'calm' and 'glad' and 'tense'"),
        ({}, ["--to", "sesion"], 1, "has no column 'sesion' to aggregate to; pass the --manifest"),
        ({}, ["--to", "session", "--group", "time_sec"], 1, "name a --group of whole aggregates"),
        ({}, ["--to", "session", "--weight", "time_sec"], 1, "time_sec '0' is no weight; weights are above 0"),
        ({"weight": 1e308}, ["--to", "session", "--weight", "weight"], 1, "weight '1e+308' is no weight"),
        ({}, ["--to", "session", "--rule", "mode"], 2, "'mode' is not one of"),
        ({"valence_pred": 1.0}, ["--to", "session", "--rule", "vote"], 2, "--rule vote is for classes"),
        ({"drop": PROBABILITIES}, ["--to", "session"], 1, "has no probabilities of label, which --rule mean needs"),
    ],
)
def test_what_cannot_be_put_together_is_one_line(affectkit, windows, tmp_path, change, options, code, message):
    result = affectkit("aggregate", windows(**change), *options, "-o", tmp_path / "x", code=code)
    assert message.split("'s0'")[-1] in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "x").exists()


def test_the_majority_of_labels_is_taken_where_it_is_asked_for(affectkit, windows, tmp_path):
    source = windows(split="test", label=[CLASSES[min(i % 3, 1)] for i in range(120)])
    result = affectkit("aggregate", source, "--to", "speaker", "--truth", "majority", "-o", tmp_path / "out")
    assert set(read(tmp_path / "out")["label"]) == {"glad"}  # two of three
    assert "label: 4 of 4 had rows of differing truth; theirs is the majority" in result.stderr
