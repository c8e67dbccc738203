"""EMOTIC: 34,000 people in 23,500 scenes, each with valence, arousal, dominance and a choice of 26 categories."""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.corpora._corpus import Corpus, Dropped, Row, vad
from affectkit.corpora._files import checked, child, find_home, refuse_pointer, relative
from affectkit.corpora._tables import safe_id
from affectkit.errors import AffectkitError
from affectkit.media.matlab import as_matlab
from affectkit.synthesis import scores, twins
from affectkit.synthesis.faces import Person, draw_person
from affectkit.synthesis.scenes import body_of, draw_scene

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
    home, table = find_home(root, CORPUS, lambda folder: child(folder, *TABLES))
    return checked(_rows(table, child(home, "emotic", "images") or home, root), root, CORPUS)


def _rows(table: Path, pictures: Path, root: Path) -> Iterator[Row | Dropped]:
    parts = _load(table)
    for split in ("train", "val", "test"):
        for position, picture in enumerate(_items(parts[split]), start=1):
            try:
                yield from _people(_fields(picture), split, pictures, root)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                expected = "filename, folder, image_size, original_database, person"
                message = f"picture {position} of {split} is not as in EMOTIC: expected {expected}"
                raise AffectkitError("input", message, file=table, remedy="download Annotations.mat again") from None


def _load(table: Path) -> dict[str, Any]:
    """The three parts of the MATLAB file."""
    from scipy.io import loadmat

    refuse_pointer(table)
    with as_matlab(table, remedy="download it again"):
        parts = loadmat(table, squeeze_me=True, struct_as_record=False)
    for split in ("train", "val", "test"):
        if split not in parts:
            known = ", ".join(name for name in parts if not name.startswith("__")) or "nothing"
            raise AffectkitError("input", f"has no part '{split}', but {known}", file=table)
    return parts


def _items(value: Any) -> list[Any]:
    """The elements of a MATLAB array, of which a single one comes bare."""
    return list(np.atleast_1d(value).reshape(-1))


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct._fieldnames}


def _people(picture: dict[str, Any], split: str, pictures: Path, root: Path) -> Iterator[Row | Dropped]:
    name, folder, size, _, people = list(picture.values())[:5]
    # by the names of the fields; without them the width is first, as the authors' code takes it
    sides = _fields(size)
    first, second = list(sides.values())[:2]
    width, height = int(sides.get("n_col", first)), int(sides.get("n_row", second))
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
    ratings = {}
    for name in DIMENSIONS:
        values = [float(value) for value in _items(fields[name])]
        ratings[name] = values[0] if len(values) == 1 and 1 <= values[0] <= 10 else math.nan
    return ratings


def _words(value: Any) -> list[str]:
    """The names in a cell array, which train wraps in a struct."""
    if hasattr(value, "_fieldnames"):
        return [word for name in value._fieldnames for word in _words(getattr(value, name))]
    return [str(word).strip() for word in _items(value) if isinstance(word, str) and word.strip()]


def _word(value: Any) -> str:
    return "".join(_words(value)[:1])


# --- The synthetic twin


