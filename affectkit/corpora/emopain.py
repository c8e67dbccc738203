"""EmoPain: movement and muscle activity of people with chronic back pain and without, with protective behaviour."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.corpora import _windows
from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import checked, find_files, not_here, relative, require_folder
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.media.cuts import Bounds, Windows, id_at
from affectkit.media.matlab import read_matrix
from affectkit.media.series_formats import JOINTS, RATES
from affectkit.synthesis import twins

CORPUS = Corpus(
    title="EmoPain",
    licence="EmoPain's agreement (University College London): academic research, on request",
    citation="M. S. H. Aung, S. Kaltwang, B. Romera-Paredes, B. Martinez, et al.: The Automatic Detection of Chronic "
    "Pain-Related Expression: Requirements, Challenges and the Multimodal EmoPain Dataset. IEEE Transactions on "
    "Affective Computing 7(4), 2016.",
    url="https://wangchongyang.ai/EmoPainChallenge2020/",
    layout="P12N.mat, C3D.mat, ...: an array `data` of a row per frame and 78 columns",
    reads="arrays",
    targets=(Target("protective", "class", ("no", "yes")),),
    subsets={"patients": "condition=patient", "controls": "condition=control"},
    default_group="subject",
    scores={"protective": "protective behaviour during exercise, as experts saw it in videos (Aung et al. 2016)"},
    speakers=60,
)
NAME = re.compile(r"(?P<kind>[PC])(?P<number>\d+)(?P<trial>[ND])", re.IGNORECASE)
COLUMNS = 78  # those of `media.series.EMOPAIN`, then the exercise at 70 and protective behaviour at 72
EXERCISE, PROTECTIVE = 70, 72
RATE = RATES["emopain"]  # Hz
WINDOW, OVERLAP = 3.0, 0.75  # s and share, of C. Wang et al. 2019 ("Recurrent network based automatic detection ...")


def read(root: Path, *, window: _windows.Window = WINDOW, stride: _windows.Stride = None) -> Iterator[Row | Dropped]:
    """Windows of the recordings, by default of 3 s that overlap by three quarters: `protective` where more than half of
    the frames are.

    `path_landmarks` is the file, of which start_sec to end_sec are the row's; `trial` says whether it was the normal or
    the difficult one, `exercise` the code of what most frames are of. Raises "input" for a file that is not MATLAB's,
    or not of this shape.
    """
    require_folder(root, CORPUS)
    cut = Windows.asked(window, (window or WINDOW) * (1 - OVERLAP) if stride is None else stride)
    files = find_files(root, [".mat"])
    if not files or cut is None:
        raise not_here(root, CORPUS)
    return checked((row for file in files for row in _of_file(file, root, cut)), root, CORPUS)


def _of_file(file: Path, root: Path, cut: Windows) -> Iterator[Row | Dropped]:
    name = NAME.fullmatch(file.stem)
    if not name:
        yield Dropped(relative(file, root), "the file is not named as P12N")
        return
    data = load_frames(file)
    common = {
        "path": "",
        "path_landmarks": relative(file, root),
        "subject": f"{name['kind'].upper()}{int(name['number'])}",
        "session": file.stem.upper(),
        "sequence": file.stem.upper(),
        "condition": "patient" if name["kind"].upper() == "P" else "control",
        "trial": "normal" if name["trial"].upper() == "N" else "difficult",
        "split": "",
    }
    for bounds in cut.cut(0.0, len(data) / RATE):
        frames = data[_frames(bounds)]
        yield {
            "id": id_at(file.stem.upper(), bounds[0]),
            **common,
            "protective": "yes" if np.mean(frames[:, PROTECTIVE] > 0) > 0.5 else "no",
            "exercise": _exercise(frames[:, EXERCISE]),
            "start_sec": bounds[0],
            "end_sec": bounds[1],
            "time_sec": bounds[0],
        }


def _frames(bounds: Bounds) -> slice:
    """The frames whose time lies within: frame n stands at n / 60 s."""
    first, last = (math.ceil(bound * RATE - 1e-6) for bound in bounds)
    return slice(first, max(last, first + 1))


def _exercise(codes: np.ndarray) -> str:
    """The code of what most frames are of; "" between exercises."""
    values, counts = np.unique(codes[np.isfinite(codes)], return_counts=True)
    code = int(values[counts.argmax()]) if len(values) else 0
    return str(code) if code else ""


def load_frames(file: Path) -> np.ndarray:
    """[T, 78] float64. Raises "input" as `read_matrix` does, and for another shape."""
    data = read_matrix(file, "data")
    if data.shape[1] != COLUMNS or not len(data):
        what = f"'data' is {data.shape[0]} x {data.shape[1]}, not frames x {COLUMNS}"
        raise AffectkitError("input", what, file=file, remedy="keep a row per frame and all columns")
    return data


# --- The synthetic twin


GUARD = (0.9, 0.35)  # speed of an exercise without and with protective behaviour


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: two in three of `speakers` are patients; their files hold `size` windows of 3 s in all.

    Who protects themselves moves less far and slower, and tenses the muscles of the back.
    """
    if size < 2 * speakers:
        raise twins.usage(f"--size {size}: each of {speakers} people has two trials", "ask for a larger one")
    if speakers > (CORPUS.speakers or speakers):
        raise twins.usage(f"--speakers {speakers}: EmoPain's twin has up to {CORPUS.speakers}", "ask for fewer")
    twins.write_readme(root, "emopain", size=size, speakers=speakers, seed=seed)
    trials = [f"{'C' if n % 3 == 2 else 'P'}{n + 1}{trial}" for n in range(speakers) for trial in "ND"]
    stride = WINDOW * (1 - OVERLAP)
    for place, name in enumerate(trials):
        windows = size // len(trials) + (place < size % len(trials))
        frames = round((WINDOW + (windows - 1) * stride) * RATE)
        data = _perform(name, frames, twins.generator(seed, name))
        _save(root / f"{name}.mat", data)


