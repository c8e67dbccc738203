"""The records of a run: what its command was given, and what it wrote; and whether that is still what lies there.

A folder has `started.json` (options, inputs) from its first moment and `run.json` (outputs, versions) from its last. A
file x that a command writes alone has `x.run.json` beside it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import inside_folder, read_json, sha256
from affectkit.errors import AffectkitError

STARTED, RECORD, LOCK = "started.json", "run.json", ".lock"
# Of a run in which networks train: what happens, how steps go, and, while it lasts, where it stands.
LOG, STEPS, PROGRESS = "log.jsonl", "steps.csv", "progress.json"
TIMES = frozenset({LOG, STEPS})  # they say when and how fast, which no rerun repeats: no input is told by them
VERSIONS = ("affectkit", "numpy", "scipy", "pandas", "scikit-learn", "torch", "transformers", "accelerate", "opensmile")

_FILE = {"path": inside_folder, "sha256": str, "size": int}
_INPUT = {"path": str, "sha256?": str, "size?": int, "files?": [_FILE]}
_STARTED = {"command": str, "options?": {str: object}, "inputs?": [_INPUT]}
_RECORD = {**_STARTED, "command?": str, "outputs?": [{**_FILE, "mtime_ns": int}], "parents?": [str]}
del _RECORD["command"]


def read_started(folder: Path) -> dict[str, Any]:
    return read_json(folder / STARTED, what="record of a run's start", shape=_STARTED)


def require_run(folder: Path, *, else_: str = "") -> None:
    """Raises "missing" or "input" for what is no folder that a command began. else_: what would do too, in words."""
    remedy = "name the folder that a command wrote" + f", {else_}" * bool(else_)
    if not folder.exists():
        raise AffectkitError("missing", "no such run folder", file=folder, remedy=remedy)
    if not folder.is_dir():
        raise AffectkitError("input", "is a file, not a run folder", file=folder, remedy=remedy)
    if not (folder / STARTED).exists():
        raise AffectkitError("input", f"is no run folder: it has no {STARTED}", file=folder, remedy=remedy)


def require_unchanged(started: Mapping[str, Any]) -> None:
    """Raises "input" for an input of a run that is not what its record says of it, "missing" for one that has gone."""
    for known in started.get("inputs", []):
        if {**digest(Path(known["path"])), "path": ""} != {**known, "path": ""}:
            remedy = "make what was made of it again"
            raise AffectkitError("input", "has changed since", file=known["path"], remedy=remedy)


def read_record(record: Path) -> dict[str, Any]:
    """What a `run.json`, or a file's `x.run.json`, says."""
    return read_json(record, what="record", shape=_RECORD)


def recorded(record: Path) -> dict[str, Mapping[str, Any]]:
    """The outputs that a record names, by path; none where there is no record."""
    return {item["path"]: item for item in read_record(record).get("outputs", [])} if record.exists() else {}


def file_record(path: Path) -> Path:
    """The record of a file that was written alone."""
    return path.with_name(path.name + ".run.json")


# --- Where a path becomes an artifact: what is read is what a finished run wrote, or was never a run's


READ = (".csv", ".json")  # tables and descriptions: always compared by contents
DRAWN = (".html", ".svg", ".png", ".pdf", ".md")  # made from the others, for people, who may annotate them


def trusted(path: Path, *, complete: bool = False) -> Path:
    """`path`, a file or a folder of a run, once its run has ended and nothing below it has changed since.

    What no run wrote is taken as it is. Large files are read only where their size or their time is another one.
    complete: no table or description may have gone either, as from a manifest, which would be another without it.
    Raises "unfinished", or "input" naming what changed.
    """
    require_finished(path)
    for folder, record, inside in runs_of(path):
        known = read_record(record)
        again = f"run affectkit {known.get('command', '')} again"
        for item in known.get("outputs", []):
            name = Path(item["path"])
            if inside in (Path(), name, *name.parents) and (change := _change(folder / name, item, complete)):
                elsewhere = "copy it out of the run's folder to use it as a table of your own"
                edited = name.suffix == ".csv" and len(name.parts) == 1 and (folder / name).is_file()
                remedy = f"{elsewhere if edited else 'copy it here again'}, or {again}"
                raise AffectkitError("input", change, file=folder / name, remedy=remedy)
        if inside == Path() and (folder / STARTED).exists():
            started = read_started(folder)
            if started != {key: known.get(key) for key in started}:
                raise AffectkitError("input", "was changed since its run finished", file=folder / STARTED, remedy=again)
    return path


def require_finished(path: Path) -> None:
    """Refuse a path in a folder that a command began and did not end."""
    for folder, record, _ in runs_of(path):
        if not record.exists():
            remedy = "run its command again with --resume"
            raise AffectkitError("unfinished", f"is unfinished: it has no {RECORD}", file=folder, remedy=remedy)


