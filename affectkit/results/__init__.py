"""What a model leaves in its run folder: one record, judged first, and one writer."""
