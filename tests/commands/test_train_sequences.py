"""`affectkit train --sequence session`: windows pooled to the session inside the network."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from command_lines import ran
from safetensors.numpy import load_file

from affectkit.artifacts.predictions import read_predictions

QUICK = ["--model", "attention", "--epochs", 3, "--learning-rate", "1e-2", "--hidden-size", 8, "--stopping-folds", 0]
BY_SESSION = ["--sequence", "session", "--time", "time_sec"]
PROBABILITIES = ["prob_calm", "prob_tense"]


def write_study(folder):
    """Windows of 18 sessions of 6 people, in no order: 1 to 9 of each, and four features of every window."""
    rng = np.random.default_rng(0)
    rows = []
    for session in range(18):
        subject = session // 3
        split = "test" if subject > 3 else "train"
        label = ["calm", "tense"][session % 2]
        for second in range(1 + session % 9):
            rows.append((f"s{session:02}", f"p{subject}", split, label, second / 2, rng.normal(session % 2, 1, 4)))
    names = ["session", "subject", "split", "label", "time_sec", "features"]
    frame = pd.DataFrame(rows, columns=names).assign(id=[f"w{n:03}" for n in range(len(rows))], stress=1.0)
    frame["stress"] = frame["label"].eq("tense") + frame["time_sec"]
    frame = frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
    cells = pd.DataFrame(np.stack(frame.pop("features")), columns=list("abcd")).assign(id=frame["id"])
    frame.to_csv(folder / "m.csv", index=False)
    cells.to_csv(folder / "f.csv", index=False)


@pytest.fixture
def study(tmp_path):
    write_study(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    write_study(folder)
    ran(*line(folder, *QUICK, *BY_SESSION), "-o", folder / "run")
    return folder


@pytest.fixture
def trained(trained_once, tmp_path):
    """A study of its own, and a model of it in `run`."""
    shutil.copytree(trained_once, tmp_path / "trained")
    return tmp_path / "trained"


def line(folder, *more, command="train", features="f.csv", manifest="m.csv"):
    return [command, "--manifest", folder / manifest, "--features", folder / features, *more]


def train(affectkit, folder, *more, out="run", code=0, **places):
    return affectkit(*line(folder, *QUICK, *BY_SESSION, *more, **places), "-o", folder / out, code=code)


def test_there_is_one_answer_for_each_session(affectkit, study):
    result = train(affectkit, study)
    table = read_predictions(study / "run" / "predictions.csv").frame
    rows = pd.read_csv(study / "m.csv")
    of_test = rows[rows["split"] == "test"].groupby("session")
    assert list(table["id"]) == list(of_test.groups) and set(table["seen"]) == {"heldout"}
    known = of_test.agg(label=("label", "first"), subject=("subject", "first"), windows=("id", "size"))
    assert (table.set_index("id")[["label", "subject"]] == known[["label", "subject"]]).all(axis=None)
    assert table["windows"].astype(int).tolist() == known["windows"].tolist()
    report = json.loads((study / "run" / "train_report.json").read_text())
    every = rows.groupby("session").size()
    counts = {"min": every.min(), "median": every.median(), "max": every.max()}
    assert report["windows"] == counts and report["fit_rows"] == 12 and report["sequence"] == ["session"]
    assert f"sequences: 18, by session; windows: {len(rows)} (1 to 9, median 5 in each)" in result.stderr
    spec = json.loads((study / "run" / "best_model" / "affectkit.json").read_text())
    assert (spec["sequence"], spec["time"], spec["truth"]) == (["session"], "time_sec", "unanimous")
    card = (study / "run" / "best_model" / "README.md").read_text()
    assert "fitted on 12 rows of 4 groups" in card and "one answer for each session" in card


def test_the_order_of_rows_changes_nothing_and_time_is_what_orders(affectkit, study):
    rows = pd.read_csv(study / "m.csv")
    for name, table in (("reversed", rows[::-1]), ("sorted", rows.sort_values(["session", "time_sec"]))):
        table.to_csv(study / f"{name}.csv", index=False)
        train(affectkit, study, manifest=f"{name}.csv", out=name)
    first, second = ((study / name / "predictions.csv").read_bytes() for name in ("reversed", "sorted"))
    assert first == second


def test_a_session_is_what_a_recording_of_its_windows_would_be(affectkit, trained):
    """Features of the sessions with the windows as their frames: the same network, the same answers."""
    from affectkit.artifacts.features import ShardFacts, write_shard

    rows = pd.read_csv(trained / "m.csv").sort_values(["session", "time_sec"])
    cells = pd.read_csv(trained / "f.csv").set_index("id").astype(np.float32)
    sessions = [(name, cells.loc[group["id"]].to_numpy()) for name, group in rows.groupby("session")]
    lengths, lines, start = [len(values) for _, values in sessions], ["id,shard,start,frames"], 0
    for (name, _), count in zip(sessions, lengths, strict=True):
        lines.append(f"{name},features-00001.safetensors,{start},{count}")
        start += count
    (trained / "frames").mkdir()
    facts = ShardFacts("digest", [name for name, _ in sessions], lengths)
    write_shard(trained / "frames" / "features-00001.safetensors", [values for _, values in sessions], facts)
    (trained / "frames" / "index.csv").write_text("\n".join(lines) + "\n")
    (trained / "frames" / "encoder.json").write_text('{"schema": 1, "encoder": "x", "pooled": false}')
    whole = rows.groupby("session").first().reset_index()[["session", "subject", "split", "label"]]
    whole.assign(id=whole["session"]).to_csv(trained / "sessions.csv", index=False)
    affectkit(*line(trained, *QUICK, manifest="sessions.csv", features="frames"), "-o", trained / "framed")
    ours, theirs = (read_predictions(trained / name / "predictions.csv").frame for name in ("run", "framed"))
    assert (ours[PROBABILITIES] == theirs[PROBABILITIES]).all(axis=None)


def test_neither_padding_nor_company_moves_an_answer(affectkit, trained):
    """A session of one window beside one of 3,000, and by itself."""
    rng = np.random.default_rng(1)
    rows = [("long", n) for n in range(3000)] + [("short", 0)] + [("middle", n) for n in range(40)]
    frame = pd.DataFrame(rows, columns=["session", "time_sec"]).assign(id=[f"x{n}" for n in range(len(rows))])
    frame.to_csv(trained / "new.csv", index=False)
    pd.DataFrame(rng.normal(size=(len(rows), 4)), columns=list("abcd")).assign(id=frame["id"]).to_csv(
        trained / "new_f.csv", index=False
    )
    given = ["predict", "--model-dir", trained / "run", "--features", trained / "new_f.csv"]
    affectkit(*given, "--manifest", trained / "new.csv", "-o", trained / "all.csv")
    together = pd.read_csv(trained / "all.csv").set_index("id")
    assert together["windows"].to_dict() == {"long": 3000, "middle": 40, "short": 1}
    for name in together.index:
        frame[frame["session"] == name].to_csv(trained / "one.csv", index=False)
        affectkit(*given, "--manifest", trained / "one.csv", "-o", trained / "one_said.csv", "--overwrite")
        alone = pd.read_csv(trained / "one_said.csv").set_index("id")
        np.testing.assert_allclose(
            together.loc[name, PROBABILITIES].astype(float), alone.loc[name, PROBABILITIES].astype(float), atol=1e-6
        )
    assert together["prob_calm"].nunique() == 3


@pytest.mark.parametrize("more", [["--cv"], ["--cv", "--pooling", "mean"], ["--pooling", "mean", "--hidden-layers", 0]])
def test_cross_fitting_keeps_people_apart(affectkit, study, more):
    train(affectkit, study, *more, "--target", "stress")
    table = read_predictions(study / "run" / "predictions.csv").frame
    rows = pd.read_csv(study / "m.csv")
    assert dict(zip(table["id"], table["stress"], strict=True)) == pytest.approx(
        rows[rows["session"].isin(table["id"])].groupby("session")["stress"].mean().to_dict()
    )
    assert set(table["seen"]) == ({"oof", "heldout"} if "--cv" in more else {"heldout"})
    assert len(table) == (18 if "--cv" in more else 6)


def test_windows_that_are_judged_reach_no_fit(affectkit, study):
    """Neither the labels of a fold's sessions nor the features of other sessions that are held out change an answer."""
    rows, cells = pd.read_csv(study / "m.csv"), pd.read_csv(study / "f.csv")
    rows = rows.assign(fold=rows["subject"].str[1:].astype(int) % 2).astype({"fold": object})
    rows.loc[rows["split"] == "test", "fold"] = ""
    ours, beside = (rows["session"] == "s03") | (rows["session"] == "s04"), rows["session"] == "s05"
    assert set(rows.loc[ours | beside, "fold"]) == {1}
    far = cells.copy()
    far.loc[cells["id"].isin(rows["id"][(rows["split"] == "test") | beside]), [*"abcd"]] = 1e6
    planted = rows.assign(label=rows["label"].mask(ours | beside, "tense"), stress=rows["stress"].mask(ours, 99.0))
    rows.to_csv(study / "m.csv", index=False)
    planted.to_csv(study / "planted.csv", index=False)
    far.to_csv(study / "far.csv", index=False)
    more = ["--cv", "--target", "label,stress", "--stopping-folds", 1]
    train(affectkit, study, *more)
    train(affectkit, study, *more, out="after", manifest="planted.csv", features="far.csv")
    both = [read_predictions(study / run / "predictions.csv").frame.set_index("id") for run in ("run", "after")]
    told = [*PROBABILITIES, "stress_pred"]
    before, after = (table[told].astype(str) for table in both)
    assert before.loc[["s03", "s04"]].equals(after.loc[["s03", "s04"]])
    others = ["s00", "s01", "s02", "s05"]
    assert (before.loc[others] != after.loc[others]).any(axis=1).all()


