"""`motion` against a plain OpenCV loop that computes the same features with the same flow, video after video.

Videos of a texture that drifts, 320 x 240 pixels, 10 s at 30 Hz; flow at 10 Hz on 160 x 120 pixels, windows of 1 s.
The loop runs on one core. Its reader decodes on that core too, as OpenCV's does of itself on all that it may use.
"""

import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from affectkit.encoders import motion
from affectkit.encoders._encoder import Item, load
from affectkit.encoders._flow import FARNEBACK, MOVES
from affectkit.encoders._loop import encode_items

VIDEOS, SECONDS, FPS, RATE, ROUNDS = 8, 10, 30, 10, 3
WIDTH, HEIGHT, REGIONS = 160, 120, 3


def run() -> list[dict]:
    threads, cores = cv2.getNumThreads(), os.sched_getaffinity(0)
    try:
        with tempfile.TemporaryDirectory() as folder:
            paths = [write(Path(folder) / f"{number}.avi", number) for number in range(VIDEOS)]
            return [row for flow in ("farneback", "dis") for row in measured(paths, flow, cores)]
    finally:
        cv2.setNumThreads(threads)


def measured(paths: list[Path], flow: str, cores: set[int]) -> list[dict]:
    encoder = motion.build(flow=flow)
    load(encoder, "cpu")
    todo = [Item(path.stem, path) for path in paths]
    times = {"peer": [], "one": [], "two": []}
    two = sorted(cores)[:2]
    for _ in range(ROUNDS):  # in turns: other load on the machine meets all
        with on_cores(cores, two[:1]):
            seconds, expected = clocked(lambda: np.stack([plain(path, flow) for path in paths]))
            times["peer"].append(seconds)
            seconds, values = clocked(lambda: np.stack(encode_items(encoder, todo).values))
            times["one"].append(seconds)
        with on_cores(cores, two):
            seconds, again = clocked(lambda: np.stack(encode_items(encoder, todo, num_workers=2).values))
            times["two"].append(seconds)
    np.testing.assert_array_equal(values, again)
    np.testing.assert_allclose(values, expected, rtol=2e-3, atol=2e-3)
    frames = len(paths) * SECONDS * RATE
    peer, rows = min(times["peer"]), []
    for cores_used, target in (("one", 1.0), ("two", 1.7)):
        ratio = peer / min(times[cores_used])
        rows.append(
            {
                "what": f"motion, {flow}, {len(paths)} videos of {SECONDS} s, {cores_used} of the cores",
                "ours": f"{frames / min(times[cores_used]):.0f} pairs/s",
                "peer": f"a plain OpenCV loop on one core: {frames / peer:.0f} pairs/s, the same values",
                "ratio": ratio,
                "target": f">= {target:g}x",
                "ok": ratio >= target,
            }
        )
    return rows


@contextmanager
def on_cores(all_cores: set[int], some: list[int]):
    os.sched_setaffinity(0, some)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cores)


def clocked(function):
    began = time.perf_counter()
    value = function()
    return time.perf_counter() - began, value


def write(path: Path, number: int) -> Path:
    rng = np.random.default_rng(number)
    noise = cv2.GaussianBlur(rng.integers(0, 256, (480, 1000)).astype(np.float32), (0, 0), 4)
    texture = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (320, 240))
    for frame in range(SECONDS * FPS):
        left, top = 2 * frame % 600, frame // 3
        writer.write(cv2.cvtColor(texture[top : top + 240, left : left + 320], cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


# --- The peer: what one writes by hand


def plain(path: Path, name: str) -> np.ndarray:
    """[10, 135] of a video whose every third frame is taken."""
    cv2.setNumThreads(1)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    capture, number, before, pairs = cv2.VideoCapture(str(path)), -1, None, []
    while capture.grab():
        number += 1
        if number % (FPS // RATE):
            continue
        grey = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2GRAY)
        grey = cv2.resize(grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        if before is not None:
            if name == "dis":
                flow = dis.calc(before, grey, None)
            else:
                flow = cv2.calcOpticalFlowFarneback(before, grey, None, **FARNEBACK)
            pairs.append(statistics(flow * np.float32(RATE / HEIGHT)))
        before = grey
    windows = [np.mean(pairs[start : start + RATE], axis=0) for start in range(0, len(pairs), RATE)]
    return np.stack([finished(window) for window in windows])


def statistics(flow: np.ndarray) -> np.ndarray:
    """[9, 15] of a field in heights per second."""
    right, up = flow[..., 0], -flow[..., 1]
    speed, angle = cv2.cartToPolar(right, up, angleInDegrees=True)
    bins = np.round(angle / 45).astype(int) % 8
    rows = []
    for top in range(0, HEIGHT, HEIGHT // REGIONS):
        for column in range(REGIONS):
            across = np.rint(np.linspace(0, WIDTH, REGIONS + 1)).astype(int)[column : column + 2]
            part = np.s_[top : top + HEIGHT // REGIONS, across[0] : across[1]]
            moving = speed[part] > MOVES
            weights = (speed[part] * moving).ravel()
            shares = np.bincount(bins[part].ravel(), weights, minlength=8) / weights.size
            x = (np.arange(across[1] - across[0]) - (across[1] - across[0] - 1) / 2) / HEIGHT
            y = (np.arange(HEIGHT // REGIONS) - (HEIGHT // REGIONS - 1) / 2) / -HEIGHT
            by_x, by_y = ((v[part].mean(axis=0) @ x / (x @ x), v[part].mean(axis=1) @ y / (y @ y)) for v in (right, up))
            means = [speed[part].mean(), (speed[part] ** 2).mean(), moving.mean(), right[part].mean(), up[part].mean()]
            rows.append([*means, by_x[0] + by_y[1], by_y[0] - by_x[1], *shares])
    return np.array(rows)


def finished(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[:, 1] = np.sqrt(np.maximum(rows[:, 1] - rows[:, 0] ** 2, 0))
    rows[:, 7:] /= np.maximum(rows[:, 7:].sum(axis=1, keepdims=True), 1e-12)
    return rows.ravel()
