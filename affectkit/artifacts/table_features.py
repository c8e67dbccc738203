"""Features that are named columns of any kind: of a CSV, or of the manifest itself (`manifest:age,sex`)."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.array_features import is_array, open_array_features
from affectkit.artifacts.columns import GAPS, Column, Where, counts_rows, infer, read_as
from affectkit.artifacts.features import Features, is_tabulated, of_numbers, of_rows, read_features
from affectkit.artifacts.manifest import COLUMNS, Manifest
from affectkit.artifacts.records import trusted
from affectkit.artifacts.tables import iter_rows, read_table, to_numbers
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import spelt_alike
from affectkit.media.texts import with_language_codes
from affectkit.plain import as_typed, comma_separated, is_file_name
from affectkit.splits import GROUP_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MANIFEST, EVERY = "manifest:", "*"
OWN = Path(MANIFEST + EVERY)
DIVIDING = ("id", "split", "fold")
ADD = "add it, with empty cells where it is not known, or pass the table that has it with --features"
BOX = ("_x", "_y", "_width", "_height")
OF_PEOPLE = ("sex", "language")  # those of the manifest's own columns that say something of a row's content


def is_manifest(path: Path) -> bool:
    """Whether features are the manifest's own columns."""
    return str(path).startswith(MANIFEST)


@dataclass(frozen=True)
class FeatureSet:
    """What one `--features` says. name: "" where none is given."""

    path: Path
    name: str = ""

    @property
    def called(self) -> str:
        """What messages call it: its name, else that of its folder or file."""
        return self.name or (MANIFEST.rstrip(":") if is_manifest(self.path) else self.path.resolve().stem)


def feature_sets(features: Iterable[Path | str]) -> list[FeatureSet]:
    """`FOLDER`, or `static=FOLDER` with a name; what is there as a path is one. Raises "usage" for a name that stands
    twice, or that no file can have."""
    sets = list(map(_feature_set, map(str, features)))
    for name, times in Counter(each.name for each in sets if each.name).items():
        if times > 1:
            raise AffectkitError("usage", f"--features: the name '{name}' stands twice", remedy="give each its own")
    return sets


def _feature_set(text: str) -> FeatureSet:
    name, equals, path = text.partition("=")
    if not equals or not path or name.startswith(MANIFEST) or os.path.exists(text):
        return FeatureSet(Path(text))
    if is_file_name(name):
        return FeatureSet(Path(path), name.strip())
    if os.path.exists(path):
        what = f"--features: '{name}' cannot be a set's name, which becomes a file's"
        raise AffectkitError("usage", what, remedy="write a word, as in static=FOLDER")
    return FeatureSet(Path(text))


def called(sets: Sequence[FeatureSet]) -> list[str]:
    """What messages call them, each by a name of its own: dynamic, dynamic-2."""
    names: list[str] = []
    chosen = {each.name for each in sets if each.name}
    for each in sets:
        taken = {*names} if each.name else {*names, *chosen}
        numbered = (each.called + (f"-{number}" if number > 1 else "") for number in count(1))
        names.append(next(name for name in numbered if name not in taken))
    return names


def files_of(features: Iterable[Path | str]) -> list[Path]:
    """Those that are files or folders of their own."""
    return [each.path for each in feature_sets(features) if not is_manifest(each.path)]


def is_table(path: Path) -> bool:
    """Whether features are named columns of any kind, not an array nor what an encoder or `tabulate` wrote."""
    return is_manifest(path) or (path.is_file() and not is_array(path) and not is_tabulated(path))


def open_features(
    path: Path,
    manifest: Manifest,
    *,
    apart: Collection[str | None] = (),
    exclude: Collection[str] = (),
) -> Features:
    """Open what `--features` names. Columns of a table that rows are judged or divided by are left out, and named.

    apart: such columns, besides splits and folds. exclude: further columns to leave out. Raises as `read_features` and
    `infer` do, and "input" for columns that the manifest lacks.
    """
    if not is_table(path):
        return read_encoded(path, manifest)
    names = columns_of(path, manifest)
    telling = [name for name in names if name in (*apart, *DIVIDING[1:])]
    if telling:
        log.warning("%s: left out of the features: rows are judged or divided by it", ", ".join(telling))
    names = [name for name in names if name not in (*DIVIDING, *telling, *exclude)]
    frame = _frame(path, manifest, names)
    ids = list(frame["id"])
    if not is_manifest(path) and _all_numbers(frame[names]):
        features = of_numbers(frame, path, names)
        counting = [name for name, cells in zip(names, features.matrix(ids).T, strict=True) if counts_rows(cells)]
        if counting:
            message = "'%s' numbers the rows, and tells no more than their order: pass --exclude %s to leave it out"
            log.warning(message, counting[0], as_typed(counting[0]))
        return features
    table = infer(frame[names], _places(path, manifest))
    return of_rows(ids, path, table.names, table)


