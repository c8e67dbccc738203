"""`affectkit evaluate`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import affectkit.options as opt
from affectkit import console
from affectkit.console import Outcome
from affectkit.errors import AffectkitError
from affectkit.plain import comma_separated

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.artifacts.manifest import Manifest
    from affectkit.artifacts.predictions import Predictions
    from affectkit.evaluation.alerts import Alert
    from affectkit.evaluation.requirements import Requirement
    from affectkit.labels import Target

OutputDirOpt = Annotated[
    Path | None,
    typer.Option("--output-dir", "-o", help="Folder to write (default: none, where --output-... files are named)."),
]
OutputJsonOpt = Annotated[
    Path | None, typer.Option("--output-json", help="Additional file for the metrics, like metrics.json.")
]
OutputConfusionOpt = Annotated[
    Path | None,
    typer.Option("--output-confusion-csv", help="Additional file for the confusion counts of the first class target."),
]
OutputPredictionsOpt = Annotated[
    Path | None,
    typer.Option("--output-predictions-csv", help="Additional file for the predictions that were evaluated."),
]
FACTS = ("split", "n", "metrics", "agreement", "beside", "required")  # of a report, which --json prints
FILES = ("output_json", "output_confusion_csv", "output_predictions_csv")
ModelDirOpt = Annotated[
    Path | None, typer.Option("--model-dir", help="Model to predict the manifest with, instead of reading predictions.")
]
SlicesOpt = Annotated[
    str | None,
    typer.Option(
        "--slices", help="Columns by whose values to evaluate separately, comma-separated, such as sex,language."
    ),
]
AlertOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--alert",
        metavar="NAME>=THRESHOLD",
        help="Decision at a threshold to evaluate, quoted for the shell: on a class's probability "
        "('angry>=.5') or a number ('stress>=3.5'). 'phq8>=8:10' alerts from a predicted 8 on, "
        "where the truth is positive from 10 on; <= works the other way round. Repeatable.",
    ),
]
PrevalenceOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--prevalence",
        metavar="SHARE",
        help="Share of positives, such as .1, at which to state the predictive values of each --alert too; repeatable "
        "or comma-separated. Those of the rows themselves hold only where positives are as frequent as there.",
    ),
]
AgreementOpt = Annotated[
    bool,
    typer.Option(
        "--agreement",
        help="Judge how far numbers and ordered classes agree with what subjects said of themselves: over all rows, "
        "between subjects and within them; Bland-Altman limits; against the subject's own mean.",
    ),
]
IntervalOpt = Annotated[
    Literal["auto", "jackknife", "bootstrap", "none"],
    typer.Option(
        "--interval",
        help="Method of the confidence intervals; auto is the jackknife below 40 groups and the bootstrap from 40 on.",
    ),
]
LevelOpt = Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="Confidence level of the intervals.")]
ResamplesOpt = Annotated[int, typer.Option("--resamples", min=100, help="Number of bootstrap resamples.")]


def evaluate(
    predictions: opt.OptionalPredictions = None,
    *,
    output_dir: OutputDirOpt = None,
    output_json: OutputJsonOpt = None,
    output_confusion_csv: OutputConfusionOpt = None,
    output_predictions_csv: OutputPredictionsOpt = None,
    manifest: opt.OptionalManifest = None,
    model_dir: ModelDirOpt = None,
    split: opt.JudgedSplit = None,
    group: opt.Group = None,
    slices: SlicesOpt = None,
    alert: AlertOpt = None,
    prevalence: PrevalenceOpt = None,
    agreement: AgreementOpt = False,
    require: opt.Require = None,
    interval: IntervalOpt = "auto",
    level: LevelOpt = 0.95,
    resamples: ResamplesOpt = 10_000,
    treat_as: opt.TreatAs = None,
    examples: opt.Examples = 3,
    media_root: opt.MediaRoot = None,
    device: opt.Device = "auto",
    num_workers: opt.NumWorkers = None,
    on_error: opt.OnError = "stop",
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Judge predictions: metrics with intervals over speakers, floors, figures and a report in HTML.

    Only rows that the model never saw are judged, of one split; beside test rows stand the figures of cross-fitted
    ones, where there are any. Groups and slices come from the predictions, or from --manifest by id. With --model-dir
    the manifest's rows are predicted first, as `predict` does it.

    Example: affectkit evaluate runs/linear/predictions.csv --manifest runs/manifest --slices sex -o runs/report
    """
    options = dict(locals())
    source = _source(predictions, model_dir, manifest)
    from affectkit.artifacts.files import write_json
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.reports import EXAMPLES, read_report, write_report
    from affectkit.artifacts.runs import open_runs
    from affectkit.evaluation.alerts import parse_alert
    from affectkit.evaluation.assess import assess, beside
    from affectkit.evaluation.requirements import parse, verdict
    from affectkit.evaluation.rows import judged
    from affectkit.reporting import evaluated, terminal
    from affectkit.reporting.browser import write_page
    from affectkit.results.examples import pictures
    from affectkit.results.lineage import digests, lineage

    alerts, parts = [parse_alert(text) for text in alert or []], comma_separated(slices)
    stated = [parse(text) for text in dict.fromkeys(require or [])]
    prevalences = _prevalences(prevalence, alerts)
    inputs = [source, *([manifest] if manifest else [])]
    with open_runs("evaluate", options, FILES, inputs=inputs) as (run, files):
        if run and run.finished and not files:
            report = read_report(run.path)
        else:
            rows = read_manifest(manifest, media_root=media_root) if manifest else None
            work: dict[str, Any] = {"device": device, "num_workers": num_workers, "on_error": on_error}
            extra = [*([group] if group else []), *parts]
            check = partial(_check_targets, files, stated, agreement)
            table, rows, notes = _table(source, rows, extra, split, treat_as, work if model_dir else None, check)
            how: dict[str, Any] = {"level": level, "method": interval, "resamples": resamples, "seed": seed}
            how |= {"slices": parts, "alerts": alerts, "prevalences": prevalences, "agreement": agreement}
            how |= {"group": group, "floor_rows": _train_rows(table, rows)}
            report = assess(table, split=split, **how)
            if others := {} if split else beside(table, **how):
                report["beside"] = others
            report |= {"foreign": table.foreign, **lineage(inputs), "inputs": digests(inputs)}
            report["warnings"] += notes
            report |= {"required": _required(stated, report, source)} if stated else {}
            rows_judged = judged(table, split)[1]
            _write_files(files, report, rows_judged, treat_as)
            if run and not run.finished:
                write_report(run.path, report, rows_judged)
                if rows is not None and (kept := pictures(rows_judged, report, rows, examples)):
                    write_json(run.path / EXAMPLES, {"pictures": kept})
                write_page(run.path, evaluated.draw(run.path))
    place = run.path if run else next(Path(options[name]) for name in FILES if options[name])
    facts: dict[str, Any] = {key: report[key] for key in FACTS if key in report}
    return terminal.outcome(place, facts, evaluated.page(report), verdict(report.get("required", [])))


