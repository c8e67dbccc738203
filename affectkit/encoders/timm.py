"""timm's image networks: ResNet, EfficientNet, ConvNeXt, ViT and hundreds more

The vector is what timm's own classifier of the network reads. Images pass through the evaluation transform that timm
has for the weights. Wightman 2019.
"""

from affectkit.encoders._images import encoder_of

build = encoder_of("timm", "timm:", "resnet18.a1_in1k, resnet18/FILE, or tiny-random:timm")
