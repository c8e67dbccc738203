"""Loads any model folder and runs it: rows in, predictions out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from affectkit import registry
from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import best_model, read_fit_rows, read_spec, whole
from affectkit.artifacts.outputs import Output, Rows
from affectkit.artifacts.parents import parent_folder
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.calibration._model import CalibrationModel
from affectkit.console import Progress
from affectkit.encoders._encoder import from_record, items
from affectkit.encoders._extract import encode_items
from affectkit.encoders._loop import OnError
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Matrix, refuse_infinite
from affectkit.estimators._model import EstimatorModel, load_estimator_model
from affectkit.fusion._model import FusionModel
from affectkit.labels import Target
from affectkit.leakage import seen_of

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """How to run: device, worker processes, what a bad row does ("stop" or "skip")."""

    device: str = "auto"
    num_workers: int | None = None
    on_error: OnError = "stop"


class Model(Protocol):
    """A model that predicts: an estimator, or a chain that ends in one or several.

    folder: the `best_model/` it came from. spec: what its `affectkit.json` says. fit_rows: what it, or a parent, was
    fitted on. feature_sets: how many features folders can stand in for its encoders.
    """

    @property
    def folder(self) -> Path: ...
    @property
    def spec(self) -> dict[str, Any]: ...
    @property
    def fit_rows(self) -> pd.DataFrame: ...
    @property
    def feature_sets(self) -> int: ...

    def predict(
        self,
        manifest: Manifest,
        *,
        features: Sequence[Path] = (),
        work: Work | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Predict a manifest's rows from `features`, else from their raw media or text with the model's own encoders.

        Every row is marked: "heldout", or "fit" where the row, or its group, is one that the model was fitted on;
        groups do not count for a model whose own split let them straddle, by a protocol that reports declare.
        Skipped rows are logged. Raises "input" for features of another encoder, "missing" for rows without media.
        """


def without_fit_rows(model: Model, manifest: Manifest) -> Manifest:
    """The rows that the model was not fitted on. Raises "input" when none is left."""
    keep = ~manifest.rows["id"].isin(set(model.fit_rows["id"])).to_numpy()
    if not keep.any():
        raise AffectkitError(
            "input", "holds only rows that the model was fitted on", file=manifest.path,
            remedy="use the run's predictions.csv, or --include-fit",
        )  # fmt: skip
    if not keep.all():
        logger.info("%d rows that the model was fitted on are left out", (~keep).sum())
    return manifest.take(keep)


def _seen(model: Model, rows: pd.DataFrame) -> list[str]:
    column = model.spec.get("group")
    apart = column and column in rows and not model.spec.get("groups_straddle")
    groups = list(rows[column].astype(str)) if apart else None
    return seen_of(list(rows["id"]), groups, model.fit_rows)


@dataclass(frozen=True)
class Estimating:
    """An estimator behind its encoders."""

    folder: Path
    estimator: EstimatorModel
    fit_rows: pd.DataFrame

    @property
    def spec(self) -> dict[str, Any]:
        return self.estimator.spec

    @property
    def feature_sets(self) -> int:
        return len(self.spec["features"])

    def predict(
        self,
        manifest: Manifest,
        *,
        features: Sequence[Path] = (),
        work: Work | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        manifest, blocks = self._blocks(manifest, features, work or Work(), progress)
        speakers = manifest.rows["speaker"].to_numpy() if "speaker" in manifest.rows else None
        outputs = self.estimator.predict(blocks, speakers)
        return build_predictions(manifest.rows, outputs, _seen(self, manifest.rows))

    def _blocks(
        self, manifest: Manifest, features: Sequence[Path], work: Work, progress: Progress | None
    ) -> tuple[Manifest, list[Matrix]]:
        encoders = self.spec["features"]
        if features:
            if len(features) != len(encoders):
                raise AffectkitError(
                    "usage", f"the model was trained on {len(encoders)} feature sets, not {len(features)}"
                )
            loaded = [read_features(path) for path in features]
            for path, own, given in zip(features, encoders, loaded, strict=True):
                _check_same_encoder(own, given.described(), path)
            ids = list(manifest.rows["id"])
            given_blocks = [given.matrix(ids) for given in loaded]
            for block, path in zip(given_blocks, features, strict=True):
                refuse_infinite(block, ids, path)
            return manifest, given_blocks
        blocks: list[Matrix] = []
        for encoder in encoders:
            kept, matrix = _encode(encoder, manifest, work, progress, self.folder)
            manifest = manifest.take(kept)
            blocks = [block[kept] for block in blocks] + [matrix]
        return manifest, blocks


def _encode(
    known: dict[str, Any], manifest: Manifest, work: Work, progress: Progress | None, folder: Path
) -> tuple[np.ndarray, Matrix]:
    """Which rows could be encoded, [N] bool, and their features: the model's own encoder on raw media or text."""
    if not known.get("encoder"):
        remedy = "pass that table with --features"
        raise AffectkitError("input", "was trained on a table of features", file=folder, remedy=remedy)
    with whole(folder):
        build = registry.load("encoders", known["encoder"]).build
        registry.check_options("encoders", known["encoder"], build, known["options"])
    encoder = from_record(known, device=work.device)
    rows = items(manifest, encoder)
    encoded = encode_items(
        encoder,
        rows,
        num_workers=work.num_workers if work.num_workers is not None else os.cpu_count() or 1,
        on_error=work.on_error,
        where=None if manifest.bare else manifest.where,
        progress=(lambda done: progress(done, len(rows))) if progress else None,
    )
    for name, reason in encoded.skipped:
        logger.warning("%s is skipped: %s", name, reason)
    kept = manifest.rows["id"].isin(set(encoded.ids)).to_numpy()
    if not kept.any():
        raise AffectkitError("input", "no row could be encoded", file=manifest.path)
    values = encoded.values
    return kept, np.stack(values) if isinstance(values, list) else values


def _check_same_encoder(known: dict[str, Any], given: dict[str, Any], path: Path) -> None:
    """Refuse features of an encoder, weights or columns other than those that the model was trained on."""
    for fact in ("encoder", "weights", "dim", "feature_names"):
        if known.get(fact) != given.get(fact):
            own = known.get("encoder") or "another table"
            raise AffectkitError(
                "input", f"differs in '{fact}' from the features of the model ({own})", file=path,
                remedy="extract them with the model's own encoder",
            )  # fmt: skip


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
        carried = [self.spec["group"]] if self.spec.get("group") else []
        return build_predictions(rows, outputs, _seen(self, rows), carried)

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


def load_model(path: Path) -> Model:
    """Load a run folder, or its `best_model/`, and the parents of a chain.

    Raises "missing", "unfinished", or "input" for a kind unknown here, a parent that has changed or is only a table.
    """
    folder = best_model(path)
    spec = read_spec(folder)
    kind = spec.get("kind")
    if kind == "estimator":
        return Estimating(folder, load_estimator_model(folder), read_fit_rows(folder))
    if kind not in ("calibration", "fusion"):
        raise AffectkitError("input", f"is a model of kind '{kind}', which this affectkit cannot run", file=folder)
    stage = CalibrationModel.load(folder) if kind == "calibration" else FusionModel.load(folder)
    with whole(folder):
        parents = {parent["name"]: load_model(parent_folder(folder, parent)) for parent in spec["parents"]}
        if not parents or (kind == "calibration" and len(parents) > 1):
            raise ValueError(f"a {kind} of {len(parents)} parents")
    return Chained(folder, spec, parents, stage, read_fit_rows(folder))
