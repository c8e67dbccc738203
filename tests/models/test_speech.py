"""Speech networks: no value depends on the batch, and alone they give what transformers' AutoModel gives."""

import numpy as np
import pytest
import torch

from affectkit.errors import AffectkitError
from affectkit.models import backbones, speech, tiny
from affectkit.models.speech_inputs import ValidGroupNorm

RNG = np.random.default_rng(0)
WAVES = [RNG.standard_normal(samples).astype("float32") for samples in (16000, 300, 8000, 24000, 4000, 23456)]
LAYER_NORM = ",feat_extract_norm=layer,do_stable_layer_norm=true"
KINDS = [name for name in tiny.AUDIO if name != "whisper"]
KINDS += [f"{name}{LAYER_NORM}" for name in ("wav2vec2", "hubert", "wavlm")]


def opened(kind, **options):
    return speech.SpeechStates(backbones.load(f"tiny-random:{kind}", "audio"), **options)


def relative(one, other):
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_gives_what_each_waveform_gives_alone(kind):
    padded, alone = opened(kind, pad=True), opened(kind, pad=False)
    together = padded.hidden(WAVES, "all")
    for wave, states in zip(WAVES, together, strict=True):
        assert relative(states, alone.hidden([wave], "all")[0]) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_alone_it_is_transformers_own_network(kind):
    network = backbones.load(f"tiny-random:{kind}", "audio").model
    truth = network(torch.from_numpy(WAVES[0])[None], output_hidden_states=True)
    ours = opened(kind)
    torch.testing.assert_close(ours.hidden(WAVES[:1], "last")[0], truth.last_hidden_state[0], rtol=0, atol=0)
    torch.testing.assert_close(ours.hidden(WAVES[:1], 1)[0], truth.hidden_states[1][0], rtol=0, atol=0)
    every = ours.hidden(WAVES[:1], "all")[0]
    assert every.shape == (49, ours.layers, ours.dim) == (49, len(truth.hidden_states), 32)
    torch.testing.assert_close(every, torch.stack(truth.hidden_states, dim=2)[0], rtol=0, atol=0)


@torch.inference_mode()
def test_plain_padding_would_change_a_group_norm_network():
    """What the exact batches are for: the same network on a batch padded in the usual way."""
    network = backbones.load("tiny-random:wav2vec2", "audio").model
    batch = torch.zeros(1, 32000)
    batch[0, :16000] = torch.from_numpy(WAVES[0])
    assert relative(network(batch).last_hidden_state[0, :49], opened("wav2vec2").hidden(WAVES[:1], "last")[0]) > 0.1


def test_waveforms_below_the_receptive_field_are_padded_to_one_frame():
    network = opened("wav2vec2")
    assert network.inputs.min_samples == 400  # 25 ms: 10 + 5 * (3 + 2 * (3 + 2 * (... kernels and strides of the paper
    short = network.hidden([WAVES[1]], "last")[0]
    assert short.shape == (1, 32)
    longer = np.pad(WAVES[1], (0, 100))
    torch.testing.assert_close(network.hidden([longer], "last")[0], short, rtol=0, atol=0)


def test_group_norm_over_valid_frames_is_group_norm_of_each_sequence():
    norm = torch.nn.GroupNorm(4, 8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    ours, hidden, frames = ValidGroupNorm(norm), torch.randn(3, 8, 20), [20, 7, 1]
    torch.testing.assert_close(ours(hidden), norm(hidden), rtol=0, atol=0)  # without frames it is the norm itself
    ours.frames = torch.tensor(frames)
    for row, count in enumerate(frames):
        alone = norm(hidden[row : row + 1, :, :count])[0]
        torch.testing.assert_close(ours(hidden)[row, :, :count], alone, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_whisper_keeps_the_frames_that_the_waveform_reaches():
    backbone = backbones.load("tiny-random:whisper", "audio")
    truth = backbone.model.get_encoder()
    network = speech.SpeechStates(backbone)
    states = network.hidden(WAVES, "all")
    assert [len(state) for state in states] == [50, 1, 25, 75, 13, 74]  # 20 ms each, the last one begun counts
    mel = backbone.processor(WAVES[2], sampling_rate=16000, return_tensors="pt")["input_features"]
    expected = truth(mel, output_hidden_states=True)
    torch.testing.assert_close(states[2], torch.stack(expected.hidden_states, dim=2)[0, :25], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        network.hidden(WAVES, "last")[2], expected.last_hidden_state[0, :25], rtol=1e-5, atol=1e-5
    )


@torch.inference_mode()
def test_whisper_without_its_silence_reads_each_waveform_at_its_own_length():
    backbone = backbones.load("tiny-random:whisper", "audio")
    network = speech.SpeechStates(backbone, to_30_s=False)
    states = network.hidden(WAVES, "all")
    assert [len(state) for state in states] == [50, 1, 25, 75, 13, 74]
    for wave, state in zip(WAVES, states, strict=True):  # with others of any length as alone
        torch.testing.assert_close(network.hidden([wave], "all")[0], state, rtol=0, atol=0)
    longest = np.zeros(30 * 16000, dtype=np.float32)
    longest[:16000] = WAVES[0][:16000]
    padded = speech.SpeechStates(backbone).hidden([longest], "all")[0]
    torch.testing.assert_close(network.hidden([longest], "all")[0], padded, rtol=1e-5, atol=1e-5)  # 30 s are 30 s
    assert backbone.model.config.max_source_positions == 1500
    with pytest.raises(AffectkitError, match="--padding none is of Whisper: wav2vec2 pads nothing"):
        speech.SpeechStates(backbones.load("tiny-random:wav2vec2", "audio"), to_30_s=False)


def test_bfloat16_is_near_and_comes_out_as_float32():
    exact, rough = opened("wav2vec2"), opened("wav2vec2", dtype="bfloat16")
    states = rough.hidden(WAVES[:1], "last")[0]
    assert states.dtype == torch.float32
    assert 0 < relative(states, exact.hidden(WAVES[:1], "last")[0]) < 0.1


def test_networks_that_read_no_waveforms_are_refused():
    bert = backbones.load("tiny-random:bert", "text")
    with pytest.raises(AffectkitError, match="'bert' is not a speech network"):
        speech.SpeechStates(bert)
