"""A seated person as the 33 landmarks of MediaPipe's pose: stress makes hands restless, and shoulders rise and lean.

It is nobody's body: what counts is that posture features find in it what they find in people (angles, distances,
movement, stillness), that a state and a person both move them, and that they overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LANDMARKS = 33
NOSE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = 0, 11, 12, 23, 24
HANDS = (15, 16, 17, 18, 19, 20, 21, 22)
ARMS = (13, 14, *HANDS)
HEAD = tuple(range(11))
TRUNK = (*HEAD, 11, 12, *ARMS)
# x and y in widths of a square picture, y downwards, of a person who sits upright and faces the camera
UPRIGHT = (
    (0.500, 0.260), (0.512, 0.240), (0.520, 0.240), (0.528, 0.241), (0.488, 0.240), (0.480, 0.240), (0.472, 0.241),
    (0.545, 0.252), (0.455, 0.252), (0.515, 0.285), (0.485, 0.285), (0.620, 0.430), (0.380, 0.430), (0.660, 0.600),
    (0.340, 0.600), (0.590, 0.720), (0.410, 0.720), (0.575, 0.745), (0.425, 0.745), (0.568, 0.742), (0.432, 0.742),
    (0.574, 0.730), (0.426, 0.730), (0.570, 0.800), (0.430, 0.800), (0.590, 0.930), (0.410, 0.930), (0.590, 1.100),
    (0.410, 1.100), (0.585, 1.120), (0.415, 1.120), (0.600, 1.150), (0.400, 1.150),
)  # fmt: skip
BONES = ((11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (11, 23), (12, 24), (23, 24), (7, 8), (0, 9), (0, 10))


@dataclass(frozen=True)
class Sitter:
    """A person. lean: radians. slump: share of the trunk's height that is lost. restless: factor on all movement.

    size: factor on the body.
    """

    lean: float
    slump: float
    restless: float
    size: float


def draw_sitter(rng: np.random.Generator, *, burden: float = 0.0) -> Sitter:
    """A random person. burden: 0 to 1, how low the person's mood is: such sit lower."""
    return Sitter(
        lean=float(rng.normal(0, 0.04)),
        slump=float(np.clip(0.03 + 0.12 * burden + rng.normal(0, 0.02), 0, 0.3)),
        restless=float(np.exp(rng.normal(0, 0.25))),
        size=float(np.clip(rng.normal(1, 0.06), 0.8, 1.2)),
    )


def sit(sitter: Sitter, times: np.ndarray, tension: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T, 33, 4] float64: x, y, z in widths of the picture and visibility 0 to 1, at [T] seconds.

    tension: [T], 0 to 1, how stressed the person is. Movement is by time: of another frame rate it is the same walk.
    """
    count = len(times)
    body = np.zeros((count, LANDMARKS, 4))
    body[..., :2] = UPRIGHT
    hips = np.mean([UPRIGHT[LEFT_HIP], UPRIGHT[RIGHT_HIP]], axis=0)
    offset = (body[:, TRUNK, :2] - hips) * sitter.size
    offset[..., 1] *= (1 - sitter.slump - 0.05 * tension)[:, None]
    lean = sitter.lean + 0.10 * tension + _wander(times, 4.0, rng) * 0.02
    cos, sin = np.cos(lean)[:, None], np.sin(lean)[:, None]
    body[:, TRUNK, 0] = hips[0] + cos * offset[..., 0] - sin * offset[..., 1]
    body[:, TRUNK, 1] = hips[1] + sin * offset[..., 0] + cos * offset[..., 1]
    body[:, HEAD, 1] += (0.015 * sitter.slump / 0.1 + 0.004 * _wander(times, 2.0, rng))[:, None]
    body[:, HEAD, 0] += (0.006 * _wander(times, 1.5, rng))[:, None]
    shoulders = [LEFT_SHOULDER, RIGHT_SHOULDER]
    body[:, shoulders, 1] -= (0.02 * tension)[:, None]
    fidget = sitter.restless * (0.004 + 0.03 * tension) * np.exp(0.5 * _wander(times, 8.0, rng))  # for other reasons
    for side in (0, 1):
        for axis in (0, 1):
            move = (fidget * _wander(times, 0.15, rng))[:, None]
            body[:, [place for place in HANDS if place % 2 != side], axis] += move
            body[:, [13 + side], axis] += move * 0.4
    body[..., :3] += rng.normal(0, 0.0008, (count, LANDMARKS, 3))  # the estimator's own trembling
    seen = np.where(np.arange(LANDMARKS) < 25, 0.98, 0.15)
    body[..., 3] = np.clip(seen + rng.normal(0, 0.01, (count, LANDMARKS)), 0, 1)
    return body


def _wander(times: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """[T] a stationary walk of unit deviation that forgets in `seconds` (Ornstein-Uhlenbeck, exact at any times)."""
    keep = np.exp(-np.diff(times, prepend=times[:1]) / seconds)
    noise = rng.standard_normal(len(times)) * np.sqrt(1 - keep**2)
    walk = np.empty(len(times))
    value = float(rng.standard_normal())
    for place in range(len(times)):
        value = keep[place] * value + noise[place]
        walk[place] = value
    return walk


def frame_times(seconds: float, rate: float | None, rng: np.random.Generator) -> np.ndarray:
    """Times of frames from 0 to before `seconds`: `rate` of them a second, or (None) 15 to 30, as phones do."""
    if rate is not None:
        return np.arange(int(np.ceil(seconds * rate - 1e-9))) / rate
    times = np.concatenate([[0.0], rng.uniform(1 / 30, 1 / 15, int(seconds * 30) + 1).cumsum()])
    return times[times < seconds]


def header() -> list[str]:
    """The columns of a table of landmarks: `timestamp` in seconds, then `x_0`, `y_0`, `z_0`, `visibility_0`, ..."""
    return ["timestamp", *(f"{name}_{n}" for n in range(LANDMARKS) for name in ("x", "y", "z", "visibility"))]


def as_lines(times: np.ndarray, body: np.ndarray) -> Sequence[str]:
    """The cells of `header`, a line for each frame."""
    how = "%.4f," + ",".join(["%.4f,%.4f,%.3f,%.2f"] * LANDMARKS)
    return [how % (time, *cells) for time, cells in zip(times, body.reshape(len(times), -1), strict=True)]


def draw_frame(body: np.ndarray, width: int = 160) -> np.ndarray:
    """[W, W, 3] uint8: a picture of one frame's landmarks [33, 4]."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, width), (235, 232, 225))
    pen = ImageDraw.Draw(image)
    points = body[:, :2] * width
    for start, end in BONES:
        pen.line([tuple(points[start]), tuple(points[end])], fill=(60, 80, 130), width=max(2, width // 40))
    x, y = points[NOSE]
    pen.ellipse([x - width / 12, y - width / 9, x + width / 12, y + width / 9], outline=(120, 70, 50), width=2)
    return np.asarray(image)
