"""What `train` leaves in its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_json
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import BEST, write_fit_rows, write_spec
from affectkit.artifacts.predictions import Predictions, write_predictions
from affectkit.artifacts.tables import write_table
from affectkit.estimators._train import Trained
from affectkit.evaluation.assess import assess
from affectkit.reporting.card import model_card

HEADLINE = ("uar", "accuracy", "macro_f1", "nll", "ece", "ccc", "mae")


def write_trained(folder: Path, trained: Trained, manifest: Manifest) -> dict[str, Any]:
    """Write `best_model/`, `fit_rows.csv`, `predictions.csv`, `search.csv`, `train_report.json`; return the report."""
    import pandas as pd

    spec = trained.model.spec
    reports = {part: assess(own, split=None, group=spec["group"]) for part, own in _parts(trained.predictions).items()}
    report = {
        "model": spec["estimator"],
        "targets": [target["name"] for target in spec["targets"]],
        "chosen": spec["chosen"],
        "selected_on": "inner grouped cross-validation of the fit rows",
        "normalize": spec["normalize"],
        "transductive": spec["normalize"] == "speaker",
        "declared": manifest.declared(),
        "fit_rows": len(trained.fit_rows),
        "groups": reports[next(iter(reports))]["groups"],
        "metrics": {f"{part}_{name}": m for part, r in reports.items() for name, m in r["metrics"].items()},
    }
    trained.model.save(folder / BEST)
    write_spec(folder / BEST, spec, model_card(_card_facts(report, spec, manifest)))
    write_fit_rows([folder, folder / BEST], trained.fit_rows)
    write_predictions(folder / "predictions.csv", trained.predictions)
    search = [{"target": m.target.name, **row} for m in trained.model.targets for row in m.search]
    write_table(folder / "search.csv", pd.DataFrame(search))
    write_json(folder / "train_report.json", report)
    return report


def headline(report: dict[str, Any]) -> list[str]:
    """The key figures as lines: `oof uar .749 [.701, .797]`."""
    lines = []
    for name, metric in report["metrics"].items():
        part, _, plain = name.partition("_")
        if plain in HEADLINE and metric["value"] is not None:
            interval = f" [{metric['low']:.3f}, {metric['high']:.3f}]" if metric.get("low") is not None else ""
            lines.append(f"{part} {plain} {metric['value']:.3f}{interval}")
    return lines


def _parts(predictions: Predictions) -> dict[str, Predictions]:
    """Rows to be judged, apart: cross-fitted ones under "oof", held-out ones under their split."""
    frame = predictions.frame
    parts = {"oof": predictions.take(frame["seen"] == "oof")}
    for split in ("val", "test"):
        if "split" in frame:
            parts[split] = predictions.take((frame["split"] == split) & (frame["seen"] == "heldout"))
    return {name: part for name, part in parts.items() if len(part.frame)}


def _card_facts(report: dict[str, Any], spec: dict[str, Any], manifest: Manifest) -> dict[str, Any]:
    return {**report, "spec": spec, "corpora": manifest.summary.get("corpora", {})}
