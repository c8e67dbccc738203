"""Atomic files, JSON with a schema, digests."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from affectkit.errors import AffectkitError
from affectkit.plain import is_file_name, parse_json, without_nan

SCHEMA = 1
TEMPORARY = ".*.tmp"  # what is not finished: a file of `atomic`, or a folder of such files


@contextmanager
def atomic(path: Path, *, passing: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block ends well; on any error `path` is left as it was.

    The bytes reach the disk before the name does (fsync of file, then of folder), so a file that can be seen is whole.
    passing: what is written is soon written again, and need not outlive the machine's power: 20 us in place of 5 ms.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            mode = os.fstat(handle.fileno()).st_mode & 0o777
        yield temporary
        os.chmod(temporary, mode)  # safetensors makes files that only their owner may read
        if not passing:
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
        if not passing:
            sync_folder(path.parent)
    except OSError as error:  # a write that fails names no file, and nobody knows the temporary one
        if error.filename in (None, str(temporary)) or error.filename2 == str(temporary):
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


def sync_folder(folder: Path) -> None:
    """So that a name in it outlives the machine's power."""
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


def read_json(path: Path, *, what: str = "file", shape: Any = dict) -> dict[str, Any]:
    """Read an object written by `write_json`. shape: what `misfit` compares it with.

    Raises "missing", or "input" for what is no JSON, has another shape, or a newer schema, which is named.
    """
    remedy = "copy it again, or run the command that wrote it again"
    try:
        if path.exists() and not path.is_file():  # a pipe, which would never end
            raise ValueError("it is not a file")
        data = parse_json(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise AffectkitError("missing", f"no such {what}", file=path) from None
    except ValueError as error:
        raise AffectkitError("input", f"not a JSON {what}: {error}", file=path, remedy=remedy) from None
    if not isinstance(data, dict):
        raise AffectkitError("input", f"a {what} is a JSON object", file=path, remedy=remedy)
    schema = data.get("schema", SCHEMA)
    numbered = type(schema) is int and schema > 0
    if numbered and schema > SCHEMA:
        message = f"schema {schema} is newer than schema {SCHEMA}, which this affectkit reads"
        raise AffectkitError("input", message, file=path, remedy="upgrade affectkit")
    if problem := misfit(data, shape) if numbered else "'schema' is not a whole number above 0":
        raise AffectkitError("input", f"is no {what}: {problem}", file=path, remedy=remedy)
    return data


# --- The shape of a JSON artifact, a constant beside its reader: what is read has the types that are relied on


WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    None: "null",
}


def misfit(value: Any, shape: Any, place: str = "it") -> str:
    """Where `value` has not the shape that is meant, in words; "" where it has.

    shape: a type, where `float` takes whole numbers too, `object` anything, and neither takes true for 1; None; a tuple
    of alternatives; `[shape]`, a list of such; a predicate, whose docstring says what it takes; an object, by its keys,
    `"key?"` for one that may lack, and `str` for all others.
    """
    if isinstance(shape, tuple):
        if type(value) in shape:
            return ""
        problems = [misfit(value, alternative, place) for alternative in shape]
        return "" if "" in problems else problems[-1]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{place} is not a list"
        problems = [misfit(item, shape[0], f"{place}[{number}]") for number, item in enumerate(value)]
        return next(filter(None, problems), "")
    if isinstance(shape, dict):
        return _misfit_of_object(value, shape, place)
    if isinstance(shape, type) or shape is None:
        types = (int, float) if shape is float else object if shape is object else shape or type(None)
        fits = isinstance(value, types) and (shape in (bool, object) or not isinstance(value, bool))
        return "" if fits else f"{place} is not {WORDS[shape]}"
    return "" if shape(value) else f"{place} is not {(shape.__doc__ or '').splitlines()[0]}"


def _misfit_of_object(value: Any, shape: dict[Any, Any], place: str) -> str:
    if not isinstance(value, dict):
        return f"{place} is not an object"
    problem, known = "", 0
    for key, wanted in shape.items():
        if key is str:
            continue
        name = key.removesuffix("?")
        if name in value:
            known += 1
            if type(value[name]) is not wanted and not problem:
                problem = misfit(value[name], wanted, f"'{name}'")
        elif name == key:
            return f"{place} has no '{key}'"
    if problem or known == len(value) or str not in shape:
        return problem
    others = (key for key in value if key not in shape and f"{key}?" not in shape)
    return next(filter(None, (misfit(value[key], shape[str], f"'{key}'") for key in others)), "")


def inside_folder(name: Any) -> bool:
    """the path of a file in the same folder"""
    return isinstance(name, str) and bool(name) and all(map(is_file_name, name.split("/")))


def sha256(path: Path) -> str:
    """Of a file's contents, which are read once while they stay the same."""
    stat = os.stat(path)
    return _sha256(os.path.abspath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(4096)
def _sha256(path: str, *_: int) -> str:
    import hashlib

    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
