"""Which columns of a series are which landmarks: bodies, faces and hands as the usual trackers name and number them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from affectkit.media.series_formats import JOINTS, axes_of

# Where the parts of a body that features look at stand, by how many points there are.
_SIDES = ("eye", "ear", "shoulder", "elbow", "wrist", "hip")


def _parts(nose: int, left: Sequence[int], right: Sequence[int]) -> dict[str, int]:
    pairs = {f"{side}_{part}": place for side, places in (("left", left), ("right", right))
             for part, place in zip(_SIDES, places, strict=True)}  # fmt: skip
    return {"nose": nose, **pairs}


BODIES = {
    33: _parts(0, (2, 7, 11, 13, 15, 23), (5, 8, 12, 14, 16, 24)),  # MediaPipe, BlazePose
    25: _parts(0, (16, 18, 5, 6, 7, 12), (15, 17, 2, 3, 4, 9)),  # OpenPose, BODY_25
    18: _parts(0, (15, 17, 5, 6, 7, 11), (14, 16, 2, 3, 4, 8)),  # OpenPose, COCO
    17: _parts(0, (1, 3, 5, 7, 9, 11), (2, 4, 6, 8, 10, 12)),  # COCO
}
FACES = (68, 70, 468, 478)  # iBUG, OpenPose (iBUG and two pupils), MediaPipe's mesh without and with irises
HANDS = (21,)
# Names of points, without case and signs: MediaPipe's, and OpenPose's beside them.
_SHORT = {"l": "left", "r": "right"}
NAMED_BODY = {
    **{part.replace("_", ""): part for part in BODIES[33]},
    **{f"{short}{part}": f"{side}_{part}" for short, side in _SHORT.items() for part in _SIDES},
}
NAMED_HAND = {
    name: place
    for place, name in enumerate(
        ["wrist", *(f"{finger}{joint}" for finger, joints in (
            ("thumb", ("cmc", "mcp", "ip", "tip")), ("indexfinger", ("mcp", "pip", "dip", "tip")),
            ("middlefinger", ("mcp", "pip", "dip", "tip")), ("ringfinger", ("mcp", "pip", "dip", "tip")),
            ("pinky", ("mcp", "pip", "dip", "tip")),
        ) for joint in joints)]
    )
}  # fmt: skip
_VISIBLE = "v|c|visibility|vis|confidence|conf|score"
_NUMBERED = re.compile(rf"(?:(?P<group>.+?)_)?(?P<axis>[xyzXYZ]|{_VISIBLE})_?(?P<point>\d+)")
_NAMED = re.compile(rf"(?P<point>.+?)[_. ](?P<axis>[xyzXYZ]|{_VISIBLE})")
_POINT = re.compile(r"(?:(?P<group>.+?)_)?(?:landmark|point|keypoint|kp|lm)?_?(?P<point>\d+)")


@dataclass(frozen=True)
class Layout:
    """Points of one body, face or hand among the columns of a series.

    group: what its columns are called before their axis ("", "pose", "left_hand"). names: of the columns that it needs,
    in order. where: [P, 4] places among them of x, y, z and visibility; -1 where there is none. parts: places of named
    parts among the P points.
    """

    kind: str
    group: str
    names: tuple[str, ...]
    where: np.ndarray
    parts: Mapping[str, int]

    @property
    def has_depth(self) -> bool:
        return bool((self.where[:, 2] >= 0).all())

    def points(self, values: np.ndarray, least: float) -> np.ndarray:
        """[T, D] values of `names` -> [T, P, 4]: x, y, z (0 without depth), visibility (1 where nothing says).

        NaN where a point is missing: not known, less visible than `least`, or, in the plane, at the origin, where
        OpenPose has those that it did not find.
        """
        padded = np.concatenate([values, np.full((len(values), 1), np.nan)], axis=1)
        points = padded[:, self.where]
        if not self.has_depth:
            points[..., 2] = 0.0
        known = self.where[:, 3] >= 0
        points[:, ~known, 3] = 1.0
        with np.errstate(invalid="ignore"):
            missing = ~(points[..., 3] >= least)
        if not self.has_depth:
            missing |= (points[..., 0] == 0) & (points[..., 1] == 0)
        points[missing | np.isnan(points).any(axis=2)] = np.nan
        return points


def find_layouts(names: Sequence[str]) -> list[Layout]:
    """The bodies, faces and hands among columns, those with the most points first."""
    groups: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    plain = [name for name in names if re.fullmatch(r"column_\d+", name)]
    if plain and len(plain) == len(names):
        return _of_width(names)
    for name in names:
        split = _split(name)
        if split:
            group, point, axis = split
            groups[group][point].setdefault(axis, name)
    layouts = [layout for group, points in groups.items() if (layout := _layout(group, points))]
    if not layouts:  # a file with landmarks in space alone
        upper = [name.lower() if re.fullmatch(r"[XYZ]_?\d+", name) else "" for name in names]
        back = dict(zip(upper, names, strict=True))
        if any(upper):
            return [
                Layout(found.kind, found.group, tuple(back[name] for name in found.names), found.where, found.parts)
                for found in find_layouts([name for name in upper if name])
            ]
    return sorted(layouts, key=lambda layout: -len(layout.where))


def _split(name: str) -> tuple[str, str, str] | None:
    """`pose_x_12`, `x12`, `landmark_12_x`, `LEFT_SHOULDER_x` as group, point and axis."""
    match = _NUMBERED.fullmatch(name)
    if match:
        group, point, axis = (match["group"] or "").lower(), match["point"], match["axis"]
        group = re.sub(r"_?(landmark|landmarks|keypoint|point)$", "", group)
    elif match := _NAMED.fullmatch(name):
        point, axis, group = match["point"], match["axis"], ""
        if numbered := _POINT.fullmatch(point.lower()):
            group, point = numbered["group"] or "", numbered["point"]
        else:
            point = re.sub(r"[^a-z]", "", point.lower())
            if point not in NAMED_BODY and point not in NAMED_HAND and point not in _OTHERS:
                return None
    else:
        return None
    if axis in "XYZ":
        return None
    return group, point, axis if axis in "xyz" else "v"


# Points of bodies that no feature looks at by name; they count in movement.
_OTHERS = {
    *(f"{side}{part}" for side in ("left", "right", "l", "r") for part in (
        "eyeinner", "eyeouter", "pinky", "index", "thumb", "knee", "ankle", "heel", "footindex", "bigtoe", "smalltoe",
    )), "mouthleft", "mouthright", "neck", "midhip",
}  # fmt: skip


def _layout(group: str, points: Mapping[str, Mapping[str, str]]) -> Layout | None:
    whole = {point: axes for point, axes in points.items() if {"x", "y"} <= axes.keys()}
    if not whole:
        return None
    if all(point.isdigit() for point in whole):
        order = sorted(whole, key=int)
        if [int(point) for point in order] not in (list(range(len(order))), list(range(1, len(order) + 1))):
            return None
        kind, parts = kind_of(len(order)), BODIES.get(len(order), {})
    else:
        order = list(whole)
        hand = [NAMED_HAND.get(point) for point in order]
        if set(hand) == set(range(21)):
            order = sorted(order, key=lambda point: NAMED_HAND[point])
            kind, parts = "hand", {}
        else:
            kind = "body"
            parts = {NAMED_BODY[point]: place for place, point in enumerate(order) if point in NAMED_BODY}
            if not {"left_shoulder", "right_shoulder"} <= parts.keys():
                return None
    if not kind:
        return None
    names: list[str] = []
    where = np.full((len(order), 4), -1)
    for place, point in enumerate(order):
        for axis, column in whole[point].items():
            where[place, "xyzv".index(axis)] = len(names)
            names.append(column)
    return Layout(kind, group, tuple(names), where, parts)


def kind_of(points: int) -> str:
    if points in BODIES:
        return "body"
    kinds = {**dict.fromkeys(FACES, "face"), **dict.fromkeys(HANDS, "hand"), JOINTS: "joints"}
    return kinds.get(points, "")


def _of_width(names: Sequence[str]) -> list[Layout]:
    """Columns without names, x, y, ... of one point after the other: an array [T, D] of 33 landmarks has 132."""
    for points in (*BODIES, *FACES, *HANDS):
        axes = axes_of(points, len(names) // points) if len(names) % points == 0 else ()
        if axes:
            where = np.full((points, 4), -1)
            for place, axis in enumerate(axes):
                where[:, "xyzv".index(axis if axis in "xyz" else "v")] = np.arange(points) * len(axes) + place
            return [Layout(kind_of(points), "", tuple(names), where, BODIES.get(points, {}))]
    return []
