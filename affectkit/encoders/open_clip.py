"""open_clip's image towers: CLIP, SigLIP and kin (ViT-B-32/laion2b_s34b_b79k)

The vector is the embedding that CLIP compares with texts, not normalised. Images pass through open_clip's own
evaluation transform. Only the image tower is kept in memory. Radford et al. 2021; Cherti et al. 2023.
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
        remedy = "pass --checkpoint ViT-B-32/laion2b_s34b_b79k, ViT-B-32/FILE, or tiny-random:open_clip"
        raise AffectkitError("usage", "open-clip needs a --checkpoint", remedy=remedy)
    return Images("open-clip", "open_clip:", checked(checkpoint, revision, dtype, crop))
