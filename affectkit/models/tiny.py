"""`tiny-random:ARCHITECTURE`: small networks with random weights, for tests and dry runs.

Options of the configuration may follow: `tiny-random:wav2vec2,feat_extract_norm=layer,do_stable_layer_norm=true`.
Equal names give equal weights. Whatever they produce is marked `tiny_random` in its record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.models.image_architectures import class_of

PREFIX = "tiny-random:"
_SEED = 0
_SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_SPEECH = {**_SIZE, "conv_dim": [32] * 7, "num_conv_pos_embedding_groups": 2}
_WAVES = {**_SPEECH, "num_conv_pos_embeddings": 16}
_TEXT = {**_SIZE, "vocab_size": 512, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}

AUDIO: dict[str, dict[str, Any]] = {
    "wav2vec2": _WAVES,
    "hubert": _WAVES,
    "wavlm": {**_WAVES, "num_buckets": 32, "max_bucket_distance": 80},
    "unispeech": _WAVES,
    "unispeech-sat": _WAVES,
    "data2vec-audio": {**_SPEECH, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5},
    "whisper": {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 16,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
    },
}  # fmt: skip
TEXT: dict[str, dict[str, Any]] = {
    "bert": {**_TEXT, "max_position_embeddings": 130},
    "roberta": {**_TEXT, "max_position_embeddings": 130},
    "distilbert": {
        "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 512, "max_position_embeddings": 130,
        "pad_token_id": 0,
    },
}  # fmt: skip
_PATCHES = {**_SIZE, "image_size": 32, "patch_size": 8}
_STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
IMAGES: dict[str, dict[str, Any]] = {
    "vit": _PATCHES,
    "deit": _PATCHES,
    "beit": {**_PATCHES, "use_relative_position_bias": True},
    "dinov2": _PATCHES,
    "clip": {**_PATCHES, "projection_dim": 16},
    "siglip": _PATCHES,
    "convnext": _STAGES,
    "resnet": {**_STAGES, "embedding_size": 8, "layer_type": "basic"},
    "swin": {
        "image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4,
    },
}  # fmt: skip
_TOWERS = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}  # what transformers calls them by themselves


# Those that write speech down, with their characters as tokens; a head on the network of another name.
SPEECH: dict[str, dict[str, Any]] = {"whisper": AUDIO["whisper"], "wav2vec2-ctc": _WAVES}
LANGUAGES = ("en", "zh", "de")  # that the small Whisper tells apart
_LETTERS = " etaoinshrdlucmfwypvbgkjqxz的一是不了"


def is_tiny(checkpoint: str) -> bool:
    return checkpoint.startswith(PREFIX)


def build(
    checkpoint: str,
    reads: Literal["audio", "text", "images", "speech"],
    changes: Mapping[str, Any] | None = None,
    *,
    classifier: bool = False,
) -> tuple[Any, ...]:
    """The network, and its feature extractor, tokenizer or image processor; to write speech down, also a tokenizer.

    changes, classifier: as `backbones.load` has them.
    Raises "usage" for an unknown architecture or option.
    """
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCTC,
        AutoModelForSequenceClassification,
        WhisperForConditionalGeneration,
    )

    architecture, *options = checkpoint.removeprefix(PREFIX).split(",")
    known = {"audio": AUDIO, "text": TEXT, "images": IMAGES, "speech": SPEECH}[reads]
    if architecture not in known:
        remedy = did_you_mean(architecture, list(known))
        raise AffectkitError("usage", f"there is no {PREFIX}{architecture} for {reads}", remedy=remedy)
    kind = _TOWERS.get(architecture, architecture.removesuffix("-ctc"))
    tokenizer = _writing_tokenizer(kind) if reads == "speech" else None
    tokens = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id} if tokenizer else {}
    config = changed(AutoConfig.for_model(kind, **{**known[architecture], **tokens, **parsed(options)}), changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        if reads == "images":
            cls, more = class_of(config)
            return cls(config, **more), _image_processor(architecture, config)
        if reads == "speech":
            cls = WhisperForConditionalGeneration if kind == "whisper" else AutoModelForCTC.from_config
            return cls(config), _feature_extractor(config), tokenizer
        model = (AutoModelForSequenceClassification if classifier else AutoModel).from_config(config)
    return model, _feature_extractor(config) if reads == "audio" else _tokenizer(config)


def changed(config: Any, changes: Mapping[str, Any] | None) -> Any:
    """`config` with other values, where it has such names."""
    for name, value in (changes or {}).items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def parsed(options: list[str]) -> dict[str, Any]:
    """`["hidden_size=64"]` as values of a configuration."""
    values = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            remedy = f"write {PREFIX}wav2vec2,hidden_size=64"
            raise AffectkitError("usage", f"'{option}' is not name=value", remedy=remedy)
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def _feature_extractor(config: Any) -> Any:
    from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    if config.model_type == "whisper":
        return WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    return Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=config.model_type == "data2vec-audio")


def _image_processor(architecture: str, config: Any) -> Any:
    """The kind that the architecture's own checkpoints have, at this size."""
    import transformers

    side = getattr(config, "image_size", 32)
    square, shortest = {"height": side, "width": side}, {"shortest_edge": side}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "clip": ("CLIP", {"size": shortest, "crop_size": square}),
        "dinov2": ("Bit", {"size": {"shortest_edge": side + side // 7}, "crop_size": square}),
        "beit": ("Beit", {"size": square}),
        "siglip": ("Siglip", {"size": square}),
        "convnext": ("ConvNext", {"size": shortest}),
        "resnet": ("ConvNext", {"size": shortest}),
        "deit": ("DeiT", {"size": {"height": side + 4, "width": side + 4}, "crop_size": square}),
    }
    name, options = kinds.get(architecture, ("ViT", {"size": square}))
    return getattr(transformers, f"{name}ImageProcessorPil")(**options)


def _tokenizer(config: Any) -> Any:
    """Characters as tokens: code points below 500, each with its number; the rest is unknown."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: place for place, token in enumerate(special)}
    vocabulary |= {chr(code): code + len(special) for code in range(500)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    names = ("pad_token", "unk_token", "cls_token", "sep_token")
    tokens: dict[str, Any] = dict(zip(names, special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **tokens)


def _writing_tokenizer(kind: str) -> Any:
    """A few letters as tokens, then the marks that Whisper is led by; or as CTC has them, the first one the blank."""
    from transformers import Wav2Vec2CTCTokenizer, WhisperTokenizer

    if kind != "whisper":
        tokens = ["<pad>", "<s>", "</s>", "<unk>", *_LETTERS.replace(" ", "|")]
        with TemporaryDirectory() as folder:
            vocabulary = Path(folder) / "vocab.json"
            vocabulary.write_text(json.dumps({token: place for place, token in enumerate(tokens)}), encoding="utf-8")
            return Wav2Vec2CTCTokenizer(str(vocabulary))
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    signs = bytes_to_unicode()
    letters = dict.fromkeys(signs[byte] for letter in _LETTERS for byte in letter.encode())
    marks = ["endoftext", "startoftranscript", *LANGUAGES, "translate", "transcribe", "startoflm", "startofprev"]
    marks += ["nospeech", "notimestamps"]
    tokens = [*letters, *(f"<|{mark}|>" for mark in marks)]
    tokenizer = WhisperTokenizer(vocab={token: place for place, token in enumerate(tokens)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": tokens[-len(marks) + 1 :]})
    return tokenizer
