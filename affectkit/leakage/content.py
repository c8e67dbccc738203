"""Identical media: equal bytes, or equal samples or pixels under another name, container or bit depth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.leakage.sides import (
    Copies,
    FileSet,
    Leak,
    LeakedValue,
    MediaFile,
    apart,
    contested,
    in_order,
    read_each,
    sort_sides,
    unread,
)
from affectkit.media import Header, ImageHeader, check_file, read_image, recording
from affectkit.media.headers import BY_FFMPEG

_BLOCK = 1 << 18  # frames held at once
_EXAMPLES = 5


def identical(files: FileSet, workers: int, progress: Callable[[int, int], None] | None = None) -> Copies:
    """Sets of files with the same content, leaks where they are on different sides; reads only what may be a copy."""
    buckets: dict[object, list[MediaFile]] = {}
    for file in files.files:
        buckets.setdefault(_likeness(file), []).append(file)
    buckets.pop(None, None)
    suspects = [file for bucket in buckets.values() if len(bucket) > 1 and contested(bucket) for file in bucket]
    same: dict[str, list[MediaFile]] = {}
    problems: list[str] = []
    for file, digest in zip(suspects, read_each(_digest, suspects, workers, progress, problems), strict=True):
        if digest is not None:
            same.setdefault(digest, []).append(file)
    silent, notes = len(same.pop("", [])), unread(problems)
    if silent:
        notes.append(f"{silent} files hold one value throughout (silence, a plain colour) and were not compared")
    groups = [group for group in same.values() if len(group) > 1]
    leaks = media_leaks("identical media", [group for group in groups if apart(group)], len(files.files))
    return Copies(leaks, notes, groups)


def media_leaks(what: str, groups: Sequence[Sequence[MediaFile]], total: int) -> list[Leak]:
    """groups: files that hold the same. One leak tells of all of them."""
    if not groups:
        return []
    examples = []
    for group in groups[:_EXAMPLES]:
        places = {side: key for file in reversed(group) for side, key in file.places.items()}  # the first of each side
        names = [str(file.path) for file in group[:2]]
        examples.append(
            {"value": " = ".join(Path(name).name for name in names), "files": names, "ids": in_order(places)}
        )
    rows = len({key for group in groups for file in group for key, _ in file.rows})
    sides = sort_sides({side for group in groups for file in group for side in file.places})
    return [Leak("media", what, len(groups), total, rows, sides, tuple(examples), tuple(map(_leaked, groups)))]


def _leaked(group: Sequence[MediaFile]) -> LeakedValue:
    rows = [(key, side, str(file.path)) for file in group for key, side in file.rows]
    return LeakedValue(" = ".join(file.path.name for file in group), *zip(*rows, strict=True))


def _likeness(file: MediaFile) -> object:
    """Length, rate and channels, or width and height; bytes where there is no header; None where there is no file."""
    if isinstance(file.header, ImageHeader):
        return file.header.width, file.header.height
    if file.header:
        return file.header.frames, file.header.rate, file.header.channels
    try:
        return file.path.stat().st_size
    except OSError:
        return None


def _digest(file: MediaFile) -> str:
    """Of the samples as float32 (so that 16 and 24 bits of the same agree), of an image's pixels, else of the bytes;
    "" for silence and for a plain colour."""
    check_file(file.path)
    if isinstance(file.header, ImageHeader):
        image = read_image(file.path)
        return "" if (image == image[0, 0]).all() else hashlib.blake2b(image.data, digest_size=16).hexdigest()
    decodable = isinstance(file.header, Header) and file.header.format not in BY_FFMPEG
    return _of_samples(file.path) if decodable else _of_bytes(file.path)


def _of_samples(path: Path) -> str:
    digest, lowest, highest = hashlib.blake2b(digest_size=16), np.inf, -np.inf
    with recording(path) as sound:
        for block in sound.blocks(frames=_BLOCK):
            digest.update(np.ascontiguousarray(block + np.float32(0)).data)  # + 0: one zero, not two
            lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
    return digest.hexdigest() if lowest < highest else ""


def _of_bytes(path: Path) -> str:
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise AffectkitError("input", f"cannot be read: {error.strerror}", file=path) from None
