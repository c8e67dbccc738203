"""`affectkit ablate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome
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
        help="Named features to train on instead of predictions: a folder or a CSV. Repeatable.",
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
    int,
    typer.Option(
        "--seeds", min=1, help="Number of repetitions with seeds 0, 1, ... for drawn folds and the estimator."
    ),
]
CvFoldsOpt = Annotated[
    int | None,
    typer.Option("--cv-folds", min=2, help="Draw this many folds of whole groups (default: folds as they are)."),
]
MostOpt = Annotated[int, typer.Option("--max-subsets", min=3, help="Maximum number of subsets; more are refused.")]


def ablate(
    sources: TablesArg = None,
    *,
    output_dir: opt.OutputDir,
    rule: RuleOpt = None,
    manifest: opt.OptionalManifest = None,
    features: NamedFeaturesOpt = None,
    model: ModelOpt = None,
    target: TargetOpt = None,
    metric: MetricOpt = None,
    seeds: SeedsOpt = 5,
    cv_folds: CvFoldsOpt = None,
    fit_on: opt.FitOn = None,
    treat_as: opt.TreatAsVal = None,
    normalize: opt.Normalize = "train",
    class_weight: opt.ClassWeight = "balanced",
    group: opt.Group = None,
    missing: opt.Missing = "stop",
    max_subsets: MostOpt = 255,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **plugin_options: Any,
) -> Outcome:
    """Judge every subset of several sources: predictions that are fused, or features that are trained on.

    All subsets have the same rows, folds and seeds. Each is compared, over whole speakers, with all sources together
    and with the best single one. --resume keeps the subsets that are finished.

    Example: affectkit ablate voice=runs/voice text=runs/text face=runs/face --rule mean -o runs/ablation
    """
    options = dict(locals())
    _refuse_mixture(options)
    from affectkit.ablation import ablate as judge_subsets
    from affectkit.ablation import subsets, write_ablation
    from affectkit.artifacts.files import read_json
    from affectkit.artifacts.reports import ABLATION
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import named_paths
    from affectkit.reporting import ablated, terminal
    from affectkit.reporting.browser import write_page
    from affectkit.results.lineage import digests

    paths = named_paths(sources or features or [], least=2)
    chosen = subsets(list(paths), most=max_subsets)
    built = _built(options)
    with open_run("ablate", options, inputs=[*paths.values(), manifest]) as run:
        if not run.finished:
            study, facts, read = (_of_predictions if sources else _of_features)(paths, built, options)
            with console.progress("ablate") as progress:
                judged = judge_subsets(study, chosen, run.path, progress=progress)
            write_ablation(run.path, {**facts, **judged, "inputs": digests(read)})
            write_page(run.path, ablated.draw(run.path))
        summary, page = read_json(run.path / ABLATION, what="summary of an ablation"), ablated.draw(run.path)
    return terminal.outcome(run.path, {"metric": summary["metric"], "parts": _values(summary)}, page)


def _refuse_mixture(options: dict[str, Any]) -> None:
    """Refuse predictions beside features, and options of the one with the other."""
    if bool(options["sources"]) == bool(options["features"]):
        remedy = "name NAME=PREDICTIONS, or --manifest and --features NAME=PATH"
        raise AffectkitError("usage", "ablate takes either predictions or --features", remedy=remedy)
    if options["features"] and options["manifest"] is None:
        raise AffectkitError("usage", "--features needs --manifest", remedy="name the rows to train on")
    default = {"model": None, "normalize": "train", "class_weight": "balanced", "missing": "stop"}
    others = default if options["sources"] else dict.fromkeys(["rule", "fit_on", "treat_as"])
    for name, value in others.items():
        if options[name] != value:
            of = "--features" if options["sources"] else "predictions"
            raise AffectkitError("usage", f"--{name.replace('_', '-')} belongs to {of}", remedy="leave it out")


def _built(options: dict[str, Any]) -> Any:
    """The rule, or the estimator. Raises "usage" for an unknown one, and for options that it lacks."""
    from affectkit.estimators._fit import build_estimator
    from affectkit.fusion.rule import build_rule

    plugin_options = options["plugin_options"]
    if options["sources"]:
        rule = build_rule(options["rule"] or "mean", plugin_options)
        if not rule.learns:
            what = f"--rule {rule.name} takes each row from one source: there are no subsets to judge"
            raise AffectkitError("usage", what, remedy="use mean, or another rule")
        return rule
    return build_estimator(options["model"] or "linear", plugin_options)


def _of_predictions(
    paths: dict[str, Path], rule: Any, options: dict[str, Any]
) -> "tuple[AblationStudy, dict[str, Any], list[Path]]":
    """The sources, how they are fused, and the files that were read."""
    from affectkit.ablation import of_predictions
    from affectkit.artifacts.sources import read_joined_sources
    from affectkit.media.texts import LANGUAGE
    from affectkit.results.lineage import lineage

    group, treat_as = options["group"], options["treat_as"]
    columns = [*([group] if group else []), LANGUAGE]
    how: dict[str, Any] = {"manifest": options["manifest"], "columns": columns, "treat_as": treat_as}
    named = read_joined_sources(paths, tables=rule.takes_tables, **how)
    study = of_predictions(
        named,
        rule.name,
        options["plugin_options"],
        targets=comma_separated(options["target"]),
        **{key: options[key] for key in ("metric", "fit_on", "group", "seeds", "cv_folds")},
    )
    notes = [f"the rows stand for split {treat_as} because --treat-as says so"] if treat_as else []
    facts = {"kind": "predictions", "rule": rule.name, "options": rule.options, "how": f"fused by {rule.name}"}
    read = [source.path for source in named]
    return study, facts | {"warnings": notes} | lineage(read), read


def _of_features(
    paths: dict[str, Path], estimator: Any, options: dict[str, Any]
) -> "tuple[AblationStudy, dict[str, Any], list[Path]]":
    """The sets of features, what is trained on them, and what was read."""
    from affectkit.ablation import of_features
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.estimators._fit import FitSettings
    from affectkit.results.lineage import lineage

    name, normalize = estimator.name, options["normalize"]
    manifest = read_manifest(options["manifest"])
    study = of_features(
        manifest,
        paths,
        estimator,
        manifest.chosen_targets(options["target"]),
        FitSettings(normalize, options["class_weight"]),
        **{key: options[key] for key in ("metric", "group", "missing", "seeds", "cv_folds")},
    )
    facts = {"kind": "features", "model": name, "options": estimator.options, "how": f"{name} trained on features"}
    read = [options["manifest"], *paths.values()]
    scaled = {"normalization": "transductive" if normalize == "speaker" else "inductive"}
    return study, facts | {"warnings": []} | lineage(read) | scaled, read


def _values(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The compared metric of each subset, by kind of rows."""
    metric, parts = summary["metric"], summary["parts"].items()
    return {part: {name: row["metrics"][metric] for name, row in of["subsets"].items()} for part, of in parts}
