"""`affectkit finetune` as a user runs it, on small networks and the synthetic twin of EmoDB."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

TINY = "tiny-random:wav2vec2"
QUICK = ("--epochs", 2, "--batch-size", 8, "--learning-rate", "1e-3", "--device", "cpu", "--num-workers", 1)


@pytest.fixture(scope="module")
def manifest(emodb_twin, tmp_path_factory):
    """Train, val and test by speaker; short clips."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    folder = tmp_path_factory.mktemp("finetune") / "manifest"
    done = CliRunner().invoke(app, ["prepare-manifest", "emodb", str(emodb_twin), "-o", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def finished(manifest, tmp_path_factory):
    """One finished run, which several tests look at."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    folder = tmp_path_factory.mktemp("finished") / "run"
    line = ["finetune", "--manifest", manifest, "--base-model", TINY, "-o", folder, *QUICK, "--train-feature-encoder"]
    done = CliRunner().invoke(app, list(map(str, line)))
    assert done.exit_code == 0, (done.output, done.exception)
    return folder


def rows(path):
    return pd.read_csv(path, keep_default_na=False, dtype={"speaker": str})


def test_it_leaves_a_model_its_predictions_and_their_confusions(finished, manifest):
    names = {path.name for path in finished.iterdir()}
    assert {
        "best_model", "predictions.csv", "train_report.json", "label_map.json", "fit_rows.csv", "history.csv", "speed.csv",
        "val_confusion_matrix_label.csv", "test_confusion_matrix.csv", "training.html", "run.json",
    } <= names  # fmt: skip
    assert "checkpoints" not in names
    said = rows(finished / "predictions.csv")
    assert set(said["split"]) == {"val", "test"} and set(said["seen"]) == {"heldout"}
    probabilities = said[[c for c in said if c.startswith("prob_")]].to_numpy(float)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    report = json.loads((finished / "train_report.json").read_text())
    assert report["selected_on"] == "val" and report["monitor"] == "val_uar"
    assert {"val_uar", "test_uar", "test_nll"} <= set(report["metrics"])
    test = said[said["split"] == "test"]
    counts = pd.read_csv(finished / "test_confusion_matrix.csv", index_col="true")
    assert counts.to_numpy().sum() == len(test)
    assert np.trace(counts.to_numpy()) == (test["label"] == test["pred"]).sum()
    fitted = set(rows(finished / "fit_rows.csv")["id"])
    assert fitted == set(rows(manifest / "train.csv")["id"])
    assert "tiny-random" in (finished / "best_model" / "README.md").read_text()


def test_plain_transformers_loads_and_uses_the_model(finished, manifest):
    """The best model is a Hugging Face folder: its own classes, its own pipeline, the same probabilities."""
    import soundfile
    import torch
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

    folder = finished / "best_model"
    model = AutoModelForAudioClassification.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    said = rows(finished / "predictions.csv").set_index("id")
    root = json.loads((manifest / "summary.json").read_text())["corpora"]["emodb"]["root"]
    classes = json.loads((folder / "label_map.json").read_text())["classes"]
    assert [model.config.id2label[place] for place in range(len(classes))] == classes
    ask = pipeline("audio-classification", model=str(folder), top_k=None)
    for row in rows(manifest / "test.csv").head(4).itertuples():
        wave, rate = soundfile.read(os.path.join(root, row.path), dtype="float32")
        with torch.no_grad():
            logits = model(**extractor(wave, sampling_rate=rate, return_tensors="pt")).logits[0]
        ours = said.loc[row.id, [f"prob_{name}" for name in classes]].to_numpy(float)
        np.testing.assert_allclose(logits.softmax(0).numpy(), ours, atol=1e-5)
        piped = {one["label"]: one["score"] for one in ask({"raw": wave, "sampling_rate": rate})}
        np.testing.assert_allclose([piped[name] for name in classes], ours, atol=1e-5)


def test_predict_and_evaluate_answer_from_the_folder_as_training_did(affectkit, finished, manifest, tmp_path):
    """Same rows, same probabilities, whatever the batch; and the run's own figures."""
    affectkit("predict", "--model-dir", finished, "--manifest", manifest, "--split", "test", "--device", "cpu",
              "-o", tmp_path / "again.csv")  # fmt: skip
    again, said = rows(tmp_path / "again.csv"), rows(finished / "predictions.csv")
    both = again.merge(said[said["split"] == "test"], on="id", suffixes=("", "_before"))
    assert len(both) == len(again) == (said["split"] == "test").sum()
    for name in (c for c in said if c.startswith("prob_")):
        np.testing.assert_allclose(both[name].astype(float), both[f"{name}_before"].astype(float), atol=1e-5)
    affectkit("evaluate", "--model-dir", finished, "--manifest", manifest, "-o", tmp_path / "report")
    judged = json.loads((tmp_path / "report" / "metrics.json").read_text())["metrics"]["uar"]["value"]
    own = json.loads((finished / "train_report.json").read_text())["metrics"]["test_uar"]["value"]
    assert judged == pytest.approx(own, abs=1e-6)


def test_the_best_epoch_is_what_is_kept(finished):
    history = pd.read_csv(finished / "history.csv")
    report = json.loads((finished / "train_report.json").read_text())
    assert report["best"]["val_uar"] == pytest.approx(history["val_uar"].max())
    assert report["metrics"]["val_uar"]["value"] == pytest.approx(history["val_uar"].max(), abs=1e-6)


def test_a_rerun_gives_the_same_bytes(affectkit, finished, manifest, tmp_path):
    affectkit("finetune", "--manifest", manifest, "--base-model", TINY, "-o", tmp_path / "run", *QUICK,
              "--train-feature-encoder")  # fmt: skip
    for name in ("predictions.csv", "history.csv", "best_model/model.safetensors", "training.html"):
        first, second = (folder / name for folder in (finished, tmp_path / "run"))
        same = first.read_bytes() == second.read_bytes()
        assert same or name == "training.html", name  # its title is the folder's name


def test_numbers_come_out_in_their_own_units(affectkit, manifest, tmp_path):
    """Valence, arousal and the label at once: one network, one file, every target judged."""
    table = rows(manifest / "train.csv")
    for split in ("train", "val", "test"):
        part = rows(manifest / f"{split}.csv")
        part["valence"] = [4.0 + (label in ("happiness", "neutral")) - (n % 3) / 10 for n, label in enumerate(part["label"])]
        part["valence"] = part["valence"].astype(object)
        part.loc[1, "valence"] = ""
        (tmp_path / "m").mkdir(exist_ok=True)
        part.to_csv(tmp_path / "m" / f"{split}.csv", index=False)
    summary = json.loads((manifest / "summary.json").read_text())
    root = summary["corpora"]["emodb"]["root"]
    affectkit("finetune", "--manifest", tmp_path / "m", "--media-root", root, "--base-model", TINY, "-o", tmp_path / "run",
              *QUICK, "--target", "label,valence")  # fmt: skip
    said = rows(tmp_path / "run" / "predictions.csv")
    assert said["valence_pred"].astype(float).between(3.5, 5.5).all()  # near its mean, not near 0
    assert len(table) and {"label", "pred", "valence", "valence_pred"} <= set(said)
    report = json.loads((tmp_path / "run" / "train_report.json").read_text())
    assert "test_valence.ccc" in report["metrics"] and "test_uar" in report["metrics"]
    one = os.path.join(root, said["id"].iloc[0])
    assert one
    affectkit("predict", "--model-dir", tmp_path / "run", "--manifest", tmp_path / "m", "--split", "test", "--media-root", root,
              "-o", tmp_path / "again.csv")  # fmt: skip
    again = rows(tmp_path / "again.csv").merge(said, on="id", suffixes=("", "_before"))
    np.testing.assert_allclose(again["valence_pred"].astype(float), again["valence_pred_before"].astype(float), atol=1e-5)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(manifest, tmp_path):
    """kill -9 of a real process, again and again, then --resume: the weights and the history of an undisturbed run."""
    line = [sys.executable, "-m", "affectkit", "finetune", "--manifest", manifest, "--base-model", TINY, "--epochs", 3,
            "--batch-size", 8, "--learning-rate", "1e-3", "--device", "cpu", "--num-workers", 1, "--stages", "freeze-unfreeze",
            "--gradient-accumulation-steps", 2, "--checkpoint-steps", 1, "--specaugment", "--augment", "light", "--ema", ".9",
            "--quiet"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = list(map(str, line))
    subprocess.run([*line, "-o", str(tmp_path / "whole")], env=environment, check=True)
    draw, killed = random.Random(7), 0
    for _ in range(40):
        process = subprocess.Popen([*line, "-o", str(tmp_path / "cut"), "--resume"], env=environment)
        checkpoints = tmp_path / "cut" / "checkpoints"
        before = {path.name for path in checkpoints.glob("*.json")}
        until = time.monotonic() + 120
        while process.poll() is None and {p.name for p in checkpoints.glob("*.json")} <= before and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.6))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
    if killed == 40:
        subprocess.run([*line, "-o", str(tmp_path / "cut"), "--resume"], env=environment, check=True)
    assert killed >= 3
    for name in ("best_model/model.safetensors", "history.csv", "predictions.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name


def test_cross_predictions_say_beforehand_what_they_cost(affectkit, manifest, tmp_path):
    done = affectkit("finetune", "--manifest", manifest, "--base-model", TINY, "-o", tmp_path / "run", "--epochs", 1,
                     "--batch-size", 16, "--learning-rate", "1e-3", "--cv", "--device", "cpu", "--num-workers", 1)  # fmt: skip
    assert "fine-tunings" in done.output and "hours of audio" in done.output
    said = rows(tmp_path / "run" / "predictions.csv")
    known = {split: set(rows(manifest / f"{split}.csv")["id"]) for split in ("train", "val", "test")}
    seen = said.set_index("id")["seen"]
    assert set(seen[seen == "oof"].index) == known["train"] | known["val"]
    assert set(seen[seen == "heldout"].index) == known["test"]
    assert not (tmp_path / "run" / "folds" / "01" / "checkpoints").exists()
    affectkit("calibrate", tmp_path / "run", "-o", tmp_path / "calibrated")


class TestRefusals:
    """One line that names the file, the row and the remedy; nothing is left half-made."""

    def refused(self, affectkit, manifest, tmp_path, *more, code=1, base=TINY):
        result = affectkit("finetune", "--manifest", manifest, "--base-model", base, "-o", tmp_path / "run", *QUICK, *more,
                           code=code)  # fmt: skip
        [line] = [line for line in result.output.splitlines() if line.startswith("error: ")]
        return line

    def changed(self, manifest, tmp_path, change):
        folder = tmp_path / "m"
        folder.mkdir()
        for split in ("train", "val", "test"):
            part = rows(manifest / f"{split}.csv")
            change(split, part)
            part.to_csv(folder / f"{split}.csv", index=False)
        return folder, json.loads((manifest / "summary.json").read_text())["corpora"]["emodb"]["root"]

    def test_one_class(self, affectkit, manifest, tmp_path):
        def one(split, part):
            if split == "train":
                part["label"] = "anger"

        folder, root = self.changed(manifest, tmp_path, one)
        line = self.refused(affectkit, folder, tmp_path, "--media-root", root)
        assert "anger" in line and "two classes" in line

    def test_a_class_missing_in_val_is_a_warning(self, affectkit, manifest, tmp_path):
        def without(split, part):
            if split == "val":
                part.loc[part["label"] == "anger", "label"] = "sadness"

        folder, root = self.changed(manifest, tmp_path, without)
        done = affectkit("finetune", "--manifest", folder, "--media-root", root, "--base-model", TINY, "-o", tmp_path / "run",
                         *QUICK)  # fmt: skip
        assert "warning: the rows that choose the epoch have no anger" in done.output

    def test_a_missing_file_before_any_training(self, affectkit, manifest, tmp_path):
        def lose(split, part):
            if split == "test":
                part.loc[1, "path"] = "gone.wav"

        folder, root = self.changed(manifest, tmp_path, lose)
        line = self.refused(affectkit, folder, tmp_path, "--media-root", root)
        assert "test.csv row 2" in line and "gone.wav" in line and "--on-error skip" in line
        affectkit("finetune", "--manifest", folder, "--media-root", root, "--base-model", TINY, "-o", tmp_path / "other", *QUICK,
                  "--on-error", "skip")  # fmt: skip
        assert "gone.wav" in (tmp_path / "other" / "skipped.csv").read_text()

    def test_other_networks_and_options(self, affectkit, manifest, tmp_path):
        assert "tiny-random" in self.refused(affectkit, manifest, tmp_path, base="tiny-random:wav2vecc", code=2)
        assert "--checkpoint" not in self.refused(affectkit, manifest, tmp_path, base="nobody/nothing")
        assert "--stages" in self.refused(affectkit, manifest, tmp_path, "--stages", "fulll", code=2)
        assert "1e-5" in self.refused(affectkit, manifest, tmp_path, "--learning-rate", "fast", code=2)
        assert "votes" in self.refused(affectkit, manifest, tmp_path, "--loss", "soft")
        assert "fp16" in self.refused(affectkit, manifest, tmp_path, "--mixed-precision", "fp16", code=2)
        assert "noise" in self.refused(affectkit, manifest, tmp_path, "--augment", "nois=3", code=2)
        assert not (tmp_path / "run").exists()

    def test_a_rate_of_another_kind(self, affectkit, manifest, tmp_path, tone):
        """8 kHz and 44.1 kHz recordings beside 16 kHz ones are resampled to the network's rate."""

        def other(split, part):
            if split == "train":
                part.loc[0, "path"] = str(tone(tmp_path / "low.wav", seconds=1.0, rate=8000))
                part.loc[1, "path"] = str(tone(tmp_path / "high.wav", seconds=1.0, rate=44100))

        folder, root = self.changed(manifest, tmp_path, other)
        affectkit("finetune", "--manifest", folder, "--media-root", root, "--base-model", TINY, "-o", tmp_path / "run", *QUICK)
