"""What an estimator is: fitted on one target at a time, or, where it can share what it learns, on several together."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

from affectkit.errors import AffectkitError
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.artifacts.features import Features
    from affectkit.artifacts.manifest import Manifest
    from affectkit.labels import Target

logger = logging.getLogger(__name__)

Block = Any  # one set of features of N rows: [N, D] or [N, L, D], an array; [N, D], CSR; `Frames`; or a `Table`
# All sets, preprocessed: [N, D], an array or CSR; `Inputs` where a set is more than a vector per row; `Raw` for what
# takes gaps.
Matrix = Any
Learned = Any  # `Labels`; `JointLabels` of an estimator that `learns_together`, once there are several targets

CGrid = Annotated[str, Option("Values of C to search, comma-separated; ridge regression takes alpha = 1/(2C).")]
Depth = Annotated[int, Option("Maximum depth of a tree; 0: none.", "splits", least=0)]
MinLeaf = Annotated[
    int, Option("Minimum number of fit rows in a leaf; 0: chosen among 5, 2 and 1 (forest), 20 (boosted).", least=0)
]


@dataclass(frozen=True)
class Labels:
    """What one target is fitted on.

    y: [N] class indices (int64), or numbers (float64). classes: K, 0 for numbers. weights: [N], mean 1.
    target, ids: [N] text, where they are known: what histories and messages speak of.
    """

    y: np.ndarray
    classes: int
    weights: np.ndarray
    target: Target | None = None
    ids: np.ndarray | None = None

    @property
    def sample_weight(self) -> np.ndarray | None:
        """None where all rows count alike: a forest of scikit-learn draws other rows for its trees once it is given
        weights, though they are all 1."""
        return None if (self.weights == 1).all() else self.weights

    @property
    def each(self) -> tuple[Labels, ...]:
        return (self,)

    @property
    def known(self) -> np.ndarray:
        """[N] bool: all rows, unless several targets are learned together."""
        import numpy as np

        return ~np.isnan(self.y) if self.y.dtype.kind == "f" else self.y >= 0

    @property
    def learnable(self) -> bool:
        """Whether known rows differ: two classes, or two numbers."""
        import numpy as np

        return len(np.unique(self.y[self.known])) > 1

    def take(self, rows: np.ndarray) -> Labels:
        ids = None if self.ids is None else self.ids[rows]
        return Labels(self.y[rows], self.classes, self.weights[rows], self.target, ids)


@dataclass(frozen=True)
class JointLabels:
    """What several targets are fitted on together. each: of the same N rows; where a row's is unknown, the class is -1
    or the number NaN, and the weight 0."""

    each: tuple[Labels, ...]

    @property
    def learnable(self) -> bool:
        """Whether some target is."""
        return any(labels.learnable for labels in self.each)

    def take(self, rows: np.ndarray) -> JointLabels:
        return JointLabels(tuple(labels.take(rows) for labels in self.each))


@dataclass(frozen=True)
class Takes:
    """Which features an estimator can be fitted on.

    vectors: [D] of each row, dense or, where `sparse`, CSR. layers: [L, D]. frames: [T, D] and [T, L, D]: "all" of
    them, or no more than their "mean" over time. gaps: `Raw` in place of numbers that were imputed and scaled. apart:
    `Inputs`, each set by itself, though all are vectors.
    """

    vectors: bool = True
    sparse: bool = True
    layers: bool = False
    frames: Literal["", "mean", "all"] = ""
    gaps: bool = False
    apart: bool = False


@dataclass(frozen=True)
class Raw:
    """Cells as they are: what an estimator gets that takes gaps.

    values: [N, C] float64, NaN a gap; of a category the number it has among those of the fit rows, in sorted order, and
    NaN for others. categorical: [C] bool. names: of the columns, "3.17" for the 18th of the fourth set without names.
    """

    values: np.ndarray
    categorical: np.ndarray
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Raw:
        return Raw(self.values[rows], self.categorical, self.names)


def takes_of(estimator: Any) -> Takes:
    """What an estimator says that it takes; vectors, where it says nothing."""
    return getattr(estimator, "takes", Takes())


@dataclass(frozen=True)
class Fold:
    """An inner fold: what a candidate is fitted on, and what it is judged on; both preprocessed by the former.

    outside: positions of the latter among all rows.
    """

    x: Matrix
    labels: Learned
    held: Matrix
    held_labels: Learned
    outside: np.ndarray


@dataclass(frozen=True)
class Choice:
    """The candidate for the fit on all rows. search: one row per candidate, its score on rows not fitted on. oof: its
    predictions of these, NaN where there are none; of `JointLabels` a list, of each. history: of a training, its curves
    over epochs."""

    candidate: dict[str, Any]
    search: list[dict[str, Any]]
    oof: Any
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Workspace:
    """Where a training works: a folder of its own, which it can go on from, Accelerate's accelerator, threads that load
    frames ahead. say: called with what goes on, in words."""

    folder: Path
    accelerator: Any
    num_workers: int = 0
    say: Callable[[str], None] | None = None


@dataclass(frozen=True)
class Estimator(ABC):
    """A plug-in's `build(**options)`.

    selects_on: what chooses among class candidates, "nll" (weighted as the fit: on nine EmoDB speakers UAR
    jumped between neighbours from fold to fold) or "uar". Numbers are chosen on CCC.
    candidates: the hyper-parameters worth trying, the most regularised first (ties go to the earlier).
    fit_path: one fit for each candidate, sharing what they have in common; its `predict` gives [N, K] probabilities, or
    [N] numbers.
    calibrated: the chosen fit, its probabilities set by predictions that are out-of-fold within the fit rows; where
    `calibrates`, these are made even if there is one candidate only.
    learns_together: whether several targets are fitted at once, on `JointLabels`; what is fitted then has `answers` in
    place of `predict`, a list of what that gives of each, NaN throughout for the `unlearned`, whose rows told nothing.
    """

    name: str
    options: dict[str, Any]
    candidates: list[dict[str, Any]]

    selects_on = "nll"
    calibrates = False
    learns_together = False

    @abstractmethod
    def fit_path(self, x: Matrix, labels: Learned, candidates: Sequence[dict[str, Any]], seed: int) -> list[Any]: ...

    def calibrated(self, fitted: Any, oof: Any, labels: Learned) -> Any:
        return fitted

    def check_targets(self, targets: Sequence[Target]) -> None:
        """Raise "usage" for options that do not go with these targets."""
        return

    def reading(self, names: Sequence[str], blocks: Sequence[Block]) -> Estimator:
        """The same for sets of features of these names. Raises "usage" for sets that it cannot be fitted on."""
        return self

    def pairs(self, names: Sequence[str], blocks: Sequence[Block]) -> list[tuple[str, str]]:
        """Which set pays attention to which other one's steps, by name; none, unless the estimator says so."""
        return []

    @property
    def alone(self) -> Estimator:
        """The same for one target alone."""
        return self

    @abstractmethod
    def save(self, fitted: Any, stem: Path) -> None: ...

    @abstractmethod
    def load(self, stem: Path) -> Any: ...


