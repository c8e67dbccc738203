"""Folders of fine-tuned speech networks: transformers' own files, written whole and read exactly."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from affectkit.artifacts.files import atomic
from affectkit.errors import AffectkitError
from affectkit.models import backbones
from affectkit.models.speech_heads import ATTENTIVE, Head

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


def write(folder: Path, model: Any, processor: Any, head: Head) -> None:
    """Write config.json, model.safetensors and preprocessor_config.json, each of them whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".", suffix=".tmp", dir=folder) as scratch, backbones.quiet_transformers():
        model.save_pretrained(scratch)
        processor.save_pretrained(scratch)
        if head == "attentive":
            _rename_architecture(Path(scratch) / _CONFIG)
        for file in sorted(Path(scratch).iterdir()):
            with atomic(folder / file.name) as temporary:
                file.rename(temporary)


def head_of(config: Any) -> Head:
    """The head that a folder's network was saved with."""
    if (config.architectures or [""])[0] == ATTENTIVE:
        return "attentive"
    return "weighted" if config.use_weighted_layer_sum else "mean"


def fill(model: Any, folder: Path) -> None:
    """Read all weights. Raises "missing" or "input" unless they are the network's exactly."""
    from safetensors.torch import load_file

    path = folder / _WEIGHTS
    if not path.is_file():
        raise AffectkitError("missing", "there are no weights", file=path, remedy="copy the folder again")
    stored, own = load_file(path), model.state_dict()
    for what, keys in (
        ("lacks", own.keys() - stored.keys()),
        ("has unknown", stored.keys() - own.keys()),
        ("has misshapen", {key for key in own.keys() & stored.keys() if own[key].shape != stored[key].shape}),
    ):
        if keys:
            message = f"{what} {len(keys)} weights of the network, such as {min(keys)}"
            raise AffectkitError("input", message, file=path, remedy="copy the folder again")
    model.load_state_dict(stored)


def _rename_architecture(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    config["architectures"] = [ATTENTIVE]
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
