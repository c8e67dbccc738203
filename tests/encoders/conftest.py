import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # for landmark_people

HEADER = ["id", "path", "duration_sec", "text", "path_sequence", "array_index", "path_landmarks"]


@pytest.fixture
def speech_like():
    """Write `count` noisy vowels of different lengths and a manifest of them: `speech_like(folder, 40)`.

    Each row also has a text, a place in an array `sequence.npy` [count, 5, 4], and a second of moving landmarks.
    """

    from landmark_people import skeletons, write_landmarks

    def write(folder, count, shortest=0.2, longest=0.6, rate=16000):
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        rows = []
        for clip in range(count):
            seconds = np.arange(int(rng.uniform(shortest, longest) * rate)) / rate
            pitch = rng.uniform(90, 250)
            wave = sum(np.sin(2 * np.pi * pitch * k * seconds) / k for k in range(1, 6))
            soundfile.write(folder / f"{clip:03d}.wav", 0.1 * wave + 0.01 * rng.standard_normal(len(wave)), rate)
            text = f"Sentence {clip} of many."
            rows.append(
                [
                    f"c{clip:03d}",
                    f"{clip:03d}.wav",
                    f"{len(wave) / rate:.6f}",
                    text,
                    "sequence.npy",
                    clip,
                    f"{clip:03d}.csv",
                ]
            )
            times = np.arange(30) / 25
            write_landmarks(folder / f"{clip:03d}.csv", times, skeletons(times, pace=0.5 + 0.1 * clip))
        np.save(folder / "sequence.npy", rng.standard_normal((count, 5, 4)))
        with open(folder / "train.csv", "w", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])
        return folder / "train.csv"

    return write


@pytest.fixture
def image_like():
    """Write `count` smooth pictures of different, odd sizes and a manifest of them: `image_like(folder, 40)`.

    Each row also has the box of a face, all but the last one.
    """

    def write(folder, count, sides=(20, 70)):
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        rows = [["id", "path", "face_x", "face_y", "face_width", "face_height"]]
        for picture in range(count):
            width, height = (int(side) for side in rng.integers(*sides, 2))
            name = f"{picture:03d}.{'jpg' if picture % 2 else 'png'}"
            small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
            small.resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
            box = [width * 0.25, height * 0.25, width / 2, height / 3] if picture < count - 1 else [""] * 4
            rows.append([f"c{picture:03d}", name, *box])
        with open(folder / "train.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
        return folder / "train.csv"

    return write


@pytest.fixture
def video_like():
    """Write `count` videos of 1.2 s of a texture that moves to the right, each faster, and a manifest of them."""
    pytest.importorskip("cv2", reason="OpenCV is not installed (affectkit[face])")
    from moving_pictures import shift, write_video

    def write(folder, count):
        folder.mkdir(parents=True, exist_ok=True)
        rows = [["id", "path"]]
        for clip in range(count):
            write_video(folder / f"{clip:03d}.avi", shift(5.0 * clip, 2.0), seconds=1.2, size=(64, 48), seed=clip)
            rows.append([f"c{clip:03d}", f"{clip:03d}.avi"])
        with open(folder / "train.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
        return folder / "train.csv"

    return write
