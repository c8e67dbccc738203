"""Videos, frame by frame, in memory that does not grow with their length.

Frames are read one at a time. A few dozen of them at once lie as uncompressed files in a temporary folder, where any
model reads them as it reads images: what it says of a frame is what it says of the same frame in a file of its own.
Where faces are searched for, there is a row for each face, with its box, and faces of one video that go on from frame
to frame share a track.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions, join_columns
from affectkit.console import Progress
from affectkit.detectors._detector import Detector
from affectkit.detectors.columns import BOX, LANDMARKS
from affectkit.errors import AffectkitError
from affectkit.inference import _faces
from affectkit.inference._model import Model, Work, seen_rows
from affectkit.inference._sampling import Sampling, check_reads
from affectkit.inference._shots import Shot, Shots
from affectkit.inference._tracks import Box, Tracks
from affectkit.inference._windows import OF_A_CLIP

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

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


def predict_videos(
    model: Model,
    manifest: Manifest,
    sampling: Sampling,
    *,
    work: Work | None = None,
    progress: Progress | None = None,
) -> tuple[Predictions, Counts]:
    """A row for each frame of each of the manifest's videos, or for each face in it, with `COLUMNS`.

    `id` is <video>@<time>, `sequence` the video's own id; of faces `id` is <video>@<time>#<track>, `track`
    <video>#<track>, and frames without one have no row. Truths are the video's. A frame is in-sample where the model
    was fitted on its video. Without fps, rows are as they came.
    Raises "usage" for a model that does not read images, or that sees what frames do not show, "input" if nothing
    could be read or no face was found, else what `read_frames` and `Model.predict` raise.
    """
    work = work or Work()
    check_reads(model)
    detector = sampling.detector(model, work.device)
    with tempfile.TemporaryDirectory(prefix="affectkit-") as folder:
        return _Watching(model, manifest, sampling, detector, work, Path(folder)).predict(progress)


class _Watching:
    """One pass over the videos. detector: None for whole frames. folder: for the frames that are being predicted."""

    def __init__(
        self,
        model: Model,
        manifest: Manifest,
        sampling: Sampling,
        detector: Detector | None,
        work: Work,
        folder: Path,
    ) -> None:
        self.model, self.manifest, self.sampling, self.work, self.folder = model, manifest, sampling, work, folder
        self.detector = detector
        self.rows = _videos(manifest, sampling)
        self.seen = seen_rows(model, manifest.rows)
        self.counts = Counts(with_face=None if detector is None else 0)
        self.tracks, self.place = Tracks(sampling.track_gap), -1

    def predict(self, progress: Progress | None) -> tuple[Predictions, Counts]:
        parts: list[Predictions] = []
        shots = Shots(self.manifest, self.sampling.fps, self.work.on_error)
        for rows in self._chunks(shots):
            parts += self._answers(rows) if rows else []
            if progress:
                progress(shots.done, shots.total)
        if not self.counts.frames:
            raise AffectkitError("input", "no video could be read", file=self.manifest.path)
        if not parts:
            what = "no face was found in" if self.counts.with_face == 0 else "no answer was given to any of"
            raise AffectkitError("input", f"{what} {self.counts.frames} frames", file=self.manifest.path)
        joined = _joined(parts)
        self._say(joined, shots.opened)
        return joined, self.counts

    def _chunks(self, shots: Shots) -> Iterator[list[dict[str, Any]]]:
        """The rows of some frames at a time, which lie in files for as long as their rows are worked on."""
        rows: list[dict[str, Any]] = []
        read = pixels = 0
        for shot in shots:
            path = self.folder / f"{read:04}.bmp"
            found = [{**row, "path": str(path)} for row in self._rows(shot)]
            if found:
                _write(path, shot)
            rows += found
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
        moment = f"{row['id']}@{shot.time_sec:010.3f}"
        known = {**row, "id": moment, "sequence": row["id"], "time_sec": round(shot.time_sec, 6)}
        if self.detector is None:
            yield known
            return
        found = self._faces(shot)
        for track, box in found:
            sides = {name: round(value, 2) for name, value in zip(BOX, box, strict=True)}
            face = {"id": f"{moment}#t{track}", "track": f"{row['id']}#t{track}", "faces": len(found), **sides}
            yield {**known, **face}

    def _faces(self, shot: Shot) -> list[tuple[int, Box]]:
        """(track, box) of each face in a frame."""
        assert self.detector is not None and self.counts.with_face is not None
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
                said = self.model.predict(chunk, work=self.work)
        except AffectkitError as error:
            if self.work.on_error == "skip" and error.code == "input" and error.file == str(FRAMES):
                return []  # it has said of each row why
            raise _told(error, rows) from None
        return [said if self.sampling.fps is None else self._of_frames(said, table)]

    def _of_frames(self, said: Predictions, table: pd.DataFrame) -> Predictions:
        """Answers with what is known of their frames, which are seen as their video is."""
        own = said.frame.drop(columns=[name for name in COLUMNS if name in table and name in said.frame])
        joined = join_columns(replace(said, frame=own), table, COLUMNS)
        seen = dict(zip(self.manifest.rows["id"], self.seen, strict=True))
        return replace(joined, frame=joined.frame.assign(seen=[seen[video] for video in joined.frame["sequence"]]))

    def _say(self, said: Predictions, videos: int) -> None:
        frames, found = self.counts.frames, self.counts.with_face
        if found is None and "face" in said.frame:  # a face expert, searching by itself
            found = self.counts.with_face = int((said.frame["face"] == _faces.FOUND).sum())
        if found is None:
            logger.info("videos: %d, frames: %d", videos, frames)
            return
        logger.info("a face was found in %d of %d frames (%.0f %%)", found, frames, 100 * found / frames)
        if self.counts.tracks:
            logger.info("faces: %d, tracks: %d", len(said.frame), self.counts.tracks)


def _videos(manifest: Manifest, sampling: Sampling) -> list[dict[str, Any]]:
    """What rows of frames say of their video; of single frames all that their rows say."""
    rows = manifest.rows
    if sampling.fps is not None:
        rows = rows.drop(columns=[name for name in rows if name in OF_A_VIDEO or str(name).startswith("votes_")])
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _write(path: Path, shot: Shot) -> None:
    """Without compression: the very pixels, in some milliseconds."""
    from PIL import Image

    Image.fromarray(shot.image).save(path)


def _joined(parts: Sequence[Predictions]) -> Predictions:
    import pandas as pd

    return replace(parts[0], frame=pd.concat([part.frame for part in parts], ignore_index=True))


def _told(error: AffectkitError, rows: Sequence[dict[str, Any]]) -> AffectkitError:
    """An error of a frame, by its id: nobody knows the file in which it lay."""
    ids = {row["path"]: row["id"] for row in reversed(rows)}
    message = error.message
    for path, name in ids.items():
        message = message.replace(path, name)
    return AffectkitError(error.code, message, file=ids.get(error.file or "", error.file), remedy=error.remedy)


@contextmanager
def _quietly() -> Iterator[None]:
    """In how many of some frames a face was found is no news: the whole is summed up at the end."""
    level = _faces.logger.level
    _faces.logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        _faces.logger.setLevel(level)
