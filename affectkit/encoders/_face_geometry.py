"""Geometry of a face and of a hand, from landmarks. Each is invariant to translation and to the picture's size.

x is to the right of the picture, y is down; right and left are the person's own, so the right eye is at the picture's
left. Lengths are in distances of the outer corners of the eyes, of a hand in lengths of its palm; angles in degrees.
"""

from __future__ import annotations

import itertools

import numpy as np

FACE_FEATURES = {
    "eye_open_right": "eye aspect ratio (|p2 p6| + |p3 p5|) / (2 |p1 p4|), Soukupova and Cech 2016, eq. 1",
    "eye_open_left": "the same of the left eye",
    "mouth_open": "distance of the inner lips, eye distances",
    "mouth_width": "distance of the corners of the mouth, eye distances",
    "brow_raise_right": "height of the right brow's middle above its eye's, across the eye line, eye distances",
    "brow_raise_left": "the same of the left brow",
    "brow_furrow": "distance of the inner ends of the brows, eye distances: less where they are drawn together",
    "head_roll": "angle of the line through the outer corners of the eyes to the horizontal, degrees",
    "head_yaw": "degrees, positive towards the picture's right; see `head_angles`",
    "head_pitch": "degrees, positive downwards; see `head_angles`",
}
HAND_FEATURES = {
    "openness": "mean over four fingers of |wrist tip| / length along the finger from the wrist: 1 is stretched",
    "spread": "mean angle between neighbours among four fingers, base to tip, degrees",
    "pinch": "distance of the tips of thumb and index finger, palm lengths",
    "thumb_out": "distance of the thumb's tip from the base of the little finger, palm lengths",
    "hand_roll": "angle of wrist to the middle finger's base to the vertical, clockwise in the picture, degrees",
}
# Where points stand: each eye from its corner at the picture's left to p4, over p2 and p3 above, back over p5 and p6
# below; brows from their end at the picture's left.
IBUG = {
    "right_eye": (36, 37, 38, 39, 40, 41), "left_eye": (42, 43, 44, 45, 46, 47), "lips": (62, 66), "mouth": (48, 54),
    "right_brow": (17, 18, 19, 20, 21), "left_brow": (22, 23, 24, 25, 26), "nose": (30,), "jaw": (0, 16),
}  # fmt: skip
MESH = {
    "right_eye": (33, 160, 158, 133, 153, 144), "left_eye": (362, 385, 387, 263, 373, 380), "lips": (13, 14),
    "mouth": (61, 291), "right_brow": (70, 63, 105, 66, 107), "left_brow": (336, 296, 334, 293, 300), "nose": (1,),
    "jaw": (234, 454),
}  # fmt: skip
# An upright face: how far down from the eyes to the mouth the tip of the nose is, and how far it stands out, in
# distances from eyes to mouth.
NOSE_DOWN, NOSE_OUT = 0.58, 0.58


def face_features(points: np.ndarray, *, depth: bool) -> np.ndarray:
    """[T, 10] of points [T, P, 4], P 68 or 70 (iBUG), 468 or 478 (MediaPipe's mesh). NaN where one is missing."""
    table = MESH if points.shape[1] >= 468 else IBUG
    flat = points[..., :2]

    def at(name: str, place: int = 0) -> np.ndarray:
        return flat[:, table[name][place]]

    def mean(name: str) -> np.ndarray:
        return flat[:, list(table[name])].mean(axis=1)

    with np.errstate(invalid="ignore", divide="ignore"):
        line = at("left_eye", 3) - at("right_eye", 0)
        unit = _nonzero(_length(line))
        down = np.stack([-line[:, 1], line[:, 0]], axis=1) / unit[:, None]
        columns = [
            _aspect(flat[:, list(table["right_eye"])]),
            _aspect(flat[:, list(table["left_eye"])]),
            _length(at("lips", 0) - at("lips", 1)) / unit,
            _length(at("mouth", 0) - at("mouth", 1)) / unit,
            ((mean("right_eye") - mean("right_brow")) * down).sum(axis=1) / unit,
            ((mean("left_eye") - mean("left_brow")) * down).sum(axis=1) / unit,
            _length(at("right_brow", 4) - at("left_brow", 0)) / unit,
            *head_angles(points, table, depth=depth),
        ]
    return np.stack(columns, axis=1)


def _aspect(eye: np.ndarray) -> np.ndarray:
    """[T] of six points [T, 6, 2] in the order p1 ... p6 of Soukupova and Cech."""
    return (_length(eye[:, 1] - eye[:, 5]) + _length(eye[:, 2] - eye[:, 4])) / (
        2 * _nonzero(_length(eye[:, 0] - eye[:, 3]))
    )


