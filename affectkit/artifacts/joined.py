"""Predictions with what a manifest knows of their rows, for commands that turn one table into another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from affectkit.artifacts.manifest import Manifest, read_manifest
from affectkit.artifacts.prediction_reader import vouched
from affectkit.artifacts.predictions import Predictions, join_columns
from affectkit.artifacts.sources import Source, read_source
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target
from affectkit.plain import comma_separated
from affectkit.splits import GROUP_COLUMNS


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
    own = None if rows is not None else treat_as  # what the manifest says of a row's split comes first
    found = [read_source(name, path, targets=known, treat_as=own, tables=tables) for name, path in paths.items()]
    if treat_as and not any(source.predictions.foreign for source in found if source.predictions is not None):
        message = "--treat-as is for predictions without a column 'seen', and these have one"
        raise AffectkitError("usage", message, file=found[0].path, remedy="leave it out")
    return [_with_manifest(source, rows, columns, treat_as) for source in found] if rows is not None else found


def _with_manifest(source: Source, rows: Manifest, columns: Sequence[str], treat_as: str | None) -> Source:
    table = source.predictions
    if table is None:
        return source
    wanted = [*table.targets, "split", "fold", *GROUP_COLUMNS, *columns]
    joined = join_columns(table, rows.rows, list(dict.fromkeys(wanted)))
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
