"""Which rows of a manifest a model is fitted on, which of them are cross-predicted, and which stay held out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import empty_cells
from affectkit.errors import AffectkitError
from affectkit.labels import Target, spelt_alike
from affectkit.splits import apart, default_group, outer_folds

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """group: the column of what must not straddle, None where rows are independent. groups: [N] text, each row's own
    where it has none. fit: [M] positions of the rows of the final fit. folds: [M] int, under cross-prediction.
    labelled: [N] bool, rows that tell a fit anything.
    """

    ids: np.ndarray
    group: str | None
    groups: np.ndarray
    fit: np.ndarray
    folds: np.ndarray | None
    labelled: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """[N] text, what predictions of all rows are, those of the fit rows from their folds' models."""
        seen = np.full(len(self.ids), "heldout", dtype=object)
        seen[self.fit] = "fit" if self.folds is None else "oof"
        return seen

    @property
    def fitted(self) -> np.ndarray:
        """[N] text, as `seen`, of what the final fit says."""
        return replace(self, folds=None).seen

    @property
    def judged(self) -> np.ndarray:
        """[N] bool: rows whose predictions may be judged."""
        return self.seen != "fit"

    @property
    def straddle(self) -> bool:
        """Whether some rows are judged by a fit that met their group: it is on both sides, or in several folds."""
        return any(not set(self.groups[fitted]).isdisjoint(self.groups[judged]) for fitted, judged in self.judging())

    def fits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(rows fitted on, rows predicted) of every fit, positions: the final one, then one for each fold."""
        everything = np.arange(len(self.ids))
        names = np.unique(self.folds) if self.folds is not None else ()
        of_folds = [(self.fit[self.folds != name], self.fit[self.folds == name]) for name in names]
        return [(self.fit, everything), *of_folds]

    def judging(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(rows fitted on, rows judged by it) of every fit, positions."""
        (inside, everything), *folds = self.fits()
        return [(inside, np.setdiff1d(everything, self.fit)), *folds]

    def warn_of_copies(self, cells: np.ndarray, what: str) -> None:
        """Count the rows that are judged by a fit on rows with the very same cells: copies under another id.

        cells: [N] of any kind that compares; what: their name.
        """
        copied = [row for inside, outside in self.judging() for row in outside[np.isin(cells[outside], cells[inside])]]
        if copied:
            first = self.ids[copied[0]]
            logger.warning("%d rows have the same %s as rows fitted on for them, as '%s'", len(copied), what, first)

    def fit_rows(self) -> pd.DataFrame:
        """`id`, `group`, `role` of the labelled rows of the final fit, as `fit_rows.csv` has them."""
        import pandas as pd

        fit = self.fit[self.labelled[self.fit]]
        return pd.DataFrame({"id": self.ids[fit], "group": self.groups[fit], "role": "fit"})


def hold_out_rows(
    manifest: Manifest, targets: Sequence[Target] = (), *, group: str | None = None, cv: bool = False, seed: int = 0
) -> HeldOut:
    """Fit the train rows and hold out the others; with `cv` fit train and val rows, cross-predicted by the manifest's
    folds, else by group.

    targets: what is learnt: rows without any of them tell nothing; with a warning about classes that are judged but not
    fitted.
    group: the column of what must not straddle; None picks the speaker or what stands in for it. Raises "input" where
    nothing is left to fit or to hold out, "usage" for a manifest of folds without `cv`.
    """
    rows = manifest.rows
    column, groups = groups_of(manifest, group)
    if column is None:
        logger.warning("the manifest names no speakers or other groups: folds and intervals take rows as independent")
    ids = rows["id"].astype(str).to_numpy()
    fit = _fit_positions(manifest, cv)
    folds = _folds(rows.iloc[fit], groups[fit], grouped=column is not None, seed=seed) if cv else None
    unlabelled = [empty_cells(rows[target.name].to_numpy()) for target in targets]
    labelled = ~np.all(unlabelled, axis=0) if targets else np.ones(len(rows), bool)
    held_out = HeldOut(ids, column, groups, fit, folds, labelled)
    if held_out.straddle and not manifest.declared():
        logger.warning("%s: some stand on both sides of the split, and are judged by a fit that met them", column)
    for spellings in spelt_alike(set(groups)) if column and not manifest.summary else ():
        logger.warning(
            "%ss %s differ by case or spaces only, or by decimals, and count as different", column, spellings
        )
    for target in targets:
        if target.kind != "number":
            _warn_of_unlearnt(held_out, rows[target.name].to_numpy(), target.name)
    return held_out


