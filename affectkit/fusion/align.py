"""Named sources aligned: one table of rows, and what each source says of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import (
    LEADING,
    Predictions,
    empty_cells,
    places_of,
    require_agreement,
    target_columns,
)
from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.fusion.rule import SourceTable
from affectkit.labels import Target, spelt_alike
from affectkit.leakage.crossfit import FitOn

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlignedSources:
    """rows: every row that a source of predictions knows, with truth, split, fold, seen and groups; its answers are the
    first source's and stand for none. answers: target -> source -> what it says of the rows, NaN where it says nothing.
    seen: source of predictions -> [N], how it saw each row; "" where it has none.
    """

    rows: Predictions
    answers: dict[str, dict[str, TargetPrediction | SourceTable]]
    seen: dict[str, np.ndarray] = field(default_factory=dict)

    def outputs(self, target: str) -> dict[str, TargetPrediction]:
        """The answers of those sources that are predictions."""
        return {name: each for name, each in self.answers[target].items() if isinstance(each, TargetPrediction)}


def align(sources: Sequence[Source], *, fit_on: FitOn | None = None, learns: bool = True) -> AlignedSources:
    """Align sources by id, and their class columns by name.

    A row that a source lacks is missing there; one that a source was fitted on, without cross-fitted answers, would
    leak: it is left out under `fit_on="val"`, and refused otherwise. learns: of what learns nothing from the rows, each
    row may have one source alone, and none is left out. Raises "input" where sources disagree: about a
    truth, a split, the classes, or all of the rows.
    """
    predicting = [source for source in sources if source.predictions is not None]
    if not predicting:
        raise AffectkitError("usage", "no source holds predictions", remedy="name at least one table of predictions")
    rows = _union(predicting, in_common=learns)
    rows = _without_fitted(rows, predicting, fit_on) if learns else rows
    targets = _common_targets(predicting)
    rows = replace(rows, targets=targets)
    answers = {name: {s.name: _answer(s, target, rows) for s in sources} for name, target in targets.items()}
    for source in sources:
        known = answers[next(iter(targets))][source.name].known
        if not known.any():
            raise AffectkitError("input", "says nothing about the rows of the other sources", file=source.path)
        if not known.all() and learns:  # else a row may need another source
            logger.warning("%s has no answer for %d of %d rows", source.name, (~known).sum(), len(known))
    return AlignedSources(rows, answers, {source.name: _seen(source, rows) for source in predicting})


def only(aligned: AlignedSources, sources: Sequence[Source], names: Sequence[str]) -> AlignedSources:
    """Only the targets called `names` (all that are common where there are none), and no other's columns.

    Raises "usage" for one that is not common.
    """
    for name in names:
        if name not in aligned.rows.targets:
            remedy = did_you_mean(name, list(aligned.rows.targets))
            raise AffectkitError("usage", f"the sources do not all predict '{name}'", remedy=remedy)
    targets = {name: aligned.rows.targets[name] for name in names or aligned.rows.targets}
    tables = [source.predictions for source in sources if source.predictions is not None]
    others = [target for table in tables for name, target in table.targets.items() if name not in targets]
    stale = {column for target in others for column in target_columns(target)}
    frame = aligned.rows.frame.drop(columns=[column for column in aligned.rows.frame if column in stale])
    rows, answers = replace(aligned.rows, frame=frame, targets=targets), {n: aligned.answers[n] for n in targets}
    return replace(aligned, rows=rows, answers=answers)


def _seen(source: Source, rows: Predictions) -> np.ndarray:
    places = places_of(rows, source.table())
    return np.where(places < 0, "", source.table().frame["seen"].to_numpy(object)[places])


def _union(sources: Sequence[Source], *, in_common: bool) -> Predictions:
    """All rows, in the order of the first source that has them; what sources say of a row must agree. in_common: each
    source must share rows with those before."""
    import pandas as pd

    first = sources[0].table()
    frame = first.frame
    for source in sources[1:]:
        other = source.table()
        if in_common and not frame["id"].isin(other.frame["id"]).any():
            [spellings, *_] = spelt_alike([*frame["id"], *other.frame["id"]]) or [[]]
            remedy = f"write ids alike: {' and '.join(map(repr, spellings[:2]))} are two" if spellings else None
            raise AffectkitError("input", f"shares no id with {sources[0].name}", file=source.path, remedy=remedy)
        common = [name for name in first.targets if name in other.targets]  # what is no target there is unread text
        frame = _agreed(frame, other.frame, [*common, "split", "fold"], source)
        new = other.frame[~other.frame["id"].isin(frame["id"])]
        if len(new):
            frame = pd.concat([frame, new], ignore_index=True)
            for column in frame.columns:
                if frame[column].dtype == object:
                    frame[column] = frame[column].fillna("")
    return replace(first, frame=frame, foreign=all(source.table().foreign for source in sources))


def _agreed(frame: pd.DataFrame, other: pd.DataFrame, columns: Sequence[str], source: Source) -> pd.DataFrame:
    """`frame` with what only `other` knows of its rows; `seen` is the more careful of the two."""
    require_agreement(frame, other, columns, source.path)
    there = other.set_index("id").reindex(frame["id"])
    known = frame["id"].isin(other["id"]).to_numpy()
    for column in (c for c in columns if c in other):
        theirs = there[column].to_numpy()
        if column not in frame:
            missing = np.nan if other[column].dtype.kind == "f" else ""
            frame = frame.assign(**{column: np.where(known, theirs, missing)})
            continue
        ours = frame[column].to_numpy()
        frame = frame.assign(**{column: np.where(empty_cells(ours) & ~empty_cells(theirs), theirs, ours)})
    for column in (c for c in other.columns if c not in frame and c not in LEADING):
        frame = frame.assign(**{column: there[column].to_numpy()})
        if other[column].dtype == object:
            frame[column] = frame[column].fillna("")
    order = {"heldout": 0, "oof": 1, "fit": 2}
    ours, theirs = frame["seen"].to_numpy(), there["seen"].to_numpy()
    careful = [b if k and order[b] > order[a] else a for a, b, k in zip(ours, theirs, known, strict=True)]
    return frame.assign(seen=careful)


def _without_fitted(rows: Predictions, sources: Sequence[Source], fit_on: FitOn | None) -> Predictions:
    """Leave out, or refuse, rows that a source was fitted on and has no cross-fitted answers for."""
    keep = np.ones(len(rows.frame), bool)
    for source in sources:
        uncrossed = set(source.fitted["id"]) - set(source.table().frame["id"])
        lacking = rows.frame["id"].isin(uncrossed).to_numpy()
        if lacking.any() and fit_on != "val":
            raise AffectkitError(
                "leak", f"'{source.name}' was fitted on {lacking.sum()} of the rows, and has no cross-fitted answers "
                f"for them, as '{rows.frame['id'][int(lacking.argmax())]}'", file=source.path,
                remedy="train it with --cv, or pass --fit-on val",
            )  # fmt: skip
        keep &= ~lacking
    return rows.take(keep)


def _common_targets(sources: Sequence[Source]) -> dict[str, Target]:
    """The targets that every source predicts, as the first has them; one label map is needed."""
    tables = [source.table() for source in sources]
    common = {}
    for name, target in tables[0].targets.items():
        if not all(name in table.targets for table in tables):
            continue
        for source, table in zip(sources, tables, strict=True):
            other = table.targets[name]
            if other.kind != target.kind and "number" in (other.kind, target.kind):
                what = f"'{name}' is a {other.kind} here, elsewhere a {target.kind}"
                raise AffectkitError("input", what, file=source.path)
            if sorted(other.classes) != sorted(target.classes):
                odd = sorted(set(other.classes) ^ set(target.classes))
                raise AffectkitError(
                    "input", f"has other classes of {name} than {sources[0].name}: {', '.join(odd)} on one side only",
                    file=source.path, remedy="prepare both manifests with one label map",
                )  # fmt: skip
            if target.kind == "number" and target.scale is None and other.scale is not None:
                target = other
        common[name] = target
    if not common:
        raise AffectkitError("input", "the sources predict no common target", remedy="make them of one manifest")
    return common


def _answer(source: Source, target: Target, rows: Predictions) -> TargetPrediction | SourceTable:
    features = source.features
    if features is None:
        output = source.table().output(target.name).aligned(target)
        return output.at(places_of(rows, source.table()))
    ids = list(rows.frame["id"])
    lacking = set(features.missing(ids))
    there = [key for key in ids if key not in lacking]
    matrix = np.asarray(features.matrix(there), float) if there else np.empty((0, 0))
    names = tuple(features.names or (f"column_{number}" for number in range(matrix.shape[1])))
    values = np.full((len(ids), matrix.shape[1]), np.nan)
    values[[key not in lacking for key in ids]] = matrix
    return SourceTable(names, values)
