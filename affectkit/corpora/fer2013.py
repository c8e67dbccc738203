"""FER2013: 35,887 grey faces of 48 x 48 pixels from the web, 7 expressions; its table, or folders of its images."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from affectkit.corpora._corpus import BASIC, Corpus, Defect, Dropped, Row
from affectkit.corpora._files import (
    IMAGES,
    MediaDir,
    checked,
    child,
    find_files,
    find_home,
    folders_in,
    refuse_pointer,
    relative,
    write_once,
)
from affectkit.corpora._tables import records
from affectkit.errors import AffectkitError
from affectkit.media.images import read_image
from affectkit.registry import Option
from affectkit.splits import read_parts
from affectkit.synthesis import scores, twins
from affectkit.synthesis.faces import draw_closely, draw_people

SIDE = 48  # pixels
WORDS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CLASSES = {str(code): word for code, word in enumerate(WORDS)}
USAGE = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
TABLES = ("fer2013.csv", "icml_face_data.csv")
COLUMNS = ("emotion", "pixels", "Usage")
DEFECTS = (
    Defect("media", "FER2013's official split holds identical and near-identical images in train, val and test"),
    Defect("speaker", "FER2013 names nobody: a person may have pictures in all parts of its official split"),
)
CORPUS = Corpus(
    title="FER2013",
    licence="no licence stated: published for a challenge of 2013; the pictures are their owners'",
    citation="I. J. Goodfellow et al.: Challenges in Representation Learning: A report on three machine learning "
    "contests. Neural Information Processing, 2013.",
    url="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
    layout="fer2013.csv or icml_face_data.csv; or train/<label>/*, validation/<label>/*, test/<label>/*",
    reads="images",
    classes=CLASSES,
    official="Usage: Training is train, PublicTest val, PrivateTest test; or the folders train, validation, test",
    default_group="",
    defects=DEFECTS,
)


def read(root: Path, *, media_dir: MediaDir = "") -> Iterator[Row | Dropped]:
    """The images of the table, which are written to files, else those of the folders.

    An id is the part and a digest of the pixels, so that every form of the corpus gives the same manifest. Where
    there is no folder for validation, files of the test folder that are called PublicTest_... are val.
    """
    home, _ = find_home(root, CORPUS, lambda folder: table_of(folder) or _parts(folder))
    table = table_of(home)
    rows = table_rows(table, root, media_dir) if table else _images(_parts(home), root)
    return checked(named(rows), root, CORPUS)


def named(items: Iterable[Row | Dropped]) -> Iterator[Row | Dropped]:
    """What was dropped, then rows by their ids: `train-1f2e3d4c5b6a`, and `-2`, ... where a part repeats an image."""
    rows: list[Row] = []
    for item in items:
        if isinstance(item, Dropped):
            yield item
        else:
            rows.append(item)
    counts: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: (row["split"], row["digest"], row["source_label"], row["path"])):
        stem = f"{row['split']}-{row.pop('digest')}"
        counts[stem] += 1
        yield {"id": stem if counts[stem] == 1 else f"{stem}-{counts[stem]}", **row}


def _digest(pixels: bytes) -> str:
    return hashlib.sha256(pixels).hexdigest()[:12]


# --- The table, a row at a time


def table_of(folder: Path) -> Path | None:
    return child(folder, *TABLES)


def table_rows(table: Path, root: Path, media_dir: str) -> Iterator[Row | Dropped]:
    """For each of the table's rows its digest, path, source_label and split, its image written; or what is wrong."""
    media = Path(media_dir) if media_dir else root / "media"
    place = relative(table, root)
    for position, line in enumerate(records(table, required=COLUMNS), start=1):
        cells = {name: line[name].strip() for name in COLUMNS}
        wrong = _wrong(cells)
        if wrong:
            yield Dropped(f"{place} row {position}", *wrong)
            continue
        split, pixels = USAGE[cells["Usage"]], bytes(map(int, cells["pixels"].split()))
        digest = _digest(pixels)
        path = write_once(_png(pixels), media / f"{split}-{digest}.png", root)
        yield {"digest": digest, "path": path, "source_label": CLASSES[cells["emotion"]], "split": split}


def _wrong(cells: Mapping[str, str]) -> tuple[str, str] | None:
    """What is wrong with a row, and its remedy."""
    if cells["emotion"] not in CLASSES:
        return f"emotion '{cells['emotion'][:20]}' is not 0 to {len(CLASSES) - 1}", "correct the row"
    if cells["Usage"] not in USAGE:
        return f"Usage '{cells['Usage'][:20]}' is not {', '.join(USAGE)}", "correct the row"
    pixels, remedy = cells["pixels"].split(), "take the row from another copy of the table"
    if len(pixels) != SIDE * SIDE:
        return f"has {len(pixels):,} pixels, not {SIDE} x {SIDE} = {SIDE * SIDE:,}", remedy
    try:
        bytes(map(int, pixels))
    except ValueError:
        strange = next(pixel for pixel in pixels if not (pixel.isdecimal() and len(pixel) < 5 and int(pixel) < 256))
        return f"pixel '{strange[:20]}' is not a whole number from 0 to 255", remedy
    return None


