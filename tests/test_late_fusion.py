"""On real EmoDB with two val speakers, a stack of three sources, one of them noise, must not win by its fit rows."""

import json

import numpy as np
import pandas as pd
import pytest

SETS = {"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}


@pytest.fixture(scope="module")
def study(real_data, tmp_path_factory):
    """Single models of the train speakers, their predictions of two val and two test speakers."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    pytest.importorskip("opensmile")
    root = tmp_path_factory.mktemp("emodb")

    def run(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output

    fractions = ("--val-fraction", 0.2, "--test-fraction", 0.2)
    run("prepare-manifest", "emodb", real_data / "emodb", "--split-by", "speaker", *fractions, "-o", root / "m")
    for name, feature_set in SETS.items():
        line = ("extract-features", "-m", root / "m", "--encoder", "opensmile", "--feature-set", feature_set)
        run(*line, "-o", root / f"{name}-features")
        run("train", "-m", root / "m", "--features", root / f"{name}-features", "-o", root / name)
    rows = pd.concat(pd.read_csv(root / "m" / f"{part}.csv", dtype=str) for part in ("train", "val", "test"))
    noise = pd.DataFrame(np.random.default_rng(0).normal(size=(len(rows), 20))).add_prefix("n")
    noise.insert(0, "id", rows["id"].to_numpy())
    noise.to_csv(root / "noise.csv", index=False)
    run("train", "-m", root / "m", "--features", root / "noise.csv", "-o", root / "noise")
    return root


@pytest.mark.figures
def test_selection_on_val_does_not_prefer_an_overfitted_stack(affectkit, study, tmp_path):
    sources = [f"{name}={study / name}" for name in (*SETS, "noise")]
    affectkit("fuse", *sources, "--rule", "stacked", "-o", tmp_path / "stack")
    said = json.loads((tmp_path / "stack" / "train_report.json").read_text())
    assert said["folds"] == "leave one speaker out (2)"
    speakers = pd.read_csv(tmp_path / "stack" / "predictions.csv", dtype=str)
    assert set(speakers["seen"][speakers["split"] == "val"]) == {"oof"}

    runs = [*(study / name for name in SETS), study / "noise", tmp_path / "stack"]
    affectkit("select", *runs, "--by", "val_macro_f1", "-o", tmp_path / "best")
    ranking = pd.read_csv(tmp_path / "best" / "model_selection.csv").set_index("run")
    # Fitted and judged on the same rows, this stack had a val macro-F1 of .997 and a test one of .544.
    assert ranking.loc["stack", "val_macro_f1"] < 0.9
    test = {}
    for run in runs:
        report = json.loads((run / "train_report.json").read_text())
        test[run.name] = report["metrics"]["test_macro_f1"]["value"]
    assert abs(ranking.loc["stack", "val_macro_f1"] - test["stack"]) < 0.1
    assert test[ranking.index[0]] >= max(test[name] for name in SETS) - 0.02
