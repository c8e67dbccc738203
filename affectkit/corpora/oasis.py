"""OASIS: 900 pictures of people, animals, objects and scenery with valence and arousal; some nude, some gory."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import IMAGES, checked, child, find_files, find_home, relative
from affectkit.corpora._tables import numbers, records, safe_id
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target
from affectkit.plain import comma_separated
from affectkit.registry import Option
from affectkit.synthesis import scores, twins
from affectkit.synthesis.scenes import draw_scene

CORPUS = Corpus(
    title="OASIS",
    licence="open access for research; the pictures are from Pixabay, Wikipedia and Flickr, under licences of their "
    "own (column Source)",
    citation="B. Kurdi, S. Lozano, M. R. Banaji: Introducing the Open Affective Standardized Image Set (OASIS). "
    "Behavior Research Methods 49, 2017.",
    url="https://osf.io/6pnd7/",
    layout="OASIS.csv and images/Acorns 1.jpg",
    reads="images",
    targets=(Target("valence", "number", scale=(1, 7)), Target("arousal", "number", scale=(1, 7))),
    default_group="sequence",
)
NUMBERS = {
    "valence": "Valence_mean", "arousal": "Arousal_mean", "valence_sd": "Valence_SD", "arousal_sd": "Arousal_SD",
    "valence_n": "Valence_N", "arousal_n": "Arousal_N",
}  # fmt: skip


def read(
    root: Path,
    *,
    exclude_categories: Annotated[
        str,
        Option("Categories (Person) or first words of themes (Nude, Animal carcass) to leave out, comma-separated."),
    ] = "",
) -> Iterator[Row | Dropped]:
    """The pictures of `OASIS.csv`: mean ratings, with their spread and number.

    `sequence` is the theme without its number, which is the group: pictures of a theme look alike, and some are of one
    series. Raises "usage" for a category or theme that there is not.
    """
    home, table = find_home(root, CORPUS, lambda folder: child(folder, "OASIS.csv"))
    lines = list(records(table, required=("Theme", "Category", *NUMBERS.values())))
    unwanted = [word.lower() for word in comma_separated(exclude_categories)]
    _refuse_unknown(unwanted, lines)
    pictures = {path.stem.lower(): relative(path, root) for path in find_files(home, IMAGES)}
    rows = (_row(line, pictures, unwanted, table, position) for position, line in enumerate(lines, start=1))
    return checked(rows, root, CORPUS)


def _refuse_unknown(unwanted: list[str], lines: list[dict[str, str]]) -> None:
    for word in unwanted:
        if not any(_matches(word, line) for line in lines):
            known = {line["Category"].strip() for line in lines} | {_series(line["Theme"]) for line in lines}
            message, remedy = f"'{word}' is no category or theme here", did_you_mean(word.capitalize(), sorted(known))
            raise AffectkitError("usage", f"--exclude-categories {message}", remedy=remedy)


def _matches(word: str, line: dict[str, str]) -> bool:
    """Whether a word is the category, or the theme begins with it as a whole word."""
    theme = line["Theme"].strip().lower()
    return word in (line["Category"].strip().lower(), theme) or theme.startswith(f"{word} ")


def _series(theme: str) -> str:
    """`Acorns 1` -> `Acorns`."""
    return re.sub(r"\s*\d+$", "", theme.strip())


def _row(
    line: dict[str, str], pictures: dict[str, str], unwanted: list[str], table: Path, position: int
) -> Row | Dropped:
    theme = line["Theme"].strip()
    path = pictures.get(theme.lower(), f"{theme}.jpg")
    for word in unwanted:
        if _matches(word, line):
            return Dropped(path, f"excluded: {word}")
    ratings = numbers(line, NUMBERS, file=table, row=position)
    if math.isnan(ratings["valence"]) and math.isnan(ratings["arousal"]):
        return Dropped(path, "has neither valence nor arousal")
    return {
        "id": safe_id(theme.replace(" ", "_")),
        "path": path,
        "source_label": "",
        **ratings,
        "sequence": _series(theme),
        "theme": theme,
        "category": line["Category"].strip(),
        "split": "",
    }


# --- The synthetic twin


# theme -> category, valence and arousal around which its pictures lie: all our own judgement
THEMES = {
    "Beach": ("Scenery", 0.7, 0.1), "Child": ("Person", 0.6, 0.3), "Ruin": ("Scenery", -0.6, -0.1),
    "Gear": ("Object", 0.0, -0.5), "Quarrel": ("Person", -0.6, 0.6), "Kitten": ("Animal", 0.7, 0.2),
    "Wasp": ("Animal", -0.4, 0.5), "Dancer": ("Person", 0.6, 0.7), "Brick": ("Object", -0.1, -0.7),
    "Waiting room": ("Person", -0.2, -0.5), "Storm": ("Scenery", -0.4, 0.7), "Lake": ("Scenery", 0.6, -0.5),
    "Concert": ("Person", 0.5, 0.8), "Rat": ("Animal", -0.5, 0.3), "Candle": ("Object", 0.3, -0.4),
    "Mourner": ("Person", -0.7, -0.3), "Firework": ("Object", 0.5, 0.7), "Landfill": ("Scenery", -0.7, 0.1),
    "Bird": ("Animal", 0.5, -0.1), "Reader": ("Person", 0.2, -0.6), "Racing car": ("Object", 0.2, 0.7),
    "Fog": ("Scenery", -0.2, -0.6), "Cow": ("Animal", 0.1, -0.4), "Wreck": ("Object", -0.7, 0.5),
}  # fmt: skip
SIZE = (250, 200)  # pixels; half of the real ones'
RATERS = 100
HEADER = (
    "", "Theme", "Category", "Source", "Valence_mean", "Valence_SD", "Valence_N", "Arousal_mean", "Arousal_SD",
    "Arousal_N",
)  # fmt: skip


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `OASIS.csv` with bare CR line ends, and pictures of the first `speakers` themes.

    Pictures of people show one or two.
    """
    if not 1 <= speakers <= len(THEMES):
        raise twins.usage(f"--speakers {speakers}: the twin has {len(THEMES)} themes", f"ask for 1 to {len(THEMES)}")
    twins.write_readme(root, "oasis", size=size, speakers=speakers, seed=seed)
    numbers: Counter[str] = Counter()
    rows: list[list[object]] = []
    for index, (theme, _) in enumerate(twins.deal(size, list(THEMES)[:speakers], {"": 1.0})):
        category, valence, arousal = THEMES[theme]
        numbers[theme] += 1
        rng = twins.generator(seed, "picture", index)
        drawn = (np.array([valence, arousal]) + rng.normal(0, 0.25, 2)).clip(-1, 1).tolist()
        affect = (drawn[0], drawn[1])
        image, _, _ = draw_scene(affect, rng, SIZE, int(rng.integers(1, 3)) if category == "Person" else 0)
        name = f"{theme} {numbers[theme]}"
        twins.save_image(root / "images" / f"{name}.jpg", image)
        rows.append([f"I{index + 1}", name, category, "affectkit", *_ratings(affect, rng)])
    table = root / "OASIS.csv"
    twins.write_rows(table, HEADER, rows)
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r"))  # as the copy on the authors' site has it


def _ratings(affect: tuple[float, float], rng: np.random.Generator) -> list[object]:
    ratings = np.array(scores.rate(affect, (1, 7), rng, raters=RATERS), float)
    means, spreads = ratings.mean(axis=0).round(6).tolist(), ratings.std(axis=0, ddof=1).round(6).tolist()
    return [means[0], spreads[0], RATERS, means[1], spreads[1], RATERS]
