"""Faces that carry valence and arousal, drawn with Pillow and numpy.

They look like nobody, and are meant to: what counts is that a face detector of the Viola-Jones kind finds in them what
it finds in photographs (eyes darker than the cheeks below and the nose between them, a bright forehead, a dark mouth),
that affect and person both move what a network sees, and that they overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from affectkit.synthesis.twins import generator

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

# --- What the synthetic faces look like: people, and the 68 points that a person's face shows an affect with
#
# Points are in units of the face's half width, x to the right, y down, the origin between and a little below the eyes.
# Their order is that of 300-W: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67, each
# from left to right as one looks at the picture.


# Skin from dark to light and hair, as RGB; a person's are drawn between and around them.
SKINS = np.array([[112, 76, 54], [158, 112, 82], [198, 150, 118], [226, 184, 154], [240, 208, 184]], float)
HAIRS = np.array([[30, 24, 22], [58, 40, 28], [98, 66, 40], [150, 112, 64], [150, 146, 142]], float)


MIRROR = np.array([-1.0, 1.0])

Affect = tuple[float, float]
Box = tuple[float, float, float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Person:
    """A face. skin, hair, clothes: RGB. long: factor on the face's height. jaw: taper to the chin.

    eyes: factor on their size. apart: on their distance. brow: thickness. mouth: factor on its width. lips: on their
    thickness. rest: valence and arousal that the face shows when the person feels none. expression: factor on every
    affect. style: how far down the hair reaches, in half widths.
    """

    skin: Colour
    hair: Colour
    clothes: Colour
    long: float
    jaw: float
    eyes: float
    apart: float
    brow: float
    mouth: float
    lips: float
    rest: Affect
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


def draw_people(count: int, seed: int) -> dict[str, Person]:
    """People by name, each with a generator of their own: one more changes nobody."""
    names = [f"p{n:03d}" for n in range(1, count + 1)]
    return {name: draw_person(generator(seed, "person", name)) for name in names}


def _between(colours: np.ndarray, rng: np.random.Generator, spread: float) -> Colour:
    place = rng.uniform(0, len(colours) - 1)
    low = int(place)
    colour = colours[low] + (place - low) * (colours[min(low + 1, len(colours) - 1)] - colours[low])
    return tuple(np.clip(colour + rng.normal(0, spread, 3), 15, 245).tolist())


NOSE = np.vstack([
    np.column_stack([np.zeros(4), np.linspace(-0.12, 0.36, 4)]),  # its bridge, then its base
    np.column_stack([np.linspace(-0.20, 0.20, 5), [0.43, 0.46, 0.48, 0.46, 0.43]]),
])  # fmt: skip


def points(person: Person, affect: Affect) -> np.ndarray:
    """The 68 points [68, 2] of a face that looks straight ahead.

    affect: (valence, arousal) felt, in [-1, 1]. Valence bends the mouth and lowers or lifts the brows' inner ends,
    arousal opens eyes and mouth and lifts the brows (after FACS: AU 12 and 15, 4, 5, 26, 1+2).
    """
    valence, arousal = np.clip(np.array(person.rest) + person.expression * np.array(affect), -1.3, 1.3).tolist()
    parts = [_jaw(person), _brows(person, valence, arousal), NOSE, _eyes(person, arousal)]
    face = np.vstack([*parts, _lips(person, valence, arousal)])
    face[:, 1] *= person.long
    return face


def _jaw(person: Person) -> np.ndarray:
    angle = np.pi * np.arange(17) / 16
    y = -0.15 + 1.32 * np.sin(angle) ** 0.9
    return np.column_stack([-np.cos(angle) * (1 - person.jaw * y.clip(0)), y])


def _brows(person: Person, valence: float, arousal: float) -> np.ndarray:
    x = np.linspace(0.80, 0.17, 5) * person.apart  # from the outer end to the inner one
    inner = np.linspace(0, 1, 5)
    y = -0.40 - 0.06 * np.sin(np.pi * inner) - 0.07 * arousal - 0.10 * valence * (inner - 0.3)
    left = np.column_stack([-x, y])
    return np.vstack([left, left[::-1] * MIRROR])


def _eyes(person: Person, arousal: float) -> np.ndarray:
    half, opening = 0.20 * person.eyes, max(0.025, (0.085 + 0.055 * arousal) * person.eyes)
    x = np.array([-1.0, -0.4, 0.4, 1.0, 0.4, -0.4]) * half - 0.44 * person.apart
    y = np.array([0.0, -1.0, -1.0, 0.0, 0.7, 0.7]) * opening - 0.10
    left = np.column_stack([x, y])
    return np.vstack([left, left[[3, 2, 1, 0, 5, 4]] * MIRROR])


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


# Light and shade of a face: (x, y, width, height, strength) of soft blobs, in half widths; strength is a share of the
# skin's brightness. Tuned on OpenCV's frontal cascade: the eyes' and the bridge's count most.
SHADES = (
    (-0.44, -0.13, 0.34, 0.20, -0.42), (0.44, -0.13, 0.34, 0.20, -0.42),  # eye sockets
    (0.0, 0.02, 0.13, 0.38, 0.20), (0.0, -0.68, 0.60, 0.24, 0.12),  # bridge of the nose, forehead
    (-0.52, 0.30, 0.26, 0.20, 0.16), (0.52, 0.30, 0.26, 0.20, 0.16),  # cheeks
    (0.0, 0.50, 0.24, 0.06, -0.28), (0.0, 0.95, 0.30, 0.07, -0.14), (0.0, 1.06, 0.22, 0.10, 0.08),  # nostrils, chin
)  # fmt: skip
REACH = 1.75  # how far hair and shoulders reach from the face's middle, in half widths


@dataclass(frozen=True)
class Pose:
    """Where a face is. x, y, half: its middle and its half width in pixels. roll: radians. yaw, light: -1 to 1."""

    x: float
    y: float
    half: float
    roll: float = 0.0
    yaw: float = 0.0
    light: float = 0.0

    def place(self, unit: np.ndarray) -> np.ndarray:
        """Points [N, 2] of a face in pixels."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        return unit @ np.array([[cos, sin], [-sin, cos]]) * self.half + [self.x, self.y]

    def outline(self, unit: np.ndarray) -> list[float]:
        """As `place`, as Pillow takes them: x, y, x, y ..."""
        return self.place(unit).ravel().tolist()

    def scaled(self, factor: float, left: float, top: float) -> Pose:
        """The same face in a picture that begins at (left, top) and is `factor` times as fine."""
        x, y = (self.x - left) * factor, (self.y - top) * factor
        return Pose(x, y, self.half * factor, self.roll, self.yaw, self.light)


