"""CK+: 593 posed sequences of 123 people, from a neutral face to the peak of an expression; or its CK+48 folders."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import IMAGES, checked, child, find_files, find_home, folders_in, relative
from affectkit.corpora._tables import decode
from affectkit.errors import AffectkitError
from affectkit.registry import Option
from affectkit.synthesis import scores, twins
from affectkit.synthesis.faces import draw_face, draw_person

WORDS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sad", "surprise")
CLASSES = {str(code): word for code, word in enumerate(WORDS)}
CORPUS = Corpus(
    title="CK+",
    licence="CK+ agreement (University of Pittsburgh): research, on request; few subjects' faces may be shown",
    citation="P. Lucey, J. F. Cohn, T. Kanade, J. Saragih, Z. Ambadar, I. Matthews: The Extended Cohn-Kanade Dataset "
    "(CK+). CVPR Workshops 2010.",
    url="https://www.jeffcohn.net/Resources/",
    layout="cohn-kanade-images/S005/001/S005_001_00000011.png and Emotion/S005/001/S005_001_00000011_emotion.txt; or "
    "CK+48's anger/S010_004_00000017.png",
    reads="images",
    classes=CLASSES,
    default_group="subject",
)
FRAME = re.compile(r"(?P<subject>S\d+)_(?P<take>\d+)_(?P<frame>\d+)", re.IGNORECASE)
# What CK+48 calls the folders of a class.
FOLDERS = {word: word for word in WORDS} | {"happiness": "happy", "sadness": "sad", "angry": "anger"}
IMAGE_FOLDERS = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
LABEL_FOLDERS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")

Sequenced = tuple[str, list[Path], str]  # subject and take, its frames in order, its expression


def read(
    root: Path,
    *,
    frames: Annotated[
        Literal["peak", "peak-neutral", "last-3"],
        Option("Frames of a sequence: its last one, that and its first one as neutral, or its last three."),
    ] = "peak",
) -> Iterator[Row | Dropped]:
    """Frames of the labelled sequences, `frame` of each; nobody labelled 266 of the 593, which is normal."""
    home, _ = find_home(root, CORPUS, lambda folder: child(folder, *IMAGE_FOLDERS) or _folders(folder))
    images = child(home, *IMAGE_FOLDERS)
    if not images and frames == "peak-neutral":
        message = "--frames peak-neutral: CK+48 has no neutral frames, only the last three of each sequence"
        raise AffectkitError("usage", message, remedy="use --frames peak or last-3, or the sequences of CK+")
    sequences = _labelled(images, home, root) if images else _sorted(_folders(home), root)
    return checked((row for item in sequences for row in _rows(item, frames, root)), root, CORPUS)


def _rows(sequence: Sequenced | Dropped, frames: str, root: Path) -> Iterator[Row | Dropped]:
    if isinstance(sequence, Dropped):
        yield sequence
        return
    name, paths, label = sequence
    last = [(path, label) for path in (paths[-3:] if frames == "last-3" else paths[-1:])]
    first = [(paths[0], "neutral")] if frames == "peak-neutral" and len(paths) > 1 else []
    for path, word in [*first, *last]:
        frame = path.stem.rpartition("_")[2]
        cells = {"subject": name.partition("_")[0], "sequence": name, "frame": int(frame), "split": ""}
        yield {"id": f"{name}_{frame}", "path": relative(path, root), "source_label": word, **cells}


def _by_sequence(folder: Path, root: Path) -> Iterator[tuple[str, list[Path]] | Dropped]:
    """The frames below a folder in order, for each sequence."""
    matches = [(FRAME.fullmatch(path.stem), path) for path in find_files(folder, IMAGES)]
    for match, path in matches:
        if match is None:
            yield Dropped(relative(path, root), "the name is not subject, take, frame, as in S005_001_00000011.png")
    known = [(f"{m['subject']}_{m['take']}".upper(), int(m["frame"]), path) for m, path in matches if m]
    for name, frames in groupby(sorted(known), key=lambda frame: frame[0]):
        yield name, [path for *_, path in frames]


# --- Sequences of images, and the numbers of their expressions in a tree of their own


def _labelled(images: Path, home: Path, root: Path) -> Iterator[Sequenced | Dropped]:
    folder = child(home, *LABEL_FOLDERS)
    if folder is None:
        remedy = "unpack Emotion_labels.zip beside it"
        raise AffectkitError("missing", f"has no {LABEL_FOLDERS[0]} beside {images.name}", file=home, remedy=remedy)
    texts = {"_".join(path.stem.upper().split("_")[:2]): path for path in find_files(folder, ["_emotion.txt"])}
    for item in _by_sequence(images, root):
        if isinstance(item, Dropped):
            yield item
            continue
        name, paths = item
        if name not in texts:
            yield Dropped(relative(paths[0].parent, root), "nobody labelled its expression")
            continue
        code = decode(texts[name], "latin-1").strip()
        label = CLASSES.get(_whole(code), "")
        wrong = f"says '{code[:20]}', not a number from 0 to {len(CLASSES) - 1}"
        yield (name, paths, label) if label else Dropped(relative(texts[name], root), wrong, "correct the file")


def _whole(text: str) -> str:
    """`   3.0000000e+00` -> `3`; "" where it is no whole number."""
    try:
        number = float(text)
    except ValueError:
        return ""
    return f"{number:.0f}" if math.isfinite(number) and number == int(number) else ""


# --- CK+48: the last three frames of each labelled sequence, in a folder for each class


def _folders(folder: Path) -> Mapping[Path, str]:
    """Folder of a class -> its word, where there are frames in any of them."""
    classes = {item: FOLDERS[item.name.lower()] for item in folders_in(folder) if item.name.lower() in FOLDERS}
    return classes if any(FRAME.fullmatch(path.stem) for item in classes for path in item.iterdir()) else {}


def _sorted(classes: Mapping[Path, str], root: Path) -> Iterator[Sequenced | Dropped]:
    for folder, label in classes.items():
        for item in _by_sequence(folder, root):
            yield item if isinstance(item, Dropped) else (*item, label)


# --- The synthetic twin


WEIGHTS = {"1": 14, "2": 6, "3": 18, "4": 8, "5": 21, "6": 9, "7": 24}
SIDE = 96  # pixels
FRAMES = 5  # the real sequences have 10 to 60
UNLABELLED = 12  # one sequence in so many; nearly half of the real ones


def synthesize(
    root: Path,
    *,
    size: int,
    speakers: int,
    seed: int,
    release: Annotated[
        Literal["sequences", "ck-48"],
        Option("Which release is written: sequences and their labels, or CK+48's folders of 48 x 48 pixels."),
    ] = "sequences",
) -> None:
    """Write the twin: `size` sequences of `speakers` people, from neutral to the peak; some without a label."""
    if speakers > 999:
        raise twins.usage(f"--speakers {speakers}: subjects are S001 to S999", "ask for 1 to 999")
    twins.write_readme(root, "ck-plus", size=size, speakers=speakers, seed=seed, release=release)
    names = [f"S{n:03d}" for n in range(1, speakers + 1)]
    dealt = twins.deal(size, names, WEIGHTS)
    for number, (subject, code) in enumerate(dealt):
        take = [name for name, _ in dealt[: number + 1]].count(subject)
        labelled = number % UNLABELLED != UNLABELLED - 1
        if release == "sequences" or labelled:
            _write(root, (subject, f"{take:03d}"), code, seed, labelled=labelled, release=release)


def _write(root: Path, name: Sequence[str], code: str, seed: int, *, labelled: bool, release: str) -> None:
    """The frames of one sequence, and its label."""
    subject, take = name
    person = draw_person(twins.generator(seed, "person", subject))
    rng = twins.generator(seed, "sequence", subject, take)
    valence, arousal, _ = scores.draw_affect(CLASSES[code], 1.2, rng)
    stem = ""
    for frame in range(1, FRAMES + 1):
        if release == "ck-48" and frame <= FRAMES - 3:
            continue
        share = (frame - 1) / (FRAMES - 1)
        stem = f"{subject}_{take}_{frame:08d}"
        still = twins.generator(seed, "pose", subject, take)  # who is filmed keeps still
        image, _, _ = draw_face(person, (share * valence, share * arousal), still, 48 if release == "ck-48" else SIDE)
        grey = image.mean(axis=2).round().astype("uint8")
        place = f"{CLASSES[code]}" if release == "ck-48" else f"{IMAGE_FOLDERS[0]}/{subject}/{take}"
        twins.save_image(root / place / f"{stem}.png", grey)
    if release == "sequences":
        labels = root / LABEL_FOLDERS[0] / subject / take
        labels.mkdir(parents=True, exist_ok=True)
        if labelled:
            (labels / f"{stem}_emotion.txt").write_text(f"   {float(code):.7e}\n", encoding="utf-8")
