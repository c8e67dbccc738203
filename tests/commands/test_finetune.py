"""`affectkit finetune` as a user runs it, on small networks and the synthetic twin of EmoDB."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from command_lines import ran

TINY = "tiny-random:wav2vec2"
QUICK = ("--epochs", 2, "--batch-size", 8, "--learning-rate", "1e-3", "--device", "cpu", "--num-workers", 1)
ONCE = (*QUICK, "--epochs", 1)


@pytest.fixture(scope="module")
def manifest(emodb_twin, tmp_path_factory):
    """Train, val and test by speaker; short clips. On fewer of them no learning rate is found."""
    folder = tmp_path_factory.mktemp("finetune") / "manifest"
    ran("prepare-manifest", "emodb", emodb_twin, "-o", folder)
    return folder


@pytest.fixture(scope="module")
def finished(manifest, tmp_path_factory):
    """One finished run, which several tests look at."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    ran("finetune", "--manifest", manifest, "--base-model", TINY, "-o", folder, *QUICK, "--train-feature-encoder")
    return folder


def launched(*more):
    """`finetune` in two processes."""
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    line = [sys.executable, *launch.split(), "-m", "affectkit", "finetune", *map(str, more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)


def root_of(manifest):
    return json.loads((manifest / "summary.json").read_text())["corpora"]["emodb"]["root"]


def changed(manifest, folder, change):
    """A copy of every second row of the manifest, each split's table changed by `change(split, table)`; it has to be
    told its root."""
    folder.mkdir()
    for split in ("train", "val", "test"):
        part = rows(manifest / f"{split}.csv").iloc[::2].reset_index(drop=True)
        change(split, part)
        part.to_csv(folder / f"{split}.csv", index=False)
    return "--manifest", folder, "--media-root", root_of(manifest)


def rows(path):
    return pd.read_csv(path, keep_default_na=False, dtype={"speaker": str})


def test_its_page_is_drawn_again_from_its_folder(finished, tmp_path, affectkit):
    affectkit("report", finished, "-o", tmp_path / "again")
    assert (tmp_path / "again" / "report.html").read_bytes() == (finished / "training.html").read_bytes()


def test_it_leaves_a_model_its_predictions_and_their_confusions(finished, manifest):
    written = {path.name for path in finished.iterdir()}
    assert {
        "best_model", "predictions.csv", "train_report.json", "label_map.json", "fit_rows.csv", "history.csv",
        "steps.csv", "log.jsonl", "val_confusion_matrix_label.csv", "test_confusion_matrix.csv", "training.html",
        "run.json",
    } <= written  # fmt: skip
    assert "checkpoints" not in written
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
    import torch
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

    folder = finished / "best_model"
    model = AutoModelForAudioClassification.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    said = rows(finished / "predictions.csv").set_index("id")
    root = root_of(manifest)
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


@pytest.mark.slow
def test_a_rerun_gives_the_same_bytes(affectkit, finished, manifest, tmp_path):
    affectkit("finetune", "--manifest", manifest, "--base-model", TINY, "-o", tmp_path / "run", *QUICK,
              "--train-feature-encoder")  # fmt: skip
    for name in ("predictions.csv", "history.csv", "best_model/model.safetensors", "training.html"):
        first, second = (folder / name for folder in (finished, tmp_path / "run"))
        same = first.read_bytes() == second.read_bytes()
        assert same or name == "training.html", name  # its title is the folder's name


def test_numbers_come_out_in_their_own_units(affectkit, manifest, tmp_path):
    """The label and valence at once: one network, one file, every target judged."""

    def rate(_, part):
        high = part["label"].isin(["happiness", "neutral"])
        part["valence"] = (4.0 + high - part.index % 3 / 10).astype(object)
        part.loc[1, "valence"] = ""

    data = changed(manifest, tmp_path / "m", rate)
    affectkit("finetune", *data, "--base-model", TINY, "-o", tmp_path / "run", *ONCE, "--target", "label,valence")
    said = rows(tmp_path / "run" / "predictions.csv")
    assert said["valence_pred"].astype(float).between(3.5, 5.5).all()  # near its mean, not near 0
    assert {"label", "pred", "valence", "valence_pred"} <= set(said)
    report = json.loads((tmp_path / "run" / "train_report.json").read_text())
    assert "test_valence.ccc" in report["metrics"] and "test_uar" in report["metrics"]
    affectkit("predict", "--model-dir", tmp_path / "run", *data, "--split", "test", "-o", tmp_path / "again.csv")
    again = rows(tmp_path / "again.csv").merge(said, on="id", suffixes=("", "_before"))
    before, after = (again[name].astype(float) for name in ("valence_pred_before", "valence_pred"))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_cross_predictions_say_beforehand_what_they_cost(affectkit, manifest, tmp_path):
    run, half = tmp_path / "run", tmp_path / "m"
    data = changed(manifest, half, lambda *_: None)
    done = affectkit("finetune", *data, "--base-model", TINY, "-o", run, *ONCE, "--cv")
    assert "fine-tunings" in done.output and "hours of audio" in done.output
    said = rows(run / "predictions.csv")
    known = {split: set(rows(half / f"{split}.csv")["id"]) for split in ("train", "val", "test")}
    seen = said.set_index("id")["seen"]
    assert set(seen[seen == "oof"].index) == known["train"] | known["val"]
    assert set(seen[seen == "heldout"].index) == known["test"]
    assert not (run / "folds" / "01" / "checkpoints").exists()
    affectkit("calibrate", run, "-o", tmp_path / "calibrated")


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import accelerate, pandas, torch, torch._dynamo, transformers  # in seconds, once: nothing is computed before a fork
from affectkit.cli import main

torch.set_num_threads(1)
draw, folder = random.Random(7), Path(sys.argv[-2], "checkpoints")
for _ in range(2):
    before = set(folder.glob("*.json"))
    child = os.fork()
    if child == 0:
        main()
        os._exit(0)
    while not set(folder.glob("*.json")) - before:
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.3))
    os.kill(child, signal.SIGKILL)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL:
        print("killed")
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(affectkit, one_thread, manifest, tmp_path):
    """kill -9 of real processes, then --resume: the weights and history of an undisturbed run, and nothing else."""
    how = "--epochs 3 --batch-size 8 --learning-rate 1e-3 --device cpu --num-workers 1 --stages freeze-unfreeze --quiet"
    how += " --gradient-accumulation-steps 2 --checkpoint-steps 1 --specaugment --augment light --ema .9"
    line = ["finetune", "--manifest", manifest, "--base-model", TINY, *how.split(), "-o"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    affectkit(*line, whole)
    command = [sys.executable, "-c", KILLED, *map(str, line), str(cut), "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.stdout == "killed\n" * 2, done.stderr
    assert not (cut / "run.json").exists()
    affectkit(*line, cut, "--resume")
    for name in ("best_model/model.safetensors", "history.csv", "predictions.csv"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert {path.relative_to(cut) for path in cut.rglob("*")} == {path.relative_to(whole) for path in whole.rglob("*")}


@pytest.fixture
def one_thread():
    """As in a process of its own: rounding depends on how many threads add up."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TestRefusals:
    """One line that names the file, the row and the remedy; nothing is left half-made."""

    def refused(self, affectkit, run, *more, code=1, base=TINY):
        result = affectkit("finetune", "--base-model", base, "-o", run, *QUICK, *more, code=code)
        [line] = [line for line in result.output.splitlines() if line.startswith("error: ")]
        return line

    def test_one_class(self, affectkit, manifest, tmp_path):
        def one(split, part):
            if split == "train":
                part["label"] = "anger"

        line = self.refused(affectkit, tmp_path / "run", *changed(manifest, tmp_path / "m", one))
        assert "anger" in line and "two classes" in line

    def test_a_class_missing_in_val_is_a_warning(self, affectkit, manifest, tmp_path):
        def without(split, part):
            if split == "val":
                part.loc[part["label"] == "anger", "label"] = "sadness"

        data = changed(manifest, tmp_path / "m", without)
        done = affectkit("finetune", *data, "--base-model", TINY, "-o", tmp_path / "run", *ONCE)
        assert "warning: the rows that choose the epoch have no anger" in done.output

    def test_a_missing_file_before_any_training(self, affectkit, manifest, tmp_path):
        def lose(split, part):
            if split == "test":
                part.loc[1, "path"] = "gone.wav"

        data = changed(manifest, tmp_path / "m", lose)
        line = self.refused(affectkit, tmp_path / "run", *data)
        assert "test.csv row 2" in line and "gone.wav" in line and "--on-error skip" in line
        affectkit("finetune", *data, "--base-model", TINY, "-o", tmp_path / "other", *ONCE, "--on-error", "skip")
        assert "gone.wav" in (tmp_path / "other" / "skipped.csv").read_text()

    @pytest.mark.parametrize(
        "more, said",
        [
            (("--stages", "fulll"), "full"),
            (("--stages", "gone.json"), "gone.json"),
            (("--learning-rate", "fast"), "1e-5"),
            (("--loss", "soft"), "votes"),
            (("--loss", "ccc"), "ccc"),
            (("--mixed-precision", "fp16"), "GPU"),
            (("--augment", "nois=3"), "noise"),
            (("--base-model", "tiny-random:wav2vecc"), "wav2vec2"),
            (("--base-model", "nobody/nothing"), "pass the folder"),
            (("--stages", "frozen", "--monitor", "val_f1"), "val_macro_f1"),
        ],
        ids=lambda value: value[-1] if isinstance(value, tuple) else "",
    )
    def test_options_that_make_no_sense(self, affectkit, manifest, tmp_path, more, said):
        line = ("finetune", "--manifest", manifest, "--base-model", TINY, "-o", tmp_path / "run", *QUICK, *more)
        code = 1 if more[-1] in ("gone.json", "nobody/nothing", "soft") else 2
        result = affectkit(*line, code=code)
        [error] = [text for text in result.output.splitlines() if text.startswith("error: ")]
        assert said in error

    def test_recordings_of_another_rate_are_resampled(self, affectkit, manifest, tmp_path, tone):
        low, high = (tone(tmp_path / f"{rate}.wav", seconds=1.0, rate=rate) for rate in (8000, 44100))

        def other(split, part):
            if split == "train":
                part.loc[[0, 1], "path"] = [str(low), str(high)]

        data = changed(manifest, tmp_path / "m", other)
        affectkit("finetune", *data, "--base-model", TINY, "-o", tmp_path / "run", *ONCE)


@pytest.mark.slow
def test_two_processes_end_with_the_model_of_one(affectkit, manifest, tmp_path):
    """Batches are shared out over processes: the same history and the same answers, to rounding."""
    how = f"--base-model {TINY} --epochs 2 --batch-size 7 --learning-rate 1e-3 --dropout 0 --device cpu --num-workers 1"
    affectkit("finetune", "--manifest", manifest, "-o", tmp_path / "one", *how.split())
    done = launched("--manifest", manifest, "-o", tmp_path / "two", *how.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines() == [str(tmp_path / "two")]  # rank 0 speaks alone
    first, second = (pd.read_csv(tmp_path / name / "history.csv") for name in ("one", "two"))
    numbers = [column for column in first if first[column].dtype.kind == "f"]
    np.testing.assert_allclose(first[numbers], second[numbers], rtol=1e-4)
    answers = [rows(tmp_path / name / "predictions.csv").set_index("id") for name in ("one", "two")]
    for name in (c for c in answers[0] if c.startswith("prob_")):
        np.testing.assert_allclose(answers[0][name].astype(float), answers[1][name].astype(float), atol=1e-5)


@pytest.mark.slow
@pytest.mark.processes
def test_one_rank_that_cannot_read_ends_them_all(manifest, tmp_path):
    """A recording with a sound header, and samples that are no numbers, met by one process in the midst of training."""
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")

    def spoil(split, part):
        if split == "train":
            part.loc[0, "path"] = str(tmp_path / "nan.wav")

    data = changed(manifest, tmp_path / "m", spoil)
    done = launched(*data, "-o", tmp_path / "run", "--base-model", TINY, *QUICK)
    assert done.returncode != 0
    assert "nan.wav" in done.stderr


@pytest.mark.slow
def test_rows_count_as_much_as_they_are_told_to(affectkit, manifest, tmp_path):
    """A corpus of weight 0 has no say: the network is the one that other labels of its rows would give."""

    def parted(split, table):
        table["corpus"] = ["a" if n % 2 else "b" for n in range(len(table))]

    def shuffled(split, table):
        parted(split, table)
        if split == "train":
            of_b = table["corpus"] == "b"
            table.loc[of_b, "label"] = list(table.loc[of_b, "label"])[::-1]

    line = ("--base-model", TINY, *QUICK, "--class-weight", "none", "--early-stopping-fraction", "0", "--epochs", 1)
    kept = []
    for change in (parted, shuffled):
        source = changed(manifest, tmp_path / f"of {change.__name__}", change)
        affectkit("finetune", *source, *line, "--row-weights", "corpus:a=1,b=0", "-o", tmp_path / change.__name__)
        kept.append((tmp_path / change.__name__ / "best_model" / "model.safetensors").read_bytes())
    assert kept[0] == kept[1]
    spec = json.loads((tmp_path / "shuffled" / "best_model" / "affectkit.json").read_text())
    assert spec["row_weights"] == "corpus:a=1,b=0"
    result = affectkit("finetune", *source, *line, "--row-weights", "corpus:a=1", "-o", tmp_path / "x", code=1)
    assert "corpus 'b' has no weight" in result.stderr


@pytest.mark.slow
def test_the_feature_encoder_trains_after_its_epochs(affectkit, manifest, tmp_path):
    line = ("finetune", "--manifest", manifest, "--base-model", TINY, *QUICK, "--freeze-feature-encoder-epochs")
    affectkit(*line, 1, "-o", tmp_path / "f")
    history = rows(tmp_path / "f" / "history.csv")
    assert list(history["stage"]) == ["full", "full-thawed"] and list(history["epoch"].astype(int)) == [1, 1]
    result = affectkit(*line, 2, "-o", tmp_path / "x", code=2)
    assert "--freeze-feature-encoder-epochs 2 are all of them" in result.stderr


def test_stages_are_cut_where_the_feature_encoder_thaws():
    from affectkit.finetuning.media.speech import Speech
    from affectkit.finetuning.rows import thawing
    from affectkit.training.optimizing import trained_parts
    from affectkit.training.problem import Problem
    from affectkit.training.stages import Stage

    stages = [Stage("one", epochs=2), Stage("two", epochs=5), Stage("three", epochs=1)]
    cut, thawed = thawing(stages, 4)
    assert [(stage.name, stage.epochs) for stage in cut] == [("one", 2), ("two", 2), ("two-thawed", 3), ("three", 1)]
    medium = Speech(TINY, freeze_feature_encoder=False, freeze_feature_encoder_epochs=4)
    problem = Problem(None, None, None, None, medium.frozen, thawed=thawed)
    parts = [("feature_encoder", [1]), ("head", [2])]
    trained = {stage.name: [name for name, _ in trained_parts(parts, stage, problem.frozen_in(stage))] for stage in cut}
    everything = ["feature_encoder", "head"]
    assert trained == {"one": ["head"], "two": ["head"], "two-thawed": everything, "three": everything}
    assert thawing(stages, 2)[0] == stages and thawing(stages, 2)[1] == {"two", "three"}
