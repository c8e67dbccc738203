"""The files of AffectNet's synthetic twin."""

import zlib
from pathlib import Path

import numpy as np

from affectkit.corpora._affectnet_files import COLUMNS
from affectkit.corpora.affectnet import CLASSES, LISTS, MISSING, PICTURES
from affectkit.synthesis import scores, twins
from affectkit.synthesis.face_shapes import Person, draw_person
from affectkit.synthesis.faces import draw_face
from affectkit.synthesis.scenes import draw_scene

# Nearer to each other than the real ones, of which two in three are neutral or happy.
WEIGHTS = {
    "0": 20, "1": 24, "2": 14, "3": 10, "4": 9, "5": 8, "6": 14, "7": 6, "8": 3, "9": 2, "10": 2,
}  # fmt: skip
SIDE = 128  # pixels
APART = 0.15  # deviation of what a face shows from what is felt
BOXLESS = 20  # one face in so many has a box of negative width


def write(root: Path, size: int, speakers: int, seed: int) -> None:
    """Portraits below `Manually_Annotated_Images/`, and the two lists: every fifth person is in the second one."""
    names = [f"p{n:03d}" for n in range(1, max(speakers, 1) + 1)]
    people = {name: draw_person(twins.generator(seed, "person", name)) for name in names}
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
        image, points, found = draw_face(person, (felt[0], felt[1]), rng, SIDE)
        box = [round(value) for value in found]
    if index % BOXLESS == BOXLESS - 1:
        box[2] = -box[2]
    twins.save_image(root / PICTURES[0] / name, image)
    rated = [round(value, 4) for value in affect[:2]] if code not in ("9", "10") else [MISSING, MISSING]
    landmarks = ";".join(f"{value:.2f}" for value in points.reshape(-1))
    return [name, *box, landmarks, int(code), *rated]
