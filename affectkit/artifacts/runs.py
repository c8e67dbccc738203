"""A run: opened before any work, refused or gone on with where its folder is there, closed with its record."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

from affectkit import __version__
from affectkit.artifacts.files import TEMPORARY, remove_temporaries, write_json
from affectkit.artifacts.locks import ELSEWHERE, locked
from affectkit.artifacts.records import (
    LOCK,
    RECORD,
    STARTED,
    digest,
    file_record,
    plain_options,
    read_record,
    read_started,
    record,
    recorded,
    require_finished,
    runs_of,
    trusted,
)
from affectkit.errors import AffectkitError
from affectkit.plain import parse_json

REFUSAL = "leaks.csv"  # what a command that refuses to go on may leave; the next run into the folder replaces it
_LISTING = b"kind,value,ids,sides,files\n"  # how such a one begins
# Options that cannot change a result beyond 1e-5: a resumed run may differ in them.
NEUTRAL = frozenset(
    {"output", "output_dir", "num_workers", "quiet", "json_output", "resume", "overwrite", "device", "track",
     "checkpoint_steps", "replace_stable"}
)  # fmt: skip
EMPTYING = "emptying"  # in `started.json` while `--overwrite` deletes


@dataclass
class Run:
    """An open run. `path` is its folder, or the file that the command writes."""

    path: Path
    finished: bool = False
    resumed: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    def note(self, **facts: Any) -> None:
        """Facts for the record: device, seconds of the parts, what was selected."""
        self.notes.update(facts)


@contextmanager
def open_run(
    command: str,
    options: Mapping[str, Any],
    *,
    inputs: Iterable[Path | None] = (),
    reads: Iterable[Path] = (),
    is_main: bool = True,
    barrier: Any = None,
) -> Iterator[Run]:
    """Open the folder `options["output_dir"]`, or the file `options["output"]`, and close it with the record.

    options: the command's own `locals()`, all of them, as resolved. inputs: None stands for one that was not named.
    reads: further inputs that need only be finished, such as a corpus.
    A finished run with `--resume` yields `run.finished`: the command returns at once. `--overwrite` empties a folder
    that the same command wrote, unless an input lies in it. A folder that is neither empty, resumed nor overwritten is
    refused before any work.
    is_main, barrier: under `accelerate launch` only rank 0 refuses, locks and records; the others wait for it at
    `barrier()` before the work and after.
    Raises "exists", "busy", "unfinished" (an input) or "usage" (an option that differs from the started run).
    """
    folder = options.get("output_dir") is not None
    path = Path(options["output_dir"] if folder else options["output"])
    wait = barrier or (lambda: None)
    if not is_main:
        wait()
        yield Run(path, finished=folder and (path / RECORD).exists())
        wait()
        return
    run = Run(path)
    named, further = [Path(item) for item in inputs if item is not None], list(map(Path, reads))
    if options.get("overwrite"):
        _spare_inputs(path, [*named, *further])
    for item in further:
        require_finished(item)
    started = {
        "command": command,
        "affectkit": __version__,
        "options": _result_options(options),
        "inputs": (digests := [digest(item) for item in named]),
    }
    with locked(path if folder else path.parent, path / LOCK if folder else path.with_name(f".{path.name}{LOCK}")):
        made = folder and _prepare_folder(run, started, options)
        if not folder:
            _prepare_file(path, [*named, *further], overwrite=options.get("overwrite"))
        wait()
        if run.finished:
            yield run
            wait()
            return
        begin = time.monotonic()
        try:
            yield run
        except BaseException:
            # after a failure that left nothing but `started.json`, the folder is as if nothing had been tried
            if made and {item.name for item in path.iterdir()} <= {STARTED, LOCK, REFUSAL}:
                (path / STARTED).unlink(missing_ok=True)
            raise
        wait()
        facts = {"seed": options.get("seed"), "parents": [item["path"] for item in digests]}
        ended = record(path, run.notes, round(time.monotonic() - begin, 3))
        write_json(path / RECORD if folder else file_record(path), {**started, **facts, **ended})


def _result_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that can change a result, as JSON has them."""
    return {key: plain_options(value) for key, value in options.items() if key not in NEUTRAL}


def _spare_inputs(path: Path, inputs: Iterable[Path]) -> None:
    target = path.resolve()
    for item in inputs:
        if target in (item.resolve(), *item.resolve().parents):
            raise AffectkitError("exists", f"--overwrite would delete the input {item}", file=path, remedy=ELSEWHERE)


