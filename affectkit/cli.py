"""The app: its commands in the order a study uses them, and the one error boundary."""

import errno
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from affectkit import __version__, console, registry
from affectkit.commands.ablate import ablate
from affectkit.commands.aggregate import aggregate
from affectkit.commands.alert import alert
from affectkit.commands.calibrate import calibrate
from affectkit.commands.evaluate import evaluate
from affectkit.commands.extract_features import extract_features
from affectkit.commands.finetune import finetune
from affectkit.commands.fuse import fuse
from affectkit.commands.import_model import import_model
from affectkit.commands.label import label
from affectkit.commands.learning_curve import learning_curve
from affectkit.commands.plot import plot
from affectkit.commands.predict import predict
from affectkit.commands.prepare_manifest import prepare_manifest
from affectkit.commands.query import query
from affectkit.commands.report import report
from affectkit.commands.select import select
from affectkit.commands.serve import serve
from affectkit.commands.stabilize import stabilize
from affectkit.commands.synthesize import synthesize
from affectkit.commands.tabulate import tabulate
from affectkit.commands.train import train
from affectkit.commands.transcribe import transcribe
from affectkit.commands.watch import watch
from affectkit.errors import AffectkitError
from affectkit.options import Plugins, bound, with_options
from affectkit.plain import RENAME, readable
from affectkit.protocols._options import with_protocols


def run(words: Sequence[str]) -> console.Outcome:
    """What a command line, without the program's name, comes to; nothing of it is printed."""
    return build(words[0], printing=False)(list(words), standalone_mode=False)


# In the order a study uses them.
COMMANDS: tuple[tuple[Callable[..., Any], tuple[Plugins, ...]], ...] = (
    (synthesize, (("corpora", "synthesize"),)),
    (prepare_manifest, (("corpora", "read"), ("corpora", "gather"))),
    (transcribe, (("transcribers", "build"),)),
    (extract_features, (("encoders", "build"),)),
    (with_protocols(train, run), (("estimators", "build"), ("protocols", "build"))),
    (finetune, (("media", "build"),)),
    (import_model, (("experts", "build"), ("experts", "medium"), ("detectors", "build"))),
    (predict, (("detectors", "build"),)),
    (fuse, (("rules", "build"),)),
    (calibrate, (("methods", "build"),)),
    (stabilize, ()),
    (aggregate, ()),
    (alert, ()),
    (tabulate, ()),
    (bound(ablate, app=run), (("rules", "build"), ("estimators", "build"))),
    (evaluate, ()),
    (select, ()),
    (learning_curve, (("estimators", "build"),)),
    (query, ()),
    (label, ()),
    (report, ()),
    (plot, ()),
    (watch, ()),
    (serve, ()),
)


@cache
def build(only: str | None = None, *, printing: bool = True) -> typer.Typer:
    """The app. only: the command that will run; of the others the app then knows names and help alone, since reading
    the options of every plug-in takes longer than all the rest of `--help`. printing: whether commands print what they
    found, and turn mistakes into exit codes."""
    app = typer.Typer(
        name="affectkit",
        help="Small commands for affective computing. A study is a shell script that chains them over plain files.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    for command, plugins in COMMANDS:
        name = command.__name__.replace("_", "-")
        complete = with_options(command, plugins) if only in (None, name) else _unread
        app.command(name=name, help=_help(command), cls=_Command)(boundary(complete) if printing else complete)
    return app


class _Command(TyperCommand):
    """Says of an option that it does not have which plug-ins have it, and so the command that takes them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as problem:  # of an unknown option; its type has no public name in typer
            option = getattr(problem, "option_name", "").lstrip("-").replace("-", "_")
            if option and (owners := registry.owners_of(option)):
                problem.message += f"; it is of {', '.join(owners)}"  # type: ignore[attr-defined]
            raise


def _unread() -> console.Outcome:
    """Stands in for a command that will not run."""
    raise AssertionError


def _help(command: Callable[..., Any]) -> str:
    """A command's docstring, each paragraph on one line to be wrapped."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def __getattr__(name: str) -> Any:
    if name == "app":  # the whole app, for tests and for tools that read it
        return build()
    raise AttributeError(name)


def boundary(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a user's mistake into one line on stderr and an exit code. Bugs trace back."""

    @wraps(command)
    def guarded(**arguments: Any) -> None:
        console.configure(quiet=arguments.get("quiet", False), json_output=arguments.get("json_output", False))
        try:
            _require_utf8(arguments)
            outcome = command(**arguments)
            console.show(outcome)
            if outcome.verdict is not None:
                raise outcome.verdict
        except AffectkitError as problem:
            console.error(str(problem))
            raise typer.Exit({"usage": 2, "unmet": 3, "undecidable": 4}.get(problem.code, 1)) from None
        except KeyboardInterrupt:
            console.error("interrupted; what was finished is kept")
            raise typer.Exit(130) from None
        except OSError as problem:
            raise typer.Exit(_surroundings(problem)) from None

    return guarded


def _require_utf8(arguments: Mapping[str, Any]) -> None:
    """Refuse names that no table and no record can hold, before any work: bytes of an old disk that are not UTF-8."""
    words = [word for value in arguments.values() for word in (value if isinstance(value, (list, tuple)) else [value])]
    with suppress(OSError):  # a folder that was deleted
        words.append(os.getcwd())
    for word in words:
        if isinstance(word, (str, Path)) and readable(word) != str(word):
            raise AffectkitError("usage", "this name is not UTF-8", file=readable(word), remedy=RENAME)


def _surroundings(problem: OSError) -> int:
    """The exit code for what the machine refused, once it is said; raises what is no fault of the machine."""
    if isinstance(problem, BrokenPipeError):  # the reader has gone (`| head`)
        _close_stdout()
        return 0
    if problem.errno not in _ENVIRONMENT:
        raise problem
    console.error(f"{problem.filename or 'writing'}: {_ENVIRONMENT[problem.errno]}")
    _close_stdout()
    return 1


def _close_stdout() -> None:
    """Point a stdout that takes no more at nothing, so that the interpreter's own flush at exit stays quiet."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_ENVIRONMENT = {
    errno.ENOSPC: "no space left on the device; free some and go on with --resume",
    errno.EDQUOT: "the disk quota is used up; free some space and go on with --resume",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EROFS: "the file system is read-only",
    errno.EEXIST: "a part of this path is a file, not a folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EFBIG: "the file would be larger than this process may write",
    errno.EISDIR: "is a folder, not a file",
    errno.EIO: "the disk failed to read or write it",
    errno.ELOOP: "a link in this path leads back to itself",
}


def _version(wanted: bool) -> None:
    if wanted:
        print(f"affectkit {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The console script, and `python -m affectkit`."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    completing = any(name.endswith("_COMPLETE") for name in os.environ)  # of any command's options
    try:
        try:
            build(None if completing else command)()
        finally:
            sys.stdout.flush()  # a full disk shows here, not in the interpreter's exit
    except OSError as problem:
        sys.exit(_surroundings(problem))