FOLDERS = ("mscoco/images", "framesdb/images", "ade20k/images", "emodb_small/images")
PARTS = ("train", "train", "test", "train", "val", "train", "train", "test", "train", "train")  # of the pictures
SIZE = (256, 192)  # pixels
RATERS = 5  # of val and test; train has one
FACELESS = 0.15  # share of people who stand with their back to us
# categories and where they lie: valence, arousal
CATEGORIES = {
    "Happiness": (0.8, 0.4), "Excitement": (0.5, 0.8), "Peace": (0.5, -0.5), "Engagement": (0.2, 0.2),
    "Anger": (-0.6, 0.7), "Fear": (-0.6, 0.6), "Sadness": (-0.6, -0.4), "Fatigue": (-0.3, -0.7),
    "Disconnection": (-0.2, -0.3), "Anticipation": (0.2, 0.4),
}  # fmt: skip


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: pictures of one or two of `speakers` people until `size` are drawn, and their ratings."""
    twins.write_readme(root, "emotic", size=size, speakers=speakers, seed=seed)
    twins.deal(size, [""], {"": 1.0})  # refuses an empty twin
    people = [draw_person(twins.generator(seed, "person", n)) for n in range(max(speakers, 1))]
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    drawn = index = 0
    while drawn < size:
        rng = twins.generator(seed, "picture", index)
        count = min(size - drawn, 1 + int(rng.random() < 0.3))
        split = PARTS[index % len(PARTS)]
        parts[split].append(_picture(root, f"{index:06d}", split, count, people, rng))
        drawn, index = drawn + count, index + 1
    _save(root / "Annotations" / "Annotations.mat", parts)


def _picture(
    root: Path, name: str, split: str, count: int, people: list[Person], rng: np.random.Generator
) -> dict[str, Any]:
    """Draw and write a picture; its entry of the MATLAB file."""
    common = rng.normal(0, 0.5, 3)
    affects = (common + rng.normal(0, 0.2, (count, 3))).clip(-1, 1)
    folder = FOLDERS[int(rng.integers(len(FOLDERS)))]
    faces = 0 if count == 1 and rng.random() < FACELESS else count
    chosen = [people[int(n)] for n in rng.choice(len(people), size=count, replace=len(people) < count)]
    scene = affects.mean(axis=0)
    moods = [(float(affect[0]), float(affect[1])) for affect in affects]
    image, boxes, _ = draw_scene((float(scene[0]), float(scene[1])), rng, SIZE, faces, people=chosen, moods=moods)
    twins.save_image(root / "emotic" / folder / f"{name}.jpg", image)
    bodies = [body_of(box, SIZE) for box in boxes] or [(0.3 * SIZE[0], 0.2 * SIZE[1], 0.4 * SIZE[0], 0.8 * SIZE[1])]
    return {
        "filename": f"{name}.jpg",
        "folder": folder,
        "image_size": {"n_col": SIZE[0], "n_row": SIZE[1]},
        "original_database": {"name": folder.partition("/")[0], "info": "synthetic"},
        "person": _structs([_person(a, b, split, rng) for a, b in zip(affects, bodies, strict=True)]),
    }


def _person(
    affect: np.ndarray, body: tuple[float, float, float, float], split: str, rng: np.random.Generator
) -> dict[str, Any]:
    x, y, width, height = body
    corners = np.array([x - 3, y, x + width, y + height]).round()  # some reach out of the picture, as some real ones do
    ratings = scores.rate(affect.tolist(), (1, 10), rng, raters=1 if split == "train" else RATERS)
    distance = {word: float(np.hypot(*(affect[:2] - place))) for word, place in CATEGORIES.items()}
    words = np.array(sorted(distance, key=lambda word: distance[word])[:2], dtype=object)
    single = [dict(zip(DIMENSIONS, map(float, rating), strict=True)) for rating in ratings]
    mean = dict(zip(DIMENSIONS, np.mean(ratings, axis=0).tolist(), strict=True))
    person = {"gender": "Male" if rng.random() < 0.5 else "Female", "age": "Adult"}
    if split == "train":
        rated: dict[str, Any] = {"annotations_categories": {"categories": words}, "annotations_continuous": single[0]}
    else:
        rated = {
            "annotations_categories": _structs([{"categories": words}] * RATERS),
            "combined_categories": words,
            "annotations_continuous": _structs(single),
            "combined_continuous": mean,
        }
    return {"body_bbox": corners, **rated, **person}


def _structs(entries: list[dict[str, Any]]) -> np.ndarray:
    """A MATLAB struct array [1, N]."""
    structs = np.zeros((1, len(entries)), dtype=[(name, object) for name in entries[0]] if entries else object)
    for place, entry in enumerate(entries):
        for name, value in entry.items():
            structs[0, place][name] = value
    return structs


def _save(path: Path, parts: dict[str, list[dict[str, Any]]]) -> None:
    """Write the file; its header says what it is instead of the time of day, so that the bytes come again."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    savemat(written, {name: _structs(entries) for name, entries in parts.items()}, do_compression=True)
    header = b"MATLAB 5.0 MAT-file SYNTHETIC: made by affectkit".ljust(116)
    path.write_bytes(header + written.getvalue()[116:])
