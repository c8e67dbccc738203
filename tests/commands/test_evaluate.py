"""`affectkit evaluate` as a user runs it: on tables of affectkit and of others, and what its folder then holds."""

import inspect
import json
import re
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, recall_score

from affectkit.artifacts.files import write_json
from affectkit.artifacts.reports import read_report
from affectkit.artifacts.runs import open_run

CLASSES = ["anger", "joy", "neutral"]


@pytest.fixture
def table():
    """`table(rows, speakers)`: predictions of three classes, as affectkit writes them, of split test unless told."""

    def make(rows=120, speakers=6, split="test", seen="heldout", seed=0):
        rng = np.random.default_rng(seed)
        speaker = np.array([f"s{i % speakers}" for i in range(rows)])
        truth = rng.integers(0, 3, rows)
        scores = rng.normal(0, 1, (rows, 3)) + 1.5 * np.eye(3)[truth]
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        frame = pd.DataFrame({"id": [f"{split}-{seen}-{i}" for i in range(rows)], "split": split, "seen": seen})
        frame["label"] = [CLASSES[i] for i in truth]
        frame["pred"] = [CLASSES[i] for i in probabilities.argmax(axis=1)]
        for position, name in enumerate(CLASSES):
            frame[f"prob_{name}"] = probabilities[:, position]
        frame["speaker"] = speaker
        frame["sex"] = np.where([int(s[1:]) % 2 for s in speaker], "male", "female")
        return frame

    return make


