"""What each class is mistaken for, with pictures of it: the section that pages share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from affectkit.reporting.figures.pictures import pictures as drawn
from affectkit.reporting.page import Section, Table, figure

FOLDED = 60  # kinds of mistakes, all those of eight classes; a longer table is shown on request
CAPTION = "What each class is mistaken for, the most frequent first, as a share of its rows. Brackets: interval."
PICTURES = (
    "Rows of the most frequent mistakes: of each kind those that the model was surest of, which are no fair sample of "
    "them. Pictures of the corpus: check its licence before passing this page on."
)


def mistakes(
    target: str, rows: Sequence[Mapping[str, Any]], pictures: Sequence[Mapping[str, str]], rows_of: str = ""
) -> Iterator[Section]:
    """Nothing where nothing is mistaken. rows: as `evaluation.parts.mistakes` gives them, of the class target. rows_of:
    which rows they are, where the page is of several parts."""
    if rows:
        cells = {f"{r['truth']} as {r['predicted']}": [r["rows"], {**r, "value": r["share"]}] for r in rows}
        caption = f"{CAPTION} Of {rows_of}." if rows_of else CAPTION
        table = Table(caption, "mistake", ["rows", "share"], cells, file="mistakes.csv", folded=len(rows) > FOLDED)
        of_target = "" if target == "label" else f" of {target}"
        figures = [figure(f"{target}_mistaken", PICTURES, drawn, pictures)] if pictures else []
        yield Section(f"Mistakes{of_target}", tables=[table], figures=figures)
