"""What encoders of time series share: options, files that are read once, rows, windows and their statistics."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import numpy as np

from affectkit.encoders._encoder import Encoder, Item, PoolOpt, Reads, check_choice
from affectkit.encoders._frames import (
    BLOCK,
    STATISTICS,
    Frames,
    Moments,
    Span,
    covered_sec,
    pieces,
    spans_of,
    weights_of,
    windows_of,
)
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.media.audio import warn_once
from affectkit.media.cuts import Windows
from affectkit.media.files import or_error
from affectkit.media.series import Chunk, Reading, Series, check_rate, open_series
from affectkit.media.series_formats import ENDINGS, FORMATS, UNITS
from affectkit.media.video import VIDEO
from affectkit.plain import comma_separated
from affectkit.registry import Option

logger = logging.getLogger(__name__)

POOLS = {"stats": STATISTICS, "mean": ("mean",), "mean-std": ("mean", "sd")}
KEYS = ("id", "sequence", "session")  # of a table of many recordings, the first of these that it has
HELD = 8  # files whose frames are kept: rows of one file follow each other in a manifest

SeriesOpt = Annotated[
    str, Option("Which series to read: NAME of the manifest's column path_NAME, or a table of all rows.")
]
WindowOpt = Annotated[
    float | None,
    Option("Length of windows, on the clock of the series or video.", "s", default="no windows; 1 for motion"),
]
StrideOpt = Annotated[float | None, Option("From window to window.", "s", default="the window")]


@dataclass(frozen=True)
class SeriesOptions:
    """The options of what reads a series."""

    series: SeriesOpt = ""
    format: Annotated[
        str, Option(f"Format of the series: {', '.join(FORMATS)}; auto looks at its columns and first bytes.")
    ] = "auto"
    rate: Annotated[
        float | None,
        Option("Rows per second of a series; overrules its times.", "Hz", default="known for COVAREP, EmoPain"),
    ] = None
    time_unit: Annotated[str, Option("Unit of the series' times: s, ms or us.")] = "s"
    min_confidence: Annotated[
        float | None,
        Option(
            "Tracked faces and landmarks of a lower confidence or visibility are missing.",
            least=0, most=1, default="0.5, OpenPose 0.1",
        ),
    ] = None  # fmt: skip
    window: WindowOpt = None
    stride: StrideOpt = None
    channels: Annotated[
        str,
        Option("Columns of the series to take, comma-separated; MCEP_* stands for all that begin so.", default="all"),
    ] = ""
    pool: PoolOpt = ""

    def resolved(self) -> dict[str, Any]:
        """As they are recorded. Raises "usage" for what makes no sense."""
        check_choice("format", self.format, ("auto", *FORMATS))
        check_choice("time-unit", self.time_unit, tuple(UNITS))
        pool = self.pool or ("none" if self.window is not None else "stats")
        check_choice("pool", pool, (*POOLS, "none"))
        check_rate(self.rate)
        windows = Windows.asked(self.window, self.stride)
        if windows and pool != "none":
            message = f"--pool {pool} makes one vector of a row, and --window a vector of every window"
            raise AffectkitError("usage", message, remedy="leave out one of them")
        if not self.series:
            remedy = "give NAME of the manifest's column path_NAME, or a table of all rows"
            raise AffectkitError("usage", "needs --series", remedy=remedy)
        return {**vars(self), "pool": pool, "stride": windows.stride if windows else None}


class SeriesEncoder(Encoder):
    """Frames of a series as they are, or statistics of windows of them or of a row.

    A file is read once, whatever the number of its rows: what each frame says is kept, in a temporary file where it is
    long. Subclasses say what a frame says: `look` at a file, `measures` of its chunks, and how those that need their
    past are `finished` for a row.
    """

    reads: Reads = "series"
    gaps = True  # values may be missing: NaN

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.pooled = options["pool"] != "none"
        self.column = "path" if options["series"] == "path" else f"path_{options['series']}"
        self.table = Path(options["series"]) if Path(options["series"]).suffix.lower() in ENDINGS else None
        self._held: OrderedDict[Any, tuple[Lock, list[Any]]] = OrderedDict()
        self._lock = Lock()

    # --- What subclasses say

    @abstractmethod
    def frame_names(self) -> list[str] | None:
        """Of the D features of a frame, as soon as options say them."""

    @abstractmethod
    def measures(self, item: Item, counts: Counter[str]) -> tuple[int, Iterator[Chunk]]:
        """How many values are kept of a frame, and those of all frames."""

    @property
    def memory_sec(self) -> float:
        """How much of the past `finished` looks at, in seconds."""
        return 0.0

    def finished(self, times: np.ndarray, measures: np.ndarray, fresh: bool, gap: float) -> np.ndarray:
        """[n, D] features of [n, M] measures. fresh: the first frame is the row's, or its stretch's, first."""
        return measures

    def takes(self, path: Path | None) -> bool:
        """Whether a row's own medium will do where the row has no series of the name that is asked for."""
        return False

    # --- What they share

    @property
    def reading(self) -> Reading:
        options = self.options
        key = self.table_key if self.table else ""
        return Reading(options["format"], options["rate"], options["time_unit"], options["min_confidence"], key)

    @property
    def table_key(self) -> str:
        """The column of a table for all rows that says which row is meant: `id`, `sequence` or `session`."""
        assert self.table is not None
        from affectkit.media.series_tables import open_text_table

        names = open_text_table(self.table).names
        key = next((name for name in KEYS if name in names), None)
        if key is None:
            remedy = "give it one, or name its files in a column path_NAME of the manifest"
            raise AffectkitError("input", f"has no column {', '.join(KEYS)}", file=self.table, remedy=remedy)
        return key

    @property
    def statistics(self) -> Sequence[str]:
        """What is said of a window, or of a row; () of frames."""
        return POOLS[self.options["pool"]] if self.pooled else STATISTICS if self.options["window"] else ()

    @property
    def feature_names(self) -> list[str] | None:
        names = self.frame_names()
        if names is None or self.statistics in ((), ("mean",)):
            return names
        return [f"{name}_{statistic}" for name in names for statistic in self.statistics]

    def describe(self) -> dict[str, Any]:
        names = self.feature_names
        return {"dim": len(names)} if names else {}

    def open(self, path: Path | None) -> Series:
        if path is None:
            raise AffectkitError("input", f"has no {self.column}")
        return open_series(path, self.reading)

    def first_readable(self, items: Sequence[Item]) -> Series | Item:
        """The first item's series that can be opened, or itself where it is a video. Raises the first error."""
        first: AffectkitError | None = None
        for item in items:
            if item.path is not None and item.path.suffix.lower() in VIDEO:
                return item
            opened = or_error(self.open, item.path)
            if not isinstance(opened, AffectkitError):
                return opened
            if opened.code == "usage":
                raise opened
            first = first or opened
        raise first or AffectkitError("input", f"no row has a {self.column}")

    def prepare(self, item: Item) -> tuple[np.ndarray, Counter[str]]:
        """[D * S] of a row, [W, D * S] of its windows, [T, D] of its frames, float32; and what happened on the way."""
        frames, told = self._frames(item)
        counts = Counter({words: 1 for name, words in _TOLD.items() if told[name]})
        key = item.key if self.table else ""
        if key not in frames.keys:
            raise AffectkitError("input", f"has no rows of '{key}'", file=item.path, remedy="add them, or drop the row")
        if frames.gaps[key]:
            counts["with_gaps_in_time"] = 1
        bounds = frames.bounds(key)
        spans = spans_of(bounds, item.start_sec, item.end_sec, item.stretches)
        if not spans or spans[-1].end <= bounds[0] or spans[0].start >= bounds[1]:
            first, last = (spans[0].start, spans[-1].end) if spans else (item.start_sec or 0.0, item.end_sec or 0.0)
            message = f"has nothing from {first:g} to {last:g} s: it covers {bounds[0]:g} to {bounds[1]:g} s"
            raise AffectkitError("input", message, file=item.path, remedy="correct the row's times, or drop it")
        values = self._values(frames, spans, item, key)
        if np.isnan(values[..., :: self._every]).all():
            raise AffectkitError("input", self._nothing(), file=item.path, remedy=self._look_there())
        return values.astype(np.float32), counts

    @property
    def _every(self) -> int:
        return max(len(self.statistics), 1)

    def _nothing(self) -> str:
        return "has no known value in the row's seconds"

    def _look_there(self) -> str:
        return "look at it, or drop the row"

    def encode(self, prepared: list[tuple[np.ndarray, Counter[str]]]) -> list[np.ndarray]:
        for _, counts in prepared:
            self.counts.update(counts)
        return [values for values, _ in prepared]

    def _frames(self, item: Item) -> tuple[Frames, Counter[str]]:
        """The measures of a file's frames: of the one who asks first read, of those who ask meanwhile waited for."""
        key = self._identity(item)
        with self._lock:
            lock, made = self._held.setdefault(key, (Lock(), []))
            self._held.move_to_end(key)
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        with lock:
            if not made:
                made.append(or_error(self._read, item))
        if isinstance(made[0], AffectkitError):
            raise made[0]
        return made[0]

    def _read(self, item: Item) -> tuple[Frames, Counter[str]]:
        counts: Counter[str] = Counter()
        width, chunks = self.measures(item, counts)
        frames = Frames(width)
        for chunk in chunks:
            _add(frames, chunk)
        if frames.step >= 10 and self.options["rate"] is None and float(frames.step).is_integer():
            what = "%s: its times step by %g s; if they are milliseconds, pass --time-unit ms"
            logger.warning(what, item.path, frames.step)
        if counts["infinite"] and item.path:
            warn_once("%s: values that are not finite, and count as missing: %d", item.path, counts["infinite"])
        return frames, counts

    def _identity(self, item: Item) -> Any:
        if item.path is None or not item.path.exists():
            return item.path
        status = item.path.stat()
        return item.path, status.st_mtime_ns, status.st_size, item.size

    def _values(self, frames: Frames, spans: list[Span], item: Item, key: str) -> np.ndarray:
        begin, end = spans[0].start - spans[0].offset, spans[-1].end - spans[-1].offset
        window, stride = self.options["window"], self.options["stride"]
        if window:
            anchored = item.start_sec is not None or bool(item.stretches)
            recorded = frames.bounds(key)
            windows = windows_of(spans, window, stride, anchored=anchored, recorded=recorded)
            if not windows:
                lasts = min(end, recorded[1]) - max(begin, recorded[0]) if len(spans) == 1 else end - begin
                message = f"has {max(lasts, 0):g} s, less than half a window of {window:g} s"
                raise AffectkitError("input", message, file=item.path, remedy="give a shorter --window, or drop it")
            return np.stack([self._window(frames, spans, start, stop, key) for start, stop in windows])
        if self.pooled:
            return self._window(frames, spans, begin, end, key)
        parts = [values for _, values, _, _ in self._parts(frames, spans, begin, end, key)]
        return np.concatenate(parts)

    def _window(self, frames: Frames, spans: list[Span], start: float, end: float, key: str) -> np.ndarray:
        moments: Moments | None = None
        for times, values, seconds, covered in self._parts(frames, spans, start, end, key):
            moments = moments or Moments(values.shape[1])
            moments.add(times - start, values, seconds, covered)
        assert moments is not None
        return moments.statistics(end - start, self.statistics)

    def _parts(
        self, frames: Frames, spans: list[Span], start: float, end: float, key: str
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
        """Of a window in parts: own times [n], features [n, D], seconds that a frame stands for [n], those covered."""
        block = BLOCK * frames.step if frames.step else float("inf")
        for span, low, high in pieces(spans, start, end, block):
            times, measures = frames.read(max(low - self.memory_sec, span.start), high, key)
            fresh = low - self.memory_sec <= span.start
            values = self.finished(times, measures, fresh, frames.gap)
            inside = times >= low
            now = times[inside]
            covered = covered_sec(now, low, high, frames.gap)
            yield now - span.offset, values[inside], weights_of(now, frames.gap), covered


def _add(frames: Frames, chunk: Chunk) -> None:
    """Add a chunk, of a table of many recordings each by itself."""
    if chunk.keys is None:
        frames.add(chunk.times, chunk.values)
        return
    names, number = np.unique(np.array(chunk.keys, dtype=object).astype(str), return_inverse=True)
    order = np.argsort(number, kind="stable")
    edges = np.searchsorted(number[order], np.arange(len(names) + 1))
    for place, name in enumerate(names):
        rows = order[edges[place] : edges[place + 1]]
        frames.add(chunk.times[rows], chunk.values[rows], str(name))


_TOLD = {
    "infinite": "with_values_that_are_not_finite",
    "doubled": "with_doubled_times",
    "untracked": "with_untracked_frames",
    "others": "with_further_faces_that_are_left_out",
    "unvoiced": "with_glottal_features_masked_where_VUV_is_0",
    "scrubbed": "with_scrubbed_frames",
    "shapeless": "with_landmarks_of_a_picture_of_unknown_shape",
}


def matching(series: Series, patterns: str) -> list[str]:
    """The columns that `--channels` names, in the series' order. Raises "input" for a pattern that none fits."""
    wanted = comma_separated(patterns)
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in series.names):
            what = f"column '{pattern}' holds words" if pattern in series.texts else f"has no column '{pattern}'"
            raise AffectkitError("input", what, file=series.path, remedy=did_you_mean(pattern, list(series.names)))
    return [name for name in series.names if not wanted or any(fnmatchcase(name, pattern) for pattern in wanted)]


def listed(names: Sequence[str]) -> str:
    """Names as `comma_separated` reads them."""
    return ",".join('"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name for name in names)