@pytest.fixture
def write(tmp_path):
    """Write a frame as CSV: `write(frame, "predictions.csv")` gives its path."""

    def to_file(frame, name="predictions.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
        return path

    return to_file


@pytest.fixture
def manifest(tmp_path):
    """`manifest(frame)`: a manifest of the frame's ids, with its label, speaker and sex, and a declared defect."""

    def make(frame, folder="manifest"):
        rows = frame[["id", "split", "label", "speaker", "sex"]]
        for split, part in rows.groupby("split"):
            (tmp_path / folder).mkdir(exist_ok=True)
            part.to_csv(tmp_path / folder / f"{split}.csv", index=False)
        targets = [{"name": "label", "kind": "class", "classes": CLASSES}]
        declared = ["the cast is in all splits: speaker-dependent by protocol"]
        corpora = {"meld": {"root": "MELD", "title": "MELD", "licence": "GPL-3.0", "citation": "Poria et al. 2019"}}
        write_json(tmp_path / folder / "summary.json", {"targets": targets, "declared": declared, "corpora": corpora})
        return tmp_path / folder

    return make


def numbers(page):
    return {float(value) for value in re.findall(r'<data value="([^"]+)">', page)}


def test_metrics_equal_scikit_learn_in_every_file(affectkit, table, write, tmp_path):
    frame = table()
    out = tmp_path / "report"
    result = affectkit("evaluate", write(frame), "-o", out)
    assert result.stdout.strip() == str(out)
    report = read_report(out)
    expected = {
        "accuracy": accuracy_score(frame["label"], frame["pred"]),
        "uar": recall_score(frame["label"], frame["pred"], average="macro"),
        "macro_f1": f1_score(frame["label"], frame["pred"], average="macro"),
    }
    page = (out / "report.html").read_text()
    for name, value in expected.items():
        assert report["metrics"][name]["value"] == pytest.approx(value, abs=1e-12)
        assert report["metrics"][name]["low"] < value < report["metrics"][name]["high"]
        assert report["metrics"][name]["value"] in numbers(page)
    assert (report["split"], report["n"], report["seen"]) == ("test", 120, ["heldout"])
    assert report["groups"] == {"column": "speaker", "count": 6}
    counts = pd.read_csv(out / "confusion_counts.csv", index_col=0)
    assert (counts.to_numpy() == pd.crosstab(frame["label"], frame["pred"]).loc[CLASSES, CLASSES].to_numpy()).all()
    assert f"{expected['uar']:.3f}" in result.stderr
    for name in (
        "confusion.svg",
        "reliability.svg",
        "recall.svg",
        "groups_uar.svg",
        "per_class.csv",
        "per_group.csv",
        "run.json",
    ):
        assert (out / name).stat().st_size > 0


def test_judges_the_test_split_unless_told(affectkit, table, write, tmp_path):
    parts = [table(split="val", rows=60), table(split="test"), table(split="train", seen="oof", rows=90)]
    predictions = write(pd.concat([*parts, table(split="train", seen="fit", rows=30)]))
    for options, expected in [
        ((), ("test", 120, ["heldout"])),
        (("--split", "val"), ("val", 60, ["heldout"])),
        (("--split", "oof"), ("oof", 90, ["oof"])),
    ]:
        affectkit("evaluate", predictions, *options, "--overwrite", "-o", tmp_path / "report")
        report = read_report(tmp_path / "report")
        assert (report["split"], report["n"], report["seen"]) == expected


def test_fitted_rows_are_refused(affectkit, table, write, tmp_path):
    frame = pd.concat([table(), table(seen="fit", rows=3)])
    result = affectkit("evaluate", write(frame), "-o", tmp_path / "report", code=1)
    assert "row 121: id 'test-fit-0' is in-sample" in result.stderr
    assert not (tmp_path / "report").exists()


def test_groups_slices_truth_and_defects_come_from_the_manifest(affectkit, table, write, manifest, tmp_path):
    frame = table()
    bare = frame.drop(columns=["speaker", "sex", "label"])
    out = tmp_path / "report"
    affectkit("evaluate", write(bare), "--manifest", manifest(frame), "--slices", "sex", "-o", out)
    affectkit("evaluate", write(frame, "full.csv"), "--slices", "sex", "-o", tmp_path / "full")
    report, full = read_report(out), read_report(tmp_path / "full")
    assert report["groups"] == {"column": "speaker", "count": 6}
    assert set(report["slices"]) == {"sex=female", "sex=male"}
    for key in ("metrics", "slices", "per_group", "per_class"):
        assert report[key] == full[key]
    women = frame[frame["sex"] == "female"]
    expected = accuracy_score(women["label"], women["pred"])
    assert report["slices"]["sex=female"]["metrics"]["accuracy"]["value"] == pytest.approx(expected, abs=1e-12)
    assert report["declared"] == ["the cast is in all splits: speaker-dependent by protocol"]
    page = (out / "report.html").read_text()
    assert "speaker-dependent by protocol" in page
    assert "GPL-3.0" in page


def test_another_group_column(affectkit, table, write, tmp_path):
    affectkit("evaluate", write(table()), "--group", "sex", "-o", tmp_path / "report")
    assert read_report(tmp_path / "report")["groups"] == {"column": "sex", "count": 2}


def test_a_table_from_elsewhere(affectkit, table, write, tmp_path):
    frame = table()[["id", "label", "pred"]]
    result = affectkit("evaluate", write(frame), "--treat-as", "val", "-o", tmp_path / "report")
    report = read_report(tmp_path / "report")
    assert report["split"] == "val"
    assert report["groups"] is None
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(frame["label"], frame["pred"]))
    assert "ece" not in report["metrics"] or report["metrics"]["ece"]["value"] is None
    page = (tmp_path / "report" / "report.html").read_text()
    for warning in report["warnings"]:
        assert f"warning: {warning}" in result.stderr
    for part in ("no groups are known", "no column 'seen'", "because --treat-as says so"):
        assert any(part in warning for warning in report["warnings"])
    assert page.index("no groups are known") < page.index("Key figures")
    assert "rows taken as independent (i.i.d.)" in page


def test_floors_are_those_of_the_manifests_train_rows(affectkit, table, write, manifest, tmp_path):
    train, test = table(split="train"), table(seed=1)
    train.loc[:, "label"] = ["neutral"] * 100 + ["joy"] * 20
    affectkit("evaluate", write(test), "-m", manifest(pd.concat([train, test])), "-o", tmp_path / "report")
    floors = read_report(tmp_path / "report")["floors"]
    assert list(floors) == ["majority"]
    assert floors["majority"]["accuracy"] == pytest.approx((test["label"] == "neutral").mean(), abs=1e-12)
    affectkit("evaluate", write(test), "-o", tmp_path / "without")
    assert list(read_report(tmp_path / "without")["floors"]) == ["judged_majority"]


def test_numbers(affectkit, write, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, 300)
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(300)], "split": "test", "seen": "heldout"})
    frame["valence"], frame["valence_pred"] = truth, 0.5 * truth + 1.5 + rng.normal(0, 0.3, 300)
    frame["speaker"] = [f"s{i % 12}" for i in range(300)]
    affectkit("evaluate", write(frame), "-o", tmp_path / "report")
    report = read_report(tmp_path / "report")
    stored = pd.read_csv(tmp_path / "predictions.csv")
    assert report["metrics"]["valence.mae"]["value"] == pytest.approx(
        mean_absolute_error(stored["valence"], stored["valence_pred"]), abs=1e-12
    )
    for name in ("valence_scatter.svg", "valence_bland_altman.svg", "per_target.csv"):
        assert (tmp_path / "report" / name).exists()


