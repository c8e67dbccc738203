"""The tables and texts that come with a corpus."""

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from affectkit.artifacts.tables import iter_rows, refuse_too_large, to_numbers
from affectkit.corpora._corpus import Row
from affectkit.corpora._files import refuse_pointer
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.instruments import OCEAN
from affectkit.labels import Target
from affectkit.plain import comma_separated
from affectkit.plain import safe_id as safe_id  # for its readers
from affectkit.registry import Option
from affectkit.splits import in_our_words

log = logging.getLogger(__name__)


def records(path: Path, *, required: Sequence[str] = (), delimiter: str | None = None) -> Iterator[dict[str, str]]:
    """The rows of a table as dictionaries of text. Raises "input" for a lacking column or a Git-LFS pointer."""
    if path.is_file():
        refuse_pointer(path, "table")
    rows = iter_rows(path, delimiter=delimiter)
    header = next(rows)
    for column in required:
        if column not in header:
            raise AffectkitError("input", f"has no column '{column}'", file=path, remedy=did_you_mean(column, header))
    for cells in rows:
        yield dict(zip(header, cells, strict=True))


def number(cell: str, column: str, *, file: Path, row: int) -> float:
    """A cell as a number; "" is NaN (unlabelled). Raises "input" naming the row."""
    try:
        values = to_numbers([cell.strip()], column=column)
        refuse_too_large(values, column=column)
    except AffectkitError as error:
        raise AffectkitError("input", error.message, file=file, row=row, remedy=error.remedy) from None
    return float(values[0])


def numbers(line: Mapping[str, str], columns: Mapping[str, str], *, file: Path, row: int) -> dict[str, float]:
    """The numbers of a table's line. columns: what they are called -> the table's column."""
    return {name: number(line[column], column, file=file, row=row) for name, column in columns.items()}


_CLOCK = re.compile(r"(?:(\d+) days? \+?)?(\d{1,2}):(\d\d):(\d\d(?:[.,]\d*)?)")


def seconds(cell: str, column: str, *, file: Path, row: int) -> float:
    """A time as seconds: a number, `00:01:02.5`, or pandas' `0 days 00:01:02.5`; "" and `NaT` are NaN.

    Raises "input" naming the row.
    """
    text = cell.strip()
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes = (int(part or 0) for part in clock.groups()[:3])
        return round(((days * 24 + hours) * 60 + minutes) * 60 + float(clock[4].replace(",", ".")), 9)
    try:
        return number("" if text == "NaT" else text, column, file=file, row=row)
    except AffectkitError as error:
        remedy = "write seconds (1.5) or hours, minutes and seconds (00:00:01.5)"
        raise AffectkitError(error.code, error.message, file=file, row=row, remedy=remedy) from None


def decode(path: Path, *encodings: str) -> str:
    """The text of a small file: UTF-16 by its mark, else the first of `encodings` that fits. UTF-8 is tried first."""
    refuse_pointer(path, "text")
    data = path.read_bytes()
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    bare = not marked and b"\x00" in data[:200]
    for encoding in ("utf-16",) if marked else ("utf-16-le",) if bare else ("utf-8-sig", *encodings):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    tried = ", ".join(("utf-8", "utf-16", *encodings))
    raise AffectkitError("input", f"is text in none of {tried}", file=path, remedy="save it as UTF-8")


# --- Any table as a corpus: which of its columns mean what. `csv` and `huggingface` share these options


LabelColumn = Annotated[str, Option("Column with the emotion, or whatever the classes are.")]
TextColumn = Annotated[str, Option("Column with the text.")]
IdColumn = Annotated[str, Option("Column with a unique id; by default ids are made up.")]
PathColumn = Annotated[str, Option("Column with the path of the media, relative to the table.")]
Table = Annotated[str, Option("File name of the table, where the folder holds several.")]
StartColumn = Annotated[str, Option("Column with the start of the segment in the recording.", "s")]
EndColumn = Annotated[str, Option("Column with the end of the segment in the recording.", "s")]
SpeakerColumn = Annotated[str, Option("Column with the speaker, or whatever groups must not be split.")]
SessionColumn = Annotated[str, Option("Column with the session or recording.")]
SexColumn = Annotated[str, Option("Column with the sex (m, f, male, female).")]
LanguageColumn = Annotated[str, Option("Column with the language (ISO 639-1).")]
TargetColumns = Annotated[
    str,
    Option(
        "Further targets: numbers with their scales, classes, and ordered classes from the lowest, such as "
        "valence=1:5,stress,mood=calm|tense,severity=none<mild<severe; by default the columns valence, arousal, "
        "dominance, openness, ... that there are."
    ),
]

