"""`affectkit alert` as a user runs it: on sessions of a few people, with and without a truth."""

import json
import re

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def sessions(tmp_path):
    """`sessions(**columns)` writes stress of six sessions of three people, a row a second, in no order. In each, the
    truth is high from second 20 to 39 and the answer from 23 on."""

    def write(name="sessions.csv", length=100, drop=(), **columns):
        seconds = np.tile(np.arange(length), 6)
        frame = pd.DataFrame({"id": [f"r{i:04}" for i in range(6 * length)], "split": "test", "seen": "heldout"})
        frame["stress"] = np.where((seconds >= 20) & (seconds < 40), 0.9, 0.1)
        frame["stress_pred"] = np.where((seconds >= 23) & (seconds < 40), 0.8, 0.2)
        frame["subject"] = [f"p{i // (2 * length)}" for i in range(6 * length)]
        frame["sequence"] = [f"v{i // length}" for i in range(6 * length)]
        frame["time_sec"] = seconds
        frame = frame.assign(**columns).drop(columns=list(drop))
        frame.iloc[np.random.default_rng(0).permutation(len(frame))].to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return write


def read(file):
    return pd.read_csv(file, keep_default_na=False)


def report_of(folder):
    return json.loads((folder / "alert.json").read_text())


def test_events_of_every_sequence(affectkit, sessions, tmp_path):
    out = tmp_path / "out"
    result = affectkit("alert", sessions(), "--when", "stress>=.7", "--for", 5, "-o", out)
    assert result.stdout == f"{out}\n"
    events = read(out / "events.csv")
    assert events.iloc[0].to_dict() == {
        "sequence": "v0", "subject": "p0", "start_sec": 23, "raised_sec": 28, "end_sec": 40, "duration_sec": 17,
        "rows": 17, "condition": "stress>=.7", "measure": "stress", "peak": 0.8, "ended": "cleared", "outcome": "right",
    }  # fmt: skip
    assert events["sequence"].tolist() == [f"v{i}" for i in range(6)]
    truth = read(out / "true_events.csv")
    assert truth.iloc[5].to_dict() == {
        "sequence": "v5", "subject": "p2", "start_sec": 20, "end_sec": 40, "duration_sec": 20, "outcome": "found",
        "already_on": False, "delay_sec": 8,
    }  # fmt: skip
    states = read(out / "states.csv")
    assert states[states["sequence"] == "v2"]["time_sec"].tolist() == list(range(100))
    on = states[(states["sequence"] == "v2") & (states["alert"] == 1)]
    assert on["time_sec"].tolist() == list(range(28, 40))
    assert states.groupby("sequence")["true_event"].sum().tolist() == [15] * 6  # raised 5 s after the onset