@runtime_checkable
class TrainedInEpochs(Protocol):
    """An estimator that is trained in epochs, and so needs rows beside those that it is fitted on to know how many.

    takes: which features. choose: the candidate for a fit on all rows that `labels` are of, by inner folds. at: the
    same estimator, working in a workspace; without one it leaves nothing behind, and cannot be resumed.
    """

    takes: Takes

    def choose(self, folds: Iterable[Fold], labels: Learned, seed: int) -> Choice: ...

    def at(self, workspace: Workspace) -> Estimator: ...


def check_takes(features: Features, takes: Takes, name: str) -> None:
    """Raise "input" for features that the estimator called `name` cannot be fitted on."""
    message = remedy = ""
    if features.sparse and not takes.sparse:
        message, remedy = f"is sparse, which {name} does not take", "use --model linear"
    elif features.pooled and not takes.vectors:
        message = f"holds one vector per row: there are no frames for {name} to pool"
        remedy = "extract with --pool none, or use --model mlp"
    if message:
        raise AffectkitError("input", message, file=features.path, remedy=remedy)


def refuse_infinite(block: Block, ids: Sequence[str], path: Path) -> None:
    """Raise "input" naming the first row of features [N, ...] that holds an infinity. NaN is a gap, but not in CSR,
    whose products nobody scales: there numbers end where their squares do. How many rows have a gap is warned of.

    Frames are looked at when they are read.
    """
    import numpy as np

    if isinstance(block, np.ndarray):
        flat = block.reshape(len(block), -1)
        rows = np.flatnonzero(np.isinf(flat).any(axis=1))
        if not len(rows) and (gaps := int(np.isnan(flat).any(axis=1).sum())):
            logger.warning("%s: %d of %d rows have missing values (NaN)", path, gaps, len(block))
    elif not hasattr(block, "tocoo"):
        return
    else:
        table = block.tocoo()
        rows = table.row[~(abs(table.data) < np.sqrt(np.finfo(np.float32).max / block.shape[1]))]
    if len(rows):
        message = f"the features of id '{ids[rows[0]]}' are not finite, or too large for 32 bits"
        raise AffectkitError("input", message, file=path, remedy="extract them again, or drop the row")


def refuse_no_answer(values: np.ndarray, manifest: Manifest, rows: np.ndarray | None = None) -> None:
    """Raise "input" naming the first row whose answer is NaN: it was not declined, the numbers ran over.

    values: [N, K] probabilities or [N] numbers of the manifest's rows, or of those at positions `rows`.
    """
    import numpy as np

    unanswered = np.flatnonzero(np.isnan(values if values.ndim == 1 else values.sum(axis=1)))
    if len(unanswered):
        place = int(unanswered[0] if rows is None else rows[unanswered[0]])
        name = manifest.rows["id"].iloc[place]
        message = f"the answer for id '{name}' is not a number ({len(unanswered)} of {len(values)} rows)"
        remedy = "look at the features of the row, or train again with a lower --learning-rate"
        raise AffectkitError("input", message, **manifest.where(place), remedy=remedy)


def parse_grid(text: str, option: str) -> list[float]:
    """`0.01,0.1,1` as positive numbers in rising order."""
    try:
        values = sorted({float(part) for part in text.split(",")})
    except ValueError:
        values = []
    if not all(0 < value < math.inf for value in values) or not values:
        raise AffectkitError("usage", f"{option} '{text}' is not a list of positive numbers", remedy="write 0.01,0.1,1")
    return values
