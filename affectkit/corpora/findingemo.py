"""FindingEmo: 25,000 pictures of people together, with valence, arousal and one of Plutchik's 24 emotions."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import checked, child, find_home, relative
from affectkit.corpora._tables import number, records, safe_id
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.synthesis import scores, twins
from affectkit.synthesis.faces import draw_person
from affectkit.synthesis.scenes import draw_scene

# Plutchik's wheel: each emotion strong, middling, weak.
WHEEL = {
    "joy": ("ecstasy", "joy", "serenity"),
    "trust": ("admiration", "trust", "acceptance"),
    "fear": ("terror", "fear", "apprehension"),
    "surprise": ("amazement", "surprise", "distraction"),
    "sadness": ("grief", "sadness", "pensiveness"),
    "disgust": ("loathing", "disgust", "boredom"),
    "anger": ("rage", "anger", "annoyance"),
    "anticipation": ("vigilance", "anticipation", "interest"),
}
WORDS = [word for words in WHEEL.values() for word in words]
CORPUS = Corpus(
    title="FindingEmo",
    licence="annotations and list of addresses CC BY-NC-SA 4.0, not for commercial use; the pictures are their owners'",
    citation="L. Mertens, E. Yargholi, H. Op de Beeck, J. Van den Stock, J. Vennekens: FindingEmo: An Image Dataset "
    "for Emotion Recognition in the Wild. NeurIPS Datasets and Benchmarks 2024.",
    url="https://gitlab.com/EAVISE/lme/findingemo",
    layout="annotations_single.ann and the pictures below Run_1/ and Run_2/",
    reads="images",
    classes={word.capitalize(): word for word in WORDS},
    targets=(Target("valence", "number", scale=(-3, 3)), Target("arousal", "number", scale=(0, 6))),
    presets={"8class": {word: name for name, words in WHEEL.items() for word in words}},
    default_group="",
)
TABLES = ("annotations_single.ann", "data/annotations_single.ann")
COLUMNS = ("image_path", "user", "emotion", "valence", "arousal")
CARRIED = {"age": "age_group", "dec_factors": "factors", "tag": "tag"}
REFUSED = ("reject", "rejected", "true", "1", "yes")


def read(root: Path) -> Iterator[Row | Dropped]:
    """The annotated pictures. Many are gone from the web: those are dropped, and so counted, with a reason.

    Several raters of one picture become one row: their mean valence and arousal, the emotion that most of them name, ""
    in a tie; `raters` says how many, `rater` who, if it is one. Raises "missing" without a folder of pictures.
    """
    _, table = find_home(root, CORPUS, lambda folder: child(folder, *TABLES))
    return checked(_rows(table, _pictures(root), root), root, CORPUS)


def _pictures(root: Path) -> Path:
    """The folder that holds `Run_1`, `Run_2`: wherever the authors' script was told to put them, below the root."""
    try:
        return find_home(root, CORPUS, lambda folder: child(folder, *(f"Run_{n}" for n in range(1, 10))))[0]
    except AffectkitError:
        message = f"has no folder Run_1; expected {CORPUS.layout}"
        remedy = "download the pictures into it with the authors' package findingemo-light"
        raise AffectkitError("missing", message, file=root, remedy=remedy) from None


def _rows(table: Path, pictures: Path, root: Path) -> Iterator[Row | Dropped]:
    lines: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for position, line in enumerate(records(table, required=COLUMNS), start=1):
        place = line["image_path"].strip().replace("\\", "/").lstrip("/")
        if not place or ".." in PurePosixPath(place).parts:
            yield Dropped(f"{table.name} row {position}", "names no picture")
        elif line.get("reject", "").strip().lower() in REFUSED:
            yield Dropped(place, "rejected by its rater")
        elif line["emotion"].strip().lower() not in ("", *WORDS):
            yield Dropped(place, f"unknown emotion '{line['emotion'].strip()}'")
        else:
            lines.setdefault(place, []).append((position, line))
    for place, ratings in lines.items():
        yield _row(place, ratings, relative(pictures / place, root), table)


