"""AffectNet: 450,000 faces from the web with expression, valence and arousal; its lists or its arrays."""

import csv
import itertools
import logging
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from affectkit.corpora._corpus import Corpus, Defect, Dropped, Row, common_presets
from affectkit.corpora._files import IMAGES, checked, child, find_files, find_home, refuse_pointer, relative
from affectkit.corpora._tables import number, records, safe_id
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target
from affectkit.media.files import DAMAGED
from affectkit.plain import comma_separated
from affectkit.registry import Option
from affectkit.synthesis import scores, twins
from affectkit.synthesis.faces import Person, draw_face, draw_people
from affectkit.synthesis.scenes import draw_scene

logger = logging.getLogger(__name__)


# --- AffectNet's lists and arrays: tables that may lack their header, numbers that may be words


COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip


def lines(table: Path) -> Iterator[dict[str, str]]:
    """The lines of a list, whose first one may or may not be a header. Raises "input" naming the row."""
    refuse_pointer(table)
    try:
        with open(table, encoding="utf-8-sig", newline="") as handle:
            rows = csv.reader(handle)
            first = next(rows, [])
            if len(first) != len(COLUMNS) or not _is_number(first[-1]):
                yield from records(table, required=COLUMNS)
                return
            for position, cells in enumerate(filter(any, itertools.chain([first], rows)), start=1):
                if len(cells) != len(COLUMNS):
                    message = f"{len(cells)} cells in a list without a header, whose lines have {len(COLUMNS)}"
                    raise AffectkitError("input", message, file=table, row=position, remedy="complete the line")
                yield dict(zip(COLUMNS, cells, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise AffectkitError("input", f"is no CSV in UTF-8: {error}", file=table) from None


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def landmarks(cells: Sequence[str]) -> str:
    """68 points as the manifest has them, `x;y;x;y...`; "" unless there are 136 numbers."""
    stripped = [cell.strip() for cell in cells]
    return ";".join(stripped) if len(stripped) == 136 and all(map(_is_number, stripped)) else ""


def array(path: Path) -> list[str] | Dropped:
    """The values of an `.npy`, of whatever shape and type, as text. No pickles: an array of objects is dropped."""
    if not path.is_file():
        return Dropped(path.name, f"has no {path.name}")
    try:
        return [str(value) for value in np.load(path, mmap_mode="r", allow_pickle=False).reshape(-1).astype(str)]
    except DAMAGED:
        return Dropped(path.name, f"{path.name} is not a readable array")


def scalar(path: Path) -> float | Dropped:
    """The one finite number of an `.npy`."""
    values = array(path)
    if isinstance(values, Dropped):
        return values
    if len(values) != 1 or not _is_number(values[0]):
        return Dropped(path.name, f"{path.name} holds no number")
    return float(values[0])


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


def read(
    root: Path,
    *,
    keep_expressions: Annotated[
        str,
        Option("Which of none, uncertain and no-face to keep, comma-separated; only none has valence and arousal."),
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
    home, parts = find_home(root, CORPUS, lambda folder: _tables(folder) or _sets(folder))
    listed = parts.keys() <= TABLES.keys()
    for name in TABLES if listed else SETS:
        if name not in parts:
            logger.warning("%s has no %s: that part is missing", home, name)
    rows = _listed(parts, home, root) if listed else _arrays(parts, root)
    return checked((row if isinstance(row, Dropped) else _labelled(row, keep) for row in rows), root, CORPUS)


def _tables(folder: Path) -> dict[str, Path]:
    tables = {name: child(folder, f"{LISTS}/{name}", name) for name in TABLES}
    return {name: table for name, table in tables.items() if table and table.is_file()}


def _sets(folder: Path) -> dict[str, Path]:
    sets = {name: child(folder, name) for name in SETS}
    return {name: place for name, place in sets.items() if place and child(place, "annotations")}


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
    pictures = child(home, *PICTURES) or home
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


def _arrays(sets: dict[str, Path], root: Path) -> Iterator[Row | Dropped]:
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


# --- The synthetic twin


# Nearer to each other than the real ones, of which two in three are neutral or happy.
WEIGHTS = {
    "0": 20, "1": 24, "2": 14, "3": 10, "4": 9, "5": 8, "6": 14, "7": 6, "8": 3, "9": 2, "10": 2,
}  # fmt: skip
SIDE = 128  # pixels
APART = 0.15  # deviation of what a face shows from what is felt
BOXLESS = 20  # one face in so many has a box of negative width


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: portraits of `speakers` people, and the two lists: every fifth person is in the second one."""
    twins.write_readme(root, "affectnet", size=size, speakers=speakers, seed=seed)
    people = draw_people(max(speakers, 1), seed)
    names = list(people)
    lists: dict[str, list[list[object]]] = {"training.csv": [], "validation.csv": []}
    for index, (name, code) in enumerate(twins.deal(size, names, WEIGHTS)):
        part = "validation.csv" if twins.part_of(names.index(name)) == "test" else "training.csv"
        rng = twins.generator(seed, "face", index)
        lists[part].append(_face(root, index, code, people[name], rng, seed))
    header: list[object] = list(COLUMNS)
    for part, rows in lists.items():
        # as some copies are, the second list has no header, unless it has nothing else
        first, *rest = rows if part == "validation.csv" and rows else [header, *rows]
        twins.write_rows(root / LISTS / part, [str(cell) for cell in first], rest)


def _face(root: Path, index: int, code: str, person: Person, rng: np.random.Generator, seed: int) -> list[object]:
    """Draw and write one picture; its line."""
    affect = scores.draw_affect(CLASSES[code], scores.draw_intensity(rng), rng)
    felt = (np.array(affect[:2]) + rng.normal(0, APART, 2)).tolist()
    name = f"{100 + index % 97}/{zlib.crc32(f'{seed}/{index}'.encode()):08x}{index:06x}.jpg"
    if code == "10":
        image, _, _ = draw_scene((0.0, 0.0), rng, (SIDE, SIDE), 0)
        box, points = [0, 0, SIDE, SIDE], np.zeros((68, 2))
    else:
        image, points, corners = draw_face(person, (felt[0], felt[1]), rng, SIDE)
        box = [round(value) for value in corners]
    if index % BOXLESS == BOXLESS - 1:
        box[2] = -box[2]
    twins.save_image(root / PICTURES[0] / name, image)
    rated = [round(value, 4) for value in affect[:2]] if code not in ("9", "10") else [MISSING, MISSING]
    landmarks = ";".join(f"{value:.2f}" for value in points.reshape(-1))
    return [name, *box, landmarks, int(code), *rated]
