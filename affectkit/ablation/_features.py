"""Subsets of sets of features: an estimator is trained on those of a subset together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.ablation._study import Setup, digest, drawn_folds, metric_of, scheme
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions
from affectkit.console import unwatched
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Estimator, Matrix
from affectkit.estimators._fit import Settings
from affectkit.estimators._train import Dataset, load_dataset, train_model
from affectkit.labels import Target
from affectkit.leakage.held_out import groups_of
from affectkit.splits import outer_folds

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FeatureSets:
    """data: of all sources, a block for each; rows that one of them lacks are in none. rows: for each seed, with its
    folds. settings: but for the seed, which is that of the repeat."""

    setup: Setup
    data: Dataset
    rows: Sequence[pd.DataFrame]
    estimator: Estimator
    settings: Settings

    def answer(self, sources: Sequence[str], repeat: int) -> Predictions:
        places = [self.setup.names.index(name) for name in sources]
        blocks, encoders = ([given[place] for place in places] for given in (self.data.blocks, self.data.encoders))
        manifest = replace(self.data.manifest, rows=self.rows[repeat])
        data = replace(self.data, manifest=manifest, blocks=blocks, encoders=encoders)
        settings = replace(self.settings, seed=self.setup.seeds[repeat])
        targets = list(self.setup.targets.values())
        return train_model(data, self.estimator, targets, settings, cv=True, progress=unwatched).predictions

    def made_of(self, sources: Sequence[str]) -> dict[str, Any]:
        return {
            "model": self.estimator.name,
            "options": dict(self.estimator.options),
            "normalize": self.settings.normalize,
            "class_weight": self.settings.class_weight,
            "rows": self._digests["rows"],
            "sources": {name: self._digests["sources"][name] for name in sources},
        }

    @cached_property
    def _digests(self) -> dict[str, Any]:
        blocks = zip(self.setup.names, self.data.blocks, strict=True)
        groups = groups_of(self.data.manifest, self.data.group)[1]
        return {
            "rows": digest(groups, *(rows.to_csv(index=False) for rows in self.rows)),
            "sources": {name: digest(*_arrays(block)) for name, block in blocks},
        }


def of_features(
    manifest: Manifest,
    features: Mapping[str, Path],
    estimator: Estimator,
    targets: Sequence[Target],
    settings: Settings,
    *,
    metric: str | None = None,
    group: str | None = None,
    missing: str = "stop",
    seeds: int = 1,
    cv_folds: int | None = None,
) -> FeatureSets:
    """Sets of features, by name.

    missing: "drop" leaves rows that any of them lacks out of every subset, "stop" raises naming the first. cv_folds:
    draw that many folds of whole groups; by default the manifest's own, else as `train --cv` does. A repeat's seed is
    that of its folds, where they are drawn, and of the estimator.
    """
    data = load_dataset(manifest, list(features.values()), group=group, missing=missing)
    if "split" not in data.manifest.rows:
        data = replace(data, manifest=replace(data.manifest, rows=data.manifest.rows.assign(split="train")))
    fit = data.manifest.rows["split"].isin(["train", "val"]).to_numpy()
    if not fit.any():
        raise AffectkitError("input", "the manifest has no train or val rows", file=manifest.path, remedy="give them")
    rows, said = zip(*(_with_folds(data, fit, targets[0], cv_folds, seed) for seed in range(seeds)), strict=True)
    chosen = {target.name: target for target in targets}
    setup = Setup(
        names=list(features),
        speaking=list(features),
        targets=chosen,
        of=metric_of(metric, chosen),
        seeds=list(range(seeds)),
        scheme=said[0],
        group=groups_of(data.manifest, group)[0],
        train=data.manifest.rows[fit],
    )
    return FeatureSets(setup, data, rows, estimator, settings)


def _with_folds(
    data: Dataset, fit: np.ndarray, target: Target, count: int | None, seed: int
) -> tuple[pd.DataFrame, str]:
    """The rows with the folds of those fitted on, and the folds in words."""
    table = data.manifest.rows
    own = table["fold"].astype(str).to_numpy() if "fold" in table else np.full(len(fit), "", dtype=object)
    if count is None and (own[fit] != "").any():
        return table, f"the manifest's own {len(set(own[fit]) - {''})} folds"
    column, groups = groups_of(data.manifest, data.group)
    groups = groups[fit]
    if count is None:
        folds = outer_folds(groups, grouped=column is not None, seed=seed)
    else:
        ids, labels = (table[name].to_numpy()[fit] for name in ("id", target.name))
        folds = drawn_folds(ids, groups, column, labels, count, seed)
    cells = np.full(len(fit), "", dtype=object)
    cells[fit] = folds.astype(str)
    return table.assign(fold=cells), scheme(folds, groups, column)


def _arrays(block: Matrix) -> list[np.ndarray]:
    return [block] if isinstance(block, np.ndarray) else [block.indptr, block.indices, block.data]