def test_sessions_of_several_people_who_come_again_are_refused(affectkit, study):
    """No column would keep their sessions apart, and a report would say that nobody stands on both sides."""
    rows = pd.read_csv(study / "m.csv")
    guest = rows.index % 2 == 1
    rows.assign(subject=rows["subject"].mask(guest, "guest")).to_csv(study / "pairs.csv", index=False)
    told = train(affectkit, study, manifest="pairs.csv", code=1).stderr
    assert "subject 'guest' has rows in session '" in told
    assert "tell them apart by --sequence session,subject, or name a --group" in told
    train(affectkit, study, "--group", "session", manifest="pairs.csv", out="asked")
    own = rows["subject"].mask(guest, "guest of " + rows["session"])  # who comes once is never on both sides
    rows.assign(subject=own).drop(columns="split").to_csv(study / "once.csv", index=False)
    told = train(affectkit, study, "--cv", manifest="once.csv", out="once", code=1).stderr
    assert "subject 'p" in told and "which no column keeps together" in told


def test_heads_of_several_targets_pool_the_same_windows(affectkit, study):
    """Where no window of some sessions says one of them."""
    rows = pd.read_csv(study / "m.csv")
    rows["stress"] = rows["stress"].mask(rows["session"].isin(["s01", "s02"]) | (rows["time_sec"] == 0))
    rows.to_csv(study / "m.csv", index=False)
    train(affectkit, study, "--cv", "--target", "label,stress")
    table = pd.read_csv(study / "run" / "predictions.csv").set_index("id")
    assert len(table) == 18 and table[["stress_pred", *PROBABILITIES]].notna().all(axis=None)
    expected = rows.groupby("session")["stress"].mean()  # of those that have one
    np.testing.assert_allclose(table["stress"], expected[table.index])
    assert table["stress"].isna().sum() >= 2
    again = line(study, "--model-dir", study / "run", "--include-fit", command="predict")
    affectkit(*again, "-o", study / "again.csv")
    said, held = pd.read_csv(study / "again.csv").set_index("id"), table.index[table["seen"] == "heldout"]
    np.testing.assert_allclose(said.loc[held, "stress_pred"], table.loc[held, "stress_pred"], atol=1e-6)


