"""Loads any model folder, and the parents of a chain."""

from __future__ import annotations

from pathlib import Path

from affectkit.artifacts.models import best_model, read_fit_rows, read_spec, whole
from affectkit.artifacts.parents import parent_folder
from affectkit.calibration._model import CalibrationModel
from affectkit.errors import AffectkitError
from affectkit.estimators._model import load_estimator_model
from affectkit.finetuning._model import load_finetuned_model
from affectkit.fusion._model import FusionModel
from affectkit.inference._chained import Chained
from affectkit.inference._estimating import Estimating
from affectkit.inference._faces import KIND, FaceModel
from affectkit.inference._finetuned import Finetuned
from affectkit.inference._model import Model


def load_model(path: Path) -> Model:
    """Load a run folder, or its `best_model/`, and the parents of a chain.

    Raises "missing", "unfinished", or "input" for a kind unknown here, a parent that has changed or is only a table.
    """
    folder = best_model(path)
    spec = read_spec(folder)
    kind = spec.get("kind")
    if kind == "estimator":
        return Estimating(folder, load_estimator_model(folder), read_fit_rows(folder))
    if kind == "finetuned":
        return Finetuned(folder, load_finetuned_model(folder), read_fit_rows(folder))
    if kind == KIND:
        return FaceModel(folder, spec, read_fit_rows(folder))
    if kind not in ("calibration", "fusion"):
        raise AffectkitError("input", f"is a model of kind '{kind}', which this affectkit cannot run", file=folder)
    stage = CalibrationModel.load(folder) if kind == "calibration" else FusionModel.load(folder)
    with whole(folder):
        parents = {parent["name"]: load_model(parent_folder(folder, parent)) for parent in spec["parents"]}
        if not parents or (kind == "calibration" and len(parents) > 1):
            raise ValueError(f"a {kind} of {len(parents)} parents")
    return Chained(folder, spec, parents, stage, read_fit_rows(folder))
