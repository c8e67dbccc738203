"""The rows that may be asked about: of predictions, of a manifest, or both; never test rows, nor their groups."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affectkit.artifacts.exchange import row_ids_of
from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import Manifest, media_columns, read_manifest
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import cells_of, empty_cells
from affectkit.artifacts.sources import read_joined_sources
from affectkit.artifacts.tables import read_table
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.rows import encode_target
from affectkit.fusion.align import align, only
from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._distances import side_by_side
from affectkit.labels import Target
from affectkit.plain import comma_separated
from affectkit.splits import default_group

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidates:
    """Every row that is known, and which may be asked about.

    frame: with `id`, and all that predictions and the manifest say. answers: source -> what it says of each target, in
    the order of `targets`. group: the column whose groups count as one. unlabelled, labelled: [N] bool, rows that may
    be asked about, without and with a label. left_out: why others may not, and how many. features: [N, D] float32;
    covered: [M, D], those of all rows that have their label. manifest: where one was named.
    """

    frame: pd.DataFrame
    targets: Sequence[Target]
    answers: Mapping[str, Sequence[TargetPrediction]]
    truths: Sequence[np.ndarray]
    unlabelled: np.ndarray
    labelled: np.ndarray
    group: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    features: np.ndarray | None = None
    covered: np.ndarray | None = None
    manifest: Manifest | None = None

    def media(self, rows: Sequence[int]) -> dict[str, list[str]]:
        """`path` and every `path_<name>` of rows at positions [M]: absolute where a manifest says what they are
        relative to, else as they are."""
        told, manifest = self.frame.iloc[rows], self.manifest
        if manifest is None:
            return {name: list(told[name]) for name in media_columns(told)}
        some = manifest.take(manifest.rows["id"].isin(set(told["id"])).to_numpy())
        cells = {}
        for name in media_columns(some.rows):
            paths = ("" if path is None else str(path.absolute()) for path in some.media(name))
            by_id = dict(zip(some.rows["id"], paths, strict=True))
            cells[name] = [by_id.get(key, "") for key in told["id"]]
        return cells

    @property
    def lacking(self) -> np.ndarray:
        """[N] bool, rows that lack a label, whether they may be asked about or not."""
        return _lacking(self.truths)

    def cells(self, name: str) -> np.ndarray:
        """[N] text of a column. Raises "usage" with near misses."""
        if name not in self.frame:
            remedy = did_you_mean(name, list(self.frame.columns)) or "name the --manifest that has it"
            raise AffectkitError("usage", f"there is no column '{name}'", remedy=remedy)
        return cells_of(self.frame, name)

    def predicted(self) -> np.ndarray:
        """[N] text, the class that the sources together say of the first class target. Raises "usage" for none."""
        pool = self.pool(0)
        told = next((output for output in pool.outputs if output.target.kind != "number"), None)
        if told is None:
            raise AffectkitError("usage", "--per-class: no class is predicted", remedy="leave it out")
        return told.classes

    def pool(self, wanted: int) -> Pool:
        return Pool(self.frame["id"].to_numpy(), self.answers, self.features, self.covered, self.truths, wanted)


def read_candidates(
    sources: Mapping[str, Path],
    manifest: Path | None,
    *,
    media_root: Path | None = None,
    features: Sequence[Path] = (),
    target: str | None = None,
    group: str | None = None,
    columns: Sequence[str] = (),
    split: str | None = None,
    exclude: Sequence[Path] = (),
) -> Candidates:
    """sources: predictions by name. columns: further ones that are needed. split: of which alone rows are asked about.
    exclude: tables, manifests or queues whose rows are not."""
    rows = read_manifest(manifest, media_root=media_root) if manifest else None
    if sources:
        frame, targets, answers = _answered(sources, rows, target, [*columns, *([group] if group else [])])
    elif rows is not None:
        frame, targets, answers = rows.rows, rows.chosen_targets(target), {}
    else:
        raise AffectkitError("usage", "query needs predictions, or a --manifest", remedy="name either")
    group = _group(frame, rows, group)
    truths = [_truth(frame, each) for each in targets]
    known = ~_lacking(truths)
    closed, left_out = _closed(frame, rows, group, split, exclude)
    # A row without a label may be of a person who was fitted on; a label is doubted by fits without it alone.
    fitted = frame["seen"].to_numpy() == "fit" if "seen" in frame else np.zeros(len(frame), bool)
    open_ = {"unlabelled": ~closed & ~known, "labelled": ~closed & known & ~fitted}
    found = Candidates(frame, targets, answers, truths, **open_, group=group, left_out=left_out, manifest=rows)
    if not features:
        return found
    matrix, labelled = _features(features, found, _labelled_ids(frame, known, rows, targets))
    return replace(found, features=matrix, covered=labelled)


def _labelled_ids(
    frame: pd.DataFrame, known: np.ndarray, rows: Manifest | None, targets: Sequence[Target]
) -> list[str]:
    """Of the rows that have a label, those of the manifest where there is one, but for test rows."""
    if rows is not None and all(target.name in rows.rows for target in targets):
        frame = rows.rows
        known = np.all([~empty_cells(frame[target.name].to_numpy()) for target in targets], axis=0)
    return list(frame["id"][known & ~_tests(frame)])


def _answered(
    sources: Mapping[str, Path], rows: Manifest | None, target: str | None, columns: Sequence[str]
) -> tuple[pd.DataFrame, list[Target], dict[str, list[TargetPrediction]]]:
    wanted = ["text", "start_sec", "end_sec", *columns]
    joined = read_joined_sources(sources, manifest=rows, columns=wanted)
    aligned = only(align(joined, learns=False), joined, comma_separated(target))
    targets = list(aligned.rows.targets.values())
    answers = {name: [aligned.outputs(each.name)[name] for each in targets] for name in sources}
    return aligned.rows.frame, targets, answers


def _truth(frame: pd.DataFrame, target: Target) -> np.ndarray:
    """[N] float64, NaN where unlabelled."""
    return encode_target(target, frame[target.name]) if target.name in frame else np.full(len(frame), np.nan)


def _lacking(truths: Sequence[np.ndarray]) -> np.ndarray:
    return np.isnan(np.stack(truths)).any(axis=0)


def _tests(frame: pd.DataFrame) -> np.ndarray:
    return frame["split"].to_numpy() == "test" if "split" in frame else np.zeros(len(frame), bool)


def _group(frame: pd.DataFrame, rows: Manifest | None, group: str | None) -> str | None:
    known = rows.rows if rows is not None else frame
    if group is None:
        return default_group(known)
    if group not in known:
        remedy = did_you_mean(group, list(known.columns)) or "name the --manifest that has it"
        raise AffectkitError("usage", f"--group: there is no column '{group}'", remedy=remedy)
    return group


def _closed(
    frame: pd.DataFrame, rows: Manifest | None, group: str | None, split: str | None, exclude: Sequence[Path]
) -> tuple[np.ndarray, dict[str, int]]:
    """[N] bool, rows that nobody is asked about, and how many by which reason."""
    import pandas as pd

    closed, why = np.zeros(len(frame), bool), dict[str, int]()

    def close(reason: str, here: np.ndarray) -> None:
        nonlocal closed
        if count := int((here & ~closed).sum()):
            why[reason] = count
        closed = closed | here

    everything = rows.rows if rows is not None else frame
    if "split" not in everything:
        what = "no split says which rows are test rows: any row may be asked about"
        log.warning("%s; name the --manifest that has them", what)
    else:
        tests = everything[_tests(everything)]
        close("test rows", _tests(frame) if rows is None else frame["id"].isin(tests["id"]).to_numpy())
        if group and group in frame and group in everything:
            judged = pd.Index(cells_of(tests, group)).unique().difference([""])
            close(of_test_groups(group), pd.Index(cells_of(frame, group)).isin(judged))
    if split:
        close(f"rows of other splits than {split}", frame["split"].to_numpy() != split)
    for path in exclude:
        close(f"rows of {path.name}", frame["id"].isin(_ids(path)).to_numpy())
    return closed, why


def of_test_groups(group: str | None) -> str:
    """Why a row is left out that is no test row itself."""
    return f"rows of a {group} of test rows"


def _ids(path: Path) -> set[str]:
    """Of a manifest, a queue in any format, labels, or any table with `id`."""
    if path.suffix.lower() in (".json", ".jsonl"):
        return set(row_ids_of(path))
    if path.is_dir():
        return set(read_manifest(path).rows["id"])
    return set(read_table(path, required=["id"])["id"])


def _features(features: Sequence[Path], found: Candidates, labelled: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """[N, D] float32, 0 for rows that nobody is asked about, and [M, D] of the labelled rows that have features; all
    sets side by side, standardised. Raises "input" for a row to be asked about that has none."""
    rows = found.unlabelled | found.labelled
    needed, sets = list(found.frame["id"][rows]), [read_features(path) for path in features]
    missing = {key for each in sets for key in each.missing(labelled)}
    there = [key for key in labelled if key not in missing]
    ids = needed + there
    told = side_by_side([_dense(each.matrix(ids), each.path) for each in sets])
    matrix, labelled_rows = np.zeros((len(rows), told.shape[1]), np.float32), told[len(needed) :].copy()
    matrix[rows] = told[: len(needed)]
    return matrix, labelled_rows


def _dense(values: np.ndarray, path: Path) -> np.ndarray:
    if not isinstance(values, np.ndarray):
        remedy = "use features of numbers, such as those of a network or openSMILE"
        raise AffectkitError("input", "is no matrix of numbers: it has no distances", file=path, remedy=remedy)
    return values
