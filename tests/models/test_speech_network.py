"""Networks that are fine-tuned on speech: batches change nothing, transformers reads what is saved."""

import itertools
import json
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForAudioClassification, Wav2Vec2ForSequenceClassification, pipeline

from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.models import backbones, speech_network, tiny
from affectkit.models.outputs import labels_of
from affectkit.models.speech_heads import HEADS, AttentiveStatistics
from affectkit.models.speech_inputs import ValidGroupNorm

RNG = np.random.default_rng(0)
LABEL = Target("label", "class", ("angry", "happy", "sad"))
VALENCE = Target("valence", "number", scale=(1.0, 5.0))
STRESS = Target("stress", "ordinal", ("low", "high"))
LAYER_NORM = ",feat_extract_norm=layer,do_stable_layer_norm=true"
WAVES = [*tiny.AUDIO, *(f"{name}{LAYER_NORM}" for name in ("wav2vec2", "hubert", "wavlm"))]
WAVES.remove("whisper")
KINDS = [*WAVES, "whisper"]
HEADED = [*zip(KINDS, itertools.cycle(HEADS), strict=False), *(("wav2vec2", head) for head in HEADS[1:])]
LENGTHS = [6000, 300, 3000, 9000, 3000]  # the second is below the receptive field
EXACT = {"rtol": 0, "atol": 0}
NEAR = {"rtol": 1e-5, "atol": 1e-5}


def waves(lengths=LENGTHS):
    return [RNG.standard_normal(length).astype("float32") for length in lengths]


def built(kind, targets=(LABEL, VALENCE), **options):
    return speech_network.build(f"tiny-random:{kind}", targets, **options)


def lively(network):
    """`network` with a head whose outputs differ between clips by about one: a new one's differ by 1e-4."""
    with torch.no_grad():
        for name, parameter in network.model.named_parameters():
            if not name.startswith(network.base_name):
                parameter.mul_(30 if name == "classifier.weight" else 10)
    return network


def outputs(network, clips):
    """All outputs side by side, [B, outputs]."""
    found = network(**network.collate([network.prepare(clip) for clip in clips]))
    return torch.cat([found[target.name].reshape(len(clips), -1) for target in network.targets], dim=1)


def of_one(network, clips):
    return torch.cat([outputs(network, [clip]) for clip in clips])


def gradients(network, loss):
    network.zero_grad(set_to_none=True)
    loss.backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


# Batches


@pytest.mark.parametrize(("kind", "head"), HEADED)
@torch.no_grad()
def test_a_batch_gives_what_each_clip_gives_by_itself(kind, head):
    network = lively(built(kind, head=head, dropout=0.0))
    clips = waves([60000, 9000] if kind == "whisper" else LENGTHS)
    alone = of_one(network, clips)
    torch.testing.assert_close(outputs(network, clips), alone, **NEAR)
    torch.testing.assert_close(outputs(network.train(), clips), alone, **NEAR)
    network.alone = True
    torch.testing.assert_close(outputs(network, clips), alone, **EXACT)
    assert (alone[0] - alone[1]).abs().max() > 0.02  # else nothing was compared


@pytest.mark.parametrize(("kind", "head"), HEADED)
def test_the_gradient_of_a_batch_is_the_sum_of_its_clips(kind, head):
    """Of every parameter: processes that train together wait for each."""
    network = lively(built(kind, head=head, dropout=0.0)).train()
    clips = waves(LENGTHS[-2:] if kind == "whisper" else LENGTHS)
    goal = torch.from_numpy(RNG.standard_normal((len(clips), 4)).astype("float32"))
    together = gradients(network, (outputs(network, clips) - goal).square().sum())
    apart = gradients(network, (of_one(network, clips) - goal).square().sum())
    assert together.keys() == apart.keys() == {name for name, _ in network.named_parameters()}
    for name, gradient in together.items():
        assert (gradient - apart[name]).abs().max() <= 5e-5 * apart[name].abs().max() + 1e-6, name


