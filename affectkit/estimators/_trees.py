"""Trees on disk: arrays of all of them behind each other, checked before native code follows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from affectkit.artifacts.arrays import checked


def joined(parts: Sequence[np.ndarray], nothing: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """All parts behind each other, and where each of them ends. nothing: what no part at all comes to."""
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return np.ascontiguousarray(np.concatenate([*([] if nothing is None else [nothing]), *parts])), ends


def stored_ends(stored: Mapping[str, np.ndarray], name: str, count: int) -> np.ndarray:
    ends = checked(f"{name}.ends", stored[f"{name}.ends"], [None], dtype="int64", low=0, high=count, rising=True)
    if (ends[-1] if len(ends) else 0) != count:
        raise ValueError(f"{name} go on behind their end")
    return ends


def stored_classes(stored: Mapping[str, np.ndarray]) -> tuple[int, np.ndarray]:
    """How many the target has, 0 for numbers, and which of them were fitted on."""
    classes = int(checked("classes", stored["classes"], [1], dtype="int64", low=0)[0])
    present = checked("present", stored["present"], [None], dtype="int64", low=0, high=classes - 1)
    if bool(classes) != bool(len(present)) or (np.diff(present) <= 0).any():
        raise ValueError("its classes do not rise")
    return classes, present