def test_alerts(affectkit, table, write, tmp_path):
    stress = np.random.default_rng(0).integers(0, 5, (2, 120))
    frame = table().assign(stress=stress[0], stress_pred=stress.mean(axis=0))
    asked = ("--alert", "anger>=.5", "--alert", "stress>=2:3", "--slices", "sex")
    result = affectkit("evaluate", write(frame), *asked, "-o", tmp_path / "report")
    report = read_report(tmp_path / "report")
    anger, raised = frame["label"] == "anger", pd.read_csv(tmp_path / "predictions.csv")["prob_anger"] >= 0.5
    sensitivity = report["alerts"]["anger>=0.5"]["metrics"]["sensitivity"]
    assert sensitivity["value"] == pytest.approx(recall_score(anger, raised), abs=1e-12)
    assert list(report["alerts"]) == ["anger>=0.5", "stress>=2:3"]
    assert f"{sensitivity['value']:.3f}  [{sensitivity['low']:.3f}, {sensitivity['high']:.3f}]" in result.stderr

    assert sensitivity["value"] in numbers((tmp_path / "report" / "report.html").read_text())

    rates = pd.read_csv(tmp_path / "report" / "alerts.csv", keep_default_na=False, na_values=[""])
    whole = rates[rates["slice"].isna() & (rates["alert"] == "anger>=0.5")].set_index("metric")
    assert whole.loc["sensitivity", "value"] == pytest.approx(sensitivity["value"], rel=1e-8)
    assert set(whole["positives"]) == {anger.sum()} and set(whole["raised"]) == {raised.sum()}
    women = rates[(rates["slice"] == "sex=female") & (rates["metric"] == "fpr_difference")]
    expected = [
        report["alerts"][name]["slices"]["sex=female"]["differences"]["fpr"]["low"] for name in report["alerts"]
    ]
    assert women["low"].tolist() == pytest.approx(expected, rel=1e-8)

    groups = pd.read_csv(tmp_path / "report" / "alerts_per_group.csv").set_index(["alert", "speaker"])
    own = frame["speaker"] == "s1"
    assert groups.loc[("anger>=0.5", "s1"), "error"] == pytest.approx((anger != raised)[own].mean(), rel=1e-8)
    assert groups.loc[("stress>=2:3", "s1"), "positives"] == (frame["stress"][own] >= 3).sum()


def test_no_alert_no_file_of_alerts(affectkit, table, write, tmp_path):
    affectkit("evaluate", write(table()), "-o", tmp_path / "report")
    assert "alerts" not in read_report(tmp_path / "report")
    assert not list((tmp_path / "report").glob("alerts*"))


def test_a_run_folder_and_its_past(affectkit, table, write, tmp_path):
    made = write(table(), "predictions.csv")
    with open_run("train", {"output_dir": tmp_path / "run", "normalize": "speaker"}) as run:
        shutil.copy(made, run.path)
    affectkit("evaluate", tmp_path / "run", "-o", tmp_path / "report")
    assert read_report(tmp_path / "report")["normalization"] == "transductive"
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.index("Transductive: features were scaled per speaker") < page.index("Key figures")


def test_same_bytes_on_a_rerun_elsewhere(affectkit, table, write, manifest, tmp_path):
    frame = table()
    predictions, folder = write(frame), manifest(frame)
    for name in ("one", "two"):
        affectkit("evaluate", predictions, "-m", folder, "--slices", "sex", "-o", tmp_path / name)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {path.name for path in (tmp_path / "two").iterdir()}
    for name in names - {"started.json", "run.json"}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_model_and_a_manifest(affectkit, tmp_path):
    affectkit("synthesize", "emobank", tmp_path / "twin", "--size", 120)
    affectkit("prepare-manifest", "emobank", tmp_path / "twin", "--split-by", "sequence", "-o", tmp_path / "manifest")
    features, model = tmp_path / "features", tmp_path / "model"
    affectkit("extract-features", "-m", tmp_path / "manifest", "--encoder", "text-ngrams", "-o", features)
    affectkit("train", "-m", tmp_path / "manifest", "--features", features, "--target", "valence", "-o", model)
    affectkit("evaluate", "--model-dir", model, "-m", tmp_path / "manifest", "-o", tmp_path / "by_model")
    affectkit("evaluate", model, "-m", tmp_path / "manifest", "-o", tmp_path / "by_table")
    by_model, by_table = read_report(tmp_path / "by_model"), read_report(tmp_path / "by_table")
    assert by_model["split"] == by_table["split"] == "test"
    assert by_model["normalization"] == by_table["normalization"] == "inductive"
    for name, figure in by_table["metrics"].items():
        assert by_model["metrics"][name]["value"] == pytest.approx(figure["value"], abs=1e-6)


