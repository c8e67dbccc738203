"""Which rows a model may be judged on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

JUDGED = ("heldout", "oof")


def judged(seen: Sequence[str]) -> np.ndarray:
    """[N] bool: the rows whose model never saw their group; in-sample rows are never judged."""
    return np.isin(np.asarray(seen, dtype=object).astype(str), JUDGED)


def seen_of(ids: Sequence[str], groups: Sequence[str] | None, fit_rows: pd.DataFrame) -> list[str]:
    """`fit` for each row that the model was fitted on, or whose group ("" is none) it was, else `heldout`.

    fit_rows: `id` and `group` of the rows fitted on, as `fit_rows.csv` has them.
    """
    fitted = set(fit_rows["id"])
    met = (set(fit_rows["group"]) if "group" in fit_rows else set()) - {""}
    own = groups if groups is not None else [""] * len(ids)
    return ["fit" if key in fitted or group in met else "heldout" for key, group in zip(ids, own, strict=True)]
