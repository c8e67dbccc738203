"""What `NAME=PATH` names on a command line: predictions or a table of features, and the model that made them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affectkit.artifacts.array_features import is_array
from affectkit.artifacts.features import Features, is_tabulated, read_features
from affectkit.artifacts.manifest import Manifest, read_manifest
from affectkit.artifacts.models import BEST, SPEC, no_fit_rows, read_fit_rows, read_spec
from affectkit.artifacts.predictions import (
    Predictions,
    has_predictions,
    join_columns,
    numeric_columns,
    parse_predictions,
    vouched,
)
from affectkit.artifacts.records import trusted
from affectkit.artifacts.sequences import Gathering, gather
from affectkit.artifacts.tables import read_table
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target
from affectkit.media.cuts import AT
from affectkit.plain import comma_separated, is_file_name
from affectkit.splits import GROUP_COLUMNS, SPLITS

if TYPE_CHECKING:
    import pandas as pd


log = logging.getLogger(__name__)

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class Source:
    """A named source. path: the table. model: the `best_model/` whose run wrote it, None for a table of any other tool.

    One of predictions and features is there. fitted: what the model was fitted on (`fit_rows.csv`), empty if unknown.
    of: [N] text, the manifest's row that each answer is of, where answers are of windows; None where they are of rows.
    """

    name: str
    path: Path
    model: Path | None
    fitted: pd.DataFrame
    predictions: Predictions | None = None
    features: Features | None = None
    of: np.ndarray | None = None

    def table(self) -> Predictions:
        """Its predictions. Raises "input" for a source of features."""
        if self.predictions is None:
            raise AffectkitError("input", "holds features, not predictions", file=self.path)
        return self.predictions


def named_paths(words: Sequence[str], *, least: int = 1) -> dict[str, Path]:
    """`["speech=runs/a", "text=b.csv"]` by name, in order. Raises "usage" for a name that lacks or stands twice."""
    paths: dict[str, Path] = {}
    for text in words:
        name, equals, path = text.partition("=")
        if not equals or not path or not is_file_name(name):
            remedy = "write speech=runs/speech/predictions.csv"
            raise AffectkitError("usage", f"'{text}' is not NAME=PATH", remedy=remedy)
        if name in paths:
            raise AffectkitError("usage", f"the name '{name}' stands twice", remedy="give each source its own")
        paths[name] = Path(path)
    if len(paths) < least:
        raise AffectkitError("usage", f"{len(paths)} source, at least {least} are needed", remedy="name more NAME=PATH")
    return paths


def predictions_path(path: Path) -> Path:
    """The table: `path` itself, or the `predictions.csv` of a run folder."""
    if not path.is_dir():
        return trusted(path)
    file = trusted(path / PREDICTIONS)
    if not file.is_file():
        raise AffectkitError("missing", f"holds no {PREDICTIONS}", file=path, remedy="name a run folder, or a CSV")
    return file


def model_beside(file: Path) -> Path | None:
    """The `best_model/` of the run that wrote a table of predictions; None for a table of any other tool."""
    beside = trusted(file.parent / BEST) if file.name == PREDICTIONS else file.parent
    return beside if file.name == PREDICTIONS and (beside / SPEC).exists() else None


def called(path: Path) -> str:
    """What tells a source from others: the run's folder, where the file or model in it is called as everywhere."""
    return (path.name in (PREDICTIONS, BEST) and path.parent.name) or path.name


def read_source(
    name: str, path: Path, *, targets: Sequence[Target] = (), treat_as: str | None = None, tables: bool = False
) -> Source:
    """Read predictions, and find the model that stands beside them.

    treat_as: as in `read_predictions`. tables: a CSV without predictions, or a features folder, is taken as features.
    """
    if tables and ((path / "encoder.json").exists() or is_tabulated(path)):
        return Source(name, path, None, no_fit_rows(), features=read_features(path))
    if is_array(path):
        message = "is an array of features, not a table by id"
        raise AffectkitError("input", message, file=path, remedy="name it with --features of train, predict or ablate")
    file = predictions_path(path)
    model = model_beside(file)
    # a model's targets: its table does not say their scales
    described = [Target.from_json(target) for target in read_spec(model)["targets"]] if model else []
    known = [*targets, *described]
    table = read_table(file, required=["id"], numbers=partial(numeric_columns, targets=known))
    if tables and not has_predictions(table.columns):
        return Source(name, file, None, no_fit_rows(), features=read_features(file))
    predictions = parse_predictions(table, file, targets=known, treat_as=treat_as)
    return Source(name, file, model, read_fit_rows(model or file.parent), predictions=predictions)


# --- Predictions with what a manifest knows of their rows, for commands that turn one table into another


def read_joined(
    path: Path, *, manifest: Path | Manifest | None = None, columns: Sequence[str] = (), treat_as: str | None = None
) -> Predictions:
    """Read predictions (a CSV, or the run folder that holds one); truth, split, groups and `columns` come from the
    manifest where the table lacks them.

    Raises "usage" for `treat_as` on a table that says itself how its rows were seen.
    """
    [source] = read_joined_sources({"predictions": path}, manifest=manifest, columns=columns, treat_as=treat_as)
    assert source.predictions is not None
    return source.predictions


