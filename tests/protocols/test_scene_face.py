"""`affectkit train --phase`: three phases on EMOTIC's twin, and the single commands that do the same."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from affectkit.console import Outcome
from affectkit.distributed import Ranks
from affectkit.protocols._protocol import Step, carry_out

cv2 = pytest.importorskip("cv2", reason='finding faces needs OpenCV: pip install "affectkit[face]"')

pytestmark = pytest.mark.slow

RECORDS = {"run.json", "started.json", "steps.csv", "log.jsonl"}  # what says when, how fast and by which command
SMALL = ["--backbone", "tiny-random:timm", "--frozen-epochs", 2, "--unfrozen-epochs", 1, "--scene-draws", 5]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A manifest of drawn scenes, an expert of random weights that reads their faces, and all three phases."""
    import timm
    import torch
    from safetensors.torch import save_file
    from typer.testing import CliRunner

    from affectkit.cli import app

    root = tmp_path_factory.mktemp("scene_face")
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), root / "expert.safetensors")
    common = ["--manifest", root / "manifest", "--device", "cpu", "-o"]
    expert = ["import-model", "timm", "--checkpoint", f"timm:test_resnet/{root / 'expert.safetensors'}", "--tta", 3]
    phase = ["train", *common, root / "study", "--face", root / "face", *SMALL, "--phase"]
    lines = [
        ["synthesize", "emotic", root / "twin", "--size", 200],
        ["prepare-manifest", "emotic", root / "twin", "-o", root / "manifest"],
        [*expert, *common, root / "face"],
        *([*phase, number] for number in (0, 1, 2)),
    ]
    said = []
    for line in lines:
        result = CliRunner().invoke(app, [str(a) for a in line])
        assert result.exit_code == 0, (line, result.output, result.exception)
        said.append(result.stderr)
    return root, said[-3:]


def bytes_of(folder):
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if name not in RECORDS}


def commands_of(announced):
    """The words of each command line that a phase announced."""
    return [shlex.split(line)[1:] for line in announced.splitlines() if line.startswith("   affectkit ")]


def test_each_phase_leaves_run_folders_and_the_last_one_predicts(study, affectkit, tmp_path):
    root, _ = study
    table = pd.read_csv(root / "study" / "phase2" / "predictions.csv")
    assert set(table["split"]) == {"val", "test"} and set(table["seen"]) == {"oof", "heldout"}
    assert {"face", "valence_pred", "valence_var", "arousal_pred"} <= set(table)
    assert table["valence_pred"].between(1, 10).all() and (table["valence_var"] > 0).all()
    history = pd.read_csv(root / "study" / "phase0" / "history.csv")
    assert list(history["stage"]) == ["frozen"] * 2 + ["unfrozen"] and {"val_valence.ccc", "val_mae"} <= set(history)
    stages = json.loads((root / "study" / "phase0" / "train_report.json").read_text())["stages"]
    found = stages[0]["rates"][0]
    np.testing.assert_allclose(stages[1]["rates"], [found / 100, found / 10])
    correction = json.loads((root / "study" / "phase1" / "corrected" / "best_model" / "calibration.json").read_text())
    assert "valence" in json.dumps(correction)
    weights = json.loads((root / "study" / "phase2" / "best_model" / "fusion.json").read_text())
    assert "scales" in json.dumps(weights)
    image = sorted((root / "twin").rglob("*.jpg"))[0]
    affectkit("predict", "--model-dir", root / "study" / "phase2", image, "--device", "cpu", "-o", tmp_path / "p.csv")
    assert 1 <= pd.read_csv(tmp_path / "p.csv")["valence_pred"][0] <= 10


def test_rows_without_a_face_have_the_scene_networks_answer(study):
    root, _ = study
    fused, scene = (
        pd.read_csv(root / "study" / name / "predictions.csv").set_index("id") for name in ("phase2", "phase0")
    )
    without = fused.index[fused["face"] == "none"]
    assert len(without) > 3
    np.testing.assert_allclose(fused.loc[without, "valence_pred"], scene.loc[without, "valence_pred"], rtol=1e-8)


