"""What networks are fitted on, where a row is more than a vector: layers and frames, scaled when they are read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from affectkit.artifacts.columns import Table
from affectkit.artifacts.features import Features
from affectkit.artifacts.sequences import Sequences
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Block, Matrix, Takes, check_takes

logger = logging.getLogger(__name__)

SMALLEST_DEVIATION = 1e-12  # a feature that varies less says nothing, and is divided by 1


@dataclass(frozen=True)
class Frames:
    """[T, D] or [T, L, D] float32 of each of N rows, read when they are asked for and not kept.

    ids: [N] text. lengths: [N], T of each. of_frame: (D,) or (L, D). read: the values of an id. source: for messages.
    speaker: [N] whose (mean, deviation) of `speakers` a row's frames are normalised by.
    """

    ids: np.ndarray
    lengths: np.ndarray
    of_frame: tuple[int, ...]
    read: Callable[[str], np.ndarray]
    source: Any = None
    speaker: np.ndarray | None = None
    speakers: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def of_features(cls, features: Features, ids: Sequence[str]) -> Frames:
        """Those of a folder. Raises "input" for ids that it lacks."""
        lengths = features.lengths(ids)
        return cls(_texts(ids), lengths, features.row_shape(), lambda key: next(features.frames([key])), features.path)

    @classmethod
    def of_windows(cls, features: Features, sequences: Sequences) -> Frames:
        """The vectors of each sequence's windows. Raises "input" for windows that a folder lacks."""
        features.lengths(sequences.every_window)
        windows = dict(zip(sequences.ids, sequences.windows, strict=True))
        lengths = np.array([len(each) for each in sequences.windows], dtype=np.int64)

        def read(key: str) -> np.ndarray:
            values = features.stacked(windows[key])
            if (infinite := np.isinf(values).reshape(len(values), -1).any(axis=1)).any():
                what = f"the features of id '{windows[key][int(infinite.argmax())]}' are not finite"
                raise AffectkitError("input", what, file=features.path, remedy="extract them again, or drop the row")
            return values

        return cls(_texts(sequences.ids), lengths, features.row_shape(), read, features.path)

    @classmethod
    def of_values(cls, ids: Sequence[str], values: Sequence[np.ndarray]) -> Frames:
        """Of arrays in memory."""
        known = dict(zip(ids, values, strict=True))
        lengths = np.array([len(value) for value in values], dtype=np.int64)
        return cls(_texts(ids), lengths, tuple(values[0].shape[1:]), known.__getitem__)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D) or (N, L, D), as the means over frames would have it."""
        return (len(self.ids), *self.of_frame)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: np.ndarray) -> Frames:
        speaker = None if self.speaker is None else self.speaker[rows]
        return replace(self, ids=self.ids[rows], lengths=self.lengths[rows], speaker=speaker)

    def row(self, position: int) -> np.ndarray:
        """The frames of a row. Raises "input" for a row without any, and for an infinity."""
        key = self.ids[position]
        values = self.read(key)
        if not len(values) or np.isinf(values).any():
            what = "are not finite" if len(values) else "have no frame"
            remedy = "extract them again, or drop the row"
            raise AffectkitError("input", f"the features of id '{key}' {what}", file=self.source, remedy=remedy)
        if self.speaker is not None and self.speakers is not None:
            mean, deviation = (table[self.speaker[position]] for table in self.speakers)
            values = ((values - mean) / deviation).astype(np.float32)
        return values

    def means(self) -> np.ndarray:
        """[N, D] or [N, L, D] float32: each row's mean over time, as `--pool mean` has it, to the bit; of known values,
        where some are missing."""
        import torch

        from affectkit.encoders._encoder import pool

        means = np.empty(self.shape, dtype=np.float32)
        for position in range(len(self)):
            row = self.row(position)
            if np.isnan(row).any():
                known = ~np.isnan(row)
                count = np.where(known.any(axis=0), known.sum(axis=0), np.nan)
                means[position] = np.where(known, row, 0).sum(axis=0, dtype=float) / count
            else:
                means[position] = pool(torch.tensor(row), "mean")
        return means

    def by_speaker(self, speakers: np.ndarray) -> Frames:
        """Each speaker's frames at mean 0 and deviation 1."""
        names, number = np.unique(speakers, return_inverse=True)
        each = [moments(self[np.flatnonzero(number == place)]) for place in range(len(names))]
        mean, deviation = (np.stack(tables) for tables in zip(*each, strict=True))
        return replace(self, speaker=number, speakers=(mean, deviation))


