"""The one check of arrays and numbers that were read from a file, before anything computes with them.

Native code trusts what it is given: arrays that do not fit together are read past their end, and an infinity turns
every answer into one that looks like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LARGEST = 1e100  # in size, of any fitted number: products and sums of some of them stay finite


def checked(
    name: str,
    values: Any,
    shape: Sequence[int | None],
    *,
    dtype: str = "float64",
    low: float = -LARGEST,
    high: float = LARGEST,
    rising: bool = False,
) -> np.ndarray:
    """`values`, an array or what JSON has for one, if it is of that shape (None: any size) and type, and all of it lies
    within low and high. Raises ValueError saying what it is instead.

    rising: along the last axis, equals allowed.
    """
    plain = not isinstance(values, np.ndarray)
    array = np.asarray(values)
    if plain and (array.dtype.kind in "iuf" or not array.size):
        array = array.astype(dtype)
    wanted = ", ".join("any" if size is None else str(size) for size in shape)
    fits = array.ndim == len(shape) and all(
        size is None or size == there for size, there in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        raise ValueError(f"{name} is {list(array.shape)} {array.dtype}, not [{wanted}] {dtype}")
    if not ((array >= low) & (array <= high)).all():  # NaN is neither
        raise ValueError(f"{name} is not within {low:g} and {high:g}")
    if rising and (np.diff(array) < 0).any():
        raise ValueError(f"{name} does not rise")
    return array


def check_numbers(name: str, parameters: Any) -> None:
    """Every number in parameters as JSON has them, however deep, is finite and no larger than `LARGEST`."""
    if isinstance(parameters, Mapping):
        for key, value in parameters.items():
            check_numbers(f"{name}.{key}", value)
    elif isinstance(parameters, list):
        for value in parameters:
            check_numbers(name, value)
    elif isinstance(parameters, (int, float)) and not abs(parameters) <= LARGEST:
        raise ValueError(f"{name} is not within {-LARGEST:g} and {LARGEST:g}")
