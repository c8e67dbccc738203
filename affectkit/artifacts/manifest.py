"""The manifest: one row per sample, in `train.csv`, `val.csv`, `test.csv` or `folds.csv`, and its `summary.json`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.records import trusted
from affectkit.artifacts.tables import RENUMBER, first_row, read_table, refuse_too_large, to_numbers, write_table
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import NO_NAMES, Target, are_targets, spelt_alike
from affectkit.media.files import Listings, spelled
from affectkit.media.texts import LANGUAGE, language_code, with_language_codes
from affectkit.plain import comma_separated
from affectkit.splits import SPLITS, folds_of, read_parts, tidy_splits

if TYPE_CHECKING:
    import pandas as pd

FOLDS, SUMMARY = "folds", "summary.json"
LABEL_MAP, AUDIT = "label_map.json", "leak_audit.json"
NUMBERS = ("duration_sec", "start_sec", "end_sec", "time_sec", "asr_confidence", "asr_seconds")
COLUMNS = (
    "id", "corpus", "path", "text", "text_source", "asr_confidence", "asr_seconds", "label", "source_label",
    "duration_sec", "start_sec", "end_sec", "speaker", "session", "dialogue", "sequence", "time_sec", "track", "sex",
    "language", "text_id", "split", "fold",
)  # fmt: skip


log = logging.getLogger(__name__)


def media_columns(columns: Iterable[str]) -> list[str]:
    """`path`, and every `path_<name>`."""
    return [name for name in map(str, columns) if name == "path" or name.startswith("path_")]


@dataclass(frozen=True)
class Manifest:
    """Rows of a manifest, typed: times, numeric targets and votes are float64 (NaN is missing), the rest is text.

    rows: in file order, train before val before test. origin: (file, row) of each row, for errors.
    targets: by name. summary: what `summary.json` says ({} where there is none).
    bare: made of files named on the command line, so there is no table for an error to point at.
    """

    path: Path
    rows: pd.DataFrame
    origin: list[tuple[Path, int]]
    targets: dict[str, Target]
    summary: dict[str, Any] = field(default_factory=dict)
    media_root: Path | None = None
    bare: bool = False

    def where(self, position: int) -> dict[str, Any]:
        """`file` and `row` of a row, as `AffectkitError` takes them; nothing for a bare manifest."""
        return {} if self.bare else dict(zip(("file", "row"), self.origin[position], strict=True))

    def take(self, keep: np.ndarray | Sequence[bool]) -> Manifest:
        """The rows where `keep` (a mask) is true."""
        rows = self.rows[list(keep)].reset_index(drop=True)
        origin = [place for place, kept in zip(self.origin, keep, strict=True) if kept]
        return replace(self, rows=rows, origin=origin)

    def media(self, column: str = "path") -> list[Path | None]:
        """The media of each row, absolute or relative to the working folder; None where the cell is empty.

        A relative path is resolved against the given media root, else the corpus's root in `summary.json`, else the
        manifest's own folder.
        """
        if column not in self.rows:
            raise AffectkitError("input", f"has no column '{column}'", file=self.path)
        folder = self.path if self.path.is_dir() else self.path.parent
        roots = {name: Path(c["root"]) for name, c in self.summary.get("corpora", {}).items() if c.get("root")}
        corpora = self.rows["corpus"] if "corpus" in self.rows else [""] * len(self.rows)
        base = [self.media_root or roots.get(corpus, folder) for corpus in corpora]
        names: Listings = {}
        cells = [
            cell if cell.isascii() else spelled(root, cell, names)
            for root, cell in zip(base, self.rows[column], strict=True)
        ]
        return [root / cell if cell else None for root, cell in zip(base, cells, strict=True)]

    def rooted(self) -> pd.DataFrame:
        """The rows as another folder may hold them: with absolute paths where these start from the manifest's own
        folder, or from --media-root."""
        roots = self.summary.get("corpora", {})
        corpora = self.rows["corpus"] if "corpus" in self.rows else [""] * len(self.rows)
        here = [bool(self.media_root) or not roots.get(corpus, {}).get("root") for corpus in corpora]
        moved = {}
        for column in media_columns(self.rows) if any(here) else ():
            cells = zip(self.rows[column], self.media(column), here, strict=True)
            moved[column] = [str(Path(path).absolute()) if path and inside else cell for cell, path, inside in cells]
        return self.rows.assign(**moved)

    def beside(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What stands beside the tables: `label_map.json` and `leak_audit.json`, {} for what is not there."""
        folder = self.path if self.path.is_dir() else self.path.parent
        label_map, audit = (read_json(file) if file.exists() else {} for file in (folder / LABEL_MAP, folder / AUDIT))
        return label_map, audit

    def target(self, name: str) -> Target:
        """A target by name; the error names those that there are."""
        if name not in self.targets:
            known = ", ".join(self.targets) or "none"
            raise AffectkitError("input", f"has no target '{name}'", file=self.path, remedy=f"its targets are {known}")
        return self.targets[name]

    def chosen_targets(self, names: str | None) -> list[Target]:
        """The targets named "label,valence"; by default `label`, else every target that is not a further one.

        Raises "input" for an unknown one, or when there is none at all.
        """
        if names:
            wanted = dict.fromkeys(comma_separated(names) or [names])
            return [self.target(name) for name in wanted]
        usual = [target for target in self.targets.values() if not target.further]
        chosen = [self.targets["label"]] if "label" in self.targets else usual
        if not chosen:
            raise AffectkitError("input", "has no targets", file=self.path, remedy="name a column with --target")
        return chosen

    def declared(self) -> list[str]:
        """The declared defects of the corpora's protocols, one sentence each; every report repeats them."""
        return list(self.summary.get("declared", []))


