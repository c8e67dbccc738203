"""timm's image networks: ResNet, EfficientNet, ConvNeXt, ViT and hundreds more

The vector is what timm's own classifier of the network reads. Images pass through the evaluation transform that timm
has for the weights. Wightman 2019.
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
        remedy = "pass --checkpoint resnet18.a1_in1k, resnet18/FILE, or tiny-random:timm"
        raise AffectkitError("usage", "timm needs a --checkpoint", remedy=remedy)
    return Images("timm", "timm:", checked(checkpoint, revision, dtype, crop))