def _row(place: str, ratings: list[tuple[int, dict[str, str]]], path: str, table: Path) -> Row | Dropped:
    scores = {name: _mean(ratings, name, table) for name in ("valence", "arousal")}
    label = _agreed([line["emotion"].strip().lower() for _, line in ratings])
    for target in CORPUS.targets:
        low, high = target.scale or (-math.inf, math.inf)
        if scores[target.name] < low or scores[target.name] > high:
            return Dropped(path, f"{target.name} {scores[target.name]:g} is not in {low:g} to {high:g}")
    if not label and all(map(math.isnan, scores.values())):
        return Dropped(path, "has no emotion, valence or arousal")
    first = ratings[0][1]
    return {
        "id": safe_id(place.removesuffix(PurePosixPath(place).suffix)),
        "path": path,
        "source_label": label,
        **scores,
        "rater": first["user"].strip() if len(ratings) == 1 else "",
        "raters": float(len(ratings)),
        **{column: first[name].strip() for name, column in CARRIED.items() if name in first},
        "split": "",
    }


def _mean(ratings: list[tuple[int, dict[str, str]]], column: str, table: Path) -> float:
    """The mean of what was rated, NaN where nobody did."""
    cells = [number(line[column], column, file=table, row=position) for position, line in ratings]
    values = [value for value in cells if not math.isnan(value)]
    return sum(values) / len(values) if values else math.nan


def _agreed(words: list[str]) -> str:
    """The word that most raters chose; "" in a tie."""
    counts = Counter(word for word in words if word).most_common(2)
    return counts[0][0] if len(counts) == 1 or (counts and counts[0][1] > counts[1][1]) else ""


# --- The synthetic twin


# Joy and the anticipating ones lead in the real corpus too.
LEADING = {"joy": 5.0, "anticipation": 3.0, "interest": 3.0, "sadness": 3.0, "anger": 3.0}
WEIGHTS = dict.fromkeys(WORDS, 1.0) | LEADING
HEADER = (
    "", "user", "image_path", "reject", "tag", "age", "valence", "arousal", "emotion", "dec_factors", "ambiguity",
    "fmri_candidate", "datetime",
)  # fmt: skip
PLACES = ("celebrating family", "crying mourners", "bored students", "quarrelling neighbours", "hikers resting")
FACES = (0, 1, 1, 2)  # a quarter of the pictures shows nobody's face
SIZE = (256, 192)  # pixels
GONE = 16  # one picture in so many is gone from the web


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: the annotations, and nearly all of their pictures, of `speakers` people or of nobody."""
    twins.write_readme(root, "findingemo", size=size, speakers=speakers, seed=seed)
    people = [draw_person(twins.generator(seed, "person", n)) for n in range(max(speakers, 1))]
    rows: list[list[object]] = []
    for index, (_, emotion) in enumerate(twins.deal(size, [""], WEIGHTS)):
        rng = twins.generator(seed, "picture", index)
        place = f"Run_{1 + index % 2}/{PLACES[int(rng.integers(len(PLACES)))]}/{seed % 1000:03d}{index:05d}.jpg"
        affect = scores.draw_affect(emotion, scores.draw_intensity(rng), rng)
        count = min(FACES[int(rng.integers(len(FACES)))], len(people))
        chosen = [people[int(n)] for n in rng.choice(len(people), size=count, replace=False)]
        image, _, _ = draw_scene((affect[0], affect[1]), rng, SIZE, count, people=chosen)
        if index % GONE != GONE - 1:
            twins.save_image(root / place, image)
        valence, _, _ = scores.rate(affect, (-3, 3), rng, raters=1)[0]
        _, arousal, _ = scores.rate(affect, (0, 6), rng, raters=1)[0]
        user, factors = f"rater{index % 7:03d}", "Faces" if count else "Staging"
        rows.append([
            index, user, f"/{place}", "Keep", "Undefined", "Adults", valence, arousal, emotion.capitalize(), factors,
            int(rng.integers(0, 7)), False, "2023-01-01 12:00:00",
        ])  # fmt: skip
    twins.write_rows(root / "annotations_single.ann", HEADER, rows)
