"""`affectkit import-model` on drawn scenes, with a timm network of random weights as the expert."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from affectkit.artifacts.predictions import read_predictions
from affectkit.synthesis import scenes

cv2 = pytest.importorskip("cv2", reason='finding faces needs OpenCV: pip install "affectkit[face]"')


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """18 scenes, the last three of each split without a face, and an expert's weights."""
    import timm
    import torch
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("faces")
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=4).state_dict(), root / "expert.safetensors")
    lines = ["id,path,valence,arousal,split,speaker"]
    for number in range(18):
        rng = np.random.default_rng(number)
        valence, arousal = rng.uniform(-1, 1, 2)
        image, *_ = scenes.draw_scene((valence, arousal), rng, (192, 160), 0 if number % 6 >= 4 else 1)
        Image.fromarray(np.asarray(image)).save(root / f"s{number:02}.png")
        split = ("train", "val", "test")[number // 6]
        lines.append(
            f"s{number:02},s{number:02}.png,{valence * 4 + 5:.3f},{arousal * 4 + 5:.3f},{split},p{number // 2}"
        )
    (root / "rows.csv").write_text("\n".join(lines) + "\n")
    return root


def imported(affectkit, study, out, *more):
    checkpoint = f"timm:test_resnet/{study / 'expert.safetensors'}"
    outputs = ["--outputs", "valence,happy,arousal,sad"]
    return affectkit(
        "import-model", "timm", "--checkpoint", checkpoint, *outputs, "--manifest", study / "rows.csv", *more, "-o", out
    )


def test_val_and_test_rows_are_answered_on_the_manifests_scale_and_those_without_a_face_declined(
    affectkit, study, tmp_path
):
    result = imported(affectkit, study, tmp_path / "face", "--tta", 5)
    table = pd.read_csv(tmp_path / "face" / "predictions.csv")
    assert list(table["id"]) == [f"s{number:02}" for number in range(6, 18)]
    assert set(table["seen"]) == {"heldout"}
    found = table["face"] == "found"
    assert list(table["face"][~found]) == ["none"] * 4 and (table["faces"] > 0).equals(found)
    answered = table.loc[found, ["valence_pred", "valence_var", "expression_prob_happy"]]
    assert answered.notna().all().all() and (answered["valence_var"] > 0).all()
    assert table.loc[~found, ["valence_pred", "arousal_var", "face_x", "expression_pred"]].isna().all().all()
    np.testing.assert_allclose(
        answered["expression_prob_happy"], 1 - table.loc[found, "expression_prob_sad"], atol=1e-6
    )
    assert "a face was found in 8 of 12 images (67 %)" in result.stderr
    report = pd.read_json(tmp_path / "face" / "train_report.json", typ="series")
    assert report["faces"] == {"found": 8, "none": 4} and report["fit_rows"] == 0


def test_the_folder_predicts_wherever_it_lies_as_it_did(affectkit, study, tmp_path):
    imported(affectkit, study, tmp_path / "face", "--tta", 3)
    own = pd.read_csv(tmp_path / "face" / "predictions.csv")
    shutil.copytree(tmp_path / "face" / "best_model", tmp_path / "elsewhere")
    affectkit("predict", "--model-dir", tmp_path / "elsewhere", study / "s07.png", "-o", tmp_path / "one.csv")
    one = pd.read_csv(tmp_path / "one.csv")
    for column in ("valence_pred", "valence_var", "arousal_pred", "face_x"):
        assert one[column][0] == pytest.approx(own.set_index("id").loc["s07", column], abs=1e-6)
    plain = [
        "predict",
        "--model-dir",
        tmp_path / "elsewhere",
        study / "s07.png",
        "--tta",
        1,
        "-o",
        tmp_path / "plain.csv",
    ]
    affectkit(*plain)
    assert "valence_var" not in pd.read_csv(tmp_path / "plain.csv")


def test_a_part_without_any_face_is_said_and_not_judged(affectkit, study, tmp_path):
    """The rest is; a part that is left out breaks neither the expert's run nor what is calibrated on it."""
    rows = pd.read_csv(study / "rows.csv")
    rows[(rows["split"] != "test") | rows["id"].isin(["s16", "s17"])].to_csv(study / "faceless.csv", index=False)
    result = imported(affectkit, study, tmp_path / "face", "--manifest", study / "faceless.csv")
    assert "none of the 2 test rows has a truth and an answer: not judged" in result.stderr
    metrics = json.loads((tmp_path / "face" / "train_report.json").read_text())["metrics"]
    assert "val_ccc" in metrics and not any(name.startswith("test_") for name in metrics)
    on = ["--method", "linear", "--target", "valence", "--manifest", study / "faceless.csv", "-o", tmp_path / "line"]
    assert affectkit("calibrate", tmp_path / "face", *on).stderr.count("not judged") == 1


def test_evaluation_says_how_many_faces_there_were_and_fusion_falls_back_to_the_scene(affectkit, study, tmp_path):
    imported(affectkit, study, tmp_path / "face")
    result = affectkit("evaluate", tmp_path / "face", "--manifest", study / "rows.csv", "-o", tmp_path / "report")
    assert "a face was found in 4 of 6 rows (67%)" in result.stderr
    assert "a face was found in 4 of 6 rows (67%)." in (tmp_path / "report" / "report.html").read_text()
    metrics = pd.read_json(tmp_path / "report" / "metrics.json", typ="series")
    assert metrics["faces"] == {"found": 4, "of": 6} and set(metrics["slices"]) == {"face=found", "face=none"}
    rows = pd.read_csv(study / "rows.csv")
    scene = rows[rows["split"] != "train"].assign(seen="heldout", valence_pred=4.0, arousal_pred=6.0)
    scene = scene.assign(valence_var=1.0, arousal_var=1.0).drop(columns="path")
    scene.to_csv(tmp_path / "scene.csv", index=False)
    sources = [f"scene={tmp_path / 'scene.csv'}", f"face={tmp_path / 'face'}"]
    affectkit("fuse", *sources, "--rule", "weighted", "--weights", ".5,.5", "-o", tmp_path / "fused")
    fused = read_predictions(tmp_path / "fused" / "predictions.csv").frame
    without = (fused["face"] == "none").to_numpy()
    assert without.sum() == 4 and (fused["valence_pred"][without] == 4.0).all()
    assert (fused["valence_pred"][~without] != 4.0).all()


def test_mistakes_are_told_in_a_line(affectkit, study, tmp_path):
    def refused(*line, code=1):
        return affectkit(*line, code=code).stderr

    line = ["import-model", "emonet", "--manifest", study / "rows.csv", "-o", tmp_path / "x"]
    said = refused(*line, "--weights", tmp_path / "nowhere")
    assert "github.com/face-analysis/emonet" in said and "CC BY-NC-ND" in said
    assert "has no option --checkpoint" in refused(*line, "--checkpoint", "timm:a/b", code=2)
    (study / "broken.png").write_bytes(b"not an image")
    broken = pd.read_csv(study / "rows.csv", dtype=str)
    broken.loc[8, "path"] = "broken.png"
    broken.to_csv(study / "broken.csv", index=False)
    checkpoint = [
        "--checkpoint",
        f"timm:test_resnet/{study / 'expert.safetensors'}",
        "--outputs",
        "valence,_,arousal,_",
    ]
    line = ["import-model", "timm", *checkpoint, "--manifest", study / "broken.csv", "-o", tmp_path / "y"]
    assert "broken.csv row 9" in refused(*line)
    affectkit(*line, "--on-error", "skip", "--overwrite")
    assert "s08" not in list(pd.read_csv(tmp_path / "y" / "predictions.csv")["id"])