def _source(predictions: Path | None, model_dir: Path | None, manifest: Path | None) -> Path:
    """The predictions' CSV, or the model's folder."""
    if (predictions is None) == (model_dir is None):
        raise AffectkitError("usage", "evaluate takes either PREDICTIONS or --model-dir", remedy="name one of them")
    if model_dir is not None:
        if manifest is None:
            raise AffectkitError("usage", "--model-dir needs --manifest", remedy="name the rows to predict")
        return model_dir
    from affectkit.artifacts.sources import predictions_path

    assert predictions is not None
    return predictions_path(predictions)


def _table(
    source: Path,
    rows: "Manifest | None",
    extra: list[str],
    split: str | None,
    treat_as: str | None,
    work: dict[str, Any] | None,
    check: Callable[["list[Target]"], None],
) -> tuple["Predictions", "Manifest | None", list[str]]:
    """The predictions, with what the manifest says of their rows; the manifest's rows as the model answers them; and
    what a report must say.

    extra: columns that are needed. work: how to predict, where `source` is a model. check: of the targets, before it.
    """
    from affectkit.artifacts.models import best_model
    from affectkit.artifacts.predictions import join_columns
    from affectkit.artifacts.sources import model_beside, read_joined, rows_answered
    from affectkit.splits import GROUP_COLUMNS

    if work is not None and rows is not None:
        table, notes = _predicted(source, rows, split, work, check)
        carried = [*rows.targets, "split", *GROUP_COLUMNS, *extra]
        answered = rows_answered(rows, best_model(source))
        return join_columns(table, answered.rows, list(dict.fromkeys(carried))), answered, notes
    table = read_joined(source, manifest=rows, columns=extra, treat_as=treat_as)
    check(list(table.targets.values()))
    notes = [f"the rows stand for split {treat_as} because --treat-as says so"] if treat_as else []
    return table, rows_answered(rows, model_beside(source)) if rows else None, notes


