"""`affectkit finetune --media` as a user runs it, on the twin of the clinical pictures."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from command_lines import ran
from typer.testing import CliRunner

from affectkit.cli import app
from affectkit.errors import AffectkitError
from affectkit.finetuning.media.pictures import Pictures
from affectkit.serving.models import load_served
from affectkit.serving.settings import ModelFolder, ServeSettings
from affectkit.training.stepping import Stepper

pytestmark = pytest.mark.usefixtures("without_pages")
TINY = "tiny-random:timm,name=test_resnet,size=32"
BOTH = ("--media", "thermal_map,depth_rgb")
QUICK = ("--batch-size", 16, "--device", "cpu", "--num-workers", 1, "--epochs", 1)
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dfu")
    ran("synthesize", "dfu", folder / "root", "--size", 60, "--speakers", 20)
    ran("prepare-manifest", "dfu", folder / "root", "--repeats", "drop", "-o", folder / "m")
    return folder / "m"


@pytest.fixture(scope="module")
def finished(manifest, tmp_path_factory):
    """A run whose branches were trained whole, after their head alone."""
    stages = [{"name": name, "train": train, "epochs": 1} for name, train in (("frozen", "head"), ("unfrozen", "all"))]
    folder = tmp_path_factory.mktemp("finished")
    (folder / "stages.json").write_text(json.dumps(stages))
    more = ("--crop", "box", "--stages", folder / "stages.json", "--augment", "strong")
    ran(*line(manifest, folder / "run", *BOTH, *more))
    return folder / "run"


def line(manifest, folder, *more):
    return ("finetune", "--manifest", manifest, "--base-model", TINY, "-o", folder, *QUICK, *more)


def rows(path):
    return pd.read_csv(path, keep_default_na=False)


def changed(manifest, folder, change, splits=SPLITS):
    """A copy of the manifest, the tables of some splits changed by `change`."""
    shutil.copytree(manifest, folder, ignore=shutil.ignore_patterns("run.json", "started.json"))
    for split in splits:
        change(rows(folder / f"{split}.csv")).to_csv(folder / f"{split}.csv", index=False)
    return folder


def answers_of(path):
    table = rows(path)
    return table.set_index("id")[[name for name in table if name.startswith("prob_")]].astype(float)


def error_of(output):
    [said] = [text for text in output.splitlines() if text.startswith("error: ")]
    return said


def test_a_run_says_what_it_looked_at_and_answers_again_by_its_manifest(finished, manifest, tmp_path):
    spec = json.loads((finished / "best_model" / "affectkit.json").read_text())
    assert (spec["reads"], spec["needs"], spec["branches"], spec["crop"]) == ("pictures", ["pictures"], "own", "box")
    assert spec["media"] == spec["base"]["pictures"] == ["thermal_map", "depth_rgb"]
    assert "--manifest MANIFEST" in (finished / "best_model" / "README.md").read_text()
    before = answers_of(finished / "predictions.csv")
    for name, model in (("run", finished), ("copy", tmp_path / "moved")):
        if name == "copy":
            shutil.copytree(finished / "best_model", model)
        ran("predict", "--model-dir", model, "--manifest", manifest, "--split", "test", "-o", tmp_path / f"{name}.csv")
        again = answers_of(tmp_path / f"{name}.csv")
        np.testing.assert_allclose(again, before.loc[again.index], atol=1e-5)


@pytest.mark.parametrize("name", ["thermal_map", "depth_rgb"])
def test_every_picture_and_its_own_box_change_the_answer(finished, manifest, tmp_path, name):
    def other_picture(table):
        return table.assign(**{f"path_{name}": np.roll(table[f"path_{name}"], 1)})

    def other_box(table):
        return table.assign(**{f"{name}_x": table[f"{name}_x"].replace("", "20").astype(float) - 12})

    before = answers_of(finished / "predictions.csv")
    for number, change in enumerate((other_picture, other_box)):
        other = changed(manifest, tmp_path / str(number), change, ["test"])
        shutil.copy(manifest / "summary.json", other)
        ran("predict", "--model-dir", finished, "--manifest", other / "test.csv", "-o", tmp_path / f"{number}.csv")
        again = answers_of(tmp_path / f"{number}.csv")
        assert not np.allclose(again, before.loc[again.index], atol=1e-4)


@pytest.mark.parametrize(
    ("more", "branches"),
    [
        ((*BOTH, "--branches", "shared", "--tta", 2, "--mc-dropout", 2), {"shared"}),
        (("--media", "depth_map", "--crop", "box"), {"depth_map"}),
        ((*BOTH, "--image-size", 48), {"thermal_map", "depth_rgb"}),
    ],
)
def test_branches_may_share_weights_and_a_row_may_have_one_picture(manifest, tmp_path, more, branches):
    ran(*line(manifest, tmp_path / "run", "--stages", "frozen", *more))
    each = {
        path.parent.name: json.loads(path.read_text())
        for path in (tmp_path / "run").glob("best_model/branches/*/preprocessing.json")
    }
    assert each.keys() == branches
    assert {tuple(preprocessing["size"]) for preprocessing in each.values()} == {
        (48, 48) if "--image-size" in more else (32, 32)
    }
    ran("predict", "--model-dir", tmp_path / "run", "--manifest", manifest, "--split", "test", "-o", tmp_path / "p.csv")
    again = answers_of(tmp_path / "p.csv")
    np.testing.assert_allclose(again, answers_of(tmp_path / "run" / "predictions.csv").loc[again.index], atol=1e-5)


def test_a_frozen_network_sees_every_picture_once(manifest, tmp_path, monkeypatch):
    seen, decode = [], Pictures.decode

    def counted(self, item):
        seen.append(item.id)
        return decode(self, item)

    monkeypatch.setattr(Pictures, "decode", counted)
    ran(*line(manifest, tmp_path / "run", *BOTH, "--stages", "frozen", "--epochs", 4))
    assert sorted(seen) == sorted(key for split in SPLITS for key in rows(manifest / f"{split}.csv")["id"])


@pytest.mark.parametrize("step", [pytest.param(2, marks=pytest.mark.slow), 6])
def test_stopped_it_goes_on_to_the_same_bytes(finished, manifest, tmp_path, monkeypatch, step):
    stages, calls, whole = finished.parent / "stages.json", [], Stepper.step

    def stopping(*arguments, **options):
        calls.append(1)
        if len(calls) == step:
            raise RuntimeError("as if the machine had gone down")
        return whole(*arguments, **options)

    more = (*BOTH, "--crop", "box", "--stages", stages, "--augment", "strong", "--checkpoint-steps", 1)
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", stopping)
        CliRunner().invoke(app, [str(word) for word in line(manifest, tmp_path / "run", *more)])
    assert len(calls) == step and not (tmp_path / "run" / "best_model").exists()
    ran(*line(manifest, tmp_path / "run", *more, "--resume"))
    branches = [f"best_model/branches/{name}/model.safetensors" for name in ("thermal_map", "depth_rgb")]
    for name in ("predictions.csv", "best_model/heads.safetensors", *branches):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes(), name


# --- What is wrong is named


def without_a_picture(table):
    return table.assign(path_depth_rgb=["", *table["path_depth_rgb"][1:]])


def with_a_file_that_is_none(table):
    return table.assign(path_depth_rgb=["nowhere.png", *table["path_depth_rgb"][1:]])


def without_a_box(table):
    return table.assign(depth_rgb_width=["", *table["depth_rgb_width"][1:]])


@pytest.mark.parametrize(
    ("change", "wrong", "reason"),
    [
        (without_a_picture, r"train.csv row 1: has no picture 'depth_rgb'; fill in its path_depth_rgb", "depth_rgb"),
        (with_a_file_that_is_none, r"train.csv row 1: .*nowhere.png.*no such file", "nowhere.png: no such file"),
        (without_a_box, r"train.csv row 1: has no depth_rgb box", "has no depth_rgb box"),
    ],
)
def test_a_row_that_lacks_a_picture_is_named_or_skipped(manifest, tmp_path, change, wrong, reason):
    broken = changed(manifest, tmp_path / "m", change, ["train"])
    command = line(broken, tmp_path / "run", *BOTH, "--crop", "box", "--stages", "frozen")
    assert re.search(wrong, error_of(ran(*command, code=1)))
    ran(*command, "--on-error", "skip", "--overwrite")
    [skipped] = rows(tmp_path / "run" / "skipped.csv").to_dict("records")
    assert skipped["id"] == rows(broken / "train.csv")["id"][0] and reason in skipped["reason"]


@pytest.mark.parametrize(
    ("more", "code", "wrong"),
    [
        (("--media", "thermal_mop"), 1, "has no column 'path_thermal_mop'; did you mean thermal_map"),
        (("--media", "thermal_map", "--crop", "face"), 2, "--crop face; use none or box"),
        (("--media", "a,a"), 2, "--media 'a,a' names no pictures"),
        (("--media", "../a"), 2, "--media '../a' names no pictures"),
        (("--branches", "shared"), 2, "--media '' names no pictures"),
        ((*BOTH, "--features", "features"), 2, "--features are of one picture"),
        ((*BOTH, "--head", "cls"), 2, "pictures has no option --head; it is of speech, text"),
        (("--crop", "box"), 2, "--crop box; use none, face or person"),
    ],
)
def test_options_that_cannot_be_are_one_error(manifest, tmp_path, more, code, wrong):
    assert wrong in error_of(ran(*line(manifest, tmp_path / "run", *more), code=code))


def test_a_manifest_without_pictures_is_named(manifest, tmp_path):
    bare = changed(manifest, tmp_path / "m", lambda table: table[["id", "path", "label", "split", "corpus"]])
    output = ran(*line(bare, tmp_path / "run", *BOTH), code=1)
    assert "has no column 'path_thermal_map'; it names no pictures: leave --media out" in error_of(output)


def test_bare_files_cannot_be_answered_and_the_columns_are_named(finished, manifest, tmp_path):
    picture = next((manifest.parent / "root" / "Thermal_Map_IMG").glob("*.png"))
    said = error_of(ran("predict", "--model-dir", finished, picture, code=1))
    assert "pass a --manifest with the columns path_thermal_map, path_depth_rgb" in said
    said = error_of(ran("predict", "--model-dir", finished, picture.parent, code=2))
    assert "a model that reads pictures; pass --manifest" in said
    said = error_of(
        CliRunner().invoke(app, ["predict", "--model-dir", str(finished), str(picture), "--fps", "1"]).output
    )
    assert "the model reads pictures" in said


def test_a_model_of_several_pictures_is_not_served(finished):
    with pytest.raises(AffectkitError, match="reads pictures, which no request brings; predict manifests with it"):
        load_served(ServeSettings(models=[ModelFolder("ulcers", finished)]))


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(media=["depth_rgb", "thermal_map"]),
        lambda spec: spec.update(media="thermal_map"),
        lambda spec: spec.pop("media"),
        lambda spec: spec.update(branches="none"),
        lambda spec: spec.update(media=[]),
    ],
)
def test_a_record_that_does_not_fit_its_branches_is_refused(finished, tmp_path, manifest, change):
    shutil.copytree(finished / "best_model", tmp_path / "model")
    spec = json.loads((tmp_path / "model" / "affectkit.json").read_text())
    change(spec)
    (tmp_path / "model" / "affectkit.json").write_text(json.dumps(spec))
    said = error_of(ran("predict", "--model-dir", tmp_path / "model", "--manifest", manifest, code=1))
    assert str(tmp_path / "model") in said
