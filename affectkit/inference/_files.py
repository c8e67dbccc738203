"""A manifest of files and folders that are named on the command line."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

from affectkit.artifacts.manifest import Manifest
from affectkit.corpora._corpus import AUDIO, IMAGES, VIDEO, find_files, relative
from affectkit.corpora._tables import decode, safe_id
from affectkit.encoders._loop import OnError
from affectkit.errors import AffectkitError
from affectkit.media import check_file

logger = logging.getLogger(__name__)

# What a folder is searched for, by what the model reads: the sound of a video is decoded by ffmpeg, and "video" stands
# for images that are its frames.
ENDINGS = {"audio": AUDIO | VIDEO, "images": IMAGES, "text": frozenset({".txt"}), "video": VIDEO}


def manifest_of_files(paths: Sequence[Path], needs: Set[str], *, on_error: OnError = "stop") -> Manifest:
    """Rows of `id` and `path`, and `text` for a model that reads nothing else, in the order of `paths`.

    A folder stands for all files below it with an ending that the model reads, sorted, hidden ones left out. Ids are
    safe as file names: the name, or the path below the folder, without its ending, as `prepare-manifest folder` makes
    them, so that rows that the model was fitted on are known again; equal ones are numbered.
    Raises "input" for a folder without such files, "usage" for one where the model reads what no folder has.
    """
    import pandas as pd

    ids: set[str] = set()
    rows: list[dict[str, Any]] = []
    for file, name in _found(paths, needs):
        try:
            text = {"text": _text(file)} if needs == {"text"} else {}
        except AffectkitError as error:
            if on_error == "stop":
                raise
            logger.warning("%s is skipped: %s", file, error.message)
            continue
        rows.append({"id": _unique(safe_id(name), ids), "path": str(file.absolute()), **text})
    if not rows:
        raise AffectkitError("input", "no file could be read", file=paths[0])
    table = pd.DataFrame(rows, dtype=object)
    return Manifest(Path("FILES"), table, [(Path(row["path"]), 0) for row in rows], {}, bare=True)


def _found(paths: Sequence[Path], needs: Set[str]) -> Iterator[tuple[Path, str]]:
    """Each file, and its name without the ending: below its folder, where it was found in one."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path, path.stem
            continue
        for file in _files_below(path, needs):
            yield file, relative(file, path).removesuffix(file.suffix)


def _files_below(folder: Path, needs: Set[str]) -> list[Path]:
    kind = next(iter(needs), "") if len(needs) == 1 else ""
    if kind not in ENDINGS:
        reads = " and ".join(sorted(needs)) or "no media"
        raise AffectkitError(
            "usage", f"a folder of files is not enough for a model that reads {reads}", file=folder,
            remedy="pass --manifest",
        )  # fmt: skip
    found = find_files(folder, ENDINGS[kind])
    if not found:
        looked = ", ".join(sorted(ENDINGS[kind]))
        remedy = "pass --fps to read the videos in it" if kind == "images" and find_files(folder, VIDEO) else None
        raise AffectkitError("input", f"holds no {kind}: no file ends in {looked}", file=folder, remedy=remedy)
    return found


def _text(file: Path) -> str:
    check_file(file)
    if file.suffix.lower() not in ENDINGS["text"]:  # a recording would be read as gibberish, and answered
        raise AffectkitError("input", "is no .txt, and the model reads text", file=file)
    return decode(file, "cp1252", "latin-1").strip()


def _unique(name: str, taken: set[str]) -> str:
    """`name`, numbered from 2 on where it is taken; it is taken from now on."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    taken.add(found)
    return found