def test_the_single_commands_that_a_phase_names_give_the_same_bytes(study, affectkit, tmp_path):
    root, said = study
    renamed = {}
    for text in said:
        for words in commands_of(text):
            place = words.index("--output-dir") + 1
            folder = words[place]
            words[place] = renamed[folder] = str(tmp_path / folder.removeprefix(str(root)).strip("/"))
            for known, copy in renamed.items():  # what it reads is what the commands before it wrote
                words = [copy if w == known else w.replace(f"={known}", f"={copy}") for w in words]
            affectkit(*words)
            theirs, ours = bytes_of(tmp_path / words[place]), bytes_of(type(root)(folder))
            assert theirs.keys() == ours.keys()
            different = [name for name in ours if ours[name] != theirs[name]]
            assert [n for n in different if not n.endswith(("affectkit.json", "README.md", "train_report.json"))] == []
    assert (tmp_path / "study" / "phase2" / "best_model" / "fusion.json").exists()


def test_the_commands_that_a_phase_names_go_on_with_its_folders(study, affectkit):
    """Each records all options of its own, so that it can be resumed by hand."""
    root, said = study
    for text in said:
        for words in commands_of(text):
            before = (root / words[words.index("--output-dir") + 1] / "run.json").read_bytes()
            affectkit(*words, "--resume")
            assert (root / words[words.index("--output-dir") + 1] / "run.json").read_bytes() == before


def test_a_dry_run_prints_a_script_that_runs_and_writes_nothing(study, affectkit, tmp_path):
    root, _ = study
    for phase, words in ((0, "heads at a found rate"), (1, "nothing is trained"), (2, "equal weights")):
        line = ["train", "--phase", phase, "--manifest", root / "manifest", "-o", tmp_path / "s", "--dry-run"]
        script = affectkit(*line).stdout
        assert f"# phase {phase}" in script and words in script and "\naffectkit " in script
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert not (tmp_path / "s").exists()


def test_the_script_of_a_dry_run_does_what_the_phase_does(study, affectkit, tmp_path):
    """Into a folder whose name a shell would take apart."""
    root, _ = study
    place = tmp_path / "it's a study; $HOME"
    shutil.copytree(root / "study" / "phase0", place / "phase0")
    shutil.copytree(root / "study" / "phase1", place / "phase1")
    line = ["train", "--phase", 2, "--manifest", root / "manifest", "-o", place]
    script = affectkit(*line, "--dry-run").stdout
    tool = tmp_path / "bin" / "affectkit"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m affectkit "$@"\n')
    tool.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    subprocess.run(["bash"], input=script, text=True, check=True, env=environment, capture_output=True)
    predictions = (place / "phase2" / "predictions.csv").read_bytes()
    assert predictions == (root / "study" / "phase2" / "predictions.csv").read_bytes()


def test_only_the_first_process_runs_what_is_not_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(Ranks, "barrier", lambda self: met.append(self.rank))
    steps = [Step("", (command,), tmp_path / command) for command in ("finetune", "import-model", "calibrate", "fuse")]
    for rank, expected in ((0, ["finetune", "import-model", "calibrate", "fuse"]), (1, ["finetune"])):
        ran, met = [], []
        carry_out(steps, lambda words: ran.append(words[0]) or Outcome(), Ranks(rank, 2))  # noqa: B023
        assert ran == expected
        assert met == [rank] * len(steps)  # all wait after each step, so that the next one finds its folder


