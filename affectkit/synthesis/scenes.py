"""Scenes that carry valence and arousal, with people in them or without, drawn with Pillow and numpy.

Colours brighten and warm with valence, things are rounder; with arousal there are more of them, smaller, in stronger
colours. The scene and each face show the affect with errors of their own, so whoever looks at both knows more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from affectkit.synthesis.faces import Affect, Box, Person, draw_person, draw_pose, paint, photographed

if TYPE_CHECKING:
    from PIL import ImageDraw

APART = 0.32  # deviation of what the scene shows, and of what each face shows, from the affect
WARMTH, CONTRAST = 26.0, 0.5  # what full arousal adds to red, in grey levels, and to the contrast, as a share
# (upper, lower) colour of a setting at valence -1 and +1: outdoors, in a street, indoors
SETTINGS = (
    (((92, 98, 112), (74, 66, 58)), ((140, 200, 250), (130, 190, 90))),
    (((84, 86, 96), (62, 62, 66)), ((200, 214, 236), (190, 176, 150))),
    (((78, 70, 72), (60, 48, 44)), ((250, 226, 180), (206, 160, 110))),
)


def draw_scene(
    affect: Affect,
    rng: np.random.Generator,
    size: tuple[int, int],
    faces: int,
    *,
    people: Sequence[Person] | None = None,
    moods: Sequence[Affect] | None = None,
) -> tuple[np.ndarray, list[Box], list[np.ndarray]]:
    """A scene [H, W, 3] uint8 of `size` (W, H), and of each face its box in pixels and its landmarks [68, 2] float32.

    affect: (valence, arousal) in [-1, 1] of the whole. faces: 0, 1 or 2, side by side. people, moods: who they are and
    what each of them feels; otherwise strangers who feel `affect`.
    """
    canvas = _backdrop(_near(affect, rng), size, rng)
    people = [draw_person(rng) for _ in range(faces)] if people is None else people
    boxes, landmarks = [], []
    for index in range(faces):
        mood = _near(moods[index] if moods else affect, rng)
        middle, half = _place(index, faces, size, rng)
        points, box = paint(canvas, people[index], mood, draw_pose(middle, half, rng))
        boxes.append(box)
        landmarks.append(points)
    return photographed(canvas, rng), boxes, landmarks


def body_of(face: Box, size: tuple[int, int]) -> Box:
    """The box of a whole person, as far as the picture of `size` (W, H) shows one, from that of the face."""
    x, y, side, _ = face
    left, right = max(0.0, x - 0.34 * side), min(float(size[0]), x + 1.34 * side)
    top = max(0.0, y - 0.32 * side)
    return left, top, right - left, min(float(size[1]), y + 2.2 * side) - top


def _near(affect: Affect, rng: np.random.Generator) -> Affect:
    valence, arousal = (np.array(affect) + rng.normal(0, APART, 2)).clip(-1.2, 1.2).tolist()
    return valence, arousal


def _place(index: int, faces: int, size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Middle and half width of a face: one anywhere, two on their own sides."""
    width, height = size
    half = float(min(height * rng.uniform(0.17, 0.22), width * 0.36 / faces))
    left, right = width * index / faces + 1.2 * half, width * (index + 1) / faces - 1.2 * half
    x = rng.uniform(left, right) if left < right else (left + right) / 2
    return np.array([x, rng.uniform(1.55 * half, max(1.6 * half, height - 2.0 * half))]), half


def _backdrop(shown: Affect, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Everything but the people, [H, W, 3] float."""
    from PIL import Image, ImageDraw, ImageFilter

    valence, arousal = shown
    worst, best = SETTINGS[rng.integers(len(SETTINGS))]
    share = float(np.clip((valence + 1) / 2 + rng.normal(0, 0.16), 0, 1))
    upper, lower = (np.array(bad) + share * (np.array(good) - bad) for bad, good in zip(worst, best, strict=True))
    warmth = np.array([1.0, 0.1, -0.8]) * (WARMTH * arousal + rng.normal(0, 6))
    upper, lower = (colour + rng.normal(0, 14, 3) + warmth for colour in (upper, lower))
    # sky or wall above the horizon, ground below it, each a little lighter towards it
    horizon, down = rng.uniform(0.4, 0.65), np.linspace(0, 1, size[1])[:, None, None]
    sky, ground = upper * (0.88 + 0.18 * down / horizon), lower * (1.08 - 0.3 * (down - horizon) / (1 - horizon))
    column = np.where(down < horizon, sky, ground).clip(0, 255)
    picture = Image.fromarray(np.repeat(column, size[0], axis=1).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    if rng.random() < share:
        x, y, radius = rng.uniform(0, size[0]), rng.uniform(0, 0.3 * size[1]), rng.uniform(0.06, 0.12) * size[1]
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(255, 244, 190))  # a sun, or a lamp
    for _ in range(max(2, round(4 + 14 * (arousal + 1) / 2 + rng.normal(0, 2)))):
        _thing(draw, valence, arousal, size, rng)
    seen = np.asarray(picture.filter(ImageFilter.GaussianBlur(float(np.clip(1.4 - arousal, 0.5, 2.4)))), float)
    middle = seen.mean(axis=(0, 1))
    return middle + (seen - middle) * (1 + CONTRAST * np.clip(arousal, -1, 1))


def _thing(
    draw: ImageDraw.ImageDraw, valence: float, arousal: float, size: tuple[int, int], rng: np.random.Generator
) -> None:
    """A round thing or a spiky one: smaller and more colourful with arousal, rounder and brighter with valence."""
    x, y = rng.uniform(0, 1, 2) * size
    radius = size[1] * rng.uniform(0.05, 0.16) * (1.25 - 0.35 * arousal)
    grey = 105 + 45 * valence + rng.normal(0, 22)
    vivid = np.clip(42 + 38 * arousal, 8, 90)
    colour = tuple((grey + vivid * rng.normal(0, 1, 3)).clip(5, 250).astype(int).tolist())
    if rng.random() < np.clip((valence + 1) / 2, 0.08, 0.92):
        wide, high = radius * rng.uniform(0.7, 1.3, 2)
        draw.ellipse([x - wide, y - high, x + wide, y + high], fill=colour)
        return
    corners = np.sort(rng.uniform(0, 2 * np.pi, 3)) + rng.normal(0, 0.2)
    reach = radius * rng.uniform(0.7, 1.8, 3)
    draw.polygon([(x + r * np.cos(c), y + r * np.sin(c)) for r, c in zip(reach, corners, strict=True)], fill=colour)