@pytest.mark.parametrize(
    ("kind", "head"),
    [("wav2vec2", "mean"), (f"wavlm{LAYER_NORM}", "weighted"), ("data2vec-audio", "mean"), ("whisper", "weighted")],
)
def test_equal_lengths_run_as_transformers_runs_them(tmp_path, kind, head):
    """Loss and gradients equal to the bit, those of the saved network in transformers' own code."""
    network, clips = built(kind, [LABEL], head=head, dropout=0.0).train(), waves([3000, 3000])
    network.save(tmp_path)
    theirs = AutoModelForAudioClassification.from_pretrained(tmp_path).train()
    batch = network.inputs.processor(
        [network.prepare(clip) for clip in clips], sampling_rate=16000, return_tensors="pt"
    )
    values = {network.model.main_input_name: torch.stack([torch.as_tensor(network.prepare(clip)) for clip in clips])}
    if kind == "whisper":
        values = {"input_features": batch["input_features"]}
    truth = torch.tensor([2, 0])
    loss = torch.nn.functional.cross_entropy(outputs(network, clips), truth)
    expected = theirs(**values, labels=truth).loss
    assert loss.item() == expected.item()
    ours = {name.removeprefix("model."): gradient for name, gradient in gradients(network, loss).items()}
    for name, gradient in gradients(theirs, expected).items():
        if not name.endswith("embed_positions.weight"):
            torch.testing.assert_close(ours.pop(name), gradient, **EXACT)
    assert not ours


def test_group_norm_over_valid_frames_has_the_gradient_of_each_sequence():
    """Against torch's numerical gradients, and against its own group norm of each sequence."""
    norm = ValidGroupNorm(torch.nn.GroupNorm(2, 4).double())
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    norm.frames = [6, 2]
    hidden = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
    valid = torch.arange(6) < torch.tensor(norm.frames)[:, None]
    weights = [norm.weight, norm.bias]
    assert torch.autograd.gradcheck(lambda hidden, *_: norm(hidden), (hidden, *weights))
    ours = torch.autograd.grad((norm(hidden) * valid[:, None]).square().sum(), [hidden, *weights])
    plain = torch.nn.GroupNorm.forward
    loss = sum(plain(norm, hidden[row : row + 1, :, :count]).square().sum() for row, count in enumerate(norm.frames))
    for one, other in zip(ours, torch.autograd.grad(loss, [hidden, *weights]), strict=True):
        torch.testing.assert_close(one, other)
    assert not norm(hidden)[1, :, 2:].any() and not ours[0][1, :, 2:].any()


@pytest.mark.parametrize("frozen", ["hidden", "weights"])
def test_group_norm_over_valid_frames_asks_only_for_what_trains(frozen):
    norm = ValidGroupNorm(torch.nn.GroupNorm(2, 4)).requires_grad_(frozen == "hidden")
    norm.frames = [3, 2]
    hidden = torch.randn(2, 4, 3, requires_grad=frozen != "hidden")
    norm(hidden).sum().backward()
    assert (hidden.grad is None) == (frozen == "hidden") == (norm.weight.grad is not None)
    with pytest.raises(ValueError, match="not those of a batch of shape"):
        norm(torch.randn(3, 4, 3))


@pytest.mark.parametrize("kind", ["wav2vec2", f"wav2vec2{LAYER_NORM}", "wavlm", "data2vec-audio", "whisper"])
def test_bfloat16_is_near_and_learns(kind):
    network = built(kind, dropout=0.0, head="attentive").train()
    batch = network.collate([network.prepare(clip) for clip in waves([3000, 6000])])
    exact = network(**batch)["label"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(**batch)["label"]
    assert rough.dtype == torch.float32 and 0 < (rough - exact).abs().max() < 0.02
    assert all(gradient.isfinite().all() for gradient in gradients(network, rough.square().sum()).values())


# Heads


def test_attentive_statistics_are_weighted_moments_of_valid_frames():
    """Against the formulas of Okabe et al. 2018, written in numpy."""
    pool, states = AttentiveStatistics(5), torch.randn(2, 7, 5)
    weights = {name: value.detach().numpy() for name, value in pool.named_parameters()}
    with torch.no_grad():
        found = pool(states, [4, 7]).numpy()
    for row, count in enumerate([4, 7]):
        h = states[row, :count].numpy()
        e = np.tanh(h @ weights["hidden.weight"].T + weights["hidden.bias"]) @ weights["score.weight"][0]
        share = np.exp(e) / np.exp(e).sum()
        mean = share @ h
        np.testing.assert_allclose(found[row], [*mean, *np.sqrt(share @ h**2 - mean**2)], rtol=1e-4, atol=1e-5)
    pool(states[:, :1].requires_grad_()).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in pool.parameters())


