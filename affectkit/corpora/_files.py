"""Finding a corpus's files, and checking that they are there."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.errors import AffectkitError
from affectkit.media.files import LFS_MARK

AUDIO = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff"})
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
VIDEO = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm"})
POINTER = "is a Git-LFS pointer, not the file itself"
LFS_SIZE = 400  # bytes; a pointer has some 130, the shortest WAV worth hearing more


def find_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """All files below `folder` with one of these endings in any case, sorted; hidden ones (`._*` too) are skipped."""
    wanted = tuple(suffix.lower() for suffix in suffixes)
    paths = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place, name) for name in files if name.lower().endswith(wanted) and not name.startswith(".")]
    return sorted(paths)


def child(folder: Path, name: str) -> Path | None:
    """`folder/name` (`name` may have several parts), each part in any case; None where there is none."""
    for part in name.split("/"):
        if not folder.is_dir():
            return None
        if (folder / part).exists():
            folder = folder / part
            continue
        same = sorted(item for item in folder.iterdir() if item.name.lower() == part.lower())
        if not same:
            return None
        folder = same[0]
    return folder


def require_child(folder: Path, *names: str, remedy: str = "") -> Path:
    """The first of `folder/name` that there is, as `child` finds them. Raises "missing" naming the first."""
    for name in names:
        path = child(folder, name)
        if path is not None:
            return path
    raise AffectkitError("missing", f"has no {names[0]}", file=folder, remedy=remedy)


def find_home(root: Path, corpus: Corpus, holds: Callable[[Path], Any]) -> Path:
    """The folder for which `holds` is true: the root, or one at most two levels below it (archives add a level).

    Raises "missing" naming what was expected.
    """
    require_folder(root, corpus)
    level = [root]
    for _ in range(3):
        for folder in level:
            if holds(folder):
                return folder
        inside = (item for folder in level for item in sorted(folder.iterdir()))
        level = [item for item in inside if item.is_dir() and not item.name.startswith(".")]
    raise not_here(root, corpus)


def require_folder(root: Path, corpus: Corpus) -> None:
    if not root.exists():
        raise AffectkitError("missing", f"no such folder; expected {corpus.title}, as {corpus.layout}", file=root)
    if not root.is_dir():
        raise AffectkitError("input", f"is a file; expected the folder of {corpus.title}", file=root)


def not_here(root: Path, corpus: Corpus) -> AffectkitError:
    return AffectkitError(
        "missing", f"is not {corpus.title}: expected {corpus.layout}", file=root, remedy="name the corpus's own folder"
    )


def relative(path: Path, root: Path) -> str:
    """`path` as a manifest writes it: below the root, with `/`."""
    return path.relative_to(root).as_posix()


def is_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS leaves in place of one that was not fetched. Only small files are opened."""
    if path.stat().st_size > LFS_SIZE:
        return False
    try:
        with open(path, "rb") as handle:
            return handle.read(len(LFS_MARK)) == LFS_MARK
    except OSError:  # unreadable: whoever needs what is in it says so
        return False


def checked(
    items: Iterable[Row | Dropped], root: Path, corpus: Corpus, *, listed: bool = False
) -> Iterator[Row | Dropped]:
    """Pass on rows whose media are there, drop the others and second copies with a reason.

    listed: the rows are a user's own list of files, so a file that is missing is a mistake, not a known gap.
    Raises "missing" where nothing of the corpus is found, "input" where all of it is dropped.
    """
    first: dict[str, str] = {}
    dropped: list[Dropped] = []
    for item in items:
        kept = item if isinstance(item, Dropped) else _problem(item, root, first, listed) or item
        if isinstance(kept, Dropped):
            dropped.append(kept)
        else:
            first[kept["id"]] = kept["path"]
        yield kept
    if first:
        return
    if not dropped:
        raise not_here(root, corpus)
    example, pointers = dropped[0], sum("Git-LFS" in item.reason for item in dropped)
    raise AffectkitError(
        "input",
        f"no usable sample of {corpus.title}: {len(dropped)} dropped, the first is {example.path}: {example.reason}",
        file=root,
        remedy="run git lfs pull in it" if pointers else f"expected {corpus.layout}",
    )


def _problem(row: Row, root: Path, first: Mapping[str, str], listed: bool) -> Dropped | None:
    """Why a row cannot be used; its media are looked at, not read."""
    if row["id"] in first:
        return Dropped(row["path"] or row["id"], f"a second copy of {row['id']} ({first[row['id']]})")
    if not row["path"]:
        return None
    path = root / row["path"]
    if not path.is_file():
        return Dropped(row["path"], "no such file", "correct the table" if listed else "")
    if is_pointer(path):
        return Dropped(row["path"], POINTER, "run git lfs pull in the corpus")
    return None
