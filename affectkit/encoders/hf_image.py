"""Any Hugging Face image encoder: CLIP, SigLIP, ViT, DINOv2, BEiT, ConvNeXt, Swin

One vector per image: CLIP's projected embedding, SigLIP's attention pooling, the first token of ViT and DINOv2, the
mean over places of the others; the record says which. Images pass through the checkpoint's own image processor, in its
Pillow version, with which these networks were trained. Dosovitskiy et al. 2021; Oquab et al. 2024.
"""

from affectkit.encoders._encoder import CheckpointOpt, DtypeOpt, Encoder, RevisionOpt
from affectkit.encoders._images import CropOpt, Images, checked
from affectkit.errors import AffectkitError


def build(
    *,
    checkpoint: CheckpointOpt = "",
    revision: RevisionOpt = "",
    dtype: DtypeOpt = "float32",
    crop: CropOpt = "none",
) -> Encoder:
    """The encoder; weights are fetched by `load`. Raises "usage" for options that make no sense."""
    if not checkpoint:
        remedy = "pass --checkpoint openai/clip-vit-base-patch32, a local folder, or tiny-random:vit"
        raise AffectkitError("usage", "hf-image needs a --checkpoint", remedy=remedy)
    if checkpoint.startswith(("open_clip:", "timm:", "tiny-random:open_clip", "tiny-random:timm")):
        other = "timm" if "timm" in checkpoint.partition("/")[0] else "open-clip"
        raise AffectkitError(
            "usage", f"'{checkpoint}' is none of transformers' checkpoints", remedy=f"use --encoder {other}"
        )
    return Images("hf-image", "", checked(checkpoint, revision, dtype, crop))