@torch.no_grad()
def test_the_weighted_head_sums_layers_by_softmax():
    network = built("hubert", [LABEL], head="weighted")
    network.model.layer_weights.copy_(torch.tensor([2.0, -1.0, 0.5]))
    clip = waves([3000])[0]
    states = network.base(torch.from_numpy(network.prepare(clip))[None], output_hidden_states=True).hidden_states
    share = torch.tensor([2.0, -1.0, 0.5]).softmax(0)
    mixed = sum(weight * state for weight, state in zip(share, states, strict=True))
    expected = network.model.classifier(network.model.projector(mixed).mean(1))
    torch.testing.assert_close(outputs(network, [clip]), expected, **NEAR)


@torch.no_grad()
def test_whisper_attends_to_frames_that_the_clip_reaches():
    network = built("whisper", [LABEL], head="attentive")
    batch = network.collate(waves([3300]))
    states = network.base(batch["inputs"]).last_hidden_state[:, :11]  # 20 ms each, the last one begun counts
    expected = network.model.classifier(network.model.projector(states))
    torch.testing.assert_close(network(**batch)["label"], expected, **NEAR)


def test_every_target_has_its_outputs_and_labels():
    network = built("wav2vec2", (VALENCE, LABEL, STRESS))
    found = network(**network.collate(waves([3000, 6000])))
    assert {name: tuple(values.shape) for name, values in found.items()} == {
        "valence": (2,), "label": (2, 3), "stress": (2, 2),
    }  # fmt: skip
    several = ["valence", "label=angry", "label=happy", "label=sad", "stress=low", "stress=high"]
    assert labels_of((VALENCE, LABEL, STRESS)) == several
    assert labels_of([STRESS]) == ["low", "high"] and labels_of([VALENCE]) == ["valence"]


@torch.no_grad()
def test_folding_gives_numbers_in_their_units():
    network, clips = built("wav2vec2", (LABEL, VALENCE)), waves([3000, 6000])
    before = outputs(network, clips)
    network.fold({"valence": (3.2, 0.7)})
    after = outputs(network, clips)
    torch.testing.assert_close(after[:, 3], 3.2 + 0.7 * before[:, 3], **NEAR)
    torch.testing.assert_close(after[:, :3], before[:, :3], **EXACT)


def test_the_head_is_drawn_from_the_seed_and_nothing_else_is():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = built("wav2vec2", seed=3, head="attentive", specaugment=True)
    assert torch.rand(1) == expected
    again, other = built("wav2vec2", seed=3, head="attentive"), built("wav2vec2", seed=4, head="attentive")
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
        base = name.startswith("wav2vec2.") or name.endswith("bias")
        assert torch.equal(value, other.model.state_dict()[name]) == base, name


# Parts and training


@pytest.mark.parametrize(("kind", "head"), HEADED)
def test_parts_hold_every_parameter_once_from_the_input_to_the_head(kind, head):
    network = built(kind, head=head, specaugment=True)
    parts = network.parts()
    assert [name for name, _ in parts] == ["feature_encoder", "projection", "layer-0", "layer-1", "head"]
    ids = [id(parameter) for _, parameters in parts for parameter in parameters]
    assert len(ids) == len(set(ids)) and set(ids) == {id(parameter) for parameter in network.parameters()}
    names = {id(parameter): name for name, parameter in network.model.named_parameters()}
    named = {part: [names[id(parameter)] for parameter in parameters] for part, parameters in parts}
    assert all("conv" in name for name in named["feature_encoder"])
    assert all(name.split(".")[0] in ("projector", "classifier", "layer_weights") for name in named["head"])
    assert all(f"layers.{place}." in name for place in (0, 1) for name in named[f"layer-{place}"])
    untrained = network.model.state_dict().keys() - set(names.values())
    norms = {"encoder.layer_norm.weight", "encoder.layer_norm.bias"}  # of a pre-norm network: no part of the sum
    expected = {"encoder.embed_positions.weight"} if kind == "whisper" else set()
    expected = norms if head == "weighted" and kind.endswith(LAYER_NORM) else expected
    assert {name.removeprefix("wavlm.") for name in untrained} == expected


def saved_bytes(network, clips):
    """What the graph of a forward pass keeps, weights left aside."""
    kept = {}
    weights = {parameter.data_ptr() for parameter in network.parameters()}

    def pack(tensor):
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = outputs(network, clips)
    return sum(kept.values()), result


