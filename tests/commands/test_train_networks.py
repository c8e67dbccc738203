"""`affectkit train --model mlp|attention` as it is used."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from affectkit.artifacts.features import read_features
from affectkit.artifacts.predictions import read_predictions

RECORDS = {"run.json", "started.json", "steps.csv", "log.jsonl"}
QUICK = ["--epochs", 2, "--hidden-size", 8, "--stopping-folds", 1]


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """36 recordings of 6 speakers, split and in folds, with features of every form."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    root = tmp_path_factory.mktemp("networks")
    wav2vec2 = ["--encoder", "hf-audio", "--checkpoint", "tiny-random:wav2vec2"]
    made = ["extract-features", "--manifest", root / "split"]
    lines = [
        ["synthesize", "emodb", root / "twin", "--size", 36, "--speakers", 6],
        ["prepare-manifest", "emodb", root / "twin", "--split-by", "speaker", "-o", root / "split"],
        ["prepare-manifest", "emodb", root / "twin", "--folds", 3, "-o", root / "folds"],
        [*made, *wav2vec2, "--pool", "none", "--layer", "all", "-o", root / "frames"],
        [*made, *wav2vec2, "--pool", "mean", "--layer", "all", "-o", root / "layers"],
        [*made, *wav2vec2, "-o", root / "vectors"],
        [*made, "--encoder", "opensmile", "-o", root / "egemaps"],
    ]
    for line in lines:
        result = CliRunner().invoke(app, [str(a) for a in line])
        assert result.exit_code == 0, (line, result.output)
    return root


def train(affectkit, study, out, model, *features, manifest="split", more=()):
    given = [word for name in features for word in ("--features", study / name)]
    return affectkit("train", "--manifest", study / manifest, *given, "--model", model, *QUICK, *more, "-o", out)


FORMS = {
    "mlp on vectors": ("mlp", ["egemaps"], []),
    "mlp on layers beside vectors": ("mlp", ["layers", "egemaps"], []),
    "attention on frames of layers": ("attention", ["frames"], []),
    "cross-attention of vectors and frames of layers": ("cross-attention", ["egemaps", "frames"], []),
    "SUPERB's head on frames": ("attention", ["frames"], ["--pooling", "mean", "--hidden-layers", 0]),
}


# Of those marked here, vectors stand beside layers above, and the head has a test of its own below.
LIKE_OTHERS = ("mlp on vectors", "SUPERB's head on frames")


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[pytest.mark.slow] * (form in LIKE_OTHERS)) for form in FORMS]
)
def test_predicting_raw_recordings_equals_predicting_their_features(affectkit, study, tmp_path, form):
    model, features, more = FORMS[form]
    train(affectkit, study, tmp_path / "m", model, *features, more=more)
    own = read_predictions(tmp_path / "m" / "predictions.csv")
    assert set(own.frame["split"]) == {"val", "test"} and set(own.frame["seen"]) == {"heldout"}
    line = ["predict", "--model-dir", tmp_path / "m", "--manifest", study / "split"]
    given = [word for name in features for word in ("--features", study / name)]
    for name, extra in (("raw", []), ("features", given)):
        affectkit(*line, *extra, "-o", tmp_path / f"{name}.csv")
        again = read_predictions(tmp_path / f"{name}.csv")
        assert list(again.frame["id"]) == list(own.frame["id"])
        np.testing.assert_allclose(again.probabilities(), own.probabilities(), atol=1e-5)
    name = own.frame["id"][3]
    wav = study / "twin" / "wav" / f"{name}.wav"
    result = affectkit("predict", "--model-dir", tmp_path / "m" / "best_model", wav, "-q")
    header, said = result.stdout.splitlines()
    row = dict(zip(header.split(","), said.split(","), strict=True))
    assert float(row["prob_anger"]) == pytest.approx(own.frame["prob_anger"][3], abs=1e-5)