@dataclass(frozen=True)
class Inputs:
    """Sets of features of N rows with the scaling of each; None scales nothing."""

    blocks: tuple[Block, ...]
    scalings: tuple[Scaling | None, ...]

    def __len__(self) -> int:
        return len(self.blocks[0])

    def take(self, rows: np.ndarray) -> Inputs:
        return replace(self, blocks=tuple(block[rows] for block in self.blocks))

    @property
    def costs(self) -> np.ndarray:
        """[N]: frames of a row, over all sets; 1 where there are none."""
        lengths = [block.lengths for block in self.blocks if isinstance(block, Frames)]
        return np.sum(lengths, axis=0).astype(float) if lengths else np.ones(len(self))

    def batch(self, rows: np.ndarray) -> list[np.ndarray | list[np.ndarray]]:
        """Of each set what `row` gives for rows at positions [B]: of vectors one array, of frames a list."""
        return [
            [_narrow(block.row(int(row)), scaling) for row in rows]
            if isinstance(block, Frames)
            else _narrow(block[rows], scaling)
            for block, scaling in zip(self.blocks, self.scalings, strict=True)
        ]

    def row(self, position: int) -> list[np.ndarray]:
        """Of each set what a network reads of a row, float32."""
        rows = [block.row(position) if isinstance(block, Frames) else block[position] for block in self.blocks]
        return [_narrow(row, scaling) for row, scaling in zip(rows, self.scalings, strict=True)]


def _narrow(values: np.ndarray, scaling: Scaling | None) -> np.ndarray:
    return scaling.apply_narrow(values) if scaling else np.asarray(values, np.float32)


def inputs_of(x: Matrix, name: str) -> Inputs:
    """What the network called `name` is fitted on. Raises "input" for sparse features."""
    if isinstance(x, Inputs):
        return x
    if not isinstance(x, np.ndarray):
        raise AffectkitError("input", f"{name} takes no sparse features", remedy="use --model linear")
    with np.errstate(over="ignore"):  # what runs over makes an answer that is no number, and that is named
        return Inputs((np.asarray(x, np.float32),), (None,))


def read_block(features: Features, ids: Sequence[str], takes: Takes, name: str) -> Block:
    """The features of `ids`, in order, as the estimator called `name` takes them.

    Raises "input" for features that it does not take, and for ids that are missing.
    """
    check_takes(features, takes, name)
    if not features.pooled and takes.frames:
        return _as_taken(Frames.of_features(features, ids), takes)
    return features.matrix(ids, layer="all" if takes.layers else None)


def read_windows(features: Features, sequences: Sequences, takes: Takes, name: str) -> Block:
    """The features of windows, each of which is a frame of its sequence. Raises "input" for what is no vector of each
    window, and for windows that are missing."""
    if features.sparse and not takes.sparse:
        check_takes(features, takes, name)
    if not features.pooled:
        message = "holds frames of each window, and --sequence makes one frame of a window"
        raise AffectkitError("input", message, file=features.path, remedy="extract with --pool mean")
    features.stacked(sequences.windows[0][:1])  # raises for what cannot be frames
    return _as_taken(Frames.of_windows(features, sequences), takes)


def encoded_windows(sequences: Sequences, ids: Sequence[str], values: Any, takes: Takes) -> Block:
    """The same of what an encoder gave of the windows `ids`: a list of vectors."""
    by_window = dict(zip(ids, values, strict=True))
    frames = [np.stack([by_window[key] for key in windows]) for windows in sequences.windows]
    return _as_taken(Frames.of_values(sequences.ids, frames), takes)


def encoded_block(ids: Sequence[str], values: Any, takes: Takes, *, pooled: bool) -> Block:
    """The same of what an encoder gave: a list of arrays, or CSR."""
    if not isinstance(values, list):
        return values
    return np.stack(values) if pooled else _as_taken(Frames.of_values(ids, values), takes)


def _as_taken(frames: Frames, takes: Takes) -> Block:
    return frames.means() if takes.frames == "mean" else frames


