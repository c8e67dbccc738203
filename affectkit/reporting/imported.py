"""What `import-model` leaves: a face expert as a model folder, and what it says of a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions
from affectkit.inference.faces import KIND
from affectkit.reporting.trained import write_fitted

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.experts._adapter import FaceExpert

SELECTED_ON = "nothing: it was imported as it is"


@dataclass(frozen=True)
class _Model:
    """spec: what `affectkit.json` says."""

    spec: dict[str, Any]
    expert: FaceExpert

    def save(self, folder: Path) -> None:
        self.expert.save(folder)


@dataclass(frozen=True)
class _Imported:
    """`Fitted`, of nothing."""

    model: _Model
    predictions: Predictions
    fit_rows: pd.DataFrame


def write_imported(
    folder: Path, expert: FaceExpert, predictions: Predictions, manifest: Manifest, *, tta: int, group: str | None
) -> dict[str, dict[str, Any]]:
    """Returns what `assess` says of each part of the manifest that was predicted."""
    import pandas as pd

    facts = expert.describe()
    spec = {
        "kind": KIND,
        "reads": "images",
        "expert": facts["expert"],
        "expert_facts": expert.expert.describe(),
        "licence": facts["licence"],
        "detector": facts["detector"],
        "crop": facts["crop"],
        "tta": tta,
        "targets": [target.to_json() for target in predictions.targets.values()],
        "group": group,
        "groups_straddle": False,
        "needs": ["images"],
        "parents": [],
    }
    found = _Imported(_Model(spec, expert), predictions, pd.DataFrame(columns=["id", "group", "role"], dtype=str))
    counts = predictions.frame["face"].value_counts()
    report = {"model": facts["expert"], "faces": {str(name): int(count) for name, count in counts.items()}}
    return write_fitted(folder, found, manifest, SELECTED_ON, report)
