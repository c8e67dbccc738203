"""Loads any model folder and runs it: rows in, predictions out."""

from affectkit.inference._files import manifest_of_files
from affectkit.inference._load import load_model
from affectkit.inference._model import Model, Work, needs, without_fit_rows
from affectkit.inference._sampling import Sampling, check_reads, holds_videos
from affectkit.inference._video import predict_videos
from affectkit.inference._windows import Windows, predict_windows, windowed

__all__ = [
    "Model",
    "Sampling",
    "Windows",
    "Work",
    "check_reads",
    "holds_videos",
    "load_model",
    "manifest_of_files",
    "needs",
    "predict_videos",
    "predict_windows",
    "windowed",
    "without_fit_rows",
]