def test_several_sets_of_features_and_windows_without_any(affectkit, study):
    cells, rows = pd.read_csv(study / "f.csv"), pd.read_csv(study / "m.csv")
    gone = rows[(rows["session"] == "s00") | (rows["time_sec"] == 1.5)]["id"]
    cells[~cells["id"].isin(gone)].to_csv(study / "some.csv", index=False)
    both = [*QUICK, *BY_SESSION, "--features", study / "some.csv"]
    refused = affectkit(*line(study, *both), "-o", study / "run", code=1)
    assert "some.csv: has no features of id" in refused.stderr and "--missing drop" in refused.stderr
    result = affectkit(*line(study, *both, "--missing", "drop"), "-o", study / "run")
    assert "1 of 18 sequences have no window with features and are dropped, as 's00'" in result.stderr
    table = pd.read_csv(study / "run" / "predictions.csv").set_index("id")
    left = rows[~rows["id"].isin(gone)].groupby("session").size()
    assert table["windows"].to_dict() == left[table.index].to_dict()
    weights = load_file(study / "run" / "best_model" / "label.safetensors")
    assert sum(name.startswith("pools.") and name.endswith("weight") for name in weights) >= 2


def test_a_killed_training_goes_on(affectkit, stopped, study):
    train(affectkit, study, out="whole")
    for write in (4, 9):
        assert stopped(*line(study, *QUICK, *BY_SESSION), "-o", study / "run", "--resume", write=write)
    train(affectkit, study, "--resume")
    for name in ("predictions.csv", "fit_rows.csv", "best_model/label.safetensors"):
        assert (study / "run" / name).read_bytes() == (study / "whole" / name).read_bytes()
    other = affectkit(*line(study, *QUICK, "--sequence", "subject"), "-o", study / "run", "--resume", code=2)
    assert "--sequence was 'session' and is now 'subject'" in other.stderr


