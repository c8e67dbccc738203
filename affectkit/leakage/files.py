"""The media files of a manifest, each once, with the sides that its rows are on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from affectkit.leakage.report import Leak
from affectkit.media import AnyHeader


@dataclass
class MediaFile:
    """path, its header (None: neither sound nor image), and for each side the id of the first row that it has there."""

    path: Path
    header: AnyHeader | None
    places: dict[str, str] = field(default_factory=dict)
    rows: int = 0


@dataclass(frozen=True)
class FileSet:
    files: list[MediaFile]

    @classmethod
    def of(
        cls, paths: Sequence[Path | None], headers: Sequence[AnyHeader | None], sides: Sequence[str], ids: Sequence[str]
    ) -> FileSet:
        found: dict[Path, MediaFile] = {}
        for path, header, side, key in zip(paths, headers, sides, ids, strict=True):
            if path is None or not side:
                continue
            file = found.setdefault(path, MediaFile(path, header))
            file.places.setdefault(side, key)
            file.rows += 1
        return cls(list(found.values()))

    def without(self, paths: Iterable[Path]) -> FileSet:
        unwanted = set(paths)
        return FileSet([file for file in self.files if file.path not in unwanted])


@dataclass(frozen=True)
class Copies:
    """What a comparison of media found. redundant: files that are equal to another one, which stands for them."""

    leaks: list[Leak]
    notes: list[str]
    redundant: list[Path] = field(default_factory=list)


def apart(files: Sequence[MediaFile]) -> bool:
    """Whether the files are on more than one side."""
    return len({side for file in files for side in file.places}) > 1


def sides_as_numbers(files: Sequence[MediaFile]) -> np.ndarray:
    """[N] a number for each set of sides; files on several sides get one of their own, as they differ from any."""
    numbers: dict[object, int] = {}
    keys = [next(iter(f.places)) if len(f.places) == 1 else f.path for f in files]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int32)


def unread(problems: Sequence[str], what: str) -> list[str]:
    """A note about files that could not be compared; the first problem stands for all."""
    return [f"{len(problems)} files were not {what}, the first: {problems[0]}"] if problems else []