def test_sets_are_known_by_their_names_and_what_they_ask_for_is_exported(affectkit, study, tmp_path):
    """A name stands in the model's record; sets are taken by it in any order, and those that lack are named."""
    named = {"speech": study / "frames", "voice": study / "egemaps"}
    given = [word for name, path in named.items() for word in ("--features", f"{name}={path}")]
    line = ["--manifest", study / "split", *given, "--model", "cross-attention", *QUICK, "--query", "voice"]
    affectkit("train", *line, "--cv", "--export-attention", "-o", tmp_path / "m")
    spec = json.loads((tmp_path / "m" / "best_model" / "affectkit.json").read_text())
    assert [encoder["name"] for encoder in spec["features"]] == ["speech", "voice"]
    own = read_predictions(tmp_path / "m" / "predictions.csv").frame
    table = pd.read_csv(tmp_path / "m" / "attention.csv", dtype={"id": str})
    assert sorted(table["id"]) == sorted([*own["id"]] * 4)  # heads
    assert set(table["query"]) == {"voice"} and set(table["set"]) == {"speech"}
    assert (table["share"] <= 1 + 1e-6).all() and (table["steps"] > 1).all()
    weights = read_features(tmp_path / "m" / "attention" / "voice-speech")
    [of_row] = weights.frames([own["id"][0]])
    np.testing.assert_allclose(of_row.sum(axis=0), 1, rtol=1e-5)
    page = (tmp_path / "m" / "training.html").read_text()
    assert "Attention is no explanation" in page and "voice attends to speech, head 4" in page
    predict = ["predict", "--model-dir", tmp_path / "m", "--manifest", study / "split", "--split", "test", "-q"]
    turned = affectkit(*predict, *given[2:], *given[:2]).stdout
    assert turned == affectkit(*predict, "--features", named["speech"], "--features", named["voice"]).stdout
    result = affectkit(*predict, *given[2:], code=2)
    assert "--features: speech missing" in result.stderr
    result = affectkit(*predict, *given[2:], "--features", f"speach={study / 'frames'}", code=2)
    assert "trained on no set 'speach'; did you mean speech" in result.stderr


def test_what_pays_no_attention_exports_none(affectkit, study, tmp_path):
    line = ["--manifest", study / "split", "--features", study / "egemaps", "--export-attention", *QUICK]
    result = affectkit("train", *line, "--model", "mlp", "-o", tmp_path / "m", code=2)
    assert "--export-attention: mlp pays no attention to steps here; use --model cross-attention" in result.stderr


def test_frames_of_many_recordings_are_answered_some_at_a_time(affectkit, study, tmp_path, monkeypatch):
    """Parts of four, one of them without a file that can be read: the same answers as all at once."""
    train(affectkit, study, tmp_path / "m", "attention", "frames")
    wavs = sorted((study / "twin" / "wav").glob("*.wav"))[:9]
    for place, wav in enumerate(wavs):
        copy = tmp_path / "wav" / wav.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(b"not audio" if 4 <= place < 8 else wav.read_bytes())
    line = ["predict", "--model-dir", tmp_path / "m", tmp_path / "wav", "--on-error", "skip", "-o"]
    affectkit(*line, tmp_path / "whole.csv")
    monkeypatch.setattr("affectkit.inference.estimator_model.CHUNK", 4)
    affectkit(*line, tmp_path / "parts.csv")
    whole, parts = (read_predictions(tmp_path / f"{name}.csv") for name in ("whole", "parts"))
    assert list(parts.frame["id"]) == list(whole.frame["id"]) == [wavs[place].stem for place in (0, 1, 2, 3, 8)]
    np.testing.assert_allclose(parts.probabilities(), whole.probabilities(), atol=1e-5)


