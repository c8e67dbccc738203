"""Any table of media or texts with named columns; further columns are carried."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from affectkit.corpora import _tables
from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import checked, hidden
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target
from affectkit.registry import Option
from affectkit.synthesis import scores, twins

CORPUS = Corpus(
    title="a table",
    licence="the table's own",
    citation="cite where the table comes from",
    layout="one .csv or .tsv with a column path or text, and label or targets",
    official="the table's column split",
)
targets = _tables.targets


def read(
    root: Path,
    *,
    table: _tables.Table = "",
    path_column: _tables.PathColumn = "path",
    label_column: _tables.LabelColumn = "label",
    text_column: _tables.TextColumn = "text",
    id_column: _tables.IdColumn = "id",
    speaker_column: _tables.SpeakerColumn = "speaker",
    session_column: _tables.SessionColumn = "session",
    sex_column: _tables.SexColumn = "sex",
    language_column: _tables.LanguageColumn = "language",
    split_column: Annotated[str, Option("Column with the split: train, val (or dev, validation), test.")] = "split",
    start_column: _tables.StartColumn = "start_sec",
    end_column: _tables.EndColumn = "end_sec",
    target_columns: _tables.TargetColumns = "",
) -> Iterator[Row | Dropped]:
    """The rows of a table, `root` being the table or its folder.

    Raises "input" for a column that is not there, an id that stands twice and a target that is not a number.
    """
    wanted = _tables.named_columns(locals())
    file, base = _find(root, table), root if root.is_dir() else root.parent
    goals = _tables.parse_targets(target_columns)
    rows = _rows(file, base, wanted, goals, bool(target_columns))
    rows = _tables.settled(rows, () if target_columns else goals, file=file)
    return checked(rows, base, CORPUS, listed=True)


def _find(root: Path, table: str) -> Path:
    if not root.exists():
        raise AffectkitError("missing", "no such table or folder", file=root)
    if root.is_file():
        return root
    tables = sorted(p for p in root.iterdir() if p.suffix.lower() in (".csv", ".tsv") and not hidden(p.name))
    names = [path.name for path in tables]
    if table and table not in names:
        raise AffectkitError("missing", f"has no table '{table}'", file=root, remedy=did_you_mean(table, names))
    if table:
        return root / table
    if not tables:
        raise AffectkitError("missing", f"holds no table: expected {CORPUS.layout}", file=root)
    if len(tables) > 1:
        remedy = f"choose with --table: {', '.join(names)}"
        raise AffectkitError("usage", f"holds {len(tables)} tables", file=root, remedy=remedy)
    return tables[0]


def _rows(file: Path, base: Path, wanted: dict[str, str], targets: tuple[Target, ...], named: bool) -> Iterator[Row]:
    columns: dict[str, str] = {}
    ids: dict[str, int] = {}
    for position, record in enumerate(_tables.records(file), start=1):
        if not columns:
            columns = _tables.choose_columns(wanted, read, targets, record, file=file)
            if named and (lacking := [target.name for target in targets if target.name not in record]):
                remedy = did_you_mean(lacking[0], list(record))
                raise AffectkitError("input", f"has no column '{lacking[0]}'", file=file, remedy=remedy)
        row = _tables.to_row(record, columns, targets if named else (), file=file, row=position)
        row["path"] = _below(row["path"], file, base) if "path" in columns else ""  # of another column: of no media
        row["id"] = _id(row, columns, ids, file, position)
        ids[row["id"]] = position
        yield row
    if not ids:
        raise AffectkitError("input", "has no rows", file=file)


def _below(cell: str, file: Path, base: Path) -> str:
    """A path of the table, relative to the root; Windows separators are taken where that finds the file."""
    if not cell:
        return ""
    if "\\" in cell and not (file.parent / cell).exists():
        cell = cell.replace("\\", "/")
    return cell if Path(cell).is_absolute() else Path(os.path.relpath(file.parent / cell, base)).as_posix()


def _id(row: Row, columns: dict[str, str], ids: dict[str, int], file: Path, position: int) -> str:
    if "id" not in columns:
        return _tables.safe_id(str(Path(row["path"]).with_suffix("")) if row["path"] else f"row{position:06d}", ids)
    key = row["id"]
    if not key:
        raise AffectkitError("input", "the id is empty", file=file, row=position)
    if key in ids:
        raise AffectkitError("input", f"id '{key}' stands already in row {ids[key]}", file=file, row=position)
    return _tables.safe_id(key, ids)


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `table.csv` beside `audio/`; classes, valence and arousal (1-5), texts, speakers and splits."""
    voices = twins.cast_numbered(speakers, seed)
    names = list(voices)
    twins.write_readme(root, "csv", size=size, speakers=speakers, seed=seed)
    rows: list[tuple[object, ...]] = []
    for index, (speaker, label) in enumerate(twins.deal(size, names, dict.fromkeys(twins.FOUR, 1.0))):
        rng = twins.generator(seed, "csv", index)
        key = f"{speaker}_{index:04d}"
        affect, text, _ = twins.act(root / f"audio/{key}.wav", voices[speaker], label, rng)
        numbers = [sum(r) / len(r) for r in zip(*scores.rate(affect[:2], (1, 5), rng), strict=True)]
        part = twins.part_of(names.index(speaker))
        rows.append((key, f"audio/{key}.wav", label, *numbers, speaker, voices[speaker].sex, "en", text, part))
    header = ("id", "path", "label", "valence", "arousal", "speaker", "sex", "language", "text", "split")
    twins.write_rows(root / "table.csv", header, rows)
