"""An estimator behind its encoders."""

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
from affectkit.artifacts.models import whole
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.encoders._encoder import from_record, items
from affectkit.encoders._extract import encode_items
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Matrix, refuse_infinite
from affectkit.estimators._model import EstimatorModel
from affectkit.inference._model import Work, seen_rows

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


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
        return build_predictions(manifest.rows, outputs, seen_rows(self, manifest.rows))

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