def read_joined_sources(
    paths: Mapping[str, Path],
    *,
    manifest: Path | Manifest | None = None,
    columns: Sequence[str] = (),
    treat_as: str | None = None,
    tables: bool = False,
) -> list[Source]:
    """As `read_joined`, of several by name. tables: as in `read_source`."""
    rows = read_manifest(manifest) if isinstance(manifest, Path) else manifest
    known = list(rows.targets.values()) if rows is not None else []
    vouched_for = None if rows is not None else treat_as  # what the manifest says of a row's split comes first
    sources = [
        read_source(name, path, targets=known, treat_as=vouched_for, tables=tables) for name, path in paths.items()
    ]
    if treat_as and not any(source.predictions.foreign for source in sources if source.predictions is not None):
        message = "--treat-as is for predictions without a column 'seen', and these have one"
        raise AffectkitError("usage", message, file=sources[0].path, remedy="leave it out")
    joined = [_with_manifest(source, rows, columns, treat_as) for source in sources] if rows is not None else sources
    for source in joined:
        if source.predictions is not None:
            _warn_of_no_part(source.predictions)
    return joined


WINDOW_OF = ("clip", "sequence")  # columns in which windows and frames name what they are of


def rows_of_manifest(paths: Mapping[str, Path], rows: Manifest, over: str | None = None) -> list[Source]:
    """Sources of predictions, by name, with those of their rows that a manifest has, and its splits.

    Where a source's ids are not the manifest's, its rows may be windows of the manifest's. over: the column that names
    these (default: `clip`, `sequence`, or what stands before @ in the id). Raises "input" for a column that is not
    there.
    """
    sources = []
    for name, path in paths.items():
        source = read_source(name, path)  # which may have classes of its own, such as a text's sentiment
        of = _windows_of(source.table(), rows, over)
        known = source.table().frame["id"] if of is None else of
        there = np.isin(known.astype(str), rows.rows["id"].to_numpy(str))
        table = source.table().take(there)
        if of is None:
            joined = join_columns(table, rows.rows, ["split"])
        else:
            joined = _with_splits(table, of[there], rows)
        sources.append(replace(source, predictions=vouched(joined, None), of=None if of is None else of[there]))
    return sources


def _windows_of(table: Predictions, rows: Manifest, over: str | None) -> np.ndarray | None:
    """[N] text, the manifest's row that each answer is of; None where the ids are the manifest's own."""
    ids = set(rows.rows["id"])
    if over is not None and over in table.frame:
        return table.frame[over].to_numpy(str).astype(object)
    if table.frame["id"].isin(ids).any():
        return None
    if over is not None:
        remedy = did_you_mean(over, list(table.frame.columns))
        raise AffectkitError("input", f"--over: there is no column '{over}'", file=table.path, remedy=remedy)
    named = [table.frame[column] for column in WINDOW_OF if column in table.frame]
    named.append(table.frame["id"].str.rpartition(AT)[0])
    return next((cells.to_numpy(object) for cells in named if cells.isin(ids).any()), None)


def _with_splits(table: Predictions, of: np.ndarray, rows: Manifest) -> Predictions:
    """Windows are of the split that their row is of."""
    if "split" not in rows.rows or "split" in table.frame:
        return table
    splits = rows.rows.set_index("id")["split"].reindex(of).to_numpy()
    return replace(table, frame=table.frame.assign(split=splits))


def _warn_of_no_part(predictions: Predictions) -> None:
    """Count the rows of a table with splits that are of none of ours."""
    frame = predictions.frame
    known = frame["split"].isin(SPLITS) if "split" in frame else frame["id"] != ""
    odd = frame[~known & (frame["seen"] == "heldout")]
    if known.any() and len(odd):
        names = ", ".join(f"'{name}'" if name else "(empty)" for name in sorted(set(odd["split"])))
        what = (
            "%s: %d of %d rows are of split %s, which is none of %s: they are neither fitted nor, unless named, judged"
        )
        log.warning(what, predictions.path, len(odd), len(frame), names, ", ".join(SPLITS))


def rows_answered(rows: Manifest, model: Path | None) -> Manifest:
    """The rows of a manifest that a `best_model/` answers: one for each sequence, where it pools them."""
    spec = read_spec(model) if model else {"targets": []}
    how = Gathering.of(spec)
    if how is None:
        return rows
    return gather(rows, how, [Target.from_json(target) for target in spec["targets"]], strict=False).manifest


def _with_manifest(source: Source, rows: Manifest, columns: Sequence[str], treat_as: str | None) -> Source:
    table = source.predictions
    if table is None:
        return source
    wanted = [*table.targets, "split", "fold", *GROUP_COLUMNS, *columns]
    answered = rows_answered(rows, source.model)
    joined = join_columns(table, answered.rows, list(dict.fromkeys(wanted)))
    return replace(source, predictions=vouched(joined, treat_as))


def chosen_targets(predictions: Predictions, names: str | None) -> list[Target]:
    """The targets named "label,valence", by default all. Raises "usage" with near misses."""
    for name in comma_separated(names):
        if name not in predictions.targets:
            remedy = did_you_mean(name, list(predictions.targets))
            raise AffectkitError("usage", f"predicts no '{name}'", file=predictions.path, remedy=remedy)
    return [predictions.targets[name] for name in comma_separated(names) or predictions.targets]


def as_seen(predictions: Predictions, treat_as: str | None) -> Predictions:
    """The table as it may be written: one that came without `seen` gets none, unless the user vouched for its rows."""
    if predictions.foreign and not treat_as:
        return replace(predictions, frame=predictions.frame.drop(columns="seen"))
    return predictions
