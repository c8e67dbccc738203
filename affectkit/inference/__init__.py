"""Loads any model folder and runs it: rows in, predictions out."""

from affectkit.inference._load import load_model
from affectkit.inference._model import Model, Work, without_fit_rows

__all__ = ["Model", "Work", "load_model", "without_fit_rows"]
