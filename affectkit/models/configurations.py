"""What the configurations of a checkpoint folder may ask transformers for: a network of plain tensors, no more.

A key that asks for code, for kernels or files from elsewhere, or for quantised weights is refused by its name before
transformers sees it; so are classes of another kind than their key's, which transformers would load as readily, and
numbers that no network and no preprocessing can have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.errors import AffectkitError

CONFIG = "config.json"
FILES = (
    CONFIG,
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
)
_ADAPTER = "adapter_config.json"  # of peft: it names a base network elsewhere, and its weights may be a pickle

_QUANTISED = "quantised weights, which are not read here"
_CODE = "code of its own, which is never run"
_FOREIGN = "code from the hub or another package, which is never run"
_ELSEWHERE = "weights from elsewhere, which are not read"
_REFUSED = {
    "quantization_config": _QUANTISED,
    "compression_config": _QUANTISED,
    "load_in_8bit": _QUANTISED,
    "load_in_4bit": _QUANTISED,
    "gguf_file": _QUANTISED,
    "auto_map": _CODE,
    "custom_pipelines": _CODE,
    "trust_remote_code": _CODE,
    "use_kernels": _FOREIGN,
    "kernel_config": _FOREIGN,
    "fusion_config": "changes to transformers' own networks",
    "transformers_weights": _ELSEWHERE,
    "use_pretrained_backbone": _ELSEWHERE,
    "checkpoint_path": _ELSEWHERE,
    "configuration_files": "another configuration, which is not read",
    "backbone": "a network from elsewhere, which is not read",
    "repo_path": "files from elsewhere, which are not read",
}
CLASSES = {  # transformers takes the name of anything that it has: a network, which would read its own weights
    "tokenizer_class": r"(?!Auto|Rag)\w*(Tokenizer(\w*Fast|Legacy)?|Backend)",
    "feature_extractor_type": r"(?!Auto)\w+FeatureExtractor",
    "image_processor_type": r"(?!Auto)\w+ImageProcessor(Fast|Pil)?",
    "architecture": r"[\w.-]+",
}
_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
_PLAIN = ("eager", "sdpa")  # transformers' own; all others are of packages, or fetched

_COUNT, _SIDE = (1, 2**20), (1, 2**13)
_RANGES = {
    "sampling_rate": (1000, 1_000_000),  # Hz
    "chunk_length": (1, 3600),  # s
    "n_fft": (1, 2**16),
    "n_samples": (1, 2**28),
    "nb_max_frames": _COUNT,
    **dict.fromkeys(("feature_size", "hop_length", "num_attention_heads", "num_mel_bins"), _COUNT),
    **dict.fromkeys(("conv_kernel", "conv_stride", "conv_dim"), _COUNT),
    **dict.fromkeys(("height", "width", "shortest_edge"), _SIDE),  # pixels
}


def check_configurations(folder: Path) -> None:
    """Raises "input" naming the file, and the key that is refused."""
    if (folder / _ADAPTER).is_file():
        message = f"cannot be loaded: an adapter asks for {_ELSEWHERE}"
        remedy = "merge it into its base network and save that"
        raise AffectkitError("input", message, file=folder / _ADAPTER, remedy=remedy)
    for path in (folder / name for name in FILES):
        if path.is_file():
            data = read_json(path, what="configuration")
            if path.name == CONFIG and brings_a_known_network(data):
                del data["auto_map"]
            for key, value in _entries(data):
                _check(key, value, path)


def brings_a_known_network(config: Mapping[str, Any]) -> bool:
    """Whether code of its own is for the network alone, and that is of a type that transformers has: the code is left
    alone, and the weights show whether they are of transformers' own. Nothing would show that of preprocessing."""
    classes, model_type = config.get("auto_map"), config.get("model_type")
    if not isinstance(classes, dict) or not isinstance(model_type, str) or not classes:
        return False
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return model_type in CONFIG_MAPPING_NAMES and all(re.fullmatch(r"Auto(Config|Model\w*)", name) for name in classes)


def _entries(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys and values at every depth: parts of a network have configurations of their own."""
    waiting: list[Any] = [data]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            yield from inner.items()
        waiting.extend(inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ())


def _check(key: str, value: Any, path: Path) -> None:
    if value and key in _REFUSED:
        remedy = f"take a checkpoint without '{key}': plain weights, saved by transformers itself"
        raise AffectkitError("input", f"cannot be loaded: '{key}' asks for {_REFUSED[key]}", file=path, remedy=remedy)
    if value and key.strip("_").removesuffix("_internal") in _IMPLEMENTATIONS:
        names = list(value.values()) if isinstance(value, dict) else [value]
        if any(name and name not in _PLAIN for name in names):
            message = f"cannot be loaded: '{key}' asks for {_FOREIGN}"
            raise AffectkitError("input", message, file=path, remedy=f"take '{key}' out of it, or use eager or sdpa")
    if key in CLASSES and value and not (isinstance(value, str) and re.fullmatch(CLASSES[key], value)):
        message = f"cannot be loaded: '{key}' is {str(value)[:60]!r}, which is not read as one"
        raise AffectkitError("input", message, file=path, remedy="take a checkpoint saved by transformers itself")
    if key in _RANGES and value is not None:
        least, most = _RANGES[key]
        for number in value if isinstance(value, list) else [value]:
            if type(number) is not int or not least <= number <= most:
                message = f"cannot be loaded: '{key}' is {str(value)[:60]}, which is no number from {least} to {most}"
                raise AffectkitError("input", message, file=path, remedy="copy the folder again")
