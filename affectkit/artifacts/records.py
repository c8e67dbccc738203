"""What made a file: digests of inputs and outputs, versions, revisions.

A folder that a command writes has `started.json` (options, inputs) from the first moment and `run.json` (outputs) from
the last one on; a file x that a command writes alone is recorded in `x.run.json`.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json, sha256
from affectkit.errors import AffectkitError

STARTED, RECORD, LOCK = "started.json", "run.json", ".lock"
VERSIONS = ("affectkit", "numpy", "scipy", "pandas", "scikit-learn", "torch", "transformers", "accelerate", "opensmile")


def require_finished(folder: Path) -> None:
    """Refuse a folder that a command began and did not end."""
    if (folder / STARTED).exists() and not (folder / RECORD).exists():
        raise AffectkitError(
            "unfinished", "is unfinished: it has no run.json", file=folder, remedy="run its command again with --resume"
        )


def digest(path: Path) -> dict[str, Any]:
    """What an input was: `{"path", "sha256", "size"}` of a file, or the outputs of a run folder.

    A digest is taken from the producer's record where size and time still match it, so nothing large is read twice.
    """
    if path.is_dir():
        require_finished(path)
        known = recorded(path / RECORD)
        names = sorted(known) or sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
        files = [file_digest(path / name, known.get(name)) for name in names if (path / name).is_file()]
        return {"path": str(path), "files": [{**f, "path": str(Path(f["path"]).relative_to(path))} for f in files]}
    if not path.exists():
        raise AffectkitError("missing", "no such file or folder", file=path)
    beside = recorded(path.with_name(path.name + ".run.json"))
    return file_digest(path, (beside or recorded(path.parent / RECORD)).get(path.name))


def file_digest(path: Path, known: Mapping[str, Any] | None) -> dict[str, Any]:
    stat = path.stat()
    same = known is not None and known["size"] == stat.st_size and known["mtime_ns"] == stat.st_mtime_ns
    return {"path": str(path), "sha256": known["sha256"] if known and same else sha256(path), "size": stat.st_size}


def recorded(record: Path) -> dict[str, Mapping[str, Any]]:
    if not record.exists():
        return {}
    return {item["path"]: item for item in read_json(record, what="record").get("outputs", [])}


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
    versions = {name: version for name in VERSIONS if (version := _version(name))}
    return {
        "argv": sys.argv[1:],
        "versions": versions | {"python": platform.python_version()},
        "git": _git_revision(),
        "device": notes.get("device", "cpu"),
        "threads": os.cpu_count(),
        "outputs": [
            {**file_digest(p, None), "path": str(p.relative_to(base)), "mtime_ns": p.stat().st_mtime_ns} for p in files
        ],
        "notes": {key: value for key, value in notes.items() if key != "device"},
        "seconds": seconds,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """The revision of affectkit's own checkout, where it runs from one."""
    head = Path(__file__).parents[2] / ".git" / "HEAD"
    if not head.is_file():
        return None
    text = head.read_text().strip()
    reference = head.parent / text.removeprefix("ref: ")
    return (reference.read_text().strip() if reference.is_file() else None) if text.startswith("ref: ") else text
