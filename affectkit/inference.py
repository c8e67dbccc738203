"""Loads any model folder and runs it: rows in, predictions out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import best_model, read_fit_rows, whole
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.encoders._encoder import from_record, items
from affectkit.encoders._extract import encode_items
from affectkit.encoders._loop import OnError
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Matrix, refuse_infinite
from affectkit.estimators._model import EstimatorModel, load_estimator_model
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


@dataclass(frozen=True)
class Model:
    """A model that predicts. folder: the `best_model/` it came from. skipped rows of the last call are logged."""

    folder: Path
    estimator: EstimatorModel
    fit_rows: pd.DataFrame

    @property
    def spec(self) -> dict[str, Any]:
        return self.estimator.spec

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
        Raises "input" for features of another encoder, "missing" for rows that have no media.
        """
        manifest, blocks = self._blocks(manifest, features, work or Work(), progress)
        speakers = manifest.rows["speaker"].to_numpy() if "speaker" in manifest.rows else None
        outputs = self.estimator.predict(blocks, speakers)
        return build_predictions(manifest.rows, outputs, self._seen(manifest.rows))

    def without_fit_rows(self, manifest: Manifest) -> Manifest:
        """The rows that the model was not fitted on. Raises "input" when none is left."""
        keep = ~manifest.rows["id"].isin(set(self.fit_rows["id"])).to_numpy()
        if not keep.any():
            raise AffectkitError(
                "input", "holds only rows that the model was fitted on", file=manifest.path,
                remedy="use the run's predictions.csv, or --include-fit",
            )  # fmt: skip
        if not keep.all():
            logger.info("%d rows that the model was fitted on are left out", (~keep).sum())
        return manifest.take(keep)

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

    def _seen(self, rows: pd.DataFrame) -> list[str]:
        column = self.spec.get("group")
        apart = column and column in rows and not self.spec.get("groups_straddle")
        groups = list(rows[column].astype(str)) if apart else None
        return seen_of(list(rows["id"]), groups, self.fit_rows)


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


def load_model(path: Path) -> Model:
    """Load a run folder, or its `best_model/`. Raises "missing", "unfinished", or "input" for a kind unknown here."""
    folder = best_model(path)
    from affectkit.artifacts.models import read_spec

    kind = read_spec(folder).get("kind")
    if kind != "estimator":
        raise AffectkitError("input", f"is a model of kind '{kind}', which this affectkit cannot run", file=folder)
    return Model(folder, load_estimator_model(folder), read_fit_rows(folder))
