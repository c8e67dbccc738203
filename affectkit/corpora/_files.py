"""Finding a corpus's files, and checking that they are there."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

from affectkit.artifacts.files import write_bytes
from affectkit.corpora._corpus import Corpus, Dropped, Note, Row
from affectkit.errors import AffectkitError
from affectkit.media import files as media_files
from affectkit.media import video
from affectkit.media.files import LFS_MARK, Listings, spelled
from affectkit.plain import RENAME, readable
from affectkit.registry import Option

AUDIO, IMAGES, VIDEO = media_files.AUDIO, media_files.IMAGES, video.VIDEO
LFS_SIZE = 400  # bytes; a pointer has some 130, the shortest WAV worth hearing more

Held = TypeVar("Held")
Item = TypeVar("Item", Row | Dropped, Row | Dropped | Note)
MediaDir = Annotated[
    str,
    Option(
        "Folder to write recordings and images to that are stored inside a dataset or table; ROOT/media by default."
    ),
]


def find_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """All files below `folder` with one of these endings in any case, sorted; those that are `hidden` are skipped."""
    wanted = tuple(suffix.lower() for suffix in suffixes)
    paths = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not hidden(name)]
        paths += [Path(place, name) for name in files if name.lower().endswith(wanted) and not hidden(name)]
    return sorted(paths)


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is a system's own: `._x.wav`, `.DS_Store`, `__MACOSX`, `Thumbs.db`."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def folders_in(folder: Path) -> list[Path]:
    """The folders that lie in `folder` itself, sorted, but for those that are `hidden`."""
    return sorted(item for item in folder.iterdir() if item.is_dir() and not hidden(item.name))


def child(folder: Path, *names: str) -> Path | None:
    """The first of `folder/name` that there is, each part of the name in any case; None where there is none."""
    for name in names:
        path: Path | None = folder
        for part in name.split("/"):
            path = path and _entry(path, part)
        if path:
            return path
    return None


def _entry(folder: Path, name: str) -> Path | None:
    if (folder / name).exists():
        return folder / name
    entries = folder.iterdir() if folder.is_dir() else ()
    return min((entry for entry in entries if entry.name.lower() == name.lower()), default=None)


def require_child(folder: Path, *names: str, remedy: str = "") -> Path:
    """As `child`. Raises "missing" naming the first."""
    path = child(folder, *names)
    if path is None:
        raise AffectkitError("missing", f"has no {names[0]}", file=folder, remedy=remedy)
    return path


def find_home(root: Path, corpus: Corpus, held: Callable[[Path], Held | None]) -> tuple[Path, Held]:
    """The folder that holds what `held` returns: the root, or one at most two levels below it (archives add a level).

    Raises "missing" naming what was expected.
    """
    require_folder(root, corpus)
    level = [root]
    for _ in range(3):
        for folder in level:
            contents = held(folder)
            if contents:
                return folder, contents
        level = [inside for folder in level for inside in folders_in(folder)]
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


def write_once(data: bytes, file: Path, root: Path) -> str:
    """Write a medium that is stored inside the corpus, unless it is there already; its path as a manifest has it.

    file: its name says what is in it, so that one of as many bytes is the same.
    """
    if not file.exists() or file.stat().st_size != len(data):
        try:
            write_bytes(file, data)
        except OSError as error:
            remedy = "name a folder to write to with --media-dir"
            raise AffectkitError("input", f"cannot be written: {error.strerror}", file=file, remedy=remedy) from None
    place, home = file.resolve(), root.resolve()
    return relative(place, home) if home.is_dir() and place.is_relative_to(home) else str(place)


def is_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS leaves in place of one that was not fetched. Only small files are opened."""
    if path.stat().st_size > LFS_SIZE:
        return False
    try:
        with open(path, "rb") as handle:
            return handle.read(len(LFS_MARK)) == LFS_MARK
    except OSError:  # unreadable: whoever needs what is in it says so
        return False


def pointer(what: str = "file") -> str:
    return f"is a Git-LFS pointer, not the {what} itself"


def refuse_pointer(path: Path, what: str = "file") -> None:
    """Raises "input" for what Git LFS did not fetch, "missing" for what is no file; `what` it should be."""
    if not path.is_file():  # a pipe would be waited for
        raise AffectkitError("missing", f"is no {what}, or a link to one that is not there", file=path)
    if is_pointer(path):
        raise AffectkitError("input", pointer(what), file=path, remedy="run git lfs pull")


def checked(items: Iterable[Item], root: Path, corpus: Corpus, *, listed: bool = False) -> Iterator[Item]:
    """Pass on notes, and rows whose media are there; drop the others and second copies with a reason.

    listed: the rows are a user's own list of files, so a file that is missing is a mistake, not a known gap.
    Raises "missing" where nothing of the corpus is found, "input" where all of it is dropped.
    """
    first: dict[str, str] = {}
    dropped: list[Dropped] = []
    names: Listings = {}
    for item in items:
        if isinstance(item, Note):
            yield item
            continue
        if not isinstance(item, Dropped) and item["path"]:
            item["path"] = spelled(root, item["path"], names)
        kept = item if isinstance(item, Dropped) else _problem(item, root, first, listed) or item
        if isinstance(kept, Dropped):
            kept = replace(kept, path=readable(kept.path))
            dropped.append(kept)
        else:
            first[kept["id"]] = kept["path"]
        yield kept
    if first:
        return
    if not dropped:
        raise not_here(root, corpus)
    telling = next((item for item in dropped if item.remedy), dropped[0])
    example = f"{len(dropped)} dropped, such as {telling.path}: {telling.sentence}"
    pointers = any("Git-LFS" in item.reason for item in dropped)
    remedy = "run git lfs pull in it" if pointers else telling.remedy or f"expected {corpus.layout}"
    raise AffectkitError("input", f"no usable sample of {corpus.title}: {example}", file=root, remedy=remedy)


def _problem(row: Row, root: Path, first: Mapping[str, str], listed: bool) -> Dropped | None:
    """Why a row cannot be used; its media are looked at, not read."""
    if row["id"] in first:
        detail = f"{row['id']} ({first[row['id']]})"
        return Dropped(row["path"] or row["id"], "a second copy of a sample of the same name", detail=detail)
    if not row["path"]:
        return None
    if readable(row["path"]) != row["path"]:
        return Dropped(row["path"], "its name is not UTF-8", RENAME)
    path = root / row["path"]
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "no such file"
        return Dropped(row["path"], reason, "correct the table" if listed else "")
    if is_pointer(path):
        return Dropped(row["path"], pointer(), "run git lfs pull in the corpus")
    return None
