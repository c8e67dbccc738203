"""`affectkit finetune` of image networks as a user runs it, on small ones and the synthetic twin of AffectNet."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from command_lines import ran
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from affectkit.cli import app
from affectkit.models.images import load_image_backbone

pytestmark = pytest.mark.usefixtures("without_pages")
FAMILIES = ["tiny-random:timm", "tiny-random:vit", "tiny-random:open_clip"]
TINY = "tiny-random:open_clip"
# One for what is not told apart by family, the others with the slow tests.
REPRESENTED = [pytest.param(base, marks=[pytest.mark.slow] * (base != TINY)) for base in FAMILIES]
QUICK = ("--batch-size", 16, "--device", "cpu", "--num-workers", 1, "--target", "label,valence,arousal")
ANSWERS = ("valence_pred", "arousal_pred")
WRITTEN = ("history.csv", "predictions.csv", "best_model/model.safetensors", "best_model/heads.safetensors")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """(folder of images, manifest of those with a face box)."""
    folder = tmp_path_factory.mktemp("affectnet")
    ran("synthesize", "affectnet", folder / "root", "--size", 60)
    ran("prepare-manifest", "affectnet", folder / "root", "-o", folder / "all")
    (folder / "m").mkdir()
    for split in ("train", "val", "test"):
        part = rows(folder / "all" / f"{split}.csv")
        part[part["face_width"] != ""].to_csv(folder / "m" / f"{split}.csv", index=False)
    shutil.copy(folder / "all" / "summary.json", folder / "m")
    return folder / "root", folder / "m"


@pytest.fixture(scope="module")
def manifest(corpus):
    return corpus[1]


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory):
    """The head alone for two epochs, then all of it for one."""
    head = {"name": "frozen", "train": "head", "epochs": 2, "learning_rate": 1e-2, "schedule": "one-cycle"}
    rest = {"name": "unfrozen", "train": "all", "epochs": 1, "learning_rate": "1e-4..1e-3"}
    path = tmp_path_factory.mktemp("stages") / "stages.json"
    path.write_text(json.dumps([head, rest]))
    return path


@pytest.fixture(scope="module")
def finished(manifest, two_stages, tmp_path_factory):
    """By family, a finished run that several tests look at."""
    folder, found = tmp_path_factory.mktemp("finished"), {}

    def of(base):
        if base not in found:
            found[base] = folder / base.partition(":")[2]
            ran(*line(manifest, found[base], "--stages", two_stages, "--augment", "light", "--crop", "face", base=base))
        return found[base]

    return of


@pytest.fixture(scope="module")
def trained_whole(manifest, tmp_path_factory):
    """By family, the model of a run that trained every weight."""
    folder, found = tmp_path_factory.mktemp("whole"), {}

    def of(base):
        if base not in found:
            run = folder / base.partition(":")[2]
            ran(*line(manifest, run, "--epochs", 1, "--learning-rate", "1e-3", "--crop", "face", base=base))
            found[base] = run / "best_model"
        return found[base]

    return of


def line(manifest, folder, *more, base=TINY):
    return ("finetune", "--manifest", manifest, "--base-model", base, "-o", folder, *QUICK, *more)


def rows(path):
    return pd.read_csv(path, keep_default_na=False)


def changed(manifest, folder, change):
    """The words that name a copy of the manifest, each split's table changed by `change(split, table)`."""
    shutil.copytree(manifest, folder, ignore=shutil.ignore_patterns("run.json", "started.json"))
    for split in ("train", "val", "test"):
        part = rows(folder / f"{split}.csv")
        change(split, part)
        part.to_csv(folder / f"{split}.csv", index=False)
    return folder


def same_answers(one, other, atol=1e-5):
    """Whether two tables of predictions say the same of the rows of the first."""
    both = rows(one).merge(rows(other), on="id", suffixes=("", "_other"))
    assert len(both) == len(rows(one)) > 0
    for name in [*ANSWERS, *(column for column in rows(one) if column.startswith("prob_"))]:
        np.testing.assert_allclose(both[name].astype(float), both[f"{name}_other"].astype(float), atol=atol)