def moments(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) over all known frames of all rows, float64; 1 in place of a deviation of 0.

    Row after row (Chan, Golub and LeVeque 1983), so that hours of frames need the memory of one row.
    """
    count, mean, squares = (np.zeros(frames.of_frame) for _ in range(3))
    gaps = False
    for position in range(len(frames)):
        more, centre, spread = _of_row(frames.row(position))
        gaps = gaps or bool((more < frames.lengths[position]).any())
        total = np.maximum(count + more, 1)
        squares += spread + (centre - mean) ** 2 * count * more / total
        mean += (centre - mean) * more / total
        count += more
    if gaps:
        logger.warning("%s: some steps have missing values (NaN): they count as their column's mean", frames.source)
    deviation = np.sqrt(squares / np.maximum(count, 1))
    return mean, np.where(deviation < SMALLEST_DEVIATION, 1.0, deviation)


def _of_row(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Known frames of a row, their mean and their squared distances from it, summed; float64, each (D,) or (L, D)."""
    known = ~np.isnan(values)
    if known.all():
        centre = values.mean(axis=0, dtype=float)
        spread = np.square(values - centre.astype(np.float32)).sum(axis=0, dtype=float)
        return np.full(centre.shape, float(len(values))), centre, spread
    count = known.sum(axis=0).astype(float)
    centre = np.where(known, values, 0).sum(axis=0, dtype=float) / np.maximum(count, 1)
    return count, centre, (np.where(known, values - centre, 0) ** 2).sum(axis=0)


def _texts(ids: Sequence[str]) -> np.ndarray:
    return np.array([str(key) for key in ids], dtype=object)


# --- Scaling


MIN_SPEAKER_ROWS = 5  # below this a speaker's own mean and deviation are mostly noise


@dataclass(frozen=True)
class Scaling:
    """Of one dense block: `fill` [D] replaces NaN (the fit rows' median), then (x - mean) / deviation, each [D].

    Of layers and frames [L, D] or [D]; what fills a gap between frames is their mean, as a median cannot be streamed.
    neighbours: [M, D], the scaled fit rows with their gaps; the mean of the five nearest fills a gap, where they are
    there.
    """

    fill: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    neighbours: np.ndarray | None = None

    def apply(self, block: np.ndarray) -> np.ndarray:
        if self.neighbours is not None and np.isnan(block).any():
            from sklearn.impute import KNNImputer

            imputer = KNNImputer(n_neighbors=5, keep_empty_features=True).fit(self.neighbours)
            return imputer.transform((block - self.mean) / self.deviation)
        scaled = np.where(np.isnan(block), self.fill, block)
        scaled -= self.mean  # in place: copies of a large matrix are what takes most memory
        scaled /= self.deviation
        return scaled

    def apply_narrow(self, block: np.ndarray) -> np.ndarray:
        """The same in float32, as networks take it: 3 ms for 200 frames of 13 layers of 768, in float64 61 ms."""
        if self.neighbours is not None:
            rows = block.reshape(-1, block.shape[-1])
            return np.concatenate([self.apply(row[None]) for row in rows]).astype(np.float32).reshape(block.shape)
        if np.isnan(block).any():
            block = np.where(np.isnan(block), self.fill, block)
        narrow = np.subtract(block, self.mean, dtype=np.float32, casting="same_kind")
        return np.divide(narrow, self.deviation, out=narrow, dtype=np.float32, casting="same_kind")


def normalize_by_speaker(block: Any, speakers: np.ndarray) -> Any:
    """[N, D] with each speaker's rows at mean 0 and deviation 1: transductive, it looks at the rows to be predicted.
    Of layers [N, L, D], each by itself; of `Frames` all frames of a speaker; of a table its numbers and dates.

    Raises "input" for a speaker with fewer than five rows, or without a name.
    """
    for speaker, count in zip(*np.unique(speakers, return_counts=True), strict=True):
        if not speaker:
            raise AffectkitError("input", f"--normalize speaker: {count} rows have no speaker", remedy="use train")
        if count < MIN_SPEAKER_ROWS:
            what = f"--normalize speaker: speaker '{speaker}' has {count} rows, fewer than {MIN_SPEAKER_ROWS}"
            remedy = "give more of that speaker's rows at once, or use --normalize train"
            raise AffectkitError("input", what, remedy=remedy)
    if isinstance(block, Frames):
        return block.by_speaker(speakers)
    if isinstance(block, Table):
        return block.with_numbers(normalize_by_speaker(block.numbers, speakers))
    result = np.empty(block.shape, float)
    for speaker in np.unique(speakers):
        rows = speakers == speaker
        values = np.asarray(block[rows], float)
        with np.errstate(invalid="ignore"):
            mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        result[rows] = (values - mean) / np.where(deviation < SMALLEST_DEVIATION, 1.0, deviation)
    return result
