"""The files of EMOTIC's synthetic twin."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from affectkit.synthesis import scores, twins
from affectkit.synthesis.face_shapes import Person, draw_person
from affectkit.synthesis.scenes import body_of, draw_scene

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


def write(root: Path, size: int, speakers: int, seed: int) -> None:
    """Pictures of one person or two until `size` people are drawn, and what was rated of them."""
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
    words = np.array(_categories(affect), dtype=object)
    single = [dict(zip(("valence", "arousal", "dominance"), map(float, r), strict=True)) for r in ratings]
    mean = dict(zip(("valence", "arousal", "dominance"), np.mean(ratings, axis=0).tolist(), strict=True))
    told = {"gender": "Male" if rng.random() < 0.5 else "Female", "age": "Adult"}
    if split == "train":
        rated: dict[str, Any] = {"annotations_categories": {"categories": words}, "annotations_continuous": single[0]}
    else:
        rated = {
            "annotations_categories": _structs([{"categories": words}] * RATERS),
            "combined_categories": words,
            "annotations_continuous": _structs(single),
            "combined_continuous": mean,
        }
    return {"body_bbox": corners, **rated, **told}


def _categories(affect: np.ndarray) -> list[str]:
    distance = {word: float(np.hypot(*(affect[:2] - place))) for word, place in CATEGORIES.items()}
    return sorted(distance, key=lambda word: distance[word])[:2]


def _structs(entries: list[dict[str, Any]]) -> np.ndarray:
    """A MATLAB struct array [1, N]."""
    found = np.zeros((1, len(entries)), dtype=[(name, object) for name in entries[0]] if entries else object)
    for place, entry in enumerate(entries):
        for name, value in entry.items():
            found[0, place][name] = value
    return found


def _save(path: Path, parts: dict[str, list[dict[str, Any]]]) -> None:
    """Write the file; its header says what it is instead of the time of day, so that the bytes come again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    savemat(written, {name: _structs(entries) for name, entries in parts.items()}, do_compression=True)
    header = b"MATLAB 5.0 MAT-file SYNTHETIC: made by affectkit".ljust(116)
    path.write_bytes(header + written.getvalue()[116:])