def history(folder):
    table = pd.read_csv(folder / "history.csv")
    return table[[column for column in table if table[column].dtype.kind == "f"]]


def error_of(output):
    [said] = [text for text in output.splitlines() if text.startswith("error: ")]
    return said


# What a run leaves, and what can be done with it


@pytest.mark.parametrize("base", FAMILIES)
def test_classes_and_numbers_of_faces_are_learned_together(finished, manifest, base):
    folder = finished(base)
    said = rows(folder / "predictions.csv")
    assert set(said["split"]) == {"val", "test"} and set(said["seen"]) == {"heldout"}
    assert len(said) == sum(len(rows(manifest / f"{split}.csv")) for split in ("val", "test"))
    shares = said[[column for column in said if column.startswith("prob_")]].to_numpy(float)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert said[list(ANSWERS)].astype(float).abs().to_numpy().max() <= 1
    report = json.loads((folder / "train_report.json").read_text())
    assert {"test_uar", "test_valence.ccc", "test_arousal.ccc", "val_arousal.mae"} <= set(report["metrics"])
    assert [stage["rates"] for stage in report["stages"]] == [[1e-2, 1e-2], [1e-4, 1e-3]]
    assert list(pd.read_csv(folder / "history.csv")["stage"]) == ["frozen", "frozen", "unfrozen"]
    assert not (folder / "encoded.safetensors").exists() and not (folder / "checkpoints").exists()
    spec = json.loads((folder / "best_model" / "affectkit.json").read_text())
    assert spec["crop"] == "face" and spec["reads"] == "images" and spec["base"]["tiny_random"]


@pytest.mark.parametrize("base", FAMILIES)
def test_the_model_answers_as_the_run_did_wherever_it_lies(finished, manifest, base, tmp_path):
    shutil.copytree(finished(base) / "best_model", tmp_path / "elsewhere" / "model")
    ran("predict", "--model-dir", tmp_path / "elsewhere" / "model", "--manifest", manifest, "--split", "test",
        "--device", "cpu", "-o", tmp_path / "again.csv")  # fmt: skip
    same_answers(tmp_path / "again.csv", finished(base) / "predictions.csv")


def test_a_folder_of_images_is_answered_as_its_manifest_was(corpus, tmp_path):
    """Whole images, without boxes, and the ids that prepare-manifest gives a folder."""
    for split in ("train", "val", "test"):
        for row in rows(corpus[1] / f"{split}.csv").itertuples():
            place = tmp_path / "root" / split / row.label
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(corpus[0] / row.path, place)
    ran("prepare-manifest", "folder", tmp_path / "root", "-o", tmp_path / "m")
    ran("finetune", "--manifest", tmp_path / "m", "--base-model", TINY, "-o", tmp_path / "run", "--epochs", 1,
        "--learning-rate", "1e-2", "--device", "cpu", "--num-workers", 1)  # fmt: skip
    ran("predict", "--model-dir", tmp_path / "run", tmp_path / "root", "--device", "cpu", "-o", tmp_path / "again.csv")
    again, said = (rows(tmp_path / name).set_index("id") for name in ("again.csv", "run/predictions.csv"))
    assert len(said) and set(said.index) <= set(again.index)
    for name in (column for column in said if column.startswith("prob_")):
        np.testing.assert_allclose(again.loc[said.index, name], said[name], atol=1e-5)
    seen = again["seen"]
    assert set(seen[said.index]) == {"heldout"} and set(seen[~seen.index.isin(said.index)]) == {"fit"}


