"""open_clip's image towers: CLIP, SigLIP and kin (ViT-B-32/laion2b_s34b_b79k)

The vector is the embedding that CLIP compares with texts, not normalised. Images pass through open_clip's own
evaluation transform. Only the image tower is kept in memory. Radford et al. 2021; Cherti et al. 2023.
"""

from affectkit.encoders._images import encoder_of

build = encoder_of("open-clip", "open_clip:", "ViT-B-32/laion2b_s34b_b79k, ViT-B-32/FILE, or tiny-random:open_clip")
