"""Which of transformers' networks read images here, and what vector each gives for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from affectkit.errors import AffectkitError, did_you_mean

Pooling = Literal["projection", "cls", "mean", "attention"]


@dataclass(frozen=True)
class Architecture:
    """The class that holds the network, and where its output has the vector.

    takes: "pooler_output", "image_embeds" or "first" (the first token of the last hidden state).
    """

    cls: str
    pooling: Pooling
    takes: Literal["pooler_output", "image_embeds", "first"]


# ViT's own pooler is left out: most checkpoints lack it, and their classifiers read the token before it.
_KNOWN: dict[str, Architecture] = {
    "vit": Architecture("ViTModel", "cls", "first"),
    "deit": Architecture("DeiTModel", "cls", "first"),
    "vit_msn": Architecture("ViTMSNModel", "cls", "first"),
    "beit": Architecture("BeitModel", "mean", "pooler_output"),
    "data2vec-vision": Architecture("Data2VecVisionModel", "mean", "pooler_output"),
    "dinov2": Architecture("Dinov2Model", "cls", "pooler_output"),
    "dinov2_with_registers": Architecture("Dinov2WithRegistersModel", "cls", "pooler_output"),
    "convnext": Architecture("ConvNextModel", "mean", "pooler_output"),
    "convnextv2": Architecture("ConvNextV2Model", "mean", "pooler_output"),
    "resnet": Architecture("ResNetModel", "mean", "pooler_output"),
    "regnet": Architecture("RegNetModel", "mean", "pooler_output"),
    "swin": Architecture("SwinModel", "mean", "pooler_output"),
    "swinv2": Architecture("Swinv2Model", "mean", "pooler_output"),
    "clip": Architecture("CLIPVisionModelWithProjection", "projection", "image_embeds"),
    "clip_vision_model": Architecture("CLIPVisionModelWithProjection", "projection", "image_embeds"),
    "siglip": Architecture("SiglipVisionModel", "attention", "pooler_output"),
    "siglip_vision_model": Architecture("SiglipVisionModel", "attention", "pooler_output"),
}
_WITHOUT_PROJECTION = Architecture("CLIPVisionModel", "cls", "pooler_output")


def is_known(model_type: str) -> bool:
    return model_type in _KNOWN


def architecture_of(config: Any) -> Architecture:
    """Raises "input" for one that is not known here."""
    known = _KNOWN.get(config.model_type)
    if known is None:
        remedy = did_you_mean(config.model_type, [*_KNOWN])
        raise AffectkitError("input", f"'{config.model_type}' is no image network known here", remedy=remedy)
    if config.model_type == "clip_vision_model" and _WITHOUT_PROJECTION.cls in (config.architectures or ()):
        return _WITHOUT_PROJECTION
    if known.cls == "BeitModel" and not config.use_mean_pooling:
        return Architecture("BeitModel", "cls", "pooler_output")
    return known


def class_of(config: Any) -> tuple[Any, dict[str, Any]]:
    """The class, and what it is built with beside its configuration."""
    import transformers

    known = architecture_of(config)
    without = {"add_pooling_layer": False} if known.cls in ("ViTModel", "DeiTModel") else {}
    return getattr(transformers, known.cls), without


def tower_config(config: Any) -> Any:
    """The configuration of the image tower, of a network that also reads text."""
    return config.vision_config if config.model_type in ("clip", "siglip") else config
