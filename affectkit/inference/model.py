"""What a model that predicts is, whatever it is made of."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.records import trusted
from affectkit.artifacts.sequences import Gathering, Sequences, gather, marked
from affectkit.artifacts.tables import RENUMBER, first_row, read_table
from affectkit.console import Progress, unwatched
from affectkit.corpora._files import AUDIO, IMAGES, VIDEO, find_files, relative
from affectkit.corpora._tables import decode, safe_id
from affectkit.encoders._loop import OnError
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.leakage.held_out import seen_of
from affectkit.media import check_file
from affectkit.media.series_formats import ENDINGS as SERIES
from affectkit.media.texts import with_language_codes
from affectkit.plain import RENAME, readable

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """How to run: device, worker processes, what a bad row does ("stop" or "skip"). tta, mc_dropout: passes over a
    row; None: as the model was made. progress: called as rows are done."""

    device: str = "auto"
    num_workers: int | None = None
    on_error: OnError = "stop"
    tta: int | None = None
    mc_dropout: int | None = None
    progress: Progress = unwatched
    _told: set[tuple[str, str]] = field(default_factory=set, repr=False, compare=False)

    def tell_skipped(self, row_id: str, reason: str) -> None:
        """Say that a row is skipped, and why: once, though several models of a chain may skip it."""
        if (row_id, reason) not in self._told:
            self._told.add((row_id, reason))
            logger.warning("%s is skipped: %s", row_id, reason)


@dataclass(frozen=True)
class Model(ABC):
    """A model that predicts: an estimator, or a chain that ends in one or several.

    folder: the `best_model/` it came from. spec: what its `affectkit.json` says. fit_rows: what it, or a parent, was
    fitted on. parents: of a chain, by name.
    """

    folder: Path
    spec: dict[str, Any]
    fit_rows: pd.DataFrame
    parents: Mapping[str, Model] = field(default_factory=dict, kw_only=True)

    @property
    def feature_sets(self) -> int:
        """How many features folders can stand in for its encoders."""
        return len(self.spec.get("features", ())) + sum(parent.feature_sets for parent in self.parents.values())

    @property
    def columns(self) -> Sequence[str]:
        """The columns of text by which it decides (`Needs`)."""
        return self.spec.get("columns", ())

    @property
    def drops(self) -> bool:
        """Whether it, or a parent, is a network whose dropout can be drawn from (`Work.mc_dropout`)."""
        return any(parent.drops for parent in self.parents.values())

    @abstractmethod
    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        """Predict a manifest's rows from `features`, else from their raw media or text with the model's own encoders.

        A model of sequences gives one row for each of them.

        Every row is marked: "heldout", or "fit" where the row, or its group, is one that the model was fitted on;
        groups do not count for a model whose own split let them straddle, by a protocol that reports declare.
        Skipped rows are logged. Raises "input" for features of another encoder, "missing" for rows without media.
        """


@dataclass(frozen=True)
class Imported:
    """An expert that was fitted elsewhere, and what it says of a manifest's rows.

    expert: what its folder is written by. spec: what its `affectkit.json` says of this kind of expert. facts: what
    `train_report.json` says of it.
    """

    expert: SavedExpert
    predictions: Predictions
    spec: Mapping[str, Any]
    facts: Mapping[str, Any]


class SavedExpert(Protocol):
    def save(self, folder: Path) -> None: ...


def check_drops(model: Model, draws: int | None) -> None:
    """Raises "usage" for draws of a dropout that no part of a model has: all would be the same."""
    if draws and not model.drops:
        what = f"--mc-dropout {draws} draws from a dropout, and this model has none to draw from"
        remedy = "leave it out; mlp, attention and cross-attention have one, and image networks that were fine-tuned"
        raise AffectkitError("usage", what, file=model.folder, remedy=remedy)


def without_fit_rows(model: Model, manifest: Manifest) -> Manifest:
    """The rows that the model was not fitted on. Raises "input" when none is left."""
    group = model.spec.get("group")
    if group and group not in manifest.rows and not model.spec.get("groups_straddle"):
        message = "%s has no column %s: who the model was fitted on cannot be told from others"
        logger.warning(message, manifest.path, group)
    fitted = set(model.fit_rows["id"])
    keep = ~manifest.rows["id"].isin(fitted).to_numpy()
    if sequences := sequences_of(model, manifest):
        met = {key for key, known in zip(sequences.ids, _fitted(sequences, fitted), strict=True) if known}
        keep = ~manifest.rows["id"].map(sequences.by_window).isin(met).to_numpy()
    if not keep.any():
        remedy = "use the run's predictions.csv, or --include-fit"
        raise AffectkitError("input", "holds only rows that the model was fitted on", file=manifest.path, remedy=remedy)
    if not keep.all():
        logger.info("%d rows that the model was fitted on are left out", (~keep).sum())
    return manifest.take(keep)


@dataclass(frozen=True)
class Needs:
    """What a model, or its chain, needs of every row. media: audio, images, text, arrays, or features (a table).
    columns: the further columns of text by which a route or a calibration decides."""

    media: frozenset[str]
    columns: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        return " and ".join(sorted(self.media)) or "no media"


def needs(model: Model) -> Needs:
    parents = [needs(parent) for parent in model.parents.values()]
    columns = [*model.columns, *(column for parent in parents for column in parent.columns)]
    media = frozenset(model.spec.get("needs", ())).union(*(parent.media for parent in parents))
    return Needs(media, tuple(dict.fromkeys(columns)))


def require_columns(model: Model, manifest: Manifest) -> None:
    """Raises "input" for rows without a column that the model needs."""
    for name in needs(model).columns:
        if name not in manifest.rows:
            remedy = f"give it with --column {name}=VALUE" if manifest.bare else "pass a --manifest that has it"
            raise AffectkitError("input", f"needs a column '{name}' of every row", file=model.folder, remedy=remedy)


def seen_rows(model: Model, rows: pd.DataFrame, sequences: Sequences | None = None) -> list[str]:
    """`fit` or `heldout` for each row, as `Model.predict` marks them. sequences: what the rows are, where each stands
    for several."""
    column = model.spec.get("group")
    apart = column and column in rows and not model.spec.get("groups_straddle")
    groups = list(rows[column].astype(str)) if apart else None
    seen = seen_of(list(rows["id"]), groups, model.fit_rows)
    if sequences is None:
        return seen
    met = dict(zip(sequences.ids, _fitted(sequences, set(model.fit_rows["id"])), strict=True))
    return ["fit" if met[key] else known for key, known in zip(rows["id"], seen, strict=True)]


# --- Models whose rows are windows of the rows that they answer


def sequences_of(model: Model, manifest: Manifest) -> Sequences | None:
    """The sequences of a manifest's rows that a model, or its chain, answers; None for one that answers the rows.

    Labels that differ within a sequence, and of which the model knows nothing, are left empty. Raises as `gather` does.
    """
    how = Gathering.of(model.spec)
    if how is None:
        return None
    return gather(manifest, how, [Target.from_json(target) for target in model.spec["targets"]], strict=False)


def refuse_sequences(model: Model, what: str) -> None:
    """Raises "usage" for a model that pools rows into sequences, where `what` makes rows of something else."""
    if how := Gathering.of(model.spec):
        message = f"{what}, and the model answers one row for all of a {how.name}"
        remedy = "make a manifest of the windows, extract their features, and pass both"
        raise AffectkitError("usage", message, file=model.folder, remedy=remedy)


def _fitted(sequences: Sequences, ids: Set[str]) -> list[bool]:
    """Of each sequence, whether it, or one of its windows in whatever sequence, was fitted on. ids: of the fit rows."""
    pairs = zip(sequences.ids, sequences.windows, strict=True)
    return [key in ids or any(marked(window) in ids for window in windows) for key, windows in pairs]


# --- A manifest of files and folders that are named on the command line


# What a folder is searched for, by what the model reads: the sound of a video is decoded by ffmpeg, and "video" stands
# for images that are its frames.
ENDINGS = {
    "audio": AUDIO | VIDEO,
    "images": IMAGES,
    "text": frozenset({".txt"}),
    "video": VIDEO,
    "series": frozenset(SERIES),
}


def manifest_of_files(
    paths: Sequence[Path], media: Set[str], *, columns: Mapping[str, str] | None = None, on_error: OnError = "stop"
) -> Manifest:
    """Rows of `id` and `path`, and `text` for a model that reads nothing else, in the order of `paths`.

    media: as `needs` says, or `video`. columns: further cells, the same in all rows.

    A folder stands for all files below it with an ending that the model reads, sorted, hidden ones left out. Ids are
    safe as file names: the name, or the path below the folder, without its ending, as `prepare-manifest folder` makes
    them, so that rows that the model was fitted on are known again; equal ones are numbered.
    Raises "input" for a folder without such files, "usage" for one where the model reads what no folder has.
    """
    import pandas as pd

    ids: set[str] = set()
    rows: list[dict[str, Any]] = []
    for file, name in _named(paths, media):
        try:
            if readable(file) != str(file):
                raise AffectkitError("input", "its name is not UTF-8", file=readable(file), remedy=RENAME)
            text = {"text": _text(file)} if media == {"text"} else {}
        except AffectkitError as error:
            if on_error == "stop":
                raise
            logger.warning("%s is skipped: %s", readable(file), error.message)
            continue
        rows.append({"id": _unique(safe_id(name), ids), "path": str(file.absolute()), **text})
    if not rows:
        raise AffectkitError("input", "no file could be read", file=paths[0])
    table = with_language_codes(pd.DataFrame(rows, dtype=object).assign(**(columns or {})))
    return Manifest(Path("FILES"), table, [(Path(row["path"]), 0) for row in rows], {}, bare=True)


TABLES = (".csv", ".tsv", ".tab")


def manifest_of_tables(paths: Sequence[Path], columns: Mapping[str, str] | None = None) -> Manifest:
    """Rows of tables as they are, `id` and all; rows without one are called row-1, row-2, ... over all tables.

    columns: further cells, the same in all rows. Raises "input" naming the row of an id that stands twice.
    """
    import pandas as pd

    for path in paths:
        if path.suffix.lower() not in TABLES:
            message = "is no table, and the model reads columns"
            raise AffectkitError("input", message, file=path, remedy="save it as CSV")
    tables = [read_table(trusted(path)) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if lacking := [name for name in tables[0] if name not in table and name != "id"]:
            message = f"has no column '{lacking[0]}', which {paths[0]} has"
            raise AffectkitError("input", message, file=path, remedy="add it, with empty cells where it is not known")
    rows = pd.concat(tables, ignore_index=True).fillna("")
    if "id" not in rows:
        rows.insert(0, "id", "")
    rows["id"] = rows["id"].where(rows["id"] != "", [f"row-{number}" for number in range(1, len(rows) + 1)])
    origin = [(path, row) for path, table in zip(paths, tables, strict=True) for row in range(1, len(table) + 1)]
    if not origin:
        raise AffectkitError("input", "has no rows", file=paths[0])
    if (position := first_row(rows["id"].duplicated())) is not None:
        file, row = origin[position]
        message = f"id '{rows['id'][position]}' stands twice"
        raise AffectkitError("input", message, file=file, row=row, remedy=RENUMBER)
    return Manifest(paths[0], with_language_codes(rows.assign(**(columns or {}))), origin, {})


def _named(paths: Sequence[Path], media: Set[str]) -> Iterator[tuple[Path, str]]:
    """Each file, and its name without the ending: below its folder, where it was found in one."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path, path.stem
            continue
        for file in _files_below(path, media):
            yield file, relative(file, path).removesuffix(file.suffix)


def _files_below(folder: Path, media: Set[str]) -> list[Path]:
    kind = next(iter(media), "") if len(media) == 1 else ""
    if kind not in ENDINGS:
        message = f"a folder of files is not enough for a model that reads {Needs(frozenset(media)).in_words}"
        raise AffectkitError("usage", message, file=folder, remedy="pass --manifest")
    files = find_files(folder, ENDINGS[kind])
    if not files:
        looked = ", ".join(sorted(ENDINGS[kind]))
        remedy = "pass --fps to read the videos in it" if kind == "images" and find_files(folder, VIDEO) else None
        raise AffectkitError("input", f"holds no {kind}: no file ends in {looked}", file=folder, remedy=remedy)
    return files


def _text(file: Path) -> str:
    check_file(file)
    if file.suffix.lower() not in ENDINGS["text"]:  # a recording would be read as gibberish, and answered
        raise AffectkitError("input", "is no .txt, and the model reads text", file=file)
    return decode(file, "cp1252", "latin-1").strip()


def _unique(name: str, taken: set[str]) -> str:
    """`name`, numbered from 2 on where it is taken; it is taken from now on."""
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    taken.add(unique)
    return unique
