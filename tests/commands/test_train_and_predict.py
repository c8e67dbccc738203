"""`affectkit train` and `predict` as they are used; figures against plain scikit-learn."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.preprocessing import StandardScaler

from affectkit.artifacts.features import read_features
from affectkit.artifacts.predictions import read_predictions
from affectkit.estimators._network_inputs import normalize_by_speaker
from affectkit.splits import grouped_folds


@pytest.mark.parametrize("model", ["linear --c-grid .1,1", "svm --c-grid .1,1", "forest --trees 20"])
def test_without_cv_the_val_and_test_rows_are_predicted_and_train_rows_are_not(affectkit, speech, tmp_path, model):
    table = ["--manifest", speech / "split", "--features", speech / "egemaps"]
    affectkit("train", *table, "--model", *model.split(), "-o", tmp_path / "m")
    frame = read_predictions(tmp_path / "m" / "predictions.csv").frame
    assert set(frame["split"]) == {"val", "test"}
    assert set(frame["seen"]) == {"heldout"}
    fitted = pd.read_csv(tmp_path / "m" / "fit_rows.csv", dtype=str)
    assert not set(fitted["group"]) & set(frame["speaker"])
    assert len(fitted) + len(frame) == 70


def test_with_cv_every_row_is_predicted_by_a_fit_that_never_saw_its_speaker(affectkit, speech, tmp_path):
    train = ("train", "--features", speech / "egemaps", "--c-grid", 1, "--cv")
    affectkit(*train, "--manifest", speech / "folds", "-o", tmp_path / "m")
    frame = read_predictions(tmp_path / "m" / "predictions.csv").frame
    assert len(frame) == 70
    assert set(frame["seen"]) == {"oof"}
    report = json.loads((tmp_path / "m" / "train_report.json").read_text())
    assert report["metrics"]["oof_uar"]["value"] > 0.3  # 7 classes: chance is .143
    affectkit(*train, "--manifest", speech / "split", "-o", tmp_path / "s")
    frame = read_predictions(tmp_path / "s" / "predictions.csv").frame
    assert frame.groupby("split")["seen"].unique().map(list).to_dict() == {
        "train": ["oof"], "val": ["oof"], "test": ["heldout"]
    }  # fmt: skip


def test_labels_that_carry_nothing_are_predicted_at_chance(affectkit, speech, tmp_path):
    """A cross-fit that leaked would beat chance on shuffled labels."""
    rng = np.random.default_rng(0)
    table = pd.read_csv(speech / "folds" / "folds.csv", dtype=str, keep_default_na=False)
    table["label"] = rng.permutation(table["label"].to_numpy())
    table.to_csv(tmp_path / "folds.csv", index=False)
    line = ("train", "--manifest", tmp_path / "folds.csv", "--features", speech / "egemaps", "--c-grid", ".1,1")
    affectkit(*line, "--cv", "-o", tmp_path / "m")
    report = json.loads((tmp_path / "m" / "train_report.json").read_text())
    assert report["metrics"]["oof_uar"]["value"] < 0.28


def test_a_fold_manifest_needs_cv_and_a_train_part_needs_it_too(affectkit, speech, tmp_path):
    line = ["train", "--features", speech / "egemaps", "-o", tmp_path / "m", "--manifest"]
    result = affectkit(*line, speech / "folds", code=2)
    assert "pass --cv" in result.stderr
    result = affectkit(*line, speech / "split" / "train.csv", code=1)
    assert "nothing is held out; pass --cv" in result.stderr


def test_predicting_raw_recordings_equals_predicting_their_features(affectkit, speech, emodb_twin, tmp_path):
    line = ["--manifest", speech / "split", "--features", speech / "egemaps"]
    own = read_predictions(speech / "model" / "predictions.csv")
    affectkit("predict", "--model-dir", speech / "model", "--manifest", speech / "split", "-o", tmp_path / "raw.csv")
    affectkit("predict", "--model-dir", speech / "model", *line, "-o", tmp_path / "features.csv")
    for name in ("raw.csv", "features.csv"):
        again = read_predictions(tmp_path / name)
        assert list(again.frame["id"]) == list(own.frame["id"])
        np.testing.assert_allclose(again.probabilities(), own.probabilities(), atol=1e-6)
        assert set(again.frame["seen"]) == {"heldout"}
    name = own.frame["id"][0]
    result = affectkit(
        "predict", "--model-dir", speech / "model" / "best_model", emodb_twin / "wav" / f"{name}.wav", "-q"
    )
    header, line = result.stdout.splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["pred"] == own.frame["pred"][0]


def test_rows_that_the_model_was_fitted_on_are_left_out_unless_asked_for(affectkit, speech, tmp_path):
    line = ["--manifest", speech / "split", "--features", speech / "egemaps"]
    affectkit("predict", "--model-dir", speech / "model", *line, "--include-fit", "-o", tmp_path / "all.csv")
    frame = read_predictions(tmp_path / "all.csv").frame
    assert frame.groupby("split")["seen"].unique().map(list).to_dict() == {
        "train": ["fit"], "val": ["heldout"], "test": ["heldout"]
    }  # fmt: skip
    result = affectkit("evaluate", tmp_path / "all.csv", "--split", "train", "-o", tmp_path / "r", code=1)
    assert "in-sample" in result.stderr
    result = affectkit("predict", "--model-dir", speech / "model", "--manifest", speech / "split" / "train.csv", code=1)
    assert "only rows that the model was fitted on" in result.stderr


def test_train_rows_without_a_label_are_not_called_fitted_and_are_predicted(affectkit, speech, tmp_path):
    shutil.copytree(speech / "split", tmp_path / "m")
    rows = pd.read_csv(tmp_path / "m" / "train.csv", keep_default_na=False, dtype=str)
    rows.loc[rows.groupby("label").cumcount() >= 3, ["label", "source_label"]] = ""
    rows.to_csv(tmp_path / "m" / "train.csv", index=False)
    (tmp_path / "m" / "run.json").unlink()
    (tmp_path / "m" / "started.json").unlink()
    line = ["--manifest", tmp_path / "m", "--features", speech / "egemaps"]
    affectkit("train", *line, "--model", "linear", "-o", tmp_path / "r")
    fitted = pd.read_csv(tmp_path / "r" / "fit_rows.csv", dtype=str)
    assert list(fitted["id"]) == list(rows["id"][rows["label"] != ""])
    affectkit("predict", "--model-dir", tmp_path / "r", *line, "--split", "train", "-o", tmp_path / "p.csv")
    frame = read_predictions(tmp_path / "p.csv").frame
    assert list(frame["id"]) == list(rows["id"][rows["label"] == ""]) and set(frame["seen"]) == {"fit"}
    affectkit("query", tmp_path / "p.csv", "--manifest", tmp_path / "m", "-n", 5, "-o", tmp_path / "q.csv")
    assert set(pd.read_csv(tmp_path / "q.csv", dtype=str)["id"]) <= set(frame["id"])


def test_features_of_another_encoder_are_refused(affectkit, speech):
    line = ["--manifest", speech / "split"]
    result = affectkit("predict", "--model-dir", speech / "model", *line, "--features", speech / "gemaps", code=1)
    assert "from the features of the model (opensmile)" in result.stderr


def test_speaker_normalisation_is_marked_transductive_and_refused_for_few_rows(affectkit, speech, emodb_twin, tmp_path):
    line = ["--manifest", speech / "folds", "--features", speech / "egemaps"]
    affectkit("train", *line, "--normalize", "speaker", "--cv", "--c-grid", 1, "-o", tmp_path / "m")
    assert json.loads((tmp_path / "m" / "train_report.json").read_text())["transductive"] is True
    assert "transductive" in (tmp_path / "m" / "best_model" / "README.md").read_text().lower()
    affectkit("evaluate", tmp_path / "m", "-o", tmp_path / "r")
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["normalization"] == "transductive"
    wav = sorted((emodb_twin / "wav").glob("*.wav"))[0]
    result = affectkit("predict", "--model-dir", tmp_path / "m", wav, code=1)
    assert "the rows name no speaker" in result.stderr
    (tmp_path / "one.csv").write_text(f"id,path,speaker\nx,{wav},s\n")
    result = affectkit("predict", "--model-dir", tmp_path / "m", "--manifest", tmp_path / "one.csv", code=1)
    assert "speaker 's' has 1 rows, fewer than 5" in result.stderr


def test_several_features_and_several_targets(affectkit, tmp_path):
    affectkit("synthesize", "emobank", tmp_path / "c", "--size", 150)
    affectkit("prepare-manifest", "emobank", tmp_path / "c", "-o", tmp_path / "m")
    affectkit("extract-features", "--manifest", tmp_path / "m", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    ids = pd.concat([pd.read_csv(p, dtype=str)["id"] for p in sorted((tmp_path / "m").glob("t*.csv"))])
    ids = pd.concat([ids, pd.read_csv(tmp_path / "m" / "val.csv", dtype=str)["id"]])
    pd.DataFrame({"id": ids, "length": np.arange(len(ids)), "gaps": [""] + [1.5] * (len(ids) - 1)}).to_csv(
        tmp_path / "t.csv", index=False
    )
    line = ["--manifest", tmp_path / "m", "--features", tmp_path / "f", "--features", tmp_path / "t.csv"]
    affectkit("train", *line, "--target", "valence,arousal", "-o", tmp_path / "run")
    predictions = read_predictions(tmp_path / "run" / "predictions.csv")
    assert list(predictions.targets) == ["valence", "arousal"]
    assert predictions.frame["valence_pred"].between(1, 5).all()
    affectkit("predict", "--model-dir", tmp_path / "run", *line, "-o", tmp_path / "p.csv")
    np.testing.assert_allclose(
        read_predictions(tmp_path / "p.csv").frame["arousal_pred"], predictions.frame["arousal_pred"]
    )
    result = affectkit("train", *line, "--target", "valance", "-o", tmp_path / "x", code=1)
    assert "has no target 'valance'; its targets are valence, arousal, dominance" in result.stderr


def test_unlabelled_rows_are_predicted_and_not_fitted(affectkit, speech, tmp_path):
    for split in ("train", "val", "test"):
        table = pd.read_csv(speech / "split" / f"{split}.csv", dtype=str, keep_default_na=False)
        table.loc[::4, "label"] = ""
        table.to_csv(tmp_path / f"{split}.csv", index=False)
    affectkit("train", "--manifest", tmp_path, "--features", speech / "egemaps", "-o", tmp_path / "m")
    frame = read_predictions(tmp_path / "m" / "predictions.csv").frame
    assert (frame["label"] == "").any()
    assert (frame["pred"] != "").all()


def test_rows_without_features_stop_or_are_dropped(affectkit, speech, tmp_path):
    text = (speech / "split" / "test.csv").read_text().splitlines()
    extra = ",".join(["nobody", *text[1].split(",")[1:]])
    for name in ("train", "val"):
        (tmp_path / f"{name}.csv").write_text((speech / "split" / f"{name}.csv").read_text())
    (tmp_path / "test.csv").write_text("\n".join([*text, extra]) + "\n")
    line = ["train", "--manifest", tmp_path, "--features", speech / "egemaps", "-o", tmp_path / "m"]
    result = affectkit(*line, code=1)
    assert "no features of id 'nobody'" in result.stderr
    assert "--missing drop" in result.stderr
    affectkit(*line, "--missing", "drop")


# Figures on real data. Peer: plain scikit-learn on the same folds, features and grid.
GRID = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0]


@pytest.mark.parametrize("model", ["linear", "svm", "forest --trees 10"])
def test_rows_count_as_much_as_they_are_told_to(affectkit, tmp_path, model):
    """Labels of a corpus of weight 0 are of no account, and those of any other weight are."""
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=80)
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(80)], "label": np.array(["calm", "sad"])[truth]})
    frame["corpus"] = ["a" if i % 2 else "b" for i in range(80)]
    frame["speaker"] = [f"s{i % 10}" for i in range(80)]
    frame["split"] = ["train" if i % 10 < 6 else "val" for i in range(80)]
    values = pd.DataFrame(rng.normal(size=(80, 2)) + truth[:, None], columns=["x", "y"])
    values.assign(id=frame["id"]).to_csv(tmp_path / "features.csv", index=False)
    other = (frame["corpus"] == "b") & (frame["split"] == "train")
    said = {}
    for name, labels in {"true": frame["label"], "odd": frame["label"].where(~other, "calm")}.items():
        frame.assign(label=labels).to_csv(tmp_path / f"{name}.csv", index=False)
        for told in ("a=1,b=0", "a=1,b=3"):
            line = ("train", "--manifest", tmp_path / f"{name}.csv", "--features", tmp_path / "features.csv")
            affectkit(
                *line, "--model", *model.split(), "--row-weights", f"corpus:{told}", "-o", tmp_path / f"{name}{told}"
            )
            table = read_predictions(tmp_path / f"{name}{told}" / "predictions.csv")
            said[name, told] = table.frame["prob_sad"].to_numpy()
    np.testing.assert_allclose(said["true", "a=1,b=0"], said["odd", "a=1,b=0"], atol=1e-9)
    assert abs(said["true", "a=1,b=3"] - said["odd", "a=1,b=3"]).max() > 0.01
    spec = json.loads((tmp_path / "truea=1,b=3" / "best_model" / "affectkit.json").read_text())
    assert spec["row_weights"] == "corpus:a=1,b=3"


def test_networks_and_unknown_values_refuse_row_weights(affectkit, speech, tmp_path):
    line = ("train", "--manifest", speech / "split", "--features", speech / "egemaps", "-o", tmp_path / "m")
    result = affectkit(*line, "--row-weights", "sex:female=1", code=1)
    assert "sex 'male' has no weight; add male=1" in result.stderr
    result = affectkit(*line, "--model", "mlp", "--row-weights", "duration_sec", code=2)
    assert "--row-weights: mlp weighs classes alone; use linear, svm, forest or boosted" in result.stderr


@pytest.fixture(scope="session")
def emodb(tmp_path_factory, real_data):
    """`emodb("eGeMAPSv02")`: a folder with a `manifest` of real recordings and these features of them."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    root = tmp_path_factory.mktemp("emodb-real")

    def with_features(name):
        on = ["--manifest", root / "manifest", "--encoder", "opensmile"]
        for line in (
            [
                "prepare-manifest",
                "emodb",
                real_data / "emodb",
                "--folds",
                "speaker",
                "--resume",
                "-o",
                root / "manifest",
            ],
            ["extract-features", *on, "--feature-set", name, "--resume", "-o", root / name],
        ):
            result = CliRunner().invoke(app, [str(a) for a in line])
            assert result.exit_code == 0, result.output
        return root

    return with_features