def runs_of(path: Path) -> Iterator[tuple[Path, Path, Path]]:
    """(folder, record, path inside it) of the run that wrote `path`, as it is named and where links lead; of a file
    that was written alone, else of the nearest folder, itself or above, that a command began or ended."""
    for place in dict.fromkeys((Path(os.path.abspath(path)), path.resolve())):
        alone = not place.is_dir() and file_record(place).exists()
        folders = (place.parent,) if alone else (place, *place.parents)
        for folder in folders:
            if alone or (folder / STARTED).exists() or (folder / RECORD).exists():
                shown = folder if path.is_absolute() else Path(os.path.relpath(folder))
                yield shown, file_record(shown / place.name) if alone else shown / RECORD, place.relative_to(folder)
                break


def _change(path: Path, known: Mapping[str, Any], complete: bool) -> str:
    """What became of a file since; "" for nothing that matters."""
    if path.suffix in DRAWN:
        return ""
    if not path.is_file():
        return "has gone since its run finished" if complete and path.suffix in READ else ""
    stat, changed = path.stat(), "was changed since its run finished"
    if stat.st_size != known["size"]:
        return f"{changed}: it had {known['size']} bytes and has {stat.st_size}"
    kept = stat.st_mtime_ns == known["mtime_ns"] and path.suffix not in READ
    return "" if kept or sha256(path) == known["sha256"] else changed


def digest(path: Path) -> dict[str, Any]:
    """What an input was: `{"path", "sha256", "size"}` of a file, or the outputs of a run folder.

    A digest is taken from the producer's record where size and time still match it, so nothing large is read twice.
    Raises "missing", and as `trusted` does.
    """
    trusted(path)  # first: what an unfinished run has not written yet is no misspelt name
    if not path.exists():
        raise AffectkitError("missing", "no such file or folder", file=path)
    if path.is_dir():
        known = recorded(path / RECORD) if (path / STARTED).exists() else {}
        names = sorted(known.keys() - TIMES) or _names(path)
        files = [file_digest(path / name, known.get(name)) for name in names if (path / name).is_file()]
        return {"path": str(path), "files": [{**f, "path": str(Path(f["path"]).relative_to(path))} for f in files]}
    beside = recorded(file_record(path))
    if not beside and (path.parent / STARTED).exists():
        beside = recorded(path.parent / RECORD)
    return file_digest(path, beside.get(path.name))


def _names(folder: Path) -> list[str]:
    """The files of a folder that no command wrote; not those of runs that were put into it."""
    inner = {started.parent for started in folder.rglob(STARTED)}
    files = [path for path in folder.rglob("*") if path.is_file() and not inner & set(path.parents)]
    return sorted(str(path.relative_to(folder)) for path in files)


def file_digest(path: Path, known: Mapping[str, Any] | None) -> dict[str, Any]:
    stat = path.stat()
    same = known is not None and known["size"] == stat.st_size and known["mtime_ns"] == stat.st_mtime_ns
    return {"path": str(path), "sha256": known["sha256"] if known and same else sha256(path), "size": stat.st_size}


# --- Writing a record


def plain_options(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [plain_options(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_options(item) for key, item in value.items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def record(path: Path, notes: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """What `run.json` says besides what `started.json` said: where and how long it ran, and what it wrote.

    path: the run's folder, or the file that the command wrote. notes: what the command noted; `device` among them.
    """
    base = path if path.is_dir() else path.parent
    skip = {STARTED, RECORD, LOCK}
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name not in skip) if path.is_dir() else [path]
    return {
        "argv": sys.argv[1:],
        "versions": _versions(),
        "git": _git_revision(),
        "device": notes.get("device", "cpu"),
        "threads": os.cpu_count(),
        "outputs": [
            {**file_digest(p, None), "path": str(p.relative_to(base)), "mtime_ns": p.stat().st_mtime_ns} for p in files
        ],
        "notes": {key: value for key, value in notes.items() if key != "device"},
        "seconds": seconds,
    }


@cache
def _versions() -> dict[str, str]:
    """Of Python and of what results depend on. Once for all commands of a process: each is looked for on the disk."""
    from importlib import metadata  # waits: it is a tenth of a subcommand's help

    versions = {}
    for name in VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions | {"python": platform.python_version()}


def _git_revision() -> str | None:
    """The revision of affectkit's own checkout, where it runs from one."""
    head = Path(__file__).parents[2] / ".git" / "HEAD"
    if not head.is_file():
        return None
    text = head.read_text().strip()
    reference = head.parent / text.removeprefix("ref: ")
    return (reference.read_text().strip() if reference.is_file() else None) if text.startswith("ref: ") else text
