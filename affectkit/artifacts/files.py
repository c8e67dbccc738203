"""Atomic files, JSON with a schema, digests."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from affectkit.errors import AffectkitError
from affectkit.plain import without_nan

SCHEMA = 1
TEMPORARY = ".*.tmp"  # what is not finished: a file of `atomic`, or a folder of such files


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block ends well; on any error `path` is left as it was.

    The bytes reach the disk before the name does (fsync of file, then of folder), so a file that can be seen is whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            mode = os.fstat(handle.fileno()).st_mode & 0o777
        yield temporary
        os.chmod(temporary, mode)  # safetensors makes files that only their owner may read
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:  # a write that fails names no file, and nobody knows the temporary one
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """What a killed process had not finished: files and folders, at any depth. For who alone writes there."""
    for leftover in sorted(folder.rglob(TEMPORARY), reverse=True):  # what is in a folder before it
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write `data` with its schema number; NaN becomes null, as JSON has none."""
    text = json.dumps(without_nan({"schema": SCHEMA, **data}), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path, *, what: str = "file") -> dict[str, Any]:
    """Read an object written by `write_json`. A newer schema is refused by name."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise AffectkitError("missing", f"no such {what}", file=path) from None
    except ValueError as error:
        raise AffectkitError("input", f"not a JSON {what}: {error}", file=path) from None
    if not isinstance(data, dict):
        raise AffectkitError("input", f"a {what} is a JSON object", file=path)
    schema = data.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        message = f"schema {schema} is newer than schema {SCHEMA}, which this affectkit reads"
        raise AffectkitError("input", message, file=path, remedy="upgrade affectkit")
    return data


def sha256(path: Path) -> str:
    import hashlib

    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