def peer_uar(x, y, speakers, normalize, grid):
    """Leave one speaker out; C by weighted log-loss on the same five inner folds; scikit-learn on all features."""
    predicted = np.empty(len(y), dtype=object)
    x = normalize_by_speaker(x, speakers) if normalize == "speaker" else x
    classes = sorted(set(y))
    codes = np.array([classes.index(label) for label in y])

    def fitted(rows, c):
        scaler = StandardScaler(with_mean=normalize == "train", with_std=normalize == "train").fit(x[rows])
        model = LogisticRegression(C=c, class_weight="balanced", max_iter=3000).fit(scaler.transform(x[rows]), y[rows])
        return lambda other: model.predict_proba(scaler.transform(x[other]))

    for speaker in np.unique(speakers):
        inside, outside = np.flatnonzero(speakers != speaker), np.flatnonzero(speakers == speaker)
        folds = grouped_folds(speakers[inside], codes[inside], 5, 0)
        counts = np.bincount(codes[inside])
        weights = (1 / counts)[codes[inside]]
        scores = [0.0] if len(grid) == 1 else []
        for c in grid if len(grid) > 1 else ():
            likelihood = np.empty(len(inside))
            for fold in np.unique(folds):
                held = np.flatnonzero(folds == fold)
                probabilities = fitted(inside[folds != fold], c)(inside[held])
                likelihood[held] = probabilities[np.arange(len(held)), codes[inside[held]]]
            scores.append(np.average(np.log(np.clip(likelihood, 1e-12, 1)), weights=weights))
        best = fitted(inside, grid[int(np.argmax(scores))])(outside)
        predicted[outside] = [classes[i] for i in best.argmax(axis=1)]
    return recall_score(y.astype(str), predicted.astype(str), average="macro")