def test_windows_of_fitted_sessions_count_as_seen(affectkit, study):
    """By the session's id, by the subject, and window by window, where another session is made of them."""
    train(affectkit, study, "--group", "session")
    fitted = pd.read_csv(study / "run" / "fit_rows.csv").set_index("id")
    assert fitted["role"].value_counts()["fit"] == 12 and fitted.loc["s01", "role"] == "fit"
    given = line(study, "--model-dir", study / "run", command="predict")
    affectkit(*given, "-o", study / "rest.csv")
    assert set(pd.read_csv(study / "rest.csv")["id"]) == {f"s{n}" for n in range(12, 18)}
    affectkit(*given, "--include-fit", "-o", study / "every.csv")
    every = pd.read_csv(study / "every.csv").set_index("id")["seen"]
    assert (every[:12] == "fit").all() and (every[12:] == "heldout").all()
    rows = pd.read_csv(study / "m.csv")
    window = rows[rows["session"] == "s01"]["id"].iloc[0]
    rows.loc[rows["id"] == window, "session"] = "s17"  # which is of the test rows
    rows["time_sec"] = range(len(rows))
    rows["split"] = "test"
    rows["label"] = rows["session"].map(dict(zip(rows["session"], rows["label"], strict=True)))
    rows.to_csv(study / "moved.csv", index=False)
    affectkit(*line(study, "--model-dir", study / "run", "--include-fit", command="predict", manifest="moved.csv"),
              "-o", study / "moved_said.csv")  # fmt: skip
    moved = pd.read_csv(study / "moved_said.csv").set_index("id")["seen"]
    assert moved["s17"] == "fit" and moved["s16"] == "heldout"


def test_a_session_that_is_called_as_a_window_is_not_taken_for_it(affectkit, study):
    rows = pd.read_csv(study / "m.csv")
    window = rows[rows["split"] == "train"]["id"].iloc[0]
    rows.loc[rows["session"] == "s16", "session"] = window
    rows.to_csv(study / "m.csv", index=False)
    train(affectkit, study, "--group", "session")
    affectkit(*line(study, "--model-dir", study / "run", command="predict"), "-o", study / "rest.csv")
    assert window in set(pd.read_csv(study / "rest.csv")["id"])