def test_the_report_says_the_same_everywhere(affectkit, sessions, tmp_path):
    out = tmp_path / "out"
    table = pd.read_csv(sessions())
    table.loc[(table["sequence"] == "v0") & table["time_sec"].between(70, 79), "stress_pred"] = 0.9  # a false alarm
    table.loc[table["sequence"] == "v5", "stress_pred"] = 0.1  # a miss
    table.to_csv(tmp_path / "sessions.csv", index=False)
    result = affectkit("alert", tmp_path / "sessions.csv", "--when", "stress>=.7", "--for", 5, "--json", "-o", out)
    report = report_of(out)
    judged, hours = report["judged"], 6 * 99 / 3600
    assert (report["schema"], report["rows"], report["sequences"], report["events"]) == (1, 600, 6, 6)
    assert (report["split"], report["seen"], report["groups"]) == (
        "test",
        ["heldout"],
        {"column": "subject", "count": 3},
    )
    assert (judged["true_events"], judged["found"], judged["missed"], judged["false_alarms"]) == (6, 5, 1, 1)
    assert judged["metrics"]["false_alarms_per_hour"]["value"] == pytest.approx(1 / hours)
    assert judged["metrics"]["sensitivity"]["value"] == pytest.approx(5 / 6)
    assert judged["metrics"]["delay_median"]["value"] == 8
    assert judged["metrics"]["sensitivity"]["low"] < 5 / 6 < judged["metrics"]["sensitivity"]["high"]
    assert judged["floors"]["random_times"]["sensitivity"] < 5 / 6
    assert json.loads(result.stdout)["judged"] == judged
    page = (out / "report.html").read_text()
    shown = {float(value) for value in re.findall(r'<data value="([^"]+)">', page)}
    assert {judged["metrics"][name]["value"] for name in ("sensitivity", "precision", "delay_median")} <= shown
    assert "a reason to look, not a diagnosis" in page and "a reason to look, not a diagnosis" in result.stderr
    assert page.count("<svg") == 4 and len(page) < 500_000
    assert report["shown"][0] == "v0"  # which has most events
    by_subject = read(out / "alerts_by_group.csv")
    assert by_subject["subject"].tolist() == ["p0", "p1", "p2"]
    assert by_subject["false_alarms"].tolist() == [1, 0, 0] and by_subject["missed"].tolist() == [0, 0, 1]
    assert len(read(out / "alerts_by_sequence.csv")) == 6
    affectkit("report", out, "-o", tmp_path / "again")
    assert (tmp_path / "again" / "report.html").read_text() == page


def test_the_rule_of_the_published_system(affectkit, sessions, tmp_path):
    """Stress high, or anxiety moderate and above, for some time; at once where severity is .7 and confidence .8; one
    alert in 300 s."""
    seconds = np.tile(np.arange(100), 6)
    levels = ("none", "mild", "moderate", "severe")
    shares = np.where((seconds >= 60) & (seconds < 70), 0.85, 0.05)
    columns = {f"anxiety_prob_{level}": 0.05 for level in levels} | {"anxiety_pred": "none", "anxiety_prob_none": 0.85}
    columns |= {"anxiety_prob_none": 0.9 - shares, "anxiety_prob_moderate": shares}
    columns["anxiety_pred"] = np.where(shares > 0.5, "moderate", "none")
    source = sessions(severity_pred=np.where(seconds == 63, 0.7, 0.1), **columns)
    rule = ["--when", "stress>=.7", "--when", "anxiety>=moderate"]
    rule += ["--when", "severity>=.7 and confidence>=.8 for 0", "--for", 5]
    affectkit("alert", source, *rule, "--cooldown", 300, "-o", tmp_path / "cool")
    affectkit("alert", source, *rule, "-o", tmp_path / "all")
    events = read(tmp_path / "all" / "events.csv")
    events = events[events["sequence"] == "v0"]
    assert events["raised_sec"].tolist() == [28, 63]
    assert events["condition"].tolist() == ["stress>=.7", "severity>=.7 and confidence>=.8"]
    assert events["end_sec"].tolist() == [40, 70]  # as long as any of them holds
    assert read(tmp_path / "cool" / "events.csv")["raised_sec"].tolist() == [28] * 6
    assert report_of(tmp_path / "all")["by_condition"] == [
        {"when": "stress>=.7 for 5 s", "events": 6}, {"when": "anxiety>=moderate for 5 s", "events": 0},
        {"when": "severity>=.7 and confidence>=.8", "events": 6},
    ]  # fmt: skip
    said = report_of(tmp_path / "all")["notes"]
    assert "the levels of anxiety are taken in the order of their columns: none < mild < moderate < severe" in said


