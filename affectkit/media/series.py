"""Time series on disk: landmarks, action units, gaze, acoustic descriptors; tables, arrays, MATLAB files.

One reader of them all: names, times in seconds, values in blocks, NaN where something is missing. Times are the file's
own timestamps where it has any, else rows are counted at a rate.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.media.files import check_file, open_array
from affectkit.media.matlab import read_matrix
from affectkit.media.series_formats import (
    ABOUT,
    CONFIDENCE,
    COVAREP,
    EMOPAIN,
    FORMANT,
    FORMATS,
    FRAMES,
    LEAST_CONFIDENCE,
    RATES,
    TIMES,
    UNITS,
    axes_of,
)
from affectkit.media.series_tables import TextTable, open_text_table, read_text_table
from affectkit.plain import parse_json

ROWS = 8192  # of an array that are read at once


@dataclass(frozen=True)
class Reading:
    """How a series is to be read. rate: rows per second, which overrules timestamps. min_confidence: None: the format's
    own. key: of a table of many recordings, the column that says which."""

    format: str = "auto"
    rate: float | None = None
    unit: str = "s"
    min_confidence: float | None = None
    key: str = ""


@dataclass(frozen=True)
class Chunk:
    """Rows in order. times: [n] seconds, rising. values: [n, D] float64, NaN is missing. keys: of a table of many."""

    times: np.ndarray
    values: np.ndarray
    keys: list[str] | None = None


Block = tuple[np.ndarray, np.ndarray, list[str] | None]  # times, values, keys
Blocks = Callable[[Sequence[str], Counter[str]], Iterator[Block]]  # of columns by name; what happened is counted


@dataclass(frozen=True)
class Series:
    """A file that has been looked at. names: of its columns of values.

    least: what a landmark's or a face's confidence must reach. blocks: rows of the file as they are, times in seconds.
    """

    path: Path
    format: str
    names: tuple[str, ...]
    least: float
    blocks: Blocks = field(repr=False)
    texts: frozenset[str] = frozenset()

    def chunks(self, columns: Sequence[str] | None = None, counts: Counter[str] | None = None) -> Iterator[Chunk]:
        """The rows, in blocks; a second row of one time is left out. columns: by name, all by default.

        counts: gets `infinite` (values), `doubled`, `untracked` and `others` (rows: of no face, of
        another one).
        Raises "input" naming the row of a time that is none, or that runs backwards; and for a file without rows.
        """
        columns = list(self.names if columns is None else columns)
        for name in columns:
            if name not in self.names:
                remedy = did_you_mean(name, list(self.names))
                what = f"column '{name}' holds words" if name in self.texts else f"has no column '{name}'"
                raise AffectkitError("input", what, file=self.path, remedy=remedy)
        counts = Counter() if counts is None else counts
        last: dict[str, float] = {}
        row = 0
        for times, values, keys in self.blocks(columns, counts):
            self._check_times(times, row)
            row += len(times)
            kept = self._rising(times, keys, last, row - len(times))
            counts["doubled"] += int((~kept).sum())
            named = None if keys is None else [key for key, keep in zip(keys, kept, strict=True) if keep]
            yield Chunk(times[kept], values[kept], named)
        if not row:
            raise AffectkitError("input", "has no rows", file=self.path, remedy="write it again, or drop its row")

    def _check_times(self, times: np.ndarray, before: int) -> None:
        if not np.isfinite(times).all():
            row = before + int(np.flatnonzero(~np.isfinite(times))[0]) + 1
            raise AffectkitError("input", "its time is no number", file=self.path, row=row, remedy="correct it")

    def _rising(self, times: np.ndarray, keys: list[str] | None, last: dict[str, float], before: int) -> np.ndarray:
        """[n] bool: rows that are later than all before them, of each recording. Raises "input" for an earlier one."""
        previous = np.empty(len(times))
        if keys is None:
            previous[1:], previous[:1] = times[:-1], last.get("", -math.inf)
            last[""] = float(times[-1]) if len(times) else previous[0]
        else:
            for place, (key, time) in enumerate(zip(keys, times, strict=True)):
                previous[place] = last.get(key, -math.inf)
                last[key] = float(time)
        back = np.flatnonzero(times < previous)
        if len(back):
            place = int(back[0])
            message = f"its clock runs backwards, from {previous[place]:g} to {times[place]:g} s"
            remedy = "sort it by time; or pass --rate, and rows are counted"
            raise AffectkitError("input", message, file=self.path, row=before + place + 1, remedy=remedy)
        return times > previous


def open_series(path: Path, how: Reading = Reading()) -> Series:
    """Look at a file: a table, an array [T, D] or [T, P, C], EmoPain's MATLAB, a folder of OpenPose's JSON.

    Raises as `check_file` does; "usage" for an unknown format, or a rate that is none; "input" for what has no times
    and no rate, and for what is no series.
    """
    if how.format not in ("auto", *FORMATS):
        remedy = did_you_mean(how.format, list(FORMATS))
        raise AffectkitError("usage", f"there is no --format {how.format}", remedy=remedy)
    check_rate(how.rate)
    path = Path(path)
    if path.is_dir():
        return _openpose_folder(path, how)
    check_file(path)
    with open(path, "rb") as handle:
        head = handle.read(8)
    if head.startswith(b"\x93NUMPY") or how.format == "npy" or path.suffix.lower() == ".npy":
        return _array(path, how)
    if head.startswith(b"MATLAB") or how.format == "emopain" or path.suffix.lower() == ".mat":
        return _matlab(path, how)
    return _table(path, how)


def check_rate(rate: float | None) -> None:
    """Raises "usage" for rows per second that are none."""
    if rate is not None and not 0 < rate < math.inf:
        remedy = "give rows per second, such as 29.97"
        raise AffectkitError("usage", f"--rate {rate:g}: rows have no time at that rate", remedy=remedy)


# --- Tables


def _table(path: Path, how: Reading) -> Series:
    table = open_text_table(path)
    lower = [name.lower() for name in table.names]
    kind = _kind(table.names, lower, table.width, path) if how.format == "auto" else how.format
    names = table.names or _unnamed(kind, table.width, path)
    if how.key and how.key not in names:
        message = f"has no column '{how.key}' that says which recording a row is of"
        raise AffectkitError("input", message, file=path, remedy=did_you_mean(how.key, list(names)))
    least = LEAST_CONFIDENCE.get(kind, CONFIDENCE) if how.min_confidence is None else how.min_confidence
    no_values = {*TIMES, *FRAMES, *ABOUT}
    values = [name for name in names if name and name.lower() not in no_values and name != how.key]
    numeric = tuple(name for name in values if name not in table.texts)
    return Series(path, kind, numeric, least, _Rows.of(table, names, kind, how, least), table.texts)


@dataclass(frozen=True)
class _Rows:
    """The rows of a table as `Blocks`. clock: where seconds, or where there is a `rate` frames, stand; None: rows are
    counted. scale: seconds in a unit of the clock. tracked: name and place of what says whether a face was followed.
    key: where a recording's name stands.
    """

    table: TextTable
    names: tuple[str, ...]
    clock: int | None
    rate: float | None
    scale: float
    tracked: dict[str, int]
    key: int | None
    least: float

    @classmethod
    def of(cls, table: TextTable, names: tuple[str, ...], kind: str, how: Reading, least: float) -> _Rows:
        """Raises "input" where there are neither times nor a rate."""
        lower = [name.lower() for name in names]
        clock = next((place for place, name in enumerate(lower) if name in TIMES), None)
        rate = how.rate or (RATES.get(kind) if clock is None else None)
        if clock is None and rate is None:
            raise _no_times(table.path)
        scale = UNITS[how.unit] if clock is None or TIMES[lower[clock]] == 1 else TIMES[lower[clock]]
        if rate:
            clock = next((place for place, name in enumerate(lower) if name in FRAMES), None)
        about = ABOUT[:3] if kind in ("openface", "clnf") else ()
        tracked = {name: lower.index(name) for name in about if name in lower}
        key = names.index(how.key) if how.key else None
        return cls(table, names, clock, rate, scale, tracked, key, least)

    def __call__(self, columns: Sequence[str], counts: Counter[str]) -> Iterator[Block]:
        place = self.table.place if self.table.names else self.names.index
        about = [*([] if self.clock is None else [self.clock]), *self.tracked.values()]
        row, first, face = 0, math.nan, math.nan
        wanted = [*about, *map(place, columns)]
        for numbers, words in read_text_table(self.table, wanted, [] if self.key is None else [self.key]):
            ticks = numbers[:, 0] if self.clock is not None else row + np.arange(len(numbers), dtype=float)
            row += len(numbers)
            first = ticks[0] if math.isnan(first) and len(ticks) else first
            times = ticks * self.scale if self.rate is None else (ticks - first) / self.rate
            values = _finite(numbers[:, len(about) :].copy(), counts)
            said = dict(zip(self.tracked, numbers[:, len(about) - len(self.tracked) : len(about)].T, strict=True))
            for name, least in (("success", 0.5), ("confidence", self.least)):
                if name in said:
                    lost = ~(said[name] >= least)
                    counts["untracked"] += int(lost.sum())
                    values[lost] = np.nan
            if "face_id" in said:  # of several faces the first: the others are other people
                face = said["face_id"][0] if math.isnan(face) and len(times) else face
                same = said["face_id"] == face
                counts["others"] += int((~same).sum())
                times, values = times[same], values[same]
            yield times, values, None if self.key is None else words[0]


def _kind(names: Sequence[str], lower: Sequence[str], width: int, path: Path) -> str:
    """The format of a table, by its columns."""
    there = set(lower)
    if not names:
        if width == len(COVAREP):
            return "covarep"
        return "formant" if width == len(FORMANT) and "formant" in path.stem.lower() else "csv"
    if {"confidence", "success"} <= there:
        underscores = there & {"x_0", "gaze_0_x", "pose_tx", "eye_lmk_x_0"} and "x0" not in there
        return "openface" if underscores and ("gaze_0_x" in there or "face_id" in there or "x_0" in there) else "clnf"
    if {"naq", "qoq", "peakslope"} <= there:
        return "covarep"
    if any(re.fullmatch(r"c_?\d+|.+_c|.*(neck|midhip)_x", name) for name in there):
        return "openpose"
    landmark = r"(.*_)?x_?\d+|(.*_)?visibility_?\d+|.*(nose|wrist|left_shoulder|leftshoulder|right_eye)_x"
    return "mediapipe" if any(re.fullmatch(landmark, name) for name in there) else "csv"


def _unnamed(kind: str, width: int, path: Path) -> tuple[str, ...]:
    known = {"covarep": COVAREP, "formant": FORMANT}.get(kind)
    if known and len(known) != width:
        message = f"has {width} columns, and {kind.upper()} has {len(known)}"
        raise AffectkitError("input", message, file=path, remedy="choose another --format, such as csv")
    return known or tuple(f"column_{place}" for place in range(width))


def _no_times(path: Path) -> AffectkitError:
    remedy = "pass --rate ROWS_PER_SECOND, or give it a column timestamp in seconds"
    return AffectkitError("input", "has neither times nor a rate", file=path, remedy=remedy)


# --- Arrays and MATLAB files


def _array(path: Path, how: Reading) -> Series:
    array = open_array(path)
    shape, kind = array.shape, array.dtype.kind
    if kind not in "iufb" or not 2 <= len(shape) <= 3 or 0 in shape[1:]:
        message = f"is of shape {list(shape)} and type {array.dtype}; expected numbers [T, D] or [T, P, C]"
        raise AffectkitError("input", message, file=path, remedy="save one array of one recording")
    if how.rate is None:
        raise _no_times(path)
    names = tuple(f"column_{place}" for place in range(shape[1]))
    if len(shape) == 3:
        axes = axes_of(shape[1], shape[2])
        if not axes:
            message = f"has {shape[2]} numbers for each of {shape[1]} points"
            raise AffectkitError("input", message, file=path, remedy="give x, y; x, y, z; or x, y, z and visibility")
        names = tuple(f"{axis}_{place}" for place in range(shape[1]) for axis in axes)

    def read(start: int) -> np.ndarray:  # mapped anew each time, so that pages of a long file do not pile up
        return np.asarray(open_array(path)[start : start + ROWS], float).reshape(-1, len(names))

    least = CONFIDENCE if how.min_confidence is None else how.min_confidence
    return Series(path, "npy", names, least, _counted(names, read, how.rate))


def _finite(values: np.ndarray, counts: Counter[str]) -> np.ndarray:
    """Infinities, which COVAREP writes where a logarithm is of 0, become NaN, in place."""
    infinite = np.isinf(values)
    counts["infinite"] += int(infinite.sum())
    values[infinite] = np.nan
    return values


def _counted(names: Sequence[str], read: Callable[[int], np.ndarray], rate: float) -> Blocks:
    """Blocks of rows that are counted at a rate. read: rows from a place on, none at the end."""

    def blocks(columns: Sequence[str], counts: Counter[str]) -> Iterator[Block]:
        places = [names.index(name) for name in columns]
        start = 0
        while len(rows := read(start)):
            yield (start + np.arange(len(rows))) / rate, _finite(rows[:, places], counts), None
            start += len(rows)

    return blocks


def _matlab(path: Path, how: Reading) -> Series:
    """EmoPain's `data`: coordinates and muscles, or angles, energies and muscles; the labels behind them are not read.
    Any other matrix [T, D], alone in its file, is columns without names."""
    data = read_matrix(path, "data", or_only=True)
    names = EMOPAIN.get(data.shape[1]) or tuple(f"column_{place}" for place in range(data.shape[1]))
    rate = how.rate or (RATES["emopain"] if data.shape[1] in EMOPAIN else None)
    if rate is None:
        raise _no_times(path)
    values = data[:, : len(names)]
    least = CONFIDENCE if how.min_confidence is None else how.min_confidence
    return Series(path, "emopain", names, least, _counted(names, lambda start: values[start : start + ROWS], rate))


# --- OpenPose's own JSON


_PARTS = {
    "pose_keypoints_2d": "pose", "face_keypoints_2d": "face", "hand_left_keypoints_2d": "left_hand",
    "hand_right_keypoints_2d": "right_hand",
}  # fmt: skip
_PEOPLE = 1 << 20  # bytes of one frame's file


def _openpose_folder(folder: Path, how: Reading) -> Series:
    """A file for each frame, `<video>_000000000012_keypoints.json`: of several people the one who is seen best."""
    files = sorted(folder.glob("*_keypoints.json"))
    if not files:
        raise AffectkitError("input", "holds no *_keypoints.json of OpenPose", file=folder, remedy="name a file")
    if how.rate is None:
        raise _no_times(folder)
    numbers = [int(match[1]) if (match := re.search(r"(\d+)_keypoints$", file.stem)) else -1 for file in files]
    ticks = [n - numbers[0] for n in numbers] if min(numbers) >= 0 else list(range(len(files)))
    people = (_person(file) for file in files)
    shapes: dict[str, int] = next(({k: len(v) // 3 for k, v in person.items()} for person in people if person), {})
    names = tuple(f"{_PARTS[k]}_{axis}_{n}" for k, count in shapes.items() for n in range(count) for axis in "xyc")
    rate = how.rate

    def blocks(columns: Sequence[str], counts: Counter[str]) -> Iterator[Block]:
        places = [names.index(name) for name in columns]
        for start in range(0, len(files), 256):
            rows = [_flat(_person(file), shapes) for file in files[start : start + 256]]
            yield np.array(ticks[start : start + 256]) / rate, _finite(np.stack(rows)[:, places], counts), None

    least = LEAST_CONFIDENCE["openpose"] if how.min_confidence is None else how.min_confidence
    return Series(folder, "openpose", names, least, blocks)


def _person(file: Path) -> dict[str, list[float]]:
    check_file(file)
    try:
        text = file.read_bytes()[:_PEOPLE].decode()
        people: list[Any] = parse_json(text)["people"]
        parts = [
            {key: [float(n) for n in person.get(key, ())] for key in _PARTS if person.get(key)} for person in people
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AffectkitError("input", "is no frame of OpenPose", file=file, remedy="write it again") from None
    return max(parts, key=lambda part: sum(part.get("pose_keypoints_2d", [])[2::3]), default={})


def _flat(person: dict[str, list[float]], shapes: dict[str, int]) -> np.ndarray:
    """[D] NaN where nobody was seen."""
    cells = [
        person[key] if len(person.get(key, ())) == 3 * count else [math.nan] * 3 * count
        for key, count in shapes.items()
    ]
    return np.array([number for part in cells for number in part])
