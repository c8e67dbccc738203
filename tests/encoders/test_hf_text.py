"""hf-text against transformers' own tokenizer and AutoModel, one text at a time."""

import numpy as np
import pytest
import torch

from affectkit.encoders import hf_text
from affectkit.encoders._encoder import Item, load
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError
from affectkit.models import backbones

TEXTS = ["None", "What a day!", "I see. " * 9, "Überall Süßes\nund Saures", "a", "x" * 300]


def built(**options):
    encoder = hf_text.build(**{"checkpoint": "tiny-random:bert", **options})
    load(encoder, "cpu")
    return encoder


def encode(encoder, texts=TEXTS):
    return encode_items(encoder, [Item(str(place), text=text) for place, text in enumerate(texts)])


@torch.inference_mode()
def truth(checkpoint, text, longest=128):
    """Hidden states [T, L, D] by transformers."""
    backbone = backbones.load(checkpoint, "text")
    batch = backbone.processor(text, truncation=True, max_length=longest, return_tensors="pt")
    states = backbone.model(batch["input_ids"], output_hidden_states=True).hidden_states
    return torch.stack(states, dim=2)[0].numpy()


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_mean_over_a_texts_own_tokens(architecture, batch_tokens):
    checkpoint = f"tiny-random:{architecture}"
    values = encode(built(checkpoint=checkpoint, batch_tokens=batch_tokens)).values
    for text, value in zip(TEXTS, values, strict=True):
        np.testing.assert_allclose(value, truth(checkpoint, text)[:, -1].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_layers_and_poolings():
    states = truth("tiny-random:bert", TEXTS[1])
    for options, expected in [
        ({"pool": "cls"}, states[0, -1]),
        ({"pool": "cls", "layer": "all"}, states[0]),
        ({"layer": "1"}, states[:, 1].mean(axis=0)),
        ({"pool": "mean-std"}, np.concatenate([states[:, -1].mean(axis=0), states[:, -1].std(axis=0)])),
        ({"pool": "none"}, states[:, -1]),
    ]:
        encoder = built(**options)
        value = encode(encoder).values[1]
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
        assert encoder.describe()["dim"] == value.shape[-1]


def test_long_texts_are_cut_and_counted():
    encoder = built(max_tokens=10, pool="none")
    encoded = encode(encoder)
    assert [len(value) for value in encoded.values] == [6, 10, 10, 10, 3, 10]  # [CLS] and [SEP] are tokens
    assert encoded.counts["truncated"] == 4
    np.testing.assert_allclose(encoded.values[2], truth("tiny-random:bert", TEXTS[2], 10)[:, -1], rtol=1e-4, atol=1e-5)
    assert built().describe()["max_tokens"] == 128
    assert encode(built()).counts["truncated"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": ""}, "hf-text needs a --checkpoint; pass --checkpoint roberta-base"),
        ({"pool": "max"}, "there is no --pool max; use mean, mean-std, cls, none"),
        ({"max_tokens": 1000}, "--max-tokens 1000: this checkpoint takes 128"),
        ({"batch_tokens": 0}, "count tokens"),
        ({"checkpoint": "tiny-random:wav2vec2"}, "no tiny-random:wav2vec2 for text"),
    ],
)
def test_unknown_options_are_usage_errors(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        built(**options)
    assert caught.value.code == "usage"
