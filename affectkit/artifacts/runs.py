"""A run: a folder (or a file) that says what made it.

`started.json` (options, inputs) is written first, `run.json` (outputs, versions) last, so a folder with the one
and without the other is unfinished. A file x that a command writes alone is recorded in `x.run.json`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectkit import __version__
from affectkit.artifacts.files import read_json, remove_temporaries, sha256, write_json
from affectkit.errors import AffectkitError

STARTED, RECORD, LOCK = "started.json", "run.json", ".lock"
REFUSAL = "leaks.csv"  # what a command that refuses to go on may leave; the next run into the folder replaces it
VERSIONS = ("affectkit", "numpy", "scipy", "pandas", "scikit-learn", "torch", "transformers", "accelerate", "opensmile")


def require_finished(folder: Path) -> None:
    """Refuse a folder that a command began and did not end."""
    if (folder / STARTED).exists() and not (folder / RECORD).exists():
        remedy = "run its command again with --resume"
        raise AffectkitError("unfinished", "is unfinished: it has no run.json", file=folder, remedy=remedy)


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
    from importlib import metadata  # waits: it is a tenth of a subcommand's help

    base = path if path.is_dir() else path.parent
    skip = {STARTED, RECORD, LOCK}
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name not in skip) if path.is_dir() else [path]
    versions = {}
    for name in VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
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


def _git_revision() -> str | None:
    """The revision of affectkit's own checkout, where it runs from one."""
    head = Path(__file__).parents[2] / ".git" / "HEAD"
    if not head.is_file():
        return None
    text = head.read_text().strip()
    reference = head.parent / text.removeprefix("ref: ")
    return (reference.read_text().strip() if reference.is_file() else None) if text.startswith("ref: ") else text


# --- Opening a run


# Options that cannot change a result beyond 1e-5: a resumed run may differ in them.
NEUTRAL = frozenset(
    {"output", "output_dir", "num_workers", "quiet", "json_output", "resume", "overwrite", "device", "track",
     "checkpoint_steps"}
)  # fmt: skip
_ELSEWHERE = "name another folder"


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
    reads: further inputs that are not digested, such as a corpus.
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
    named = [Path(item) for item in inputs if item is not None]
    if options.get("overwrite"):
        _spare_inputs(path, [*named, *map(Path, reads)])
    started = {
        "command": command,
        "affectkit": __version__,
        "options": _result_options(options),
        "inputs": (digests := [digest(item) for item in named]),
    }
    with _locked(path if folder else None):
        made = folder and _prepare_folder(run, started, options)
        if not folder and path.is_dir():
            raise AffectkitError("exists", "is a folder", file=path, remedy="name a file")
        if not folder and path.exists() and not options.get("overwrite"):
            raise AffectkitError("exists", "exists already", file=path, remedy="pass --overwrite or name another file")
        wait()
        if run.finished:
            yield run
            wait()
            return
        seconds = time.time()
        try:
            yield run
        except BaseException:
            # after a failure that left nothing but `started.json`, the folder is as if nothing had been tried
            if made and {item.name for item in path.iterdir()} <= {STARTED, LOCK, REFUSAL}:
                (path / STARTED).unlink(missing_ok=True)
            raise
        wait()
        facts = {"seed": options.get("seed"), "parents": [item["path"] for item in digests]}
        ended = record(path, run.notes, round(time.time() - seconds, 3))
        write_json(path / RECORD if folder else path.with_name(path.name + ".run.json"), {**started, **facts, **ended})


def _result_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that can change a result, as JSON has them."""
    return {key: plain_options(value) for key, value in options.items() if key not in NEUTRAL}


@contextmanager
def _locked(folder: Path | None) -> Iterator[None]:
    """Hold the folder's lock; the kernel releases it however the process ends."""
    if folder is None:
        yield
        return
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise AffectkitError("exists", "is a file, not a folder", file=folder) from None
    try:
        with open(folder / LOCK, "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AffectkitError("busy", "another process is writing here", file=folder) from None
            try:
                yield
            finally:
                (folder / LOCK).unlink(missing_ok=True)
    finally:
        if not existed:
            with contextlib.suppress(OSError):  # only an empty folder goes: the run left nothing worth keeping
                folder.rmdir()


def _spare_inputs(path: Path, inputs: Iterable[Path]) -> None:
    target = path.resolve()
    for item in inputs:
        if target in (item.resolve(), *item.resolve().parents):
            raise AffectkitError("exists", f"--overwrite would delete the input {item}", file=path, remedy=_ELSEWHERE)


def _prepare_folder(run: Run, started: dict[str, Any], options: Mapping[str, Any]) -> bool:
    folder = run.path
    for leftover in folder.glob(f".{STARTED}.*.tmp"):  # of a process killed before it had begun: nothing to go on with
        leftover.unlink()
    contents = [item for item in folder.iterdir() if item.name != LOCK]
    if [item.name for item in contents] == [REFUSAL]:
        contents.pop().unlink()
    ours, finished = (folder / STARTED).exists(), (folder / RECORD).exists()
    if contents and options.get("overwrite"):
        if not ours:
            what = "--overwrite: not a folder that affectkit wrote"
            raise AffectkitError("exists", what, file=folder, remedy=_ELSEWHERE)
        author = read_json(folder / STARTED).get("command")
        if author != started["command"]:
            raise AffectkitError("exists", f"--overwrite: affectkit {author} wrote it", file=folder, remedy=_ELSEWHERE)
        for item in contents:
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
    elif contents and options.get("resume") and ours:
        _refuse_difference(folder, read_json(folder / STARTED), started)
        remove_temporaries(folder)  # of a killed process: the lock says that nobody writes one now
        run.resumed, run.finished = True, finished
        return False
    elif contents:
        state = "finished" if finished else "unfinished" if ours else "not empty"
        remedy = "pass --resume or --overwrite" if ours else _ELSEWHERE
        raise AffectkitError("exists", f"is {state}", file=folder, remedy=remedy)
    write_json(folder / STARTED, started)
    return True


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
    record = path.with_name(path.name + ".run.json")
    if not (path.is_file() and record.exists()):
        return False
    known = read_json(record, what="record")
    same = known.get("command") == command and known.get("options") == _result_options(options)
    return same and list(map(_contents, known.get("inputs", []))) == [_contents(digest(path)) for path in inputs]


def _contents(known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in known.items() if key != "path"}
