"""`affectkit stabilize` as a user runs it: on frames of faces, of affectkit and of others."""

import json
import re

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def frames(tmp_path):
    """`frames(**columns)` writes valence of eight videos of four people, frame by frame, in no order."""

    def write(name="frames.csv", videos=8, length=50, seed=0, drop=(), **columns):
        rng = np.random.default_rng(seed)
        rows = videos * length
        truth = np.cumsum(rng.normal(0, 0.1, (videos, length)), axis=1).ravel()
        deviation = rng.choice([0.1, 0.6], rows, p=[0.85, 0.15])
        frame = pd.DataFrame({"id": [f"f{i:04}" for i in range(rows)], "split": "test", "seen": "heldout"})
        frame["valence"], frame["valence_pred"] = truth, truth + deviation * rng.normal(size=rows)
        frame["valence_var"] = deviation**2
        frame["speaker"] = [f"s{i // (2 * length)}" for i in range(rows)]
        frame["sequence"] = [f"v{i // length}" for i in range(rows)]
        frame["time_sec"] = [i % length / 25 for i in range(rows)]
        frame["note"] = "as it was"
        frame = frame.assign(**columns).drop(columns=list(drop)).iloc[rng.permutation(rows)]
        frame.to_csv(tmp_path / name, index=False, float_format="%.9g")
        return tmp_path / name

    return write


def read(path):
    return pd.read_csv(
        path, dtype={"gated": str, "time_sec": str}, keep_default_na=False, na_values={"valence_pred": ""}
    )


def report_of(folder):
    return json.loads((folder / "stability.json").read_text())


def test_a_table_comes_back_smoothed_in_its_own_order(affectkit, frames, tmp_path):
    source = frames()
    result = affectkit("stabilize", source, "-o", tmp_path / "out")
    assert result.stdout == f"{tmp_path / 'out'}\n"
    before, after = read(source), read(tmp_path / "out" / "predictions.csv")
    assert after["id"].tolist() == before["id"].tolist()
    assert list(after.columns) == [c for c in before.columns if c != "valence_var"] + ["gated"]
    for column in ("split", "seen", "valence", "speaker", "sequence", "time_sec", "note"):
        assert after[column].tolist() == before[column].tolist()
    assert after["gated"].eq("true").tolist() == before["valence_var"].gt(0.16).tolist()
    expected = {}
    for _, rows in before.assign(time=before["time_sec"].astype(float)).sort_values("time").groupby("sequence"):
        value = None
        for row in rows.itertuples():
            if row.valence_var <= 0.16:
                value = row.valence_pred if value is None else 0.7 * row.valence_pred + 0.3 * value
            expected[row.id] = row.valence_pred if value is None else value
    assert np.allclose(after["valence_pred"], [expected[key] for key in after["id"]], rtol=0, atol=1e-8)


def test_the_report_says_the_same_everywhere(affectkit, frames, tmp_path):
    out = tmp_path / "out"
    result = affectkit("stabilize", frames(), "--alpha", ".5", "--json", "-o", out)
    report = report_of(out)
    facts = report["targets"]["valence"]
    assert report["schema"] == 1
    assert report["settings"] == {
        "alpha": 0.5, "half_life": None, "uncertainty_threshold": 0.4, "min_confidence": None,
        "sequence": ["sequence"], "time": "time_sec", "max_lag": 30,
    }  # fmt: skip
    assert (report["rows"], report["sequences"], report["split"], report["n"]) == (400, 8, "test", 400)
    assert report["groups"] == {"column": "speaker", "count": 4}
    assert facts["metrics"]["mae"]["after"]["value"] < facts["metrics"]["mae"]["before"]["value"]
    assert json.loads(result.stdout)["targets"] == report["targets"]
    page = (out / "report.html").read_text()
    shown = {float(value) for value in re.findall(r'<data value="([^"]+)">', page)}
    for figure in (facts["metrics"]["mae"]["change"]["value"], facts["jitter"]["after"], facts["gated"]):
        assert figure in shown
    assert page.count("<svg") == 1
    assert (out / "valence_trace.svg").read_text().startswith("<svg")
    table = pd.read_csv(out / "stability.csv")
    assert table["sequence"].tolist() == [f"v{i}" for i in range(8)]
    assert table["gated"].sum() == round(facts["gated"] * 400)
    assert f"{facts['metrics']['mae']['after']['value']:.3f}" in result.stderr


