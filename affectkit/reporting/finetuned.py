"""What `finetune` leaves in its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import BEST
from affectkit.artifacts.reports import confusion_files
from affectkit.artifacts.tables import write_table
from affectkit.finetuning.finetune import Finetuned
from affectkit.reporting.learning import write_training_page
from affectkit.reporting.trained import write_fitted


def write_finetuned(folder: Path, found: Finetuned, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Write the model, its predictions and `train_report.json`, the confusions of val and test, `training.html`.

    Returns what `assess` says of each part: "oof", "val", "test".
    """
    final, *folds = found.fits
    facts = {
        "model": "finetuned",
        "base_model": found.model.spec["base"]["checkpoint"],
        "head": found.model.spec["head"],
        "stages": final.stages,
        "monitor": final.monitor,
        "best": final.best,
        "folds": [fit.best for fit in folds],
        "normalize": None,
        "transductive": False,
    }
    reports = write_fitted(folder, found, manifest, found.selected_on, facts)
    for part, report in reports.items():
        for name, table in confusion_files(part, report).items():
            write_table(folder / name, table)
    label_map = folder / BEST / "label_map.json"
    if label_map.exists():
        (folder / "label_map.json").write_bytes(label_map.read_bytes())
    write_training_page(folder)
    return reports
