"""What `finetune` reads, one file per medium, each with its own options."""