def test_draws_of_the_dropout_tell_what_a_network_does_not_know(affectkit, study, tmp_path):
    """And query asks by it; a model without a dropout to draw from is refused, and a table without draws too."""
    longer = ["--epochs", 25, "--hidden-size", 32, "--stopping-folds", 1]
    for name, model, more in (
        ("m", "mlp", longer),
        ("linear", "linear", ()),
        ("sure", "mlp", [*QUICK, "--dropout", 0]),
    ):
        words = ("--manifest", study / "split", "--features", study / "egemaps", "--model", model, *more)
        affectkit("train", *words, "-o", tmp_path / name)
    line = ("predict", "--manifest", study / "split", "--features", study / "egemaps", "--include-fit", "--model-dir")
    affectkit(*line, tmp_path / "m", "--mc-dropout", 20, "-o", tmp_path / "drawn.csv")
    affectkit(*line, tmp_path / "m", "-o", tmp_path / "plain.csv")
    drawn, plain = (read_predictions(tmp_path / f"{name}.csv") for name in ("drawn", "plain"))
    told = drawn.output().mutual_information
    assert (told > 0).all() and (told < np.log(7)).all() and plain.output().mutual_information is None
    assert np.abs(drawn.probabilities() - plain.probabilities()).max() > 1e-4
    affectkit(*line, tmp_path / "m", "--mc-dropout", 20, "-o", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "drawn.csv").read_bytes()

    asked = ("query", "-m", study / "split", "--relabel", "--strategy", "bald", "-n", 6, "--split", "train", "-o")
    table = pd.read_csv(tmp_path / "drawn.csv").assign(seen="oof")
    table.to_csv(tmp_path / "oof.csv", index=False)
    affectkit(*asked, tmp_path / "q.csv", tmp_path / "oof.csv")
    found = pd.read_csv(tmp_path / "q.csv")
    known = table.set_index("id")["mutual_information"]
    np.testing.assert_allclose(found["score"], known[found["id"]] / np.log(7), rtol=1e-5)
    best = known[table.loc[table["split"] == "train", "id"]].sort_values(ascending=False)
    assert list(found["id"]) == list(best.index[:6])
    assert found["reason"].str.startswith("passes are sure of different answers").all()
    table.drop(columns="mutual_information").to_csv(tmp_path / "untold.csv", index=False)
    refused = affectkit(*asked, tmp_path / "none.csv", tmp_path / "untold.csv", code=2)
    assert "one source disagrees with nobody" in refused.stderr and "--mc-dropout" in refused.stderr
    for name in ("linear", "sure"):
        refused = affectkit(*line, tmp_path / name, "--mc-dropout", 20, "-o", tmp_path / "none.csv", code=2)
        assert "--mc-dropout 20 draws from a dropout, and this model has none" in refused.stderr


def test_superbs_head_answers_the_same_for_frames_and_for_pooled_layers(affectkit, study, tmp_path):
    linear = ["--hidden-layers", 0, "--learning-rate", "1e-2", "--stopping-folds", 0]  # without a temperature
    train(affectkit, study, tmp_path / "frames", "attention", "frames", more=["--pooling", "mean", *linear])
    train(affectkit, study, tmp_path / "pooled", "mlp", "layers", more=linear)
    frames, pooled = (read_predictions(tmp_path / name / "predictions.csv") for name in ("frames", "pooled"))
    np.testing.assert_allclose(frames.probabilities(), pooled.probabilities(), atol=1e-5)
    assert frames.probabilities().std(axis=0).max() > 0.01  # it has learned to tell something apart
    weights = load_file(tmp_path / "pooled" / "best_model" / "label.safetensors")["sums.0.weights"]
    assert np.abs(weights).max() > 0


