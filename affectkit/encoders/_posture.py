"""Fifteen features of posture and movement, from the landmarks of a body.

Those of Sentry, a published system that reads them off MediaPipe's pictures of 0 to 1 by 0 to 1 at ten frames a second.
There, distances are shares of the picture and movements are sums per frame, so that they change with the camera's
distance, the picture's shape, the frame rate and the number of landmarks. Here lengths are in shoulder widths (the
distance of the shoulders: in torso lengths), movement is per second, and what was per frame is per tenth of a second,
so that 25, 29.97 and 30 frames a second agree. x is to the right of the picture, y is down, left is the person's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

STEP_SEC = 0.1  # the published frame: movement is looked at over a tenth of a second, whatever the frame rate
MEMORY_SEC = 3.0  # stillness and fidgeting are of the last three seconds, 30 published frames
GAP_SEC = 0.5  # no movement is measured across a longer hole, unless frames are always that far apart
ARCHETYPES = ("upright_engaged", "relaxed_reclined", "defensive_closed", "collapsed_withdrawn")
# Formula and unit of each, as `_posture.py` computes them.
FEATURES = {
    "shoulder_angle": "angle of the line through the shoulders to the horizontal, quarter turns",
    "head_tilt": "angle of the line through the ears to the horizontal, quarter turns",
    "spine_angle": "angle between hips to shoulders and the vertical, quarter turns",
    "shoulder_distance": "distance of the shoulders, torso lengths",
    "nose_offset": "nose to the right of the middle of the shoulders, shoulder widths",
    "asymmetry": "height between the shoulders, shoulder widths",
    "movement": "mean speed of all landmarks, weighted by visibility, shoulder widths per second",
    "upper_body_movement": "the same of shoulders, elbows and wrists",
    "head_movement": "the same of nose, eyes and ears",
    "stillness": "1 / (1 + 50 m), m the mean movement of the last 3 s",
    "fidgeting": "share of landmarks that turn in x, per tenth of a second, over the last 3 s",
    **dict.fromkeys(ARCHETYPES, "1 where this archetype scores highest, else 0"),
}
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
UPPER = tuple(f"{side}_{part}" for part in ("shoulder", "elbow", "wrist") for side in ("left", "right"))
MEASURES = ("movement", "upper_body_movement", "head_movement", "turns")  # beside the six of one frame


def line_angle(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """[T] degrees in (-90, 90] of the line through two points [T, 2] to the horizontal: atan2(dy, dx), dx and dy from
    right to left. Positive where the left is lower in the picture. As a line has no direction, mirrored pictures and
    people seen from behind give the same as others; the published angle jumps by 180 there."""
    dx, dy = left[:, 0] - right[:, 0], left[:, 1] - right[:, 1]
    turned = (dx < 0) | ((dx == 0) & (dy < 0))
    sign = np.where(turned, -1.0, 1.0)
    angle = np.degrees(np.arctan2(sign * dy, sign * dx))
    return np.where((dx == 0) & (dy == 0), np.nan, angle)


def spine_angle(shoulders: np.ndarray, hips: np.ndarray) -> np.ndarray:
    """[T] degrees, 0 to 180, between the vector from the middle of the hips to that of the shoulders, each [T, 2], and
    upwards: arccos(-dy / |d|), computed as atan2(|dx|, -dy), which keeps its digits near 0."""
    dx, dy = (shoulders - hips).T
    return np.where((dx == 0) & (dy == 0), np.nan, np.degrees(np.arctan2(np.abs(dx), -dy)))


def frame_features(points: np.ndarray, parts: Mapping[str, int]) -> np.ndarray:
    """[T, 6] of points [T, P, 4]: shoulder angle / 90, head tilt / 90, spine angle / 90, shoulder distance / torso
    length, (nose.x - mid.x) / shoulder width, |left.y - right.y| / shoulder width. NaN where a landmark is missing.

    Published: the last three in shares of the picture. All are invariant to translation and to the picture's size.
    """
    left, right = part(points, parts, "left_shoulder"), part(points, parts, "right_shoulder")
    middle = (left + right) / 2
    hips = (part(points, parts, "left_hip") + part(points, parts, "right_hip")) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        width, torso = _length(left - right), _length(middle - hips)
        return np.stack(
            [
                line_angle(left, right) / 90,
                line_angle(part(points, parts, "left_ear"), part(points, parts, "right_ear")) / 90,
                spine_angle(middle, hips) / 90,
                width / torso,
                (part(points, parts, "nose")[:, 0] - middle[:, 0]) / width,
                np.abs(left[:, 1] - right[:, 1]) / width,
            ],
            axis=1,
        )


def part(points: np.ndarray, parts: Mapping[str, int], name: str) -> np.ndarray:
    """[T, 2] of a named part; NaN where the tracker has none of that name."""
    return points[:, parts[name], :2] if name in parts else np.full((len(points), 2), np.nan)


def _length(vectors: np.ndarray) -> np.ndarray:
    """[...] of [..., 2]; NaN for none, which no length can be measured by."""
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    return np.where(length > 0, length, np.nan)


def movement(times: np.ndarray, points: np.ndarray, parts: Mapping[str, int], gap: float = GAP_SEC) -> np.ndarray:
    """[T, 4] of points [T, P, 4] at times [T]: movement of all, of the upper body and of the head, and turns.

    Movement of landmark k is |p_k(t) - p_k(t - .1 s)| / .1 s / w, w the mean shoulder width of both moments; of several
    the mean weighted by their visibility, sum(v d) / sum(v). Turns are the mean over landmarks of
    |sign(x(t) - x(t - .1)) - sign(x(t - .1) - x(t - .2))| / 2. Moments between frames are interpolated.
    Published: sum(v d) in shares of the picture from one frame to the next, and |difference of signs| without the half.
    """
    back = _at(times, points, times - STEP_SEC, gap)
    before = _at(times, points, times - 2 * STEP_SEC, gap)
    left, right = (parts.get(f"{side}_shoulder", 0) for side in ("left", "right"))
    widths = [_length(moment[:, left, :2] - moment[:, right, :2]) for moment in (points, back)]
    width = (widths[0] + widths[1]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        step = points[..., :2] - back[..., :2]
        speed = np.hypot(step[..., 0], step[..., 1]) / STEP_SEC / width[:, None]
        seen = np.where(np.isnan(speed), 0.0, np.nan_to_num(points[..., 3]))
        columns = []
        for names in (None, UPPER, HEAD):
            chosen = slice(None) if names is None else [parts[name] for name in names if name in parts]
            weights = seen[:, chosen]
            columns.append(np.nansum(weights * speed[:, chosen], axis=1) / weights.sum(axis=1))
        still = 1e-6 * width[:, None]  # a step of rounding is none
        now, then = step[..., 0], back[..., 0] - before[..., 0]
        signs = [np.where(np.abs(x) <= still, 0.0, np.sign(x)) for x in (now, then)]
        turns = np.where(np.isnan(now) | np.isnan(then) | np.isnan(still), np.nan, np.abs(signs[0] - signs[1]) / 2)
        known = ~np.isnan(turns)
        columns.append(np.nansum(turns, axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan))
    return np.stack(columns, axis=1)


def _at(times: np.ndarray, points: np.ndarray, when: np.ndarray, gap: float) -> np.ndarray:
    """[T, P, 4] points at earlier times `when` [T], between the frames around each; NaN before the first, or in a gap.

    A parabola through these two and one neighbour, the mean of both neighbours' where both are known: a straight line
    cuts corners, so that at 25 frames a second 4 % of the turns of a nod are missed.
    """
    after = np.searchsorted(times, when - 1e-6).clip(0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    exact = np.abs(times[after] - when) <= 1e-6
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (points[after] - points[before]) / _column(times[after] - times[before])
        moved = points[before] + slope * _column(when - times[before])
        bends = []
        for near in (before - 1, after + 1):
            there = (near >= 0) & (near <= np.arange(len(times)))  # never a frame that is yet to come
            near = np.where(there, near, 0)
            bend = ((points[near] - points[after]) / _column(times[near] - times[after]) - slope) / _column(
                times[near] - times[before]
            )
            usable = there & (np.abs(times[near] - when) <= gap)
            bends.append(np.where(_column(usable), bend, np.nan))
        known = ~np.isnan(bends)
        bend = np.where(known, bends, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        moved += bend * _column((when - times[before]) * (when - times[after]))
    moved = np.where(_column(exact), points[after], moved)
    moved[~exact & ((when < times[0]) | (times[after] - times[before] > gap))] = np.nan
    return moved


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


def completed(times: np.ndarray, measures: np.ndarray, gap: float = GAP_SEC) -> np.ndarray:
    """[T, 15] of [T, 10], the six of `frame_features` and the four of `movement`: with what is of the last three
    seconds, stillness 1 / (1 + 50 m) and fidgeting, and the archetype.

    m is the mean movement, weighted by time, in shoulder widths per second: near the published sum for someone whose
    shoulders fill a quarter of the picture. Fidgeting is the mean of turns, the share of (landmark, step) that turn;
    the published one counts a turn twice, over 33 T + 1, and is cut at 1.
    """
    weight = np.minimum(np.diff(times, prepend=times[:1] - STEP_SEC), gap)
    recent = [_trailing(times, measures[:, 6 + column], weight) for column in (0, 3)]
    still, fidgeting = 1.0 / (1.0 + 50.0 * recent[0]), np.clip(recent[1], 0.0, 1.0)
    return np.concatenate(
        [measures[:, :9], still[:, None], fidgeting[:, None], archetypes(measures, still, fidgeting)], axis=1
    )


def _trailing(times: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[T] mean over (t - 3 s, t], weighted by time; NaN where nothing is known."""
    known = ~np.isnan(values)
    weighted = np.concatenate([[0.0], np.cumsum(np.where(known, values * weight, 0.0))])
    weights = np.concatenate([[0.0], np.cumsum(np.where(known, weight, 0.0))])
    first = np.searchsorted(times, times - MEMORY_SEC + 1e-9)
    stop = np.arange(1, len(times) + 1)
    total = weights[stop] - weights[first]
    some = np.concatenate([[0], np.cumsum(known)])
    unknown = some[stop] == some[first]
    mean = (weighted[stop] - weighted[first]) / np.where(unknown | (total <= 0), np.nan, total)
    return np.maximum(mean, 0.0)  # a difference of sums may fall short of 0 by rounding