def _perform(name: str, frames: int, rng: np.random.Generator) -> np.ndarray:
    """[T, 78] of one trial: exercises of some seconds, guarded or not."""
    data = np.zeros((frames, COLUMNS))
    rest = rng.normal(0, 0.5, (3, JOINTS)) + np.array([0, 1, 0])[:, None]
    reach = rng.normal(0, 0.25, (3, JOINTS))
    risk = 0.0 if name.startswith("C") else 0.45 if name.endswith("N") else 0.65
    start = 0
    while start < frames:
        length = min(int(rng.uniform(2, 5) * RATE), frames - start)
        guarded = bool(rng.random() < risk)
        time = np.arange(length) / RATE
        swing = GUARD[guarded] * np.sin(2 * np.pi * (0.25 if guarded else 0.5) * time + rng.uniform(0, 6))
        part = data[start : start + length]
        part[:, : 3 * JOINTS] = (rest[None] + reach[None] * swing[:, None, None]).reshape(length, -1)
        part[:, : 3 * JOINTS] += rng.normal(0, 0.01, (length, 3 * JOINTS))
        part[:, 66:70] = np.abs(rng.normal(0.25 if guarded else 0.1, 0.05, (length, 4)))
        part[:, EXERCISE] = int(rng.integers(1, 7))
        part[:, PROTECTIVE] = guarded
        start += length
    return data


def _save(path: Path, data: np.ndarray) -> None:
    """Write the file; its header says what it is instead of the time of day, so that the bytes come again."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    table: dict[str, Any] = {"data": np.round(data, 5)}
    savemat(written, table, do_compression=True)
    header = b"MATLAB 5.0 MAT-file SYNTHETIC: made by affectkit".ljust(116)
    path.write_bytes(header + written.getvalue()[116:])