def test_finished_steps_are_kept_and_mistakes_are_told(study, affectkit, tmp_path):
    root, _ = study
    line = [
        "train",
        "--manifest",
        root / "manifest",
        "-o",
        root / "study",
        "--face",
        root / "face",
        *SMALL,
        "--device",
        "cpu",
    ]
    before = (root / "study" / "phase2" / "run.json").read_bytes()
    affectkit(*line, "--phase", 2, "--resume")
    assert (root / "study" / "phase2" / "run.json").read_bytes() == before
    assert "is finished" in affectkit(*line, "--phase", 2, code=1).stderr
    rates = ["--phase", 0, "--dry-run", "--scene-learning-rate"]
    fresh = ["train", "--manifest", root / "manifest", "-o", tmp_path / "dry"]
    assert "epochs of its heads at rate 0.01, then" in affectkit(*fresh, *rates, ".01").stdout
    for wrong in ("fast", "0", "inf"):
        assert f"--scene-learning-rate {wrong}; write find" in affectkit(*fresh, *rates, wrong, code=2).stderr
    assert "has no phase 3" in affectkit(*line, "--phase", 3, code=2).stderr
    assert "--cv is of estimators" in affectkit(*line, "--phase", 1, "--cv", code=2).stderr
    elsewhere = ["train", "--manifest", root / "manifest", "-o", tmp_path / "new", "--phase", 2]
    assert "run the earlier phase first" in affectkit(*elsewhere, code=1).stderr
    assert "did you mean scene-face" in affectkit(*line, "--protocol", "scene-fase", "--phase", 0, code=2).stderr
    emonet = ["train", "--manifest", root / "manifest", "-o", tmp_path / "emonet", "--phase", 1]
    assert "CC BY-NC-ND" in affectkit(*emonet, code=1).stderr


def test_phase_1_reads_emonets_weights_as_the_single_command_does(study, affectkit, tmp_path):
    """Random weights of its own shape stand in for the authors', which nobody may hand on."""
    import torch
    from safetensors.torch import save_file

    from affectkit.models.emonet import EmoNet

    root, _ = study
    draw = torch.Generator().manual_seed(0)
    weights = {}
    for name, tensor in EmoNet(5).state_dict().items():
        fan_in = tensor[0].numel() if tensor.ndim > 1 else 0
        drawn = torch.randn(tensor.shape, generator=draw) / fan_in**0.5 if fan_in else torch.zeros(tensor.shape)
        weights[name] = (torch.ones(tensor.shape) if name.endswith("running_var") else drawn).to(tensor.dtype)
        if tensor.ndim == 1 and name.endswith("weight"):  # of a batch norm
            weights[name] = torch.full(tensor.shape, 0.5)
    save_file(weights, tmp_path / "emonet_5.safetensors")
    (tmp_path / "manifest").mkdir()
    for path in [*(root / "manifest").glob("*.csv"), root / "manifest" / "summary.json"]:
        (tmp_path / "manifest" / path.name).write_bytes(path.read_bytes())
    for split, rows in (("train", 1), ("val", 5), ("test", 1)):
        table = tmp_path / "manifest" / f"{split}.csv"
        pd.read_csv(table, dtype=str).head(rows).to_csv(table, index=False)
    on = ["--manifest", tmp_path / "manifest", "--media-root", root / "twin", "--device", "cpu", "-o"]
    how = ["--emonet", tmp_path, "--face-passes", 1]
    said = affectkit("train", "--phase", 1, *how, *on, tmp_path / "study").stderr
    assert "read faces with EmoNet" in said and "valence.ccc" in said
    affectkit("import-model", "emonet", "--weights", tmp_path, "--box-scale", 1.35, *on, tmp_path / "alone")
    theirs, ours = bytes_of(tmp_path / "alone"), bytes_of(tmp_path / "study" / "phase1" / "expert")
    assert theirs.keys() == ours.keys()
    for name in ("predictions.csv", "best_model/expert.json", "best_model/model.safetensors"):
        assert theirs[name] == ours[name], name
    assert (tmp_path / "study" / "phase1" / "calibrated" / "best_model" / "calibration.json").exists()
