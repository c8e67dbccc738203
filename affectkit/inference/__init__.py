"""Loads any model folder and runs it: rows in, predictions out."""

from affectkit.inference.load import load_model
from affectkit.inference.model import (
    TABLES,
    Model,
    Work,
    check_drops,
    manifest_of_files,
    manifest_of_tables,
    needs,
    without_fit_rows,
)
from affectkit.inference.sampling import Sampling, check_reads, holds_videos
from affectkit.inference.video import predict_videos
from affectkit.inference.windows import Windows, predict_windows, windowed

__all__ = [
    "TABLES",
    "Model",
    "Sampling",
    "Windows",
    "Work",
    "check_drops",
    "check_reads",
    "holds_videos",
    "load_model",
    "manifest_of_files",
    "manifest_of_tables",
    "needs",
    "predict_videos",
    "predict_windows",
    "windowed",
    "without_fit_rows",
]
