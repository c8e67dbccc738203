"""Files that a command writes besides its folder, or instead of it: each is recorded in an `x.run.json` of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.records import digest, plain_options
from affectkit.artifacts.runs import NEUTRAL, Run, open_run
from affectkit.errors import AffectkitError


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
    own = {key: value for key, value in options.items() if key not in names}
    _check(files, own)
    with ExitStack() as stack:
        wanted = {}
        for name, path in files.items():
            if own.get("resume") and _made_alike(path, command, own, inputs):
                continue
            alone = {**own, "output_dir": None, "output": path}
            stack.enter_context(open_run(command, alone, inputs=inputs))
            wanted[name] = path
        folder = own.get("output_dir") is not None
        yield stack.enter_context(open_run(command, own, inputs=inputs)) if folder else None, wanted


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
    now = {key: plain_options(value) for key, value in options.items() if key not in NEUTRAL}
    same = known.get("command") == command and known.get("options") == now
    return same and list(map(_contents, known.get("inputs", []))) == [_contents(digest(path)) for path in inputs]


def _contents(known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in known.items() if key != "path"}