def test_json(affectkit, table, write, tmp_path):
    result = affectkit("evaluate", write(table()), "--json", "--quiet", "-o", tmp_path / "report")
    line = json.loads(result.stdout)
    assert line["path"] == str(tmp_path / "report")
    assert line["metrics"] == read_report(tmp_path / "report")["metrics"]
    assert result.stderr == ""


def test_existing_folder_resume_and_overwrite(affectkit, table, write, tmp_path):
    predictions, out = write(table()), tmp_path / "report"
    affectkit("evaluate", predictions, "-o", out)
    before = (out / "run.json").read_bytes()
    result = affectkit("evaluate", predictions, "-o", out, code=1)
    assert "--resume or --overwrite" in result.stderr
    again = affectkit("evaluate", predictions, "--resume", "--json", "-o", out)
    assert json.loads(again.stdout)["n"] == 120
    assert (out / "run.json").read_bytes() == before
    affectkit("evaluate", predictions, "--interval", "none", "--overwrite", "-o", out)
    assert read_report(out)["metrics"]["uar"]["low"] is None


def test_interval_options(affectkit, table, write, tmp_path):
    widths = {}
    for level in ("0.8", "0.95"):
        affectkit("evaluate", write(table()), "--interval", "bootstrap", "--level", level, "-o", tmp_path / level)
        report = read_report(tmp_path / level)
        assert report["interval"] == {"method": "bootstrap", "level": float(level)}
        widths[level] = report["metrics"]["uar"]["high"] - report["metrics"]["uar"]["low"]
    assert widths["0.8"] < widths["0.95"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "either PREDICTIONS or --model-dir"),
        (("--model-dir", "x"), 2, "--model-dir needs --manifest"),
        (("none.csv",), 1, "none.csv: no such file"),
        (("predictions.csv", "--slices", "sx"), 1, "no column 'sx'"),
        (("predictions.csv", "--group", "sx"), 1, "no column 'sx'"),
        (("predictions.csv", "--split", "val"), 1, "val"),
        (("predictions.csv", "--treat-as", "val"), 2, "--treat-as"),
        (("predictions.csv", "--treat-as", "train"), 2, "--treat-as"),
        (("predictions.csv", "--interval", "bayes"), 2, "--interval"),
        (("predictions.csv", "--alert", "anger"), 2, "in quotes: --alert 'angry>=.5'"),  # what a shell leaves of >=
        (("predictions.csv", "--alert", "angr>=.5"), 2, "did you mean anger?"),
        (("predictions.csv", "--alert", "anger>=50"), 2, "lies between 0 and 1"),
        (("broken.csv",), 1, "broken.csv row 2: prob_anger 1.2 is outside [0, 1]"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(affectkit, table, write, tmp_path, monkeypatch, options, code, said):
    monkeypatch.chdir(tmp_path)
    frame = write(table()) and table()
    frame.loc[1, "prob_anger"] = 1.2
    write(frame, "broken.csv")
    result = affectkit("evaluate", *options, "-o", "report", code=code)
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "report").exists()


def test_help_ends_with_an_example_that_runs(affectkit, table, write, manifest, tmp_path, monkeypatch):
    from affectkit.commands.evaluate import evaluate

    monkeypatch.chdir(tmp_path)
    frame = table()
    write(frame, "runs/linear/predictions.csv")
    manifest(frame, "m")
    (tmp_path / "m").rename(tmp_path / "runs" / "manifest")
    *_, last = inspect.getdoc(evaluate).splitlines()
    affectkit(*shlex.split(last.removeprefix("Example: affectkit ")))
    assert read_report(tmp_path / "runs" / "report")["slices"]
