"""What a network paid attention to: weights per head and step of the rows that judge it, in shards; then in figures.

The weights of a row are those of the fit that predicted it: of a held-out row the final one, of a cross-fitted row its
fold's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from affectkit.artifacts.feature_writer import FeatureWriter
from affectkit.artifacts.features import opened, read_index
from affectkit.errors import AffectkitError
from affectkit.estimators._cross_network import CrossNetwork
from affectkit.estimators._network import CHUNK, CHUNK_VALUES, Rows
from affectkit.estimators._network_inputs import Inputs
from affectkit.training.loading import sorted_batches

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.estimators._estimator import Block, Estimator
    from affectkit.leakage.held_out import HeldOut

FOLDER, TABLE, CURVES = "attention", "attention.csv", "attention_curves.csv"
LONGEST = 200  # bytes of the names of two sets; a file's may have 255, and figures put more before and after
SHARD_ROWS = 256  # of 3,000 steps and 4 heads, 12 MB
MOST_BINS = 40  # rows of one length have a bin for each step, up to this many
BINS = 20  # of rows whose lengths differ: shares of the row

Pair = tuple[str, str]  # the set that attends, and the one that it attends to


def attended(network: CrossNetwork, inputs: Inputs) -> Iterator[tuple[int, dict[Pair, np.ndarray]]]:
    """Of each row, in any order, its place and its weights, [T, H] float32."""
    rows = Rows(inputs, [str(number) for number in range(len(inputs))])
    per_step = sum(known.dim * max(known.layers, 1) for known in network.sets if known.frames)
    for batch in sorted_batches(inputs.costs, CHUNK, most_cost=CHUNK_VALUES / max(per_step, 1)):
        loaded = rows.collate([rows.load(int(row), None) for row in batch])
        with torch.no_grad():
            weights = {pair: values.numpy() for pair, values in network.attention(loaded).items()}
        places = {known.name: place for place, known in enumerate(network.sets)}
        for number, row in enumerate(batch):
            ends = {pair: int(loaded[f"lengths{places[pair[1]]}"][number]) for pair in weights}
            yield int(row), {pair: values[number, : ends[pair]] for pair, values in weights.items()}


@dataclass(frozen=True)
class AttentionExport:
    """Shards below `folder`, one folder for each pair of sets, and what they come to. judged: of each fit the ids that
    it predicted. A resumed run keeps the shards that are there."""

    folder: Path
    pairs: Sequence[Pair]
    heads: int
    judged: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        """Raises "usage" for names of sets that make one folder of two pairs (`a-b` and `c`, `a` and `b-c`), where a
        disk does not tell cases apart either, or none that a disk takes."""
        places = ["-".join(pair) for pair in self.pairs]
        if twice := [each for each, count in Counter(place.casefold() for place in places).items() if count > 1]:
            what = f"--export-attention: two pairs of sets would both be written to {FOLDER}/{twice[0]}"
            raise AffectkitError("usage", what, remedy="name the sets otherwise, without -")
        if any(len(place.encode()) > LONGEST for place in places):
            what = f"--export-attention: names of sets are too long together for the name of a file, {LONGEST} bytes"
            raise AffectkitError("usage", what, remedy="give the sets shorter names")

    @property
    def shards(self) -> list[tuple[int, list[str]]]:
        """(number of the fit, ids of a shard), of all shards in order."""
        parts = [(fit, list(ids)) for fit, ids in enumerate(self.judged) if len(ids)]
        starts = ((fit, ids, start) for fit, ids in parts for start in range(0, len(ids), SHARD_ROWS))
        return [(fit, ids[start : start + SHARD_ROWS]) for fit, ids, start in starts]

    def answer(self, fit: int, network: CrossNetwork, inputs: Inputs) -> None:
        """Write the shards of a fit. inputs: of its judged rows, in their order."""
        writers, start = self._writers(), 0
        for number, (of_fit, ids) in enumerate(self.shards):
            if of_fit != fit:
                continue
            rows = np.arange(start, start + len(ids))
            start += len(ids)
            if all(writer.has(number) for writer in writers.values()):
                continue
            weights = dict(attended(network, inputs.take(rows)))
            for pair, writer in writers.items():
                writer.write(number, [weights[row][pair] for row in range(len(ids))], ids, [], {})

    def _writers(self) -> dict[Pair, FeatureWriter]:
        plan, names = [ids for _, ids in self.shards], [f"head-{head + 1}" for head in range(self.heads)]
        known = {"encoder": "attention", "pooled": False, "dim": self.heads, "feature_names": names}
        records = {pair: known | {"options": dict(zip(("query", "set"), pair, strict=True))} for pair in self.pairs}
        return {pair: FeatureWriter(self.place(pair), record, plan) for pair, record in records.items()}

    def place(self, pair: Pair) -> Path:
        place = self.folder / FOLDER / "-".join(pair)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def tables(self) -> dict[str, pd.DataFrame]:
        """`attention.csv`: of each row, pair and head the entropy of its weights in nats, that of the uniform, their
        ratio, and the step, from 1, of the largest weight. `attention_curves.csv`: over all rows the mean weight that
        falls into each part of them, and what falls there if all steps weigh alike."""
        import pandas as pd

        rows, curves = list[dict[str, Any]](), list[dict[str, Any]]()
        for pair, writer in self._writers().items():
            writer.finish()
            of_pair = self._rows_and_curves(pair)
            rows += of_pair[0]
            curves += of_pair[1]
        return {TABLE: pd.DataFrame(rows), CURVES: pd.DataFrame(curves)}

    def _rows_and_curves(self, pair: Pair) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        lengths = read_index(self.place(pair))["frames"].to_numpy()
        same = lengths.min() == lengths.max() <= MOST_BINS
        edges = np.linspace(0, 1, 1 + (int(lengths[0]) if same else BINS))
        total = np.zeros((len(edges) - 1, self.heads))
        names = dict(zip(("query", "set"), pair, strict=True))
        rows = []
        for key, weights in _stored(self.place(pair)):
            total += binned(weights, edges)
            rows += [{"id": key, **names, "head": head + 1, **figures(weights[:, head])} for head in range(self.heads)]
        curves = [
            {**names, "head": head + 1, "from": low, "to": high, "weight": weight, "null": high - low}
            for head in range(self.heads)
            for low, high, weight in zip(edges[:-1], edges[1:], total[:, head] / len(lengths), strict=True)
        ]
        return rows, curves


def _stored(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every row's [T, H] weights, float64, a row at a time."""
    index = read_index(folder)
    for shard, rows in index.groupby("shard", sort=False):
        with opened(folder / str(shard)) as handle:
            values = handle.get_slice("values")
            for key, start, count in zip(rows["id"], rows["start"], rows["frames"], strict=True):
                yield key, values[start : start + count].astype(float)


