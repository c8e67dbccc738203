"""Image networks of transformers, open_clip and timm: a checkpoint's name, or a file, becomes an `ImageBackbone`."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.models import backbones
from affectkit.models.image_architectures import architecture_of
from affectkit.models.image_backbone import ImageBackbone, completed
from affectkit.models.image_preprocessing import (
    ImagePreprocessing,
    of_open_clip,
    of_timm,
    of_transformers,
    processor_at,
)
from affectkit.models.weights import WEIGHTS, built, from_hub, read_tensors

logger = logging.getLogger(__name__)


def at_size(backbone: ImageBackbone, side: int) -> ImageBackbone:
    """The same network, for images of which it sees `side` pixels a side. Raises "usage" where it cannot read those."""
    processor = backbone.processor and processor_at(backbone.processor, side)
    if processor:
        preprocessing = of_transformers(processor)
    elif backbone.family == "timm":
        preprocessing = _timm_preprocessing(backbone.network, input_size=(3, side, side))
    else:
        preprocessing = replace(backbone.preprocessing, size=(side, side), resize_to=(side, side))
    try:
        with torch.no_grad():
            dim = backbone.network(torch.zeros(1, 3, *preprocessing.size)).shape[1]
    except (AssertionError, RuntimeError, TypeError, ValueError):
        dim = None
    if dim != backbone.dim:
        message = f"{backbone.architecture} reads no images of size {side}"
        raise AffectkitError("usage", message, remedy="leave the size out, or take a network of convolutions")
    return replace(backbone, preprocessing=preprocessing, processor=processor)


# --- transformers: a Hugging Face id, a local folder, or `tiny-random:vit`


class PooledNetwork(nn.Module):
    """One of transformers' networks that gives the vector which its kind is read by."""

    def __init__(self, model: Any, takes: str) -> None:
        super().__init__()
        self.model, self.takes = model, takes

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, D]."""
        output = self.model(pixel_values=pixels)
        if self.takes == "first":
            return output.last_hidden_state[:, 0]
        return getattr(output, self.takes).flatten(1)


def open_transformers(checkpoint: str, revision: str = "", known: Mapping[str, Any] | None = None) -> ImageBackbone:
    """known: facts of the network that a saved folder was trained from. Raises as `backbones.load` does."""
    loaded = backbones.load(checkpoint, "images", revision=revision)
    config = loaded.model.config
    if loaded.tiny_random:
        config.tiny_random = True  # for whoever reads what is saved
    # By the class that was loaded: a tower's configuration does not say whether there is a projection.
    config.architectures = [type(loaded.model).__name__]
    architecture = architecture_of(config)
    facts = {"weights": loaded.weights, "tiny_random": loaded.tiny_random, "revision": loaded.revision}
    return completed(
        "transformers",
        config.model_type,
        architecture.pooling,
        PooledNetwork(loaded.model, architecture.takes),
        of_transformers(loaded.processor),
        processor=loaded.processor,
        **{**facts, **(known or {})},
    )


# --- open_clip's visual towers: `ARCHITECTURE/tag`, or `ARCHITECTURE/FILE`
#
# Only the tower is built: a text tower takes half the memory, and some need a tokenizer of the hub's. Radford et al.
# 2021; Cherti et al. 2023.


_TINY_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
}
_VISUAL = "visual."
_NO_TEXT = {"context_length": 2, "vocab_size": 2, "width": 2, "heads": 1, "layers": 1}
_TEXT = re.compile(  # what else a whole CLIP or CoCa holds
    r"(transformer|token_embedding|positional_embedding|ln_final|text_projection|attn_mask|text|text_decoder"
    r"|logit_scale|logit_bias)(\.|$)"
)


def open_open_clip(name: str, revision: str = "") -> ImageBackbone:
    """name: "ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/path/to/file.safetensors" (or .pt, .bin).

    Raises "usage" (no such architecture or tag), "missing" (not cached and no network; no such file), "input" (weights
    that are not exactly the tower's).
    """
    import open_clip

    architecture, _, rest = name.partition("/")
    config = _clip_config(architecture)
    names = open_clip.list_pretrained_tags_by_model(architecture)
    tags = {tag: open_clip.get_pretrained_cfg(architecture, tag) for tag in names}
    tag = tags.get(rest.lower().replace("-", "_"))
    if tag is not None:
        _check_activation(architecture, rest, tag, config)
        file, commit = _fetched(name, tag, revision)
        preprocess = _preprocess(tag)
    elif rest and Path(rest).expanduser().exists():
        file, commit = Path(rest).expanduser(), None
        preprocess = _preprocess_of_file(architecture, tags)
    else:
        what = f"'{rest}' is neither one of its tags nor a file" if rest else "of which weights?"
        remedy = did_you_mean(rest, list(tags)) if rest else f"write {architecture}/{next(iter(tags), 'FILE')}"
        raise AffectkitError("missing" if "." in rest else "usage", f"open_clip {architecture}: {what}", remedy=remedy)
    tensors = _visual(read_tensors(file), file)
    network = built(partial(build_open_clip, config), tensors, f"open_clip's {architecture}", file)
    preprocessing = of_open_clip({**preprocess, "size": network.image_size})
    return completed("open_clip", architecture, "projection", network, preprocessing, revision=commit, recipe=config)


def tiny_open_clip() -> ImageBackbone:
    network, preprocessing = build_open_clip(_TINY_CLIP), of_open_clip(_preprocess({"size": 32}))
    return completed("open_clip", "tiny", "projection", network, preprocessing, tiny_random=True, recipe=_TINY_CLIP)


def build_open_clip(recipe: Mapping[str, Any]) -> nn.Module:
    """The tower that a recipe describes, with random weights."""
    import open_clip

    vision = {**recipe["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clip = open_clip.CLIP(
            recipe["embed_dim"], vision_cfg=vision, text_cfg=dict(_NO_TEXT), quick_gelu=recipe.get("quick_gelu", False)
        )
    return clip.visual


def _clip_config(architecture: str) -> dict[str, Any]:
    import open_clip

    config = open_clip.get_model_config(architecture) if architecture in open_clip.list_models() else None
    if config is None:
        remedy = did_you_mean(architecture, open_clip.list_models(), "see open_clip.list_models()")
        raise AffectkitError("usage", f"open_clip has no architecture '{architecture}'", remedy=remedy)
    known = ("embed_dim", "vision_cfg", "quick_gelu")
    return json.loads(json.dumps({key: config[key] for key in known if key in config}))


def _check_activation(architecture: str, tag: str, known: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse weights that were trained with the other GELU: what comes out would be plausible, and wrong."""
    trained, built = bool(known.get("quick_gelu")), bool(config.get("quick_gelu"))
    if trained != built and "timm_model_name" not in config["vision_cfg"]:
        other = architecture.removesuffix("-quickgelu") if built else f"{architecture}-quickgelu"
        how = "with" if trained else "without"
        message = f"the weights '{tag}' were trained {how} QuickGELU, and {architecture} is not"
        raise AffectkitError("usage", message, remedy=f"use {other}/{tag}")


def _fetched(name: str, tag: Mapping[str, Any], revision: str) -> tuple[Path, str | None]:
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    file = file or "open_clip_pytorch_model.bin"
    safe = ["open_clip_model.safetensors"] if file == "open_clip_pytorch_model.bin" else []
    return from_hub(name, repository, [*safe, f"{file.rpartition('.')[0]}.safetensors", file], revision)


def _preprocess(known: Mapping[str, Any]) -> dict[str, Any]:
    """open_clip's own defaults, and what is known of these weights."""
    from open_clip.transform import PreprocessCfg

    defaults = asdict(PreprocessCfg())
    return {**defaults, **{key: value for key, value in known.items() if key in defaults and value is not None}}


def _preprocess_of_file(architecture: str, tags: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What all published weights of an architecture were trained with; a file does not say it."""
    each = [_preprocess(tag) for tag in tags.values()]
    if not each:
        return _preprocess({})
    if any(other != each[0] for other in each[1:]):
        logger.warning(
            "weights of %s were trained with different means: taking %s, those of tag %s",
            architecture, [round(value, 3) for value in each[0]["mean"]], next(iter(tags)),
        )  # fmt: skip
    return each[0]


def _visual(tensors: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
    """The tower's tensors: those of a whole CLIP under `visual.`, or all of a tower by itself."""
    tower = {name.removeprefix(_VISUAL): tensors[name] for name in tensors if name.startswith(_VISUAL)}
    if not tower:
        return tensors
    strange = sorted(name for name in tensors if not name.startswith(_VISUAL) and not _TEXT.match(name))
    if strange:
        message = f"is no CLIP: it holds {strange[0]}"
        raise AffectkitError("input", message, file=file, remedy="pass open_clip's weights")
    return tower


# --- timm: a name, with or without its tag, or `NAME/FILE`. Wightman 2019


def open_timm(name: str, revision: str = "") -> ImageBackbone:
    """name: "resnet18", "resnet18.a1_in1k" or "resnet18/path/to/file.safetensors" (or .pth, .bin).

    Raises "usage" (no such network or tag), "missing" (not cached and no network; no such file), "input" (weights that
    are not exactly the network's, its classifier aside).
    """
    architecture, _, file = name.partition("/")
    build = partial(build_timm, {"name": architecture})
    with torch.device("meta"):
        plan = build()
    path = Path(file).expanduser() if file else None
    tensors = read_tensors(path) if path else _pretrained(architecture, plan, revision)
    classifiers = plan.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([classifiers] if isinstance(classifiers, str) else classifiers))
    tensors = {key: value for key, value in tensors.items() if not key.startswith(heads) or key in plan.state_dict()}
    network = built(build, tensors, f"timm's {architecture}", path)
    return _completed_timm(network, revision=revision or None)


def tiny_timm(name: str = "test_resnet", size: int | None = None) -> ImageBackbone:
    """size: side of the images that it reads, pixels, where the network can read others than its own."""
    backbone = _completed_timm(build_timm({"name": name or "test_resnet"}), tiny_random=True)
    return backbone if size is None else at_size(backbone, size)


def build_timm(recipe: Mapping[str, Any]) -> Any:
    """The network that a recipe describes, with random weights."""
    import timm

    name = recipe["name"]
    if not timm.is_model(name):
        remedy = did_you_mean(name, timm.list_models(), "see timm.list_models()")
        raise AffectkitError("usage", f"timm has no network '{name}'", remedy=remedy)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that timm deprecates are no concern of the user's records
            torch.manual_seed(0)
            return timm.create_model(name, pretrained=False, num_classes=0).eval()
    except (RuntimeError, ValueError) as error:  # a tag that it does not know
        why = str(error).strip().partition("\n")[0]
        raise AffectkitError("usage", f"timm has no network '{name}': {why}") from None


def _completed_timm(network: Any, **facts: Any) -> ImageBackbone:
    config = network.pretrained_cfg
    tag = config.get("tag")
    name = f"{config['architecture']}.{tag}" if tag else config["architecture"]
    return completed("timm", name, "timm's own", network, _timm_preprocessing(network), recipe={"name": name}, **facts)


def _timm_preprocessing(network: Any, **changes: Any) -> ImagePreprocessing:
    from timm.data import resolve_model_data_config

    return of_timm({**resolve_model_data_config(network), **changes})


def _pretrained(name: str, network: Any, revision: str) -> dict[str, torch.Tensor]:
    """Weights from the hub or its cache, which timm puts in place itself, strictly: with their own classifier."""
    import timm

    hub = network.pretrained_cfg.get("hf_hub_id")
    if not hub:
        remedy = f"pass timm's {name}/FILE"
        raise AffectkitError("missing", f"there are no pretrained weights of timm's '{name}' on the hub", remedy=remedy)
    file, _ = from_hub(name, hub, [WEIGHTS, "pytorch_model.bin"], revision)
    stored = {"state_dict": read_tensors(file)}
    try:
        with torch.random.fork_rng(devices=[]):
            return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=stored).state_dict()
    except (RuntimeError, ValueError, KeyError) as error:  # of another network
        why = str(error).strip().partition("\n")[0]
        raise AffectkitError("input", f"does not fit timm's {name}: {why}", file=file) from None
