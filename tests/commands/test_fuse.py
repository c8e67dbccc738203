"""affectkit fuse: whether it helps, missing sources, the guard, chains from bare recordings."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest

CLASSES = ["angry", "calm", "sad"]


def softmax(scores):
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.fixture
def sources(tmp_path):
    """Write tables of 12 speakers, 8 of val and 4 of test: `sources(voice=2.0, face=2.0, noise=0.0)`, strength by name;
    every source sees the truth through noise of its own."""

    def write(rows=600, missing=(), seed=0, **strengths):
        rng = np.random.default_rng(seed)
        truth = rng.integers(3, size=rows)
        names = []
        for name, strength in strengths.items():
            scores = rng.normal(0, 1, (rows, 3)) + strength * np.eye(3)[truth]
            frame = pd.DataFrame(softmax(scores), columns=[f"prob_{c}" for c in CLASSES])
            frame.insert(0, "id", [f"r{i:04d}" for i in range(rows)])
            frame["label"] = np.array(CLASSES)[truth]
            frame["speaker"] = [f"s{i % 12:02d}" for i in range(rows)]
            frame["split"] = np.where(np.arange(rows) % 12 < 8, "val", "test")
            frame["seen"] = "heldout"
            if name in missing:
                frame = frame[np.arange(rows) % 3 > 0]
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
            names.append(f"{name}={tmp_path / name}.csv")
        return names

    return write


def verdicts(folder):
    report = json.loads((folder / "train_report.json").read_text())
    return {verdict["part"]: verdict for verdict in report["verdicts"]}


@pytest.mark.parametrize("rule", ["mean", "stacked", "greedy", "product"])
def test_sources_that_complement_each_other_help_and_it_says_so(rule, affectkit, sources, tmp_path):
    result = affectkit("fuse", *sources(voice=1.5, face=1.5), "--rule", rule, "-o", tmp_path / "f")
    found = verdicts(tmp_path / "f")
    assert set(found) == {"val", "test"}
    for part, verdict in found.items():
        assert verdict["helps"] and verdict["against_best"]["difference"]["low"] > 0, part
        assert verdict["rescued"] > verdict["degraded"]
        alone = verdict["singles"][verdict["best_single"]]  # as it is, not chosen anew in each fold
        assert verdict["against_best"]["second"] == pytest.approx(alone, abs=1e-12)
    assert "test rows: fusing helps" in result.stderr
    table = pd.read_csv(tmp_path / "f" / "predictions.csv")
    assert set(table["seen"][table["split"] == "val"]) == {"oof"}
    judged = table[table["split"] == "test"]
    recalls = [(judged["pred"] == judged["label"])[judged["label"] == c].mean() for c in CLASSES]
    assert found["test"]["against_best"]["first"] == pytest.approx(np.mean(recalls), abs=1e-9)


@pytest.mark.parametrize("rule", ["mean", "stacked", "greedy"])
def test_noise_does_not_help_and_it_says_so(rule, affectkit, sources, tmp_path):
    result = affectkit("fuse", *sources(voice=1.5, noise=0.0), "--rule", rule, "-o", tmp_path / "f")
    assert not verdicts(tmp_path / "f")["test"]["helps"]
    assert "test rows: fusing does not help" in result.stderr
    assert verdicts(tmp_path / "f")["test"]["best_single"] == "voice"


def test_fallback_keeps_the_single_source_where_fusing_does_not_help(affectkit, sources, tmp_path):
    line = ("fuse", *sources(voice=1.5, noise=0.0), "--rule", "mean", "--fallback", "best")
    result = affectkit(*line, "-o", tmp_path / "f")
    assert "the single source is kept" in result.stderr
    fused = json.loads((tmp_path / "f" / "best_model" / "fusion.json").read_text())
    assert fused["targets"]["label"]["rule"] == "best"
    ours = pd.read_csv(tmp_path / "f" / "predictions.csv")[[f"prob_{c}" for c in CLASSES]]
    theirs = pd.read_csv(tmp_path / "voice.csv")[[f"prob_{c}" for c in CLASSES]]
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_a_row_that_a_source_lacks_is_fused_from_the_others(affectkit, sources, tmp_path):
    given = sources(voice=1.5, face=1.5, missing=("face",))
    result = affectkit("fuse", *given, "--rule", "mean", "-o", tmp_path / "f")
    assert "face has no answer for 200 of 600 rows" in result.stderr
    fused, voice = pd.read_csv(tmp_path / "f" / "predictions.csv"), pd.read_csv(tmp_path / "voice.csv")
    alone = np.arange(600) % 3 == 0
    columns = [f"prob_{c}" for c in CLASSES]
    np.testing.assert_allclose(fused[columns][alone], voice[columns][alone], atol=1e-8)
    assert np.abs(fused[columns][~alone].to_numpy() - voice[columns][~alone].to_numpy()).max() > 0.1


def test_stacked_takes_a_table_of_numbers(affectkit, sources, tmp_path):
    given = sources(voice=1.0)
    truth = pd.read_csv(tmp_path / "voice.csv")
    rng = np.random.default_rng(1)
    columns = {c: (truth["label"] == c) + rng.normal(0, 0.5, len(truth)) for c in CLASSES[:2]}
    pd.DataFrame({"id": truth["id"], **columns}).to_csv(tmp_path / "age.csv", index=False)
    affectkit("fuse", *given, f"age={tmp_path}/age.csv", "--rule", "stacked", "-o", tmp_path / "f")
    assert verdicts(tmp_path / "f")["test"]["helps"]
    refused = affectkit("fuse", *given, f"age={tmp_path}/age.csv", "--rule", "mean", "-o", tmp_path / "g", code=1)
    assert "age.csv" in refused.stderr and "holds no predictions" in refused.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--rule", "meen"), 2, "there is no fusion 'meen'; did you mean mean"),
        (("--metric", "uarr"), 2, "did you mean uar"),
        (("--rule", "mean", "--weights", ".5,.5"), 2, "mean has no option --weights"),
        (("--rule", "inverse-variance"), 2, "inverse-variance"),
        (("--fit-on", "oof"), 1, "has no oof rows to fit on"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, code, message, affectkit, sources, tmp_path):
    result = affectkit("fuse", *sources(voice=1.0, face=1.0), *options, "-o", tmp_path / "f", code=code)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "f").exists()


def test_one_source_is_no_fusion(affectkit, sources, tmp_path):
    assert "at least 2" in affectkit("fuse", *sources(voice=1.0), "-o", tmp_path / "f", code=2).stderr


def test_predict_runs_fusion_and_calibration_from_a_bare_recording(affectkit, emodb_twin, tmp_path):
    pytest.importorskip("opensmile")
    affectkit("prepare-manifest", "emodb", emodb_twin, "--folds", "speaker", "-o", tmp_path / "m")
    sets = {"functionals": "eGeMAPSv02", "small": "GeMAPSv01b"}
    for name, feature_set in sets.items():
        line = ("extract-features", "-m", tmp_path / "m", "--encoder", "opensmile", "--feature-set", feature_set)
        affectkit(*line, "-o", tmp_path / f"{name}-features")
        affectkit(
            "train", "-m", tmp_path / "m", "--features", tmp_path / f"{name}-features", "--cv", "-o", tmp_path / name
        )
    affectkit("fuse", *(f"{name}={tmp_path / name}" for name in sets), "--rule", "mean", "-o", tmp_path / "fused")
    affectkit("calibrate", tmp_path / "fused", "--method", "temperature", "-o", tmp_path / "calibrated")
    shutil.copy(sorted(emodb_twin.rglob("*.wav"))[0], tmp_path / "new.wav")

    def said(name):
        return pd.read_csv(
            io.StringIO(affectkit("predict", "--model-dir", tmp_path / name, tmp_path / "new.wav").stdout)
        )

    columns = [c for c in said("fused") if c.startswith("prob_")]
    mean = np.mean([said(name)[columns].to_numpy() for name in sets], axis=0)
    np.testing.assert_allclose(said("fused")[columns], mean, atol=1e-6)
    fitted = json.loads((tmp_path / "calibrated" / "best_model" / "calibration.json").read_text())["targets"]["label"]
    powered = mean ** (1 / fitted["parameters"]["temperature"])
    np.testing.assert_allclose(said("calibrated")[columns], powered / powered.sum(), atol=1e-6)

    # Already extracted features stand in for the encoders, in the order of training; rows fitted on are left out.
    features = [word for name in sets for word in ("--features", tmp_path / f"{name}-features")]
    line = ("predict", "--model-dir", tmp_path / "calibrated", "-m", tmp_path / "m", *features)
    assert "only rows that the model was fitted on" in affectkit(*line, "-o", tmp_path / "p.csv", code=1).stderr
    affectkit(*line, "--include-fit", "-o", tmp_path / "p.csv")
    assert set(pd.read_csv(tmp_path / "p.csv")["seen"]) == {"fit"}
