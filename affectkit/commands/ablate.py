"""`affectkit ablate`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import App, Outcome
from affectkit.errors import AffectkitError
from affectkit.plain import comma_separated

if TYPE_CHECKING:
    from affectkit.ablation import AblationStudy

TablesArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=PREDICTIONS]...", help="Named sources: the run folder of a model, or a CSV from any tool."
    ),
]
NamedFeaturesOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="NAME=PATH",
        help="Named features to train on instead of predictions: a folder, a CSV, or manifest:age,sex. Repeatable.",
    ),
]
RetrainOpt = Annotated[
    Path | None,
    typer.Option(
        "--retrain",
        metavar="RUN",
        help="Run of finetune whose branches are the sources, trained anew for every subset as its record says: the "
        "models of --beside and the pictures of --media, by their names.",
    ),
]
RuleOpt = Annotated[
    str | None,
    typer.Option("--rule", help=f"Fusion rule for predictions: {', '.join(registry.names('rules'))} (default: mean)."),
]
ModelOpt = Annotated[
    str | None,
    typer.Option(
        "--model", help=f"Estimator for features: {', '.join(registry.names('estimators'))} (default: linear)."
    ),
]
MetricOpt = Annotated[
    str | None,
    typer.Option("--by", "--metric", help="Metric shown first and compared (default: uar, or ccc of numbers)."),
]
TargetOpt = Annotated[
    str | None,
    typer.Option("--target", help="Targets, comma-separated (default: all predicted; of features, label or all)."),
]
SeedsOpt = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=1,
        help="Number of repetitions with seeds 0, 1, ... for drawn folds and training (default: 5; of branches 1).",
    ),
]
CvFoldsOpt = Annotated[
    int | None,
    typer.Option("--cv-folds", min=2, help="Draw this many folds of whole groups (default: folds as they are)."),
]
IncludeOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="NAME[,NAME]...",
        help="Subset to judge, instead of all there are; repeat it for more. The others are compared with the largest.",
    ),
]
MostOpt = Annotated[int, typer.Option("--max-subsets", min=3, help="Maximum number of subsets; more are refused.")]
PREDICTIONS, FEATURES, BRANCHES = "predictions", "--features", "--retrain"  # what sources are
# Options that some kinds of sources have, with their defaults.
OWNED: dict[tuple[str, ...], dict[str, Any]] = {
    (PREDICTIONS,): {"rule": None, "fit_on": None, "treat_as": None},
    (FEATURES,): {
        "model": None, "normalize": "train", "class_weight": "balanced", "missing": "stop", "exclude": None,
        "impute": "median", "select_features": None,
    },
    (PREDICTIONS, FEATURES): {"manifest": None, "target": None, "group": None},
}  # fmt: skip


def ablate(
    sources: TablesArg = None,
    *,
    output_dir: opt.OutputDir,
    rule: RuleOpt = None,
    manifest: opt.OptionalManifest = None,
    features: NamedFeaturesOpt = None,
    retrain: RetrainOpt = None,
    model: ModelOpt = None,
    target: TargetOpt = None,
    metric: MetricOpt = None,
    seeds: SeedsOpt = None,
    cv_folds: CvFoldsOpt = None,
    fit_on: opt.FitOn = None,
    treat_as: opt.TreatAsVal = None,
    normalize: opt.Normalize = "train",
    class_weight: opt.ClassWeight = "balanced",
    group: opt.Group = None,
    missing: opt.Missing = "stop",
    exclude: opt.Exclude = None,
    impute: opt.Impute = "median",
    select_features: opt.SelectFeatures = None,
    require: opt.Require = None,
    include: IncludeOpt = None,
    max_subsets: MostOpt = 255,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    app: App | None = None,
    **plugin_options: Any,
) -> Outcome:
    """Judge every subset of several sources: predictions that are fused, features or branches that are trained.

    The branches of a run of finetune (--retrain) are the models beside its network and the pictures that it sees. Each
    subset is then trained by commands of its own, which are shown, and whose run folders stay below -o.

    All subsets have the same rows, folds and seeds. Each is compared, over whole speakers, with all sources together
    and with the best single one. --resume keeps the subsets that are finished. --require is of all sources together, or
    of a subset by its name ('audio+text:uar>=.5'), on test rows, else cross-fitted ones, or as named ('oof_uar>=.5').

    Example: affectkit ablate voice=runs/voice text=runs/text face=runs/face --rule mean -o runs/ablation
    """
    options = {name: value for name, value in locals().items() if name != "app"}
    options["seeds"] = seeds or (1 if retrain else 5)
    kind = _kind(options)
    from affectkit.ablation import PARTS, required, subsets, write_ablation
    from affectkit.ablation import ablate as judge_subsets
    from affectkit.artifacts.files import read_json
    from affectkit.artifacts.reports import ABLATION
    from affectkit.artifacts.runs import open_run
    from affectkit.evaluation.requirements import parse, verdict
    from affectkit.reporting import ablated, terminal
    from affectkit.reporting.browser import write_page
    from affectkit.results.lineage import digests

    makers: dict[str, Callable[[dict[str, Any]], _Named]]
    makers = {PREDICTIONS: _predictions, FEATURES: _features, BRANCHES: partial(_branches, app=app)}
    named = makers[kind](options)
    chosen = subsets(named.names, [comma_separated(names) for names in include or []], most=max_subsets)
    names = [subset.name for subset in chosen]
    stated = [parse(text, splits=PARTS, subsets=names) for text in dict.fromkeys(require or [])]
    with open_run("ablate", options, inputs=[*named.read, manifest]) as run:
        if not run.finished:
            study, facts, read = named.study(run.path)
            stated = [requirement.of(study.setup.targets) for requirement in stated]
            with console.progress("ablate") as progress:
                judged = judge_subsets(study, chosen, run.path, progress=progress)
            judged |= {"required": required(stated, judged)} if stated else {}
            write_ablation(run.path, {**facts, **judged, "inputs": digests(read)})
            write_page(run.path, ablated.draw(run.path))
        summary, page = read_json(run.path / ABLATION, what="summary of an ablation"), ablated.draw(run.path)
    facts = {"metric": summary["metric"], "parts": _values(summary)}
    facts |= {key: summary[key] for key in ("required",) if key in summary}
    return terminal.outcome(run.path, facts, page, verdict(summary.get("required", [])))


def _kind(options: dict[str, Any]) -> str:
    """Which sources are named. Raises "usage" for none, for several kinds, and for options of another."""
    kinds = {PREDICTIONS: "sources", FEATURES: "features", BRANCHES: "retrain"}
    there = [kind for kind, name in kinds.items() if options[name]]
    if len(there) != 1:
        remedy = "name NAME=PREDICTIONS, or --manifest and --features NAME=PATH, or --retrain RUN"
        raise AffectkitError("usage", "ablate takes either predictions, --features or --retrain", remedy=remedy)
    if options["features"] and options["manifest"] is None:
        raise AffectkitError("usage", "--features needs --manifest", remedy="name the rows to train on")
    for owners, defaults in OWNED.items():
        for name, default in defaults.items():
            if there[0] not in owners and options[name] != default:
                message = f"--{name.replace('_', '-')} belongs to {' and '.join(owners)}"
                raise AffectkitError("usage", message, remedy="leave it out")
    return there[0]


@dataclass(frozen=True)
class _Named:
    """The sources that are named, and what is read of them. study: they as a study, which works in a folder, what the
    summary says of them, and what of all that was read it names."""

    names: list[str]
    read: list[Path]
    study: "Callable[[Path], tuple[AblationStudy, dict[str, Any], list[Path]]]"


def _predictions(options: dict[str, Any]) -> _Named:
    from affectkit.ablation import of_predictions
    from affectkit.artifacts.sources import named_paths, read_joined_sources
    from affectkit.fusion.rule import build_rule
    from affectkit.media.texts import LANGUAGE
    from affectkit.results.lineage import lineage

    paths = named_paths(options["sources"], least=2)
    rule = build_rule(options["rule"] or "mean", options["plugin_options"])
    if not rule.learns:
        what = f"--rule {rule.name} takes each row from one source: there are no subsets to judge"
        raise AffectkitError("usage", what, remedy="use mean, or another rule")

    def study(folder: Path) -> "tuple[AblationStudy, dict[str, Any], list[Path]]":
        group, treat_as = options["group"], options["treat_as"]
        columns = [*([group] if group else []), LANGUAGE]
        how: dict[str, Any] = {"manifest": options["manifest"], "columns": columns, "treat_as": treat_as}
        named = read_joined_sources(paths, tables=rule.takes_tables, **how)
        chosen = {key: options[key] for key in ("metric", "fit_on", "group", "seeds", "cv_folds")}
        targets = comma_separated(options["target"])
        made = of_predictions(named, rule.name, options["plugin_options"], targets=targets, **chosen)
        notes = [f"the rows stand for split {treat_as} because --treat-as says so"] if treat_as else []
        facts = {"kind": "predictions", "rule": rule.name, "options": rule.options, "how": f"fused by {rule.name}"}
        files = [source.path for source in named]
        return made, facts | {"warnings": notes} | lineage(files), files

    return _Named(list(paths), list(paths.values()), study)


def _features(options: dict[str, Any]) -> _Named:
    from affectkit.ablation import of_features
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.sources import named_paths
    from affectkit.artifacts.table_features import files_of
    from affectkit.estimators._fit import FitSettings, build_estimator
    from affectkit.results.lineage import lineage

    paths = named_paths(options["features"], least=2)
    estimator = build_estimator(options["model"] or "linear", options["plugin_options"])
    read = files_of(list(paths.values()))

    def study(folder: Path) -> "tuple[AblationStudy, dict[str, Any], list[Path]]":
        normalize, manifest = options["normalize"], read_manifest(options["manifest"])
        select = options["select_features"] or 0
        made = of_features(
            manifest,
            paths,
            estimator,
            manifest.chosen_targets(options["target"]),
            FitSettings(normalize, options["class_weight"], 0, options["impute"], select),
            exclude=comma_separated(options["exclude"]),
            **{key: options[key] for key in ("metric", "group", "missing", "seeds", "cv_folds")},
        )
        how = f"{estimator.name} trained on features"
        facts = {"kind": "features", "model": estimator.name, "options": estimator.options, "how": how}
        scaled = {"normalization": "transductive" if normalize == "speaker" else "inductive"}
        files = [options["manifest"], *read]
        return made, facts | {"warnings": []} | lineage(files) | scaled, files

    return _Named(list(paths), read, study)


def _branches(options: dict[str, Any], app: App | None) -> _Named:
    from affectkit.ablation import of_branches
    from affectkit.ablation.branches import Branches
    from affectkit.results.lineage import lineage

    assert app is not None  # it is the command's, not a caller's
    run, branches = options["retrain"], Branches.of(options["retrain"])
    if options["plugin_options"]:
        name = next(iter(options["plugin_options"])).replace("_", "-")
        raise AffectkitError("usage", f"--{name} does not belong to --retrain", remedy="leave it out")

    def study(folder: Path) -> "tuple[AblationStudy, dict[str, Any], list[Path]]":
        chosen = {key: options[key] for key in ("metric", "seeds", "cv_folds")}
        facts = {"kind": "branches", "how": f"trained anew as {run.name} was", "warnings": [], **lineage([run])}
        return of_branches(branches, app, folder, **chosen), facts, [run]

    return _Named(branches.names, [run], study)


def _values(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The compared metric of each subset, by kind of rows."""
    metric, parts = summary["metric"], summary["parts"].items()
    return {part: {name: row["metrics"][metric] for name, row in of["subsets"].items()} for part, of in parts}
