"""Networks: pretrained backbones, for encoders and fine-tuning alike."""
