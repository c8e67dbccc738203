"""Videos of a texture that moves as a formula says, so that its flow is known."""

from pathlib import Path

import numpy as np

CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "mp4v"}


def shift(right: float, up: float):
    """Pixels per second."""
    return lambda t: np.array([[1, 0, right * t], [0, 1, -up * t], [0, 0, 1.0]])


def turn(counterclockwise: float):
    """Radians per second about the middle, as it is seen: y goes down in pictures."""

    def at(t):
        cos, sin = np.cos(counterclockwise * t), np.sin(counterclockwise * t)
        return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])

    return at


def zoom(rate: float):
    """A factor of e^rate per second, from the middle."""
    return lambda t: np.diag([np.exp(rate * t), np.exp(rate * t), 1.0])


def write_video(path: Path, motion, seconds=2.0, fps=10.0, size=(160, 120), seed=0) -> Path:
    """Frames 0, 1, ... up to before `seconds`, of what `motion(t)`, [3, 3] about the middle, makes of a texture."""
    import cv2

    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (3 * height, 3 * width)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    to_middle, to_picture = np.eye(3), np.eye(3)
    to_middle[:2, 2], to_picture[:2, 2] = (-1.5 * width, -1.5 * height), (width / 2, height / 2)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*CODECS[path.suffix]), fps, size)
    assert writer.isOpened()
    for frame in range(round(seconds * fps)):
        picture = cv2.warpAffine(texture, (to_picture @ motion(frame / fps) @ to_middle)[:2], size)
        writer.write(np.repeat(picture[:, :, None], 3, axis=2))
    writer.release()
    return path
