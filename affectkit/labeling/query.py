"""Which rows are worth a person's time: strategies pick in turn, within quotas, from rows that may be asked about."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.labeling.candidates import Candidates, of_test_groups
from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._strategy import Board, Pick, Strategy
from affectkit.plain import comma_separated

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Quota:
    """At most `most` rows of each value of `cells` [N], text; where `only` is not None, of that value alone. Rows of no
    value are not counted."""

    cells: np.ndarray
    most: int
    only: str | None = None


@dataclass(frozen=True)
class Picked:
    """A row of the table. strategy: which picked it."""

    row: int
    strategy: str
    score: float
    reason: str


@dataclass
class _Lane:
    """One strategy, its share of what is picked, and the rows it picks from."""

    strategy: Strategy
    share: float
    rows: np.ndarray  # [M] positions in the table
    board: Board
    picks: Iterator[Pick]
    count: int = 0
    ended: bool = False

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where rows of the table, in rising order, stand among those it picks from; of others nothing."""
        places = np.searchsorted(self.rows, rows)
        inside = places < len(self.rows)
        inside[inside] = self.rows[places[inside]] == rows[inside]
        return places[inside]


@dataclass
class Picker:
    """Takes rows from strategies in turn, so that each has its share wherever a person stops.

    strategies: with their shares, 1 in sum. base: of each strategy, [N] bool, the rows that it may pick from.
    """

    pool: Pool
    strategies: Sequence[tuple[Strategy, float]]
    base: Sequence[np.ndarray]
    quotas: Sequence[Quota] = ()
    seed: int = 0
    left: list[dict[str, int]] = field(default_factory=list)

    def pick(self, count: int) -> list[Picked]:
        """As many rows as there are, `count` at most."""
        lanes = [
            self._lane(place, strategy, share, base)
            for place, ((strategy, share), base) in enumerate(zip(self.strategies, self.base, strict=True))
        ]
        self.left = [{} for _ in self.quotas]
        self._close_full(lanes)
        picked: list[Picked] = []
        while len(picked) < count and (open_ := [lane for lane in lanes if not lane.ended]):
            lane = max(open_, key=lambda lane: lane.share * (len(picked) + 1) - lane.count)
            found = next(lane.picks, None)
            if found is None:
                lane.ended = True
                continue
            row = int(lane.rows[found.row])
            lane.count += 1
            picked.append(Picked(row, lane.strategy.name, found.score, found.reason))
            self._taken(row, lanes)
        for lane in lanes:
            if lane.ended and len(lanes) > 1 and lane.count < round(lane.share * count):
                log.warning("%s has %d rows to pick, fewer than its share of %d", lane.strategy.name, lane.count,
                            round(lane.share * count))  # fmt: skip
        return picked

    def _lane(self, place: int, strategy: Strategy, share: float, base: np.ndarray) -> _Lane:
        rows = np.flatnonzero(base)
        board = Board(np.ones(len(rows), bool))
        rng = np.random.default_rng([self.seed, place])
        return _Lane(strategy, share, rows, board, strategy.picks(self.pool.take(rows), board, rng))

    def _taken(self, row: int, lanes: Sequence[_Lane]) -> None:
        for lane in lanes:
            lane.board.taken.extend(lane.places(np.array([row])).tolist())
        self._close(np.array([row]), lanes)
        for quota, left in zip(self.quotas, self.left, strict=True):
            value = str(quota.cells[row])
            if not value or (quota.only is not None and value != quota.only):
                continue
            left[value] = left.get(value, quota.most) - 1
            if left[value] <= 0:
                self._close(np.flatnonzero(quota.cells == value), lanes)

    def _close_full(self, lanes: Sequence[_Lane]) -> None:
        """What a quota of 0 leaves out."""
        for quota in self.quotas:
            if quota.most == 0:
                full = quota.cells != "" if quota.only is None else quota.cells == quota.only
                self._close(np.flatnonzero(full), lanes)

    @staticmethod
    def _close(rows: np.ndarray, lanes: Sequence[_Lane]) -> None:
        for lane in lanes:
            lane.board.free[lane.places(rows)] = False


