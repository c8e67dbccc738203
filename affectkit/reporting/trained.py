"""What `train` leaves in its run folder, and what every fitted model leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from affectkit import __version__
from affectkit.artifacts.files import write_json
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import BEST, write_fit_rows, write_spec
from affectkit.artifacts.predictions import Predictions, write_predictions
from affectkit.artifacts.tables import write_table
from affectkit.estimators._train import Trained
from affectkit.evaluation.assess import assess
from affectkit.evaluation.rows import answered_parts
from affectkit.reporting.card import model_card

if TYPE_CHECKING:
    import pandas as pd

SELECTED_ON = "inner grouped cross-validation of the fit rows"
NOTHING = "nothing: the network was trained for all epochs"


class Fitted(Protocol):
    """What `train` and `finetune` end with: a model that saves itself, and what it says of the rows."""

    @property
    def model(self) -> Any: ...
    @property
    def predictions(self) -> Predictions: ...
    @property
    def fit_rows(self) -> pd.DataFrame: ...


def write_trained(folder: Path, trained: Trained, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Write what `train` leaves: a model (`write_fitted`) and `search.csv`, what was tried; of networks history.csv,
    lr_find.json where a rate was looked for, and `training.html` besides.

    Returns what `assess` says of each part: "oof", "val", "test".
    """
    import pandas as pd

    spec = trained.model.spec
    _write_learning(folder, trained)
    search = [{"target": m.target.name, **row} for m in trained.model.targets for row in m.search]
    write_table(folder / "search.csv", pd.DataFrame(search))
    facts = {
        "model": spec["estimator"],
        "chosen": spec["chosen"],
        "normalize": spec["normalize"],
        "transductive": spec["normalize"] == "speaker",
    }
    chosen = any("score" in row for model in trained.model.targets for row in model.search)
    return write_fitted(folder, trained, manifest, SELECTED_ON if chosen else NOTHING, facts)


def _write_learning(folder: Path, trained: Trained) -> None:
    """How networks learned: a stage for each target, means over the inner folds that chose the number of epochs."""
    import pandas as pd

    from affectkit.reporting.learning import write_training_page

    models = trained.model.targets
    history = [{"stage": m.target.name, **row} for m in models for row in m.history]
    sweeps = [{**sweep, "stage": m.target.name} for m in models for sweep in m.sweeps]
    if sweeps:
        write_json(folder / "lr_find.json", {"sweeps": sweeps})
    if history:
        write_table(folder / "history.csv", pd.DataFrame(history))
        write_training_page(folder)


def write_fitted(
    folder: Path, trained: Fitted, manifest: Manifest, selected_on: str, facts: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write `best_model/`, `fit_rows.csv`, `predictions.csv` and `train_report.json`.

    selected_on: which rows chose among what was tried, in words. facts: what the report says besides.
    Returns what `assess` says of each part: "oof", "val", "test".
    """
    spec = trained.model.spec
    reports = _assessed(trained, manifest)
    trained.model.save(folder / BEST)
    write_spec(folder / BEST, spec, _card(folder, trained, manifest, reports, selected_on))
    write_fit_rows([folder, folder / BEST], trained.fit_rows)
    write_predictions(folder / "predictions.csv", trained.predictions)
    report = {
        **facts,
        "targets": [target["name"] for target in spec["targets"]],
        "selected_on": selected_on,
        "declared": manifest.declared(),
        "fit_rows": len(trained.fit_rows),
        "groups": {part: found["groups"] for part, found in reports.items()},
        "metrics": {f"{part}_{name}": m for part, found in reports.items() for name, m in found["metrics"].items()},
    }
    write_json(folder / "train_report.json", report)
    return reports


def _assessed(trained: Fitted, manifest: Manifest) -> dict[str, dict[str, Any]]:
    spec, rows = trained.model.spec, manifest.rows
    fitted = rows[rows["id"].isin(set(trained.fit_rows["id"]))]
    if not len(fitted) and "split" in rows:  # of what was fitted elsewhere
        fitted = rows[rows["split"] == "train"]
    transductive = "transductive" if spec.get("normalize") == "speaker" else "inductive"
    return {
        part: assess(own, group=spec["group"], floor_rows=fitted)
        | {"declared": manifest.declared(), "normalization": transductive}
        for part, own in answered_parts(trained.predictions).items()
    }


def _card(
    folder: Path, trained: Fitted, manifest: Manifest, reports: dict[str, dict[str, Any]], selected_on: str
) -> str:
    return model_card(
        {
            "name": folder.name,
            "spec": trained.model.spec,
            "summary": manifest.summary,
            "fit_rows": len(trained.fit_rows),
            "fit_groups": trained.fit_rows["group"].nunique(),
            "selected_on": selected_on,
            "affectkit": __version__,
            "reports": reports,
        }
    )