def figures(weights: np.ndarray) -> dict[str, Any]:
    """Of [T] weights that add up to 1; of a single step the share is NaN, as there is nothing to choose.

    >>> [round(value, 3) for value in figures(np.array([0.5, 0.25, 0.25])).values()]
    [3, 1.04, 1.099, 0.946, 1, 0.5]
    """
    steps, uniform = len(weights), math.log(len(weights))
    entropy = -float(np.sum(weights * np.log(np.where(weights > 0, weights, 1))))
    share = entropy / uniform if steps > 1 else math.nan
    peak = int(weights.argmax())
    spread = {"steps": steps, "entropy": entropy, "uniform": uniform, "share": share}
    return spread | {"peak_step": peak + 1, "peak_weight": float(weights[peak])}


def binned(weights: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[T, H] weights as [bins, H]: what falls into each part of the row, a step being as long as any other.

    >>> binned(np.array([[0.6], [0.4]]), np.array([0, 0.25, 1])).ravel().tolist()
    [0.3, 0.7]
    """
    ends = np.linspace(0, 1, len(weights) + 1)
    sums = np.vstack([np.zeros(weights.shape[1]), weights.cumsum(axis=0)])
    return np.diff([np.interp(edges, ends, column) for column in sums.T], axis=1).T


def plan_export(
    folder: Path, estimator: Estimator, names: Sequence[str], blocks: Sequence[Block], held_out: HeldOut
) -> AttentionExport:
    """The export of all rows that judge the model, into `folder`. names, blocks: of the sets of features. Raises
    "usage" for an estimator without attention to any of them, and as the export does."""
    pairs = estimator.pairs(names, blocks)
    if not pairs:
        what = f"--export-attention: {estimator.name} pays no attention to steps here"
        several = "for the set attended to features with several steps per row (--pool none)"
        remedy = f"use --model cross-attention --join cross-attention, and {several}"
        raise AffectkitError("usage", what, remedy=remedy)
    judged = [list(held_out.ids[rows]) for _, rows in held_out.judging()]
    return AttentionExport(folder, pairs, estimator.options["heads"], judged)
