"""Videos, frame by frame, in memory that does not grow with their length.

Frames are read one at a time. A few dozen of them at once lie as uncompressed files in a temporary folder, where any
model reads them as it reads images: what it says of a frame is what it says of the same frame in a file of its own.
Where faces are searched for, there is a row for each face, with its box, and faces of one video that go on from frame
to frame share a track.
"""

from __future__ import annotations

import logging
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions, join_columns
from affectkit.console import unwatched
from affectkit.detectors.columns import BOX, LANDMARKS
from affectkit.errors import AffectkitError
from affectkit.inference import faces
from affectkit.inference.model import Model, Work, seen_rows
from affectkit.inference.sampling import Sampling, Shot, Shots, check_reads
from affectkit.inference.windows import OF_A_CLIP
from affectkit.media.cuts import id_at

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


# --- Faces of consecutive frames, linked to tracks: which of them are the same face going on
#
# Each track expects its face where its own motion would have brought it; faces and tracks that overlap are paired, the
# best pair first, after the greedy linking of Bochinski et al. 2017 (IoU tracker), which has no motion: without it two
# faces that pass each other at one height change names. What is left over is paired once more by where the faces last
# were, for a face that stopped. Nothing is drawn, and nothing looks at who it is: a face that comes back later than the
# gap is a new track.


Box = tuple[float, float, float, float]

# Intersection over union. Of a face that moves sideways by .67 of its width it is .2; two faces that do not cover each
# other have 0.
LEAST_OVERLAP = 0.2
MEMORY_SEC = 1.0  # of a face's motion: the jitter of single boxes, some 3 % of their width, is averaged over it


@dataclass
class _Track:
    number: int
    seen: deque[tuple[float, Box]] = field(default_factory=deque)

    @property
    def last(self) -> tuple[float, Box]:
        return self.seen[-1]

    def see(self, time: float, box: Box) -> None:
        self.seen.append((time, box))
        while len(self.seen) > 2 and time - self.seen[0][0] > MEMORY_SEC:
            self.seen.popleft()

    def expected(self, time: float) -> Box:
        """The last box, moved on as its centre has moved within `MEMORY_SEC`."""
        (began, first), (ended, last) = self.seen[0], self.last
        if ended <= began:
            return last
        share = (time - ended) / (ended - began)
        x, y = (last[side] + last[side + 2] / 2 - first[side] - first[side + 2] / 2 for side in (0, 1))
        return last[0] + share * x, last[1] + share * y, last[2], last[3]


class Tracks:
    """The tracks of one video. gap: seconds for which a face may be unseen and still be the same track.

    What is kept are the faces of the last moments, however long the video is.
    """

    def __init__(self, gap: float) -> None:
        self.gap, self.count, self._live, self._before = gap, 0, list[_Track](), -float("inf")

    def follow(self, time: float, boxes: Sequence[Box]) -> list[int]:
        """The number of each face's track, from 1 by first appearance. Times go up from call to call.

        boxes: (x, y, width, height), of the frame at `time`.
        """
        live = [t for t in self._live if t.last[0] == self._before or time - t.last[0] <= self.gap]
        tracks: dict[int, _Track] = {}
        _pair(tracks, {track.number: (track, track.expected(time)) for track in live}, boxes)
        taken = {track.number for track in tracks.values()}
        _pair(tracks, {t.number: (t, t.last[1]) for t in live if t.number not in taken}, boxes)
        for place, box in enumerate(boxes):
            if place not in tracks:
                self.count += 1
                tracks[place] = _Track(self.count)
                live.append(tracks[place])
            tracks[place].see(time, box)
        self._live, self._before = live, time
        return [tracks[place].number for place in range(len(boxes))]


def _pair(tracks: dict[int, _Track], free: dict[int, tuple[_Track, Box]], boxes: Sequence[Box]) -> None:
    """Add to `tracks` those of boxes that have none yet, the largest overlap first; of equals the oldest track.

    free: by number, tracks without a face in this frame, and where theirs is looked for.
    """
    pairs = [
        (overlap(place, box), number, position)
        for number, (_, place) in free.items()
        for position, box in enumerate(boxes)
        if position not in tracks
    ]
    for share, number, position in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
        if share < LEAST_OVERLAP:
            return
        if number in free and position not in tracks:
            tracks[position] = free.pop(number)[0]


