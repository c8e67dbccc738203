"""What each column is worth: how far a model falls on rows that judge it, once the column's cells have changed places.

Cells move between rows of different groups only, since a speaker's own cells can stand in for each other; where all of
a group's rows have the same cell, groups swap them (Breiman 2001, section 10, with groups in place of rows). Columns
that say the same thing share what they are worth: each looks needless beside the other.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.columns import Table
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Block, Matrix, Raw
from affectkit.evaluation.intervals import Resampling, as_units, resample
from affectkit.evaluation.measure import averaged
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.rows import statistics
from affectkit.labels import Target
from affectkit.leakage.held_out import HeldOut

if TYPE_CHECKING:
    from affectkit.artifacts.manifest import Manifest
    from affectkit.estimators._fit import FittedTargets

logger = logging.getLogger(__name__)

REPEATS = 10
MOST_COLUMNS = 2000
MOST_ANSWERS = 2_000_000  # over all columns and repeats: two minutes of 300 trees on one core
FEWEST_ROWS = 500
MOST_CELLS = 20_000_000  # of rows that are answered at once: 160 MB
PARTS = ("val", "test")  # rows that judge, where none are cross-fitted: those of the test split last


@dataclass(frozen=True)
class Source:
    """A column as it was given: its set of features, its place there, and over all sets. swapped: whether each group
    has one and the same cell of it in all of its rows."""

    name: str
    kind: str
    block: int
    place: int
    position: int
    swapped: bool = False


@dataclass(frozen=True)
class Shuffles:
    """rows: [M] positions of the rows that judge. part: what they are. groups: [M] text. sources: the columns asked
    about. rowwise, groupwise: [R, M] whose cell each of these rows gets; the latter where groups swap theirs."""

    rows: np.ndarray
    part: str
    groups: np.ndarray
    sources: list[Source]
    rowwise: np.ndarray
    groupwise: np.ndarray


def plan_shuffles(
    manifest: Manifest,
    blocks: Sequence[Block],
    names: Sequence[Sequence[str] | None],
    held_out: HeldOut,
    *,
    wanted: bool | None,
    seed: int,
) -> Shuffles | None:
    """None where no column is asked about. names: of each set of features, where its columns have some.

    wanted: None asks about the columns of tables. Raises "usage" for columns without names, and for too many.
    """
    asked = [wanted or (wanted is None and isinstance(block, Table)) for block in blocks]
    if not any(asked):
        return None
    sources = _sources(blocks, names, asked)
    problem = _problem(blocks, sources)
    if problem and wanted:
        raise AffectkitError("usage", f"--importance: {problem}", remedy="leave it out")
    if problem:
        logger.warning("no importance of columns: %s", problem)
        return None
    part, rows = _judging_rows(manifest, held_out)
    rng = np.random.default_rng(seed)
    most = max(FEWEST_ROWS, MOST_ANSWERS // (REPEATS * len(sources)))
    rows = _some(rows, held_out.groups[rows], most, rng)
    groups = held_out.groups[rows]
    of_one_cell = [_of_one_cell(blocks[source.block], source.place, rows, groups) for source in sources]
    sources = [replace(source, swapped=one) for source, one in zip(sources, of_one_cell, strict=True)]
    between = [_between(groups, rng) for _ in range(REPEATS)], [_of_groups(groups, rng) for _ in range(REPEATS)]
    return Shuffles(rows, part, groups, sources, *map(np.stack, between))


def _sources(blocks: Sequence[Block], names: Sequence[Sequence[str] | None], asked: Sequence[bool]) -> list[Source]:
    sources, start = list[Source](), 0
    each = [block.names if isinstance(block, Table) else names[place] or () for place, block in enumerate(blocks)]
    twice = Counter(name for known in each for name in known)
    for number, (block, known) in enumerate(zip(blocks, each, strict=True)):
        kinds = [column.kind for column in block.columns] if isinstance(block, Table) else ["number"] * len(known)
        for place, (name, kind) in enumerate(zip(known, kinds, strict=True)) if asked[number] else ():
            label = name if twice[name] == 1 else f"{name} (features {number + 1})"
            sources.append(Source(label, kind, number, place, start + place))
        start += block.shape[1]
    return sources


def _problem(blocks: Sequence[Block], sources: Sequence[Source]) -> str:
    """Why columns cannot be asked about, in words."""
    if not all(isinstance(block, (np.ndarray, Table)) and len(block.shape) == 2 for block in blocks):
        return "some features are sparse, of layers or of frames"
    if not sources:
        return "the columns of the features have no names"
    if len(sources) > MOST_COLUMNS:
        return f"there are {len(sources)} columns, more than {MOST_COLUMNS}"
    return ""


def _judging_rows(manifest: Manifest, held_out: HeldOut) -> tuple[str, np.ndarray]:
    if held_out.folds is not None:
        return "oof", held_out.fit
    judged = held_out.judged
    splits = manifest.rows["split"].to_numpy() if "split" in manifest.rows else np.full(len(judged), "")
    for part in PARTS:
        if (rows := np.flatnonzero(judged & (splits == part))).size:
            return part, rows
    return "held out", np.flatnonzero(judged)


# --- Whose cell a row gets


def _some(rows: np.ndarray, groups: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """No more than `most` of the rows, of whole groups as they are drawn."""
    if len(rows) <= most:
        return rows
    return np.sort(rows[_by_group(groups, rng)[:most]])


def _by_group(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All rows in random order, those of a group together."""
    names, codes = np.unique(groups, return_inverse=True)
    return np.lexsort((rng.random(len(groups)), rng.permutation(len(names))[codes]))