@pytest.mark.parametrize("base", REPRESENTED)
def test_an_earlier_model_is_a_base_for_another(trained_whole, manifest, base, tmp_path):
    """From its weights on, which the head alone leaves as they are."""
    before = trained_whole(base)
    ran(*line(manifest, tmp_path / "run", "--epochs", 1, "--stages", "frozen", "--crop", "face", base=before))
    after = tmp_path / "run" / "best_model"
    assert (after / "model.safetensors").read_bytes() == (before / "model.safetensors").read_bytes()
    assert (after / "heads.safetensors").read_bytes() != (before / "heads.safetensors").read_bytes()
    started = [json.loads((folder / "affectkit.json").read_text())["base"]["weights"] for folder in (before, after)]
    assert started[0] != started[1], "it does not start from where the earlier one started"
    ran("predict", "--model-dir", after, "--manifest", manifest, "--split", "val", "-o", tmp_path / "again.csv")
    same_answers(tmp_path / "again.csv", tmp_path / "run" / "predictions.csv")


@pytest.mark.parametrize("base", ["tiny-random:timm,name=test_resnet", "tiny-random:resnet"])
def test_a_size_that_is_asked_for_is_the_models(manifest, base, tmp_path):
    """For whoever predicts with it, and whoever trains from it on."""

    def size_of(run):
        return json.loads((run / "best_model" / "preprocessing.json").read_text())["size"]

    first, init, from_model = (tmp_path / name for name in ("first", "init", "from_model"))
    how = ("--epochs", 1, "--stages", "frozen", "--learning-rate", "1e-2")
    ran(*line(manifest, first, *how, "--image-size", 48, base=base))
    ran("predict", "--model-dir", first, "--manifest", manifest, "--split", "test", "-o", tmp_path / "again.csv")
    same_answers(tmp_path / "again.csv", first / "predictions.csv")
    ran("finetune", "--manifest", manifest, "--init", first, "-o", init, *QUICK, *how)
    ran(*line(manifest, from_model, *how, base=first / "best_model"))
    assert size_of(first) == size_of(init) == size_of(from_model) == [48, 48]


@pytest.mark.parametrize("statistics", ["batch", "fixed"])
def test_statistics_of_batch_norm_move_unless_fixed(manifest, tmp_path, statistics):
    base = "tiny-random:timm,name=test_resnet,size=32"
    ran(
        *line(
            manifest, tmp_path / "run", "--epochs", 1, "--learning-rate", "1e-3", "--batch-norm", statistics, base=base
        )
    )
    before, after = (
        load_image_backbone(base).network.state_dict(),
        load_file(tmp_path / "run/best_model/model.safetensors"),
    )
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"conv1.0.weight", "bn1.weight"} <= moved
    assert ("bn1.running_mean" in moved) == ("bn1.num_batches_tracked" in moved) == (statistics == "batch")


def test_passes_of_the_run_are_those_of_its_model(finished, manifest, tmp_path):
    """Predicted with variances while training, and so again afterwards, unless told otherwise."""
    how = ("--tta", 3, "--mc-dropout", 5, "--crop", "face", "--epochs", 1, "--learning-rate", "1e-2")
    ran(*line(manifest, tmp_path / "run", *how))
    said = rows(tmp_path / "run" / "predictions.csv")
    assert (said[["valence_var", "arousal_var"]].astype(float) > 0).all(axis=None)
    ask = ("predict", "--model-dir", tmp_path / "run", "--manifest", manifest, "--split", "test", "--device", "cpu")
    ran(*ask, "-o", tmp_path / "again.csv")
    same_answers(tmp_path / "again.csv", tmp_path / "run" / "predictions.csv")
    again = rows(tmp_path / "again.csv").merge(said, on="id", suffixes=("", "_run"))
    np.testing.assert_allclose(again["valence_var"].astype(float), again["valence_var_run"].astype(float), atol=1e-6)
    ran(*ask, "--tta", 1, "--mc-dropout", 0, "-o", tmp_path / "once.csv")
    assert "valence_var" not in rows(tmp_path / "once.csv")
    refused = error_of(ran(*line(manifest, tmp_path / "other", *how, "--dropout", 0), code=2))
    assert "--mc-dropout 5 draws from a dropout" in refused
    assert not (tmp_path / "other" / "history.csv").exists(), "before any training"


