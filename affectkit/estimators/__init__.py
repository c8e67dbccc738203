"""Estimators: what turns features into predictions. One file per family; its name is the `--model`."""