def draw_face(
    person: Person, affect: Affect, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, np.ndarray, Box]:
    """A portrait: image [size, size, 3] uint8, landmarks [68, 2] float32 and the face's box, both in pixels.

    affect: (valence, arousal) in [-1, 1] that the person feels. Pose, light and background are drawn from `rng` and say
    nothing of it.
    """
    canvas = _backdrop(size, rng)
    half = size * rng.uniform(0.27, 0.33)
    middle = size * (0.5 + rng.normal(0, 0.02, 2)) - [0, 0.1 * half]
    landmarks, box = paint(canvas, person, affect, draw_pose(middle, half, rng))
    return photographed(canvas, rng), landmarks, box


def draw_closely(person: Person, affect: Affect, rng: np.random.Generator, size: int) -> np.ndarray:
    """As `draw_face`, of what is in the face's box: [size, size, 3] uint8."""
    from PIL import Image

    image, _, box = draw_face(person, affect, rng, 2 * size)
    close = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box=_within(box, 2 * size))
    return np.asarray(close)


def _within(box: Box, size: int) -> Box:
    """Left, top, right, bottom of a box, as far as it lies in the picture."""
    x, y, width, height = box
    return max(0.0, x), max(0.0, y), min(float(size), x + width), min(float(size), y + height)


