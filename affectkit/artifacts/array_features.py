"""Features that are a `.npy` file as it is: mapped into memory, joined by the `array_index` of a manifest's rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from affectkit.artifacts.features import Features
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.records import trusted
from affectkit.errors import AffectkitError
from affectkit.media.files import NPY, open_array, open_numbers

INDEX, PREFIX = "array_index", "path_"
ROWS = 1024  # of vectors that are converted at once


@dataclass(frozen=True)
class ArrayFeatures(Features):
    """Rows of an array [N, D], vectors, or [N, T, D] or [N, T, L, D], sequences of T steps. Read when they are asked
    for, and float32 then, whatever their type and order in the file."""

    _array: np.ndarray = field(repr=False, default_factory=lambda: np.empty(0))

    def matrix(self, ids: Sequence[str], *, layer: int | Literal["mean", "all"] | None = None) -> np.ndarray:
        """[N, D] of vectors. Raises "input" for sequences, and for ids that are missing."""
        if not self.pooled:
            name = self.encoder["options"]["array"]
            remedy = f"use --model attention, or extract it with --encoder arrays --array {name} --pool mean"
            raise self._refused("holds sequences, not one vector per row", remedy)
        return self.stacked(ids)

    def frames(self, ids: Iterable[str]) -> Iterator[np.ndarray]:
        yield from map(self._row_at, self._rows(list(ids)))

    def stacked(self, ids: Sequence[str]) -> np.ndarray:
        if not self.pooled:
            raise self._refused("holds sequences, not one vector per row", "use an array [N, D]")
        rows = self._rows(ids)
        values = np.empty((len(rows), *self.row_shape()), np.float32)
        for start in range(0, len(rows), ROWS):
            values[start : start + ROWS] = _narrow(self._array[self._start[rows[start : start + ROWS]]])
        return values

    def row_shape(self) -> tuple[int, ...]:
        return self._array.shape[1:] if self.pooled else self._array.shape[2:]

    def _row_at(self, row: int) -> np.ndarray:
        return _narrow(self._array[self._start[row]])


def _narrow(values: np.ndarray) -> np.ndarray:
    """float32; what is too large for it is an infinity, which is refused by the row's id."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)


def is_array(path: Path) -> bool:
    return path.suffix.lower() == NPY


def open_array_features(path: Path, manifest: Manifest) -> ArrayFeatures:
    """The rows of a manifest whose `path_<name>` is this very file, by their `array_index`. Only its header is read.

    The record is that of `extract-features --encoder arrays`, so that a model trained on it reads other manifests'
    arrays of that name. Raises "missing", "input": no array of numbers; of a manifest that knows no arrays, or others
    than this; of another length than the manifest's other arrays, or too short for it.
    """
    array = open_numbers(trusted(path))
    name, places = _named(path, manifest)
    _check_length(path, array, manifest, places)
    ids = list(manifest.rows["id"].to_numpy()[places])
    start = manifest.rows[INDEX].to_numpy(float)[places].astype(np.int64)
    pooled = array.ndim == 2
    encoder: dict[str, Any] = {
        "encoder": "arrays",
        "options": {"array": name, "pool": "mean" if pooled else "none"},
        "reads": "arrays",
        "pooled": pooled,
        "feature_names": None,
    }
    steps = np.full(len(ids), 1 if pooled else array.shape[1], np.int64)
    return ArrayFeatures(path, ids, encoder, None, pooled, False, [path.name] * len(ids), start, steps, _array=array)


def _named(path: Path, manifest: Manifest) -> tuple[str, np.ndarray]:
    """The NAME of path_NAME that holds a file, and the positions of the rows for which it does."""
    columns = [str(column) for column in manifest.rows if str(column).startswith(PREFIX)]
    if INDEX not in manifest.rows or not columns:
        message = f"{manifest.path} knows no arrays, so nothing says which row of the array is whose"
        remedy = "prepare the manifest with prepare-manifest arrays, or give it path_NAME and array_index"
        raise AffectkitError("input", message, file=path, remedy=remedy)
    for column in columns:
        same: dict[Path | None, bool] = {None: False}
        media = manifest.media(column)
        same |= {medium: medium.resolve() == path.resolve() for medium in {*media} if medium is not None}
        indexed = ~np.isnan(manifest.rows[INDEX].to_numpy(float))
        places = np.flatnonzero(np.array([same[medium] for medium in media]) & indexed)
        if len(places):
            return column.removeprefix(PREFIX), places
    known = ", ".join(f"{column.removeprefix(PREFIX)} ({_first(manifest, column)})" for column in columns)
    message = f"is none of the arrays that {manifest.path} knows, and its rows might be others"
    raise AffectkitError("input", message, file=path, remedy=f"use one of {known}")


def _first(manifest: Manifest, column: str) -> Path | None:
    return next((medium for medium in manifest.media(column) if medium is not None), None)


def _check_length(path: Path, array: np.ndarray, manifest: Manifest, places: np.ndarray) -> None:
    """Refuse what is no place in an array, an array without a row for each, and one of another length than the row's
    other arrays."""
    index = manifest.rows[INDEX].to_numpy(float)[places]
    if len(wrong := np.flatnonzero((index < 0) | (index % 1 != 0))):
        message = f"{INDEX} {index[wrong[0]]:g} is no place in an array"
        raise AffectkitError("input", message, **manifest.where(int(places[wrong[0]])), remedy="count from 0")
    last = int(index.argmax())
    if index[last] >= len(array):
        message = f"its {INDEX} is {index[last]:g}, and {path} has {len(array)} rows"
        raise AffectkitError("input", message, **manifest.where(int(places[last])), remedy="prepare the manifest again")
    for column in (name for name in manifest.rows if str(name).startswith(PREFIX)):
        other = manifest.media(column)[int(places[last])]
        if other is None or not is_array(other) or not other.is_file():
            continue
        if (length := len(open_array(other))) != len(array):
            remedy = "rows are joined by their place: write both again, and prepare the manifest again"
            raise AffectkitError("input", f"has {len(array)} rows, {other} has {length}", file=path, remedy=remedy)
