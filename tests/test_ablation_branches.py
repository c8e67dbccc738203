"""Branches of a fine-tuned run, trained anew for every subset by commands whose folders can be looked at."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectkit.ablation.branches import Branches, Recorded
from affectkit.artifacts.records import digest
from affectkit.errors import AffectkitError
from affectkit.finetuning.mixture import MixOptions

NETWORK = ["--base-model", "tiny-random:resnet", "--crop", "box", "--epochs", "1", "--learning-rate", "3e-3"]


@pytest.fixture(scope="session")
def clinic(made_once):
    """A study of the twin of dfu: `manifest`; `forest` on its table; `image`, a network of two pictures whose folds are
    kept; `fused`, both in two stages."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    def make(root):
        manifest = ["prepare-manifest", "dfu", root / "corpus"]
        train = [
            "train",
            "--manifest",
            root / "manifest",
            "--features",
            "manifest:*",
            "--model",
            "forest",
            "--trees",
            "5",
        ]
        pictures = ["finetune", "--manifest", root / "manifest", "--media", "thermal_map,depth_rgb", "--cv"]
        beside = [
            "--init",
            root / "image",
            "--beside",
            f"metadata={root / 'forest'}",
            "--mix",
            ".7,.3",
            "--crop",
            "box",
        ]
        stages = ["--stages", "two-stage", "--epochs", "1", "--learning-rate", ".1"]
        for line in (
            ["synthesize", "dfu", root / "corpus", "--size", "30", "--speakers", "10"],
            [*manifest, "--repeats", "drop", "--folds", "2", "--test-fraction", ".2", "-o", root / "manifest"],
            [*train, "--min-leaf", "2", "--exclude", "Phase Confidence (%)", "--cv", "-o", root / "forest"],
            [*pictures, *NETWORK, "--keep-folds", "-o", root / "image"],
            [*pictures, *beside, *stages, "-o", root / "fused"],
        ):
            result = CliRunner().invoke(app, [str(word) for word in line])
            assert result.exit_code == 0, result.output

    return made_once("clinic", make)


@pytest.fixture(scope="session")
def ablation(made_once, clinic):
    from typer.testing import CliRunner

    from affectkit.cli import app

    def make(root):
        include = [["--include", names] for names in ("metadata", "thermal_map", "metadata,thermal_map")]
        line = [
            "ablate",
            "--retrain",
            clinic / "fused",
            *np.ravel(include),
            "--cv-folds",
            "2",
            "--by",
            "kappa",
            "-o",
            root,
        ]
        result = CliRunner().invoke(app, [str(word) for word in line])
        assert result.exit_code == 0, result.output

    return made_once("ablation", make)


INCLUDE = ["--include", "metadata", "--include", "thermal_map", "--include", "metadata,thermal_map"]


def line_of(clinic, folder, *more):
    return ["ablate", "--retrain", clinic / "fused", *INCLUDE, "--cv-folds", "2", "--by", "kappa", "-o", folder, *more]


def test_every_subset_is_what_its_own_run_says_on_the_same_folds(ablation):
    summary = json.loads((ablation / "ablation_summary.json").read_text())
    assert summary["sources"] == ["metadata", "thermal_map", "depth_rgb"]
    assert summary["full"] == "metadata+thermal_map" and summary["kind"] == "branches"
    assert list(summary["parts"]["oof"]["subsets"]) == ["metadata_only", "thermal_map_only", "metadata+thermal_map"]
    tables = {}
    for name, run in {"metadata_only": "metadata", "thermal_map_only": "thermal_map"}.items():
        tables[name] = pd.read_csv(ablation / "subsets" / name / "predictions.csv", dtype=str)
        of_run = pd.read_csv(ablation / "branches" / "0" / run / "predictions.csv", dtype=str)
        pd.testing.assert_frame_equal(tables[name][of_run.columns], of_run)
    both = pd.read_csv(ablation / "subsets" / "metadata+thermal_map" / "predictions.csv")
    assert set(both["seen"]) == {"oof", "heldout"} and list(both["id"]) == list(tables["metadata_only"]["id"])
    report = json.loads((ablation / "branches" / "0" / "metadata+thermal_map" / "train_report.json").read_text())
    assert report["beside"]["nested"] == {"metadata": "nested"}
    assert report["beside"]["shares"]["label"] == {"metadata": 0.7, "network": 0.3}