def test_evaluate_judges_what_it_wrote(affectkit, frames, tmp_path):
    source = frames()
    affectkit("stabilize", source, "-o", tmp_path / "stable")
    affectkit("evaluate", tmp_path / "stable", "-o", tmp_path / "report")
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())["metrics"]["valence.ccc"]
    after = report_of(tmp_path / "stable")["targets"]["valence"]["metrics"]["ccc"]["after"]
    assert found == pytest.approx(after, abs=1e-8)  # the table keeps nine digits


def test_sequence_and_time_come_from_the_manifest(affectkit, frames, tmp_path):
    source = frames()
    rows = pd.read_csv(source)
    rows[["id", "valence", "speaker", "sequence", "time_sec"]].to_csv(tmp_path / "manifest.csv", index=False)
    bare = tmp_path / "bare.csv"
    rows.drop(columns=["valence", "speaker", "sequence", "time_sec"]).to_csv(bare, index=False, float_format="%.9g")
    affectkit("stabilize", source, "-o", tmp_path / "whole")
    affectkit("stabilize", bare, "--manifest", tmp_path / "manifest.csv", "-o", tmp_path / "joined")
    first, second = (read(tmp_path / name / "predictions.csv") for name in ("whole", "joined"))
    assert np.allclose(first["valence_pred"], second["valence_pred"], rtol=0, atol=1e-8)
    assert report_of(tmp_path / "joined")["targets"].keys() == {"valence"}
    assert {"sequence", "speaker"} <= set(second.columns)


def test_a_foreign_table_stays_one_unless_its_user_vouches_for_it(affectkit, frames, tmp_path):
    source = frames(drop=["seen", "split"])
    result = affectkit("stabilize", source, "-o", tmp_path / "plain")
    assert "seen" not in read(tmp_path / "plain" / "predictions.csv")
    assert "nothing says how these predictions were made" in result.stderr
    affectkit("stabilize", source, "--treat-as", "val", "-o", tmp_path / "vouched")
    after = read(tmp_path / "vouched" / "predictions.csv")
    assert set(after["split"]) == {"val"}
    assert set(after["seen"]) == {"heldout"}
    assert "--treat-as says so" in (tmp_path / "vouched" / "report.html").read_text()
    result = affectkit("stabilize", frames(), "--treat-as", "val", "-o", tmp_path / "x", code=2)
    assert "--treat-as is for predictions without a column 'seen'" in result.stderr


def test_two_faces_in_one_video_are_two_sequences(affectkit, frames, tmp_path):
    source = frames(videos=2, sequence="v0", track=["0"] * 50 + ["1"] * 50)
    result = affectkit("stabilize", source, "-o", tmp_path / "x", code=1)
    assert re.search(
        r"row \d+: time_sec .* of sequence 'v0' stands already in row \d+; name every column", result.stderr
    )
    affectkit("stabilize", source, "--sequence", "sequence,track", "-o", tmp_path / "out")
    assert report_of(tmp_path / "out")["sequences"] == 2


def test_a_half_life_needs_no_alpha(affectkit, frames, tmp_path):
    result = affectkit("stabilize", frames(), "--half-life", ".1", "-o", tmp_path / "out")
    settings = report_of(tmp_path / "out")["settings"]
    assert (settings["alpha"], settings["half_life"]) == (None, 0.1)
    assert "half-life 0.1" in result.stderr


