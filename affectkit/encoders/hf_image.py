"""Any Hugging Face image encoder: CLIP, SigLIP, ViT, DINOv2, BEiT, ConvNeXt, Swin

One vector per image: CLIP's projected embedding, SigLIP's attention pooling, the first token of ViT and DINOv2, the
mean over places of the others; the record says which. Images pass through the checkpoint's own image processor, in its
Pillow version, with which these networks were trained. Dosovitskiy et al. 2021; Oquab et al. 2024.
"""

from affectkit.encoders._images import encoder_of

build = encoder_of("hf-image", "", "openai/clip-vit-base-patch32, a local folder, or tiny-random:vit")
