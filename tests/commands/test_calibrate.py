"""affectkit calibrate: real probabilities, the guard, foreign tables, chains."""

import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from affectkit.inference import load_model


@pytest.fixture(scope="module")
def cifar(real_data, tmp_path_factory):
    """VGG16 on CIFAR-10 as a table of another tool: rows 0-4999 are val, the others test."""
    data = np.load(real_data / "calibration" / "cifar10_vgg16_probs.npz")
    names = [f"c{k}" for k in range(10)]
    frame = pd.DataFrame(data["probs"].astype(float), columns=[f"prob_{name}" for name in names])
    frame.insert(0, "id", [f"{i:05d}" for i in range(len(frame))])
    frame["label"] = [names[k] for k in data["labels"].ravel()]
    frame["split"] = np.where(np.arange(len(frame)) < 5000, "val", "test")
    path = tmp_path_factory.mktemp("cifar") / "probs.csv"
    frame.to_csv(path, index=False)
    return path


def report_of(folder):
    return json.loads((folder / "train_report.json").read_text())


def test_temperature_on_cifar_gives_the_published_figures(affectkit, cifar, tmp_path):
    affectkit("calibrate", cifar, "--method", "temperature", "--treat-as", "val", "-o", tmp_path / "t")
    fitted = json.loads((tmp_path / "t" / "best_model" / "calibration.json").read_text())["targets"]["label"]
    assert fitted["parameters"]["temperature"] == pytest.approx(1.7359, abs=1e-3)
    report = report_of(tmp_path / "t")
    assert report["fit_rows"] == 5000 and report["fitted_on"] == "val"
    changes = report["changes"]["test"]["label"]
    for name, before, after in (
        ("ece", 0.03742, 0.01672), ("nll", 0.22697, 0.18306), ("brier", 0.09718, 0.08861), ("accuracy", 0.9404, 0.9404),
    ):  # fmt: skip
        assert changes[name]["before"] == pytest.approx(before, abs=5e-5), name
        assert changes[name]["after"] == pytest.approx(after, abs=5e-5), name
    assert changes["nll"]["better"] and report["metrics"]["test_ece"]["value"] == changes["ece"]["after"]


@pytest.fixture
def table(tmp_path):
    """Overconfident predictions of 12 speakers, val and test, with logits that a temperature of 3 would mend."""

    def write(name="p.csv", rows=600, **columns):
        rng = np.random.default_rng(0)
        logits = rng.normal(0, 1, (rows, 3))
        truth = [rng.choice(3, p=np.exp(z) / np.exp(z).sum()) for z in logits]
        shares = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True)
        frame = pd.DataFrame(shares, columns=["prob_angry", "prob_calm", "prob_sad"])
        frame.insert(0, "id", [f"r{i:04d}" for i in range(rows)])
        frame["label"] = np.array(["angry", "calm", "sad"])[truth]
        frame["speaker"] = [f"s{i % 12:02d}" for i in range(rows)]
        frame["split"] = np.where(np.arange(rows) % 12 < 8, "val", "test")
        frame["seen"] = "heldout"
        for column, values in columns.items():
            frame[column] = values
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return write


def test_fit_rows_are_answered_by_fits_of_other_speakers_and_test_rows_by_the_final_one(affectkit, table, tmp_path):
    affectkit("calibrate", table(), "--method", "temperature", "-o", tmp_path / "t")
    fitted = json.loads((tmp_path / "t" / "best_model" / "calibration.json").read_text())["targets"]["label"]
    t = fitted["parameters"]["temperature"]
    before, after = pd.read_csv(table()), pd.read_csv(tmp_path / "t" / "predictions.csv")
    columns = ["prob_angry", "prob_calm", "prob_sad"]
    powered = before[columns].to_numpy() ** (1 / t)
    expected = powered / powered.sum(axis=1, keepdims=True)
    test = (after["split"] == "test").to_numpy()
    np.testing.assert_allclose(after[columns].to_numpy()[test], expected[test], atol=1e-8)
    assert np.abs(after[columns].to_numpy()[~test] - expected[~test]).max() > 1e-5
    assert set(after["seen"][~test]) == {"oof"} and set(after["seen"][test]) == {"heldout"}
    fit_rows = pd.read_csv(tmp_path / "t" / "fit_rows.csv")
    assert set(fit_rows["id"]) == set(before["id"][~test]) and set(fit_rows["role"]) == {"fit"}
    assert report_of(tmp_path / "t")["folds"] == "leave one speaker out (8)"
    assert t == pytest.approx(3, abs=0.5)