def test_without_a_variance_gating_is_off_and_said_so(affectkit, frames, tmp_path):
    source = frames(drop=["valence_var"])
    result = affectkit("stabilize", source, "-o", tmp_path / "out")
    assert "note: no variance of valence (valence_var): none of its frames is gated as unsure" in result.stderr
    assert report_of(tmp_path / "out")["settings"]["uncertainty_threshold"] is None
    assert set(read(tmp_path / "out" / "predictions.csv")["gated"]) == {"false"}
    result = affectkit("stabilize", source, "--uncertainty-threshold", ".4", "-o", tmp_path / "x", code=2)
    assert "error:" in result.stderr
    assert "--uncertainty-threshold: has no column valence_var; leave it out" in result.stderr
    assert not (tmp_path / "x").exists()


def test_one_target_of_several_is_smoothed_and_the_others_stay(affectkit, frames, tmp_path):
    source = frames(arousal_pred=[float(i) for i in range(400)], arousal_var=4.0)
    affectkit("stabilize", source, "--target", "valence", "-o", tmp_path / "out")
    before, after = read(source), read(tmp_path / "out" / "predictions.csv")
    assert after["arousal_pred"].tolist() == before["arousal_pred"].tolist()
    assert "arousal_var" in after
    assert "valence_gated" not in after
    result = affectkit("stabilize", source, "--target", "valance", "-o", tmp_path / "x", code=2)
    assert "predicts no 'valance'; did you mean valence?" in result.stderr


def test_unlabelled_frames_are_smoothed_without_a_word_on_errors(affectkit, frames, tmp_path):
    affectkit("stabilize", frames(drop=["valence", "split", "seen"]), "-o", tmp_path / "out")
    facts = report_of(tmp_path / "out")["targets"]["valence"]
    assert facts["metrics"] == {}
    assert facts["lag"]["frames"] == {"before": None, "after": None}
    assert facts["jitter"]["after"] < facts["jitter"]["before"]


def test_rows_that_nobody_may_judge_are_smoothed_all_the_same(affectkit, frames, tmp_path):
    source = frames(seen="fit", split="train")
    result = affectkit("stabilize", source, "-o", tmp_path / "out")
    assert "warning: no row is judged" in result.stderr
    assert report_of(tmp_path / "out")["targets"] == {}
    assert not (tmp_path / "out" / "stability.csv").exists()
    assert "<h1>" in (tmp_path / "out" / "report.html").read_text()
    assert len(read(tmp_path / "out" / "predictions.csv")) == 400
    result = affectkit("stabilize", source, "--split", "train", "-o", tmp_path / "x", code=1)
    assert "is in-sample (seen=fit): such rows are never judged" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": ["time_sec"]}, "frames.csv: has no column 'time_sec'; pass the --manifest that has it"),
        ({"time_sec": ""}, "frames.csv row 1: has no time_sec"),
        ({"sequence": ""}, "frames.csv row 1: has no sequence"),
        ({"time_sec": "soon"}, "frames.csv row 1: time_sec 'soon' is not a number"),
        ({"seen": ["fit", *["heldout"] * 399]}, "of sequence 'v0' some rows are in-sample (seen=fit) and some are not"),
    ],
)
def test_what_cannot_be_smoothed_is_one_line(affectkit, frames, tmp_path, change, message):
    result = affectkit("stabilize", frames(**change), "-o", tmp_path / "x", code=1)
    assert message in result.stderr
    assert result.stderr.count("error:") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("rows", [["1,.5,.1,v,0"], ["1,.5,.1,v,0", "2,,.2,v,1", "3,.3,.3,w,1"], ["1,,,v,0"]])
def test_a_table_too_small_for_any_figure_goes_through(affectkit, tmp_path, rows):
    (tmp_path / "small.csv").write_text("\n".join(["id,valence_pred,valence,sequence,time_sec", *rows]) + "\n")
    affectkit("stabilize", tmp_path / "small.csv", "-o", tmp_path / "out")
    assert len(read(tmp_path / "out" / "predictions.csv")) == len(rows)
    assert report_of(tmp_path / "out")["targets"]["valence"]["jitter"]["before"] is None
