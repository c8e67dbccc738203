"""What a checkpoint reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from affectkit.artifacts.models import BEST
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.models import backbones, tiny
from affectkit.models.image_architectures import is_known
from affectkit.models.image_backbone import FILE
from affectkit.models.images import OPEN_CLIP, TIMM

_LIBRARIES = ("open_clip", "timm")  # names of tiny networks too


def reads_of(checkpoint: str, *, revision: str = "") -> Literal["audio", "images", "text"]:
    """Whether it is a network for speech, images or text: by its prefix, its folder, or its configuration.

    Raises "usage" for an unknown `tiny-random` architecture, "input" for a run instead of its model, and as
    `backbones.load` does for a configuration that cannot be had.
    """
    if checkpoint.startswith((OPEN_CLIP, TIMM)) or (Path(checkpoint) / FILE).is_file():
        return "images"
    if (Path(checkpoint) / BEST).is_dir():
        remedy = f"pass {Path(checkpoint) / BEST}"
        raise AffectkitError("input", f"is a run, whose model lies in {BEST}", file=checkpoint, remedy=remedy)
    if tiny.is_tiny(checkpoint):
        architecture = checkpoint.removeprefix(tiny.PREFIX).partition(",")[0]
        if architecture in (*tiny.IMAGES, *_LIBRARIES):
            return "images"
        if architecture in tiny.AUDIO or architecture in tiny.TEXT:
            return "audio" if architecture in tiny.AUDIO else "text"
        known = [*tiny.IMAGES, *_LIBRARIES, *tiny.AUDIO, *tiny.TEXT]
        raise AffectkitError("usage", f"there is no {checkpoint}", remedy=did_you_mean(architecture, known))
    model_type = backbones.read_config(checkpoint, revision).model_type
    return "images" if is_known(model_type) else "audio" if backbones.hears(model_type) else "text"