def test_auto_takes_a_calibration_that_helps_and_none_where_none_does(affectkit, table, tmp_path):
    result = affectkit("calibrate", table(), "-o", tmp_path / "a")
    assert report_of(tmp_path / "a")["method"] == {"label": "temperature"}, result.stderr
    affectkit("calibrate", tmp_path / "a", "-o", tmp_path / "b")
    assert report_of(tmp_path / "b")["method"] == {"label": "none"}
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "a" / "predictions.csv"), pd.read_csv(tmp_path / "b" / "predictions.csv")
    )


@pytest.mark.parametrize(
    ("columns", "options", "code", "message"),
    [
        ({"split": "test"}, (), 1, "has no oof or val rows to fit on: it has 600 (test, heldout)"),
        ({"split": "train", "seen": "fit"}, (), 1, "600 (train, fit); test and in-sample rows are never fitted on"),
        ({}, ("--fit-on", "oof"), 1, "has no oof rows to fit on"),
        ({}, ("--method", "linear"), 2, "linear does not calibrate label (class); use"),
        ({}, ("--method", "temprature"), 2, "there is no method 'temprature'; did you mean temperature"),
        ({}, ("--treat-as", "val"), 2, "these have one"),
        ({}, ("--group", "speker"), 1, "did you mean speaker"),
        ({}, ("--target", "labl"), 2, "predicts no 'labl'; did you mean label"),
        ({"speaker": "one"}, ("--method", "isotonic"), 1, "all 400 val rows are of one speaker"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(columns, options, code, message, affectkit, table, tmp_path):
    result = affectkit("calibrate", table(**columns), *options, "-o", tmp_path / "x", code=code)
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_one_speaker_may_have_a_temperature_and_is_warned_of(affectkit, table, tmp_path):
    result = affectkit("calibrate", table(speaker="one"), "--method", "temperature", "-o", tmp_path / "x")
    assert "all fit rows are of one speaker" in result.stderr


def test_a_table_of_another_tool_needs_its_users_word(affectkit, table, tmp_path):
    frame = pd.read_csv(table()).drop(columns=["seen", "split", "speaker"])
    frame.to_csv(tmp_path / "foreign.csv", index=False)
    refused = affectkit("calibrate", tmp_path / "foreign.csv", "-o", tmp_path / "x", code=1)
    assert "--treat-as val" in refused.stderr
    line = ("calibrate", tmp_path / "foreign.csv", "--treat-as", "val", "--method", "temperature")
    taken = affectkit(*line, "-o", tmp_path / "x")
    assert "no groups are known" in taken.stderr
    assert set(pd.read_csv(tmp_path / "x" / "predictions.csv")["seen"]) == {"oof"}


def test_a_manifest_says_which_rows_of_another_tools_table_are_test_rows(affectkit, table, tmp_path):
    whole = pd.read_csv(table())
    whole.drop(columns=["seen", "split", "speaker"]).to_csv(tmp_path / "foreign.csv", index=False)
    whole["split"] = ["train"] * 100 + list(whole["split"][100:])
    whole[["id", "label", "speaker", "split"]].to_csv(tmp_path / "rows.csv", index=False)
    line = ("calibrate", tmp_path / "foreign.csv", "--manifest", tmp_path / "rows.csv", "--method", "temperature")
    affectkit(*line, "--treat-as", "val", "-o", tmp_path / "x")
    fitted = set(pd.read_csv(tmp_path / "x" / "fit_rows.csv")["id"])
    assert fitted == set(whole["id"][whole["split"] == "val"])
    seen = pd.read_csv(tmp_path / "x" / "predictions.csv")["seen"]
    assert set(seen[whole["split"] == "test"]) == {"heldout"} and set(seen[whole["split"] == "train"]) == {"fit"}


def test_the_page_shows_both_sides_where_a_manifest_has_the_truth(affectkit, table, tmp_path):
    rows = pd.read_csv(table())
    rows.drop(columns=["label"]).to_csv(tmp_path / "answers.csv", index=False)
    rows[["id", "label", "speaker", "split"]].to_csv(tmp_path / "rows.csv", index=False)
    line = ("calibrate", tmp_path / "answers.csv", "--manifest", tmp_path / "rows.csv", "--method", "temperature")
    affectkit(*line, "-o", tmp_path / "x")
    affectkit("calibrate", table(), "--method", "temperature", "-o", tmp_path / "y")
    pages = [(tmp_path / folder / "report.html").read_text() for folder in ("x", "y")]
    pictures, expected = (re.findall(r"<svg.*?</svg>", page, re.DOTALL) for page in pages)
    assert len(expected) > 2 and pictures == expected


@pytest.fixture
def numbers(tmp_path):
    """Valence of 24 speakers with a variance of few passes, which is far too small; 18 speakers are val, 6 test."""
    rng, rows = np.random.default_rng(0), 960
    truth, spread = np.clip(rng.normal(3, 0.8, rows), 1, 5), rng.uniform(0.3, 0.6, rows)
    passes = (truth + rng.normal(0, 1.3, rows) * spread)[:, None] + rng.normal(0, 0.5, (rows, 5)) * spread[:, None]
    frame = pd.DataFrame({"id": [f"r{i:04d}" for i in range(rows)], "seen": "heldout", "valence": truth})
    frame["valence_pred"], frame["valence_var"] = passes.mean(axis=1), passes.var(axis=1, ddof=1)
    frame["split"] = np.where(np.arange(rows) % 24 < 18, "val", "test")
    frame["speaker"] = [f"s{i % 24:02d}" for i in range(rows)]
    frame["sex"] = ["f" if i % 2 else "m" for i in range(rows)]
    frame.to_csv(tmp_path / "numbers.csv", index=False)
    return tmp_path / "numbers.csv"


def test_variances_come_to_the_size_of_the_errors(affectkit, numbers, tmp_path):
    result = affectkit("calibrate", numbers, "--method", "variance-scaling", "-o", tmp_path / "v")
    said = report_of(tmp_path / "v")["variance_coverage"]["test"]["valence"]
    assert said["0.68"]["before"] < 0.4 and 0.62 < said["0.68"]["after"] < 0.75
    assert 0.91 < said["0.95"]["after"] < 0.98
    assert "test valence: 95% intervals of its variance hold" in result.stderr
    frame = pd.read_csv(tmp_path / "v" / "predictions.csv")
    test = frame[frame["split"] == "test"]
    inside = (test["valence"] - test["valence_pred"]).abs() <= 1.959964 * np.sqrt(test["valence_var"])
    assert inside.mean() == pytest.approx(said["0.95"]["after"])


def test_conformal_intervals_hold_the_truth_as_often_as_asked_by_column(affectkit, numbers, tmp_path):
    affectkit("calibrate", numbers, "--method", "conformal", "--coverage", 0.9, "--per", "sex", "-o", tmp_path / "c")
    said = report_of(tmp_path / "c")["coverage"]["oof"]["valence"]
    for rows in ("all", "sex=f", "sex=m"):
        assert said[rows]["value"] == pytest.approx(0.9, abs=0.03), rows
    refused = affectkit("calibrate", numbers, "--method", "conformal", "--per", "age", "-o", tmp_path / "d", code=1)
    assert "has no column 'age'" in refused.stderr


def test_abstain_marks_the_rows_below_the_threshold(affectkit, table, tmp_path):
    affectkit("calibrate", table(), "--method", "temperature", "--wanted-error", 0.3, "--abstain", "-o", tmp_path / "x")
    said = report_of(tmp_path / "x")["selective"]["label"]
    frame = pd.read_csv(tmp_path / "x" / "predictions.csv", dtype={"abstain": str})
    kept = frame[(frame["abstain"] == "false") & (frame["seen"] == "oof")]
    assert (kept["pred"] != kept["label"]).mean() <= 0.3
    assert len(kept) / (frame["seen"] == "oof").sum() == pytest.approx(said["parts"]["oof"]["coverage"])


def test_a_rerun_writes_the_same_bytes(affectkit, table, tmp_path):
    for name in ("x", "y"):
        affectkit("calibrate", table(), "--method", "temperature", "-o", tmp_path / name / "run")
    for path in sorted((tmp_path / "x").rglob("*")):
        if path.is_file() and path.name not in ("run.json", "started.json"):
            assert path.read_bytes() == (tmp_path / "y" / path.relative_to(tmp_path / "x")).read_bytes(), path


def answers(affectkit, model, file):
    return pd.read_csv(io.StringIO(affectkit("predict", "--model-dir", model, file).stdout))


def test_predict_runs_the_chain_from_a_bare_recording(affectkit, speech, emodb_twin, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(speech / "linear", study / "linear")
    affectkit("calibrate", study / "linear", "--method", "temperature", "-o", study / "calibrated")
    one = sorted(emodb_twin.rglob("*.wav"))[0]
    shutil.copy(one, tmp_path / "new.wav")
    plain = answers(affectkit, study / "linear", tmp_path / "new.wav")
    said = answers(affectkit, study / "calibrated", tmp_path / "new.wav")
    t = load_model(study / "calibrated").stage.targets["label"]["parameters"]["temperature"]
    columns = [c for c in plain if c.startswith("prob_")]
    powered = plain[columns].to_numpy() ** (1 / t)
    np.testing.assert_allclose(said[columns].to_numpy(), powered / powered.sum(), atol=1e-6)

    affectkit("calibrate", study / "linear", "--method", "temperature", "--bundle", "-o", study / "bundled")
    shutil.move(study / "bundled" / "best_model", tmp_path / "elsewhere")
    shutil.rmtree(study)
    pd.testing.assert_frame_equal(answers(affectkit, tmp_path / "elsewhere", tmp_path / "new.wav"), said)


def test_a_parent_that_changed_or_went_is_refused(affectkit, speech, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(speech / "linear", study / "linear")
    affectkit("calibrate", study / "linear", "--method", "temperature", "-o", study / "calibrated")
    (study / "linear" / "best_model" / "label.safetensors").write_bytes(b"other")
    changed = affectkit("predict", "--model-dir", study / "calibrated", "x.wav", code=1)
    assert "label.safetensors: was changed since its run finished" in changed.stderr
    for record in ("run.json", "started.json"):
        (study / "linear" / record).unlink()
    changed = affectkit("predict", "--model-dir", study / "calibrated", "x.wav", code=1)
    assert "its parent 'model' has changed since" in changed.stderr
    shutil.rmtree(study / "linear")
    gone = affectkit("predict", "--model-dir", study / "calibrated", "x.wav", code=1)
    assert "its parent 'model' is not at" in gone.stderr


@pytest.mark.parametrize("method", ["auto", "isotonic", "histogram", "vector"])
def test_a_class_that_no_fit_row_has_is_named_and_keeps_its_probability(method, affectkit, table, tmp_path):
    path = table()
    frame = pd.read_csv(path)
    frame[(frame["split"] == "test") | (frame["label"] != "calm")].to_csv(path, index=False)
    result = affectkit("calibrate", path, "--method", method, "-o", tmp_path / "x")
    assert "warning: label: none of the rows fitted on is calm" in result.stderr
    after = pd.read_csv(tmp_path / "x" / "predictions.csv").set_index("id")
    assert (after["prob_calm"] > 0).all()


@pytest.mark.parametrize("variance", [1e-320, 1e308, 0.0, "mixed"])
@pytest.mark.parametrize("method", ["linear", "variance-scaling", "conformal"])
def test_any_variance_is_defined(variance, method, affectkit, numbers, tmp_path):
    frame = pd.read_csv(numbers)
    frame["valence_var"] = np.where(np.arange(len(frame)) % 3, 1e-320, 1e308) if variance == "mixed" else variance
    frame.to_csv(numbers, index=False)
    result = affectkit("calibrate", numbers, "--method", method, "-o", tmp_path / "x")
    assert "Warning" not in result.stderr
    assert np.isfinite(pd.read_csv(tmp_path / "x" / "predictions.csv")["valence_pred"]).all()


@pytest.mark.parametrize("column", ["valence", "valence_pred"])
def test_a_number_too_large_to_compute_with_is_refused(column, affectkit, numbers, tmp_path):
    frame = pd.read_csv(numbers)
    frame.loc[6, column] = 1e300
    frame.to_csv(numbers, index=False)
    result = affectkit("calibrate", numbers, "--method", "linear", "-o", tmp_path / "x", code=1)
    assert f"row 7: {column} 1e+300 is too large" in result.stderr and result.stderr.count("\n") == 1
