"""A fine-tuned network behind raw media."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.console import Progress
from affectkit.distributed import ranks
from affectkit.errors import AffectkitError
from affectkit.finetuning._model import FinetunedModel
from affectkit.finetuning._passes import Passes
from affectkit.inference._model import Work, seen_rows
from affectkit.training.accelerating import open_accelerator

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned network behind raw media."""

    folder: Path
    model: FinetunedModel
    fit_rows: pd.DataFrame

    feature_sets = 0

    @property
    def spec(self) -> dict[str, Any]:
        return self.model.spec

    def predict(
        self,
        manifest: Manifest,
        *,
        features: Sequence[Path] = (),
        work: Work | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        if features:
            raise AffectkitError("usage", "a fine-tuned network takes no --features", file=self.folder)
        work = work or Work()
        outputs, skipped = self.model.predict(
            self.model.medium.items(manifest),
            open_accelerator(work.device),
            where=(lambda place: {}) if manifest.bare else manifest.where,
            on_error=work.on_error,
            num_workers=ranks(cpu=work.device == "cpu").workers(work.num_workers),
            passes=Passes.of(self.spec, work.tta, work.mc_dropout),
            progress=progress,
        )
        for place, reason in skipped.items():
            logger.warning("%s is skipped: %s", manifest.rows["id"].iloc[place], reason)
        if len(skipped) == len(manifest.rows):
            raise AffectkitError("input", "no row could be decoded", file=manifest.path)
        predictions = build_predictions(manifest.rows, outputs, seen_rows(self, manifest.rows))
        return predictions.take(np.array([place not in skipped for place in range(len(manifest.rows))]))