@pytest.mark.parametrize("kind", ["wav2vec2", f"wav2vec2{LAYER_NORM}"])
@pytest.mark.parametrize("lengths", [[9000, 9000], [6000, 9000]])
def test_no_graph_goes_through_a_frozen_feature_encoder(kind, lengths):
    network, clips = built(kind, dropout=0.0).train(), waves(lengths)
    whole, _ = saved_bytes(network, clips)
    for parameter in dict(network.parts())["feature_encoder"]:
        parameter.requires_grad_(False)
    seen = []
    network.base.feature_extractor.register_forward_hook(lambda module, inputs, output: seen.append(output))
    rest, result = saved_bytes(network, clips)
    assert not seen[0].requires_grad and rest < whole / 3  # the convolutions' activations are most of it
    result.sum().backward()
    for parameter in [p for _, parameters in network.parts()[:-1] for p in parameters]:
        parameter.requires_grad_(False)
    assert saved_bytes(network, clips)[0] < rest / 5


def test_padding_keeps_no_more_than_equal_lengths():
    """Of the group norm: torch's own keeps its input, and so does the one over valid frames."""
    network = built("wav2vec2", dropout=0.0).train()
    even, uneven = (saved_bytes(network, waves(lengths))[0] for lengths in ([9000, 9000], [6000, 9000]))
    assert uneven < 1.02 * even


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "data2vec-audio", "whisper"])
def test_checkpointed_layers_give_the_same_gradients_from_less_memory(kind):
    clips, found = waves([3000, 6000]), []
    for option in (False, True):
        network = built(kind, head="weighted", dropout=0.0, gradient_checkpointing=option).train()
        kept, result = saved_bytes(network, clips)
        found.append((kept, gradients(network, result.square().sum())))
    (plain, expected), (less, ours) = found
    assert less < plain / 2 and ours.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, **NEAR)


def test_dropout_and_layerdrop_are_options():
    network, clips = built("wav2vec2", dropout=0.3).train(), waves([3000, 3000])
    assert {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}
    assert network.base.encoder.layers[0].attention.dropout == 0.3 and network.model.config.layerdrop == 0
    assert (outputs(network, clips) - outputs(network, clips)).abs().max() > 0
    assert built("whisper", dropout=0.2, layerdrop=0.5).base.layerdrop == 0.5
    ran = []
    dropping = built("wav2vec2", dropout=0.0, layerdrop=1.0).train()
    for layer in dropping.base.encoder.layers:
        layer.register_forward_hook(lambda *_: ran.append(1))
    outputs(dropping, clips)
    assert not ran


# SpecAugment


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "data2vec-audio", "whisper"])
def test_specaugment_is_drawn_from_numpys_generator_where_asked_for(kind):
    clips = waves([16000, 12000])
    network = lively(built(kind, dropout=0.0, specaugment=True)).train()
    runs = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        runs.append(outputs(network, clips))
    assert torch.equal(runs[0], runs[1]) and not torch.allclose(runs[0], runs[2], atol=1e-5)
    plain = lively(built(kind, dropout=0.0)).train()
    state = np.random.get_state()[1].copy()
    torch.testing.assert_close(outputs(plain, clips), outputs(network.eval(), clips), **NEAR)
    assert np.array_equal(np.random.get_state()[1], state)
    assert not any("masked_spec_embed" in name for name, _ in plain.named_parameters())


def test_specaugment_is_transformers_own(tmp_path):
    network, clip = built("hubert", [LABEL], dropout=0.0, specaugment=True).train(), waves([16000])[0]
    network.save(tmp_path)
    theirs = AutoModelForAudioClassification.from_pretrained(tmp_path).train()
    assert theirs.config.apply_spec_augment
    np.random.seed(3)
    expected = theirs(torch.from_numpy(network.prepare(clip))[None]).logits
    np.random.seed(3)
    torch.testing.assert_close(outputs(network, [clip]), expected, **EXACT)


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "data2vec-audio", "unispeech-sat"])
@pytest.mark.parametrize("lengths", [[1000, 400], [400, 16000, 5000]])  # 3, 1 and 49 frames; a mask has 10
def test_specaugment_lets_short_clips_pass(kind, lengths):
    network = built(kind, dropout=0.0, specaugment=True).train()
    found = gradients(network, outputs(network, waves(lengths)).sum())
    assert found.keys() == {name for name, _ in network.named_parameters()}  # processes exchange all of them
    assert all(gradient.isfinite().all() for gradient in found.values())


