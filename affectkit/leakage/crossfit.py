"""Fitting on predictions: on which rows, and how those rows get answers from a fit that never saw their group.

What is fitted on val or oof rows (a calibration, a fusion) may not be judged on its own answers for them. So each of
those rows is answered by a fit on the other folds, and only the rest by the final fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.splits import apart, folds_in_words, folds_of_rows, group_column, outer_folds

if TYPE_CHECKING:
    import pandas as pd

FitOn = Literal["oof", "val"]
P = TypeVar("P")
FOLDS = 5  # where rows, not groups, are dealt


@dataclass(frozen=True)
class FitPlan:
    """Which rows are fitted on, and their folds.

    fit: [M] positions. folds: [M] int, the fold of each of them. origin: "oof" or "val", the rows that they are.
    scheme: the folds in words. group: the column of what must not straddle, None where none is known.
    groups: [N] text, of all rows; "" where unknown. single: whether all of `fit` are of one group.
    """

    fit: np.ndarray
    folds: np.ndarray
    origin: FitOn
    scheme: str
    group: str | None
    groups: np.ndarray
    single: bool = False

    def require_groups(self, what: str, *, single_group: bool) -> None:
        """Refuse to fit `what` on one group, unless it has so few parameters that it may be."""
        if self.single and not single_group:
            problem = f"all {len(self.fit)} {self.origin} rows are of one {self.group}: {what} would learn that one"
            raise AffectkitError("input", problem, remedy="use temperature or mean, or rows of several groups")

    def seen(self, before: Sequence[str]) -> np.ndarray:
        """[N]: `oof` for the rows fitted on, as before for the others."""
        after = np.array(before, dtype=object)
        after[self.fit] = "oof"
        return after

    def fit_rows(self, ids: np.ndarray) -> pd.DataFrame:
        """`id`, `group`, `role` of the rows fitted on, as `fit_rows.csv` has them."""
        import pandas as pd

        return pd.DataFrame({"id": ids[self.fit], "group": self.groups[self.fit], "role": "fit"})

    def without_rows(self) -> FitPlan:
        """Of what fits nothing."""
        nothing = np.empty(0, dtype=np.int64)
        return replace(self, fit=nothing, folds=nothing, scheme="nothing is fitted", single=False)

    @property
    def straddles(self) -> bool:
        """Whether a group of the rows fitted on is also among the other rows."""
        others = np.delete(self.groups, self.fit)
        return not (set(self.groups[self.fit]) - {""}).isdisjoint(others)  # np.isin of text is quadratic


def plan_fit(
    predictions: Predictions, *, fit_on: FitOn | None = None, group: str | None = None, seed: int = 0
) -> FitPlan:
    """Choose the rows to fit on: `oof` rows where there are any, else `val` rows that the model never saw.

    Their folds are the table's own where it has some (so that a chain of commands holds out the same rows), else one
    group left out at a time (up to 20), else 5 folds of groups; of rows where no groups are known, or all rows are of
    one. Raises "leak" where there is nothing that may be fitted on, saying what rows there are.
    """
    origin, fit = _fit_rows(predictions, fit_on)
    column, groups = _grouped(predictions, group)
    if len(fit) < 2:
        raise AffectkitError("input", f"has {len(fit)} {origin} row to fit on", file=predictions.path)
    folds, scheme, single = _folds(predictions, fit, groups, column, seed)
    return FitPlan(fit, folds, origin, scheme, column, groups, single)


def plan_judged(
    predictions: Predictions, *, fit_on: FitOn | None = None, group: str | None = None, seed: int = 0
) -> FitPlan:
    """For what fits nothing: the rows on which it is compared with what might have been chosen on them; no rows where
    none may be fitted on."""
    column, groups = _grouped(predictions, group)
    try:
        return plan_fit(predictions, fit_on=fit_on, group=group, seed=seed)
    except AffectkitError as error:
        if fit_on or error.code not in ("leak", "input"):
            raise
    nothing = np.empty(0, dtype=np.int64)
    return FitPlan(nothing, nothing, "val", "", column, groups)


def _grouped(predictions: Predictions, group: str | None) -> tuple[str | None, np.ndarray]:
    """The column of what must not be split, if there is one, and its cells [N], "" without."""
    column = group_column(predictions.frame, group, file=predictions.path)
    cells = predictions.groups(column)
    return column, cells if cells is not None else np.full(len(predictions.frame), "")


def _fit_rows(predictions: Predictions, fit_on: FitOn | None) -> tuple[FitOn, np.ndarray]:
    frame, path = predictions.frame, predictions.path
    seen = frame["seen"].astype(str).to_numpy()
    split = frame["split"].astype(str).to_numpy() if "split" in frame else np.full(len(frame), "")
    masks: dict[FitOn, np.ndarray] = {"oof": seen == "oof", "val": (split == "val") & (seen != "fit")}
    origin = fit_on or next((name for name, rows in masks.items() if rows.any()), None)
    if origin is None or not masks[origin].any():
        if predictions.foreign and not (split != "").any():
            what = "nothing says whether these rows were held out (no column 'seen')"
            remedy = "if the model never saw them, and they are no test rows, pass --treat-as val"
        else:
            what = f"has no {origin or 'oof or val'} rows to fit on: it has {kinds_of(split, seen)}"
            remedy = "test and in-sample rows are never fitted on; predict with train --cv, or give val rows"
        raise AffectkitError("leak", what, file=path, remedy=remedy)
    tested = masks[origin] & (split == "test")
    if tested.any():
        row = int(tested.argmax())
        what = f"id '{frame['id'].iloc[row]}' is a test row (seen={seen[row]}): such rows are never fitted on"
        raise AffectkitError("leak", what, file=path, row=row + 1, remedy="leave test rows out of cross-fitting")
    return origin, np.flatnonzero(masks[origin])


def kinds_of(split: np.ndarray, seen: np.ndarray) -> str:
    """`12 (val, heldout); 3 (test, heldout)`: how many rows there are of each kind, [N] both."""
    kinds, counts = np.unique([f"{a or 'no split'}, {b}" for a, b in zip(split, seen, strict=True)], return_counts=True)
    return "; ".join(f"{count} ({kind})" for kind, count in zip(kinds, counts, strict=True))


def _folds(
    predictions: Predictions, fit: np.ndarray, groups: np.ndarray, column: str | None, seed: int
) -> tuple[np.ndarray, str, bool]:
    fit_groups, ids = groups[fit], predictions.frame["id"].astype(str).to_numpy()[fit]
    single = column is not None and len(set(fit_groups)) == 1 and fit_groups[0] != ""
    named = predictions.groups("fold")
    if named is not None and not single:
        cells = named[fit]
        pairs = {(group, fold) for group, fold in zip(fit_groups, cells, strict=True) if group != ""}
        straddle = len(pairs) > len(set(fit_groups) - {""})
        if (cells != "").all() and len(set(cells)) > 1 and not straddle:
            names, codes = np.unique(cells, return_inverse=True)
            return codes, f"the table's own {len(names)} folds", False
    if column is None or single or not (fit_groups != "").any():
        count = min(FOLDS, len(fit))
        which = f"within the one {column}" if single else "of rows (no groups are known)"
        return folds_of_rows(ids, None, count, seed), f"{count} folds {which}", single
    named_groups = apart(ids, fit_groups)
    codes = outer_folds(named_groups, grouped=True, seed=seed)
    return codes, folds_in_words(codes, named_groups, column), False


def cross_fit(
    plan: FitPlan,
    usable: np.ndarray,
    fit: Callable[[np.ndarray], P],
    apply: Callable[[P, np.ndarray], TargetPrediction],
    answers: TargetPrediction | None = None,
) -> tuple[P, TargetPrediction]:
    """The final fit, and the answers for all N rows: of a fit on the other folds for the rows fitted on.

    usable: [N] bool, rows with a truth and an answer. fit: positions -> a fit. apply: (a fit, positions) -> answers.
    answers: those of `held_out`, where they are known. Raises "input" where a fold leaves nothing to fit on.
    """
    final = fit(_require(plan.fit[usable[plan.fit]], plan))
    output = apply(final, np.arange(len(usable)))
    if answers is None:
        answers = held_out(plan, usable, fit, apply)
    return final, output.put(plan.fit, answers)


def held_out(
    plan: FitPlan,
    usable: np.ndarray,
    fit: Callable[[np.ndarray], P],
    apply: Callable[[P, np.ndarray], TargetPrediction],
    mapped: Callable[[Callable[[Any], TargetPrediction], Iterable[Any]], Iterable[TargetPrediction]] = map,
) -> TargetPrediction:
    """The answers for the M rows fitted on, each of a fit on the other folds; as in `cross_fit`. mapped: what goes
    through the folds, such as a pool's `map`."""

    def of_fold(fold: Any) -> TargetPrediction:
        others = plan.fit[plan.folds != fold]
        return apply(fit(_require(others[usable[others]], plan)), plan.fit[plan.folds == fold])

    folds = np.unique(plan.folds)
    order = np.concatenate([np.flatnonzero(plan.folds == fold) for fold in folds])
    return TargetPrediction.joined(list(mapped(of_fold, folds))).take(np.argsort(order))


def _require(rows: np.ndarray, plan: FitPlan) -> np.ndarray:
    if not len(rows):
        what = f"too few {plan.origin} rows have a truth and an answer to fit on"
        raise AffectkitError("input", what, remedy="give more of them")
    return rows
