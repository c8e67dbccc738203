"""Faces that a detector found, put to the rows of a corpus: columns `face_*` and `landmarks`, one face a row."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.tables import read_table
from affectkit.detectors._detector import Face, of_person, ordered
from affectkit.detectors.columns import BOX, LANDMARKS, face_of
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

KEYS = ("id", "path")


def with_faces(rows: pd.DataFrame, paths: Sequence[Path | None], file: Path) -> pd.DataFrame:
    """The rows with the faces of a table in place of the corpus's own; of several the largest, and of a row about one
    person, one in that person's box. Rows that the table does not name have none.

    file: CSV of `id` or `path` (as the manifest has them; a path may be whole), the columns `face_*`, `landmarks`, or
    both; a row a face. What `predict` writes of a face expert will do.
    paths: of the rows' media. Raises "input", naming the row, for a table that is none of this, or of other images.
    """
    by_image = _read(file)
    records = rows.to_dict("records")
    named = [_named(by_image, row, path) for row, path in zip(records, paths, strict=True)]
    if not any(name is not None for name in named):
        first = next(iter(by_image), "it is empty")
        remedy = f"name images by the manifest's id or path, as {records[0].get('path') or records[0]['id']}"
        raise AffectkitError("input", f"names none of the corpus's images: {first}", file=file, remedy=remedy)
    faces = [
        next(iter(ordered(of_person(by_image[name], row))), None) if name is not None else None
        for name, row in zip(named, records, strict=True)
    ]
    log.info("%s: %d of %d rows have a face", file, sum(face is not None for face in faces), len(rows))
    boxes = np.array([face.box if face else (np.nan,) * 4 for face in faces], dtype=float)
    columns: dict[str, Any] = {name: boxes[:, place] for place, name in enumerate(BOX)}
    kept = rows.drop(columns=[name for name in (*BOX, LANDMARKS) if name in rows])
    points = [face.landmarks.reshape(-1) if face and face.landmarks is not None else () for face in faces]
    if any(len(values) for values in points):
        columns[LANDMARKS] = [";".join(f"{value:.2f}" for value in values) for values in points]
    return kept.assign(**columns)


def _read(file: Path) -> dict[str, list[Face]]:
    """The faces of each image, by what names it; an image whose cells are empty has none."""
    table = read_table(file)
    key = next((name for name in KEYS if name in table), None)
    if key is None or not (LANDMARKS in table or set(BOX) <= set(table)):
        has = ", ".join(table.columns)
        remedy = f"give it {' or '.join(KEYS)}, and {', '.join(BOX)} or {LANDMARKS}"
        raise AffectkitError("input", f"is no table of faces: it has {has}", file=file, remedy=remedy)
    by_image: dict[str, list[Face]] = defaultdict(list)
    for number, row in enumerate(table.to_dict("records"), start=1):
        try:
            face = face_of(row)
        except AffectkitError as error:
            raise AffectkitError(error.code, error.message, file=file, row=number, remedy=error.remedy) from None
        by_image[str(row[key])] += [face] if face else []
    return by_image


def _named(by_image: dict[str, list[Face]], row: dict[str, Any], path: Path | None) -> str | None:
    """What the table calls a row's image; None where it does not."""
    names = [row["id"], row.get("path"), *([str(path), str(path.resolve())] if path else [])]
    return next((name for name in names if name in by_image), None)
