"""Columns of a table: numbers, categories, dates or text, with gaps; which of them, all of a column's cells say.

A category is text that repeats itself. What is written once per row is text where it has several words, and an
identifier, which is left out, where it has one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from affectkit.artifacts.tables import CORRECT, LARGEST_NUMBER, as_number, first_row
from affectkit.errors import AffectkitError
from affectkit.labels import spelt_alike
from affectkit.media.texts import UNSPACED
from affectkit.plain import as_typed

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Kind = Literal["number", "category", "date", "text"]
KINDS: dict[Kind, str] = {"number": "numbers", "category": "categories", "date": "dates", "text": "texts"}
NUMERIC = ("number", "date")
GAPS = ("", "na", "n/a", "nan", "null", "none", "?", "-")  # in any case, with or without space around
WORDS = ("none", "-")  # which of them are no gaps among words: no pain, a negative result
DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d-%b-%Y", "%d %b %Y",
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ", "%d.%m.%Y %H:%M", "%Y年%m月%d日",
)  # fmt: skip
MOST_CATEGORIES = 255  # of a column, as many as boosted trees can tell apart; with more it is text
FEW = 20  # cells from which on it can be told whether a column repeats itself
IDENTIFIER = 0.9  # share of cells that differ, from which on single words are identifiers
SLIP = 0.8  # share of numbers, or dates, from which on a column's other cells are slips of a pen, not categories
A_WORD = 5  # characters of a script without spaces; fewer may be a name
WITH_UNIT = re.compile(r"[<>~]?\s*[-+]?\d+(?:[.,]\d+)?\s*(\D{1,8})")
UNITS = 3  # of a column; more are codes


@dataclass(frozen=True)
class Column:
    """form: how dates are written, as strptime has it."""

    name: str
    kind: Kind
    form: str = ""


@dataclass(frozen=True)
class Table:
    """N rows of C columns. cells: of each column [N], float64 of numbers and dates (days since 1970, NaN is a gap), and
    text (object, "" is a gap) of categories and texts. words: [N, W] CSR, the texts in numbers, once they were made."""

    columns: tuple[Column, ...]
    cells: tuple[np.ndarray, ...]
    words: Any = None

    @classmethod
    def of_gaps(cls, columns: Sequence[Column]) -> Table:
        """A row of which nothing is known."""
        kinds = (column.kind for column in columns)
        return cls(tuple(columns), tuple(np.array([np.nan if kind in NUMERIC else ""]) for kind in kinds))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), len(self.columns)

    def __len__(self) -> int:
        return len(self.cells[0])

    def __getitem__(self, rows: np.ndarray) -> Table:
        words = None if self.words is None else self.words[rows]
        return Table(self.columns, tuple(cells[rows] for cells in self.cells), words)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def numbers(self) -> np.ndarray:
        """[N, D] float64 of the numbers and dates."""
        return np.stack([np.empty(len(self)), *(cells for cells in self.cells if cells.dtype == float)], axis=1)[:, 1:]

    def with_numbers(self, numbers: np.ndarray) -> Table:
        """numbers: [N, D] in the place of `numbers`."""
        columns = iter(numbers.T)
        return replace(self, cells=tuple(next(columns) if cells.dtype == float else cells for cells in self.cells))

    @property
    def codes(self) -> np.ndarray:
        """[N, C] float64: equal where cells are, and whole where they are text; NaN is a gap."""
        import pandas as pd

        columns = [cells if cells.dtype == float else pd.factorize(cells)[0] * 1.0 for cells in self.cells]
        gaps = [cells != cells if cells.dtype == float else cells == "" for cells in self.cells]
        return np.where(np.stack(gaps, axis=1), np.nan, np.stack(columns, axis=1))


def in_words(columns: Sequence[Column], most: int = 10) -> list[str]:
    """A line for each kind, with the first `most` names: "numbers (2): age, bmi"."""
    names = {kind: [column.name for column in columns if column.kind == kind] for kind in KINDS}
    shown = {kind: ", ".join(known[:most]) + ", ..." * (len(known) > most) for kind, known in names.items()}
    return [f"{KINDS[kind]} ({len(known)}): {shown[kind]}" for kind, known in names.items() if known]


Where = Callable[[int], dict[str, Any]]  # `file` and `row` of a row, as `AffectkitError` takes them


def infer(frame: pd.DataFrame, where: Where) -> Table:
    """The columns of a frame of text, or of numbers that were read as such, under the kinds that their cells are of.

    Identifiers are left out, and named. Raises "input" for no column, and naming the row of a cell that is no number in
    a column of numbers.
    """
    columns, identifiers = dict[Column, np.ndarray](), list[str]()
    for name in frame.columns:
        column, cells = _inferred(frame[name], str(name), where)
        if column is None:
            identifiers.append(str(name))
        else:
            columns[column] = cells
    if identifiers:
        log.warning("%s: left out, since they tell rows apart and nothing else", ", ".join(identifiers))
    if not columns:
        file = where(0).get("file")
        raise AffectkitError("input", "holds no features", file=file, remedy="give it columns beside the id")
    return Table(tuple(columns), tuple(columns.values()))


def read_as(frame: pd.DataFrame, known: Sequence[Column], where: Where) -> Table:
    """The columns that a model was trained on. Raises "input" naming the row of a cell of another kind."""
    return Table(tuple(known), tuple(_of_kind(frame[column.name], column, where) for column in known))


# --- One column


def _inferred(cells: pd.Series, name: str, where: Where) -> tuple[Column | None, np.ndarray]:
    """None for an identifier."""
    if _are_numbers(cells, name, where):
        values = _of_kind(cells, column := Column(name, "number"), where)
        return (None if counts_rows(values) else column), values
    texts, distinct = _texts(cells)
    if form := _form_of_dates(texts, distinct, name, where):
        column = Column(name, "date", form)
        return column, _of_kind(cells, column, where)
    texts, distinct = _texts(cells, words=True)
    known = int((texts != "").sum())
    if len(distinct) <= MOST_CATEGORIES and (known < FEW or len(distinct) <= known / 2):
        for spellings in spelt_alike(distinct):
            log.warning("%s: %s differ by case, spaces or decimals only, and count as different", name, spellings)
        return Column(name, "category"), texts
    _warn_of_units(distinct, name)
    words = sum(" " in text or len(UNSPACED.findall(text)) >= A_WORD for text in distinct)
    single = len(distinct) >= IDENTIFIER * known and words < (1 - IDENTIFIER) * known
    return (None if single else Column(name, "text")), texts


def _form_of_dates(texts: np.ndarray, distinct: np.ndarray, name: str, where: Where) -> str:
    """How a column's dates are written; "" where it holds none.

    Raises "input" naming the row of the first cell that is no date of the commonest form, where most are of any.
    """
    sample = _are_dates(distinct[:FEW])
    for place, form in enumerate(DATES):
        if sample[place].all() and _are_dates(distinct, form).all():
            if form == "%m/%d/%Y" and _are_dates(distinct, "%d/%m/%Y").all():
                message = "%s: dates such as %s are read as month/day/year; write 2024-01-31 if they are not"
                log.warning(message, name, distinct[0])
            return form
    if not sample.any():
        return ""
    known, count = _are_dates(distinct), int((texts != "").sum())
    dates, best = {*distinct[known.any(axis=0)]}, int(known.sum(axis=1).argmax())
    if _among(texts, dates).sum() < SLIP * count:
        return ""
    slips = _among(texts, distinct[~known[best]])
    place = first_row(slips) or 0
    message = f"{name} '{texts[place]}' is no date such as {_example(DATES[best])}"
    message += f", and {count - slips.sum()} of {count} cells are"
    remedy = f"write all dates as 2024-01-31, leave the cell empty, or pass --exclude {as_typed(name)}"
    raise AffectkitError("input", message, **where(place), remedy=remedy)


def _are_dates(distinct: np.ndarray, *forms: str) -> np.ndarray:
    """[F, N] bool: in which of the forms, all by default."""
    return np.stack([~np.isnan(_days(distinct, form)) for form in forms or DATES])


def _example(form: str) -> str:
    return f"{datetime(2024, 1, 31, 12):{form}}"


def _warn_of_units(distinct: np.ndarray, name: str) -> None:
    units = [match[1] for match in map(WITH_UNIT.fullmatch, distinct) if match]
    if len(units) >= SLIP * len(distinct) and len(set(units)) <= UNITS:
        message = "%s: cells such as '%s' are no numbers: write the number alone, and its unit into the column's name"
        log.warning(message, name, distinct[0])


def _are_numbers(cells: pd.Series, name: str, where: Where) -> bool:
    """Whether a column holds nothing but numbers and gaps.

    Raises "input" naming the row of the first cell that is none, where most are, or are meant to be.
    """
    if cells.dtype.kind == "f":
        return True
    texts, distinct = _texts(cells)
    others = [text for text in distinct if not _is_number(text)]
    if not others:
        return True
    words, count = {text for text in others if not as_number(text)}, int((texts != "").sum())
    if _among(texts, words).sum() > (1 - SLIP) * count:
        return False
    slips = _among(texts, others)
    place = first_row(slips) or 0
    message = f"{name} '{texts[place]}' is not a number, and {count - slips.sum()} of {count} cells are"
    remedy = as_number(texts[place]) or f"correct it, leave the cell empty, or pass --exclude {as_typed(name)}"
    raise AffectkitError("input", message, **where(place), remedy=remedy)


def _is_number(text: str) -> bool:
    try:
        return "_" not in text and abs(float(text)) <= LARGEST_NUMBER
    except ValueError:
        return False


def counts_rows(values: np.ndarray) -> bool:
    """Whether numbers are a running one: whole, each once, without a hole."""
    if len(values) < FEW or np.isnan(values).any() or (values % 1).any():
        return False
    return len(np.unique(values)) == len(values) == values.max() - values.min() + 1


def _of_kind(cells: pd.Series, column: Column, where: Where) -> np.ndarray:
    """[N] as `Table.cells` has it. Raises "input" naming the row of a cell of another kind."""
    if cells.dtype.kind == "f" and column.kind == "number":
        values = cells.to_numpy()
        if (place := first_row(np.abs(values) > LARGEST_NUMBER)) is not None:
            raise _of_another_kind(f"{values[place]:g}", column, where(place))
        return values
    texts, distinct = _texts(cells, words=column.kind not in NUMERIC)
    if column.kind not in NUMERIC:
        return texts
    if column.kind == "date":
        values = _days(distinct, column.form)
    else:
        values = np.array([float(text) if _is_number(text) else np.nan for text in distinct])
    if np.isnan(values).any():
        bad = distinct[np.isnan(values)][0]
        raise _of_another_kind(bad, column, where(first_row(texts == bad) or 0))
    known = dict(zip(distinct, values, strict=True))
    return np.array([known.get(text, np.nan) for text in texts], dtype=float)


def _of_another_kind(cell: str, column: Column, place: dict[str, Any]) -> AffectkitError:
    number = column.kind == "number"
    what = "a number, or too large to compute with" if number else f"a date such as {_example(column.form)}"
    remedy = (number and as_number(cell)) or CORRECT
    return AffectkitError("input", f"{column.name} '{cell}' is not {what}", **place, remedy=remedy)


def _among(texts: np.ndarray, some: Iterable[str]) -> np.ndarray:
    """[N] bool. NumPy's `isin` compares objects with each of some in turn, and makes text as wide as its longest cell:
    minutes, or gigabytes, for a column of long notes."""
    known = set(some)
    return np.array([text in known for text in texts], bool)


def _texts(cells: pd.Series, *, words: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """[N] object, stripped, "" for a gap; and what stands in them but gaps, each once in the order it comes.

    words: whether `WORDS` stay, as they do unless all others are numbers or dates.
    """
    import pandas as pd

    codes, distinct = pd.factorize(cells.to_numpy(object))
    spelt = [f"{cell:.15g}" if isinstance(cell, float) else str(cell).strip() for cell in distinct]
    gaps = {*GAPS} - {*WORDS} if words else {*GAPS}
    spelt = ["" if text.lower() in gaps else text for text in spelt]
    return np.array([*spelt, ""], dtype=object)[codes], np.array([t for t in dict.fromkeys(spelt) if t], dtype=object)


def _days(distinct: np.ndarray, form: str) -> np.ndarray:
    """Days since 1970 of texts, with their time of day; NaN for what is no date in this form."""
    import pandas as pd

    dates = pd.to_datetime(pd.Series(distinct, dtype=object), format=form, errors="coerce")
    return ((dates - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy(float)
