"""Which rows make up an aggregate, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.splits import group_column


@dataclass(frozen=True)
class Members:
    """The rows of `source` by the values of its column `to`: [N] codes into `names`, in order of first appearance."""

    source: Predictions
    to: str
    codes: np.ndarray
    names: list[str]

    @property
    def first(self) -> np.ndarray:
        """[G] the first row of each aggregate."""
        rows = np.empty(len(self.names), dtype=int)
        rows[self.codes[::-1]] = np.arange(len(self.codes))[::-1]
        return rows

    def called(self, place: int) -> str:
        return f"{self.to} '{self.names[place]}'"

    def differing(self, column: str) -> int | None:
        """The first aggregate in which a column has more than one value; NaN equals NaN."""
        import pandas as pd

        values = pd.factorize(self.source.frame[column])[0]
        differs = values != values[self.first][self.codes]
        return int(self.codes[differs].min()) if differs.any() else None

    def common(self, column: str) -> np.ndarray:
        """[G] the value of each aggregate's first row."""
        return self.source.frame[column].to_numpy()[self.first]

    def values(self, column: str, place: int) -> str:
        """The first few values of a column in one aggregate, for a message."""
        found = self.source.frame[column][self.codes == place].astype(str).unique()
        return " and ".join(f"'{value}'" for value in sorted(found)[:3])


def members(predictions: Predictions, to: str) -> Members:
    """Raises "input" for a missing column or naming the row of an empty cell."""
    import pandas as pd

    if to not in predictions.frame:
        remedy = f"pass the --manifest that has it; {did_you_mean(to, list(predictions.frame.columns))}"
        raise AffectkitError("input", f"has no column '{to}' to aggregate to", file=predictions.path, remedy=remedy)
    codes, names = pd.factorize(predictions.frame[to].astype(str).to_numpy(object))
    if "" in names:
        row = int((codes == list(names).index("")).argmax()) + 1
        raise AffectkitError("input", f"has no {to}", file=predictions.path, row=row, remedy="leave such rows out")
    return Members(predictions, to, codes, [str(name) for name in names])


def provenance(parts: Members) -> dict[str, Any]:
    """`split`, `fold` where there is one, and `seen` of each aggregate: `fit` where any of its rows is in-sample.

    Raises "leak" for an aggregate across splits or folds, or of both oof and held-out rows: no one fit made it.
    """
    columns: dict[str, Any] = {}
    for column in ("split", "fold"):
        if column in parts.source.frame:
            _refuse(parts, column, parts.differing(column))
            columns[column] = parts.common(column)
    seen = parts.source.frame["seen"].to_numpy()
    fitted = np.bincount(parts.codes[seen == "fit"], minlength=len(parts.names)) > 0
    kinds = [np.bincount(parts.codes[seen == kind], minlength=len(parts.names)) > 0 for kind in ("oof", "heldout")]
    mixed = kinds[0] & kinds[1] & ~fitted
    _refuse(parts, "seen", int(mixed.argmax()) if mixed.any() else None)
    columns["seen"] = np.where(fitted, "fit", parts.common("seen"))
    return columns


def _refuse(parts: Members, column: str, place: int | None) -> None:
    if place is not None:
        raise AffectkitError(
            "leak",
            f"{parts.called(place)} has rows of {column} {parts.values(column, place)}",
            file=parts.source.path,
            remedy="split by what you aggregate to, or aggregate to something smaller",
        )


def carried(parts: Members, columns: list[str], group: str | None) -> tuple[dict[str, Any], list[str]]:
    """Of `columns`, those that no aggregate has two values of, and the names of the others.

    Raises "input" where there is no column `group`, or an aggregate has several.
    """
    if group is not None:
        _check_group(parts, group)
    places = {column: parts.differing(column) for column in columns}
    kept = {column: parts.common(column) for column, place in places.items() if place is None}
    return kept, [column for column, place in places.items() if place is not None]


def _check_group(parts: Members, group: str) -> None:
    file = parts.source.path
    group_column(parts.source.frame, group, file=file)
    place = parts.differing(group)
    if place is not None:
        message = f"{parts.called(place)} has rows of {group} {parts.values(group, place)}"
        raise AffectkitError("input", message, file=file, remedy="name a --group of whole aggregates")
