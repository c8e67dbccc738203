"""The files of OASIS's synthetic twin."""

from collections import Counter
from pathlib import Path

import numpy as np

from affectkit.synthesis import scores, twins
from affectkit.synthesis.scenes import draw_scene

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


def write(root: Path, size: int, themes: int, seed: int) -> None:
    """Pictures of the first `themes`; those of people show one or two."""
    numbers: Counter[str] = Counter()
    rows: list[list[object]] = []
    for index, (theme, _) in enumerate(twins.deal(size, list(THEMES)[:themes], {"": 1.0})):
        category, valence, arousal = THEMES[theme]
        numbers[theme] += 1
        rng = twins.generator(seed, "picture", index)
        drawn = (np.array([valence, arousal]) + rng.normal(0, 0.25, 2)).clip(-1, 1).tolist()
        affect = (drawn[0], drawn[1])
        image, _, _ = draw_scene(affect, rng, SIZE, int(rng.integers(1, 3)) if category == "Person" else 0)
        name = f"{theme} {numbers[theme]}"
        twins.save_image(root / "images" / f"{name}.jpg", image)
        rows.append([f"I{index + 1}", name, category, "affectkit", *_ratings(affect, rng)])
    twins.write_rows(root / "OASIS.csv", HEADER, rows)
    table = root / "OASIS.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r"))  # as the copy on the authors' site has it


def _ratings(affect: tuple[float, float], rng: np.random.Generator) -> list[object]:
    ratings = np.array(scores.rate(affect, (1, 7), rng, raters=RATERS), float)
    means, spreads = ratings.mean(axis=0).round(6).tolist(), ratings.std(axis=0, ddof=1).round(6).tolist()
    return [means[0], spreads[0], RATERS, means[1], spreads[1], RATERS]