def _prepare_file(path: Path, inputs: Iterable[Path], *, overwrite: Any) -> None:
    """Refuse a file that is there, unless it may be replaced; then its record goes."""
    if path.is_dir():
        raise AffectkitError("exists", "is a folder", file=path, remedy="name a file")
    if path.exists() and not overwrite:
        raise AffectkitError("exists", "exists already", file=path, remedy="pass --overwrite or name another file")
    if path.exists() and not file_record(path).exists():
        for place in inputs:
            if place.resolve() in path.resolve().parents:
                what = f"--overwrite would change the input {place}"
                raise AffectkitError("exists", what, file=path, remedy="name another file")
        for _, made_by, inside in runs_of(path):
            if str(inside) in recorded(made_by):
                what = f"--overwrite: affectkit {read_record(made_by).get('command', '')} wrote it, as a part of a run"
                raise AffectkitError("exists", what, file=path, remedy="name another file")
    file_record(path).unlink(missing_ok=True)
    for leftover in path.parent.glob(f".{escape(path.name)}.*.tmp"):  # of a killed process: ours is the lock
        leftover.unlink()


def _prepare_folder(run: Run, started: dict[str, Any], options: Mapping[str, Any]) -> bool:
    folder = run.path
    for leftover in folder.glob(f".{STARTED}.*.tmp"):  # of a process killed before it had begun: nothing to go on with
        leftover.unlink()
    contents = [item for item in folder.iterdir() if item.name != LOCK or item.stat().st_size]
    if [item.name for item in contents] == [REFUSAL] and contents[0].read_bytes().startswith(_LISTING):
        contents.pop().unlink()
    ours, finished = (folder / STARTED).exists(), (folder / RECORD).exists()
    if contents and options.get("overwrite"):
        require_own(folder, started["command"])
        _empty(folder, started)
    elif contents and options.get("resume") and ours:
        before = _begun(folder)
        _refuse_difference(folder, before, started)
        if before.get(EMPTYING):  # --overwrite was killed: what is left is of the run before
            _empty(folder, started)
            write_json(folder / STARTED, started)
            return True
        remove_temporaries(folder)  # of a killed process: the lock says that nobody writes one now
        run.resumed, run.finished = True, finished
        if finished:
            trusted(folder)
        return False
    elif contents:
        state = "finished" if finished else "unfinished" if ours else "not empty"
        remedy = "pass --resume or --overwrite" if ours else ELSEWHERE
        raise AffectkitError("exists", f"is {state}", file=folder, remedy=remedy)
    write_json(folder / STARTED, started)
    return True


def require_own(folder: Path, command: str, flag: str = "--overwrite", *, deleted: bool = True) -> None:
    """Refuse to replace a folder that another command began, or nobody's; or, where it is deleted, that holds
    somebody's files besides."""
    author = _author(folder) if (folder / STARTED).exists() else None
    if author != command and author != "":
        what = f"affectkit {author} wrote it" if author else "not a folder that affectkit wrote"
        raise AffectkitError("exists", f"{flag}: {what}", file=folder, remedy=ELSEWHERE)
    if deleted and (strays := _strays(folder)):
        more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
        what = f"{flag} would delete {strays[0]}{more}, which the run did not write"
        raise AffectkitError("exists", what, file=folder, remedy="move it out of the folder, or name another folder")


def _author(folder: Path) -> str | None:
    """The command that began a folder; "" where damage left nothing of its name, None where it was none of ours."""
    for read, place in ((read_started, folder), (read_record, folder / RECORD)):
        with contextlib.suppress(AffectkitError):
            if command := read(place).get("command"):
                return str(command)
    text = (folder / STARTED).read_bytes()
    name = re.match(rb'\{\s*"schema": \d+,\s*"command": "([a-z-]+)"', text)
    try:
        ours = "schema" in parse_json(text.decode())
    except (ValueError, TypeError):
        ours = True  # no JSON any more: another program's would be
    return name[1].decode() if name else "" if ours else None


def _strays(folder: Path) -> list[str]:
    """The files in a finished run's folder that neither it wrote nor a command that was told to write there."""
    try:
        known = {folder / name for name in recorded(folder / RECORD)}
    except AffectkitError:
        return []
    runs = {path.parent for path in folder.rglob(STARTED)} - {folder}
    names = {STARTED, RECORD, LOCK, ".DS_Store"}
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*") if (folder / RECORD).exists() else ())
        if (path.is_symlink() or not path.is_dir())
        and not (path in known or path.name in names or path.match("*.run.json") or file_record(path).exists())
        and not (runs & set(path.parents) or any(place.match(TEMPORARY) for place in (path, *path.parents)))
    ]


