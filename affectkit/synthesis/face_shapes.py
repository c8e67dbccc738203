"""What the synthetic faces look like: people, and the 68 points that a person's face shows an affect with.

Points are in units of the face's half width, x to the right, y down, the origin between and a little below the eyes.
Their order is that of 300-W: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67, each
from left to right as one looks at the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Skin from dark to light and hair, as RGB; a person's are drawn between and around them.
SKINS = np.array([[112, 76, 54], [158, 112, 82], [198, 150, 118], [226, 184, 154], [240, 208, 184]], float)
HAIRS = np.array([[30, 24, 22], [58, 40, 28], [98, 66, 40], [150, 112, 64], [150, 146, 142]], float)


@dataclass(frozen=True)
class Person:
    """A face. skin, hair, clothes: RGB. long: factor on the face's height. jaw: taper to the chin.

    eyes: factor on their size. apart: on their distance. brow: thickness. mouth: factor on its width. lips: on their
    thickness. rest: valence and arousal that the face shows when the person feels none. expression: factor on every
    affect. style: how far down the hair reaches, in half widths.
    """

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    clothes: tuple[float, float, float]
    long: float
    jaw: float
    eyes: float
    apart: float
    brow: float
    mouth: float
    lips: float
    rest: tuple[float, float]
    expression: float
    style: float


def draw_person(rng: np.random.Generator) -> Person:
    """A random person."""
    return Person(
        skin=_between(SKINS, rng, 8.0),
        hair=_between(HAIRS, rng, 6.0),
        clothes=tuple(rng.uniform(40, 200, 3).tolist()),
        long=float(rng.normal(1.0, 0.05)),
        jaw=float(rng.uniform(0.10, 0.26)),
        eyes=float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.2)),
        apart=float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.12)),
        brow=float(rng.uniform(0.05, 0.10)),
        mouth=float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.2)),
        lips=float(np.clip(rng.normal(1.0, 0.2), 0.6, 1.5)),
        rest=(float(rng.normal(0, 0.12)), float(rng.normal(0, 0.12))),
        expression=float(np.clip(rng.normal(1.0, 0.2), 0.6, 1.4)),
        style=float(rng.choice([-0.4, 0.2, 1.1, 1.6])),
    )


def _between(colours: np.ndarray, rng: np.random.Generator, spread: float) -> tuple[float, float, float]:
    place = rng.uniform(0, len(colours) - 1)
    low = int(place)
    colour = colours[low] + (place - low) * (colours[min(low + 1, len(colours) - 1)] - colours[low])
    red, green, blue = np.clip(colour + rng.normal(0, spread, 3), 15, 245)
    return float(red), float(green), float(blue)


def shown(person: Person, affect: tuple[float, float]) -> tuple[float, float]:
    """The valence and arousal that a person's face shows who feels `affect`."""
    valence, arousal = (
        float(np.clip(rest + person.expression * felt, -1.3, 1.3))
        for rest, felt in zip(person.rest, affect, strict=True)
    )
    return valence, arousal


def points(person: Person, affect: tuple[float, float]) -> np.ndarray:
    """The 68 points [68, 2] of a face that looks straight ahead.

    affect: (valence, arousal) felt, in [-1, 1]. Valence bends the mouth and lowers or lifts the brows' inner ends,
    arousal opens eyes and mouth and lifts the brows (after FACS: AU 12 and 15, 4, 5, 26, 1+2).
    """
    valence, arousal = shown(person, affect)
    parts = [_jaw(person), _brows(person, valence, arousal), _nose(), _eyes(person, arousal)]
    found = np.vstack([*parts, _lips(person, valence, arousal)])
    found[:, 1] *= person.long
    return found


def _jaw(person: Person) -> np.ndarray:
    angle = np.pi * np.arange(17) / 16
    y = -0.15 + 1.32 * np.sin(angle) ** 0.9
    return np.column_stack([-np.cos(angle) * (1 - person.jaw * y.clip(0)), y])


def _brows(person: Person, valence: float, arousal: float) -> np.ndarray:
    x = np.linspace(0.80, 0.17, 5) * person.apart  # from the outer end to the inner one
    inner = np.linspace(0, 1, 5)
    y = -0.40 - 0.06 * np.sin(np.pi * inner) - 0.07 * arousal - 0.10 * valence * (inner - 0.3)
    left = np.column_stack([-x, y])
    return np.vstack([left, _mirrored(left)[::-1]])


def _nose() -> np.ndarray:
    bridge = np.column_stack([np.zeros(4), np.linspace(-0.12, 0.36, 4)])
    base = np.column_stack([np.linspace(-0.20, 0.20, 5), [0.43, 0.46, 0.48, 0.46, 0.43]])
    return np.vstack([bridge, base])


def _eyes(person: Person, arousal: float) -> np.ndarray:
    half, opening = 0.20 * person.eyes, max(0.025, (0.085 + 0.055 * arousal) * person.eyes)
    x = np.array([-1.0, -0.4, 0.4, 1.0, 0.4, -0.4]) * half - 0.44 * person.apart
    y = np.array([0.0, -1.0, -1.0, 0.0, 0.7, 0.7]) * opening - 0.10
    left = np.column_stack([x, y])
    return np.vstack([left, _mirrored(left)[[3, 2, 1, 0, 5, 4]]])


def _lips(person: Person, valence: float, arousal: float) -> np.ndarray:
    half = 0.37 * person.mouth * (1 + 0.15 * valence)
    opening, thick = max(0.012, 0.09 + 0.13 * arousal), 0.055 * person.lips

    def line(places: np.ndarray, drop: float) -> np.ndarray:
        bulge = 1 - places**2
        return np.column_stack([places * half, 0.66 - 0.17 * valence * places**2 + 0.07 * valence + drop * bulge])

    across, inside = np.linspace(-1, 1, 7), np.array([-0.88, -0.4, 0.0, 0.4, 0.88])
    outer = [line(across, -thick - 0.3 * opening), line(across[-2:0:-1], 1.3 * thick + 0.7 * opening)]
    inner = [line(inside, -0.3 * opening), line(inside[-2:0:-1], 0.7 * opening)]
    return np.vstack([*outer, *inner])


def _mirrored(side: np.ndarray) -> np.ndarray:
    return side * [-1.0, 1.0]