def test_a_run_or_a_subset_that_was_damaged_is_done_again_and_nothing_else(affectkit, clinic, ablation, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(ablation, folder)
    (folder / "run.json").unlink()
    table = folder / "branches" / "0" / "metadata" / "predictions.csv"
    wanted = (folder / "subsets" / "metadata_only" / "predictions.csv").read_bytes()
    for damaged in (table, folder / "subsets" / "metadata_only" / "predictions.csv"):
        damaged.write_bytes(damaged.read_bytes().replace(b"proliferation", b"inflammation", 3))
    times = {path: path.stat().st_mtime_ns for path in (folder / "branches").rglob("run.json")}
    # The record of where the folder lies is of the copy: only then is it the same study.
    affectkit(*line_of(clinic, folder, "--resume"))
    assert (folder / "subsets" / "metadata_only" / "predictions.csv").read_bytes() == wanted
    again = {
        path.parent.name
        for path in (folder / "branches").rglob("run.json")
        if times.get(path) != path.stat().st_mtime_ns
    }
    assert again == {"metadata"}
    assert json.loads((folder / "ablation_summary.json").read_text()) == json.loads(
        (ablation / "ablation_summary.json").read_text()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rule", "mean"], "--rule belongs to predictions"),
        (["--model", "forest"], "--model belongs to --features"),
        (["--manifest", "x"], "--manifest belongs to predictions and --features"),
        (["--trees", "5"], "--trees does not belong to --retrain"),
        (["--features", "a=b.csv"], "ablate takes either predictions, --features or --retrain"),
        (["--include", "metadata,heat_map"], "there is no source 'heat_map'; did you mean thermal_map"),
    ],
)
def test_what_does_not_belong_to_branches_is_refused_before_any_work(affectkit, clinic, tmp_path, options, message):
    result = affectkit("ablate", "--retrain", clinic / "fused", *options, "-o", tmp_path / "out", code=2)
    assert message in result.output and not (tmp_path / "out").exists()


def test_a_run_that_is_none_of_finetune_is_refused(affectkit, clinic, tmp_path):
    result = affectkit("ablate", "--retrain", clinic / "forest", "-o", tmp_path / "out", code=1)
    assert "affectkit train made it: its branches cannot be trained again; name a run of finetune" in result.output


# --- What is said of a branch, and what is not said wrongly


def recorded(command="finetune", **options):
    return Recorded(command, options)


def test_no_is_said_where_yes_is_the_default():
    words = recorded(freeze_feature_encoder=False, specaugment=True, bundle=False, monitor="").words(Path("out"))
    assert words == ["finetune", "--train-feature-encoder", "--specaugment", "--cv", "--output-dir", "out"]


MIXED = recorded(mix=".6,.2,.2", epochs=3)


@pytest.mark.parametrize(
    ("alone", "runs", "init"),
    [(MIXED, ["a", "a+network"], None), (recorded(init="w.pt"), ["a", "network", "a+network"], "f/network")],
    ids=["mixed from the start", "trained alone before"],
)
def test_a_network_is_trained_alone_first_where_it_was(alone, runs, init):
    mix = MixOptions.parse(".6,.2,.2", ["a", "b"])
    branches = Branches(MIXED, alone, {"a": recorded("train"), "b": recorded("train")}, ["network"], mix)
    steps = list(branches.steps(["a", "network"], Path("m"), Path("f"), 0))
    assert [place.name for place, _ in steps] == runs
    words = steps[-1][1]
    assert (words[words.index("--init") + 1] if "--init" in words else None) == init
    weights = [float(weight) for weight in words[words.index("--mix") + 1].split(",")]
    np.testing.assert_allclose(weights, [0.75, 0.25])


def test_branches_that_weigh_nothing_together():
    mix = MixOptions.parse("1,0,0", ["a", "b"])
    branches = Branches(MIXED, MIXED, {"a": recorded("train"), "b": recorded("train")}, ["network"], mix)
    with pytest.raises(AffectkitError, match="gives b and the network no weight together; name other subsets"):
        list(branches.steps(["b", "network"], Path("m"), Path("f"), 0))


@pytest.mark.parametrize(
    "options",
    [{"media": "a,../../x"}, {"beside": 5}, {"beside": ["a"]}, {"init": [1]}, {"beside": [], "mix": "a,b"}, {"mix": 1}],
)
def test_a_record_that_names_what_is_none(tmp_path, options):
    started = {"schema": 1, "command": "finetune", "options": options, "inputs": []}
    (tmp_path / "started.json").write_text(json.dumps(started))
    (tmp_path / "run.json").write_text(json.dumps({**started, "outputs": []}))
    with pytest.raises(AffectkitError) as caught:
        Branches.of(tmp_path)
    assert caught.value.file and caught.value.remedy and "\n" not in str(caught.value)


def test_what_a_run_was_made_of_has_changed(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("id\na\n")
    started = {"schema": 1, "command": "train", "options": {}, "inputs": [digest(table)]}
    run = tmp_path / "run"
    run.mkdir()
    (run / "started.json").write_text(json.dumps(started))
    (run / "run.json").write_text(json.dumps({**started, "outputs": []}))
    assert Recorded.of(run, "train").command == "train"
    table.write_text("id\nb\n")
    with pytest.raises(AffectkitError, match=r"rows\.csv: has changed since"):
        Recorded.of(run, "train")