def test_specaugment_of_a_checkpoint_that_knows_no_masks():
    network = built("wav2vec2,mask_time_prob=0.0", dropout=0.0, specaugment=True).train()
    plain = built("wav2vec2,mask_time_prob=0.0", dropout=0.0).train()
    clips = waves([16000, 16000])
    assert (outputs(network, clips) - outputs(plain, clips)).abs().max() > 1e-4


# Files


@pytest.mark.parametrize(
    ("kind", "head", "targets"),
    [
        ("wav2vec2", "mean", [LABEL]),
        ("wav2vec2", "weighted", [STRESS]),
        ("wavlm", "weighted", [LABEL, VALENCE]),
        ("hubert", "mean", [VALENCE]),
        ("whisper", "weighted", [LABEL]),
        ("data2vec-audio", "mean", [STRESS, VALENCE]),
    ],
)
@torch.no_grad()
def test_plain_transformers_reads_what_is_saved(tmp_path, kind, head, targets):
    network, clip = built(kind, targets, head=head, specaugment=True), waves([6000])[0]
    network.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip
    theirs, info = AutoModelForAudioClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert list(theirs.config.id2label.values()) == labels_of(targets)
    pipe = pipeline("audio-classification", model=str(tmp_path), top_k=None)
    scores = {answer["label"]: answer["score"] for answer in pipe(clip)}
    expected = outputs(network, [clip])[0]
    if targets in ([LABEL], [STRESS]):
        expected = expected.softmax(0)
    assert scores == pytest.approx(dict(zip(labels_of(targets), expected.tolist(), strict=True)), abs=1e-6)


