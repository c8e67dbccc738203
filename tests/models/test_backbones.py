"""Checkpoints: complete ones are loaded whatever head they were saved with, others are refused in one line."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertForMaskedLM,
    RobertaForSequenceClassification,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Model,
)

from affectkit.errors import AffectkitError
from affectkit.models import backbones, tiny
from affectkit.models.forward import resolve_device

WAVE = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 4000)).astype("float32"))


def saved(folder, kind=Wav2Vec2Model, name="wav2vec2", reads="audio"):
    """A checkpoint folder of a network with random weights, saved as `kind`."""
    _, processor = tiny.build(f"tiny-random:{name}", reads)
    model = kind(tiny.build(f"tiny-random:{name}", reads)[0].config).eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def edit(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "kind", [Wav2Vec2Model, Wav2Vec2ForCTC, Wav2Vec2ForPreTraining, Wav2Vec2ForSequenceClassification]
)
@torch.inference_mode()
def test_the_base_is_found_under_any_head(tmp_path, kind):
    model = saved(tmp_path, kind)
    base = model if kind is Wav2Vec2Model else model.wav2vec2
    loaded = backbones.load(str(tmp_path), "audio")
    torch.testing.assert_close(loaded.model(WAVE).last_hidden_state, base(WAVE).last_hidden_state, rtol=0, atol=0)
    assert not loaded.model.training and not loaded.tiny_random
    assert loaded.weights == backbones.digest(base)


@pytest.mark.parametrize(("kind", "name"), [(BertForMaskedLM, "bert"), (RobertaForSequenceClassification, "roberta")])
def test_text_checkpoints_without_a_pooler_have_one_digest(tmp_path, kind, name):
    saved(tmp_path, kind, name, "text")
    first, again = (backbones.load(str(tmp_path), "text") for _ in range(2))
    assert first.weights == again.weights
    assert not first.model.pooler.dense.weight.any()  # lacking, and not used: zero, not random


def test_half_precision_checkpoints_are_computed_in_float32(tmp_path):
    saved(tmp_path)
    edit(tmp_path, lambda weights: weights.update({key: value.half() for key, value in weights.items()}))
    assert {value.dtype for value in backbones.load(str(tmp_path), "audio").model.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", [Wav2Vec2Model, Wav2Vec2ForCTC])
def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path, kind):
    saved(tmp_path, kind)
    edit(
        tmp_path,
        lambda weights: weights.pop(next(key for key in weights if key.endswith("layers.1.attention.k_proj.bias"))),
    )
    with pytest.raises(
        AffectkitError, match=r"lacks 1 weights of Wav2Vec2Model, such as .*layers.1.attention.k_proj.bias"
    ):
        backbones.load(str(tmp_path), "audio")


@pytest.mark.parametrize(("kind", "key"), [(Wav2Vec2Model, "encoder.more"), (Wav2Vec2ForCTC, "wav2vec2.encoder.more")])
def test_a_checkpoint_with_weights_of_another_network_is_refused(tmp_path, kind, key):
    saved(tmp_path, kind)
    edit(tmp_path, lambda weights: weights.update({key: torch.zeros(3)}))
    with pytest.raises(AffectkitError, match=f"has unknown 1 weights of Wav2Vec2Model, such as .*{key.split('.')[-1]}"):
        backbones.load(str(tmp_path), "audio")


def test_pickled_weights_are_not_read(tmp_path):
    model = saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(AffectkitError, match=r"cannot be loaded: .*safetensors"):
        backbones.load(str(tmp_path), "audio")


def test_a_checkpoint_that_brings_its_own_code_is_refused_without_running_it(tmp_path):
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(AffectkitError, match="cannot be loaded"):
        backbones.load(str(tmp_path), "audio")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("checkpoint", "code", "message"),
    [
        ("facebook/wav2vec2-base", "missing", "'facebook/wav2vec2-base' is not in the local cache.*pass the folder"),
        ("./nowhere", "missing", "nowhere: no such checkpoint folder"),
        ("a/b/c", "missing", "a/b/c: no such checkpoint folder"),
        ("tiny-random:wav2vec3", "usage", "there is no tiny-random:wav2vec3 for audio; did you mean wav2vec2"),
        ("tiny-random:bert", "usage", "no tiny-random:bert for audio"),
        ("tiny-random:wav2vec2,big", "usage", "'big' is not name=value"),
    ],
)
def test_checkpoints_that_are_none_are_named(checkpoint, code, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        backbones.load(checkpoint, "audio")
    assert caught.value.code == code


def test_folders_and_files_that_are_no_checkpoint_are_named(tmp_path):
    with pytest.raises(AffectkitError, match=f"{tmp_path}: cannot be loaded: .*save_pretrained"):
        backbones.load(str(tmp_path), "audio")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(AffectkitError, match="is a file; a checkpoint is a folder"):
        backbones.load(str(tmp_path / "model.safetensors"), "audio")


def test_tiny_networks_are_the_same_each_time_and_leave_the_generator_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = backbones.load("tiny-random:hubert", "audio")
    assert torch.rand(1) == expected
    torch.rand(5)
    assert first.tiny_random and first.weights == backbones.load("tiny-random:hubert", "audio").weights
    assert first.weights != backbones.load("tiny-random:wav2vec2", "audio").weights


def test_the_digest_depends_on_values_and_shapes_not_on_names():
    one, other = torch.nn.Sequential(), torch.nn.Sequential()
    one.add_module("a", torch.nn.Linear(2, 3))
    other.add_module("b", one.a)
    assert backbones.digest(one) == backbones.digest(other)
    changed = backbones.digest(one)
    with torch.no_grad():
        one.a.weight[0, 0] += 1e-6
    assert backbones.digest(one) != changed


def test_devices_are_checked():
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(AffectkitError, match="there is no device 'gpu'; use auto"):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        assert resolve_device("auto") == "cpu"
        with pytest.raises(AffectkitError, match="there is no device 'cuda' here; use --device cpu"):
            resolve_device("cuda")