def head_angles(points: np.ndarray, table: dict[str, tuple[int, ...]], *, depth: bool) -> list[np.ndarray]:
    """Roll, yaw and pitch, each [T] in degrees.

    Roll is atan2(dy, dx) of the outer corners of the eyes. With depth, yaw is atan2(dz, dx) of these corners and pitch
    atan2(dz, dy) of the way from the middle of the eyes to that of the mouth, z away from the camera. Without, both are
    approximations: yaw is atan((a - b) / (a + b)), a and b the nose's distances along the eye line from the jaw's two
    sides, exact for a nose and jaw on a circle; pitch is atan((q - .58) / .58), q how far down from the eye line to the
    mouth the nose is, for a nose that stands out by .58 of that way.
    """
    right, left = (points[:, table[f"{side}_eye"][place], :3] for side, place in (("right", 0), ("left", 3)))
    across = left - right
    eyes, mouth = (left + right) / 2, points[:, list(table["mouth"]), :3].mean(axis=1)
    roll = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    if depth:
        down = mouth - eyes
        level = np.hypot(across[:, 0], across[:, 1])
        yaw = np.degrees(np.arctan2(across[:, 2], level))
        return [roll, yaw, np.degrees(np.arctan2(down[:, 2], np.hypot(down[:, 0], down[:, 1])))]
    along = across[:, :2] / _nonzero(_length(across[:, :2]))[:, None]
    below = np.stack([-along[:, 1], along[:, 0]], axis=1)
    nose = points[:, table["nose"][0], :2]
    a, b = (np.abs(((nose - points[:, side, :2]) * along).sum(axis=1)) for side in table["jaw"])
    yaw = np.degrees(np.arctan((a - b) / _nonzero(a + b)))
    whole = _nonzero(((mouth - eyes)[:, :2] * below).sum(axis=1))
    share = ((nose - eyes[:, :2]) * below).sum(axis=1) / whole
    return [roll, yaw, np.degrees(np.arctan((share - NOSE_DOWN) / NOSE_OUT))]


def hand_features(points: np.ndarray) -> np.ndarray:
    """[T, 5] of points [T, 21, 4]: the wrist, then thumb to little finger from base to tip; in space where there is
    depth. NaN where a landmark is missing."""
    space = points[..., :3]
    wrist = space[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        palm = space[:, 9] - wrist
        unit = _nonzero(_length(palm))
        straight, directions = [], []
        for base in (5, 9, 13, 17):
            chain = [wrist, *(space[:, base + joint] for joint in range(4))]
            along = sum((_length(b - a) for a, b in itertools.pairwise(chain)), np.zeros(len(space)))
            straight.append(_length(chain[-1] - wrist) / _nonzero(along))
            directions.append(space[:, base + 3] - space[:, base])
        spread = [_angle(a, b) for a, b in itertools.pairwise(directions)]
        return np.stack(
            [
                np.mean(straight, axis=0),
                np.mean(spread, axis=0),
                _length(space[:, 4] - space[:, 8]) / unit,
                _length(space[:, 4] - space[:, 17]) / unit,
                np.degrees(np.arctan2(palm[:, 0], -palm[:, 1])),
            ],
            axis=1,
        )


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt((vectors**2).sum(axis=-1))


def _nonzero(lengths: np.ndarray) -> np.ndarray:
    return np.where(lengths == 0, np.nan, lengths)


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[T] degrees between vectors [T, 3]: atan2(|a x b|, a . b)."""
    return np.degrees(np.arctan2(_length(np.cross(a, b)), (a * b).sum(axis=1)))


JOINT_ANGLES = (
    (21, 0, 3), (21, 0, 6), (7, 0, 2), (7, 0, 5), (1, 2, 3), (4, 5, 6), (10, 11, 12), (15, 16, 17), (19, 9, 10),
    (19, 14, 15), (11, 9, 1), (16, 14, 4), (7, 19, 21),
)  # fmt: skip
JOINT_FEATURES = {f"angle_{n}": f"degrees between joints {a} to {b} and {b} to {c}, 0 where they are in line"
                  for n, (a, b, c) in enumerate(JOINT_ANGLES)}  # fmt: skip


def joint_features(points: np.ndarray) -> np.ndarray:
    """[T, 13] of the 22 joints [T, 22, 4] of EmoPain: the angles of its challenge, in degrees."""
    space = points[..., :3]
    return np.stack([_angle(space[:, b] - space[:, a], space[:, c] - space[:, b]) for a, b, c in JOINT_ANGLES], axis=1)
