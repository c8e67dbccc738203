"""AffectNet: 450,000 faces from the web with expression, valence and arousal; its lists or its arrays."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from affectkit.corpora._affectnet_files import COLUMNS, array, landmarks, lines, scalar
from affectkit.corpora._corpus import (
    IMAGES,
    Corpus,
    Defect,
    Dropped,
    Row,
    checked,
    child,
    common_presets,
    find_files,
    find_home,
    relative,
)
from affectkit.corpora._tables import number, safe_id
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target
from affectkit.plain import comma_separated
from affectkit.registry import Option

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
UNCLEAR = ("none", "uncertain", "no-face")
CLASSES = {str(code): word for code, word in enumerate((*EXPRESSIONS, *UNCLEAR))}
LISTS = "Manually_Annotated_file_lists"
CORPUS = Corpus(
    title="AffectNet",
    licence="AffectNet research licence (University of Denver): non-commercial research, on request; the pictures "
    "are their owners'",
    citation="A. Mollahosseini, B. Hasani, M. H. Mahoor: AffectNet: A Database for Facial Expression, Valence, and "
    "Arousal Computing in the Wild. IEEE Transactions on Affective Computing 10(1), 2019.",
    url="http://mohammadmahoor.com/affectnet/",
    layout=f"{LISTS}/training.csv, validation.csv and Manually_Annotated_Images/; or train_set/ and val_set/, with "
    "images/0.jpg and annotations/0_exp.npy, 0_val.npy, 0_aro.npy",
    reads="images",
    classes=CLASSES,
    targets=(Target("valence", "number", scale=(-1, 1)), Target("arousal", "number", scale=(-1, 1))),
    presets={
        **common_presets(EXPRESSIONS),
        "7class": {word: word for word in EXPRESSIONS[:7]},
        "8class": {word: word for word in EXPRESSIONS},
    },
    official="AffectNet's training part, and its validation part as test: its own test part was never published",
    default_group="",
    defects=(
        Defect("speaker", "AffectNet names nobody: a person may have pictures in its training and validation parts"),
    ),
)
TABLES = {"training.csv": "train", "validation.csv": "test"}
SETS = {"train_set": "train", "val_set": "test"}
PICTURES = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated", "images")
MISSING = -2.0  # stands for a valence or an arousal that nobody gave
BOX = ("face_x", "face_y", "face_width", "face_height")
logger = logging.getLogger(__name__)


def read(
    root: Path,
    *,
    keep_expressions: Annotated[
        str,
        Option("which of none, uncertain and no-face to keep, with commas; of them only none has valence and arousal"),
    ] = "",
) -> Iterator[Row | Dropped]:
    """The faces of the lists, else of the arrays; a part that is not there is warned of.

    `face_*` is the annotators' box in pixels, empty where its width or height is not positive; `landmarks` has 136
    numbers, or is empty. Raises "input" naming the row of a list.
    """
    keep = comma_separated(keep_expressions)
    for word in keep:
        if word not in UNCLEAR:
            raise AffectkitError("usage", f"--keep-expressions '{word}'", remedy=did_you_mean(word, list(UNCLEAR)))
    home = find_home(root, CORPUS, lambda folder: _tables(folder) or _sets(folder))
    tables = _tables(home)
    found, wanted = (tables, TABLES) if tables else (_sets(home), SETS)
    for name in wanted:
        if name not in found:
            logger.warning("%s has no %s: that part is missing", home, name)
    parts = (_listed if tables else _arrays)(found, home, root)
    return checked((row if isinstance(row, Dropped) else _labelled(row, keep) for row in parts), root, CORPUS)


def _tables(folder: Path) -> dict[str, Path]:
    found = {name: child(folder, f"{LISTS}/{name}") or child(folder, name) for name in TABLES}
    return {name: table for name, table in found.items() if table and table.is_file()}


def _sets(folder: Path) -> dict[str, Path]:
    found = {name: child(folder, name) for name in SETS}
    return {name: place for name, place in found.items() if place and child(place, "annotations")}


def _labelled(row: Row, keep: list[str]) -> Row | Dropped:
    """The row with its expression's word, -2 turned into nothing."""
    code = row.pop("expression")
    word = CLASSES.get(f"{code:g}", "")
    if not word:
        return Dropped(row["path"], f"unknown expression code '{code:g}'")
    if word in UNCLEAR and word not in keep:
        return Dropped(row["path"], f"its expression is {word}")
    for name in ("valence", "arousal"):
        if row[name] == MISSING:
            row[name] = math.nan
        if abs(row[name]) > 1:
            return Dropped(row["path"], f"{name} {row[name]:g} is not in -1 to 1")
    return {"id": row["id"], "path": row["path"], "source_label": word, **row}


def _listed(tables: dict[str, Path], home: Path, root: Path) -> Iterator[Row | Dropped]:
    pictures = next((found for name in PICTURES if (found := child(home, name))), home)
    for name, table in tables.items():
        for position, line in enumerate(lines(table), start=1):
            place = line["subDirectory_filePath"].strip().replace("\\", "/")
            if not place:
                yield Dropped(f"{name} row {position}", "names no picture")
                continue
            cells = {column: number(line[column], column, file=table, row=position) for column in (*BOX, *COLUMNS[6:])}
            if not (cells["face_width"] > 0 and cells["face_height"] > 0):
                cells.update(dict.fromkeys(BOX, math.nan))
            yield {
                "id": safe_id(place.removesuffix(Path(place).suffix)),
                "path": relative(pictures / place, root),
                **cells,
                "landmarks": landmarks(line["facial_landmarks"].split(";")),
                "split": TABLES[name],
            }


def _arrays(sets: dict[str, Path], home: Path, root: Path) -> Iterator[Row | Dropped]:
    """Every picture of `images/`, with its annotations; without `_lnd.npy` it has no landmarks."""
    for name, folder in sets.items():
        annotations = child(folder, "annotations") or folder
        for picture in find_files(child(folder, "images") or folder, IMAGES):
            stem, path = picture.stem, relative(picture, root)
            cells = {
                column: scalar(annotations / f"{stem}_{kind}.npy")
                for column, kind in (("expression", "exp"), ("valence", "val"), ("arousal", "aro"))
            }
            broken = next((cell for cell in cells.values() if isinstance(cell, Dropped)), None)
            if broken:
                yield Dropped(path, broken.reason)
                continue
            points = array(annotations / f"{stem}_lnd.npy")
            yield {
                "id": safe_id(f"{name.removesuffix('_set')}_{stem}"),
                "path": path,
                **cells,
                "landmarks": "" if isinstance(points, Dropped) else landmarks(points),
                "split": SETS[name],
            }


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: portraits of `speakers` people, the lists (the second without a header); nobody is in both."""
    from affectkit.corpora._affectnet_twin import write
    from affectkit.synthesis import twins

    twins.write_readme(root, "affectnet", size=size, speakers=speakers, seed=seed)
    write(root, size, speakers, seed)
