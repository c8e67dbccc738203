"""Recordings of sessions as they lie on disk: videos, sounds, frames and series, and how long they are."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from affectkit.corpora import _tables
from affectkit.corpora._files import AUDIO, IMAGES, VIDEO, find_files, hidden, relative
from affectkit.errors import AffectkitError
from affectkit.media import mp4, read_header
from affectkit.media.files import LengthUnknown
from affectkit.media.series_formats import TIMES

FRAMES = "frames"
# Series that lie beside a recording `<stem>` as `<stem>_<name>.csv` or `.npy`.
SERIES = ("landmarks3d", "landmarks", "covarep", "formant", "gaze", "pose", "aus")


@dataclass(frozen=True)
class Frames:
    """Pictures of a session, [N] paths and [N] seconds since the first, in order."""

    paths: list[Path]
    times: list[float]
    step: float

    @property
    def length(self) -> float:
        return self.times[-1] + self.step

    def at(self, time: float) -> Path:
        """The picture that is nearest to a time."""
        after = bisect_left(self.times, time)
        near = range(max(0, after - 1), min(after + 1, len(self.times)))
        return self.paths[min(near, key=lambda place: abs(self.times[place] - time))]


@dataclass(frozen=True)
class Recording:
    """What there is of one session. name: unique. medium: its video, else its sound. series: name -> file.

    sound: what lies beside a video.
    """

    name: str
    medium: Path | None = None
    sound: Path | None = None
    frames: Frames | None = None
    series: Mapping[str, Path] = field(default_factory=dict)

    @property
    def anything(self) -> Path | None:
        return self.medium or (self.frames.paths[0] if self.frames else next(iter(self.series.values()), None))


def recordings_in(folder: Path, root: Path, *, below: bool = True) -> dict[str, Recording]:
    """Name -> recording, of the videos, sounds and series in `folder`, and `below` it too.

    A name is the path from `root` without ending, and without the name of a series.
    """
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in find_files(folder, [*VIDEO, *AUDIO, ".csv", ".npy"]):
        if below or path.parent == folder:
            kind, stem = _kind(path)
            found[relative(path.with_name(stem), root)][kind].append(path)
    return {name: _recording(name, files) for name, files in found.items()}


def _kind(path: Path) -> tuple[str, str]:
    """What a file is, and the stem of its recording: `p1_landmarks.csv` -> ("landmarks", "p1")."""
    suffix = path.suffix.lower()
    if suffix in VIDEO | AUDIO:
        return ("video" if suffix in VIDEO else "audio"), path.stem
    name = next((name for name in SERIES if path.stem.lower().endswith(f"_{name}")), "")
    return (name, path.stem[: -len(name) - 1]) if name else ("landmarks", path.stem)


def is_series(path: Path) -> bool:
    """Whether a table's name says that it is a series of a recording."""
    return _kind(path)[1] != path.stem or path.stem.lower() in SERIES


def _recording(name: str, files: Mapping[str, Sequence[Path]]) -> Recording:
    # a table before an array, which has no times
    series = {
        kind: min(paths, key=lambda path: path.suffix != ".csv") for kind, paths in files.items() if kind in SERIES
    }
    video, sound = (next(iter(files.get(kind, ())), None) for kind in ("video", "audio"))
    return Recording(name, video or sound, sound if video else None, None, series)


def recording_of_folder(folder: Path, root: Path, frame_rate: float) -> Recording:
    """What lies in a session's own folder: one video or sound, `frames/`, and series called after what they are."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if path.is_file() and not hidden(path.name) and suffix in VIDEO | AUDIO | {".csv", ".npy"}:
            whole = path.stem.lower()
            kind = whole if whole in SERIES and suffix in (".csv", ".npy") else _kind(path)[0]
            files[kind].append(path)
    for kind in ("video", "audio"):
        if len(files[kind]) > 1:
            names = ", ".join(path.name for path in files[kind])
            message = f"holds {len(files[kind])} recordings: {names}"
            raise AffectkitError("input", message, file=folder, remedy="give each session a folder of its own")
    made = _recording(relative(folder, root) if folder != root else folder.name, files)
    pictures = folder / FRAMES
    frames = frames_of(pictures, frame_rate) if pictures.is_dir() and made.medium is None else None
    return replace(made, frames=frames)


def frames_of(folder: Path, rate: float) -> Frames | None:
    """The pictures in a folder by the numbers that end their names, `rate` of them a second; None without any."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES and not hidden(path.name)]
    numbers = {path: int(match[1]) for path in paths if (match := re.search(r"(\d{1,15})$", path.stem))}
    if not paths:
        return None
    if len(numbers) < len(paths) or len(set(numbers.values())) < len(paths):  # no numbers: by name
        numbers = {path: place for place, path in enumerate(sorted(paths))}
    ordered = sorted(paths, key=numbers.__getitem__)
    first = numbers[ordered[0]]
    return Frames(ordered, [(numbers[path] - first) / rate for path in ordered], 1 / rate)


def length_of(recording: Recording) -> float:
    """Seconds, by the header of the video or sound, the number of frames, or the last time of a series; NaN where none
    of them says it.

    Raises "input" for what is no recording, for a video without pictures, and for times that run backwards.
    """
    if recording.medium is not None:
        if recording.medium.suffix.lower() in (".mp4", ".mov", ".m4v") and mp4.frame_rate(recording.medium) == 0:
            message = "has pictures at 0 per second: its track is empty, or says no time"
            raise AffectkitError("input", message, file=recording.medium, remedy="export it again, or drop it")
        try:
            return read_header(recording.medium).duration
        except LengthUnknown:
            return math.nan
    if recording.frames is not None:
        return recording.frames.length
    return next((_last_time(path) for path in recording.series.values() if path.suffix.lower() == ".csv"), math.nan)


_TAIL = 1 << 16  # bytes, which hold the last lines of any table of landmarks


def _last_time(path: Path) -> float:
    """When the last line of a table ends, by its column of times: a step, as the first two have it, after it begins."""
    rows = _tables.iter_rows(path)
    header = [name.strip().lower() for name in next(rows)]
    place, unit = next(((place, TIMES[name]) for place, name in enumerate(header) if name in TIMES), (None, 1.0))
    lines = [row for row, _ in zip(rows, range(2), strict=False)]
    if place is None or not lines:
        return math.nan
    with open(path, "rb") as handle:
        handle.seek(max(0, path.stat().st_size - _TAIL))
        last = handle.read().decode("utf-8", "replace").rstrip().splitlines()[-1].split(",")
    cells = [row[place] for row in lines] + [last[place] if place < len(last) else ""]
    times = [unit * _tables.number(cell, "time", file=path, row=row) for row, cell in enumerate(cells, start=1)]
    if times[-1] < times[0]:
        message = f"its clock runs backwards: it begins at {times[0]:g} s and ends at {times[-1]:g} s"
        raise AffectkitError("input", message, file=path, remedy="sort it by time")
    step = times[1] - times[0] if len(lines) > 1 else 0.0
    return times[-1] - times[0] + step