def test_cross_fitted_answers_of_the_twin_are_as_good_as_scikit_learns(speech):
    ours = json.loads((speech / "linear" / "train_report.json").read_text())["metrics"]["oof_uar"]["value"]
    assert abs(ours - peer_uar(*rows_of(speech / "folds", speech / "egemaps"), "train", [0.1, 1.0])) <= 0.01


def rows_of(manifest, features):
    """Features, labels and speakers of the rows of a manifest in folds."""
    table = pd.read_csv(manifest / "folds.csv", dtype=str, keep_default_na=False)
    x = np.asarray(read_features(features).matrix(list(table["id"])), float)
    return x, table["label"].to_numpy(), table["speaker"].to_numpy()


@pytest.mark.figures
@pytest.mark.parametrize(
    ("features", "normalize", "least"),
    [("eGeMAPSv02", "train", 0.60), ("ComParE_2016", "train", 0.74), ("ComParE_2016", "speaker", 0.82)],
)
def test_emodb_leave_one_speaker_out(affectkit, emodb, tmp_path, features, normalize, least):
    root = emodb(features)
    line = ["--manifest", root / "manifest", "--features", root / features, "--normalize", normalize, "--cv"]
    affectkit("train", *line, "--model", "linear", "-o", tmp_path / "m")
    report = json.loads((tmp_path / "m" / "train_report.json").read_text())
    ours = report["metrics"]["oof_uar"]["value"]
    assert ours >= least
    if normalize == "speaker":
        return
    # The whole nested search takes scikit-learn four minutes on ComParE's 6373 columns: there, one C for both.
    grid = GRID if features == "eGeMAPSv02" else [0.01]
    if len(grid) == 1:
        affectkit("train", *line, "--c-grid", "0.01", "-o", tmp_path / "one")
        report = json.loads((tmp_path / "one" / "train_report.json").read_text())
        ours = report["metrics"]["oof_uar"]["value"]
    assert abs(ours - peer_uar(*rows_of(root / "manifest", root / features), normalize, grid)) <= 0.01


@pytest.mark.figures
def test_emobank_valence(affectkit, real_data, tmp_path):
    affectkit("prepare-manifest", "emobank", real_data / "emobank", "-o", tmp_path / "m")
    affectkit("extract-features", "--manifest", tmp_path / "m", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    line = ["--manifest", tmp_path / "m", "--features", tmp_path / "f", "--target", "valence"]
    affectkit("train", *line, "-o", tmp_path / "run")
    affectkit("evaluate", tmp_path / "run", "--split", "test", "-o", tmp_path / "r")
    report = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert report["metrics"]["valence.ccc"]["value"] >= 0.45
    assert any("36 times a text" in sentence for sentence in report["declared"])