def overlap(box: Box, other: Box) -> float:
    """Intersection over union, 0 to 1; 0 for boxes without an area."""
    wide = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    high = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / (box[2] * box[3] + other[2] * other[3] - shared)


MOST_ROWS = 128  # of the frames that lie in files at once: four batches, so that threads decode one ahead of another
MOST_PIXELS = 48_000_000  # of the frames of these rows, 144 MB: 23 of 1920 x 1080
COLUMNS = ("sequence", "time_sec", "track", "faces", *BOX)  # faces: how many there are in the frame
OF_A_VIDEO = (*OF_A_CLIP, *BOX, LANDMARKS, "start_sec", "end_sec", "duration_sec", "time_sec")
FRAMES = Path("FRAMES")  # what stands in errors for a manifest of them


@dataclass
class Counts:
    """frames: read. with_face: of these; None where no faces were searched for. tracks: of faces."""

    frames: int = 0
    with_face: int | None = None
    tracks: int = 0


def predict_videos(model: Model, manifest: Manifest, work: Work, sampling: Sampling) -> tuple[Predictions, Counts]:
    """A row for each frame of each of the manifest's videos, or for each face in it, with `COLUMNS`.

    `id` is <video>@<time>, `sequence` the video's own id; of faces `id` is <video>@<time>#<track>, `track`
    <video>#<track>, and frames without one have no row. Truths are the video's. A frame is in-sample where the model
    was fitted on its video. Without fps, rows are as they came.
    Raises "usage" for a model that does not read images, or that sees what frames do not show, "input" if nothing
    could be read or no face was found, else what `read_frames` and `Model.predict` raise.
    """
    check_reads(model)
    watching = _Watching(model, manifest, work, sampling)
    with tempfile.TemporaryDirectory(prefix="affectkit-") as folder:
        return watching.predict(Path(folder)), watching.counts


