"""Stacking: what classes and numbers share. Inputs as columns, candidates from simple to flexible, and their choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import Output, Rows
from affectkit.fusion.ensemble import Panel, check_names, in_order, key_columns, panel
from affectkit.fusion.rule import Sources, Table
from affectkit.splits import grouped_folds, random_folds

FOLDS = 5
CONSTANT = 1e-12  # a column that varies less has no say: its coefficient is 0
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """panel: the sources of predictions. tables: name -> [D, N] columns, NaN where missing; sorted by name."""

    panel: Panel
    tables: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, sources: Sources, rule: str) -> Inputs:
        outputs = {name: source for name, source in sources.items() if isinstance(source, Output)}
        tables = {name: _cells(source) for name, source in sorted(sources.items()) if isinstance(source, Table)}
        return cls(panel(outputs, rule), tables)

    @property
    def known(self) -> np.ndarray:
        """[N] bool: rows that have any source."""
        return np.any([*self.panel.known, *(~np.isnan(cells).all(axis=0) for cells in self.tables.values())], axis=0)

    def take(self, rows: np.ndarray) -> Inputs:
        return Inputs(self.panel.take(rows), {name: cells[:, rows] for name, cells in self.tables.items()})

    def in_order(self, rows: Rows) -> tuple[Inputs, Rows]:
        """Rows that have a source, in the order of what is in them. Raises "input" without any."""
        cells = [column for table in self.tables.values() for column in table]
        at = in_order(rows, self.known, [*key_columns(self.panel), *cells])
        return self.take(at), rows.take(at)


def _cells(table: Table) -> np.ndarray:
    cells = np.asarray(table.values, float).T
    return np.where(np.isfinite(cells), cells, np.nan)


def fit_scaling(columns: Mapping[str, np.ndarray], alike: Iterable[str]) -> dict[str, Parameters]:
    """`center` and `scale` [D] of each source's columns [D, N], from what is known.

    The columns of a source in `alike` (the log-probabilities of classes) share one scale; those of another have their
    own, larger by sqrt(D), so that a table of 88 columns weighs as one source and not as 88.
    """
    found = {}
    for name, cells in columns.items():
        known = ~np.isnan(cells)
        count = np.maximum(known.sum(axis=1), 1)
        center = np.where(known, cells, 0.0).sum(axis=1) / count
        square = np.where(known, (cells - center[:, None]) ** 2, 0.0).sum(axis=1) / count
        scale = np.full(len(cells), square.mean() ** 0.5) if name in alike else (square * len(cells)) ** 0.5
        found[name] = {"center": center.tolist(), "scale": np.where(scale > CONSTANT, scale, 1.0).tolist()}
    return found


def scaled(columns: Mapping[str, np.ndarray], scaling: Mapping[str, Parameters]) -> np.ndarray:
    """[P, N]: all columns centred and scaled, 0 where missing; then for each source whether it is; then ones."""
    check_names(columns, scaling)
    rows = []
    for name, cells in columns.items():
        center, scale = (np.array(scaling[name][what], float)[:, None] for what in ("center", "scale"))
        rows.append(np.nan_to_num((cells - center) / scale))
    missing = [np.isnan(cells).all(axis=0, keepdims=True).astype(float) for cells in columns.values()]
    size = next(iter(columns.values())).shape[1]
    return np.concatenate([*rows, *missing, np.ones((1, size))])


def linear(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[C, N] of features [P, N] and weights [P, C], a feature after the other: a matrix product rounds a row's answer
    otherwise alone than among others."""
    found = np.zeros((weights.shape[1], features.shape[1]))
    for feature, weight in zip(features, weights, strict=True):
        found += weight[:, None] * feature
    return found


def inner_folds(rows: Rows, labels: np.ndarray) -> np.ndarray:
    """[N] int folds of whole groups; of rows, where there is one group, or one to each row."""
    groups = np.asarray(rows.groups, str)
    if 1 < len(np.unique(groups)) < len(groups):
        return grouped_folds(groups, labels, FOLDS, 0)
    return random_folds(labels, len(labels), min(FOLDS, len(labels)), 0)


def choose(losses: Sequence[np.ndarray], ranks: Sequence[int]) -> int:
    """The simplest candidate whose held-out loss the rows can't tell from the least (Breiman et al. 1984, 1-SE rule).

    losses: [N] of each candidate. ranks: how flexible it is; of equals, the one with less loss.
    """
    means = [float(loss.mean()) for loss in losses]
    least = int(np.argmin(means))
    chance = [float((loss - losses[least]).std()) / len(loss) ** 0.5 for loss in losses]
    close = [i for i, mean in enumerate(means) if mean - means[least] <= chance[i]]
    return min(close, key=lambda i: (ranks[i], means[i]))


def held_out(
    inputs: Inputs,
    rows: Rows,
    folds: np.ndarray,
    path: Callable[[Inputs, Rows], list[Parameters]],
    loss: Callable[[Parameters, Inputs, Rows], np.ndarray],
) -> list[np.ndarray]:
    """[N] losses of each candidate of a path, every row's from fits on the other folds."""
    found: list[np.ndarray] = []
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fits = path(inputs.take(inside), rows.take(inside))
        found = found or [np.empty(len(folds)) for _ in fits]
        for values, fit in zip(found, fits, strict=True):
            values[outside] = loss(fit, inputs.take(outside), rows.take(outside))
    return found