@pytest.mark.slow
def test_it_is_judged_calibrated_and_fused_as_any_other(affectkit, study):
    """With the manifest of windows for what the predictions do not say, and a chain that predicts windows' sessions."""
    rows = pd.read_csv(study / "m.csv")
    rows.assign(sex=rows["subject"].map(lambda name: "fm"[int(name[1]) % 2])).to_csv(study / "m.csv", index=False)
    train(affectkit, study, "--cv")
    train(affectkit, study, "--cv", "--pooling", "mean", out="other")
    given = ["--manifest", study / "m.csv"]
    affectkit("evaluate", study / "run" / "predictions.csv", *given, "--slices", "sex", "-o", study / "report")
    report = json.loads((study / "report" / "metrics.json").read_text())
    assert report["n"] == 6 and report["slices"]
    affectkit("calibrate", study / "run", "-o", study / "calibrated")
    sources = [f"{name}={study / name / 'predictions.csv'}" for name in ("run", "other")]
    affectkit("fuse", *sources, "--rule", "mean", "-o", study / "fused")
    for chain, count in (("calibrated", 1), ("fused", 2)):
        features = ["--features", study / "f.csv"] * count
        out = study / f"{chain}.csv"
        affectkit("predict", "--model-dir", study / chain, *given, *features, "--include-fit", "-o", out)
        own, again = pd.read_csv(study / chain / "predictions.csv").set_index("id"), pd.read_csv(out).set_index("id")
        held = own.index[own["seen"] == "heldout"]
        assert len(held) == 6 and list(again.index) == sorted(rows["session"].unique())
        assert (again.loc[held, "seen"] == "heldout").all() and (again["seen"] == "fit").sum() == 12
        np.testing.assert_allclose(again.loc[held, PROBABILITIES], own.loc[held, PROBABILITIES], atol=1e-6)
        assert again["windows"].sum() == len(rows)


@pytest.mark.parametrize(
    ("code", "more", "message"),
    [
        (2, ["--model", "mlp"], "--sequence: mlp reads one vector per row, and pools no windows; use --model"),
        (1, ["--sequence", "sesion"], "has no column 'sesion'"),
        (1, ["--time", "clock"], "has no column 'clock'"),
        (2, ["--sequence", ","], "--sequence names no column"),
        (1, ["--sequence", "subject"], "time_sec 0 of sequence 'p0' stands already in row"),
        (1, ["--group", "time_sec"], "has rows of time_sec '0.0' and '0.5'; name a --group of whole sequences"),
    ],
)
def test_what_is_mistyped_is_one_line(affectkit, study, code, more, message):
    result = affectkit(*line(study, *QUICK, *BY_SESSION, *more), "-o", study / "run", code=code)
    assert message in result.stderr and result.stderr.count("\n") == 1


def test_time_without_a_sequence(affectkit, study):
    result = affectkit(*line(study, *QUICK, "--time", "time_sec"), "-o", study / "run", code=2)
    assert "--time needs --sequence" in result.stderr


def test_features_that_are_frames_are_refused(affectkit, study):
    from affectkit.artifacts.features import ShardFacts, write_shard

    ids = list(pd.read_csv(study / "m.csv")["id"])
    (study / "frames").mkdir()
    values = [np.zeros((2, 3), np.float32)] * len(ids)
    write_shard(study / "frames" / "features-00001.safetensors", values, ShardFacts("d", ids, [2] * len(ids)))
    lines = [f"{key},features-00001.safetensors,{2 * place},2" for place, key in enumerate(ids)]
    (study / "frames" / "index.csv").write_text("\n".join(["id,shard,start,frames", *lines]) + "\n")
    (study / "frames" / "encoder.json").write_text('{"schema": 1, "encoder": "x", "pooled": false}')
    result = train(affectkit, study, features="frames", code=1)
    assert "holds frames of each window" in result.stderr and "--pool mean" in result.stderr


def test_a_manifest_without_the_columns_is_one_line(affectkit, trained):
    rows = pd.read_csv(trained / "m.csv")
    rows.drop(columns="session").to_csv(trained / "bare.csv", index=False)
    given = line(trained, "--model-dir", trained / "run", command="predict", manifest="bare.csv")
    result = affectkit(*given, "-o", trained / "no.csv", code=1)
    assert "bare.csv: has no column 'session'" in result.stderr and result.stderr.count("\n") == 1


