"""A page is data: sentences, cards, tables and figures, which `browser` and `terminal` each draw in their own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from affectkit.artifacts.reports import file_name
from affectkit.instruments import scores_of, traits_of
from affectkit.results import words

# A paragraph: text, or a row of texts and cells, so that its numbers keep all their digits:
# ("ECE falls from ", 0.0374213, " to ", {"value": 0.0167, "low": 0.012, "high": 0.021}, ".")
Sentence = str | Sequence[Any]


@dataclass(frozen=True)
class Plot:
    """A figure as SVG text, and what it shows in words. wide: takes both columns of the page.

    png: the same picture, where `svg.rendering` asks for it; svg is empty where it does not.
    """

    svg: str
    alt: str
    wide: bool = False
    png: bytes = b""


@dataclass(frozen=True)
class Figure:
    """name: of its file. caption: what the plot shows, and how to read it. draw: makes it, once it is asked for."""

    name: str
    caption: str
    draw: Callable[[], Plot]

    @cached_property
    def plot(self) -> Plot:
        return self.draw()


def figure(name: str, caption: str, draw: Callable[..., Plot], /, *args: Any, **options: Any) -> Figure:
    """What `draw` makes of the rest. name: may hold what a target or a group is called; it is made safe as a file's."""
    return Figure(file_name(name), caption, partial(draw, *args, **options))


@dataclass(frozen=True)
class Card:
    """A key figure in large type. figure: as a cell of a table. notes: what stands below it, such as its floor."""

    title: str
    figure: Any
    notes: Sequence[Sentence] = ()


@dataclass(frozen=True)
class Table:
    """Rows by name.

    first: heading of the names. columns: of the cells.
    rows: a cell is a number, text, a bool, None, or `value`, `low` and `high` of a number with its interval.
    better: `higher` or `lower` by row name, where one of them is.
    file: the CSV that has every row, for when the page cuts the table. folded: shown on request only.
    On a terminal: signed: the columns of differences, shown with their sign; brackets: heading of the intervals.
    """

    caption: str
    first: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Any]]
    better: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    folded: bool = False
    signed: Sequence[str] = ()
    brackets: str = ""


PLAIN = ("n", "groups", "recall", "precision", "mean", "sd", "positives", "raised")  # columns that are no metrics


def keyed(rows: Mapping[str, Mapping[str, Any]], caption: str, first: str, file: str, *, folded: bool = False) -> Table:
    """Of rows that name their cells: every name in one of them is a column, in words."""
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    columns = [key if key in PLAIN else words.title(key) for key in keys]
    cells = {name: [row.get(key) for key in keys] for name, row in rows.items()}
    return Table(caption, first, columns, cells, file=file, folded=folded)


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, in this order; long tables last. Each sentence of `text` is a paragraph.

    note: a paragraph in soft ink at the end. A section of nothing but a title is left out.
    """

    title: str
    text: Sequence[Sentence] = ()
    cards: Sequence[Card] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    note: Sentence = ""


@dataclass(frozen=True)
class Page:
    """What is said of a finished run.

    lead: sentences below the title. corpora: `name`, `title`, `licence`, `citation`, `synthetic`. inputs: `name`,
    `size` and `sha256` of each file read. texts: where those of each transcribed manifest are from.
    targets: what is predicted, by name or as reports have it: scores of mental health, and traits of
    personality, are said to be no more than that.
    metrics: names to be explained in words. source: the file with the same numbers. summary: what a terminal shows, of
    each section its title, tables and text; without any, the lead.
    """

    title: str
    lead: Sequence[Sentence]
    sections: Sequence[Section]
    warnings: Sequence[str] = ()
    declared: Sequence[str] = ()
    corpora: Sequence[Mapping[str, Any]] = ()
    inputs: Sequence[Mapping[str, Any]] = ()
    texts: Sequence[str] = ()
    targets: Sequence[Any] = ()
    normalization: str = "unknown"
    metrics: Sequence[str] = ()
    source: str = "metrics.json"
    summary: Sequence[Section] = ()

    @property
    def caveats(self) -> list[str]:
        """Everything that must be read before the figures; that of synthetic and transductive ones, and of scores of
        mental health, comes by itself."""
        return words.warnings(vars(self))

    @property
    def scores(self) -> dict[str, str]:
        """Target -> what it is a score of, where it is one of mental health."""
        return scores_of(self.targets, self.corpora)

    @property
    def traits(self) -> list[str]:
        """Targets that are traits of personality."""
        return traits_of(self.targets)

    @property
    def figures(self) -> list[Figure]:
        return [figure for section in self.sections for figure in section.figures]


def past(report: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """What a page takes from a report as it stands. without: what it works out by itself."""
    keys = ("warnings", "declared", "corpora", "inputs", "normalization")
    known = {"texts": report.get("texts", []), "targets": list(report.get("targets") or [])}
    return {key: report[key] for key in keys if key not in without} | known
