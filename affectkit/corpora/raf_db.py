"""RAF-DB: 15,339 faces from the web with one of 7 basic expressions by some 40 raters each; aligned or original."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from affectkit.corpora._corpus import Corpus, Defect, Dropped, Row
from affectkit.corpora._files import IMAGES, checked, child, find_files, find_home, refuse_pointer, relative
from affectkit.corpora._tables import decode
from affectkit.errors import AffectkitError
from affectkit.registry import Option
from affectkit.synthesis import scores, twins
from affectkit.synthesis.faces import draw_closely, draw_face, draw_people

CLASSES = {
    "1": "surprise", "2": "fear", "3": "disgust", "4": "happiness", "5": "sadness", "6": "anger", "7": "neutral",
}  # fmt: skip
LIST = "list_patition_label.txt"  # as the release spells it
CORPUS = Corpus(
    title="RAF-DB",
    licence="RAF-DB licence: non-commercial research, on request; the pictures are their owners'",
    citation="S. Li, W. Deng, J. Du: Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression "
    "Recognition in the Wild. CVPR 2017.",
    url="http://www.whdeng.cn/RAF/model1.html",
    layout=f"EmoLabel/{LIST} and Image/aligned/train_00001_aligned.jpg or Image/original/train_00001.jpg",
    reads="images",
    classes=CLASSES,
    official="train_ and test_ in the images' names",
    default_group="",
    defects=(Defect("speaker", "RAF-DB names nobody: a person may have pictures in its training and test parts"),),
)
LINE = re.compile(r"(?P<name>(?P<split>train|test)_\d+)(?:_aligned)?\.\w+\s+(?P<code>\d+)")


def read(
    root: Path,
    *,
    images: Annotated[
        Literal["aligned", "original"], Option("Which images: faces of 100 x 100 pixels, or the whole pictures.")
    ] = "aligned",
) -> Iterator[Row | Dropped]:
    """The images that the list names. Its codes begin at 1."""
    home, table = find_home(root, CORPUS, lambda folder: child(folder, f"EmoLabel/{LIST}", LIST))
    refuse_pointer(table, "list")
    folder = child(home, f"Image/{images}", images)
    if folder is None:
        remedy = f"unpack it, or use --images {'original' if images == 'aligned' else 'aligned'}"
        raise AffectkitError("missing", f"has no Image/{images}", file=home, remedy=remedy)
    files = {path.stem.lower().removesuffix("_aligned"): path for path in find_files(folder, IMAGES)}
    rows = (_row(line, files, folder, root, f"{LIST} row {n}") for n, line in enumerate(_lines(table), start=1))
    return checked(rows, root, CORPUS)


def _lines(table: Path) -> list[str]:
    return [line for line in decode(table, "latin-1").splitlines() if line.strip()]


def _row(line: str, files: dict[str, Path], folder: Path, root: Path, place: str) -> Row | Dropped:
    match = LINE.fullmatch(line.strip())
    if match is None:
        return Dropped(place, f"'{line.strip()[:40]}' is not as train_00001.jpg 5", "correct the list")
    if match["code"] not in CLASSES:
        return Dropped(place, f"code {match['code']} is not 1 to {len(CLASSES)}", "correct the list")
    name = match["name"]
    path = relative(files.get(name, folder / f"{name}.jpg"), root)
    return {"id": name, "path": path, "source_label": CLASSES[match["code"]], "split": match["split"]}


# --- The synthetic twin


# Nearer to each other than the real ones, of which two in five are happy.
WEIGHTS = {"1": 13, "2": 6, "3": 10, "4": 26, "5": 16, "6": 10, "7": 19}
SIDE = 100  # pixels of an aligned face


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: pictures of `speakers` people, aligned and original; every fifth picture is in the test part."""
    twins.write_readme(root, "raf-db", size=size, speakers=speakers, seed=seed)
    people = draw_people(speakers, seed)
    order = twins.generator(seed, "parts").permutation(size)
    lines = []
    for place, (name, code) in enumerate(twins.deal(size, list(people), WEIGHTS)):
        stem = f"{'test' if order[place] % 5 == 4 else 'train'}_{place + 1:05d}"
        rng = twins.generator(seed, "face", place)
        affect = scores.draw_affect(CLASSES[code], scores.draw_intensity(rng), rng)[:2]
        aligned = draw_closely(people[name], affect, rng, SIDE)
        original, _, _ = draw_face(people[name], affect, twins.generator(seed, "original", place), 2 * SIDE)
        twins.save_image(root / "Image" / "aligned" / f"{stem}_aligned.jpg", aligned)
        twins.save_image(root / "Image" / "original" / f"{stem}.jpg", original)
        lines.append(f"{stem}.jpg {code}\n")
    (root / "EmoLabel").mkdir(exist_ok=True)
    (root / "EmoLabel" / LIST).write_text("".join(lines), encoding="utf-8")
