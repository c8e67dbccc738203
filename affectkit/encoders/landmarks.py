"""Posture, face and hands from landmarks: OpenPose, OpenFace, MediaPipe, CLNF

A series of landmarks says where a body, a face or a hand is in every frame. Features are computed frame by frame, their
formulas and units in `_posture.py` and `_face_geometry.py`; of windows, or of a whole row, their mean, standard
deviation, slope per second and the share of seconds in which they are missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit.encoders import _face_geometry as geometry
from affectkit.encoders import _posture as posture
from affectkit.encoders._encoder import Item, check_choice
from affectkit.encoders._layouts import BODIES, Layout, find_layouts
from affectkit.encoders._series import SeriesEncoder, SeriesOpt, SeriesOptions, listed, matching
from affectkit.encoders._videos import FpsOpt, check_fps
from affectkit.errors import AffectkitError
from affectkit.media.audio import warn_once
from affectkit.media.series import Chunk, Series
from affectkit.media.series_formats import CONFIDENCE, ENDINGS
from affectkit.media.video import VIDEO
from affectkit.plain import comma_separated
from affectkit.registry import Option, options_from

# Kind of landmarks -> features by that name, in the order in which they are looked for.
KINDS = {"posture": "body", "face": "face", "hand": "hand", "joints": "joints"}
FEATURES = {
    "posture": tuple(posture.FEATURES), "face": tuple(geometry.FACE_FEATURES), "hand": tuple(geometry.HAND_FEATURES),
    "joints": tuple(geometry.JOINT_FEATURES),
}  # fmt: skip
HOW_TO = (
    "write them with OpenFace, OpenPose or MediaPipe and name the files in a column path_landmarks, or pass "
    '--landmark-model FILE_OR_FOLDER for videos (pip install "affectkit[pose]")'
)
_OWN_POSE = ("pose_Rx", "pose_Ry", "pose_Rz")  # radians: pitch, yaw, roll of OpenFace
_SHARES = 2.0  # of a picture: landmarks a little outside of it count, pixels do not begin that small
_BATCH = 512  # frames of a video whose features are computed together


@dataclass(frozen=True)
class LandmarkOptions(SeriesOptions):
    series: SeriesOpt = "landmarks"
    features: Annotated[
        str,
        Option("What to compute: posture, face, hand, joints (EmoPain), raw (coordinates), or auto by what there is."),
    ] = "auto"
    image_size: Annotated[
        str,
        Option(
            "WIDTHxHEIGHT in pixels of pictures whose landmarks go from 0 to 1, so that angles are those of the scene.",
            default="the manifest's width and height",
        ),
    ] = ""
    landmark_model: Annotated[
        str, Option("File or folder of MediaPipe's pose networks, which make the landmarks of videos.")
    ] = ""
    fps: FpsOpt = None

    def resolved(self) -> dict[str, Any]:
        resolved = super().resolved()
        check_choice("features", self.features, ("auto", *KINDS, "raw"))
        if self.image_size and not re.fullmatch(r"[1-9]\d{0,5}x[1-9]\d{0,5}", self.image_size):
            raise AffectkitError("usage", f"--image-size {self.image_size}", remedy="write it as 1280x720")
        check_fps(self.fps)
        return resolved


@options_from(LandmarkOptions)
def build(options: LandmarkOptions) -> Landmarks:
    """The encoder. Raises "usage" for what makes no sense."""
    return Landmarks(options.resolved())


class Landmarks(SeriesEncoder):
    """Features of the landmarks in a series, or of those that a network finds in a video."""

    name = "landmarks"
    how_to = HOW_TO
    _landmarker: Any = None  # of videos, once it is loaded: each of them is followed by itself

    def takes(self, path: Path | None) -> bool:
        ending = path.suffix.lower() if path else ""
        return (ending in ENDINGS and self.options["series"] == "landmarks") or (ending in VIDEO and bool(self.model))

    @property
    def memory_sec(self) -> float:
        return posture.MEMORY_SEC if self.options["features"] == "posture" else 0.0

    @property
    def model(self) -> str:
        """What makes landmarks of videos; "" where nothing does."""
        return self.options["landmark_model"]

    def load(self, device: str) -> None:
        """Open the network once, so that a wrong file is said before any work, and what it is stands in the record."""
        if self.model:
            from affectkit.models.pose import open_landmarker

            self._landmarker = open_landmarker(self.model)

    def describe(self) -> dict[str, Any]:
        if self._landmarker is None:
            return super().describe()
        network = self._landmarker.describe()
        weights = ",".join(str(value) for name, value in sorted(network.items()) if name.endswith("digest"))
        return {**super().describe(), "landmarker": network, "weights": weights}

    def frame_names(self) -> list[str] | None:
        if self.options["features"] == "raw":
            return comma_separated(self.options["channels"]) or None
        return list(FEATURES.get(self.options["features"], ())) or None

    def settle(self, items: Sequence[Item]) -> None:
        """Which features, or of `raw` which columns, by the first item that can be read."""
        chosen, patterns = self.options["features"], self.options["channels"]
        if chosen not in ("auto", "raw") or (chosen == "raw" and patterns and not re.search(r"[*?\[]", patterns)):
            return
        first = self.first_readable(items)
        if isinstance(first, Series):
            layouts = self._layouts(first)
            kinds = {layout.kind for layout in layouts}
            named = next((name for name, kind in KINDS.items() if kind in kinds), None)
            if chosen == "auto" and named is None:
                raise _no_landmarks(first)
            if chosen == "raw":
                places = [name for layout in layouts for name in layout.names]
                patterns = listed(list(dict.fromkeys(places)) if places and not patterns else matching(first, patterns))
            self.options |= {"features": named if chosen == "auto" else chosen, "channels": patterns}
        elif chosen == "auto":
            self.options["features"] = "posture"

    def _layouts(self, series: Series) -> list[Layout]:
        return find_layouts(matching(series, self.options["channels"]))

    # --- What is read

    def measures(self, item: Item, counts: Counter[str]) -> tuple[int, Iterator[Chunk]]:
        if item.path is not None and item.path.suffix.lower() in VIDEO:
            return 10, self._of_video(item.path)
        series = self.open(item.path)
        if self.options["features"] == "raw":
            names = self.frame_names() or []
            return len(names), series.chunks(names, counts)
        layout = self._layout(series)
        pose = _OWN_POSE if layout.kind == "face" and {*_OWN_POSE} <= {*series.names} else ()
        chunks = series.chunks([*layout.names, *pose], counts)
        scaled = self._scaled(chunks, layout, series, item, counts)
        if layout.kind == "body":
            return 10, _postures(scaled, layout.parts)
        compute = {"face": _faces(layout), "hand": geometry.hand_features, "joints": geometry.joint_features}
        return len(FEATURES[self.options["features"]]), _each(scaled, compute[layout.kind], angles=bool(pose))

    def _layout(self, series: Series) -> Layout:
        """Of the landmarks that the features are of. Raises "input" where there are none, or two of a kind."""
        kind = KINDS[self.options["features"]]
        layouts = [layout for layout in self._layouts(series) if layout.kind == kind]
        if not layouts:
            raise _no_landmarks(series, kind)
        if len(layouts) > 1:
            groups = [layout.group for layout in layouts]
            message = f"has {len(layouts)} of a {kind}: {', '.join(groups)}"
            raise AffectkitError("usage", f"{series.path}: {message}", remedy=f"choose: --channels '{groups[0]}_*'")
        return layouts[0]

    def _scaled(
        self, chunks: Iterable[Chunk], layout: Layout, series: Series, item: Item, counts: Counter[str]
    ) -> Iterator[tuple[Chunk, np.ndarray]]:
        """Chunks with their points [n, P, 4], in pixels where they are shares of a picture whose size is known."""
        size = tuple(map(float, self.options["image_size"].split("x"))) if self.options["image_size"] else item.size
        factor: np.ndarray | None = None
        for chunk in chunks:
            points = layout.points(chunk.values[:, : len(layout.names)], series.least)
            known = np.abs(points[..., :2][~np.isnan(points[..., 0])])
            if factor is None and len(known) and layout.kind != "joints":
                shares = bool(np.percentile(known, 95) <= _SHARES)
                if shares and size is None and not layout.group.startswith("world"):
                    counts["shapeless"] = 1
                    what = "%s: landmarks are shares of a picture of unknown shape; angles are those of a square one: "
                    warn_once(what + "pass --image-size WIDTHxHEIGHT", series.path)
                factor = np.array([size[0], size[1], size[0], 1.0]) if shares and size else np.ones(4)
            yield chunk, points if factor is None else points * factor

    def _of_video(self, path: Path) -> Iterator[Chunk]:
        """Measures of the landmarks that a network finds, some frames at a time."""
        if not self.model:
            raise AffectkitError("usage", f"{path}: is a video, and landmarks are read", remedy=HOW_TO)
        from affectkit.models.pose import video_landmarks

        least = CONFIDENCE if self.options["min_confidence"] is None else self.options["min_confidence"]

        def batches() -> Iterator[tuple[Chunk, np.ndarray]]:
            frames = video_landmarks(path, self._landmarker or self.model, fps=self.options["fps"])
            while batch := list(islice(frames, _BATCH)):
                points = np.stack([landmarks for _, landmarks in batch]).astype(float)
                with np.errstate(invalid="ignore"):
                    points[~(points[..., 3] >= least)] = np.nan
                yield Chunk(np.array([time for time, _ in batch], float), points[..., 0]), points

        return _postures(batches(), BODIES[33])

    def finished(self, times: np.ndarray, measures: np.ndarray, fresh: bool, gap: float) -> np.ndarray:
        if self.options["features"] != "posture":
            return measures
        if fresh and len(times):
            # What lies between two frames takes a look at the one before: of a row's own frames the second is the
            # first that has one. The same for all rates from 20 a second on, so that what is missing is the same.
            begin = max(times[min(1, len(times) - 1)], times[0] + posture.STEP_SEC / 2)
            measures = measures.copy()
            measures[times < begin + posture.STEP_SEC - 1e-6, 6:] = np.nan
            measures[times < begin + 2 * posture.STEP_SEC - 1e-6, 9] = np.nan
        return posture.completed(times, measures, gap)

    def _nothing(self) -> str:
        return f"has no landmarks of a {KINDS.get(self.options['features'], 'body')} in the row's seconds"


def _no_landmarks(series: Series, kind: str = "body, face or hand") -> AffectkitError:
    names = ", ".join(series.names[:6]) + (", ..." if len(series.names) > 6 else "")
    message = f"has no landmarks of a {kind} among its {len(series.names)} columns ({names})"
    remedy = "name other columns with --channels or another --series; its columns as they are: --encoder low-level"
    return AffectkitError("input", message, file=series.path, remedy=remedy)


def _faces(layout: Layout) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: geometry.face_features(points, depth=layout.has_depth)


def _each(
    chunks: Iterable[tuple[Chunk, np.ndarray]], compute: Callable[[np.ndarray], np.ndarray], *, angles: bool
) -> Iterator[Chunk]:
    """Features of each frame. angles: the last three columns are OpenFace's own pitch, yaw and roll."""
    for chunk, points in chunks:
        values = compute(points)
        if angles:
            values[:, -2:] = np.degrees(chunk.values[:, [-2, -3]])
        yield Chunk(chunk.times, values, chunk.keys)


def _postures(chunks: Iterable[tuple[Chunk, np.ndarray]], parts: Mapping[str, int]) -> Iterator[Chunk]:
    """The ten measures of each frame; the last frames of a chunk are kept for the movement of the next."""
    past: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for chunk, points in chunks:
        values = np.full((len(points), 10), np.nan)
        values[:, :6] = posture.frame_features(points, parts)
        keys = np.array(chunk.keys, dtype=object) if chunk.keys is not None else None
        for key in [""] if keys is None else dict.fromkeys(chunk.keys or ()):
            rows = np.arange(len(points)) if keys is None else np.flatnonzero(keys == key)
            if not len(rows):
                continue
            before = past.get(key, (np.empty(0), np.empty((0, *points.shape[1:]))))
            times = np.concatenate([before[0], chunk.times[rows]])
            both = np.concatenate([before[1], points[rows]])
            usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
            gap = max(posture.GAP_SEC, 3 * usual)
            values[rows, 6:] = posture.movement(times, both, parts, gap)[len(before[0]) :]
            kept = times >= times[-1] - 2 * posture.STEP_SEC - gap
            past[key] = times[kept], both[kept]
        yield Chunk(chunk.times, values, chunk.keys)