def read_manifest(path: Path, *, split: str | None = None, media_root: Path | None = None) -> Manifest:
    """Read a manifest folder, or one CSV of it (or of anybody's: only `id` is required).

    split: keep these rows only. Splits may have the names that `read_parts` knows. Raises "missing", "unfinished", or
    "input" naming the row: a doubled or empty id, an unknown split, a label outside the label map, a value that is not
    a number.
    """
    import pandas as pd

    path = Path(path)
    tables: list[pd.DataFrame] = []
    origin: list[tuple[Path, int]] = []
    for file in _files(path):
        table = read_table(file, required=["id"])
        tables.append(table if "split" in table or file.stem == FOLDS else _in_part(table, file))
        origin += [(file, row) for row in range(1, len(table) + 1)]
    rows = tidy_splits(pd.concat(tables, ignore_index=True).fillna("") if len(tables) > 1 else tables[0], file=path)
    summary = read_summary((path if path.is_dir() else path.parent) / SUMMARY)
    targets = {t["name"]: Target.from_json(t) for t in summary.get("targets", []) if t["name"] in rows}
    rows = rows if LANGUAGE in targets else with_language_codes(rows)
    manifest = Manifest(path, rows, origin, targets or _guess_targets(rows), summary, media_root)
    _check_ids(manifest)
    _check_splits(manifest)
    _parse_cells(manifest)
    if not len(rows):
        raise AffectkitError("input", "has no rows", file=path)
    if split is None:
        return manifest
    there = sorted(set(rows["split"])) if "split" in rows else []
    split = read_parts([split]).get(split, split)
    if split not in there:
        remedy = f"there are {', '.join(there) or 'none'}"
        raise AffectkitError("input", f"has no rows of split '{split}'", file=path, remedy=remedy)
    return manifest.take(rows["split"] == split)


def _is_defect(value: Any) -> bool:
    """a kind of leak and a sentence"""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


_CORPUS: dict[str, Any] = dict.fromkeys(("root?", "title?", "licence?", "citation?", "language?"), (None, str))
_CORPUS |= {"synthetic?": bool, "notes?": [str], "warnings?": [str], "scores?": {str: str}}
_COUNTS = {"corpus": int, "cache": int, "heard": int, "empty": int}
_TRANSCRIPTS = {"model": str, "digest": str, "engine": str, "options": dict, "counts": _COUNTS, "before?": {str: int}}
_SUMMARY = {
    "targets?": are_targets, "corpora?": {str: _CORPUS}, "declared?": [str], "defects?": [_is_defect],
    "transcripts?": _TRANSCRIPTS, "annotations?": {"before?": [dict]}, "group?": (None, str), "split_by?": str,
    "dropped?": [dict], "dropped_reasons?": {str: int},
}  # fmt: skip