def draw_pose(middle: np.ndarray, half: float, rng: np.random.Generator) -> Pose:
    """A face that looks about straight ahead: rolled by some 3 degrees, turned a little, lit from some side."""
    roll, yaw, light = rng.normal(0, [0.05, 0.3, 0.5]).clip([-0.12, -0.7, -1], [0.12, 0.7, 1]).tolist()
    return Pose(float(middle[0]), float(middle[1]), float(half), roll, yaw, light)


def photographed(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera makes of it: exposure, a colour cast and noise; [H, W, 3] float -> uint8."""
    gain = rng.normal(1.0, 0.06) * rng.normal(1.0, 0.02, 3)
    return (canvas * gain + rng.normal(0, 3.0, canvas.shape)).round().clip(0, 255).astype(np.uint8)


def _backdrop(size: int, rng: np.random.Generator) -> np.ndarray:
    """A soft background of two colours, [size, size, 3] float."""
    upper, lower = rng.uniform(60, 210, (2, 3))
    share = np.linspace(0, 1, size)[:, None, None] + rng.normal(0, 0.3) * np.linspace(-0.5, 0.5, size)[None, :, None]
    return upper + (lower - upper) * share.clip(0, 1)


def paint(canvas: np.ndarray, person: Person, affect: Affect, pose: Pose) -> tuple[np.ndarray, Box]:
    """Draw a person's head and shoulders into `canvas` [H, W, 3] float, in place: landmarks [68, 2] and box, in pixels.

    The box is a tight square, brows to chin; OpenCV's frontal cascade answers with one 1.18 times as wide around the
    same middle (the median over 100 portraits).
    """
    zoom = 2 if pose.half >= 20 else 3  # drawn finer, then averaged: smooth edges
    left, top = math.floor(pose.x - REACH * pose.half), math.floor(pose.y - REACH * pose.half)
    wide, high = math.ceil(2 * REACH * pose.half), max(1, len(canvas) - top)
    patch, mask = _head(person, affect, pose.scaled(zoom, left, top), (wide * zoom, high * zoom))
    small = np.asarray(patch.reduce(zoom), float)
    cover = np.asarray(mask.reduce(zoom), float)[..., None] / 255
    rows, columns = slice(max(top, 0), len(canvas)), slice(max(left, 0), min(left + wide, canvas.shape[1]))
    inside = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    canvas[rows, columns] += cover[inside] * (small[inside] - canvas[rows, columns])
    side = 2.05 * pose.half
    x, y = pose.place(np.array([[0.0, 0.14 * person.long]]))[0]
    landmarks = pose.place(_turned(points(person, affect), pose.yaw)).astype(np.float32)
    return landmarks, (float(x - side / 2), float(y - side / 2), side, side)


def _turned(unit: np.ndarray, yaw: float) -> np.ndarray:
    """Points of a head that is turned a little: what is in front of the ears moves sideways."""
    return unit + np.column_stack([0.10 * yaw * np.sqrt((1 - (unit**2).sum(axis=1) / 2).clip(0)), np.zeros(len(unit))])


def _head(person: Person, affect: Affect, pose: Pose, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Head and shoulders on a patch of their own, and where they cover what is behind."""
    from PIL import Image, ImageDraw, ImageFilter

    face = _turned(points(person, affect), pose.yaw)
    patch, mask = Image.new("RGB", size, _rgb(person.hair)), Image.new("L", size, 0)
    for layer, colours in ((patch, True), (mask, False)):
        draw = ImageDraw.Draw(layer)
        for outline, colour in _behind(person):
            draw.polygon(pose.outline(outline), fill=_rgb(colour) if colours else 255)
    angle = np.linspace(0, -np.pi, 16)
    hairline = np.column_stack([np.cos(angle), -0.15 + 0.82 * person.long * np.sin(angle)])
    shape = Image.new("L", size, 0)
    ImageDraw.Draw(shape).polygon(pose.outline(np.vstack([face[:17], hairline])), fill=255)
    patch.paste(_skin(person, pose, size), mask=shape.filter(ImageFilter.GaussianBlur(0.03 * pose.half)))
    mask.paste(255, mask=shape)
    _features(ImageDraw.Draw(patch), face, person, pose)
    return patch.filter(ImageFilter.GaussianBlur(0.012 * pose.half)), mask


def _behind(person: Person) -> list[tuple[np.ndarray, Iterable[float]]]:
    """Shoulders, hair and neck: outlines in half widths and colours, the hindmost first."""
    angle = np.linspace(np.pi, 2 * np.pi, 20)
    cap = np.column_stack([1.16 * np.cos(angle), -0.35 + 1.12 * np.sin(angle)])
    hair = np.vstack([cap, [[1.16, person.style], [-1.16, person.style]]])
    shoulders = np.array([[-1.7, 9.0], [-1.6, 2.1], [-0.5, 1.55], [0.5, 1.55], [1.6, 2.1], [1.7, 9.0]])
    neck = np.array([[-0.5, 0.6], [0.5, 0.6], [0.52, 1.75], [-0.52, 1.75]])
    return [(hair, person.hair), (shoulders, person.clothes), (neck, np.array(person.skin) * 0.62)]


def _skin(person: Person, pose: Pose, size: tuple[int, int]) -> Image.Image:
    """Skin with light and shade, over the whole patch; reckoned on every third pixel, for it is smooth."""
    from PIL import Image

    step = 3
    y, x = np.mgrid[: size[1] : step, : size[0] : step].astype(np.float32) + (step - 1) / 2
    x, y = (x - pose.x) / pose.half, (y - pose.y) / pose.half
    cos, sin = math.cos(pose.roll), math.sin(pose.roll)
    x, y = cos * x + sin * y - 0.08 * pose.yaw, (cos * y - sin * x) / person.long
    bright = 1.02 - 0.22 * np.abs(x).clip(0, 1.1) ** 3 + 0.10 * pose.light * x
    for middle_x, middle_y, wide, high, strength in SHADES:
        bright += strength * np.exp(-(((x - middle_x) / wide) ** 2) - ((y - middle_y) / high) ** 2)
    tones = (bright[..., None] * np.array(person.skin, np.float32)).clip(0, 255).astype(np.uint8)
    spread = (step * tones.shape[1], step * tones.shape[0])
    return Image.fromarray(tones).resize(spread, Image.Resampling.BILINEAR).crop((0, 0, *size))


def _features(draw: ImageDraw.ImageDraw, face: np.ndarray, person: Person, pose: Pose) -> None:
    """Brows, eyes, nostrils and lips, on the skin."""
    dark, flush = np.array(person.hair) * 0.8, np.array(person.skin) * 0.62
    for brow in (face[17:22], face[22:27]):
        thick = np.vstack([brow - [0, person.brow / 2], brow[::-1] + [0, person.brow / 2]])
        draw.polygon(pose.outline(thick), fill=_rgb(dark))
    for eye in (face[36:42], face[42:48]):
        draw.polygon(pose.outline(eye), fill=(205, 200, 195))
        height = (eye[:, 1].max() - eye[:, 1].min()) / 2
        middle, radius = pose.place(eye.mean(axis=0)[None])[0], max(1.0, pose.half * min(0.095, 0.9 * height))
        draw.ellipse([*(middle - radius), *(middle + radius)], fill=(38, 28, 24))
        draw.line(pose.outline(eye[[0, 1, 2, 3]]), fill=(30, 22, 20), width=max(1, round(0.045 * pose.half)))
    for nostril in (face[32], face[34]):
        middle, radius = pose.place(nostril[None])[0], 0.045 * pose.half
        draw.ellipse([*(middle - radius), *(middle + radius)], fill=_rgb(np.array(person.skin) * 0.4))
    draw.polygon(pose.outline(face[48:60]), fill=_rgb(flush * [1.12, 0.8, 0.85]))
    draw.polygon(pose.outline(face[60:68]), fill=(48, 22, 24))
    if face[66, 1] - face[62, 1] > 0.09:
        teeth = np.vstack([face[61:64], face[63:60:-1] + [0, 0.05]])
        draw.polygon(pose.outline(teeth), fill=(222, 216, 208))


def _rgb(colour: Iterable[float]) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(value))) for value in colour)
    return red, green, blue
