"""FER+: FER2013's images, each labelled anew by ten people with one of 8 expressions, unknown or no face."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import MediaDir, checked, child, find_home, require_child
from affectkit.corpora._tables import numbers, records
from affectkit.corpora.fer2013 import DEFECTS, TABLES, USAGE, draw_faces, named, table_of, table_rows, write_table
from affectkit.errors import AffectkitError
from affectkit.synthesis import scores, twins

VOTES = "fer2013new.csv"
# As FER2013 calls the classes, so that manifests of both can be compared.
CLASSES = {
    "neutral": "neutral", "happiness": "happy", "surprise": "surprise", "sadness": "sad", "anger": "angry",
    "disgust": "disgust", "fear": "fear", "contempt": "contempt",
}  # fmt: skip
NEITHER = {"NF": "its raters see no face (NF)", "unknown": "its raters cannot tell the expression (unknown)"}
CORPUS = Corpus(
    title="FER+",
    licence="the votes under the MIT licence; no licence is stated for FER2013's pictures, which are their owners'",
    citation="E. Barsoum, C. Zhang, C. Canton Ferrer, Z. Zhang: Training Deep Networks for Facial Expression "
    "Recognition with Crowd-Sourced Label Distribution. ICMI 2016.",
    url="https://github.com/microsoft/FERPlus",
    layout=f"fer2013.csv, and beside it {VOTES}",
    reads="images",
    classes=CLASSES,
    official="Usage: Training is train, PublicTest val, PrivateTest test",
    default_group="",
    defects=DEFECTS,
)


def read(root: Path, *, media_dir: MediaDir = "") -> Iterator[Row | Dropped]:
    """FER2013's images, by the same ids as there, with the votes; the label is what most raters voted for.

    Images of which most raters see no face, cannot tell the expression, or disagree are dropped.
    Raises "input" where the two tables do not have the same rows.
    """
    home, table = find_home(root, CORPUS, lambda folder: table_of(folder) if child(folder, VOTES) else None)
    votes = require_child(home, VOTES)
    rows = named(_paired(table_rows(table, root, media_dir), table, votes))
    return checked(map(_labelled, rows), root, CORPUS)


def _paired(images: Iterator[Row | Dropped], table: Path, votes: Path) -> Iterator[Row | Dropped]:
    """The images, each with the numbers in its row of the votes."""
    columns = {name: name for name in (*CLASSES, *NEITHER)}
    lines = records(votes, required=("Usage", *columns))
    for position, (image, line) in enumerate(itertools.zip_longest(images, lines), start=1):
        split = image["split"] if isinstance(image, dict) else None
        if not image or not line or (split and split != USAGE.get(line["Usage"].strip())):
            message = f"does not have the rows of {table.name}: they part at row {position}"
            remedy = f"take {table.name} whole and in its published order"
            raise AffectkitError("input", message, file=votes, row=position, remedy=remedy)
        yield image if isinstance(image, Dropped) else {**image, **numbers(line, columns, file=votes, row=position)}


def _labelled(row: Row | Dropped) -> Row | Dropped:
    """The row with `votes_<class>` and their most frequent class."""
    if isinstance(row, Dropped):
        return row
    counts = {name: row.pop(name) for name in (*CLASSES, *NEITHER)}
    reason, detail = _undecided(counts)
    if reason:
        return Dropped(row["id"], reason, detail=detail)
    label = CLASSES[max(counts, key=lambda name: counts[name])]
    return {**row, "source_label": label, **{f"votes_{word}": counts[name] for name, word in CLASSES.items()}}


def _undecided(counts: Mapping[str, float]) -> tuple[str, str]:
    """Why no class has the most votes, and the classes that share them."""
    if not sum(counts.values()) > 0:  # NaN: an empty cell
        return "nobody voted", ""
    most = [name for name, count in counts.items() if count == max(counts.values())]
    neither = next((name for name in NEITHER if name in most), "")
    if neither:
        return NEITHER[neither], ""
    return ("its raters tie", ", ".join(most)) if len(most) > 1 else ("", "")


# --- The synthetic twin


# Half of the faces are neutral or happy, and few show disgust or contempt.
WEIGHTS = {
    "neutral": 24, "happy": 20, "surprise": 13, "sad": 14, "angry": 12, "disgust": 5, "fear": 8, "contempt": 4,
}  # fmt: skip
FACELESS = 30  # one image in so many is voted to be no face; another to be of no known expression


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `fer2013.csv`, and ten votes for each of its rows; FER2013 has no contempt, and says neutral."""
    twins.write_readme(root, "ferplus", size=size, speakers=speakers, seed=seed)
    faces = draw_faces(WEIGHTS, size=size, speakers=speakers, seed=seed)
    write_table(root / TABLES[0], [("neutral" if w == "contempt" else w, usage, face) for w, usage, face in faces])
    header = ["Usage", "Image name", *CLASSES, "unknown", "NF"]
    rows = [
        [usage, f"fer{number:07d}.png", *_ballots(number, word, seed)] for number, (word, usage, _) in enumerate(faces)
    ]
    twins.write_rows(root / VOTES, header, [[usage, "" if cells[-1] else name, *cells] for usage, name, *cells in rows])


def _ballots(number: int, word: str, seed: int) -> list[int]:
    """The counts of a row, for each class, unknown and no face."""
    if number % FACELESS == FACELESS - 1:
        return [0] * len(CLASSES) + [0, 10]
    rng = twins.generator(seed, "votes", number)
    ballots = scores.vote(word, list(CLASSES.values()), rng, raters=10, agreement=0.75)
    unknown = 7 if number % FACELESS == FACELESS // 2 else 0
    counts = [ballots[unknown:].count(name) for name in CLASSES.values()]
    return [*counts, unknown, 0]