def test_a_run_says_how_it_learned_and_leaves_nothing_else_behind(affectkit, study, tmp_path):
    train(affectkit, study, tmp_path / "m", "mlp", "egemaps", more=["--learning-rate", "find"])
    there = {path.name for path in (tmp_path / "m").iterdir()}
    assert there >= {"history.csv", "search.csv", "lr_find.json", "training.html", "best_model"}
    assert not there & {"fits", "checkpoints"}
    history, search = (pd.read_csv(tmp_path / "m" / f"{name}.csv") for name in ("history", "search"))
    report = json.loads((tmp_path / "m" / "train_report.json").read_text())
    [chosen] = search[search["chosen"]]["epochs"]
    assert report["chosen"] == {"label": {"epochs": chosen}}
    assert history["val_uar"].idxmax() + 1 == chosen
    np.testing.assert_allclose(search["score"], history["val_uar"])
    [sweep] = json.loads((tmp_path / "m" / "lr_find.json").read_text())["sweeps"]
    assert sweep["stage"] == "label" and sweep["rate"] > 0
    assert "epochs" in (tmp_path / "m" / "best_model" / "README.md").read_text()
    log = [json.loads(line) for line in (tmp_path / "m" / "log.jsonl").read_text().splitlines()]
    fits = [(row["fit"], row["number"], row["total"]) for row in log if row["event"] == "fit"]
    assert fits == [("inner-1", 1, 2), ("final", 2, 2)] and log[-1]["event"] == "end"
    assert set(pd.read_csv(tmp_path / "m" / "steps.csv")["fit"]) == {"inner-1", "final"}
    inner = [row["val_uar"] for row in log if row["event"] == "epoch" and row["fit"] == "inner-1"]
    assert history["val_uar"].tolist() == pytest.approx(inner)


def with_valence(study, folder):
    """The manifest with a number beside the label."""
    rng = np.random.default_rng(0)
    tables = []
    for split in ("train", "val", "test"):
        table = pd.read_csv(study / "split" / f"{split}.csv", dtype=str, keep_default_na=False)
        tables.append(table.assign(valence=np.where(rng.random(len(table)) < 0.5, 1, 5)))
        tables[-1].to_csv(folder / f"{split}.csv", index=False)
    summary = json.loads((study / "split" / "summary.json").read_text())
    summary["targets"].append({"name": "valence", "kind": "number", "scale": [1, 5]})
    (folder / "summary.json").write_text(json.dumps(summary))


def test_numbers_and_classes_are_learned_by_one_command_and_answers_stay_on_the_scale(affectkit, study, tmp_path):
    with_valence(study, tmp_path)
    line = ["--manifest", tmp_path, "--features", study / "egemaps", "--target", "label,valence"]
    affectkit("train", *line, "--model", "mlp", *QUICK, "--learning-rate", "3e-2", "-o", tmp_path / "m")
    frame = read_predictions(tmp_path / "m" / "predictions.csv").frame
    assert frame["valence_pred"].between(1, 5).all() and frame["valence_pred"].nunique() > 2
    assert set(pd.read_csv(tmp_path / "m" / "history.csv")["stage"]) == {"label, valence"}


def test_attention_on_frames_answers_several_targets_of_raw_recordings(affectkit, study, tmp_path):
    with_valence(study, tmp_path)
    line = ["--manifest", tmp_path, "--features", study / "frames", "--target", "label,valence", "--model", "attention"]
    affectkit("train", *line, *QUICK, "-o", tmp_path / "m")
    affectkit("predict", "--model-dir", tmp_path / "m", "--manifest", tmp_path, "-o", tmp_path / "raw.csv")
    own, again = (read_predictions(path) for path in (tmp_path / "m" / "predictions.csv", tmp_path / "raw.csv"))
    np.testing.assert_allclose(again.probabilities(), own.probabilities(), atol=1e-5)
    np.testing.assert_allclose(again.frame["valence_pred"], own.frame["valence_pred"], atol=1e-4)


def test_cross_predictions_serve_every_command_that_takes_a_model(affectkit, study, tmp_path):
    for name, features in (("one", "egemaps"), ("two", "vectors")):
        train(affectkit, study, tmp_path / name, "mlp", features, manifest="folds", more=["--cv"])
    frame = read_predictions(tmp_path / "one" / "predictions.csv").frame
    assert len(frame) == 36 and set(frame["seen"]) == {"oof"}
    affectkit("evaluate", tmp_path / "one", "-o", tmp_path / "report")
    affectkit("calibrate", tmp_path / "one", "--method", "temperature", "-o", tmp_path / "calibrated")
    affectkit("fuse", f"a={tmp_path / 'one'}", f"b={tmp_path / 'two'}", "--rule", "mean", "-o", tmp_path / "fused")
    wav = sorted((study / "twin" / "wav").glob("*.wav"))[0]
    assert affectkit("predict", "--model-dir", tmp_path / "fused", wav, "-q").stdout.count("\n") == 2