def _png(pixels: bytes) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.frombytes("L", (SIDE, SIDE), pixels).save(written, "PNG")
    return written.getvalue()


# --- Folders of images


# What copies call the folders of a class.
FOLDERS = {spelling: word for word, spellings in BASIC.items() for spelling in (word, *spellings)}
FOLDERS |= {**CLASSES, "disgusted": "disgust"}


def _parts(folder: Path) -> dict[Path, str]:
    """Folder of a part -> its split, where there are one to train on and one to test on, with folders of classes."""
    names = [path.name for path in folders_in(folder)]
    splits = read_parts(names) | {name: USAGE[name] for name in names if name in USAGE}
    parts = {folder / name: split for name, split in splits.items() if any(map(_label, folders_in(folder / name)))}
    return parts if {"train", "test"} <= set(parts.values()) else {}


def _label(folder: Path) -> str:
    return FOLDERS.get(folder.name.lower(), "")


def _images(parts: Mapping[Path, str], root: Path) -> Iterator[Row | Dropped]:
    validated = "val" in parts.values()
    for part, split in parts.items():
        for folder in folders_in(part):
            for path in find_files(folder, IMAGES):
                usage = USAGE.get(path.stem.partition("_")[0], "")
                side = "val" if split == "test" and usage == "val" and not validated else split
                yield _image(path, _label(folder), side, root)


def _image(path: Path, label: str, split: str, root: Path) -> Row | Dropped:
    place = relative(path, root)
    if not label:
        return Dropped(place, f"its folder is called '{path.parent.name}', which is none of FER2013's classes")
    try:
        refuse_pointer(path)
        pixels = read_image(path)
    except AffectkitError as error:
        return Dropped(place, error.message, error.remedy or "copy it again")
    grey = pixels[..., 0] if (pixels == pixels[..., :1]).all() else pixels
    return {"digest": _digest(grey.tobytes()), "path": place, "source_label": label, "split": split}


# --- The synthetic twin


# Nearer to each other than the real ones, of which one in four is happy and one in sixty-six disgust.
WEIGHTS = {"angry": 14, "disgust": 6, "fear": 13, "happy": 24, "sad": 16, "surprise": 12, "neutral": 15}
COPIED = 15  # one image in so many of the two parts for testing is one of the train part
PARTS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}

Drawn = tuple[str, str, np.ndarray]  # word, Usage, grey [48, 48]


def synthesize(
    root: Path,
    *,
    size: int,
    speakers: int,
    seed: int,
    form: Annotated[
        Literal["csv", "icml", "folders", "kaggle"],
        Option(
            "How the images come: fer2013.csv, icml_face_data.csv, folders train, validation and test, or train and "
            "test with Usage in the files' names."
        ),
    ] = "csv",
) -> None:
    """Write the twin: faces of `speakers` people, in all parts; some of those to test on stand in train too."""
    twins.write_readme(root, "fer2013", size=size, speakers=speakers, seed=seed, form=form)
    faces = draw_faces(WEIGHTS, size=size, speakers=speakers, seed=seed)
    if form in ("csv", "icml"):
        write_table(root / TABLES[form == "icml"], faces)
        return
    for number, (word, usage, pixels) in enumerate(faces):
        part = "test" if form == "kaggle" and usage != "Training" else PARTS[usage]
        twins.save_image(root / part / word / f"{usage}_{number:08d}.png", pixels)


def draw_faces(weights: Mapping[str, float], *, size: int, speakers: int, seed: int) -> list[Drawn]:
    """Grey faces in the order of the table: eight in ten to train on, one each for the two tests."""
    people = draw_people(speakers, seed)
    order = twins.generator(seed, "parts").permutation(size)
    faces: list[Drawn] = []
    for place, (name, word) in enumerate(twins.deal(size, list(people), weights)):
        rng = twins.generator(seed, "face", place)
        affect = scores.draw_affect(word, scores.draw_intensity(rng), rng)
        usage = {8: "PublicTest", 9: "PrivateTest"}.get(int(order[place]) % 10, "Training")
        face = draw_closely(people[name], affect[:2], rng, SIDE)
        faces.append((word, usage, face.mean(axis=2).round().astype(np.uint8)))
    faces.sort(key=lambda face: list(USAGE).index(face[1]))
    train = {word: pixels for word, usage, pixels in faces if usage == "Training"}
    first = sum(usage == "Training" for _, usage, _ in faces)
    return [
        (word, usage, train.get(word, pixels) if place >= 0 and place % COPIED == 2 else pixels)
        for place, (word, usage, pixels) in enumerate(faces, start=-first)
    ]


def write_table(table: Path, faces: Sequence[Drawn]) -> None:
    """As the two releases have it, whose columns are in another order; the second one's names begin with a space."""
    header = ("emotion", "pixels", "Usage") if table.name == TABLES[0] else ("emotion", " Usage", " pixels")
    rows = []
    for word, usage, pixels in faces:
        cells = {"emotion": WORDS.index(word), "Usage": usage, "pixels": " ".join(map(str, pixels.reshape(-1)))}
        rows.append([cells[name.strip()] for name in header])
    twins.write_rows(table, header, rows)