def test_rows_that_differ_in_their_label_are_predicted_but_not_judged(affectkit, trained):
    rows = pd.read_csv(trained / "m.csv")
    first = rows.index[rows["session"] == "s17"][0]
    rows.loc[first, "label"] = {"calm": "tense", "tense": "calm"}[rows.loc[first, "label"]]
    rows.to_csv(trained / "mixed.csv", index=False)
    given = line(trained, "--model-dir", trained / "run", command="predict", manifest="mixed.csv")
    result = affectkit(*given, "-o", trained / "said.csv")
    assert "label of 1 sequences is left empty, as their rows differ in it: 's17'" in result.stderr
    assert pd.read_csv(trained / "said.csv").set_index("id")["label"].isna().sum() == 1
    refused = train(affectkit, trained, manifest="mixed.csv", out="other", code=1)
    assert "session 's17' has rows of label 'calm' and 'tense'; --truth majority" in refused.stderr
    train(affectkit, trained, "--truth", "majority", manifest="mixed.csv", out="other")


def test_a_service_says_why_it_does_not_take_it(affectkit, trained):
    result = affectkit("serve", trained / "run", "--port", 18001, code=1)
    assert "answers one row for all of a session, which one request does not bring" in result.stderr


@pytest.mark.slow
def test_recordings_are_encoded_window_by_window(affectkit, emodb_twin, tmp_path, monkeypatch):
    """By the model's own encoder, some sequences at a time, as by features; what cannot be read is left out."""
    rows = []
    for place, wav in enumerate(sorted((emodb_twin / "wav").glob("*.wav"))[::3]):
        split = "test" if wav.stem[:2] in ("10", "11") else "train"
        rows.append((wav.stem, str(wav), wav.stem[:2] + "ab"[place % 2], wav.stem[:2], split, place, place % 2))
    columns = ["id", "path", "session", "speaker", "split", "time_sec", "stress"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "m.csv", index=False)
    given = ["--manifest", tmp_path / "m.csv"]
    affectkit("extract-features", *given, "--encoder", "opensmile", "-o", tmp_path / "f")
    affectkit("train", *given, "--features", tmp_path / "f", *QUICK, "--sequence", "session", "-o", tmp_path / "run")
    own = pd.read_csv(tmp_path / "run" / "predictions.csv").set_index("id")["stress_pred"]
    monkeypatch.setattr("affectkit.inference.estimator_model.WINDOW_CHUNK", 8)
    predict = ["predict", "--model-dir", tmp_path / "run"]
    affectkit(*predict, *given, "-o", tmp_path / "raw.csv")
    raw = pd.read_csv(tmp_path / "raw.csv").set_index("id")["stress_pred"]
    np.testing.assert_allclose(raw[own.index], own, atol=1e-5)
    affectkit("evaluate", "--model-dir", tmp_path / "run", *given, "-o", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert report["n"] == len(own) and report["split"] == "test"
    trained = json.loads((tmp_path / "run" / "train_report.json").read_text())["metrics"]["test_stress.mae"]
    assert report["metrics"]["stress.mae"]["value"] == pytest.approx(trained["value"], abs=1e-5)
    table = pd.read_csv(tmp_path / "m.csv")
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    test = table.index[table["split"] == "test"]
    table.loc[test[0], "path"] = str(tmp_path / "bad.wav")
    table.loc[table["session"] == table.loc[test[-1], "session"], "path"] = str(tmp_path / "bad.wav")
    table.to_csv(tmp_path / "some.csv", index=False)
    given = ["--manifest", tmp_path / "some.csv", "--on-error", "skip"]
    affectkit(*predict, *given, "-o", tmp_path / "some_said.csv")
    said = pd.read_csv(tmp_path / "some_said.csv").set_index("id")
    assert set(said.index) == set(own.index) - {table.loc[test[-1], "session"]}
    readable = table[~table["path"].str.endswith("bad.wav")].groupby("session").size()
    assert said["windows"].to_dict() == readable[said.index].to_dict()
    for more, message in ((["--window", 1], "--window makes a row of each window"), ([], "has no column 'session'")):
        result = affectkit(*predict, emodb_twin / "wav", *more, code=2 if more else 1)
        assert message in result.stderr
