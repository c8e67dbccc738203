"""Option types that commands share, and how a plug-in's own options join a command."""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import typer

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.finetuning import passes
from affectkit.training import settings

Plugins = tuple[str, str]  # the folder of a kind of plug-ins, and the factory whose options they bring

Manifest = Annotated[Path, typer.Option("--manifest", "-m", help="Manifest: a folder, or one of its CSV files.")]
OptionalManifest = Annotated[
    Path | None, typer.Option("--manifest", "-m", help="Manifest: a folder, or one of its CSV files.")
]
OutputDir = Annotated[Path, typer.Option("--output-dir", "-o", help="Folder to write.")]
Split = Annotated[str | None, typer.Option("--split", help="Use only the rows of this split: train, val or test.")]
Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="Column whose groups must not be split, and which intervals resample (default: speaker, where there is "
        "one).",
    ),
]
MediaRoot = Annotated[
    Path | None,
    typer.Option("--media-root", help="Folder that relative paths start from, instead of the corpus's root."),
]
SequenceColumns = Annotated[
    str, typer.Option("--sequence", help="Columns that identify a sequence, comma-separated, such as sequence,track.")
]
OptionalSequence = Annotated[
    str | None,
    typer.Option(
        "--sequence",
        help="Columns that identify a sequence, comma-separated, such as session: its rows are windows, which the "
        "network pools into one answer, for --model attention (default: every row is answered by itself).",
    ),
]
TimeColumn = Annotated[str, typer.Option("--time", help="Column with the time of a frame in seconds, or its number.")]
OptionalTime = Annotated[
    str | None,
    typer.Option("--time", help="Column with the time of a window in seconds, or its number (default: time_sec)."),
]
Separate = Annotated[
    bool,
    typer.Option(
        "--separate",
        help="Whether to also train a network for each of several targets alone, with the same folds and seed, and "
        "compare: the model and predictions.csv stay those of all targets together.",
    ),
]
TRUTH = "Label of a group whose rows have several: unanimous raises an error, majority takes the most frequent"
Truth = Annotated[Literal["unanimous", "majority"], typer.Option("--truth", help=f"{TRUTH}.")]
OptionalTruth = Annotated[
    Literal["unanimous", "majority"] | None,
    typer.Option("--truth", help=f"{TRUTH}; of a number it is the mean (default: unanimous)."),
]
Predictions = Annotated[
    Path, typer.Argument(metavar="PREDICTIONS", help="Predictions: the run folder of a model, or a CSV from any tool.")
]
OptionalPredictions = Annotated[
    Path | None,
    typer.Argument(metavar="PREDICTIONS", help="Predictions: the run folder of a model, or a CSV from any tool."),
]
JudgedSplit = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="Judge the rows of this split: train, val or test (default: test, else oof rows, else val).",
    ),
]
Examples = Annotated[
    int,
    typer.Option(
        "--examples",
        min=0,
        max=10,
        help="Small pictures on the page of each of the most frequent mistakes, where the manifest's media are images; "
        "0: none. They are of the corpus: check its licence before passing the page on.",
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="FIGURE>=NUMBER",
        help="What a figure must reach, quoted for the shell: 'kappa>=.2', 'ece<=.03', 'stress.ccc>=.4'; "
        "'uar.low>=.25', the lower end of its interval; 'gap<=.2', how much more a run reaches on the rows that it was "
        "fitted on. Repeatable. The report is written all the same. Exit code 3: some are missed; 4: none is, but the "
        "interval of some holds the number.",
    ),
]
TreatAs = Annotated[
    Literal["val", "test"] | None,
    typer.Option("--treat-as", help="Split that a CSV without a column `seen` stands for."),
]
Track = Annotated[
    str | None,
    typer.Option(
        "--track",
        help="Trackers of what networks learn epoch by epoch, comma-separated: tensorboard, wandb (offline unless "
        "WANDB_MODE says otherwise), mlflow, ...",
    ),
]
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME=PREDICTIONS...", help="Named sources: the run folder of a model, or a CSV from any tool."
    ),
]
FitOn = Annotated[
    Literal["oof", "val"] | None,
    typer.Option("--fit-on", help="Rows to fit on (default: oof, cross-fitted ones, where there are any, else val)."),
]
TreatAsVal = Annotated[
    Literal["val"] | None,
    typer.Option("--treat-as", help="Take the rows of a CSV without a column `seen` as held-out val rows."),
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", help="Metric to choose and compare by (default: uar, or ccc of numbers)."),
]
Bundle = Annotated[
    bool, typer.Option("--bundle", help="Whether to copy the parent models into best_model, so that it can be moved.")
]
Model = Annotated[str, typer.Option("--model", help=f"Estimator: {', '.join(registry.names('estimators'))}.")]
Features = Annotated[
    list[Path] | None,
    typer.Option(
        "--features",
        metavar="[NAME=]PATH",
        help="Features: a folder, a CSV of named columns of any kind, or manifest:age,sex for the manifest's own "
        "(manifest:* for all of them). Repeatable: several are joined, and may be named, such as "
        "static=FOLDER.",
    ),
]
LearnedTargets = Annotated[
    str | None,
    typer.Option("--target", help="Targets, comma-separated (default: label, else all that the manifest has)."),
]
PredictedTargets = Annotated[
    str | None, typer.Option("--target", help="Targets, comma-separated (default: all that are predicted).")
]
Normalize = Annotated[
    Literal["train", "speaker", "none"],
    typer.Option(
        "--normalize",
        help="Feature scaling: by the rows fitted on (train), or by each speaker's own rows "
        "(speaker), which is transductive because it looks at the rows to be predicted.",
    ),
]
Exclude = Annotated[
    str | None, typer.Option("--exclude", help="Columns of tables of features to leave out, comma-separated.")
]
Impute = Annotated[
    Literal["median", "knn"],
    typer.Option(
        "--impute",
        help="What fills gaps in numbers: the median of the rows fitted on, or the mean of the five nearest of them "
        "(knn), as --normalize scales them. Gaps in categories get the most frequent one.",
    ),
]
SelectFeatures = Annotated[
    int | None,
    typer.Option(
        "--select-features", min=1, help="Number of columns to keep, by mutual information (default: all of them)."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
Device = Annotated[str, typer.Option("--device", help="Device to compute on: auto, cpu, cuda, cuda:1, mps.")]
NumWorkers = Annotated[
    int | None,
    typer.Option(
        "--num-workers",
        min=0,
        help="Number of worker threads that read and decode; 0: none (default: one per core).",
    ),
]
OnError = Annotated[
    Literal["stop", "skip"],
    typer.Option("--on-error", help="At a row that cannot be read: stop, or skip it and list it in skipped.csv."),
]
Missing = Annotated[
    Literal["stop", "drop"], typer.Option("--missing", help="At a row without features: stop, or drop it.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume an unfinished run; a finished one is kept.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Overwrite what affectkit wrote before.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as one line of JSON.")]
_STANDING = {
    name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
    for name, annotation in {"quiet": Quiet, "json_output": Json}.items()
}


# --- Options that are described on what receives them, as typer takes them


AS_TRAINED = "as the model was trained"


def typer_option(
    annotation: Any, *, help: str = "", default: str = "", name: str = "", panel: str | None = None
) -> Any:
    """The typer option of an `Annotated[type, Option(...)]`. help: instead of its own. default: in words, where typer
    cannot tell it. name: of the parameter, which a switch needs for its two flags."""
    kind, option = registry.described(annotation)
    help = help or option.help
    # Typer would put a default that it is told in words into brackets twice.
    extras = [option.unit, *([f"default: {default}"] if default else [])]
    text = " ".join([help.removesuffix("."), *(f"({extra})" for extra in extras if extra)])
    flag = option.flag if "/" in option.flag else ""
    if name and kind is bool and not flag:
        flag = f"--{name}/--no-{name}".replace("_", "-")
    if option.short:
        flag = f"--{name}".replace("_", "-")
    return typer.Option(
        *([flag] if flag else []),
        *([option.short] if option.short else []),
        min=option.least,
        max=option.most,
        help=text + "." * help.endswith("."),
        rich_help_panel=panel,
    )


ClassWeight = Annotated[Literal["balanced", "none"], typer_option(settings.ClassWeight)]
RowWeights = Annotated[str, typer_option(settings.RowWeights)]
Tta = Annotated[int, typer_option(passes.Tta)]
AsTrainedTta = Annotated[int | None, typer_option(passes.Tta, default=AS_TRAINED)]
AsTrainedMcDropout = Annotated[int | None, typer_option(passes.McDropout, help=passes.DRAWS, default=AS_TRAINED)]


def bound(command: Callable[..., Any], **given: Any) -> Callable[..., Any]:
    """`command` with some of its parameters, which are then no options of it."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def with_given(**options: Any) -> Any:
        return command(**options, **given)

    left = [parameter for name, parameter in signature.parameters.items() if name not in given]
    with_given.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]  # which `inspect` looks for
    return with_given


def with_options(command: Callable[..., Any], plugins: Sequence[Plugins] = ()) -> Callable[..., Any]:
    """`command` with a signature that typer can read.

    Its `**options` give way to the own options of every plug-in of the kinds in `plugins`. One is passed on only where
    it was typed; one that the chosen plug-in lacks is refused by the command (`registry.check_options`). A parameter
    that is a dataclass of options, `Annotated[Settings, "Panel of the help"]`, gives way to its fields, and the
    command gets the dataclass; where plug-ins have a field too, it is theirs. --quiet and --json are of every command:
    the boundary reads them, and the command gets them only where it names them.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD and p.name not in _STANDING]
    taken = {p.name for p in parameters} | {flag[2:].replace("-", "_") for p in parameters for flag in _flags(p)}
    brought = {name: p for name, p in plugin_parameters(plugins).items() if name not in taken}
    keyword: list[inspect.Parameter] = []
    records: dict[str, tuple[Any, dict[str, str]]] = {}
    for parameter in parameters:
        kind, panel = (*get_args(parameter.annotation), None, None)[:2]
        if not is_dataclass(kind):
            keyword.append(parameter)
            continue
        fields = {_name(p): p for p in registry.options(cast(type, kind)).values() if _name(p) not in brought}
        records[parameter.name] = kind, {name: p.name for name, p in fields.items()}
        keyword += [_field(p, panel) for p in fields.values()]
    keyword = [p.replace(kind=p.KEYWORD_ONLY) for p in [*keyword, *_STANDING.values(), *brought.values()]]

    @wraps(command)
    def flattened(**arguments: Any) -> Any:
        typed = {name: value for name, value in arguments.items() if name not in brought or value is not None}
        for name, value in typed.items():
            if isinstance(value, float) and not math.isfinite(value):
                flag = f"--{name.rstrip('_').replace('_', '-')}"  # `for_` stands for a word of Python's own
                raise AffectkitError("usage", f"{flag} {value}", remedy="give a finite number")
        for name in _STANDING.keys() - signature.parameters.keys():
            typed.pop(name, None)
        for name, (record, fields) in records.items():
            typed[name] = record(**{field: typed.pop(option) for option, field in fields.items()})
        return command(**typed)

    flattened.__signature__ = signature.replace(parameters=keyword)  # type: ignore[attr-defined]  # which `inspect` looks for
    flattened.__annotations__ = {p.name: p.annotation for p in keyword}
    return flattened


def _flags(parameter: inspect.Parameter) -> list[str]:
    """The flags that a command's own option names: `--by`, `--metric`."""
    words: list[Any] = []
    for info in getattr(parameter.annotation, "__metadata__", ()):  # typer keeps the first flag as a default
        words += [getattr(info, "default", None), *(getattr(info, "param_decls", None) or ())]
    return [word for word in words if isinstance(word, str) and word.startswith("--")]


def flat(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A command's `locals()` as its record has them: a dataclass of options as the options that it stands for."""
    options: dict[str, Any] = {}
    for name, value in arguments.items():
        if is_dataclass(value):
            known = registry.options(type(value)).values()
            options |= {_name(p): getattr(value, p.name) for p in known}
        else:
            options[name] = value
    return options


def plugin_parameters(plugins: Sequence[Plugins]) -> dict[str, inspect.Parameter]:
    """The own options of all plug-ins of some kinds, as typer parameters whose default None means "not typed"."""
    owned: dict[str, dict[str, inspect.Parameter]] = {}
    names = Counter(plugin for kind in {kind for kind, _ in plugins} for plugin in registry.names(kind))
    for kind, factory in plugins:
        for plugin in registry.names(kind):
            owner = plugin if names[plugin] == 1 else f"{registry.singular(kind)} {plugin}"
            receiver = getattr(registry.load(kind, plugin), factory, None)
            for name, parameter in (registry.options(receiver) if receiver else {}).items():
                owned.setdefault(name, {})[owner] = parameter
    made = {}
    for name, parameters in owned.items():
        parameter, panel = next(iter(parameters.values())), f"Options of {', '.join(parameters)}"
        texts = {"help": _help_text(parameters), "default": _default_text(parameters)}
        info = typer_option(parameter.annotation, **texts, name=name, panel=panel)
        made[name] = parameter.replace(
            default=None, annotation=Annotated[_kind_of_all(parameters.values()) | None, info]
        )
    return made


def _kind_of_all(parameters: Iterable[inspect.Parameter]) -> Any:
    """The type of an option; where plug-ins choose from different values, any of them. The chosen one checks it."""
    kinds = [registry.described(parameter.annotation)[0] for parameter in parameters]
    if all(get_origin(kind) is Literal for kind in kinds):
        return Literal[tuple(dict.fromkeys(value for kind in kinds for value in get_args(kind)))]
    return kinds[0]


def _field(parameter: inspect.Parameter, panel: str) -> inspect.Parameter:
    """A dataclass's field as a typer parameter, with its own default."""
    kind, option = registry.described(parameter.annotation)
    words = option.default if parameter.default in (None, "") else ""
    info = typer_option(parameter.annotation, default=words, name=_name(parameter), panel=panel)
    return inspect.Parameter(
        _name(parameter), parameter.KEYWORD_ONLY, default=parameter.default, annotation=Annotated[kind, info]
    )


def _name(parameter: inspect.Parameter) -> str:
    """The option's name in a signature and in records: `early_stopping_patience`."""
    return registry.flag_of(parameter)[2:].replace("-", "_")


def _help_text(parameters: Mapping[str, inspect.Parameter]) -> str:
    """What an option is, and where plug-ins differ in it, of each: `Dropout: inside the network (speech); ...`."""
    helps = {owner: registry.described(parameter.annotation)[1].help for owner, parameter in parameters.items()}
    first = next(iter(helps.values()))
    if len(set(helps.values())) == 1:
        return first
    head = first.partition(": ")[0] + ": "
    shared = head if all(text.startswith(head) for text in helps.values()) else ""
    return shared + _by_owner({o: t.removeprefix(shared).removesuffix(".") for o, t in helps.items()}, "{} ({})") + "."


def _default_text(parameters: Mapping[str, inspect.Parameter]) -> str:
    """`4 for speech; 32 for images`, or `.1`, where there is but one."""
    texts = {}
    for owner, parameter in parameters.items():
        value, words = parameter.default, registry.described(parameter.annotation)[1].default
        text = words if value in (None, "") else ("yes" if value else "no") if isinstance(value, bool) else str(value)
        if text:
            texts[owner] = text
    return next(iter(texts.values())) if len(set(texts.values())) == 1 else _by_owner(texts, "{} for {}")


def _by_owner(texts: dict[str, str], form: str) -> str:
    """Each text once, with the plug-ins that it is of."""
    owners: dict[str, list[str]] = {}
    for owner, text in texts.items():
        owners.setdefault(text, []).append(owner)
    return "; ".join(form.format(text, ", ".join(names)) for text, names in owners.items())
