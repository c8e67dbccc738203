"""hf-audio against transformers' own feature extractor and AutoModel, one clip at a time."""

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import resample_poly

from affectkit.encoders import hf_audio
from affectkit.encoders._encoder import Item, from_record, load, record
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError
from affectkit.models import backbones, tiny

TINY = "tiny-random:wav2vec2"


def built(**options):
    encoder = hf_audio.build(**{"checkpoint": TINY, **options})
    load(encoder, "cpu")
    return encoder


@pytest.fixture
def clip(tmp_path):
    def write(seconds=1.0, rate=16000, name="clip.wav"):
        wave = 0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate)) + 0.05
        soundfile.write(tmp_path / name, wave, rate)
        return Item("a", tmp_path / name, duration_sec=seconds)

    return write


@torch.inference_mode()
def truth(item, checkpoint=TINY):
    """Hidden states [T, L, D] by transformers, audio by soundfile and scipy."""
    backbone = backbones.load(checkpoint, "audio")
    wave, rate = soundfile.read(item.path, dtype="float32")
    wave = resample_poly(wave, 16000, rate) if rate != 16000 else wave
    batch = backbone.processor(wave, sampling_rate=16000, return_tensors="pt")
    states = backbone.model(batch["input_values"], output_hidden_states=True).hidden_states
    return torch.stack(states, dim=2)[0].numpy()


@pytest.mark.parametrize("rate", [16000, 22050, 8000])
def test_mean_of_the_last_layer_at_the_networks_rate(clip, rate):
    item = clip(rate=rate)
    value = encode_items(built(), [item]).values[0]
    np.testing.assert_allclose(value, truth(item)[:, -1].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_layers_and_poolings(clip):
    item = clip()
    states = truth(item)
    for options, expected in [
        ({"layer": "all"}, states.mean(axis=0)),
        ({"layer": "0"}, states[:, 0].mean(axis=0)),
        ({"layer": "-2"}, states[:, 1].mean(axis=0)),
        ({"pool": "mean-std"}, np.concatenate([states[:, -1].mean(axis=0), states[:, -1].std(axis=0)])),
        ({"pool": "mean-std", "layer": "all"}, np.concatenate([states.mean(axis=0), states.std(axis=0)], axis=-1)),
        ({"pool": "none"}, states[:, -1]),
        ({"pool": "none", "layer": "all"}, states),
    ]:
        encoder = built(**options)
        value = encode_items(encoder, [item]).values[0]
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
        assert encoder.describe()["dim"] == value.shape[-1]
        assert encoder.describe()["layers"] == (3 if options.get("layer") == "all" else None)


def test_each_utterance_is_normalised_by_itself(clip, tmp_path):
    """A louder copy gives the same features: zero mean and unit variance before anything else."""
    quiet = clip()
    wave, rate = soundfile.read(quiet.path)
    soundfile.write(tmp_path / "loud.wav", 4 * wave, rate, subtype="FLOAT")
    loud = Item("b", tmp_path / "loud.wav", duration_sec=1.0)
    one, other = encode_items(built(), [quiet, loud]).values
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_segments_are_the_same_as_cut_files(clip, tmp_path):
    whole = clip(seconds=2.0)
    wave, rate = soundfile.read(whole.path, dtype="int16")
    soundfile.write(tmp_path / "cut.wav", wave[8000:24000], rate)
    cut = Item("b", tmp_path / "cut.wav", duration_sec=1.0)
    segment = Item("a", whole.path, start_sec=0.5, end_sec=1.5, duration_sec=1.0)
    one, other = encode_items(built(), [segment, cut]).values
    np.testing.assert_array_equal(one, other)


def test_long_audio_is_encoded_in_equal_pieces(clip):
    item = clip(seconds=2.5)
    encoder = built(max_seconds=1.0, pool="none")
    encoded = encode_items(encoder, [item])
    pieces = np.array_split(encoder.prepare(item), 3)
    expected = [state.numpy() for state in encoder.network.hidden(pieces, "last")]
    np.testing.assert_array_equal(encoded.values[0], np.concatenate(expected))
    assert encoded.counts["in_pieces"] == 1


def test_clips_below_the_receptive_field_give_one_frame_and_are_counted(clip):
    encoded = encode_items(built(pool="none"), [clip(seconds=0.01)])
    assert encoded.values[0].shape == (1, 32)
    assert encoded.counts["padded_to_one_frame"] == 1


def test_whisper_takes_thirty_seconds_at_a_time(clip):
    encoder = built(checkpoint="tiny-random:whisper", pool="none")
    encoded = encode_items(encoder, [clip(seconds=40.0)])
    assert encoded.values[0].shape == (2000, 32)
    assert encoded.counts["in_pieces"] == 1


def test_whispers_padding_is_an_option_that_the_record_has(clip):
    item = clip(seconds=1.0)
    padded, unpadded = (built(checkpoint="tiny-random:whisper", **options) for options in ({}, {"padding": "none"}))
    values = [encode_items(encoder, [item]).values[0] for encoder in (padded, unpadded)]
    assert not np.allclose(*values)
    assert record(unpadded)["options"]["padding"] == "none" and "padding" not in record(padded)["options"]
    again = from_record(record(unpadded), device="cpu")
    np.testing.assert_array_equal(encode_items(again, [item]).values[0], values[1])


def test_predicting_refuses_other_weights(clip, tmp_path):
    model, extractor = tiny.build(TINY, "audio")
    model.save_pretrained(tmp_path / "one")
    extractor.save_pretrained(tmp_path / "one")
    encoder = built(checkpoint=str(tmp_path / "one"))
    known = record(encoder)
    assert not known["tiny_random"] and record(built())["tiny_random"]
    (tmp_path / "one").rename(tmp_path / "moved")
    moved = from_record(known, device="cpu", checkpoint=str(tmp_path / "moved"))
    np.testing.assert_array_equal(*(encode_items(e, [clip()]).values[0] for e in (encoder, moved)))
    with torch.no_grad():
        model.encoder.layer_norm.bias += 1
    model.save_pretrained(tmp_path / "moved")
    with pytest.raises(AffectkitError, match="has other weights than the features' encoder; name the checkpoint"):
        from_record(known, device="cpu", checkpoint=str(tmp_path / "moved"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": ""}, "hf-audio needs a --checkpoint; pass --checkpoint facebook/wav2vec2-base"),
        ({"pool": "cls"}, "there is no --pool cls; use mean, mean-std, none"),
        ({"layer": "first"}, "there is no --layer first; use last, all or a number"),
        ({"layer": "3"}, "there is no --layer 3; this network has 0 to 2"),
        ({"dtype": "float16"}, "there is no --dtype float16"),
        ({"max_seconds": float("nan")}, "--max-seconds nan is under a second"),
    ],
)
def test_unknown_options_are_usage_errors(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        built(**options)
    assert caught.value.code == "usage"