NUMBERS = ("valence", "arousal", "dominance", *OCEAN, "stress", "depression", "anxiety")
TIMES = ("start_sec", "end_sec")
# What a manifest calls the columns of the options `<role>_column`, where it is not the role's name.
ROLES = {"label": "source_label", "audio": "path", "start": "start_sec", "end": "end_sec"}
# Columns that the manifest fills itself: a table's own ones are carried under another name.
RESERVED = ("label", "source_label", "corpus", "fold", "duration_sec")
SEXES = dict.fromkeys(("m", "male", "man"), "male") | dict.fromkeys(("f", "female", "woman", "w"), "female")


def targets(*, target_columns: str = "", **others: object) -> tuple[Target, ...]:
    """The number and class targets that the options name."""
    return parse_targets(target_columns)


def parse_targets(text: str) -> tuple[Target, ...]:
    """`valence=1:5,stress,mood=calm|tense,severity=none<mild<severe` -> targets, of which those with `<` are ordered
    from the lowest; "" -> the numbers that are known by name, without a scale."""
    if not text.strip():
        return tuple(Target(name, "number") for name in NUMBERS)
    return tuple(_target(part) for part in comma_separated(text))


def _target(text: str) -> Target:
    name, _, values = (part.strip() for part in text.partition("="))
    kind: Literal["class", "ordinal"] = "ordinal" if "<" in values else "class"
    mark = "<" if kind == "ordinal" else "|"
    classes = tuple(value.strip() for value in values.split(mark)) if mark in values else ()
    mixed = kind == "ordinal" and any(set(value) & set("|>=") for value in classes)
    try:
        low, high = map(float, values.split(":")) if values and not classes else (0.0, 1.0)
    except ValueError:
        low, high = 1.0, 0.0
    sound = not mixed and all(classes) and len(set(classes)) == len(classes) and -math.inf < low < high < math.inf
    if not name or name in RESERVED or set(name) & set("/\\") or not sound:
        remedy = "write valence=1:5, stress, mood=calm|tense or severity=none<mild<severe"
        raise AffectkitError("usage", f"--target-columns: '{text}' is not a target", remedy=remedy)
    if classes:
        return Target(name, kind, classes)
    return Target(name, "number", scale=(low, high) if values else None)


def named_columns(options: Mapping[str, Any]) -> dict[str, str]:
    """Manifest column -> the table's column, as a reader's options `<name>_column` say."""
    names = {option.removesuffix("_column"): name for option, name in options.items() if option.endswith("_column")}
    return {ROLES.get(role, role): name for role, name in names.items()}


def choose_columns(
    wanted: Mapping[str, str], read: Any, targets: Iterable[Target], header: Iterable[str], *, file: Path
) -> dict[str, str]:
    """The columns of `wanted`, as `named_columns` has them, that there are.

    read: the reader, whose options have defaults. Raises "input" where a column that was asked for by name is not
    there, and for a table without anything to read, or without anything to learn.
    """
    names, defaults = list(header), named_columns(read.__kwdefaults__)
    for column, name in wanted.items():
        if name and name != defaults[column] and name not in names:
            raise AffectkitError("input", f"has no column '{name}'", file=file, remedy=did_you_mean(name, names))
    columns = {column: name for column, name in wanted.items() if name in names}
    if "path" not in columns and "text" not in columns and wanted.get("path") != "":
        message = f"has neither a path nor a text column among {', '.join(names)}"
        remedy = "name one with --path-column, --audio-column or --text-column; of rows without media --path-column ''"
        raise AffectkitError("input", message, file=file, remedy=remedy)
    if "source_label" not in columns and not any(target.name in names for target in targets):
        message = f"has neither labels nor targets among {', '.join(names)}"
        remedy = "name them with --label-column or --target-columns"
        raise AffectkitError("input", message, file=file, remedy=remedy)
    return columns