def read_encoded(path: Path, manifest: Manifest) -> Features:
    """What an encoder or `tabulate` wrote, or an array of the manifest's. Raises as both do."""
    return open_array_features(path, manifest) if is_array(path) else read_features(path)


def open_known(path: Path, manifest: Manifest, known: Mapping[str, Any]) -> Features:
    """The same for a model that was trained on columns, and needs these and no others.

    known: what `Features.described` says of them. Raises "input" for a column that is not there, and naming the row of
    a cell of another kind.
    """
    columns = [Column(**column) for column in known.get("columns", ())]
    names = [column.name for column in columns] or list(known["feature_names"])
    numbers = [column.name for column in columns if column.kind == "number"] or names
    frame = _frame(path, manifest, numbers)
    file = manifest.path if is_manifest(path) else path
    for name in names:
        if name not in frame:
            alike = next((spelt for spelt in spelt_alike([name, *frame.columns]) if name in spelt), [name])
            message = f"has no column '{name}', which the model was trained on"
            remedy = next((f"rename '{other}', if that is it" for other in alike if other != name), ADD)
            raise AffectkitError("input", message, file=file, remedy=remedy)
    if not columns:
        return of_numbers(frame, file, names)
    return of_rows(list(frame["id"]), path, names, read_as(frame, columns, _places(path, manifest)))


def columns_of(path: Path, manifest: Manifest) -> list[str]:
    """The names of what `--features` names, in order; of what an encoder wrote, none."""
    if not is_manifest(path):
        return next(iter_rows(trusted(path))) if is_table(path) else []
    wanted, known = comma_separated(str(path).removeprefix(MANIFEST)), list(manifest.rows.columns)
    for name in wanted:
        if name not in known and name != EVERY:
            remedy = did_you_mean(name, known)
            raise AffectkitError("input", f"has no column '{name}'", file=manifest.path, remedy=remedy)
    return [name for name in known if name in wanted or (EVERY in wanted and _is_content(name, manifest))]


def refuse_unknown(exclude: Sequence[str], features: Sequence[Path], manifest: Manifest) -> None:
    """Raises "usage" for a column to leave out that none of the tables has."""
    known = list(dict.fromkeys(name for path in features for name in columns_of(path, manifest)))
    for name in exclude:
        if name not in known:
            remedy = did_you_mean(name, known)
            raise AffectkitError("usage", f"--exclude: no table of features has a column '{name}'", remedy=remedy)


def _is_content(name: str, manifest: Manifest) -> bool:
    """Whether a manifest's column says something of the row itself, not of its files, its truth or its place."""
    box = next((name.removesuffix(end) for end in BOX if name.endswith(end)), "")
    if name in manifest.targets or name.startswith(("path_", "votes_")):
        return False
    if box and all(box + end in manifest.rows for end in BOX):
        return False
    return name in OF_PEOPLE or name not in (*COLUMNS, *GROUP_COLUMNS)


def _frame(path: Path, manifest: Manifest, numbers: Collection[str]) -> pd.DataFrame:
    """numbers: columns that are float64, if nothing but numbers and gaps stand in them."""
    if is_manifest(path):
        return manifest.rows
    return with_language_codes(read_table(path, required=["id"], numbers=lambda header: numbers, gaps=GAPS))


def _all_numbers(frame: pd.DataFrame) -> bool:
    try:
        for name in frame:
            to_numbers(frame[name])
    except AffectkitError:
        return False
    return True


def _places(path: Path, manifest: Manifest) -> Where:
    return manifest.where if is_manifest(path) else lambda position: {"file": path, "row": position + 1}
