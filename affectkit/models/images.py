"""What a checkpoint reads; and loading the image networks of open_clip, timm and transformers, as one kind of thing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from affectkit.artifacts.files import read_json
from affectkit.artifacts.models import BEST
from affectkit.artifacts.records import trusted
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.models import backbones, image_libraries, tiny
from affectkit.models.backbones import digest
from affectkit.models.image_architectures import is_known
from affectkit.models.image_backbone import FILE, ImageBackbone, completed
from affectkit.models.image_preprocessing import FILE as PREPROCESSING
from affectkit.models.image_preprocessing import ImagePreprocessing
from affectkit.models.weights import WEIGHTS, built, read_tensors

OPEN_CLIP, TIMM = "open_clip:", "timm:"


def reads_of(checkpoint: str, *, revision: str = "") -> Literal["audio", "images", "text"]:
    """Whether it is a network for speech, images or text: by its prefix, its folder, or its configuration.

    Raises "usage" for an unknown `tiny-random` architecture, "input" for a run instead of its model, and as
    `backbones.load` does for a configuration that cannot be had.
    """
    if checkpoint.startswith((OPEN_CLIP, TIMM)) or is_saved(checkpoint):
        return "images"
    if (Path(checkpoint) / BEST).is_dir():
        remedy = f"pass {Path(checkpoint) / BEST}"
        raise AffectkitError("input", f"is a run, whose model lies in {BEST}", file=checkpoint, remedy=remedy)
    if tiny.is_tiny(checkpoint):
        architecture = checkpoint.removeprefix(tiny.PREFIX).partition(",")[0]
        if architecture in (*tiny.IMAGES, "open_clip", "timm"):
            return "images"
        if architecture in tiny.AUDIO or architecture in tiny.TEXT:
            return "audio" if architecture in tiny.AUDIO else "text"
        known = [*tiny.IMAGES, "open_clip", "timm", *tiny.AUDIO, *tiny.TEXT]
        raise AffectkitError("usage", f"there is no {checkpoint}", remedy=did_you_mean(architecture, known))
    model_type = backbones.read_config(checkpoint, revision).model_type
    return "images" if is_known(model_type) else "audio" if backbones.hears(model_type) else "text"


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
        saved = load(trusted(Path(checkpoint)))
        # what trains from here starts from these weights, not from those that they were trained from
        return replace(saved, weights=digest(saved.network))
    if checkpoint.startswith(OPEN_CLIP):
        return image_libraries.open_open_clip(checkpoint.removeprefix(OPEN_CLIP), revision)
    if checkpoint.startswith(TIMM):
        return image_libraries.open_timm(checkpoint.removeprefix(TIMM), revision)
    architecture, *options = checkpoint.removeprefix(tiny.PREFIX).split(",")
    if tiny.is_tiny(checkpoint) and architecture == "open_clip":
        return image_libraries.tiny_open_clip()
    if tiny.is_tiny(checkpoint) and architecture == "timm":
        return image_libraries.tiny_timm(**tiny.parsed(options))
    return image_libraries.open_transformers(checkpoint, revision)


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
    record = read_json(folder / FILE, what="record of an image network")
    preprocessing = ImagePreprocessing.load(folder)
    trained_with = ImagePreprocessing.from_plain(record.get("preprocessing") or {}, folder / FILE)
    _check_same(trained_with, preprocessing, folder / PREPROCESSING)
    try:
        family, architecture, pooling = record["family"], record["architecture"], record["pooling"]
        recipe = record["recipe"]
        facts = {name: record[name] for name in ("weights", "revision", "tiny_random")}
    except KeyError as error:
        raise AffectkitError("input", f"lacks {error}", file=folder / FILE, remedy="copy the folder again") from None
    if family == "transformers":
        backbone = image_libraries.open_transformers(str(folder), known=facts)
        _check_same(backbone.preprocessing, preprocessing, folder / "preprocessor_config.json")
        return backbone
    builders = {"open_clip": image_libraries.build_open_clip, "timm": image_libraries.build_timm}
    if family not in builders:
        raise AffectkitError("input", f"is of an unknown family '{family}'", file=folder / FILE)
    build, tensors = partial(builders[family], recipe), read_tensors(folder / WEIGHTS)
    network = built(build, tensors, f"{family}'s {architecture}", folder / WEIGHTS, recipe=folder / FILE)
    return completed(family, architecture, pooling, network, preprocessing, recipe=recipe, **facts)


def _check_same(trained_with: ImagePreprocessing, stored: ImagePreprocessing, file: Path) -> None:
    name = trained_with.difference(stored)
    if name:
        there, wanted = getattr(stored, name), getattr(trained_with, name)
        message = f"'{name}' is {there!r}, and the network was trained with {wanted!r}"
        raise AffectkitError("input", message, file=file, remedy="copy the model folder again")