def _warn_of_unlearnt(held_out: HeldOut, labels: np.ndarray, target: str) -> None:
    """Name the classes that rows to be judged have, and none of those fitted on for them."""
    fits = held_out.fits()
    lacking = Counter(name for fit, judged in fits for name in set(labels[judged]) - set(labels[fit]) - {""})
    for name, count in sorted(lacking.items()):
        where = f" in {count} of {len(fits)} fits" if len(fits) > 1 else ""
        what = "class '%s' of %s has rows that are judged, but none that is fitted%s: they are predicted as others"
        logger.warning(what, name, target, where)


def groups_of(manifest: Manifest, group: str | None = None) -> tuple[str | None, np.ndarray]:
    """The column of what must not straddle, and [N] text of it: each row's group, itself where it has none.

    group: as `hold_out_rows` takes it. Raises "input" for a column that is not there.
    """
    rows = manifest.rows
    column = group or default_group(rows)
    if column is not None and column not in rows:
        raise AffectkitError("input", f"--group: there is no column '{column}'", file=manifest.path)
    ids = rows["id"].astype(str).to_numpy()
    return column, ids if column is None else apart(ids, rows[column].astype(str).to_numpy())


def _fit_positions(manifest: Manifest, cv: bool) -> np.ndarray:
    rows, file = manifest.rows, manifest.path
    splits = rows["split"].to_numpy() if "split" in rows else np.full(len(rows), "train", dtype=object)
    if "fold" in rows and not cv:
        raise AffectkitError("usage", "a manifest of folds is predicted fold by fold", file=file, remedy="pass --cv")
    fit = np.flatnonzero(np.isin(splits, ["train", "val"] if cv else ["train"]))
    if not len(fit):
        raise AffectkitError("input", "has no train rows", file=file, remedy="give its folder, or its train.csv too")
    if not cv and len(fit) == len(rows):
        raise AffectkitError("input", "has train rows only: nothing is held out", file=file, remedy="pass --cv")
    return fit


def _folds(rows: pd.DataFrame, groups: np.ndarray, *, grouped: bool, seed: int) -> np.ndarray:
    if "fold" not in rows or not (rows["fold"] != "").any():
        return outer_folds(groups, grouped=grouped, seed=seed)
    names, folds = np.unique(rows["fold"].astype(str), return_inverse=True)
    if "" in names:
        lacking = rows["id"][rows["fold"] == ""].iloc[0]
        raise AffectkitError("input", f"--cv: id '{lacking}' has no fold", remedy="give every row one, or none")
    if len(names) < 2:
        raise AffectkitError("input", "the manifest has one fold only", remedy="make folds with prepare-manifest")
    return folds


# --- Which rows a model may be judged on


def seen_of(ids: Sequence[str], groups: Sequence[str] | None, fit_rows: pd.DataFrame) -> list[str]:
    """`fit` for each row that the model was fitted on, or whose group ("" is none) it was, else `heldout`.

    fit_rows: `id` and `group` of the rows fitted on, as `fit_rows.csv` has them.
    """
    fitted = set(fit_rows["id"])
    met = (set(fit_rows["group"]) if "group" in fit_rows else set()) - {""}
    cells = groups if groups is not None else [""] * len(ids)
    for what, known, others in (("id", fitted, ids), ("group", met, cells)):
        alike = [names for names in spelt_alike({*known, *others}) if known.intersection(names) and {*names} - known]
        if alike:
            message = "%s '%s' is one that the model was fitted on but for case, spaces or decimals: taken as another"
            logger.warning(message, what, next(name for name in alike[0] if name not in known))
    return ["fit" if key in fitted or group in met else "heldout" for key, group in zip(ids, cells, strict=True)]
