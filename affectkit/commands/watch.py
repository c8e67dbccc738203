"""`affectkit watch`."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import affectkit.options as opt
from affectkit.console import Outcome

if TYPE_CHECKING:
    from affectkit.artifacts.progress import Follower, Status

RunArg = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, of a command under way or of a finished one.")]
OnceOpt = Annotated[
    bool,
    typer.Option("--once", help="Print the present state once, as it does anyway where stdout is no terminal."),
]
EveryOpt = Annotated[float, typer.Option("--every", min=0.1, max=3600, help="Seconds between two looks.")]
WaitOpt = Annotated[bool, typer.Option("--wait", help="Wait for a run that has not begun, instead of refusing it.")]


def watch(
    run: RunArg,
    once: OnceOpt = False,
    every: EveryOpt = 2.0,
    wait: WaitOpt = False,
    quiet: opt.Quiet = False,
    json_output: opt.Json = False,
) -> Outcome:
    """Watch a run in the terminal: curves, the last epochs, how fast it is and how long it still takes.

    It reads the files of the run's folder alone, which may be another machine's, mounted here; it writes nothing there.
    It follows a run that is killed and resumed, or overwritten, and ends when the run has finished; leave it with
    Ctrl-C, which harms nothing (exit code 0). With --quiet it draws nothing and waits for the end, for scripts; --json
    prints the present state and ends.

    On the machine that runs it, a dead process is noticed within seconds. Of one on another machine only its silence is
    known: since the last change that was seen, or before the first one by the times of its files.

    Example: affectkit watch runs/mlp
    """
    from affectkit.artifacts.progress import Follower
    from affectkit.artifacts.records import require_run
    from affectkit.reporting.watched import facts

    if not wait:
        require_run(run)
    follower = Follower(run)
    if json_output:
        return Outcome(run, facts(follower.look()))
    if quiet:
        _wait(follower, every, once)
        return Outcome(run)
    console = _console()
    if once or not console.is_terminal or console.is_dumb_terminal:
        return Outcome(data=_text(console, follower.look()))
    return Outcome(data=_text(console, _follow(console, follower, every), height=console.height - 1))


def _wait(follower: "Follower", every: float, once: bool) -> None:
    while not once and follower.look().state != "finished":
        time.sleep(every)


def _console(**how: Any) -> Any:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, **how)


def _follow(console: Any, follower: "Follower", every: float) -> "Status":
    """Draw on the whole terminal until the run has finished or somebody leaves; how it was then."""
    from rich.live import Live

    from affectkit.reporting.watched import draw

    status = follower.look()
    with suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as screen:
        while status.state != "finished":
            screen.update(draw(status, console.width, console.height, colour=_coloured(console)), refresh=True)
            time.sleep(every)
            status = follower.look()
    return status


def _text(console: Any, status: "Status", height: int | None = None) -> str:
    """The page as text, as the console would show it: with colours on a terminal."""
    from io import StringIO

    from affectkit.reporting.watched import draw

    paper = _console(file=StringIO(), width=console.width, force_terminal=console.is_terminal)
    paper.print(draw(status, console.width, height, colour=_coloured(console)))
    return "".join(line.rstrip() + "\n" for line in paper.file.getvalue().splitlines())


def _coloured(console: Any) -> bool:
    """Whether colours may tell curves apart, and braille draw them."""
    return bool(console.color_system) and not console.no_color and console.encoding.startswith("utf")
