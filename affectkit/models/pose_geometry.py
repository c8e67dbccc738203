"""Where a person is on a frame: from the detector's answers to a square, from the square to landmarks and back.

BlazePose: Bazarevsky et al. 2020 (arXiv 2006.10204), on the detector of BlazeFace, Bazarevsky et al. 2019 (arXiv
1907.05047). The numbers are those that MediaPipe's published networks were trained and are run with. Points are (x, y)
in pixels of the frame, x to the right, y down; "network's pixels" are those of a network's square input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

DETECTOR_SIDE, NETWORK_SIDE = 224, 256
BOXES, POINTS, LANDMARKS = 2254, 39, 33
AXIS = [33, 34]  # of the 39: between the hips, and where the circle around the person has its top

_ANCHORS_PER_CELL = {8: 2, 16: 2, 32: 6}  # by the stride of the grid: two for each of five layers, three of stride 32
_MIN_SCORE = 0.5  # of a person, in either network
_MIN_OVERLAP = 0.3  # intersection over union of two boxes of one person
_REGION_SCALE = 1.25  # of the circle's square, so that hands and feet are in it
_LONGEST_GAP_SEC = 0.5 + 1e-6  # between frames that are two views of one posture
_LOW_CUTOFF_HZ, _CUTOFF_PER_SPEED, _SPEED_CUTOFF_HZ = 0.01, 10.0, 1.0
_HEAT_REACH = 4  # cells of the heatmap on each side of a landmark that may move it
_MIN_HEAT = 0.5


@dataclass(frozen=True, slots=True)
class Region:
    """A square on a frame. x, y: its centre; side in pixels; turn in radians, clockwise as one sees it."""

    x: float
    y: float
    side: float
    turn: float = 0.0


def whole(height: int, width: int) -> Region:
    """The square around a frame, which it fills as far as its shape lets it."""
    return Region(width / 2, height / 2, max(height, width))


def around(hips: np.ndarray, top: np.ndarray) -> Region | None:
    """The square around a person whose hips are at the centre of a circle and whose axis, upright in the square, ends
    at its top. None for points that are no numbers, or fall together."""
    across, down = (float(value) for value in np.asarray(top, np.float64) - hips)
    radius = math.hypot(across, down)
    if not 0.5 <= radius < 1e6 or not np.isfinite(hips).all():
        return None
    turn = math.pi / 2 - math.atan2(-down, across)
    turn -= 2 * math.pi * math.floor((turn + math.pi) / (2 * math.pi))
    return Region(float(hips[0]), float(hips[1]), 2 * radius * _REGION_SCALE, turn)


# --- From one frame to the next


@dataclass(frozen=True, slots=True)
class Track:
    """Where a person was on the last frame. steady, seen: [2, 2], the hips and the top, smoothed and as the network saw
    them; speed: [2, 2], smoothed, in diameters of the circle around the person per s; time_sec: of the frame."""

    steady: np.ndarray
    seen: np.ndarray
    speed: np.ndarray
    time_sec: float

    def region(self, time_sec: float) -> Region | None:
        """Where to look at a time; None after a gap in which the person may be anywhere."""
        gap = time_sec - self.time_sec
        return around(*self.steady) if 0 < gap <= _LONGEST_GAP_SEC else None


def tracked(track: Track | None, seen: np.ndarray, time_sec: float) -> Track:
    """The track with one more frame: a 1-euro filter (Casiez et al. 2012) on the hips and the top, which keeps the
    region still while the person is, and follows a person who moves. Without it, each frame's errors move the region
    of the next, and where the hips are not on the frame the region grows and grows.
    """
    if track is None:
        return Track(seen, seen, np.zeros_like(seen), time_sec)
    step = time_sec - track.time_sec
    diameter = 2 * math.dist(*seen)
    speed = (seen - track.seen) / (max(diameter, 1) * step)
    speed = track.speed + _weight(_SPEED_CUTOFF_HZ, step) * (speed - track.speed)
    steady = track.steady + _weight(_LOW_CUTOFF_HZ + _CUTOFF_PER_SPEED * np.abs(speed), step) * (seen - track.steady)
    return Track(steady, seen, speed, time_sec)


def _weight(cutoff: np.ndarray | float, step: float) -> np.ndarray | float:
    """Of what is new, in a low-pass filter of first order."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


# --- Pixels in, points out


def crop(frame: np.ndarray, region: Region, side: int, border: Literal["black", "edge"]) -> np.ndarray:
    """The region as a network sees it, [side, side, 3] uint8; beyond the frame it is black, or its edge goes on."""
    import cv2

    beyond = cv2.BORDER_CONSTANT if border == "black" else cv2.BORDER_REPLICATE
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, _to_frame(region, side), (side, side), flags=flags, borderMode=beyond)


def on_frame(points: np.ndarray, region: Region, side: int) -> np.ndarray:
    """Points [..., 2] in a network's pixels as [..., 2] in the frame's."""
    matrix = _to_frame(region, side)
    return points @ matrix[:, :2].T + matrix[:, 2]


