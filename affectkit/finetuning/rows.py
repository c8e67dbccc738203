"""Which rows of a manifest are fine-tuned on, and by which the epoch is chosen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.encoders._encoder import Item
from affectkit.errors import AffectkitError
from affectkit.evaluation.rows import encode
from affectkit.finetuning.beside import Beside
from affectkit.finetuning.encoded import EncodedExamples
from affectkit.finetuning.medium import Medium
from affectkit.finetuning.start import Start
from affectkit.labels import Target
from affectkit.leakage.held_out import HeldOut
from affectkit.splits import hold_out
from affectkit.training.objective import ROW_WEIGHT, Objective, known_rows
from affectkit.training.problem import HEAD, Examples
from affectkit.training.settings import LossOptions, Settings
from affectkit.training.stages import Stage

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


# --- What is fine-tuned, and how


@dataclass(frozen=True)
class Setup:
    """What is fine-tuned, and how.

    stopping_fraction: share of the rows fitted on, whole groups, that is set apart to choose epochs by; None: the val
    rows, or with cross-prediction .15. start: weights that the network starts from. beside: models that it is mixed
    with. keep_folds: whether each fold's network is kept.
    """

    medium: Medium
    stages: Sequence[Stage]
    settings: Settings
    loss: LossOptions = field(default_factory=LossOptions)
    stopping_fraction: float | None = None
    start: Start | None = None
    beside: Beside | None = None
    keep_folds: bool = False

    @property
    def head_only(self) -> bool:
        """Whether no stage trains anything but the head."""
        return all(stage.train == HEAD for stage in self.stages)

    @property
    def encodes_once(self) -> bool:
        """Whether some stage trains the head alone, of a network that makes the same of a row in every epoch."""
        trains = self.beside is None or self.beside.mix.how != "fixed"  # a mixture of fixed shares has nothing to train
        return trains and self.medium.encodes_once and any(stage.train == HEAD for stage in self.stages)


# --- What rows of a manifest are to be answered with, as training takes it


def truth_of(rows: pd.DataFrame, targets: Sequence[Target], *, votes: bool = False) -> dict[str, np.ndarray]:
    """Per target, [N] int64 classes (-1: unlabelled), or [N] float32 numbers (NaN).

    votes: of `label`, [N, K] shares of the raters' votes (`votes_<class>`) instead; a row without votes has its label.
    Raises "input" where votes are wanted and there are none.
    """
    truth: dict[str, np.ndarray] = {}
    for target in targets:
        cells = rows[target.name]
        numeric = target.kind == "number"
        truth[target.name] = cells.to_numpy(np.float32) if numeric else encode(cells, target.classes)
        if votes and target.name == "label" and not numeric:
            truth[target.name] = _votes(rows, target, truth[target.name])
    return truth


def take(truth: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The truth of the rows at positions [M]."""
    return {name: values[rows] for name, values in truth.items()}


def labelled(truth: Mapping[str, np.ndarray]) -> np.ndarray:
    """[N] bool: rows that have any of the targets."""
    return np.any([known_rows(values) for values in truth.values()], axis=0)


def _votes(rows: pd.DataFrame, target: Target, labels: np.ndarray) -> np.ndarray:
    columns = [f"votes_{name}" for name in target.classes]
    lacking = [column for column in columns if column not in rows]
    if lacking:
        message = f"--loss soft takes the raters' votes, and the manifest has no column {lacking[0]}"
        raise AffectkitError("input", message, remedy="use --loss cross-entropy, or a manifest with votes")
    counts = np.nan_to_num(rows[columns].to_numpy(float))
    one_hot = np.eye(len(target.classes))[np.maximum(labels, 0)]
    one_hot[labels < 0] = np.nan
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1e-12), one_hot).astype(np.float32)


