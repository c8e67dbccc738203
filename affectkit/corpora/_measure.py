"""Durations from the media's headers, and bad media out: sound, videos and images."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit import media
from affectkit.corpora._choose import Choices, drop
from affectkit.corpora._corpus import AUDIO, IMAGES, Dropped
from affectkit.corpora._gather import Gathered
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import pandas as pd

SOUNDING = AUDIO | {".mp4", ".mov", ".m4v"}


def media_paths(rows: pd.DataFrame, gathered: Gathered, media_root: Path | None) -> list[Path | None]:
    if "path" not in rows:
        return [None] * len(rows)
    roots = {name: media_root or Path(facts["root"]) for name, facts in gathered.corpora.items() if facts.get("root")}
    return [roots[corpus] / cell if cell else None for corpus, cell in zip(rows["corpus"], rows["path"], strict=True)]


def measure(
    rows: pd.DataFrame,
    paths: list[Path | None],
    choices: Choices,
    dropped: list[Dropped],
    progress: Callable[[str], Any],
) -> tuple[pd.DataFrame, list[Path | None], list[media.AnyHeader | None]]:
    """Bad files out (or an error), then the wanted durations. Images are looked at too, and have no duration."""
    known = list(dict.fromkeys(p for p in paths if p is not None and p.suffix.lower() in SOUNDING | IMAGES))
    sounding = any(p.suffix.lower() in SOUNDING for p in known)
    if not sounding and (choices.min_duration is not None or choices.max_duration is not None):
        raise AffectkitError("usage", "--min-duration, --max-duration: nothing here has a duration")
    if not known:
        return rows, paths, [None] * len(rows)
    with progress("headers") as update:
        read = media.read_headers(known, read=_read, num_workers=_workers(choices), progress=update)
    found = dict(zip(known, read, strict=True))
    headers = [found.get(p) if p else None for p in paths]
    _stop_at_bad(headers, choices)
    if sounding:
        whole = np.array([h.duration if isinstance(h, media.Header) else np.nan for h in headers])
        rows = rows.assign(duration_sec=np.round(_segment_durations(rows, whole), 6))
    durations = rows["duration_sec"] if sounding else [math.nan] * len(rows)
    reasons = [
        header.message if isinstance(header, AffectkitError) else _out_of_range(duration, choices)
        for header, duration in zip(headers, durations, strict=True)
    ]
    keep = np.array([reason == "" for reason in reasons])
    rows = drop(rows.assign(_reason=reasons), keep, lambda row: row["_reason"], dropped).drop(columns="_reason")
    kept = [(p, h) for p, h, k in zip(paths, headers, keep, strict=True) if k]
    return rows, [p for p, _ in kept], [h for _, h in kept]


def _read(path: str | Path) -> media.AnyHeader:
    """By the file's name, as the reader of the corpus took it for an image or not."""
    return media.read_image_header(path) if Path(path).suffix.lower() in IMAGES else media.read_header(path)


def _stop_at_bad(headers: list[Any], choices: Choices) -> None:
    broken = next((h for h in headers if isinstance(h, AffectkitError)), None)
    if broken and choices.on_error == "stop":
        remedy = broken.remedy or "or leave such files out with --on-error skip"
        raise AffectkitError(broken.code, broken.message, file=broken.file, remedy=remedy)


def _workers(choices: Choices) -> int:
    return choices.num_workers if choices.num_workers is not None else os.cpu_count() or 1


def _segment_durations(rows: pd.DataFrame, whole: Any) -> Any:
    start = rows["start_sec"].to_numpy(float) if "start_sec" in rows else np.zeros(len(rows))
    end = rows["end_sec"].to_numpy(float) if "end_sec" in rows else whole
    return np.where(np.isnan(end), whole, end) - np.where(np.isnan(start), 0.0, start)


def _out_of_range(duration: float, choices: Choices) -> str:
    if choices.min_duration is not None and duration < choices.min_duration:
        return f"shorter than --min-duration {choices.min_duration:g} s"
    if choices.max_duration is not None and duration > choices.max_duration:
        return f"longer than --max-duration {choices.max_duration:g} s"
    return ""
