"""`affectkit evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from affectkit import console
from affectkit.errors import AffectkitError
from affectkit.options import (
    GroupOpt,
    JsonOpt,
    JudgedSplitOpt,
    OptionalManifestOpt,
    OptionalPredictionsArg,
    OutputDirOpt,
    OverwriteOpt,
    QuietOpt,
    ResumeOpt,
    SeedOpt,
    TreatAsOpt,
)
from affectkit.plain import comma_separated

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.artifacts.manifest import Manifest
    from affectkit.artifacts.predictions import Predictions

ModelDirOpt = Annotated[
    Path | None, typer.Option("--model-dir", help="Predict with this model instead; needs --manifest.")
]
SlicesOpt = Annotated[str | None, typer.Option("--slices", help="Columns to judge the parts of, such as sex,language.")]
AlertOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--alert",
        metavar="NAME>=THRESHOLD",
        help="Judge a decision, quoted for the shell: a class's probability 'angry>=.5', a number 'stress>=3.5' "
        "(positive where the truth is, or from another value on: 'phq8>=8:10'); <= is the other way. Repeatable.",
    ),
]
IntervalOpt = Annotated[
    Literal["auto", "jackknife", "bootstrap", "none"],
    typer.Option(
        "--interval",
        help="How intervals are made; auto is the jackknife below 40 groups and the bootstrap from there.",
    ),
]
LevelOpt = Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="Level of the intervals.")]
ResamplesOpt = Annotated[int, typer.Option("--resamples", min=100, help="Resamples of the bootstrap.")]


def evaluate(
    predictions: OptionalPredictionsArg = None,
    *,
    output_dir: OutputDirOpt,
    manifest: OptionalManifestOpt = None,
    model_dir: ModelDirOpt = None,
    split: JudgedSplitOpt = None,
    group: GroupOpt = None,
    slices: SlicesOpt = None,
    alert: AlertOpt = None,
    interval: IntervalOpt = "auto",
    level: LevelOpt = 0.95,
    resamples: ResamplesOpt = 10_000,
    treat_as: TreatAsOpt = None,
    seed: SeedOpt = 0,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    quiet: QuietOpt = False,
    json_output: JsonOpt = False,
) -> None:
    """Judge predictions: metrics with intervals over speakers, floors, figures and a report in HTML.

    Only rows that the model never saw are judged, of one split. Groups and slices come from the predictions, or from
    --manifest by id.

    Example: affectkit evaluate runs/linear/predictions.csv --manifest runs/manifest --slices sex -o runs/report
    """
    options = dict(locals())
    source = _source(predictions, model_dir, manifest)
    from affectkit.artifacts.joined import read_joined
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.predictions import join_columns
    from affectkit.artifacts.reports import read_report, write_report
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import called
    from affectkit.evaluation.alerts import parse_alert
    from affectkit.evaluation.assess import assess
    from affectkit.evaluation.rows import judged
    from affectkit.reporting.figures import draw
    from affectkit.reporting.html import render
    from affectkit.reporting.lineage import digests, lineage
    from affectkit.reporting.text import key_lines
    from affectkit.splits import GROUP_COLUMNS

    alerts = [parse_alert(text) for text in alert or []]
    inputs = [source, *([manifest] if manifest else [])]
    with open_run("evaluate", options, inputs=inputs) as run:
        if run.finished:
            report = read_report(run.path)
        else:
            rows = read_manifest(manifest) if manifest else None
            parts = comma_separated(slices)
            extra = [*([group] if group else []), *parts]
            if model_dir is not None and rows is not None:
                carried = [*rows.targets, "split", *GROUP_COLUMNS, *extra]
                table = join_columns(_predicted(model_dir, rows, split), rows.rows, list(dict.fromkeys(carried)))
            else:
                table = read_joined(source, manifest=rows, columns=extra, treat_as=treat_as)
            how: dict[str, Any] = {"level": level, "method": interval, "resamples": resamples, "seed": seed}
            how |= {"slices": parts, "alerts": alerts, "floor_rows": _train_rows(table, rows)}
            report = assess(table, split=split, group=group, **how)
            report |= {"foreign": table.foreign, **lineage(inputs), "inputs": digests(inputs)}
            if treat_as:
                report["warnings"].append(f"the rows stand for split {treat_as} because --treat-as says so")
            figures = draw(report, judged(table, split)[1])
            page = render(report, figures, title=f"Evaluation of {called(source)}")
            write_report(run.path, report, {figure.name: figure.plot.svg for figure in figures}, page)
    console.result(
        run.path, {"split": report["split"], "n": report["n"], "metrics": report["metrics"]}, key_lines(report)
    )


def _source(predictions: Path | None, model_dir: Path | None, manifest: Path | None) -> Path:
    """The predictions' CSV, or the model's folder."""
    if (predictions is None) == (model_dir is None):
        raise AffectkitError("usage", "evaluate takes either PREDICTIONS or --model-dir", remedy="name one of them")
    if model_dir is not None:
        if manifest is None:
            raise AffectkitError("usage", "--model-dir needs --manifest", remedy="name the rows to predict")
        return model_dir
    assert predictions is not None
    return predictions / "predictions.csv" if predictions.is_dir() else predictions


def _predicted(model_dir: Path, rows: "Manifest", split: str | None) -> "Predictions":
    """Predictions, made now, of the rows that the model was not fitted on."""
    from affectkit.inference import load_model, without_fit_rows

    splits = set(rows.rows["split"]) if "split" in rows.rows else set()
    wanted = split or ("test" if "test" in splits else None)
    model = load_model(model_dir)
    with console.progress("predict") as progress:
        chosen = rows.take(rows.rows["split"] == wanted) if wanted in splits else rows
        return model.predict(without_fit_rows(model, chosen), progress=progress)


def _train_rows(table: "Predictions", rows: "Manifest | None") -> "pd.DataFrame | None":
    """The manifest's train rows, whose majority class and mean are the floors."""
    if rows is None or "split" not in rows.rows or any(target not in rows.rows for target in table.targets):
        return None
    train = rows.rows[rows.rows["split"] == "train"]
    return train if len(train) else None
