"""What a reader sees: figures, the HTML report, the model card."""