def test_a_rerun_gives_the_same_bytes(finished, manifest, two_stages, tmp_path):
    how = ("--stages", two_stages, "--augment", "light", "--crop", "face")
    ran(*line(manifest, tmp_path / "run", *how, "--num-workers", 0))
    for name in WRITTEN:
        assert (tmp_path / "run" / name).read_bytes() == (finished(TINY) / name).read_bytes(), name


# What a frozen network makes of images is computed once


@pytest.fixture(scope="module")
def features(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features") / "faces"
    extract(manifest, folder)
    return folder


def extract(manifest, folder, *more, encoder="open-clip", checkpoint=TINY, crop="face"):
    ran("extract-features", "--manifest", manifest, "--encoder", encoder, "--checkpoint", checkpoint, "--crop", crop,
        "--device", "cpu", "-o", folder, *more)  # fmt: skip


@pytest.mark.parametrize("cv", [(), pytest.param(("--cv",), marks=pytest.mark.slow)], ids=["holdout", "cv"])
def test_the_loss_curve_does_not_tell_how_features_came(manifest, two_stages, features, monkeypatch, tmp_path, cv):
    """Computed once, read from a folder, or by the backbone in every epoch; with dropout, in both stages."""
    from affectkit.finetuning.rows import Setup

    how = ("--stages", two_stages, "--crop", "face", "--dropout", 0.4, *cv)
    ran(*line(manifest, tmp_path / "once", *how))
    ran(*line(manifest, tmp_path / "read", *how, "--features", features))
    monkeypatch.setattr(Setup, "encodes_once", False)
    ran(*line(manifest, tmp_path / "always", *how))
    always = history(tmp_path / "always")
    assert len(always) == 3 and always["train_loss"].is_unique
    for other in ("once", "read"):
        np.testing.assert_allclose(history(tmp_path / other), always, rtol=1e-5, atol=1e-6)
        same_answers(tmp_path / other / "predictions.csv", tmp_path / "always" / "predictions.csv")


@pytest.mark.parametrize("base", REPRESENTED)
def test_with_features_no_image_is_decoded_to_train_a_head(manifest, monkeypatch, tmp_path, base):
    encoder = {"tiny-random:timm": "timm", "tiny-random:vit": "hf-image", TINY: "open-clip"}[base]
    extract(manifest, tmp_path / "f", encoder=encoder, checkpoint=base)
    how = ("--stages", "frozen", "--epochs", 3, "--learning-rate", "1e-2", "--crop", "face")
    ran(*line(manifest, tmp_path / "once", *how, base=base))

    def decoded(*_):
        raise AssertionError("an image was decoded")

    monkeypatch.setattr("affectkit.finetuning.media.images.Images.decode", decoded)
    ran(*line(manifest, tmp_path / "read", *how, "--features", tmp_path / "f", base=base))
    np.testing.assert_allclose(history(tmp_path / "read"), history(tmp_path / "once"), rtol=1e-5, atol=1e-6)
    same_answers(tmp_path / "read" / "predictions.csv", tmp_path / "once" / "predictions.csv")


def test_an_image_is_decoded_once_for_a_frozen_network(manifest, monkeypatch, tmp_path):
    from affectkit.finetuning.media.images import Images

    decode, seen = Images.decode, []
    monkeypatch.setattr(Images, "decode", lambda self, item: seen.append(item.id) or decode(self, item))
    ran(*line(manifest, tmp_path / "run", "--stages", "frozen", "--epochs", 4, "--learning-rate", "1e-2"))
    assert sorted(seen) == sorted(
        key for split in ("train", "val", "test") for key in rows(manifest / f"{split}.csv")["id"]
    )


class TestFeaturesThatDoNotFit:
    def refused(self, manifest, folder, features, *more, base=TINY, code=1):
        how = ("--stages", "frozen", "--epochs", 1, "--crop", "face", "--features", features, *more)
        return error_of(ran(*line(manifest, folder / "run", *how, base=base), code=code))

    def test_of_another_checkpoint(self, manifest, features, tmp_path):
        said = self.refused(manifest, tmp_path, features, base="tiny-random:vit")
        assert "were not made by this network: their 'weights' is another" in said

    def test_of_the_checkpoint_that_a_fine_tuned_one_started_from(self, trained_whole, manifest, features, tmp_path):
        said = self.refused(manifest, tmp_path, features, base=trained_whole(TINY))
        assert "their 'weights' is another" in said

    def test_of_another_crop(self, manifest, features, tmp_path):
        assert "their 'crop' is another" in self.refused(manifest, tmp_path, features, "--crop", "none")

    def test_of_coarser_arithmetic(self, manifest, tmp_path):
        extract(manifest, tmp_path / "f", "--dtype", "bfloat16")
        assert "their 'dtype' is another" in self.refused(manifest, tmp_path, tmp_path / "f")

    def test_of_other_preprocessing(self, manifest, features, tmp_path):
        shutil.copytree(features, tmp_path / "f", ignore=shutil.ignore_patterns("run.json", "started.json"))
        record = json.loads((tmp_path / "f" / "encoder.json").read_text())
        record["preprocessing"]["mean"] = [0.5, 0.5, 0.5]
        (tmp_path / "f" / "encoder.json").write_text(json.dumps(record))
        assert "their 'preprocessing' is another" in self.refused(manifest, tmp_path, tmp_path / "f")

    def test_of_some_rows_only(self, manifest, tmp_path):
        extract(manifest, tmp_path / "f", "--split", "train")
        said = self.refused(manifest, tmp_path, tmp_path / "f")
        assert "has no features of id" in said and "--missing" not in said, "an option that finetune has not"

    def test_a_table_and_no_folder_at_all(self, manifest, tmp_path):
        pd.DataFrame({"id": rows(manifest / "train.csv")["id"], "f0": 1.0}).to_csv(tmp_path / "f.csv", index=False)
        assert "were not made by this network" in self.refused(manifest, tmp_path, tmp_path / "f.csv")
        assert "no such file or folder" in self.refused(manifest, tmp_path, tmp_path / "gone")

    @pytest.mark.parametrize(
        ("more", "why"),
        [(("--augment", "light"), "augmented images differ"), (("--stages", "full"), "no stage trains")],
    )
    def test_where_they_would_serve_nothing(self, manifest, features, tmp_path, more, why):
        assert f"--features serve nothing: {why}" in self.refused(manifest, tmp_path, features, *more, code=2)


# What is refused


@pytest.mark.parametrize(
    ("base", "more", "said"),
    [
        (TINY, ("--head", "attentive"), "images has no option --head"),
        (TINY, ("--max-seconds", 3), "images has no option --max-seconds"),
        (TINY, ("--batch-seconds", 9), "images has no option --batch-seconds"),
        (TINY, ("--specaugment",), "images has no option --specaugment"),
        (TINY, ("--train-feature-encoder",), "images has no option --freeze-feature-encoder"),
        (TINY, ("--image-size", 48), "tiny reads no images of size 48"),
        ("tiny-random:wav2vec2", ("--image-size", 48), "speech has no option --image-size"),
        (TINY, ("--augment", "noise=10"), "there is no augmentation 'noise'"),
        ("tiny-random:wav2vec2", ("--crop", "face"), "speech has no option --crop"),
        ("tiny-random:wav2vec2", ("--features", "x"), "speech has no option --features"),
        ("tiny-random:wav2vec2", ("--tta", 5), "speech has no option --tta"),
        ("tiny-random:wav2vec2", ("--mc-dropout", 5), "speech has no option --mc-dropout"),
        ("tiny-random:wav2vec2", ("--augment", "flip=.5"), "there is no augmentation 'flip'"),
        ("tiny-random:vti", (), "did you mean vit"),
        ("timm:resnet1", (), "timm has no network 'resnet1'"),
        ("open_clip:ViT-B-32/nothing", (), "neither one of its tags nor a file"),
        (TINY, ("--dropout", 0.5, "--crop", "person"), "has no column 'person_x'"),
        (TINY, ("--target", "dominance"), "dominance"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(manifest, tmp_path, base, more, said):
    done = CliRunner().invoke(app, [str(word) for word in line(manifest, tmp_path / "run", *more, base=base)])
    assert done.exit_code in (1, 2) and said in error_of(done.output)


@pytest.mark.parametrize("base", ["nobody/nothing", "timm:resnet18", "open_clip:ViT-B-32/laion2b_s34b_b79k"])
def test_a_hub_id_without_a_network_is_one_line(manifest, tmp_path, base):
    said = error_of(ran(*line(manifest, tmp_path / "run", base=base), code=1))
    assert "could not be fetched" in said and "download" in said


def test_a_run_is_no_base_but_its_model_is(trained_whole, manifest, tmp_path):
    run = trained_whole(TINY).parent
    said = error_of(ran(*line(manifest, tmp_path / "run", base=run), code=1))
    assert said.endswith(f"pass {run / 'best_model'}")


def test_a_row_without_a_face_is_named_before_any_training(corpus, tmp_path):
    """And one whose box lies outside its image; with --on-error skip they are listed and left out."""

    def spoil(split, part):
        if split == "test":
            part.loc[1, "face_x"] = 5000
        if split == "val":
            part["face_width"] = part["face_width"].astype(object)
            part.loc[0, "face_width"] = ""

    data = changed(corpus[1], tmp_path / "m", spoil)
    lost = [rows(data / "val.csv")["id"][0], rows(data / "test.csv")["id"][1]]
    how = ("--crop", "face", "--epochs", 1)
    said = error_of(ran(*line(data, tmp_path / "run", *how), code=1))
    assert "val.csv row 1: has no face box" in said and "or pass --on-error skip" in said
    assert not (tmp_path / "run" / "history.csv").exists()
    assert "skipped" in ran(*line(data, tmp_path / "run", *how, "--on-error", "skip", "--overwrite"))
    skipped = rows(tmp_path / "run" / "skipped.csv")
    assert list(skipped["id"]) == lost and "is not within" in skipped["reason"][1]
    assert not set(lost) & set(rows(tmp_path / "run" / "predictions.csv")["id"])


@pytest.mark.parametrize(
    ("content", "said"), [(None, "gone.jpg"), (b"", "gone.jpg"), (b"GIF89a no more", "gone.jpg")],
    ids=["missing", "empty", "broken"],
)  # fmt: skip
def test_an_image_that_is_not_there_or_broken_is_named_before_any_training(manifest, tmp_path, content, said):
    def lose(split, part):
        if split == "train":
            part.loc[2, "path"] = str(tmp_path / "gone.jpg")

    if content is not None:
        (tmp_path / "gone.jpg").write_bytes(content)
    data = changed(manifest, tmp_path / "m", lose)
    told = error_of(ran(*line(data, tmp_path / "run", "--epochs", 1), code=1))
    assert "train.csv row 3" in told and said in told and "--on-error skip" in told
    ran(*line(data, tmp_path / "run", "--epochs", 1, "--on-error", "skip", "--overwrite"))
    assert "gone.jpg" in (tmp_path / "run" / "skipped.csv").read_text()


@pytest.mark.parametrize("stages", ["frozen", "full"])
def test_an_image_that_breaks_off_is_named_while_training(corpus, tmp_path, stages):
    """Its header is sound: it is met when it is decoded, once for a frozen network or in the first epoch."""

    def cut(split, part):
        if split == "train":
            whole = (corpus[0] / part["path"][4]).read_bytes()
            (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
            part.loc[4, "path"] = str(tmp_path / "cut.jpg")

    data = changed(corpus[1], tmp_path / "m", cut)
    how = ("--epochs", 1, "--stages", stages, "--learning-rate", "1e-3")
    said = error_of(ran(*line(data, tmp_path / "run", *how), code=1))
    assert "train.csv row 5" in said and "cut.jpg" in said
    ran(*line(data, tmp_path / "run", *how, "--on-error", "skip", "--overwrite"))
    assert list(rows(tmp_path / "run" / "skipped.csv")["id"]) == [rows(data / "train.csv")["id"][4]]


def test_other_preprocessing_than_it_was_trained_with_is_refused(finished, manifest, tmp_path):
    shutil.copytree(finished("tiny-random:timm") / "best_model", tmp_path / "model")
    file = tmp_path / "model" / "preprocessing.json"
    file.write_text(file.read_text().replace("bilinear", "bicubic"))
    ask = ("predict", "--model-dir", tmp_path / "model", "--manifest", manifest, "-o", tmp_path / "again.csv")
    said = error_of(ran(*ask, code=1))
    assert "preprocessing.json" in said and "interpolation" in said and "trained with" in said
    said = error_of(ran(*line(manifest, tmp_path / "run", base=tmp_path / "model"), code=1))
    assert "interpolation" in said


# Interrupted


class Stopped(RuntimeError):
    """As if the machine had gone down."""


@pytest.fixture(scope="module")
def undisturbed(manifest, two_stages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    ran(*line(manifest, folder, "--stages", two_stages, "--crop", "face"))
    return folder


@pytest.mark.parametrize(
    ("place", "call"),
    [
        ("affectkit.finetuning.media.images.Images.decode", 20),
        ("affectkit.training.stepping.Stepper.step", 2),
        pytest.param("affectkit.training.stepping.Stepper.step", 5, marks=pytest.mark.slow),
        pytest.param("affectkit.training.keeping.Keeper.keep_best", 2, marks=pytest.mark.slow),
        ("affectkit.training.keeping.Keeper.load_best", 1),
        pytest.param("affectkit.training.optimizing.freeze", 2, marks=pytest.mark.slow),
        ("affectkit.training.stepping.Stepper.step", 8),
        ("affectkit.training.objective.Objective.answers", 4),
        ("affectkit.results.save.save_result", 1),
    ],
    ids=["encoding", "frozen", "frozen-2", "keeping", "ending", "between", "unfrozen", "answering", "writing"],
)
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(
    undisturbed, manifest, two_stages, monkeypatch, tmp_path, place, call
):
    import importlib

    holder, _, name = place.rpartition(".")
    of = holder if holder.rpartition(".")[2].islower() else holder.rpartition(".")[0]
    module = importlib.import_module(of)
    owner = module if of == holder else getattr(module, holder.rpartition(".")[2])
    whole, calls = getattr(owner, name), []

    def stopping(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise Stopped
        return whole(*arguments, **options)

    how = line(manifest, tmp_path / "run", "--stages", two_stages, "--crop", "face", "--checkpoint-steps", 1)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, stopping)
        done = CliRunner().invoke(app, [str(word) for word in how])
        assert isinstance(done.exception, Stopped), done.output
    ran(*how, "--resume")
    for written in WRITTEN:
        assert (tmp_path / "run" / written).read_bytes() == (undisturbed / written).read_bytes(), written
    assert not (tmp_path / "run" / "encoded.safetensors").exists()


@pytest.mark.slow
def test_stopped_again_and_again_it_goes_on_to_the_same_bytes(undisturbed, stopped, manifest, two_stages, tmp_path):
    """First at the second file that it writes, then at the third after that, ...: what is computed once, checkpoints,
    best weights, what is left."""
    how = line(manifest, tmp_path / "run", "--stages", two_stages, "--crop", "face", "--checkpoint-steps", 1)
    for write in range(2, 50):
        if not stopped(*how, "--resume", write=write, named=write % 2):
            break
    assert write >= 7
    for written in WRITTEN:
        assert (tmp_path / "run" / written).read_bytes() == (undisturbed / written).read_bytes(), written


# In several processes


@pytest.mark.processes
@pytest.mark.parametrize(
    "more",
    [(), pytest.param(("--augment", "light", "--tta", "2"), marks=pytest.mark.slow)],
    ids=["encoded once", "augmented"],
)
def test_two_processes_end_with_the_model_of_one(manifest, two_stages, tmp_path, more):
    """The CCC of an epoch is that of all its predictions together, not a mean over processes; 7 rows a batch leave an
    odd one over."""
    how = ("--stages", two_stages, "--crop", "face", "--dropout", 0, "--batch-size", 7, *more)
    ran(*line(manifest, tmp_path / "one", *how))
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    words = [sys.executable, *launch.split(), "-m", "affectkit", *map(str, line(manifest, tmp_path / "two", *how))]
    done = subprocess.run(
        words, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(history(tmp_path / "two"), history(tmp_path / "one"), rtol=1e-4, atol=1e-5)
    same_answers(tmp_path / "two" / "predictions.csv", tmp_path / "one" / "predictions.csv", atol=1e-4)
    best = json.loads((tmp_path / "two" / "train_report.json").read_text())["best"]
    said = rows(tmp_path / "two" / "predictions.csv")
    val = said[said["split"] == "val"]
    truth, answers = (val[name].astype(float) for name in ("valence", "valence_pred"))
    by_hand = 2 * np.cov(truth, answers, ddof=0)[0, 1]
    by_hand /= truth.var(ddof=0) + answers.var(ddof=0) + (truth.mean() - answers.mean()) ** 2
    if not more:
        assert best["val_valence.ccc"] == pytest.approx(by_hand, abs=1e-4)


def test_an_image_is_read_upright_and_in_any_mode(corpus, tmp_path):
    """Palette, grey, alpha and turned ones are trained on as any other."""
    modes = {"P": "png", "L": "png", "RGBA": "png", "CMYK": "jpg"}

    def convert(split, part):
        for place, (mode, ending) in enumerate(modes.items()):
            path = tmp_path / f"{split}-{mode}.{ending}"
            Image.open(corpus[0] / part["path"][place]).convert(mode).save(path)
            part.loc[place, "path"] = str(path)

    data = changed(corpus[1], tmp_path / "m", convert)
    ran(*line(data, tmp_path / "run", "--epochs", 1))
    assert len(rows(tmp_path / "run" / "predictions.csv"))


def test_what_is_mistaken_for_what_and_how_much_more_is_known_of_fitted_rows(finished):
    run = finished(TINY)
    report, judged = json.loads((run / "train_report.json").read_text()), pd.read_csv(run / "predictions.csv")
    mistakes = pd.read_csv(run / "mistakes.csv")
    for part, rows in judged[judged["pred"].notna()].groupby("split"):
        of_part = mistakes[mistakes["part"] == part].set_index(["truth", "predicted"])
        counts = rows[rows["label"] != rows["pred"]].groupby(["label", "pred"]).size()
        assert of_part["rows"].to_dict() == counts.to_dict()
    pictures = json.loads((run / "examples.json").read_text())["pictures"]
    known = judged.set_index("id")
    for picture in pictures:
        row = known.loc[picture["id"]]
        assert (row["split"], row["label"], row["pred"]) == ("test", picture["truth"], picture["predicted"])
    gap = report["gap"]
    assert (gap["metric"], gap["part"]) == ("uar", "val")
    assert gap["judged"] == report["metrics"]["val_uar"]["value"] and gap["value"] == gap["train"] - gap["judged"]
    assert sum(report["balance"]["label"]["test"].values()) == len(judged[judged["split"] == "test"])
    assert {"val_kappa", "val_kappa_linear", "val_kappa_quadratic"} < set(pd.read_csv(run / "history.csv"))
