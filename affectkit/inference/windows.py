"""Long recordings, cut into windows that are rows of their own.

Only the samples of a window are ever read: openSMILE on a minute and on an hour takes 232 MB in windows of 5 s, and on
an hour in one piece 2.8 GB. Windows begin at every stride. What is left at the end is a window of its own if at least
half a window is left; else the window before is longer by it: all is heard, by windows of half to one and a half the
length that was asked for. A recording shorter than a window is one window. Only a stride above the window leaves
something unheard, and that is said.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions, join_columns
from affectkit.encoders._loop import OnError
from affectkit.errors import AffectkitError
from affectkit.inference.model import Model, Work, needs, refuse_sequences, seen_rows
from affectkit.media import Header, read_headers, read_length, segment_error
from affectkit.media.cuts import EXACT, Bounds, Windows, id_at
from affectkit.media.headers import BY_FFMPEG

logger = logging.getLogger(__name__)

COLUMNS = ("clip", "start_sec", "end_sec", "time_sec", "duration_sec", "sequence")
OF_A_CLIP = ("text", "text_id")  # what is said in the whole of it, by no one window


def predict_windows(model: Model, manifest: Manifest, work: Work, windows: Windows) -> Predictions:
    """A row for each window of each of the manifest's recordings, or of their segments, with `COLUMNS`.

    Truths are the clip's. A window is seen as its clip is: in-sample where the model was fitted on the clip.
    Raises "usage" for a model that reads anything but audio, else as `windowed` and `Model.predict` do.
    """
    if needs(model).media != {"audio"}:
        message = f"--window cuts audio, and the model reads {needs(model).in_words}"
        raise AffectkitError("usage", message, file=model.folder, remedy="leave it out")
    refuse_sequences(model, "--window makes a row of each window")
    seen = dict(zip(manifest.rows["id"], seen_rows(model, manifest.rows), strict=True))
    rows = windowed(manifest, windows, on_error=work.on_error)
    predictions = join_columns(model.predict(rows, work), rows.rows, COLUMNS)
    return replace(predictions, frame=predictions.frame.assign(seen=[seen[clip] for clip in predictions.frame["clip"]]))


def windowed(manifest: Manifest, windows: Windows, *, on_error: OnError = "stop") -> Manifest:
    """The windows of a manifest's recordings as a manifest: `id` is <clip>@<start>, `clip` the row's own id.

    start_sec, end_sec and time_sec (the centre) count from the start of the file, also within a row's own segment.
    A clip is a sequence of its own, unless the manifest says which it is part of. Other columns are the clip's, without
    those of its text and its votes. Raises, unless `on_error` is "skip", what `read_header` raises for the first file
    that cannot be cut, with its row.
    """
    places, cuts = _cut_rows(manifest, windows, on_error)
    which = np.repeat(places, [len(cut) for cut in cuts])
    starts, ends = np.array([bounds for cut in cuts for bounds in cut], float).T
    rows = manifest.rows.iloc[which].reset_index(drop=True)
    rows = rows.drop(columns=[name for name in rows if name in OF_A_CLIP or name.startswith("votes_")])
    clips = rows["id"].astype(str)
    sequence = rows["sequence"].where(rows["sequence"] != "", clips) if "sequence" in rows else clips
    rows = rows.assign(
        id=list(map(id_at, clips, starts)),
        clip=clips,
        sequence=sequence,
        start_sec=starts,
        end_sec=ends,
        time_sec=(starts + ends) / 2,
        duration_sec=ends - starts,
    )
    logger.info("recordings: %d, windows: %d", len(places), len(rows))
    if "sequence" in manifest.rows and rows["sequence"].nunique() < len(places):
        logger.info("the manifest's sequences hold several clips: stabilize windows with --sequence clip")
    return replace(manifest, rows=rows, origin=[manifest.origin[place] for place in which])


def _cut_rows(manifest: Manifest, windows: Windows, on_error: OnError) -> tuple[list[int], list[list[Bounds]]]:
    """Which rows can be cut, and the windows of each."""
    places: list[int] = []
    cuts: list[list[Bounds]] = []
    total = unheard = 0.0
    for place, bounds in enumerate(_bounds(manifest)):
        if isinstance(bounds, AffectkitError):
            if on_error == "stop":
                raise bounds if manifest.bare else at_row(bounds, manifest, place)
            logger.warning("%s is skipped: %s", manifest.rows["id"].iloc[place], bounds)
            continue
        places.append(place)
        cuts.append(windows.cut(*bounds))
        total, unheard = total + bounds[1] - bounds[0], unheard + windows.unheard(*bounds)
    if not places:
        raise AffectkitError("input", "no row could be cut into windows", file=manifest.path)
    if unheard > EXACT:
        logger.warning("%.1f of %.1f s lie between windows: --stride is above --window", unheard, total)
    return places, cuts


def _bounds(manifest: Manifest) -> Iterator[Bounds | AffectkitError]:
    """(start, end) of each row in its file, in seconds, or why it has none."""
    rows, media = manifest.rows, manifest.media()
    files = list(dict.fromkeys(path for path in media if path is not None))
    headers = dict(zip(files, read_headers([str(file) for file in files], read=read_length), strict=True))
    # ffmpeg decodes the whole of a video, or of an .m4a, for every window
    slow = [path for path, header in headers.items() if isinstance(header, Header) and header.format in BY_FFMPEG]
    if slow:
        logger.warning("%s is decoded anew for every window, which is slow: convert it to WAV first", slow[0])
    nothing = np.full(len(rows), math.nan)
    starts, ends = (rows[name].to_numpy(float) if name in rows else nothing for name in ("start_sec", "end_sec"))
    for path, start, end in zip(media, starts, ends, strict=True):
        header = AffectkitError("input", "has no path") if path is None else headers[path]
        yield header if isinstance(header, AffectkitError) else _segment(path, header.duration, start, end)


def _segment(path: Path | None, duration: float, start: float, end: float) -> Bounds | AffectkitError:
    """The segment that a row names, the whole file where it names none (NaN)."""
    error = segment_error(path, start, end, duration)
    return error or (0.0 if math.isnan(start) else start, duration if math.isnan(end) else min(end, duration))


def at_row(error: AffectkitError, manifest: Manifest, place: int) -> AffectkitError:
    message = error.reason
    remedy = "; ".join(filter(None, [error.remedy, "or pass --on-error skip"]))
    return AffectkitError(error.code, message, **manifest.where(place), remedy=remedy)