def _between(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[M]: for each row one of another group, each once. A circle of groups that turns by no less than the largest
    brings no row back to its own; with more than half of all rows in one group some must stay, and of one group the
    rows change places among themselves."""
    order, count = _by_group(groups, rng), len(groups)
    largest = int(np.unique(groups, return_counts=True)[1].max())
    turn = int(rng.integers(largest, count - largest + 1)) if 2 * largest <= count else count // 2
    donors = np.empty(count, dtype=np.int64)
    donors[order] = np.roll(order, turn)
    return donors


def _of_groups(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[M]: for each row a row of the group that its own group swaps with; every group gets another's."""
    first = _first_of_group(groups)
    names = np.unique(first)
    circle = rng.permutation(names)
    donor = dict(zip(circle, np.roll(circle, 1), strict=True))
    return np.array([donor[row] for row in first], dtype=np.int64)


def _of_one_cell(block: Block, place: int, rows: np.ndarray, groups: np.ndarray) -> bool:
    from pandas import factorize

    cells = block.cells[place] if isinstance(block, Table) else block[:, place]
    codes = factorize(cells[rows])[0]  # -1 of all gaps
    return bool((codes == codes[_first_of_group(groups)]).all())


def _first_of_group(groups: np.ndarray) -> np.ndarray:
    """[M]: the first row of each row's group."""
    _, first, codes = np.unique(groups, return_index=True, return_inverse=True)
    return first[codes]


# --- What the models then answer, and what that is worth


@dataclass(frozen=True)
class Shuffled:
    """The answers of models, of all of their targets, for the rows that judge, once each column's cells have changed
    places.

    answers: by column [T, R, M], class indices or numbers.
    """

    shuffles: Shuffles
    targets: Sequence[Target]
    answers: list[np.ndarray] = field(default_factory=list)

    def answer(
        self, model: FittedTargets, blocks: Sequence[Block], outside: np.ndarray, say: Callable[[str], None]
    ) -> None:
        """Those for the rows at `outside`, positions, by the model that never saw them."""
        shuffles = self.shuffles
        mine = np.flatnonzero(np.isin(shuffles.rows, outside))
        if not len(mine):
            return
        x, derived = model.matrix([block[shuffles.rows] for block in blocks]), model.preprocessing.derived()
        if not self.answers:
            self.answers.extend(np.zeros((len(self.targets), REPEATS, len(shuffles.rows))) for _ in shuffles.sources)
        for source, answers in zip(shuffles.sources, self.answers, strict=True):
            say(f"importance of {source.name}")
            donors = (shuffles.groupwise if source.swapped else shuffles.rowwise)[:, mine]
            answers[..., mine] = _answers(model, x, mine, donors, derived[source.position])

    def table(self, place: int, y: np.ndarray, output: np.ndarray) -> list[dict[str, Any]]:
        """A row for each column, the one that is worth most to the target at `place` first: `drop` of the metric with
        its interval over groups, and the standard deviation `sd` of the drop over repeats.

        y: [N], NaN where unlabelled. output: [N, K] probabilities or [N] numbers, as they were answered, NaN where they
        were declined.
        """
        shuffles, target = self.shuffles, self.targets[place]
        numeric, rows = target.kind == "number", shuffles.rows
        declined = np.isnan(output[rows] if numeric else output[rows].sum(axis=1))
        known = np.flatnonzero(~np.isnan(y[rows]) & ~declined)
        if not len(known):
            return []
        truth = y[rows][known] if numeric else y[rows][known].astype(np.int64)
        units = as_units(shuffles.groups[known], len(known))
        metric = METRICS["ccc" if numeric else "uar"].estimate
        jackknife = Resampling("jackknife")

        def sums(answers: np.ndarray) -> np.ndarray:
            kind = answers if numeric else answers.astype(np.int64)
            return statistics(target, truth, kind[known], units.codes, units.count)

        plain = sums(output[rows] if numeric else output[rows].argmax(axis=1))
        before = resample({"": metric}, plain, jackknife, groups=units.groups)[""]
        table = []
        for source, answers in zip(shuffles.sources, self.answers, strict=True):
            shuffled = np.stack([sums(repeat) for repeat in answers[place]], axis=1)
            after = resample({"": averaged(metric)}, shuffled, jackknife, groups=units.groups)[""]
            drop, each = before.minus(after), before.value - metric.of(shuffled.sum(axis=0))
            row = {"column": source.name, "kind": source.kind, "metric": "ccc" if numeric else "uar"}
            drops = {"drop": drop.value, "low": drop.low, "high": drop.high, "sd": float(each.std(ddof=1))}
            table.append(row | drops | {"part": shuffles.part, "rows": len(known)})
        return sorted(table, key=lambda row: -row["drop"])


def _answers(model: FittedTargets, x: Matrix, mine: np.ndarray, donors: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[T, R, m] of each target and the rows at `mine`, with the cells of their donors [R, m] in some of the matrix's
    columns."""
    values = x.values if isinstance(x, Raw) else x
    if not len(columns):
        donors = donors[:1]  # nothing of the column reaches the model
    at_once = max(1, MOST_CELLS // max(1, len(mine) * values.shape[1]))
    parts = []
    for start in range(0, len(donors), at_once):
        some = donors[start : start + at_once]
        moved = np.tile(values[mine], (len(some), 1))
        moved[:, columns] = values[some.ravel()][:, columns]
        answered = model.answer(Raw(moved, x.categorical, x.names) if isinstance(x, Raw) else moved)
        chosen = [answer if answer.ndim == 1 else answer.argmax(axis=1) for answer in answered]
        parts.append(np.stack([answer.reshape(len(some), -1) for answer in chosen]))
    return np.concatenate(parts, axis=1)