def read_summary(file: Path) -> dict[str, Any]:
    """What a manifest says of itself; {} where it says nothing."""
    return read_json(file, what="manifest's summary", shape=_SUMMARY) if file.exists() else {}


def _files(path: Path) -> list[Path]:
    if path.is_file():
        trusted(path.with_name(SUMMARY), complete=True)
        return [trusted(path)]
    if not path.is_dir():
        raise AffectkitError("missing", "no such manifest", file=path)
    trusted(path, complete=True)
    parts = _parts(path.glob("*.csv"))
    files = sorted(parts, key=lambda file: ((FOLDS, *SPLITS).index(parts[file]), file))
    if not files:
        message = "holds no train.csv, val.csv, test.csv or folds.csv"
        raise AffectkitError("missing", message, file=path, remedy="run prepare-manifest")
    return files


def _parts(files: Iterable[Path]) -> dict[Path, str]:
    """The split of each table that is called after one (`dev.csv`), or "folds"."""
    words = {file: file.stem for file in files if file.stem.isalpha()}
    parts = {FOLDS: FOLDS, **read_parts(words.values())}
    return {file: parts[word] for file, word in words.items() if word in parts}


def _in_part(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The rows of a table without a column `split`, in the part that its file is called after, if it is."""
    part = _parts(file.parent.glob("*.csv")).get(file)
    return table.assign(split=part) if part else table


def _check_splits(manifest: Manifest) -> None:
    if "split" not in manifest.rows:
        return
    splits = manifest.rows["split"]
    if (position := first_row(~splits.isin(["", *SPLITS]))) is not None:
        message = f"split '{splits[position]}' is not in {', '.join(SPLITS)}"
        remedy = "correct it, or leave the cell empty: such rows are not fitted"
        raise AffectkitError("input", message, **manifest.where(position), remedy=remedy)
    nowhere = int((splits == "").sum())
    if 0 < nowhere < len(splits):
        what = "%s: %d of %d rows have no split: they are neither fitted nor judged"
        log.warning(what, manifest.path, nowhere, len(splits))


def _check_ids(manifest: Manifest) -> None:
    ids = manifest.rows["id"]
    if (position := first_row((ids == "") | ids.duplicated())) is not None:
        if not ids[position]:
            raise AffectkitError("input", "the id is empty", **manifest.where(position), remedy=RENUMBER)
        file, row = manifest.origin[first_row(ids == ids[position]) or 0]
        message = f"id '{ids[position]}' stands already in {file.name} row {row}"
        raise AffectkitError("input", message, **manifest.where(position), remedy=RENUMBER)


def _parse_cells(manifest: Manifest) -> None:
    """Make numbers of the cells that are to be numbers; refuse a class that its target does not have."""
    rows = manifest.rows
    for column in rows.columns:
        target = manifest.targets.get(column)
        if column in NUMBERS or column.startswith("votes_") or (target and target.kind == "number"):
            try:
                rows[column] = to_numbers(rows[column], column=column)
                refuse_too_large(rows[column].to_numpy(), column=column)
            except AffectkitError as error:
                place = manifest.where((error.row or 1) - 1)
                raise AffectkitError("input", error.message, **place, remedy=error.remedy) from None
            if target and (sentence := target.beyond_scale(rows[column].to_numpy(), rows["id"])):
                log.warning("%s: %s", manifest.path, sentence)
            if column == "duration_sec" and (position := first_row(rows[column] < 0)) is not None:
                message = f"duration_sec {rows[column][position]:g} is negative"
                raise AffectkitError("input", message, **manifest.where(position), remedy="leave the cell empty")
        elif target and (position := first_row(~rows[column].isin(["", *target.classes]))) is not None:
            cell = rows[column][position]
            message = f"{column} '{cell}' is not in {', '.join(target.classes)}"
            remedy = f"map it with --label-map {cell}={target.classes[0]}"
            raise AffectkitError("input", message, **manifest.where(position), remedy=remedy)


def row_weights(manifest: Manifest, text: str, fitted: np.ndarray) -> np.ndarray:
    """[N] how much rows count: the numbers of a column, or for `column:value=1,other=1.5` the weight of each value.

    fitted: positions of the rows that need one; NaN for others without. Raises "usage" for what is no weight, and
    "input" naming the row of a value that has none.
    """
    column, colon, pairs = text.partition(":")
    if column not in manifest.rows:
        remedy = did_you_mean(column, list(manifest.rows.columns))
        raise AffectkitError(
            "input", f"--row-weights: there is no column '{column}'", file=manifest.path, remedy=remedy
        )
    cells = manifest.rows[column]
    if colon:
        known = _weights_by_value(column, pairs, set(cells))
        weights = np.array([known.get(cell, np.nan) for cell in cells])
    else:
        weights = to_numbers(cells, file=manifest.path, column=column)
    of_fitted = weights[fitted]
    if (place := first_row(np.isnan(of_fitted) | (of_fitted < 0))) is not None:
        position = int(fitted[place])
        what = f"--row-weights: {column} '{cells[position]}' " + ("has no weight" if colon else "is no weight")
        remedy = f"add {cells[position]}=1" if colon else "give numbers of 0 or more"
        raise AffectkitError("input", what, **manifest.where(position), remedy=remedy)
    if not of_fitted.any():
        raise AffectkitError("input", "--row-weights: all train rows weigh 0", file=manifest.path)
    return weights


def _weights_by_value(column: str, pairs: str, values: set[str]) -> dict[str, float]:
    weights = {}
    for pair in comma_separated(pairs):
        value, _, number = pair.rpartition("=")
        value = language_code(value) if column == LANGUAGE else value
        try:
            weights[value] = float(number)
        except ValueError:
            weights[value] = np.nan
        if not value or not 0 <= weights[value] < np.inf:
            raise AffectkitError(
                "usage", f"--row-weights: '{pair}' is not value=weight", remedy="write casia=1,esd=1.5"
            )
        if value not in values:
            what = f"--row-weights: no row has the {column} '{value}'"
            raise AffectkitError("usage", what, remedy=did_you_mean(value, sorted(values - {""})))
    return weights


def _guess_targets(rows: pd.DataFrame) -> dict[str, Target]:
    """Targets of a manifest that came without a summary: `label`, and the numeric targets known by name."""
    targets = {}
    if "label" in rows and rows["label"].any():
        classes = sorted(set(rows["label"]) - {""})
        for spellings in spelt_alike(classes):
            log.warning(
                "labels %s differ by case or spaces only, or by decimals, and count as classes of their own", spellings
            )
        for name in (name for name in classes if name.casefold() in NO_NAMES):
            log.warning("label '%s' counts as a class: leave the cell empty where a row has no label", name)
        targets["label"] = Target("label", "class", tuple(classes))
    for name in ("valence", "arousal", "dominance", "openness", "conscientiousness", "extraversion", "agreeableness",
                 "neuroticism", "stress", "depression", "anxiety"):  # fmt: skip
        if name in rows:
            targets[name] = Target(name, "number")
    return targets


def by_part(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Table -> its rows, those tables that have any: `folds` of rows that have a fold, `train`, `val` and `test` of the
    others by their split, without `fold`. Rows of neither stand in the table of folds, which says nothing of splits."""
    import pandas as pd

    parts = rows["split"] if "split" in rows else pd.Series("", index=rows.index)
    names = parts.where(folds_of(rows) == "", "").replace("", FOLDS)
    tables = {name: rows[names == name] for name in (FOLDS, *SPLITS)}
    return {
        name: table if name == FOLDS else table.drop(columns="fold", errors="ignore")
        for name, table in tables.items()
        if len(table)
    }


def write_manifest(folder: Path, rows: pd.DataFrame, summary: Mapping[str, Any], label_map: Mapping[str, Any]) -> None:
    """Write `rows` and what is known about them, in the tables of `by_part`."""
    known = [c for c in COLUMNS if c in rows]
    ordered = rows[known + [c for c in rows.columns if c not in COLUMNS]]
    for name, part in by_part(ordered).items():
        write_table(folder / f"{name}.csv", part)
    write_json(folder / LABEL_MAP, label_map)
    write_json(folder / SUMMARY, summary)
