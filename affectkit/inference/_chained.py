"""A calibration or a fusion behind the models that it was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.outputs import Output, Rows
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.calibration._model import CalibrationModel
from affectkit.console import Progress
from affectkit.errors import AffectkitError
from affectkit.fusion._model import FusionModel
from affectkit.inference._faces import COLUMNS as FACES
from affectkit.inference._model import Model, Work, seen_rows
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Chained:
    """A calibration or a fusion behind the models that it was fitted on."""

    folder: Path
    spec: dict[str, Any]
    parents: dict[str, Model]
    stage: CalibrationModel | FusionModel
    fit_rows: pd.DataFrame

    @property
    def feature_sets(self) -> int:
        return sum(parent.feature_sets for parent in self.parents.values())

    def predict(
        self,
        manifest: Manifest,
        *,
        features: Sequence[Path] = (),
        work: Work | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        if features and len(features) != self.feature_sets:
            raise AffectkitError("usage", f"the chain takes {self.feature_sets} feature sets, not {len(features)}")
        said, given = {}, list(features)
        for name, parent in self.parents.items():
            own, given = given[: parent.feature_sets], given[parent.feature_sets :]
            said[name] = parent.predict(manifest, features=own, work=work, progress=progress)
        answered = {key for table in said.values() for key in table.frame["id"]}
        rows = manifest.rows[manifest.rows["id"].isin(answered)].reset_index(drop=True)
        outputs = [self._answer(Target.from_json(target), said, rows) for target in self.spec["targets"]]
        for table in said.values():  # what a face expert says of the face
            found = table.frame.set_index("id")
            rows = rows.assign(**{name: rows["id"].map(found[name]) for name in FACES if name in found})
        carried = [*([self.spec["group"]] if self.spec.get("group") else []), *(name for name in FACES if name in rows)]
        return build_predictions(rows, outputs, seen_rows(self, rows), carried)

    def _answer(self, target: Target, said: dict[str, Predictions], rows: pd.DataFrame) -> Output:
        answers = {name: _of_rows(table, target, rows) for name, table in said.items()}
        if isinstance(self.stage, FusionModel):
            return self.stage.apply(target.name, answers)
        [answer] = answers.values()
        columns = {}
        for name in self.stage.columns:
            if name not in rows:
                raise AffectkitError("input", f"the calibration needs a column '{name}'", file=self.folder)
            columns[name] = rows[name].astype(str).to_numpy()
        nothing = np.full(len(rows), np.nan)
        return self.stage.apply(answer, Rows(nothing, np.full(len(rows), ""), columns))


def _of_rows(table: Predictions, target: Target, rows: pd.DataFrame) -> Output:
    """A parent's answers for `rows`, declined where it skipped one."""
    place = {key: position for position, key in enumerate(table.frame["id"])}
    positions = np.array([place.get(key, -1) for key in rows["id"]], dtype=int)
    return table.output(target.name).aligned(target).at(positions)