def parse_strategies(text: str) -> list[tuple[Strategy, float]]:
    """`margin` alone, or `margin=.7,random=.3`, shares that add up to 1. Raises "usage"."""
    shares: list[tuple[Strategy, float]] = []
    words = comma_separated(text)
    if not words:
        raise AffectkitError("usage", "--strategy names none", remedy="use margin, or margin=.7,random=.3")
    for word in words:
        name, equals, share = word.partition("=")
        shares.append(
            (registry.build("strategies", name.strip(), {}, foreign=True), _share(share, word) if equals else np.nan)
        )
    names = [strategy.name for strategy, _ in shares]
    if len(set(names)) < len(names):
        raise AffectkitError("usage", f"--strategy {text} names one twice", remedy="name each once")
    unsaid = [place for place, (_, share) in enumerate(shares) if np.isnan(share)]
    if len(unsaid) == len(shares):
        return [(strategy, 1 / len(shares)) for strategy, _ in shares]
    total = sum(share for _, share in shares)
    if unsaid or abs(total - 1) > 1e-6:
        what = (
            f"--strategy {text}: shares add up to {total:g}" if not unsaid else f"--strategy {text}: some lack a share"
        )
        raise AffectkitError("usage", what, remedy="write margin=.7,random=.3, 1 in all, or no shares for equal ones")
    return shares


def _share(text: str, word: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = np.nan
    if not 0 < share <= 1:
        raise AffectkitError("usage", f"--strategy {word}: a share is above 0 and at most 1", remedy="write margin=.7")
    return share


def quota_columns(words: Sequence[str]) -> list[str]:
    """The columns that `sex=female:50` and others are of."""
    return [word.partition("=")[0] for word in words]


def parse_quotas(words: Sequence[str], cells: Mapping[str, np.ndarray]) -> list[Quota]:
    """`sex=female:50`: at most 50 rows of that value. cells: column -> [N] text. Raises "usage"."""
    quotas = []
    for word in words:
        column, equals, told = word.partition("=")
        value, colon, most = told.rpartition(":")
        if not (equals and colon and value and most.isdigit()):
            raise AffectkitError("usage", f"--quota '{word}' is not COLUMN=VALUE:N", remedy="write sex=female:50")
        if value not in set(cells[column]):
            raise AffectkitError("usage", f"--quota {word}: no row has {column} '{value}'", remedy="mend the value")
        quotas.append(Quota(cells[column], int(most), value))
    return quotas


def choose(
    candidates: Candidates,
    strategies: Sequence[tuple[Strategy, float]],
    count: int,
    *,
    relabel: bool = False,
    per_group: int | None = None,
    per_class: int | None = None,
    quotas: Sequence[str] = (),
    seed: int = 0,
) -> list[Picked]:
    """The rows to ask about, in the order in which to ask. Raises "usage" where there is none."""
    limits = parse_quotas(quotas, {name: candidates.cells(name) for name in quota_columns(quotas)})
    if per_group:
        if candidates.group is None:
            remedy = "name a --group, and the --manifest that has it"
            raise AffectkitError("usage", "--per-group: no column groups the rows", remedy=remedy)
        limits.append(Quota(candidates.cells(candidates.group), per_group))
    if per_class:
        limits.append(Quota(candidates.predicted(), per_class))
    labelled = [relabel or getattr(strategy, "relabels", False) for strategy, _ in strategies]
    base = [candidates.labelled if again else candidates.unlabelled for again in labelled]
    if not any(rows.any() for rows in base):
        raise _nothing_to_ask(candidates, all(labelled))
    picked = Picker(candidates.pool(count), strategies, base, limits, seed).pick(count)
    if len(picked) < count:
        log.warning("%d rows can be picked, %d were asked for", len(picked), count)
    return picked


def _nothing_to_ask(candidates: Candidates, labelled: bool) -> AffectkitError:
    """labelled: whether labelled rows were wanted, and not those that lack a label."""
    what, separator = "no row lacks a label", ", apart from "
    remedy = "ask about labelled rows with --relabel, or name predictions of rows without a label"
    if labelled:
        what = "no row has a label to be given again"
        remedy = "name cross-fitted predictions (train --cv), with their labels or a --manifest"
    elif candidates.lacking.any():
        what, separator = "no row that lacks a label may be asked about", ": "
        if of_test_groups(candidates.group) in candidates.left_out:
            remedy = f"if the manifest was split by another column than {candidates.group}, name it with --group"
    lost = "; ".join(f"{number} {why}" for why, number in candidates.left_out.items())
    return AffectkitError("input", what + (separator + lost if lost else ""), remedy=remedy)
