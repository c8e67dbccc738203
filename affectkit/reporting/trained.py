"""What `train` leaves in its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affectkit import __version__
from affectkit.artifacts.files import write_json
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import BEST, write_fit_rows, write_spec
from affectkit.artifacts.predictions import write_predictions
from affectkit.artifacts.tables import write_table
from affectkit.estimators._train import Trained
from affectkit.evaluation.assess import assess
from affectkit.evaluation.rows import judged_parts
from affectkit.reporting.card import model_card

SELECTED_ON = "inner grouped cross-validation of the fit rows"


def write_trained(folder: Path, trained: Trained, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Write `best_model/`, `fit_rows.csv`, `predictions.csv`, `search.csv` and `train_report.json`.

    Returns what `assess` says of each part: "oof", "val", "test".
    """
    import pandas as pd

    spec = trained.model.spec
    reports = _assessed(trained, manifest)
    trained.model.save(folder / BEST)
    write_spec(folder / BEST, spec, _card(folder, trained, manifest, reports))
    write_fit_rows([folder, folder / BEST], trained.fit_rows)
    write_predictions(folder / "predictions.csv", trained.predictions)
    search = [{"target": m.target.name, **row} for m in trained.model.targets for row in m.search]
    write_table(folder / "search.csv", pd.DataFrame(search))
    report = {
        "model": spec["estimator"],
        "targets": [target["name"] for target in spec["targets"]],
        "chosen": spec["chosen"],
        "selected_on": SELECTED_ON,
        "normalize": spec["normalize"],
        "transductive": spec["normalize"] == "speaker",
        "declared": manifest.declared(),
        "fit_rows": len(trained.fit_rows),
        "groups": {part: found["groups"] for part, found in reports.items()},
        "metrics": {f"{part}_{name}": m for part, found in reports.items() for name, m in found["metrics"].items()},
    }
    write_json(folder / "train_report.json", report)
    return reports


def _assessed(trained: Trained, manifest: Manifest) -> dict[str, dict[str, Any]]:
    spec, rows = trained.model.spec, manifest.rows
    fitted = rows[rows["id"].isin(set(trained.fit_rows["id"]))]
    transductive = "transductive" if spec["normalize"] == "speaker" else "inductive"
    return {
        part: assess(own, group=spec["group"], floor_rows=fitted)
        | {"declared": manifest.declared(), "normalization": transductive}
        for part, own in judged_parts(trained.predictions).items()
    }


def _card(folder: Path, trained: Trained, manifest: Manifest, reports: dict[str, dict[str, Any]]) -> str:
    return model_card(
        {
            "name": folder.name,
            "spec": trained.model.spec,
            "summary": manifest.summary,
            "fit_rows": len(trained.fit_rows),
            "fit_groups": trained.fit_rows["group"].nunique(),
            "selected_on": SELECTED_ON,
            "affectkit": __version__,
            "reports": reports,
        }
    )
