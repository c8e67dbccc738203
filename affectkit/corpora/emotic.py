"""EMOTIC: 34,000 people in 23,500 scenes, each with valence, arousal, dominance and a choice of 26 categories."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affectkit.corpora._corpus import (
    POINTER,
    Corpus,
    Dropped,
    Row,
    checked,
    child,
    find_home,
    is_pointer,
    relative,
    vad,
)
from affectkit.corpora._tables import safe_id
from affectkit.errors import AffectkitError

CORPUS = Corpus(
    title="EMOTIC",
    licence="EMOTIC's terms: non-commercial research, on request; the pictures are those of MSCOCO, ADE20K and the web",
    citation="R. Kosti, J. M. Alvarez, A. Recasens, A. Lapedriza: Context Based Emotion Recognition using EMOTIC "
    "Dataset. IEEE Transactions on Pattern Analysis and Machine Intelligence 42(11), 2020.",
    url="https://s3.sunai.uoc.edu/emotic/",
    layout="Annotations/Annotations.mat and emotic/mscoco/images/*.jpg, framesdb/, ade20k/, emodb_small/",
    reads="images",
    targets=vad(1, 10),
    official="EMOTIC's train, val and test, by picture",
    default_group="sequence",
)
TABLES = ("Annotations/Annotations.mat", "Annotations.mat")
DIMENSIONS = ("valence", "arousal", "dominance")
# Of a person's fields, by the number of them, the places of categories and ratings: in train one rater's, else those
# that all raters' are combined into.
PLACES = {5: (1, 2), 7: (2, 4)}


def read(root: Path) -> Iterator[Row | Dropped]:
    """The people of `Annotations.mat`, a row each; `sequence` is the picture, so a picture's people stay together.

    `person_*` is the body's box in pixels, clamped to the picture; `categories` joins the names with `|`. People
    without any rating are dropped. Raises "input" for a file that is not MATLAB's or lacks a part.
    """
    home = find_home(root, CORPUS, lambda folder: _table(folder))
    table = _table(home) or home
    pictures = next((place for name in ("emotic", "images") if (place := child(home, name))), home)
    return checked(_rows(table, pictures, root), root, CORPUS)


def _table(folder: Path) -> Path | None:
    return next((found for name in TABLES if (found := child(folder, name))), None)


def _rows(table: Path, pictures: Path, root: Path) -> Iterator[Row | Dropped]:
    parts = _load(table)
    for split in ("train", "val", "test"):
        for position, picture in enumerate(_items(parts[split]), start=1):
            try:
                yield from _people(_fields(picture), split, pictures, root)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                raise AffectkitError(
                    "input", f"picture {position} of {split} is not as in EMOTIC: expected filename, folder, "
                    "image_size, original_database, person", file=table, remedy="download Annotations.mat again",
                ) from None  # fmt: skip


def _load(table: Path) -> dict[str, Any]:
    """The three parts of the MATLAB file."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if is_pointer(table):
        raise AffectkitError("input", POINTER, file=table, remedy="run git lfs pull")
    try:
        parts = loadmat(table, squeeze_me=True, struct_as_record=False)
    except (MatReadError, ValueError, TypeError, NotImplementedError, EOFError, OSError, IndexError, KeyError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AffectkitError("input", f"is no MATLAB file: {why}", file=table, remedy="download it again") from None
    for split in ("train", "val", "test"):
        if split not in parts:
            known = ", ".join(name for name in parts if not name.startswith("__")) or "nothing"
            raise AffectkitError("input", f"has no part '{split}', but {known}", file=table)
    return parts


def _items(value: Any) -> list[Any]:
    """The elements of a MATLAB array, of which a single one comes bare."""
    import numpy as np

    return list(np.atleast_1d(value).reshape(-1))


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct._fieldnames}


def _people(picture: dict[str, Any], split: str, pictures: Path, root: Path) -> Iterator[Row | Dropped]:
    name, folder, size, _, people = list(picture.values())[:5]
    width, height = _size(_fields(size))
    path = relative(pictures / str(folder) / str(name), root)
    group = f"{folder}/{name}"
    for number, person in enumerate(_items(people), start=1):
        fields = _fields(person)
        cells = list(fields.values())
        categories, ratings = (cells[place] for place in PLACES[len(cells)])
        scores = _ratings(ratings)
        if all(map(math.isnan, scores.values())):
            yield Dropped(f"{path} person {number}", "nobody rated the person's valence, arousal or dominance")
            continue
        yield {
            "id": f"{safe_id(f'{folder}/{Path(str(name)).stem}'.replace('/images', ''))}-{number}",
            "path": path,
            "source_label": "",
            **scores,
            "categories": "|".join(_words(categories)),
            **_box(cells[0], width, height),
            "width": width,
            "height": height,
            "sequence": group,
            "sex": {"male": "male", "female": "female"}.get(_word(cells[-2]).lower(), ""),
            "age_group": _word(cells[-1]).lower(),
            "split": split,
        }


def _size(fields: dict[str, Any]) -> tuple[int, int]:
    """Width and height, by the names of the fields; without them the width is first, as the authors' code takes it."""
    first, second = list(fields.values())[:2]
    return int(fields.get("n_col", first)), int(fields.get("n_row", second))


def _box(corners: Any, width: int, height: int) -> Row:
    """x1 y1 x2 y2, clamped to the picture, as x, y, width, height; nothing where nothing is left of it."""
    x1, y1, x2, y2 = (float(value) for value in _items(corners))
    x1, x2 = (min(max(x, 0.0), width) for x in (x1, x2))
    y1, y2 = (min(max(y, 0.0), height) for y in (y1, y2))
    box = (x1, y1, x2 - x1, y2 - y1) if x2 > x1 and y2 > y1 else (math.nan,) * 4
    return dict(zip((f"person_{name}" for name in ("x", "y", "width", "height")), box, strict=True))


def _ratings(struct: Any) -> dict[str, float]:
    """Each dimension; NaN where nobody rated it, and for what is not on the scale."""
    fields = _fields(struct)
    found = {}
    for name in DIMENSIONS:
        values = [float(value) for value in _items(fields[name])]
        value = values[0] if len(values) == 1 else math.nan
        found[name] = value if 1 <= value <= 10 else math.nan
    return found


def _words(value: Any) -> list[str]:
    """The names in a cell array, which train wraps in a struct."""
    if hasattr(value, "_fieldnames"):
        return [word for name in value._fieldnames for word in _words(getattr(value, name))]
    return [str(word).strip() for word in _items(value) if isinstance(word, str) and word.strip()]


def _word(value: Any) -> str:
    return "".join(_words(value)[:1])


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `Annotations.mat` and pictures with one or two of `speakers` people; `size` counts people."""
    from affectkit.corpora._emotic_twin import write
    from affectkit.synthesis import twins

    twins.write_readme(root, "emotic", size=size, speakers=speakers, seed=seed)
    write(root, size, speakers, seed)