class _Watching:
    """One pass over the videos. detector: None for whole frames. rows: what rows of frames say of their video; of
    single frames all that their rows say."""

    def __init__(self, model: Model, manifest: Manifest, work: Work, sampling: Sampling) -> None:
        self.model, self.manifest, self.work, self.sampling = model, manifest, work, sampling
        self.detector = sampling.detector(model, work.device)
        rows = manifest.rows
        if sampling.fps is not None:
            rows = rows.drop(columns=[name for name in rows if name in OF_A_VIDEO or str(name).startswith("votes_")])
        self.rows = [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
        self.seen = seen_rows(model, manifest.rows)
        self.counts = Counts(with_face=None if self.detector is None else 0)
        self.tracks, self.place = Tracks(sampling.track_gap), -1

    def predict(self, folder: Path) -> Predictions:
        """folder: for the frames that are being predicted."""
        parts: list[Predictions] = []
        shots = Shots(self.manifest, self.sampling.fps, self.work.on_error)
        for rows in self._chunks(shots, folder):
            parts += self._answers(rows) if rows else []
            self.work.progress(shots.done, shots.total)
        if not self.counts.frames:
            raise AffectkitError("input", "no video could be read", file=self.manifest.path)
        if not parts:
            what = "no face was found in" if self.counts.with_face == 0 else "no answer was given to any of"
            raise AffectkitError("input", f"{what} {self.counts.frames} frames", file=self.manifest.path)
        import pandas as pd

        table = pd.concat([part.frame for part in parts], ignore_index=True)
        self._log(table, shots.opened)
        return replace(parts[0], frame=table)

    def _chunks(self, shots: Shots, folder: Path) -> Iterator[list[dict[str, Any]]]:
        """The rows of some frames at a time, which lie in files for as long as their rows are worked on."""
        from PIL import Image

        rows: list[dict[str, Any]] = []
        read = pixels = 0
        for shot in shots:
            path = folder / f"{read:04}.bmp"
            of_frame = [{**row, "path": str(path)} for row in self._rows(shot)]
            if of_frame:
                Image.fromarray(shot.image).save(path)  # without compression: the very pixels, in some milliseconds
            rows += of_frame
            read, pixels = read + 1, pixels + shot.image.shape[0] * shot.image.shape[1]
            if max(read, len(rows)) >= MOST_ROWS or pixels >= MOST_PIXELS:
                yield rows
                rows, read, pixels = [], 0, 0
        yield rows

    def _rows(self, shot: Shot) -> Iterator[dict[str, Any]]:
        """What the manifest says of a frame's video, and what is known of the frame."""
        row = self.rows[shot.place]
        self.counts.frames += 1
        if self.sampling.fps is None:
            yield row
            return
        moment = id_at(row["id"], shot.time_sec)
        known = {**row, "id": moment, "sequence": row["id"], "time_sec": round(shot.time_sec, 6)}
        tracked = self._faces(shot)
        if tracked is None:
            yield known
            return
        for track, box in tracked:
            sides = {name: round(value, 2) for name, value in zip(BOX, box, strict=True)}
            face = {"id": f"{moment}#t{track}", "track": f"{row['id']}#t{track}", "faces": len(tracked), **sides}
            yield {**known, **face}

    def _faces(self, shot: Shot) -> list[tuple[int, Box]] | None:
        """(track, box) of each face in a frame; None where none are looked for."""
        if self.detector is None or self.counts.with_face is None:
            return None
        if shot.place != self.place:
            self.tracks, self.place = Tracks(self.sampling.track_gap), shot.place
        row = self.manifest.rows.iloc[shot.place].to_dict()
        boxes = [face.box for face in self.detector.detect(shot.image, row)]
        before = self.tracks.count
        numbers = self.tracks.follow(shot.time_sec, boxes)
        self.counts.tracks += self.tracks.count - before
        self.counts.with_face += bool(boxes)
        return list(zip(numbers, boxes, strict=True))

    def _answers(self, rows: list[dict[str, Any]]) -> list[Predictions]:
        """What the model says of some rows; nothing where it skipped all of them."""
        import pandas as pd

        table = pd.DataFrame(rows)
        # Bare, so that an expert takes the boxes that the rows bring along, instead of searching once more.
        chunk = replace(self.manifest, path=FRAMES, rows=table, origin=[(FRAMES, 0)] * len(rows), bare=True)
        try:
            with _quietly():
                predictions = self.model.predict(chunk, replace(self.work, progress=unwatched))
        except AffectkitError as error:
            if self.work.on_error == "skip" and error.code == "input" and error.file == str(FRAMES):
                return []  # it has said of each row why
            raise _by_id(error, rows) from None
        if self.sampling.fps is None:
            return [predictions]
        # With what is known of their frames, which are seen as their video is.
        replaced = [name for name in COLUMNS if name in table and name in predictions.frame]
        joined = join_columns(replace(predictions, frame=predictions.frame.drop(columns=replaced)), table, COLUMNS)
        seen = dict(zip(self.manifest.rows["id"], self.seen, strict=True))
        return [replace(joined, frame=joined.frame.assign(seen=[seen[video] for video in joined.frame["sequence"]]))]

    def _log(self, table: pd.DataFrame, videos: int) -> None:
        frames, with_face = self.counts.frames, self.counts.with_face
        if with_face is None and "face" in table:  # a face expert, searching by itself
            with_face = self.counts.with_face = int((table["face"] == faces.FOUND).sum())
        if with_face is None:
            logger.info("videos: %d, frames: %d", videos, frames)
            return
        logger.info("a face was found in %d of %d frames (%.0f %%)", with_face, frames, 100 * with_face / frames)
        if self.counts.tracks:
            logger.info("faces: %d, tracks: %d", len(table), self.counts.tracks)


def _by_id(error: AffectkitError, rows: Sequence[dict[str, Any]]) -> AffectkitError:
    """An error of a frame, by its id: nobody knows the file in which it lay."""
    ids = {row["path"]: row["id"] for row in reversed(rows)}
    message = error.message
    for path, name in ids.items():
        message = message.replace(path, name)
    return AffectkitError(error.code, message, file=ids.get(error.file or "", error.file), remedy=error.remedy)


@contextmanager
def _quietly() -> Iterator[None]:
    """In how many of some frames a face was found is no news: the whole is summed up at the end."""
    level = faces.logger.level
    faces.logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        faces.logger.setLevel(level)