def _empty(folder: Path, started: Mapping[str, Any]) -> None:
    """Delete all but the mark that the run has started, and the lock: the records first, so that whenever this is
    killed nothing that is left is taken for whole, and `--overwrite` or `--resume` goes on."""
    (folder / RECORD).unlink(missing_ok=True)
    write_json(folder / STARTED, {**started, EMPTYING: True})
    for inner in [*folder.rglob(RECORD), *folder.rglob("*.run.json")]:  # of runs that were put into the folder
        inner.unlink(missing_ok=True)
    for item in sorted(folder.iterdir()):
        if item.name not in (STARTED, LOCK):
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()


def _begun(folder: Path) -> dict[str, Any]:
    try:
        return read_started(folder)
    except AffectkitError as error:
        raise AffectkitError("input", f"--resume: {error.message}", file=error.file, remedy="use --overwrite") from None


def _refuse_difference(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if before.get("command") != now["command"]:
        raise AffectkitError("usage", f"--resume: was begun by affectkit {before.get('command')}", file=folder)
    old, new = _by_flag(before.get("options", {})), _by_flag(now["options"])
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            message = f"--resume: --{key.replace('_', '-')} was {old.get(key)!r} and is now {new.get(key)!r}"
            raise AffectkitError("usage", message, file=folder, remedy="use the old value, or --overwrite")
    for old_input, new_input in zip(before.get("inputs", []), now["inputs"], strict=False):
        if {**old_input, "path": ""} != {**new_input, "path": ""}:
            message = f"--resume: {new_input['path']} has changed since"
            raise AffectkitError("usage", message, file=folder, remedy="use --overwrite")


def _by_flag(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they are typed: those of a plug-in stand in one record, under the name of its kind."""
    typed: dict[str, Any] = {}
    for name, value in options.items():
        typed |= value if isinstance(value, dict) else {name: value}
    return typed


# --- Files that a command writes besides its folder, or instead of it: each is recorded in an `x.run.json` of its own


@contextmanager
def open_runs(
    command: str, options: Mapping[str, Any], names: Sequence[str], *, inputs: Sequence[Path]
) -> Iterator[tuple[Run | None, dict[str, Path]]]:
    """Open the folder `options["output_dir"]`, if there is one, and the files that the options called `names` name.

    Yields the folder's run, None without one, and the files that are to be written, by the option's name. With
    `--resume` a file that its record knows as made from the same options and inputs is kept, and not among them.
    Raises before any work, and then leaves all as it was: "usage" where nothing is named, two files are one, or a file
    lies in the folder; "exists" and others as `open_run` does.
    """
    files = {name: Path(options[name]) for name in names if options.get(name) is not None}
    folder_options = {key: value for key, value in options.items() if key not in names}
    _check(files, folder_options)
    with ExitStack() as stack:
        wanted = {}
        for name, path in files.items():
            if folder_options.get("resume") and _made_alike(path, command, folder_options, inputs):
                continue
            alone = {**folder_options, "output_dir": None, "output": path}
            stack.enter_context(open_run(command, alone, inputs=inputs))
            wanted[name] = path
        folder = folder_options.get("output_dir") is not None
        yield stack.enter_context(open_run(command, folder_options, inputs=inputs)) if folder else None, wanted


def _check(files: Mapping[str, Path], options: Mapping[str, Any]) -> None:
    folder = options.get("output_dir")
    if folder is None and not files:
        raise AffectkitError("usage", "nothing would be written", remedy="name a folder with --output-dir")
    if folder is None and options.get("resume"):
        message = "--resume goes on with a folder, and none is named"
        raise AffectkitError("usage", message, remedy="name it with --output-dir, or pass --overwrite")
    met: dict[Path, str] = {}
    for name, path in files.items():
        flag, place = "--" + name.replace("_", "-"), path.resolve()
        if place in met:
            raise AffectkitError("usage", f"{met[place]} and {flag} name the same file", file=path)
        met[place] = flag
        if folder is not None and Path(folder).resolve() in (place, *place.parents):
            message = f"{flag} lies in --output-dir, whose files have names of their own"
            raise AffectkitError("usage", message, file=path, remedy="name a file outside")
        _check_writable(path)


def _check_writable(path: Path) -> None:
    """Find out before the work what writing would find out after it."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise AffectkitError("exists", f"cannot be written: {above} is a file, not a folder", file=path)
    if not os.access(above, os.W_OK | os.X_OK):
        raise AffectkitError("environment", f"permission denied: {above} may not be written", file=path)


def _made_alike(path: Path, command: str, options: Mapping[str, Any], inputs: Sequence[Path]) -> bool:
    """Whether the file is there, and its record names this command with the same options and inputs."""
    if not (path.is_file() and file_record(path).exists()):
        return False
    known = read_record(file_record(path))
    same = known.get("command") == command and known.get("options") == _result_options(options)
    return same and list(map(_contents, known.get("inputs", []))) == [_contents(digest(path)) for path in inputs]


def _contents(known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in known.items() if key != "path"}