def _predicted(
    model_dir: Path,
    rows: "Manifest",
    split: str | None,
    work: dict[str, Any],
    check: Callable[["list[Target]"], None],
) -> tuple["Predictions", list[str]]:
    """Predictions, made now, of the rows that the model was not fitted on; and how many it could not make."""
    from affectkit.artifacts.sources import rows_answered
    from affectkit.inference import Work, load_model, without_fit_rows
    from affectkit.labels import Target

    splits = set(rows.rows["split"]) if "split" in rows.rows else set()
    wanted = split or ("test" if "test" in splits else None)
    model = load_model(model_dir)
    check([Target.from_json(target) for target in model.spec["targets"]])
    chosen = without_fit_rows(model, rows.take(rows.rows["split"] == wanted) if wanted in splits else rows)
    with console.progress("predict") as progress:
        table = model.predict(chosen, Work(**work, progress=progress))
    asked = len(rows_answered(chosen, model.folder).rows)
    lost = asked - len(table.frame)
    return table, [f"{lost} of {asked} rows could not be predicted and are not judged"] if lost else []


def _prevalences(texts: list[str] | None, alerts: "list[Alert]") -> tuple[float, ...]:
    from affectkit.evaluation.alerts import parse_prevalences

    prevalences = parse_prevalences(texts or [])
    if prevalences and not alerts:
        remedy = "add one, such as --alert 'phq8>=10'"
        raise AffectkitError("usage", "--prevalence is of the predictive values of an --alert", remedy=remedy)
    return prevalences


def _check_targets(
    files: dict[str, Path], stated: "list[Requirement]", agreement: bool, targets: "list[Target]"
) -> None:
    """Refuse what cannot be written, required or judged of these targets."""
    from affectkit.evaluation.agreement import agreeing

    if agreement:
        agreeing(targets)
    for requirement in stated:
        requirement.of({target.name: target for target in targets}, agreement=agreement)
    if "output_confusion_csv" in files and all(target.kind == "number" for target in targets):
        names = ", ".join(target.name for target in targets)
        message = f"--output-confusion-csv is of classes, and {names} is predicted as a number"
        raise AffectkitError("usage", message, remedy="leave it out")


def _required(stated: "list[Requirement]", report: dict[str, Any], source: Path) -> list[dict[str, Any]]:
    """What was required against what was reached: of the judged rows, or for a gap of the run."""
    from affectkit.evaluation.agreement import flat
    from affectkit.evaluation.requirements import GAP, gap_of
    from affectkit.labels import Target

    targets = {target["name"]: Target.from_json(target) for target in report["targets"]}
    agreement, judged = report.get("agreement"), []
    metrics = report["metrics"] | (flat(agreement) if agreement else {})
    for requirement in (each.of(targets, agreement=bool(agreement)) for each in stated):
        if requirement.name == GAP:
            gap = gap_of(source)
            judged.append(requirement.judged(gap, of=f"{gap['metric']}, fit rows to {gap['part']} rows"))
        else:
            figure = requirement.figure_in(metrics)
            judged.append(requirement.judged(figure, of=f"{report['split']} rows"))
    return judged


def _write_files(files: dict[str, Path], report: dict[str, Any], table: "Predictions", treat_as: str | None) -> None:
    """table: the rows that were judged."""
    from affectkit.artifacts.files import write_json
    from affectkit.artifacts.predictions import write_predictions
    from affectkit.artifacts.reports import write_confusion
    from affectkit.artifacts.sources import as_seen

    if path := files.get("output_confusion_csv"):
        write_confusion(path, report)
    if path := files.get("output_json"):
        write_json(path, report)
    if path := files.get("output_predictions_csv"):
        write_predictions(path, as_seen(table, treat_as))


def _train_rows(table: "Predictions", rows: "Manifest | None") -> "pd.DataFrame | None":
    """The manifest's train rows, whose majority class and mean are the floors."""
    if rows is None or "split" not in rows.rows or any(target not in rows.rows for target in table.targets):
        return None
    train = rows.rows[rows.rows["split"] == "train"]
    return train if len(train) else None