def test_ablation_trains_networks_on_subsets_of_features(affectkit, study, tmp_path):
    line = ["ablate", "--manifest", study / "folds", "--features", f"a={study / 'egemaps'}"]
    line += ["--features", f"b={study / 'vectors'}", "--model", "mlp", *QUICK, "--seeds", 1, "-o", tmp_path / "a"]
    affectkit(*line)
    summary = json.loads((tmp_path / "a" / "ablation_summary.json").read_text())
    assert set(summary["parts"]["oof"]["subsets"]) == {"a_only", "b_only", "a+b"}


def test_without_stopping_folds_all_epochs_are_trained_and_the_report_says_that_nothing_chose(
    affectkit, study, tmp_path
):
    train(affectkit, study, tmp_path / "m", "mlp", "egemaps", more=["--stopping-folds", 0])
    report = json.loads((tmp_path / "m" / "train_report.json").read_text())
    assert report["chosen"] == {"label": {"epochs": 2}}
    assert report["selected_on"].startswith("nothing")
    assert not (tmp_path / "m" / "history.csv").exists()


def test_labels_that_carry_nothing_are_predicted_at_chance(affectkit, tmp_path):
    """A cross-fit that leaked, by its epochs or its scaling, would beat chance on labels that mean nothing."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"id": [f"r{n}" for n in range(240)], "speaker": [f"s{n // 40}" for n in range(240)]})
    rows["label"] = rng.choice(["a", "b", "c"], 240)
    rows.assign(fold=rows["speaker"].str[1:].astype(int) % 3).to_csv(tmp_path / "folds.csv", index=False)
    columns = {f"f{n}": rng.normal(size=240) for n in range(20)}
    pd.DataFrame({"id": rows["id"], **columns}).to_csv(tmp_path / "table.csv", index=False)
    line = ["--manifest", tmp_path / "folds.csv", "--features", tmp_path / "table.csv", "--model", "mlp", "--cv"]
    affectkit("train", *line, "--epochs", 6, "--stopping-folds", 1, "-o", tmp_path / "m")
    report = json.loads((tmp_path / "m" / "train_report.json").read_text())
    assert report["metrics"]["oof_uar"]["value"] < 1 / 3 + 3 * np.sqrt(2 / 9 / 240)


def test_speakers_are_normalised_by_all_their_frames(affectkit, study, tmp_path):
    more = ["--normalize", "speaker"]
    train(affectkit, study, tmp_path / "m", "attention", "frames", more=more)
    line = ["predict", "--model-dir", tmp_path / "m", "--manifest", study / "split", "-o"]
    affectkit(*line, tmp_path / "raw.csv")
    own, again = (read_predictions(path) for path in (tmp_path / "m" / "predictions.csv", tmp_path / "raw.csv"))
    np.testing.assert_allclose(again.probabilities(), own.probabilities(), atol=1e-5)
    assert json.loads((tmp_path / "m" / "train_report.json").read_text())["transductive"] is True


def test_gaps_in_a_table_are_filled_as_for_other_models(affectkit, study, tmp_path):
    ids = pd.concat([pd.read_csv(path, dtype=str)["id"] for path in sorted((study / "split").glob("*.csv"))])
    values = np.random.default_rng(0).normal(size=len(ids))
    table = pd.DataFrame({"id": ids, "full": values, "gaps": np.where(values > 0, "", "1.5"), "none": ""})
    table.to_csv(tmp_path / "t.csv", index=False)
    train(affectkit, study, tmp_path / "m", "mlp", tmp_path / "t.csv")
    assert np.isfinite(read_predictions(tmp_path / "m" / "predictions.csv").probabilities()).all()


@pytest.mark.parametrize("target", ["label", "arousal"])
def test_an_answer_that_runs_over_is_named_and_no_row_without_one(affectkit, tmp_path, target):
    """Its features are finite, and their products are not; an infinity would be clipped to the end of the scale."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"id": [f"r{n}" for n in range(40)], "speaker": [f"s{n % 4}" for n in range(40)]})
    rows["label"], rows["arousal"] = ["calm", "tense"] * 20, rng.uniform(1, 5, 40)
    rows.to_csv(tmp_path / "m.csv", index=False)
    table = pd.DataFrame({"id": rows["id"], "a": rng.normal(0, 1e-3, 40), "b": rng.normal(0, 1e-3, 40)})
    table.to_csv(tmp_path / "f.csv", index=False)
    line = ["--manifest", tmp_path / "m.csv", "--features", tmp_path / "f.csv"]
    affectkit("train", *line, "--cv", "--model", "mlp", "--target", target, *QUICK, "-o", tmp_path / "m")
    table.loc[3, ["a", "b"]] = [3e38, -3e38]
    table.to_csv(tmp_path / "f.csv", index=False)
    result = affectkit("predict", "--model-dir", tmp_path / "m", *line, "--include-fit", code=1)
    assert "m.csv row 4: the answer for id 'r3' is not a number (1 of 40 rows)" in " ".join(result.stderr.split())


