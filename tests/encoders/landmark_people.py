"""People, faces and the files that trackers write of them."""

import csv

import numpy as np

from affectkit.encoders import _face_geometry as geometry

# A person from the front in pixels: nose, eyes, ears, shoulders, elbows, wrists, hips of MediaPipe's 33 landmarks.
PERSON = {
    0: (0, -60), 2: (8, -65), 5: (-8, -65), 7: (15, -62), 8: (-15, -62), 11: (40, 0), 12: (-40, 0), 13: (50, 50),
    14: (-50, 50), 15: (45, 90), 16: (-45, 90), 23: (25, 110), 24: (-25, 110),
}  # fmt: skip


def skeletons(times, pace=0.7):
    """[T, 33, 4]: a person in pixels who sways `pace` times a second, each landmark a little after the one before."""
    points = np.zeros((len(times), 33, 4))
    points[..., 3] = 0.9
    for place in range(33):
        x, y = PERSON.get(place, (place, 2 * place))
        points[:, place, 0] = 300 + x + 6 * np.sin(2 * np.pi * pace * times + place)
        points[:, place, 1] = 200 + y + 3 * np.cos(2 * np.pi * 0.5 * times + place)
    return points


def write_landmarks(path, times, points):
    """A table as scripts around MediaPipe write it."""
    names = [f"{axis}_{place}" for place in range(points.shape[1]) for axis in ("x", "y", "z", "visibility")]
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["timestamp", *names])
        for time, cells in zip(times, points.reshape(len(points), -1), strict=True):
            rows.writerow([f"{time:.9f}", *("" if cell != cell else f"{cell:.9f}" for cell in cells)])


def face(table=geometry.IBUG, points=68):
    """[1, P, 4]: outer corners of the eyes 100 apart, the mouth 60 below them."""
    found = np.zeros((1, points, 4))
    found[..., 3] = 1
    places = {
        "right_eye": [(0, 0), (10, -6), (20, -6), (30, 0), (20, 6), (10, 6)],
        "left_eye": [(70, 0), (80, -3), (90, -3), (100, 0), (90, 3), (80, 3)],
        "right_brow": [(0, -20)] * 4 + [(35, -20)], "left_brow": [(65, -30)] + [(90, -30)] * 4,
        "lips": [(50, 55), (50, 65)], "mouth": [(30, 60), (70, 60)], "nose": [(50, 34.8)],
        "jaw": [(-10, 20), (110, 20)],
    }  # fmt: skip
    for name, corners in places.items():
        for place, corner in zip(table[name], corners, strict=True):
            found[0, place, :2] = corner
    return found
