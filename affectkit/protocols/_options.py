"""`--protocol` and `--phase`, as a command carries them: instead of its own work, the steps of a phase."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import App, Outcome
from affectkit.errors import AffectkitError

ProtocolOpt = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help=f"Published procedure to carry out instead of training a model: {', '.join(registry.names('protocols'))}.",
    ),
]
PhaseOpt = Annotated[
    int | None,
    typer.Option("--phase", min=0, help="Phase of the protocol; without --protocol, of scene-face."),
]
DryRunOpt = Annotated[
    bool, typer.Option("--dry-run", help="Print the commands of the phase as a shell script, and run none.")
]
SHARED = ("group", "media_root", "device", "num_workers", "seed", "resume", "overwrite")
DEFAULT = "scene-face"
_PARAGRAPH = (
    "With --protocol and --phase, a phase of a published procedure is carried out instead: it says what it will do, "
    "and by which commands, before it does it. -o is then the folder of the whole study."
)


def with_protocols(command: Callable[..., Any], run: App) -> Callable[..., Any]:
    """`command` with `--protocol`, `--phase`, `--dry-run` and `--media-root` besides its own options.

    run: what runs the steps. Options at their defaults are left to each step's command.
    """
    signature = inspect.signature(command, eval_str=True)
    names = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]

    @wraps(command, assigned=("__module__", "__name__", "__qualname__"))
    def bound(
        protocol: ProtocolOpt = None,
        phase: PhaseOpt = None,
        dry_run: DryRunOpt = False,
        media_root: opt.MediaRoot = None,
        **options: Any,
    ) -> Outcome:
        if protocol is None and phase is None:
            for flag, value in {"--dry-run": dry_run, "--media-root": media_root}.items():
                if value:
                    raise AffectkitError("usage", f"{flag} is of --phase", remedy="leave it out, or name a phase")
            return command(**options)
        defaults = {p.name: p.default for p in signature.parameters.values()} | {"media_root": None}
        changed = {name: options.get(name, media_root) for name in SHARED}
        shared = {name: value for name, value in changed.items() if value != defaults[name]}
        for name in options.keys() & set(names) - {*SHARED, "manifest", "output_dir"}:
            if options[name] != defaults[name]:
                message = f"--{name.replace('_', '-')} is of estimators, not of --protocol {protocol or DEFAULT}"
                raise AffectkitError("usage", message, remedy="leave it out")
        plugin_options = {name: value for name, value in options.items() if name not in names}
        place = (options["manifest"], options["output_dir"])
        return _phase(protocol or DEFAULT, phase, plugin_options, place, shared, dry_run, run)

    added = [p for p in inspect.signature(bound, follow_wrapped=False, eval_str=True).parameters.values()
             if p.kind is not p.VAR_KEYWORD]  # fmt: skip
    parameters = list(signature.parameters.values())
    merged = [*parameters[:-1], *(p.replace(kind=parameters[0].kind) for p in added), parameters[-1]]
    bound.__signature__ = signature.replace(parameters=merged)  # type: ignore[attr-defined]  # which `inspect` looks for
    first, _, rest = (inspect.getdoc(command) or "").partition("\n\n")
    body, _, example = rest.rpartition("\n\n")
    bound.__doc__ = "\n\n".join([first, body, _PARAGRAPH, example])
    return bound


def _phase(
    protocol: str,
    phase: int | None,
    plugin_options: dict[str, Any],
    place: tuple[Path, Path],
    shared: dict[str, Any],
    dry_run: bool,
    run: App,
) -> Outcome:
    from affectkit.distributed import ranks
    from affectkit.protocols._protocol import Study, announcement, build_procedure, carry_out, script

    procedure = build_procedure(protocol, phase, plugin_options)
    assert phase is not None  # it is one of the procedure's
    steps = procedure.steps(phase, Study(*place, shared))
    if dry_run:
        return Outcome(data=script(phase, steps))
    here = ranks(cpu=shared.get("device") == "cpu")
    if here.is_main:
        for line in announcement(phase, steps):
            console.say(line)
    lines = carry_out(steps, run, here)
    if not here.is_main:
        return Outcome()
    return Outcome(steps[-1].folder, {"steps": [str(planned.folder) for planned in steps]}, lines)