def archetypes(measures: np.ndarray, still: np.ndarray, fidgeting: np.ndarray) -> np.ndarray:
    """[T, 4] one-hot: which of four scores is highest, the first where several are; NaN where one is not known.

    With straight = 1 - min(|spine| / 45 deg, 1), open = min(shoulder distance / .75 torso lengths, 1) and
    up = 1 - min(|head tilt| / 30 deg, 1): upright .4 straight + .3 open + .2 up + .1 (1 - still); relaxed
    .3 (1 - straight) + .2 open + .3 still + .2 (1 - fidgeting); defensive .4 (1 - open) + .3 fidgeting + .3 (1 - up);
    collapsed .4 (1 - straight) + .3 (1 - open) + .2 still + .1 (1 - up). Published: open is distance / .3 pictures.
    """
    straight = 1 - np.minimum(np.abs(measures[:, 2]) * 90 / 45, 1)
    up = 1 - np.minimum(np.abs(measures[:, 1]) * 90 / 30, 1)
    open_ = np.minimum(measures[:, 3] / 0.75, 1)
    scores = np.stack(
        [
            0.4 * straight + 0.3 * open_ + 0.2 * up + 0.1 * (1 - still),
            0.3 * (1 - straight) + 0.2 * open_ + 0.3 * still + 0.2 * (1 - fidgeting),
            0.4 * (1 - open_) + 0.3 * fidgeting + 0.3 * (1 - up),
            0.4 * (1 - straight) + 0.3 * (1 - open_) + 0.2 * still + 0.1 * (1 - up),
        ],
        axis=1,
    )
    unknown = np.isnan(scores).any(axis=1)
    best = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=1)
    return np.where(unknown[:, None], np.nan, best[:, None] == np.arange(len(ARCHETYPES)))
