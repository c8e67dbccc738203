"""Option types that commands share, and how a plug-in's own options join a command."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from affectkit import registry

ManifestOpt = Annotated[Path, typer.Option("--manifest", "-m", help="Manifest: a folder, or one CSV of it.")]
OptionalManifestOpt = Annotated[
    Path | None, typer.Option("--manifest", "-m", help="Manifest: a folder, or one CSV of it.")
]
OutputDirOpt = Annotated[Path, typer.Option("--output-dir", "-o", help="Folder to write.")]
OutputFileOpt = Annotated[Path, typer.Option("--output", "-o", help="CSV to write.")]
SplitOpt = Annotated[str | None, typer.Option("--split", help="Only the rows of this split: train, val or test.")]
GroupOpt = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="Column of what must not straddle and what intervals resample",
        show_default="speaker, where there is one",
    ),
]
MediaRootOpt = Annotated[
    Path | None,
    typer.Option("--media-root", help="Folder that relative paths start from, instead of the corpus's own."),
]
PredictionsArg = Annotated[
    Path, typer.Argument(metavar="PREDICTIONS", help="Predictions: a CSV of any tool, or the run folder of a model.")
]
OptionalPredictionsArg = Annotated[
    Path | None,
    typer.Argument(metavar="PREDICTIONS", help="Predictions: a CSV of any tool, or the run folder of a model."),
]
JudgedSplitOpt = Annotated[
    str | None,
    typer.Option(
        "--split", help="Judge the rows of this split: train, val or test", show_default="test, else oof rows, else val"
    ),
]
TreatAsOpt = Annotated[
    Literal["val", "test"] | None,
    typer.Option("--treat-as", help="The split that a CSV without a column `seen` stands for."),
]
SourcesArg = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME=PREDICTIONS...", help="Sources by name: the run folder of a model, or a CSV of any tool."
    ),
]
FitOnOpt = Annotated[
    Literal["oof", "val"] | None,
    typer.Option(
        "--fit-on", help="Rows to fit on", show_default="oof, cross-fitted ones, where there are any, else val"
    ),
]
TreatAsValOpt = Annotated[
    Literal["val"] | None,
    typer.Option("--treat-as", help="Rows of a CSV without a column `seen` were held out: take them as val rows."),
]
MetricOpt = Annotated[
    str | None, typer.Option("--metric", help="Metric to choose and compare by", show_default="uar, or ccc of numbers")
]
BundleOpt = Annotated[
    bool, typer.Option("--bundle", help="Copy the parent models along, so that best_model can be moved.")
]
PredictedTargetsOpt = Annotated[
    str | None, typer.Option("--target", help="Targets, comma-separated", show_default="all that are predicted")
]
NormalizeOpt = Annotated[
    Literal["train", "speaker", "none"],
    typer.Option(
        "--normalize",
        help="Scale features by the fit rows (train), or by each speaker's own rows (speaker): transductive, as it "
        "looks at the rows to be predicted.",
    ),
]
ClassWeightOpt = Annotated[Literal["balanced", "none"], typer.Option("--class-weight", help="Weight of the classes.")]
SeedOpt = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
DeviceOpt = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
NumWorkersOpt = Annotated[
    int | None,
    typer.Option("--num-workers", min=0, help="Worker processes; 0 works in this one", show_default="one a core"),
]
OnErrorOpt = Annotated[
    Literal["stop", "skip"], typer.Option("--on-error", help="What a bad row does: stop, or skip it into skipped.csv.")
]
MissingOpt = Annotated[
    Literal["stop", "drop"], typer.Option("--missing", help="What a row without features does: stop, or drop it.")
]
TtaOpt = Annotated[
    int | None,
    typer.Option(
        "--tta",
        min=1,
        max=10,
        help="Of images: views of each; an answer is their mean, and its variance that of the views. A model predicts "
        "as it was made, unless told otherwise.",
    ),
]
McDropoutOpt = Annotated[
    int | None,
    typer.Option(
        "--mc-dropout",
        min=0,
        max=1000,
        help="Of fine-tuned image networks: draws of the dropout before the head, of each view; mean and variance.",
    ),
]
ResumeOpt = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished folder; a finished one is kept.")]
OverwriteOpt = Annotated[bool, typer.Option("--overwrite", help="Start again in a folder that affectkit wrote.")]
QuietOpt = Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings and errors.")]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print one JSON line of results.")]


def with_plugin_options(
    command: Callable[..., Any], kind: str, factory: str | tuple[str, ...], chooser: str
) -> Callable[..., Any]:
    """`command`, its `**options` replaced by the own options of every plug-in of a kind.

    kind: the plug-ins' folder. factory: the function whose keyword-only parameters are the options (or several).
    chooser: the parameter of `command` that names the plug-in. An option is passed on only where it was typed; one that
    the chosen plug-in lacks is refused by the command (`registry.check_options`).
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    taken = {p.name for p in own}
    added = [p for p in plugin_parameters(kind, factory).values() if p.name not in taken]
    names = {p.name for p in added}

    @wraps(command)
    def flattened(**arguments: Any) -> Any:
        given = {k: v for k, v in arguments.items() if k not in names or v is not None}
        return command(**given)

    keyword = [p.replace(kind=p.KEYWORD_ONLY) for p in [*own, *added]]
    flattened.__signature__ = signature.replace(parameters=keyword)  # type: ignore[attr-defined]
    flattened.__annotations__ = {p.name: p.annotation for p in keyword}
    return flattened


def plugin_parameters(kind: str, factory: str | tuple[str, ...]) -> dict[str, inspect.Parameter]:
    """The own options of all plug-ins of a kind, as typer parameters whose default None means "not typed"."""
    merged: dict[str, inspect.Parameter] = {}
    users: dict[str, dict[str, Any]] = {}
    for plugin in registry.names(kind):
        module = registry.load(kind, plugin)
        for function in (factory,) if isinstance(factory, str) else factory:
            for name, parameter in (
                registry.options(getattr(module, function)).items() if hasattr(module, function) else ()
            ):
                merged.setdefault(name, parameter)
                users.setdefault(name, {})[plugin] = parameter.default
    return {name: _as_typer(name, parameter, users[name]) for name, parameter in merged.items()}


def _as_typer(name: str, parameter: inspect.Parameter, defaults: dict[str, Any]) -> inspect.Parameter:
    kind, *extras = get_args(parameter.annotation)
    option = next(extra for extra in extras if isinstance(extra, registry.Option))
    flag = "--" + name.replace("_", "-")
    flags = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
    unit = f" ({option.unit})" if option.unit else ""
    panel = f"Options of {', '.join(defaults)}"
    info = typer.Option(*flags, help=option.help + unit, rich_help_panel=panel, show_default=_default_text(defaults))
    return parameter.replace(default=None, annotation=Annotated[kind | None, info])


def _default_text(defaults: dict[str, Any]) -> str | bool:
    shown = {plugin: _shown(value) for plugin, value in defaults.items() if value not in (None, "")}
    if len(set(shown.values())) <= 1:
        return next(iter(shown.values()), False)
    return ", ".join(f"{value} for {plugin}" for plugin, value in shown.items())


def _shown(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
