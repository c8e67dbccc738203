"""Which side of the split each row is on, and what stands on more than one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from affectkit.leakage.report import Leak

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 5
_ORDER = {"train": 0, "val": 1, "test": 2}


def sides_of(rows: pd.DataFrame) -> list[str]:
    """`train`, `val` or `test`; `fold 3` where all rows are of one split, else `train fold 3`; "" for neither."""
    splits = [_text(cell) for cell in rows["split"]] if "split" in rows else [""] * len(rows)
    folds = [_text(cell) for cell in rows["fold"]] if "fold" in rows else [""] * len(rows)
    several = len(set(splits)) > 1
    return [
        f"{split} fold {fold}".strip() if fold and several else f"fold {fold}" if fold else split
        for split, fold in zip(splits, folds, strict=True)
    ]


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return "" if cell != cell else f"{cell:g}"


def straddling(
    kind: str,
    what: str,
    values: Sequence[str],
    sides: Sequence[str],
    ids: Sequence[str],
    *,
    show: Callable[[str], str] = str,
) -> Leak | None:
    """The leak of rows that share a value ("" is none) but not a side. show: a value as an example names it."""
    first: dict[str, dict[str, str]] = {}
    for value, side, key in zip(values, sides, ids, strict=True):
        if value and side:
            first.setdefault(value, {}).setdefault(side, key)
    shared = {value: places for value, places in first.items() if len(places) > 1}
    if not shared:
        return None
    # The longest first: "yes" recurs by chance, a sentence does not.
    told = sorted(shared, key=lambda value: (-len(show(value)) if kind == "text" else 0, value))[:_EXAMPLES]
    examples = tuple({"value": show(value), "ids": in_order(shared[value])} for value in told)
    rows = sum(bool(value in shared and side) for value, side in zip(values, sides, strict=True))
    involved = sort_sides({side for places in shared.values() for side in places})
    return Leak(kind, what, len(shared), len(first), rows, involved, examples)


def in_order(places: dict[str, str]) -> dict[str, str]:
    return {side: places[side] for side in sort_sides(places)}


def sort_sides(sides: Iterable[str]) -> tuple[str, ...]:
    """Train before val before test, fold 2 before fold 10."""

    def rank(side: str) -> tuple[int, float, str]:
        split, _, fold = side.rpartition("fold ")
        return _ORDER.get((split if fold != side else side).strip(), 3), float(fold) if fold.isdecimal() else -1.0, side

    return tuple(sorted(sides, key=rank))
