"""A network of `finetune` as a face expert: its own answers for the crops that the adapter cuts out."""

import json
import logging

import numpy as np
import pytest

from affectkit.errors import AffectkitError
from affectkit.experts._adapter import build_expert, load_expert
from affectkit.experts._expert import CropRule
from affectkit.labels import Target

torch = pytest.importorskip("torch")

VALENCE = Target("valence", "number", scale=(-1, 1))
MOOD = Target("mood", "class", ("bad", "good"))


@pytest.fixture
def made(tmp_path):
    """`made(targets, crop)`: the model folder of an untrained image network, as `finetune` writes it."""
    from affectkit.models import image_network

    def make(targets=(VALENCE, MOOD), crop="face"):
        network = image_network.build("tiny-random:timm,name=test_resnet,size=32", targets)
        network.save(tmp_path / "model")
        (tmp_path / "model" / "affectkit.json").write_text(
            json.dumps({"schema": 1, "kind": "finetuned", "reads": "images", "crop": crop})
        )
        return tmp_path / "model", network.eval()

    return make


def expert_of(folder, **more):
    return build_expert("finetuned", {"model_dir": str(folder)}, "columns", device="cpu", **more)


def rows_with_landmarks(image):
    landmarks = ";".join(f"{value:.1f}" for value in np.linspace(5, 60, 136))
    return [(image, {"face_x": 10, "face_y": 20, "face_width": 40, "face_height": 40, "landmarks": landmarks})]


def test_it_says_what_its_network_says_of_the_box(made):
    """Landmarks are not looked at: the network was trained on boxes. (The crop is of 33 pixels, as its preprocessing
    resizes to: nothing is resized twice.)"""
    from affectkit.detectors._detector import crop

    folder, network = made()
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    [answer] = expert_of(folder, rule=CropRule(flip_average=False)).predict(rows_with_landmarks(image))
    assert answer.crop == "box"
    side = max(network.preprocessing.resize_to)
    pixels = network.prepare(crop(image, (30, 40), 40, side))
    with torch.inference_mode():
        said = network(torch.from_numpy(pixels[None]))
    assert answer.values["valence"] == pytest.approx(float(said["valence"][0]), abs=1e-6)
    np.testing.assert_allclose(answer.probabilities, torch.softmax(said["mood"][0], 0), atol=1e-6)


def test_a_saved_expert_needs_no_run_folder(made, tmp_path):
    import shutil

    folder, _ = made()
    image = np.random.default_rng(1).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    expert = expert_of(folder)
    [before] = expert.predict(rows_with_landmarks(image))
    expert.save(tmp_path / "expert")
    shutil.rmtree(folder)
    [after] = load_expert(tmp_path / "expert", device="cpu").predict(rows_with_landmarks(image))
    assert after.values == before.values


@pytest.mark.parametrize(
    ("crop", "words", "level"),
    [("face", "--box-scale", logging.INFO), ("none", "trained on whole images", logging.WARNING),
     ("person", "boxes of a person", logging.WARNING)],
)  # fmt: skip
def test_it_says_what_it_was_trained_on(made, caplog, crop, words, level):
    caplog.set_level(logging.INFO)
    folder, _ = made(crop=crop)
    expert_of(folder)
    [record] = [record for record in caplog.records if words in record.getMessage()]
    assert record.levelno == level


def test_networks_that_answer_for_no_number_are_refused(made):
    for targets, words in (((MOOD,), "answers for no number"), ((Target("valence", "number"),), "on none")):
        folder, _ = made(targets)
        with pytest.raises(AffectkitError, match=words):
            expert_of(folder)
    (folder / "affectkit.json").write_text(json.dumps({"schema": 1, "kind": "fusion"}))
    with pytest.raises(AffectkitError, match="is no fine-tuned image network"):
        expert_of(folder)
    with pytest.raises(AffectkitError, match="needs a --model-dir"):
        build_expert("finetuned", {})
