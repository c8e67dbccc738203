"""Loading pretrained image networks of open_clip, timm and transformers, as one kind of thing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectkit.artifacts.files import read_json
from affectkit.errors import AffectkitError
from affectkit.models import image_open_clip, image_timm, image_transformers, tiny
from affectkit.models.backbones import digest
from affectkit.models.forward import without_tf32
from affectkit.models.image_backbone import FILE, ImageBackbone, completed
from affectkit.models.image_preprocessing import FILE as PREPROCESSING
from affectkit.models.image_preprocessing import Preprocessing
from affectkit.models.image_weights import WEIGHTS, fill, read_tensors

__all__ = ["ImageBackbone", "embed", "is_saved", "load", "load_image_backbone"]

OPEN_CLIP, TIMM = "open_clip:", "timm:"


def load_image_backbone(checkpoint: str, *, revision: str = "") -> ImageBackbone:
    """A pretrained network and its preprocessing, float32, in eval mode, on the CPU.

    checkpoint: "open_clip:ViT-B-32/laion2b_s34b_b79k" or "open_clip:ViT-B-32/FILE"; "timm:resnet18" or
    "timm:resnet18/FILE"; a folder that `ImageBackbone.save` wrote; else a Hugging Face id or folder; or without weights
    from anywhere "tiny-random:open_clip", "tiny-random:timm" (also "tiny-random:timm,name=test_resnet,size=64"),
    "tiny-random:vit" and others of transformers.
    Raises AffectkitError "missing" (no such file or folder; neither cached nor reachable), "input" (weights that do not
    fill the network exactly, outside its heads) or "usage" (unknown architectures and tags).
    """
    if is_saved(checkpoint):
        found = load(Path(checkpoint))
        # what trains from here starts from these weights, not from those that they were trained from
        return replace(found, weights=digest(found.network))
    if checkpoint.startswith(OPEN_CLIP):
        return image_open_clip.open_checkpoint(checkpoint.removeprefix(OPEN_CLIP), revision)
    if checkpoint.startswith(TIMM):
        return image_timm.open_checkpoint(checkpoint.removeprefix(TIMM), revision)
    architecture, *given = checkpoint.removeprefix(tiny.PREFIX).split(",")
    if tiny.is_tiny(checkpoint) and architecture == "open_clip":
        return image_open_clip.tiny()
    if tiny.is_tiny(checkpoint) and architecture == "timm":
        return image_timm.tiny(**tiny.parsed(given))
    return image_transformers.open_checkpoint(checkpoint, revision)


def is_saved(checkpoint: str) -> bool:
    """Whether it is a folder that `ImageBackbone.save` wrote, such as the `best_model/` of a fine-tuned network."""
    return (Path(checkpoint) / FILE).is_file()


def load(folder: Path) -> ImageBackbone:
    """What `ImageBackbone.save` wrote. Raises "missing" or "input", naming the file, for a folder that is not whole.

    Its preprocessing.json must be that which the network was trained with: other pixels give other answers, silently.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AffectkitError("missing", "there is no such folder", file=folder)
    known = read_json(folder / FILE, what="record of an image network")
    preprocessing = _same_preprocessing(folder, known)
    try:
        family, recipe = known["family"], known["recipe"]
        facts = {name: known[name] for name in ("weights", "revision", "tiny_random")}
        architecture, pooling = known["architecture"], known["pooling"]
    except KeyError as error:
        raise AffectkitError("input", f"lacks {error}", file=folder / FILE, remedy="copy the folder again") from None
    if family == "transformers":
        backbone = image_transformers.open_saved(folder, known)
        _check_same(backbone.preprocessing, preprocessing, folder / "preprocessor_config.json")
        return backbone
    builders = {"open_clip": image_open_clip.build, "timm": image_timm.build}
    if family not in builders:
        raise AffectkitError("input", f"is of an unknown family '{family}'", file=folder / FILE)
    network = builders[family](recipe)
    fill(network, read_tensors(folder / WEIGHTS), f"{family}'s {architecture}", folder / WEIGHTS)
    return completed(family, architecture, pooling, network, preprocessing, recipe=recipe, **facts)


def _same_preprocessing(folder: Path, known: dict[str, Any]) -> Preprocessing:
    found = Preprocessing.load(folder)
    _check_same(
        Preprocessing.from_plain(known.get("preprocessing") or {}, folder / FILE), found, folder / PREPROCESSING
    )
    return found


def _check_same(trained_with: Preprocessing, found: Preprocessing, file: Path) -> None:
    name = trained_with.difference(found)
    if name:
        there, wanted = getattr(found, name), getattr(trained_with, name)
        raise AffectkitError(
            "input", f"'{name}' is {there!r}, and the network was trained with {wanted!r}",
            file=file, remedy="copy the model folder again",
        )  # fmt: skip


def embed(network: nn.Module, pixels: torch.Tensor, dtype: str = "float32") -> torch.Tensor:
    """[B, 3, H, W] -> [B, D] float32, without gradients. dtype: of the arithmetic, "float32" or "bfloat16"."""
    kind = pixels.device.type
    try:
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=dtype == "bfloat16"), without_tf32():
            return network(pixels).float()
    except torch.OutOfMemoryError:
        message = f"the GPU has no memory for {len(pixels)} images of {pixels.shape[3]} x {pixels.shape[2]} pixels"
        raise AffectkitError("environment", message, remedy="use --device cpu, or a smaller network") from None
