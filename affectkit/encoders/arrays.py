"""Rows of .npy feature arrays: vectors as they are, sequences pooled or as frames"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import numpy as np

from affectkit.encoders._encoder import Encoder, Item, PoolOpt, Reads, check_choice
from affectkit.errors import AffectkitError
from affectkit.media.files import open_numbers
from affectkit.registry import Option


def build(
    *,
    array: Annotated[str, Option("Which array to read: the NAME of the manifest's column path_NAME.")] = "",
    pool: PoolOpt = "mean",
) -> Encoder:
    """The encoder. Raises "usage" without an array, or for an unknown pool."""
    if not array:
        raise AffectkitError("usage", "arrays needs --array", remedy="give NAME of the manifest's column path_NAME")
    check_choice("pool", pool, ("mean", "mean-std", "none"))
    return Arrays({"array": array, "pool": pool})


class Arrays(Encoder):
    """One array of shape [N, D], [N, T, D] or [N, T, L, D] on disk; an item's `index` is its place among the N.

    The dimension is the file's, so the record has none.
    """

    name = "arrays"
    reads: Reads = "arrays"

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.column, self.pooled = f"path_{options['array']}", options["pool"] != "none"

    def prepare(self, item: Item) -> np.ndarray:
        """[D] or [L, D] pooled, else [T, D] or [T, L, D], float32."""
        if item.path is None or item.index is None:
            raise AffectkitError("input", f"has no {self.column}" if item.path is None else "has no array_index")
        array = _opened(item.path)
        if not 0 <= item.index < len(array):
            raise AffectkitError("input", f"has {len(array)} rows, none of index {item.index}", file=item.path)
        value = np.asarray(array[item.index], dtype=np.float32)
        if value.ndim == 1 and not self.pooled:
            raise AffectkitError("input", "has vectors, no frames", file=item.path, remedy="use --pool mean")
        if value.ndim == 1 or not self.pooled:
            return value
        mean = value.mean(axis=0)
        return mean if self.options["pool"] == "mean" else np.concatenate([mean, value.std(axis=0)], axis=-1)

    def encode(self, prepared: list[np.ndarray]) -> list[np.ndarray]:
        return prepared


_opened = lru_cache(maxsize=16)(open_numbers)  # mapped: a row is read when it is asked for
