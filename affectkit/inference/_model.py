"""What a model that predicts is, whatever it is made of."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions
from affectkit.console import Progress
from affectkit.encoders._loop import OnError
from affectkit.errors import AffectkitError
from affectkit.leakage import seen_of

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """How to run: device, worker processes, what a bad row does ("stop" or "skip"). tta, mc_dropout: passes over
    images; None: as the model was made."""

    device: str = "auto"
    num_workers: int | None = None
    on_error: OnError = "stop"
    tta: int | None = None
    mc_dropout: int | None = None


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


def needs(model: Model) -> frozenset[str]:
    """What a model reads, and a chain's parents: audio, text, arrays, or features (a table)."""
    parents: dict[str, Model] = getattr(model, "parents", {})
    return frozenset(model.spec.get("needs", ())).union(*map(needs, parents.values()))


def seen_rows(model: Model, rows: pd.DataFrame) -> list[str]:
    """`fit` or `heldout` for each row, as `Model.predict` marks them."""
    column = model.spec.get("group")
    apart = column and column in rows and not model.spec.get("groups_straddle")
    groups = list(rows[column].astype(str)) if apart else None
    return seen_of(list(rows["id"]), groups, model.fit_rows)
