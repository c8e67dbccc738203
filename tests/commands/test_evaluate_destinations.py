"""`affectkit evaluate` writing single files, besides a folder or instead of one."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.runs import digest

CLASSES = ["anger", "joy", "neutral"]
FLAGS = {"--output-json": "m.json", "--output-confusion-csv": "c.csv", "--output-predictions-csv": "p.csv"}


@pytest.fixture
def table(tmp_path):
    """`table(name)`: a CSV of 60 test and 30 val rows by 6 speakers, three classes and a number."""

    def write(name="predictions.csv", seed=0):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 3, 90)
        scores = np.exp(rng.normal(0, 1, (90, 3)) + 1.5 * np.eye(3)[truth])
        frame = pd.DataFrame({"id": [f"r{i}" for i in range(90)], "split": ["test"] * 60 + ["val"] * 30})
        frame["seen"], frame["label"] = "heldout", [CLASSES[i] for i in truth]
        frame["pred"] = [CLASSES[i] for i in scores.argmax(axis=1)]
        frame[[f"prob_{name}" for name in CLASSES]] = scores / scores.sum(axis=1, keepdims=True)
        frame["valence"], frame["valence_pred"] = truth.astype(float), truth + rng.normal(0, 1, 90)
        frame["speaker"] = [f"s{i % 6}" for i in range(90)]
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return write


@pytest.fixture
def files(tmp_path):
    """The three options, each with a file in `out/`."""
    return [part for flag, name in FLAGS.items() for part in (flag, tmp_path / "out" / name)]


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_the_files_say_what_the_folder_says(affectkit, table, files, tmp_path):
    path = table()
    result = affectkit("evaluate", path, *files, "-o", tmp_path / "report")
    assert result.stdout.strip() == str(tmp_path / "report")
    out, report = tmp_path / "out", tmp_path / "report"
    assert (out / "m.json").read_bytes() == (report / "metrics.json").read_bytes()
    assert (out / "c.csv").read_bytes() == (report / "confusion_counts.csv").read_bytes()
    judged, rows = pd.read_csv(out / "p.csv"), pd.read_csv(path)
    assert list(judged["id"]) == list(rows["id"][rows["split"] == "test"])
    counts = pd.read_csv(out / "c.csv", index_col=0)  # against pandas
    assert (counts.to_numpy() == pd.crosstab(judged["label"], judged["pred"]).loc[CLASSES, CLASSES].to_numpy()).all()
    assert names(out) == {name + end for name in FLAGS.values() for end in ("", ".run.json")}
    for name in FLAGS.values():
        record = json.loads((out / f"{name}.run.json").read_text())
        assert record["command"] == "evaluate"
        assert [item["path"] for item in record["outputs"]] == [name]
        assert record["outputs"][0]["sha256"] == digest(out / name)["sha256"]
        assert record["inputs"][0]["sha256"] == digest(path)["sha256"]


def test_without_a_folder_only_the_files_are_written(affectkit, table, files, tmp_path):
    path = table()
    affectkit("evaluate", path, *files, "-o", tmp_path / "report")
    before = names(tmp_path)
    for flag, name in FLAGS.items():
        result = affectkit("evaluate", path, flag, tmp_path / "alone" / name)
        assert result.stdout.strip() == str(tmp_path / "alone" / name)
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert names(tmp_path) == before | {"alone"}
    assert names(tmp_path / "alone") == names(tmp_path / "out")


def test_the_judged_predictions_are_judged_the_same_again(affectkit, table, files, tmp_path):
    bare = pd.read_csv(table()).drop(columns=["speaker", "split", "seen"])
    bare.to_csv(tmp_path / "bare.csv", index=False)
    pd.read_csv(tmp_path / "predictions.csv")[["id", "split", "speaker"]].to_csv(tmp_path / "m.csv", index=False)
    affectkit("evaluate", tmp_path / "bare.csv", "-m", tmp_path / "m.csv", *files)
    first = json.loads((tmp_path / "out" / "m.json").read_text())
    assert first["n"] == 60 and first["groups"] == {"column": "speaker", "count": 6}
    assert "seen" not in pd.read_csv(tmp_path / "out" / "p.csv")  # nobody vouched for the rows
    affectkit("evaluate", tmp_path / "out" / "p.csv", "--output-json", tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    for name, figure in first["metrics"].items():  # probabilities have nine digits in a table
        assert again["metrics"][name]["value"] == pytest.approx(figure["value"], rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_file_that_is_there_is_kept_unless_overwritten_and_nothing_is_begun(affectkit, table, files, tmp_path, flag):
    path, there = table(), tmp_path / "out" / FLAGS[flag]
    there.parent.mkdir()
    there.write_text("mine")
    result = affectkit("evaluate", path, *files, "-o", tmp_path / "report", code=1)
    assert f"{there}: exists already; pass --overwrite" in result.stderr
    assert there.read_text() == "mine"
    assert names(tmp_path / "out") == {there.name} and not (tmp_path / "report").exists()
    affectkit("evaluate", path, *files, "--overwrite")
    assert there.read_text() != "mine"


def test_resume_keeps_what_is_finished_and_makes_what_lacks(affectkit, table, files, tmp_path):
    line = ("evaluate", table(), *files, "-o", tmp_path / "report", "--resume")
    affectkit(*line)
    every = [path for folder in ("out", "report") for path in (tmp_path / folder).iterdir()]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in every}
    affectkit(*line)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in every} == before
    (tmp_path / "out" / "c.csv").unlink()
    affectkit(*line)
    made = {path for path in every if path.stat().st_mtime_ns != before[path][0]}
    assert made == {tmp_path / "out" / "c.csv", tmp_path / "out" / "c.csv.run.json"}
    assert (tmp_path / "out" / "c.csv").read_bytes() == before[tmp_path / "out" / "c.csv"][1]


def test_resume_never_takes_the_file_of_other_predictions_for_its_own(affectkit, table, tmp_path):
    wanted = ("--output-json", tmp_path / "m.json")
    affectkit("evaluate", table(), *wanted)
    line = ("evaluate", table("other.csv", seed=1), *wanted, "-o", tmp_path / "report", "--resume")
    assert "m.json: exists already" in affectkit(*line, code=1).stderr
    (tmp_path / "m.json.run.json").unlink()
    assert "m.json: exists already" in affectkit(*line, code=1).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing would be written; name a folder with --output-dir"),
        (("--output-json", "x", "--output-confusion-csv", "./x"), "--output-json and --output-confusion-csv name the"),
        (("--output-json", "report/x.json", "-o", "report"), "--output-json lies in --output-dir"),
        (("--output-json", "x.json", "--resume"), "--resume goes on with a folder"),
        (("--output-jsn", "x.json"), "No such option: --output-jsn"),
    ],
)
def test_a_mistyped_destination_is_a_usage_error(affectkit, table, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    before = {table().name}
    assert said in " ".join(affectkit("evaluate", "predictions.csv", *options, code=2).stderr.split())
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("folder", "folder: is a folder; name a file"),
        ("predictions.csv/m.json", "predictions.csv is a file, not a folder"),
        ("predictions.csv", "exists already"),
    ],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(affectkit, table, tmp_path, monkeypatch, place, said):
    path = table()
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("affectkit.artifacts.sources.read_joined", None)  # reading would be an error of another kind
    assert said in affectkit("evaluate", path, "--output-json", tmp_path / place, code=1).stderr


def test_overwriting_spares_the_input(affectkit, table):
    path = table()
    before = path.read_bytes()
    line = ("evaluate", path, "--output-predictions-csv", path, "--overwrite")
    assert "would delete the input" in affectkit(*line, code=1).stderr
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_found_before_the_work(affectkit, table, tmp_path):
    path = table()
    (tmp_path / "shut").mkdir(mode=0o500)
    line = ("evaluate", path, "--output-json", tmp_path / "shut" / "m.json")
    assert "permission denied" in affectkit(*line, code=1).stderr


def test_a_confusion_of_numbers_is_a_usage_error(affectkit, table, tmp_path):
    path = table()
    frame = pd.read_csv(path)
    frame[["id", "split", "seen", "valence", "valence_pred"]].to_csv(tmp_path / "numbers.csv", index=False)
    line = ("evaluate", tmp_path / "numbers.csv", "--output-json", tmp_path / "m.json")
    said = affectkit(*line, "--output-confusion-csv", tmp_path / "c.csv", code=2).stderr
    assert "--output-confusion-csv is of classes, and valence is predicted as a number" in said
    frame.assign(label="").to_csv(path, index=False)
    said = affectkit(
        "evaluate", path, "--output-confusion-csv", tmp_path / "c.csv", "-o", tmp_path / "r", code=1
    ).stderr
    assert "c.csv: no row has a truth of a class" in said
    assert names(tmp_path) == {"predictions.csv", "numbers.csv"}


def test_of_several_class_targets_the_first_is_written(affectkit, table, tmp_path):
    frame = pd.read_csv(table())
    frame["mood"], frame["mood_pred"] = "up", "up"
    frame["mood_prob_up"], frame["mood_prob_down"] = 1.0, 0.0
    frame.to_csv(tmp_path / "two.csv", index=False)
    affectkit("evaluate", tmp_path / "two.csv", "--output-confusion-csv", tmp_path / "c.csv")
    assert list(pd.read_csv(tmp_path / "c.csv")["true"]) == CLASSES


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a manifest `m` and models of text: `classes`, and `numbers` of valence."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    root = tmp_path_factory.mktemp("study")
    lines = ["id,label,valence,text,speaker,split"]
    for n in range(48):
        label, word = [("joy", "sunny"), ("rage", "shout")][n % 2]
        lines.append(f"u{n:02},{label},{n % 5},the {word} day {n},s{n // 4},{'train' if n < 32 else 'test'}")
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    for line in (
        f"prepare-manifest csv {root}/t.csv --path-column= --split-by official --target-columns valence=0:4"
        f" -o {root}/m",
        f"extract-features -m {root}/m --encoder text-ngrams -o {root}/f",
        f"train -m {root}/m --features {root}/f -o {root}/classes",
        f"train -m {root}/m --features {root}/f --target valence -o {root}/numbers",
    ):
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output, result.exception)
    return root


def test_a_model_is_judged_into_files(affectkit, study, files, tmp_path):
    affectkit("evaluate", "--model-dir", study / "classes", "-m", study / "m", "--num-workers", 0, *files)
    affectkit(
        "predict", "--model-dir", study / "classes", "-m", study / "m", "--split", "test", "-o", tmp_path / "q.csv"
    )
    judged, predicted = pd.read_csv(tmp_path / "out" / "p.csv"), pd.read_csv(tmp_path / "q.csv")
    assert list(judged["id"]) == list(predicted["id"])
    np.testing.assert_allclose(judged["prob_joy"], predicted["prob_joy"], rtol=1e-6)
    accuracy = json.loads((tmp_path / "out" / "m.json").read_text())["metrics"]["accuracy"]["value"]
    assert accuracy == pytest.approx((judged["label"] == judged["pred"]).mean())


def test_a_confusion_of_a_model_of_numbers_is_refused_before_it_predicts(affectkit, study, tmp_path, monkeypatch):
    monkeypatch.setattr("affectkit.inference.estimator_model.EstimatorPipeline.predict", None)
    line = ("evaluate", "--model-dir", study / "numbers", "-m", study / "m", "--output-confusion-csv", tmp_path / "c")
    assert "valence is predicted as a number" in affectkit(*line, code=2).stderr


def test_rows_that_a_model_cannot_predict_stop_or_are_left_out_and_said(affectkit, study, tmp_path):
    rows = pd.read_csv(study / "m" / "test.csv")
    rows.loc[0, "text"] = ""
    rows.to_csv(tmp_path / "test.csv", index=False)
    line = (
        "evaluate",
        "--model-dir",
        study / "classes",
        "-m",
        tmp_path / "test.csv",
        "--output-json",
        tmp_path / "m.json",
    )
    assert "test.csv row 1: has no text" in affectkit(*line, code=1).stderr
    affectkit(*line, "--on-error", "skip", "--device", "cpu")
    report = json.loads((tmp_path / "m.json").read_text())
    assert report["n"] == len(rows) - 1
    assert f"1 of {len(rows)} rows could not be predicted and are not judged" in report["warnings"]
