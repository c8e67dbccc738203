"""Fine-tuning: a pretrained network and its head, trained end to end on a manifest's media."""