REFUSED = {
    "frames for mlp": ("mlp", "frames", "holds frames, not one vector per row"),
    "vectors for attention": ("attention", "vectors", "no frames for attention to pool; extract with --pool none"),
    "layers for attention": ("attention", "layers", "there are no frames for attention to pool"),
    "layers for linear": ("linear", "layers", "holds 3 layers per row"),
    "frames for svm": ("svm", "frames", "holds frames, not one vector per row"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_features_that_a_model_does_not_take_are_refused_with_a_remedy(affectkit, study, tmp_path, what):
    model, features, message = REFUSED[what]
    line = ["--manifest", study / "split", "--features", study / features, "--model", model, "-o", tmp_path / "m"]
    result = affectkit("train", *line, code=1)
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "m").exists()


def test_sparse_features_are_refused_with_a_remedy(affectkit, tmp_path):
    affectkit("synthesize", "emobank", tmp_path / "c", "--size", 60)
    affectkit("prepare-manifest", "emobank", tmp_path / "c", "-o", tmp_path / "m")
    affectkit("extract-features", "--manifest", tmp_path / "m", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    line = ["--manifest", tmp_path / "m", "--features", tmp_path / "f", "--model", "mlp", "-o", tmp_path / "x"]
    result = affectkit("train", *line, code=1)
    assert "is sparse, which mlp does not take; use --model linear" in result.stderr


def test_features_of_another_layer_are_refused(affectkit, study, tmp_path):
    train(affectkit, study, tmp_path / "m", "mlp", "vectors")
    line = ["--manifest", study / "split"]
    encoder = ["--encoder", "hf-audio", "--checkpoint", "tiny-random:wav2vec2", "--layer", 0]
    affectkit("extract-features", *line, *encoder, "-o", tmp_path / "f")
    result = affectkit("predict", "--model-dir", tmp_path / "m", *line, "--features", tmp_path / "f", code=1)
    assert "differs in 'layer' from the features of the model (hf-audio)" in result.stderr


@pytest.mark.parametrize("what", ["cut short", "another network's", "of other features"])
def test_a_damaged_model_is_one_clear_error(affectkit, study, tmp_path, what):
    train(affectkit, study, tmp_path / "m", "mlp", "vectors")
    shutil.copytree(tmp_path / "m" / "best_model", tmp_path / "best_model")  # no run's, so that no digest is known
    weights, spec = (tmp_path / "best_model" / name for name in ("label.safetensors", "affectkit.json"))
    if what == "cut short":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif what == "another network's":
        save_file({**load_file(weights), "head.bias": np.zeros(2, np.float32)}, weights)
    else:
        spec.write_text(spec.read_text().replace('"dimensions": [\n    32', '"dimensions": [\n    31'))
    result = affectkit("predict", "--model-dir", tmp_path / "best_model", "--manifest", study / "split", code=1)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "best_model: is not a whole model" in line


def files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in RECORDS]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("model", "features"), [("mlp", "egemaps"), pytest.param("attention", "frames", marks=pytest.mark.slow)]
)
def test_stopped_again_and_again_and_resumed_it_is_the_same_bytes(affectkit, stopped, study, tmp_path, model, features):
    """First at the fourth file that it writes, then at the fifth after that, ...: checkpoints, fits, what is left."""
    line = ["train", "--manifest", study / "folds", "--features", study / features, "--model", model, "--cv"]
    line += ["--epochs", 4, "--hidden-size", 8, "--stopping-folds", 1, "--device", "cpu", "-o"]
    affectkit(*line, tmp_path / "whole" / "m")
    out = tmp_path / "stopped" / "m"
    for write in range(4, 50):
        if not stopped(*line, out, "--resume", write=write, named=write % 2):
            break
        assert (out / "started.json").exists() and not (out / "run.json").exists()
    assert write >= 9
    assert files(out) == files(tmp_path / "whole" / "m")