@dataclass(frozen=True)
class Data:
    """Rows with their media and truth. encoded: [N, D], what the frozen network makes of each, where that is known.
    weights: [N], how much each counts in training, NaN where it is not trained on."""

    manifest: Manifest
    targets: Sequence[Target]
    items: Sequence[Item]
    truth: Mapping[str, np.ndarray]
    held_out: HeldOut
    encoded: np.ndarray | None = None
    weights: np.ndarray | None = None

    def examples(self, rows: np.ndarray, network: Any, medium: Medium, **how: Any) -> Examples:
        """how: `train` or `passes`, as the medium has them."""

        def where(position: int) -> dict[str, Any]:
            return self.manifest.where(int(rows[position]))

        items = [self.items[row] for row in rows]
        return medium.examples(items, self._truth(rows, how.get("train", False)), network, where, **how)

    def rows_of(self, setup: Setup, fits: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Positions, sorted, of the rows that the head is trained on or judged by; of those too that are to be
        answered, if the head is all that is trained. fits: (inside, outside) of each."""
        each = [rows for inside, _ in fits for rows in stopping_rows(self, inside, setup)]
        each += [outside for _, outside in fits if setup.head_only]
        return np.unique(np.concatenate(each).astype(int))

    def at_head(self, rows: np.ndarray, *, train: bool = False) -> EncodedExamples:
        """The same rows, as what the frozen network makes of them."""
        assert self.encoded is not None
        return EncodedExamples([self.items[row].id for row in rows], self._truth(rows, train), self.encoded[rows])

    def _truth(self, rows: np.ndarray, train: bool) -> dict[str, np.ndarray]:
        """Of rows that are trained on, with how much each counts, 1 on average."""
        truth = take(self.truth, rows)
        if train and self.weights is not None:
            truth[ROW_WEIGHT] = (self.weights[rows] / self.weights[rows].mean()).astype(np.float32)
        return truth


def stopping_rows(data: Data, inside: np.ndarray, setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on, and those by which epochs are judged; none of these where there are none to be had."""
    fraction = setup.stopping_fraction
    if fraction is None and data.held_out.folds is not None:
        fraction = 0.15
    if fraction is None:
        splits = data.manifest.rows["split"].to_numpy() if "split" in data.manifest.rows else np.array([])
        val = np.flatnonzero(splits == "val")
        return inside, val[labelled(take(data.truth, val))]
    if fraction == 0:
        return inside, np.array([], dtype=int)
    groups = data.held_out.groups[inside]
    apart = hold_out(list(groups), None, fraction=fraction, seed=setup.settings.seed)
    return inside[~apart], inside[apart]


def thawing(stages: Sequence[Stage], epochs: int) -> tuple[list[Stage], frozenset[str]]:
    """The stages, the one that is cut by the first `epochs` being two, and the names of those after them: all for 0
    epochs. Raises "usage" where none comes after them."""
    before: list[Stage] = []
    after: list[Stage] = []
    for stage in stages:
        left = max(0, epochs - sum(earlier.epochs for earlier in before))
        if left >= stage.epochs:
            before.append(stage)
        elif left:
            before.append(replace(stage, epochs=left))
            after.append(replace(stage, name=f"{stage.name}-thawed", epochs=stage.epochs - left))
        else:
            after.append(stage)
    if not after:
        what = f"--freeze-feature-encoder-epochs {epochs} are all of them"
        raise AffectkitError("usage", what, remedy="give fewer, or use --freeze-feature-encoder")
    return [*before, *after], frozenset(stage.name for stage in after)


def selected_on(data: Data, setup: Setup) -> str:
    _, stopping = stopping_rows(data, data.held_out.fit, setup)
    if not len(stopping):
        return "nothing: the weights of the last epoch were kept"
    if setup.stopping_fraction is None and data.held_out.folds is None:
        return "val"
    column = data.held_out.group
    what = f"whole {column}s" if column else "rows"
    return f"{len(stopping)} of the rows fitted on, {what} that no weight was fitted to"


def say_cost(data: Data, setup: Setup) -> None:
    fits = data.held_out.fits()
    epochs = sum(stage.epochs for stage in setup.stages)
    amounts = [setup.medium.amount([data.items[row] for row in inside]) for inside, _ in fits]
    total, unit = sum(amount * epochs for amount, _ in amounts), amounts[0][1]
    times = "1 fine-tuning" if len(fits) == 1 else f"{len(fits)} fine-tunings: {len(fits) - 1} folds and the final one"
    logger.info("%s of at most %d epochs: %.3g %s to go through", times, epochs, total, unit)


def warn(data: Data, objective: Objective, train: np.ndarray, stopping: np.ndarray, setup: Setup) -> None:
    """Say what is likely to disappoint: a class that epochs cannot be judged on, a CCC over few rows."""
    for target in data.targets:
        values = data.truth[target.name]
        if target.kind == "number" or values.ndim == 2 or not len(stopping):
            continue
        absent = np.setdiff1d(values[train][values[train] >= 0], values[stopping])
        if len(absent):
            named = ", ".join(target.classes[place] for place in absent)
            logger.warning("the rows that choose the epoch have no %s: their UAR is over the other classes", named)
    if setup.settings.batch_seconds is None and setup.settings.batch_size < objective.least_batch:
        message = "the CCC of a batch of %d rows is mostly noise: --batch-size %d or more, or --loss mse, learns better"
        logger.warning(message, setup.settings.batch_size, objective.least_batch)