def _to_frame(region: Region, side: int) -> np.ndarray:
    """[2, 3]: scale and turn, then a shift, that bring a network's pixels onto the frame."""
    scale = region.side / side
    cos, sin = scale * math.cos(region.turn), scale * math.sin(region.turn)
    half = side / 2
    return np.array([[cos, -sin, region.x - half * (cos - sin)], [sin, cos, region.y - half * (sin + cos)]])


# --- The detector


def anchors() -> np.ndarray:
    """[2254, 2]: the centres of the boxes that the detector's answers are offsets from, in 0 to 1."""
    centres = []
    for stride, count in _ANCHORS_PER_CELL.items():
        cells = DETECTOR_SIDE // stride
        down, across = np.mgrid[:cells, :cells]
        grid = (np.stack([across, down], axis=-1).reshape(-1, 2) + 0.5) / cells
        centres.append(np.repeat(grid, count, axis=0))
    return np.concatenate(centres)


def persons(boxes: np.ndarray, scores: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """[N, 2, 2]: the hips and the top of each detected person, the surest first, in the network's pixels.

    boxes: [2254, 12], offsets from the anchors `centres` in the network's pixels: x, y, width and height of the face's
    box, then x, y of the hips, the top, and two more points. scores: [2254] logits. Below .5 nobody is there; boxes
    that overlap are one person's, whose points are their mean, weighted by their scores.
    """
    likely = _sigmoid(scores)
    left = np.flatnonzero((likely >= _MIN_SCORE) & np.isfinite(boxes).all(axis=1))
    left = left[np.argsort(-likely[left], kind="stable")]
    shift = DETECTOR_SIDE * centres
    boxes = np.concatenate([boxes[:, :2] + shift, boxes[:, 2:]], axis=1)
    found = []
    while len(left):
        same = _overlap(boxes[left, :4], boxes[left[0], :4]) > _MIN_OVERLAP
        same[0] = True  # a box without an area overlaps nothing
        points = boxes[left[same], 4:8].reshape(-1, 2, 2) + shift[left[same], None]
        found.append(np.average(points, axis=0, weights=likely[left[same]]))
        left = left[~same]
    return np.array(found).reshape(-1, 2, 2)


def chosen(persons: np.ndarray, lost: Track | None, time_sec: float) -> np.ndarray | None:
    """Whom to follow, of persons [N, 2, 2] on the frame: who is where the lost one was; otherwise the surest, but only
    once the lost one has been lost for a while, so that one bad frame does not hand a person's track to another."""
    if lost is not None and len(persons):
        away = np.linalg.norm(persons[:, 0] - lost.steady[0], axis=1)
        nearest = int(np.argmin(away))
        if away[nearest] < math.dist(*lost.steady) / 2:
            return persons[nearest]
    recent = lost is not None and lost.region(time_sec) is not None
    return None if recent or not len(persons) else persons[0]


def _overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """[N]: intersection over union of boxes [N, 4] (x and y of the centre, width, height) with one, [4]."""
    low = np.maximum(boxes[:, :2] - boxes[:, 2:] / 2, box[:2] - box[2:] / 2)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:] / 2, box[:2] + box[2:] / 2)
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(boxes[:, 2:], axis=1) + np.prod(box[2:]) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


# --- The landmarks' network


def points_of(answer: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """[39, 4]: x, y, z in the network's pixels and visibility 0 to 1 of the 33 landmarks and 6 further points.

    answer: [195], for each point x, y, z, and logits of visibility and presence. heat: [64, 64, 39] logits.
    """
    points = answer.reshape(POINTS, 5)[:, :4].astype(np.float64)
    points[:, 3] = _sigmoid(points[:, 3])
    points[:, :2] = refined(points[:, :2], heat)
    return points


def refined(points: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Points [N, 2], each moved to the centre of mass of its heatmap in the 9 x 9 cells around it, where that has a
    cell of .5 or more. heat: [rows, columns, N] logits."""
    rows, columns, count = heat.shape
    scale = np.array([columns, rows]) / NETWORK_SIDE
    if not np.isfinite(points).all():
        return points
    cell = np.trunc(points * scale).astype(int)  # [N, 2]: column, row
    reach = np.arange(-_HEAT_REACH, _HEAT_REACH + 1)
    column, row = cell[:, :1] + reach, cell[:, 1:] + reach  # [N, 9] each
    here = ((row >= 0) & (row < rows))[:, :, None] & ((column >= 0) & (column < columns))[:, None, :]
    near = np.clip(row, 0, rows - 1)[:, :, None], np.clip(column, 0, columns - 1)[:, None, :]
    mass = np.where(here, _sigmoid(heat[(*near, np.arange(count)[:, None, None])]), 0)
    weight = mass.sum(axis=(1, 2))
    inside = ((cell >= 0) & (cell < [columns, rows])).all(axis=1)
    sure = inside & (mass.max(axis=(1, 2)) >= _MIN_HEAT)
    centre = np.stack([(mass.sum(axis=1) * column).sum(axis=1), (mass.sum(axis=2) * row).sum(axis=1)], axis=1)
    return np.where(sure[:, None], centre / np.where(sure, weight, 1)[:, None] / scale, points)


def is_person(probability: float) -> bool:
    """Whether the landmarks' network saw a person in the region it was given."""
    return probability > _MIN_SCORE


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -100, 100).astype(np.float64)))