def test_missed_in_a_cool_down(affectkit, sessions, tmp_path):
    high = np.isin(np.tile(np.arange(100), 6) // 10, [2, 6])
    source = sessions(stress=np.where(high, 0.9, 0.1), stress_pred=np.where(high, 0.9, 0.1))
    affectkit("alert", source, "--when", "stress>=.7", "--cooldown", 60, "-o", tmp_path / "out")
    judged = report_of(tmp_path / "out")["judged"]
    assert (judged["true_events"], judged["missed"], judged["missed_in_cooldown"]) == (12, 6, 6)
    assert "6 of which began in a cool-down" in re.sub("<[^>]*>", "", (tmp_path / "out" / "report.html").read_text())


def test_hysteresis(affectkit, sessions, tmp_path):
    seconds = np.tile(np.arange(100), 6)
    score = np.select([seconds == 20, seconds < 20, seconds < 30, seconds < 40], [0.9, 0.1, 0.6, 0.55], 0.2)
    source = sessions(stress_pred=score, drop=["stress"])
    for clear, end in ((None, 21), ("stress<.58", 30), (".58", 30), (".5", 40), (".1", 99)):
        out = tmp_path / f"out{clear}"
        affectkit("alert", source, "--when", "stress>=.7", *(["--clear", clear] if clear else []), "-o", out)
        assert read(out / "events.csv")["end_sec"].tolist() == [end] * 6


def test_falling_scores(affectkit, sessions, tmp_path):
    source = sessions(valence_pred=np.where(np.tile(np.arange(100), 6) == 50, -0.9, -0.4), drop=["stress"])
    affectkit("alert", source, "--when", "valence<=-.5", "--clear=-.3", "-o", tmp_path / "out")
    events = read(tmp_path / "out" / "events.csv")
    assert events["peak"].tolist() == [-0.9] * 6 and set(events["ended"]) == {"end"}
    one = affectkit("alert", source, "--when", "valence<=-.5", "--clear=-.6", "-o", tmp_path / "no", code=2)
    assert "--clear -.6 is below the threshold of 'valence<=-.5'" in one.stderr


def test_suppressed_rows_say_nothing(affectkit, sessions, tmp_path):
    seconds = np.tile(np.arange(100), 6)
    source = sessions(face=np.where((seconds > 24) & (seconds < 34), "none", "found"))
    affectkit("alert", source, "--when", "stress>=.7", "--unless", "face=none", "--for", 3, "-o", tmp_path / "out")
    assert read(tmp_path / "out" / "events.csv")["raised_sec"].tolist() == [37] * 6
    states = read(tmp_path / "out" / "states.csv")
    assert states[states["time_sec"] == 30]["holds"].tolist() == [""] * 6
    report = report_of(tmp_path / "out")
    assert report["unknown"] == 54 and report["judged"]["hours"] == pytest.approx(6 * (99 - 10) / 3600)


def test_a_truth_of_its_own_scale(affectkit, sessions, tmp_path):
    rated = np.where((np.tile(np.arange(100), 6) >= 20) & (np.tile(np.arange(100), 6) < 40), 5, 1)
    source = sessions(rated=rated, drop=["stress"])
    for words in (["--when", "stress>=.7", "--true-when", "rated>=4"],):
        affectkit("alert", source, *words, "--for", 5, "-o", tmp_path / "out")
        judged = report_of(tmp_path / "out")["judged"]
        assert (judged["true_events"], judged["found"], judged["metrics"]["delay_mean"]["value"]) == (6, 6, 8)
    source = sessions(stress=rated)
    affectkit("alert", source, "--when", "stress>=.7:4", "--clear", ".5", "--for", 5, "-o", tmp_path / "two")
    assert report_of(tmp_path / "two")["judged"]["true_events"] == 6


def test_a_rare_truth_is_joined(affectkit, sessions, tmp_path):
    """Rated every ten seconds, answered every second."""
    seconds = np.tile(np.arange(100), 6)
    source = sessions(stress=[f"{0.9 if 20 <= s < 40 else 0.1}" if s % 10 == 0 else "" for s in seconds])
    affectkit("alert", source, "--when", "stress>=.7", "--for", 5, "-o", tmp_path / "out")
    report = report_of(tmp_path / "out")
    assert report["rule"]["truth_max_gap"] == 25
    assert read(tmp_path / "out" / "true_events.csv")["start_sec"].tolist() == [20] * 6
    assert report["judged"]["hours"] == pytest.approx(6 * 90 / 3600)


def test_without_a_truth_there_are_events_and_nothing_is_judged(affectkit, sessions, tmp_path):
    source = sessions(drop=["stress", "split", "seen"])
    result = affectkit("alert", source, "--when", "stress>=.7", "-o", tmp_path / "out")
    report = report_of(tmp_path / "out")
    assert report["judged"] is None and report["events"] == 6
    assert "not judged: no row has a truth for stress" in result.stderr
    assert sorted(file.name for file in (tmp_path / "out").glob("*.csv")) == ["events.csv", "states.csv"]
    result = affectkit("alert", source, "--when", "confidence_pred>=.5", "-o", tmp_path / "no", code=2)
    assert "there is no number or class 'confidence_pred'" in result.stderr


def test_sequence_time_and_truth_come_from_the_manifest(affectkit, sessions, tmp_path):
    rows = pd.read_csv(sessions())
    rows.drop(columns=["stress_pred", "seen"]).assign(depressed="no").to_csv(tmp_path / "manifest.csv", index=False)
    rows[["id", "seen", "stress_pred"]].to_csv(tmp_path / "bare.csv", index=False)
    affectkit("alert", tmp_path / "sessions.csv", "--when", "stress>=.7", "-o", tmp_path / "whole")
    line = ["alert", tmp_path / "bare.csv", "--manifest", tmp_path / "manifest.csv", "--when", "stress>=.7"]
    affectkit(*line, "-o", tmp_path / "joined")
    first, second = ((tmp_path / name / "events.csv").read_text() for name in ("whole", "joined"))
    assert first == second
    assert report_of(tmp_path / "joined")["judged"] == report_of(tmp_path / "whole")["judged"]


def test_no_alert_may_look_at_the_truth(affectkit, sessions, tmp_path):
    rows = pd.read_csv(sessions())
    folder = tmp_path / "manifest"
    manifest = rows.drop(columns=["stress_pred", "seen"]).assign(arousal=0.5)
    manifest.to_csv(tmp_path / "rows.csv", index=False)
    affectkit("prepare-manifest", "csv", tmp_path / "rows.csv", "--path-column=", "--split-by", "subject", "-o", folder)
    line = ["alert", tmp_path / "sessions.csv", "--manifest", folder, "-o", tmp_path / "out"]
    result = affectkit(*line, "--when", "arousal>=.5", code=2)
    assert "it is the truth, which no alert may look at" in result.stderr


def test_cross_fitted_rows_are_judged_and_in_sample_ones_refused(affectkit, sessions, tmp_path):
    line = ["--when", "stress>=.7", "-o", tmp_path / "out"]
    source = sessions(split="train", seen="oof")
    affectkit("alert", source, *line)
    assert report_of(tmp_path / "out")["split"] == "oof"
    source = sessions(split="test", seen="fit")
    result = affectkit("alert", source, *line, "--overwrite", code=1)
    assert "in-sample (seen=fit): such rows are never judged" in result.stderr
    source = sessions(split=["test" if i % 2 else "val" for i in range(600)])
    result = affectkit("alert", source, *line, "--overwrite", code=1)
    assert "of sequence 'v0' only some rows are judged" in result.stderr


def test_one_split_is_judged_and_all_rows_are_alerted(affectkit, sessions, tmp_path):
    source = sessions(split=["val" if i < 200 else "test" for i in range(600)])
    affectkit("alert", source, "--when", "stress>=.7", "--split", "val", "-o", tmp_path / "out")
    report = report_of(tmp_path / "out")
    assert (report["split"], report["judged"]["n"], report["judged"]["alerts"], report["events"]) == ("val", 200, 2, 6)
    assert read(tmp_path / "out" / "events.csv")["outcome"].tolist() == ["right"] * 2 + [""] * 4
    judged = read(tmp_path / "out" / "true_events.csv")["sequence"]
    assert set(report["shown"]) == set(judged)  # of the others a figure would say that nothing is true


BAD = {
    "a name": (["--when", "stres>=.7"], {}, 2, "there is no number or class 'stres'; did you mean stress"),
    "no threshold": (["--when", "stress"], {}, 2, "--when 'stress' is no condition"),
    "unless": (["--when", "stress>=.7", "--unless", "gatd>=1"], {"gated": 1}, 2, "--unless 'gatd>=1'"),
    "clear above": (["--when", "stress>=.7", "--clear", ".8"], {}, 2, "--clear .8 is above the threshold"),
    "clear of several": (
        ["--when", "stress>=.7 and stress<=.9", "--clear", ".5"], {}, 2, "several comparisons raise an alert"
    ),
    "for": (["--when", "stress>=.7 for ever"], {}, 2, "'ever' is no number of seconds"),
    "no sequence": (["--when", "stress>=.7", "--sequence", "sesion"], {"session": "a"}, 1, "has no column 'sesion'"),
    "no time": (["--when", "stress>=.7", "--time", "second"], {}, 1, "has no column 'second'"),
    "doubled times": (["--when", "stress>=.7"], {"time_sec": 3}, 1, "time_sec 3 of sequence 'v0' stands already"),
    "a time that is none": (["--when", "stress>=.7"], {"time_sec": "noon"}, 1, "time_sec 'noon' is not a number"),
    "no time in a row": (["--when", "stress>=.7"], {"time_sec": ""}, 1, "has no time_sec"),
    "no answers": (["--when", "stress>=.7"], {"stress_pred": "x"}, 1, "stress_pred 'x' is not a number"),
    "two people in a sequence": (
        ["--when", "stress>=.7"], {"subject": [f"p{i % 2}" for i in range(600)]}, 1, "sequence 'v0' has rows of subject"
    ),
    "no group": (["--when", "stress>=.7", "--group", "persn"], {}, 1, "has no column 'persn' to group by"),
    "no truth": (
        ["--when", "stress>=.7", "--true-when", "stress>=.7"], {"stress": ""}, 1, "--true-when: no row has a truth",
    ),
    "a truth of confidence": (
        ["--when", "stress>=.7", "--true-when", "confidence>=.7"], {"confidence": 1, "prob_a": 1, "label": "a"}, 2,
        "a confidence has no truth",
    ),
    "split": (["--when", "stress>=.7", "--split", "val"], {}, 1, "has no rows of val"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, affectkit, sessions, tmp_path):
    words, columns, code, said = BAD[case]
    result = affectkit("alert", sessions(**columns), *words, "-o", tmp_path / "out", code=code)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert said in line
    assert not (tmp_path / "out" / "started.json").exists()


def test_nothing_is_known_or_there_is_one_row(affectkit, sessions, tmp_path):
    affectkit("alert", sessions(stress_pred=""), "--when", "stress>=.7", "-o", tmp_path / "none")
    report = report_of(tmp_path / "none")
    assert (report["events"], report["unknown"], report["hours"]) == (0, 600, 0)
    (tmp_path / "one.csv").write_text("id,stress_pred,stress,sequence,time_sec,seen\na,0.9,0.8,v,0,heldout\n")
    affectkit("alert", tmp_path / "one.csv", "--when", "stress>=.7", "-o", tmp_path / "one")
    report = report_of(tmp_path / "one")
    assert (report["events"], report["judged"]["found"]) == (1, 1)
    assert report["judged"]["metrics"]["false_alarms_per_hour"]["value"] is None
    (tmp_path / "empty.csv").write_text("id,stress_pred,sequence,time_sec\n")
    result = affectkit("alert", tmp_path / "empty.csv", "--when", "stress>=.7", "-o", tmp_path / "empty", code=1)
    assert "has no rows" in result.stderr