@pytest.mark.slow
def test_memory_does_not_grow_with_hours_of_frames(tmp_path):
    """Peak memory of training on 6 MB and then on 180 MB of frames."""
    script = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from affectkit.artifacts.feature_writer import FeatureWriter
from affectkit.artifacts.features import read_features
from affectkit.estimators._fit import FitSettings, build_estimator, fit_targets
from affectkit.estimators._network_inputs import read_block
from affectkit.estimators._train import workspace_of
from affectkit.labels import Target

def peak(folder, count):
    ids = [f"r{n}" for n in range(count)]
    plan = [ids[start : start + 20] for start in range(0, count, 20)]
    writer = FeatureWriter(folder, {"encoder": "x", "pooled": False}, plan)
    rng = np.random.default_rng(0)
    for number, shard in enumerate(plan):
        writer.write(number, [rng.normal(size=(300, 4, 64)).astype("f4") for _ in shard], shard, [], {})
    writer.finish()
    (folder / "run.json").write_text("{}")
    estimator = build_estimator("attention", {"epochs": 2, "stopping_folds": 1, "hidden_size": 16, "batch_size": 8})
    block = read_block(read_features(folder), ids, estimator.takes, "attention")
    estimator = estimator.at(workspace_of(estimator, folder, "cpu", 1))
    y, groups = np.arange(count) % 2, np.array([str(n % 5) for n in range(count)])
    target = Target("label", "class", ("a", "b"))
    fit_targets(estimator, [target], [block], [y.astype(float)], groups, FitSettings())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

print(peak(Path(sys.argv[1], "few"), 20), peak(Path(sys.argv[1], "many"), 600))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    few, many = map(float, done.stdout.split())
    assert many - few < 60  # MB; all frames would be 170 more


# Figures on real data


@pytest.mark.figures
def test_emodb_leave_one_speaker_out(affectkit, real_data, tmp_path):
    """eGeMAPS: UAR .608 [.512, .696]; `--model linear` has .606, and on ComParE .756 where mlp has .738."""
    affectkit("prepare-manifest", "emodb", real_data / "emodb", "--folds", "speaker", "-o", tmp_path / "manifest")
    line = ["--manifest", tmp_path / "manifest"]
    extract = ["--encoder", "opensmile", "--feature-set", "eGeMAPSv02", "-o", tmp_path / "features"]
    affectkit("extract-features", *line, *extract)
    affectkit("train", *line, "--features", tmp_path / "features", "--model", "mlp", "--cv", "-o", tmp_path / "m")
    report = json.loads((tmp_path / "m" / "train_report.json").read_text())
    assert report["metrics"]["oof_uar"]["value"] == pytest.approx(0.608, abs=0.03)
