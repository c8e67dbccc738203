"""Identical media: equal bytes, or equal samples or pixels under another name, container or bit depth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.leakage.sides import Copies, FileSet, Leak, MediaFile, apart, in_order, sort_sides, unread
from affectkit.media import AnyHeader, Header, ImageHeader, check_file, mapped, read_image

_BLOCK = 1 << 18  # frames, and bytes, held at once
_EXAMPLES = 5


def identical(files: FileSet, workers: int, progress: Callable[[int, int], None] | None = None) -> Copies:
    """Sets of files on different sides with the same content; reads only files that may be a copy of another."""
    suspects = [file for bucket in _buckets(files.files) if apart(bucket) for file in bucket]
    same: dict[str, list[MediaFile]] = {}
    problems, silent = [], 0
    for done, (file, digest) in enumerate(zip(suspects, mapped(_digest, suspects, workers), strict=True), start=1):
        if isinstance(digest, AffectkitError):
            problems.append(str(digest))
        elif digest == "":
            silent += 1
        else:
            same.setdefault(digest, []).append(file)
        if progress:
            progress(done, len(suspects))
    notes = unread(problems, "compared")
    if silent:
        notes.append(f"{silent} files hold one value throughout (silence, a plain colour) and were not compared")
    shared = [group for group in same.values() if len(group) > 1 and apart(group)]
    redundant = [file.path for group in same.values() for file in group[1:]]
    leaks = [media_leak("identical media", shared, len(files.files))] if shared else []
    return Copies(leaks, notes, redundant)


def media_leak(what: str, groups: Sequence[Sequence[MediaFile]], total: int) -> Leak:
    """groups: files that hold the same."""
    examples = []
    for group in groups[:_EXAMPLES]:
        places: dict[str, str] = {}
        for file in group:
            for side, key in file.places.items():
                places.setdefault(side, key)
        names = [str(file.path) for file in group[:2]]
        examples.append(
            {"value": " = ".join(Path(name).name for name in names), "files": names, "ids": in_order(places)}
        )
    rows = sum(file.rows for file in {file.path: file for group in groups for file in group}.values())
    sides = sort_sides({side for group in groups for file in group for side in file.places})
    return Leak("media", what, len(groups), total, rows, sides, tuple(examples))


def _buckets(files: Sequence[MediaFile]) -> list[list[MediaFile]]:
    """Files that agree in length, rate and channels, or in width and height, or in bytes where there is no header."""
    buckets: dict[object, list[MediaFile]] = {}
    for file in files:
        key = _shape(file.header) if file.header else _size(file.path)
        if key is not None:
            buckets.setdefault(key, []).append(file)
    return [bucket for bucket in buckets.values() if len(bucket) > 1]


def _shape(header: AnyHeader) -> tuple[int, ...]:
    if isinstance(header, ImageHeader):
        return header.width, header.height
    return header.frames, header.rate, header.channels


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _digest(file: MediaFile) -> str | AffectkitError:
    """Of the samples as float32 (so that 16 and 24 bits of the same agree), of an image's pixels, else of the bytes;
    "" for silence and for a plain colour."""
    try:
        check_file(file.path)
        if isinstance(file.header, ImageHeader):
            return _of_pixels(file.path)
        decodable = isinstance(file.header, Header) and file.header.format != "MP4"
        return _of_samples(file.path) if decodable else _of_bytes(file.path)
    except AffectkitError as error:
        return error


def _of_pixels(path: Path) -> str:
    image = read_image(path)
    plain = bool((image == image[0, 0]).all())
    return "" if plain else hashlib.blake2b(image.data, digest_size=16).hexdigest()


def _of_samples(path: Path) -> str:
    import soundfile

    digest, lowest, highest = hashlib.blake2b(digest_size=16), np.inf, -np.inf
    try:
        for block in soundfile.blocks(path, _BLOCK, dtype="float32", always_2d=True):
            digest.update(np.ascontiguousarray(block + np.float32(0)).data)  # + 0: one zero, not two
            lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
    except soundfile.LibsndfileError as error:
        why = error.error_string.rstrip(".").lower()
        raise AffectkitError("input", f"cannot be decoded: {why}", file=path) from None
    return digest.hexdigest() if lowest < highest else ""


def _of_bytes(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise AffectkitError("input", f"cannot be read: {error.strerror}", file=path) from None
    return digest.hexdigest()
