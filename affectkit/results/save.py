"""The one writer of results: a model folder with its description and card, predictions, rows, reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectkit import __version__
from affectkit.artifacts.files import write_json
from affectkit.artifacts.models import BEST, PARENTS, TRAIN_REPORT, copy_model, parent_of, write_fit_rows, write_spec
from affectkit.artifacts.predictions import Predictions, write_predictions
from affectkit.artifacts.sequences import without_windows
from affectkit.artifacts.sources import PREDICTIONS
from affectkit.artifacts.tables import EXACT, FLOAT, write_table
from affectkit.results.card import model_card
from affectkit.results.result import Result


def save_result(folder: Path, result: Result, *, bundle: bool = False) -> None:
    """Write `best_model/`, `fit_rows.csv`, `predictions.csv`, the result's further files and `train_report.json`.

    bundle: copy the parents along, so that `best_model/` predicts wherever it is moved to.
    """
    import pandas as pd

    best = folder / BEST
    result.model.save(best)
    parents = []
    for source in result.sources:
        place = source.model
        if bundle and source.model is not None:
            place = best / PARENTS / source.name
            copy_model(source.model, place)
        parents.append(parent_of(source.name, place, best))
    # The rows that a parent was fitted on stand under its name: `predict` knows them all.
    fitted = [source.fitted.assign(role=source.name) for source in result.sources if len(source.fitted)]
    rows = pd.concat([result.fit_rows, *fitted], ignore_index=True).drop_duplicates("id")
    spec = {**result.spec, "parents": parents, "fit_rows": write_fit_rows([folder, best], rows)}
    write_spec(best, spec, _card(folder.name, spec, result))
    floats = EXACT if result.exact else FLOAT
    write_predictions(folder / PREDICTIONS, result.predictions, floats)
    for name, content in result.files.items():
        if isinstance(content, Mapping):
            write_json(folder / name, dict(content))
        elif isinstance(content, Predictions):
            write_predictions(folder / name, content, floats)
        else:
            write_table(folder / name, content)
    write_json(folder / TRAIN_REPORT, result.train_report)


def _card(name: str, spec: Mapping[str, Any], result: Result) -> str:
    return model_card(
        {
            "name": name,
            "spec": spec,
            "summary": result.summary,
            "fit_rows": len(without_windows(result.fit_rows)),
            "fit_groups": result.fit_rows["group"].nunique(),
            "selected_on": result.selected_on,
            "affectkit": __version__,
            "reports": result.reports,
        }
    )