def to_row(
    record: Mapping[str, str], columns: Mapping[str, str], targets: Iterable[Target], *, file: Path, row: int
) -> Row:
    """A table's record as a manifest row: named columns, targets and times as numbers, and everything else carried.

    targets: those that were asked for; `settled` reads the numbers and splits that there are besides.
    """
    cells: Row = {
        column: record[name].strip() if column != "text" else record[name] for column, name in columns.items()
    }
    for name, cell in record.items():
        if name and name not in columns.values():
            cells.setdefault(f"source_{name}" if name in RESERVED else name, cell)
    for target in (target for target in targets if target.name in cells):
        if target.kind == "number":
            cells[target.name] = number(cells[target.name], target.name, file=file, row=row)
        elif (cell := cells[target.name].strip()) and cell not in target.classes:
            message = f"{target.name} '{cell}' is not in {', '.join(target.classes)}"
            remedy = "name it in --target-columns too, or leave the cell empty"
            raise AffectkitError("input", message, file=file, row=row, remedy=remedy)
        else:
            cells[target.name] = cell
    for name in {name for name in TIMES if columns.get(name, name) != name}:
        cells[name] = seconds(cells[name], columns[name], file=file, row=row)
    if "sex" in cells:
        cells["sex"] = SEXES.get(cells["sex"].lower(), "")
    return cells


def settled(rows: Iterable[Row], targets: Iterable[Target], *, file: Path) -> Iterator[Row]:
    """The rows of a table with its splits in our words, and numbers in the columns that nobody asked for by name:
    `targets`, times and votes.

    One that holds words means something else: it is carried as `source_<column>`, with a warning. Where there are
    no labels, or most of its cells are numbers, the others are mistakes: "input", naming the row.
    """
    table = list(rows)
    words = in_our_words([str(row.get("split", "")) for row in table], file=file)
    table = [{**row, "split": word} for row, word in zip(table, words, strict=True)]
    labelled = any(row.get("source_label") for row in table)
    optional = {target.name for target in targets if target.kind == "number"} | {"time_sec"}
    for column in [column for column in TIMES if table and column in table[0]]:
        _settle_times(table, column, file)
    if table and {"start", "end"} <= table[0].keys() and not table[0].keys() & set(TIMES):
        what = "%s: columns start and end are carried, and every row is a whole recording: --start-column start "
        log.warning(what + "--end-column end makes segments of them", file)
    for column in list(table[0]) if table else ():
        if column in optional or column.startswith("votes_"):
            _settle(table, column, labelled, file)
    yield from table


def _settle_times(table: list[Row], column: str, file: Path) -> None:
    """Make seconds of a column, or call it `source_<column>` where no cell has a digit; the rows change in place."""
    cells = [str(row[column]).strip() for row in table]
    filled = [cell for cell in cells if cell.lower() not in ("", "nan", "nat")]
    if not filled or re.search(r"\d", "".join(filled)):
        for number, (row, cell) in enumerate(zip(table, cells, strict=True), start=1):
            row[column] = seconds(cell, column, file=file, row=number)
        return
    what = "%s: column '%s' says '%s' and so on, which is no time: it is carried as source_%s"
    log.warning(what, file, column, filled[0], column)
    for row in table:
        row[f"source_{column}"] = row.pop(column)


def _settle(table: list[Row], column: str, labelled: bool, file: Path) -> None:
    """Make numbers of a column, or call it `source_<column>`; the rows change in place."""
    cells = [str(row[column]).strip() for row in table]
    name = column
    values: Sequence[Any] = cells
    try:
        values = to_numbers(cells, file=file, column=column).tolist()
    except AffectkitError as error:
        classes = f"name targets with --target-columns, such as '{column}=first|second' for classes"
        remedy = (f"{error.remedy}, or " if error.remedy else "") + (classes if column in NUMBERS else "rename it")
        if not labelled or _mostly_numbers(cells):
            raise AffectkitError("input", error.message, file=file, row=error.row, remedy=remedy) from None
        name = f"source_{column}"
        log.warning("%s row %s: %s: the column is carried as %s; %s", file, error.row, error.message, name, remedy)
    for row, value in zip(table, values, strict=True):
        del row[column]
        row[name] = value


def _mostly_numbers(cells: Sequence[str]) -> bool:
    number = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?|inf", re.IGNORECASE)
    filled = [cell for cell in cells if cell]
    return 2 * sum(bool(number.fullmatch(cell)) for cell in filled) > len(filled)
