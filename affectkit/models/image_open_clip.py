"""open_clip's visual towers: `ARCHITECTURE/tag`, or `ARCHITECTURE/FILE`.

Only the tower is built: a text tower takes half the memory, and some need a tokenizer of the hub's. Radford et al.
2021; Cherti et al. 2023.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.models.image_backbone import ImageBackbone, completed
from affectkit.models.image_preprocessing import of_open_clip
from affectkit.models.image_weights import fill, from_hub, read_tensors

logger = logging.getLogger(__name__)

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
}
_VISUAL = "visual."
_NO_TEXT = {"context_length": 2, "vocab_size": 2, "width": 2, "heads": 1, "layers": 1}
_TEXT = re.compile(  # what else a whole CLIP or CoCa holds
    r"(transformer|token_embedding|positional_embedding|ln_final|text_projection|attn_mask|text|text_decoder"
    r"|logit_scale|logit_bias)(\.|$)"
)


def open_checkpoint(name: str, revision: str = "") -> ImageBackbone:
    """name: "ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/path/to/file.safetensors" (or .pt, .bin).

    Raises "usage" (no such architecture or tag), "missing" (not cached and no network; no such file), "input" (weights
    that are not exactly the tower's).
    """
    architecture, _, rest = name.partition("/")
    config = _config(architecture)
    tags = _tags(architecture)
    tag = tags.get(rest.lower().replace("-", "_"))
    if tag is not None:
        _check_activation(architecture, rest, tag, config)
        file, commit = _fetched(name, tag, revision)
        return _opened(name, config, file, _preprocess(tag), commit)
    if not rest or not Path(rest).expanduser().exists():
        what = f"'{rest}' is neither one of its tags nor a file" if rest else "of which weights?"
        remedy = did_you_mean(rest, list(tags)) if rest else f"write {architecture}/{next(iter(tags), 'FILE')}"
        raise AffectkitError("missing" if "." in rest else "usage", f"open_clip {architecture}: {what}", remedy=remedy)
    return _opened(name, config, Path(rest).expanduser(), _preprocess_of_file(architecture, tags))


def build(recipe: Mapping[str, Any]) -> nn.Module:
    """The tower that a recipe describes, with random weights."""
    import open_clip

    vision = {**recipe["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = open_clip.CLIP(
            recipe["embed_dim"], vision_cfg=vision, text_cfg=dict(_NO_TEXT), quick_gelu=recipe.get("quick_gelu", False)
        )
    return whole.visual


def tiny() -> ImageBackbone:
    network = build(TINY)
    preprocessing = of_open_clip(_preprocess({"size": 32}))
    return completed("open_clip", "tiny", "projection", network, preprocessing, tiny_random=True, recipe=TINY)


def _opened(
    name: str, config: dict[str, Any], file: Path, preprocess: dict[str, Any], commit: str | None = None
) -> ImageBackbone:
    architecture = name.partition("/")[0]
    tensors = _visual(read_tensors(file), file)
    network: Any = build(config)
    fill(network, tensors, f"open_clip's {architecture}", file)
    preprocessing = of_open_clip({**preprocess, "size": network.image_size})
    return completed("open_clip", architecture, "projection", network, preprocessing, revision=commit, recipe=config)


def _visual(tensors: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
    """The tower's tensors: those of a whole CLIP under `visual.`, or all of a tower by itself."""
    tower = {name.removeprefix(_VISUAL): tensors[name] for name in tensors if name.startswith(_VISUAL)}
    if not tower:
        return tensors
    strange = sorted(name for name in tensors if not name.startswith(_VISUAL) and not _TEXT.match(name))
    if strange:
        raise AffectkitError(
            "input", f"is no CLIP: it holds {strange[0]}", file=file, remedy="pass open_clip's weights"
        )
    return tower


def _config(architecture: str) -> dict[str, Any]:
    import open_clip

    config = open_clip.get_model_config(architecture) if architecture in open_clip.list_models() else None
    if config is None:
        near = did_you_mean(architecture, open_clip.list_models())
        remedy = near if near.startswith("did") else "see open_clip.list_models()"
        raise AffectkitError("usage", f"open_clip has no architecture '{architecture}'", remedy=remedy)
    known = ("embed_dim", "vision_cfg", "quick_gelu")
    return json.loads(json.dumps({key: deepcopy(config[key]) for key in known if key in config}))


def _tags(architecture: str) -> dict[str, dict[str, Any]]:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    return {tag: open_clip.get_pretrained_cfg(architecture, tag) for tag in tags}


def _check_activation(architecture: str, tag: str, known: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse weights that were trained with the other GELU: what comes out would be plausible, and wrong."""
    trained, own = bool(known.get("quick_gelu")), bool(config.get("quick_gelu"))
    if trained != own and "timm_model_name" not in config["vision_cfg"]:
        other = architecture.removesuffix("-quickgelu") if own else f"{architecture}-quickgelu"
        message = (
            f"the weights '{tag}' were trained with{'' if trained else 'out'} QuickGELU, and {architecture} is not"
        )
        raise AffectkitError("usage", message, remedy=f"use {other}/{tag}")


def _fetched(name: str, tag: Mapping[str, Any], revision: str) -> tuple[Path, str | None]:
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    file = file or "open_clip_pytorch_model.bin"
    safe = ["open_clip_model.safetensors"] if file == "open_clip_pytorch_model.bin" else []
    return from_hub(name, repository, [*safe, f"{file.rpartition('.')[0]}.safetensors", file], revision)


def _preprocess(given: Mapping[str, Any]) -> dict[str, Any]:
    """open_clip's own defaults, and what is given."""
    from open_clip.transform import PreprocessCfg

    defaults = asdict(PreprocessCfg())
    return {**defaults, **{key: value for key, value in given.items() if key in defaults and value is not None}}


def _preprocess_of_file(architecture: str, tags: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What all published weights of an architecture were trained with; a file does not say it."""
    each = [_preprocess(tag) for tag in tags.values()]
    if not each:
        return _preprocess({})
    if any(one != each[0] for one in each[1:]):
        logger.warning(
            "weights of %s were trained with different means: taking %s, those of tag %s",
            architecture, [round(value, 3) for value in each[0]["mean"]], next(iter(tags)),
        )  # fmt: skip
    return each[0]
