"""Short films of four moving patterns, whose colours are a clip's look and whose ways are its motion.

They show nobody: what counts is that a picture tells the look (by colours, which networks of any weights carry on) and
that dense optical flow, by quarter of the picture and window of time, tells the motion.

| quarter of the picture | its colour tells | its pattern moves |
|---|---|---|
| upper left | which kind of step counts | as the kind of the step: to the right, up, left or down |
| upper right | openness | sideways by liveliness, up and down by steadiness |
| lower left | the look's share of conscientiousness | sideways by the value of the step's kind |
| lower right | which quarter of the clip counts | sideways by the value of the quarter |
"""

from __future__ import annotations

import numpy as np

from affectkit.synthesis.traits import STEPS, Clips

FPS = 10.0
PAIRS = 3  # of frames to a step, which lasts .3 s
PIXELS = 48  # of a quarter's side
_SPEED = 1.6  # pixels from frame to frame, of steps; of the other movements per standard deviation:
_PACE = 0.8
_WAYS = np.array([[1.0, 0.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 1.0]])  # right, up, left, down; y grows downwards
_KINDS = np.array([[200, 60, 60], [60, 180, 60], [60, 80, 210], [190, 180, 50]], float)
_QUARTERS = np.array([[60, 190, 190], [190, 70, 190], [215, 215, 215], [40, 40, 40]], float)
_WAVES = 6  # whose sum is a pattern


def film(clips: Clips, place: int, person: np.random.Generator, rng: np.random.Generator) -> list[np.ndarray]:
    """The frames [96, 96, 3] uint8 of a clip, `FPS` a second; the last one ends the last step.

    person: of what the person looks like besides, the same for all clips; rng: of the clip alone.
    """
    still = np.zeros(STEPS)
    moves = [
        _SPEED * _WAYS[clips.kinds[place]],
        _PACE * np.column_stack([clips.liveliness[place], clips.steadiness[place]]),
        _PACE * np.column_stack([clips.by_kind[place], still]),
        _PACE * np.column_stack([clips.by_quarter[place], still]),
    ]
    light = person.normal(0, 6, 3) + rng.normal(0, 3, 3)
    tints = [
        _KINDS[clips.kind[place]],
        np.array([130.0, 130.0, 130.0]) + 45 * np.clip(clips.openness[place], -3, 3) * np.array([1.0, 0.0, -1.0]),
        np.array([130.0, 130.0, 130.0]) + 45 * np.clip(clips.order[place], -3, 3) * np.array([-0.5, 1.0, -0.5]),
        _QUARTERS[clips.quarter[place]],
    ]
    tiles = [
        np.clip(tint + light + 30 * _pattern(move, rng)[..., None], 0, 255).astype(np.uint8)
        for tint, move in zip(tints, moves, strict=True)
    ]
    upper, lower = (np.concatenate(tiles[side : side + 2], axis=2) for side in (0, 2))
    return list(np.concatenate([upper, lower], axis=1))


def _pattern(move: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[37, 48, 48] about -1 to 1: a sum of waves that moves by [12, 2] pixels (x, y) from frame to frame of each step.

    The cosine of a sum is a product of what depends on x and on y, so that a frame is a small matrix product.
    """
    way = np.concatenate([np.zeros((1, 2)), np.repeat(move, PAIRS, axis=0).cumsum(axis=0)])
    angle, length = rng.uniform(0, 2 * np.pi, _WAVES), rng.uniform(8, 18, _WAVES)
    waves = 2 * np.pi / length * np.stack([np.cos(angle), np.sin(angle)])  # [2, waves], radians per pixel
    pixels = np.arange(PIXELS)
    x = waves[0] * (pixels[None, :, None] - way[:, None, None, 0])  # [frames, 48, waves]
    y = waves[1] * (pixels[None, :, None] - way[:, None, None, 1]) + rng.uniform(0, 2 * np.pi, _WAVES)
    across = np.concatenate([np.cos(x), -np.sin(x)], axis=-1)
    down = np.concatenate([np.cos(y), np.sin(y)], axis=-1)
    return down @ across.transpose(0, 2, 1) / np.sqrt(_WAVES / 2)