@pytest.mark.parametrize(("kind", "head"), [*HEADED[:3], *HEADED[4:6], *HEADED[-4:]])
@torch.no_grad()
def test_load_gives_back_what_was_saved(tmp_path, kind, head):
    network, clips = built(kind, head=head, seed=5, specaugment=True), waves([3000, 4000])
    for parameter in network.parameters():
        parameter += 0.01 * torch.randn_like(parameter)
    network.save(tmp_path)
    back = speech_network.load(tmp_path, network.targets)
    assert back.head == head and not back.training
    torch.testing.assert_close(outputs(back, clips), outputs(network, clips), **EXACT)
    facts = back.describe()
    assert facts["tiny_random"] and facts["architecture"] == kind.split(",")[0] and facts["head"] == head
    again = tmp_path / "again"
    back.save(again)
    assert (again / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    # Its base can be encoded with, and fine-tuned once more.
    assert backbones.load(str(tmp_path), "audio").tiny_random
    assert outputs(speech_network.build(str(tmp_path), [STRESS]), clips).shape == (2, 2)


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_transformers_refuses_the_attentive_head(tmp_path, kind):
    built(kind, [LABEL], head="attentive").save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["AffectkitAttentiveStatistics"]
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForAudioClassification.from_pretrained(tmp_path)


def test_saving_again_replaces_files_and_keeps_others(tmp_path):
    (tmp_path / "affectkit.json").write_text("{}")
    first, second = built("wav2vec2", seed=1), built("wav2vec2", seed=2)
    first.save(tmp_path)
    second.save(tmp_path)
    clips = waves([3000])
    torch.testing.assert_close(
        outputs(speech_network.load(tmp_path, first.targets), clips), outputs(second, clips), **EXACT
    )
    assert len(list(tmp_path.iterdir())) == 4


def edit(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("classifier.bias"), "lacks 1 weights of the network, such as classifier.bias"),
        (lambda weights: weights.update(more=torch.zeros(2)), "has unknown 1 weights of the network, such as more"),
        (lambda weights: weights.update({"classifier.bias": torch.zeros(9)}), "has misshapen 1 weights.*classifier"),
        (lambda weights: weights.pop("wav2vec2.encoder.layer_norm.bias"), "lacks 1 weights of Wav2Vec2Model"),
        (lambda weights: weights.pop("wav2vec2.masked_spec_embed"), "lacks 1 weights of the network"),
    ],
)
def test_load_demands_every_weight(tmp_path, change, message):
    network = built("wav2vec2")
    network.save(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(AffectkitError, match=message) as caught:
        speech_network.load(tmp_path, network.targets)
    assert caught.value.code == "input"


def test_load_refuses_other_targets_and_folders(tmp_path):
    built("wav2vec2", [LABEL]).save(tmp_path)
    with pytest.raises(AffectkitError, match="predicts angry, happy, sad, not low, high"):
        speech_network.load(tmp_path, [STRESS])
    with pytest.raises(AffectkitError, match="there is no such folder"):
        speech_network.load(tmp_path / "nowhere", [LABEL])
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(AffectkitError, match="cannot be loaded") as caught:
        speech_network.load(tmp_path, [LABEL])
    assert caught.value.code == "input"
    weights.unlink()
    with pytest.raises(AffectkitError, match=r"cannot be loaded: .*safetensors"):
        speech_network.load(tmp_path, [LABEL])


# Checkpoints


def saved_checkpoint(folder, name="wav2vec2", reads="audio", kind=None, **config):
    model, processor = tiny.build(f"tiny-random:{name}", reads, config)
    if kind:
        model = kind(model.config)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def test_a_classifier_of_other_labels_gets_a_new_head(tmp_path, caplog):
    theirs = saved_checkpoint(tmp_path, kind=Wav2Vec2ForSequenceClassification, use_weighted_layer_sum=True)
    with caplog.at_level(logging.INFO, logger="affectkit"):
        network = speech_network.build(str(tmp_path), [LABEL])
    assert "Wav2Vec2ForSequenceClassification of 2 outputs; its head is replaced" in caplog.text
    assert network.model.classifier.out_features == 3 and not hasattr(network.model, "layer_weights")
    assert network.describe()["weights"] == backbones.digest(theirs.wav2vec2)
    for name, value in theirs.wav2vec2.state_dict().items():
        assert torch.equal(value, network.base.state_dict()[name])


@pytest.mark.parametrize(
    ("saved", "code", "message"),
    [
        ({"name": "bert", "reads": "text"}, "input", "is of 'bert', which reads no audio"),
        ({"name": "wav2vec2", "add_adapter": True}, "input", "with an adapter .* are not supported"),
    ],
)
def test_checkpoints_of_other_networks_are_refused(tmp_path, saved, code, message):
    saved_checkpoint(tmp_path, **saved)
    with pytest.raises(AffectkitError, match=message) as caught:
        speech_network.build(str(tmp_path), [LABEL])
    assert caught.value.code == code


def test_weights_of_another_architecture_are_named(tmp_path):
    saved_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "wavlm", "architectures": ["WavLMModel"]}))
    with pytest.raises(AffectkitError, match=r"lacks \d+ weights of WavLMModel, such as .*rel"):
        speech_network.build(str(tmp_path), [LABEL])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "median"}, "there is no head 'median'; did you mean mean"),
        ({"targets": []}, "there is no target to predict"),
        ({"head": "weighted", "layerdrop": 0.1}, "needs them all"),
    ],
)
def test_options_that_make_no_sense_are_named(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        built("wav2vec2", **options)
    assert caught.value.code == "usage"


# Input


def test_input_is_normalised_as_the_checkpoint_does_and_padded_to_a_frame():
    network, whisper = built("wav2vec2"), built("whisper")
    clip = 5 + 3 * waves([8000])[0]
    prepared = network.prepare(clip)
    assert prepared.dtype == np.float32 and abs(prepared.mean()) < 1e-3 and prepared.std() == pytest.approx(1, abs=1e-3)
    batch = network.collate([prepared, prepared[:10]])
    assert batch["inputs"].shape == (2, 8000) and batch["lengths"].tolist() == [8000, 400] and network.rate == 16000
    assert not batch["inputs"][1, 10:].any()
    assert np.array_equal(whisper.prepare(clip), clip) and whisper.max_sec == 30
    assert whisper.collate([clip])["inputs"].shape == (1, 80, 3000)
    with pytest.raises(AffectkitError, match=r"31.0 s of audio are more than the 30 s that Whisper reads"):
        whisper.collate([np.zeros(31 * 16000, np.float32)])


@pytest.mark.parametrize("samples", [[], [[0.0, 1.0]], [0.0, np.nan], [np.inf, 0.0]])
def test_input_without_finite_samples_is_refused(samples):
    with pytest.raises(AffectkitError, match="holds"):
        built("wav2vec2").prepare(np.array(samples))


def test_repeated_parts_are_in_order():
    network = built("wav2vec2,num_hidden_layers=12")
    numbers = [int(name.removeprefix("layer-")) for name, _ in network.parts() if name.startswith("layer-")]
    assert len(numbers) == 12 and all(later == earlier + 1 for earlier, later in itertools.pairwise(numbers))
