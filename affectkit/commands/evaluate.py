"""`affectkit evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectkit import console
from affectkit.errors import AffectkitError
from affectkit.options import (
    GroupOpt,
    JsonOpt,
    OptionalManifestOpt,
    OutputDirOpt,
    OverwriteOpt,
    QuietOpt,
    ResumeOpt,
    SeedOpt,
    choice,
)

if TYPE_CHECKING:
    from affectkit.artifacts.manifest import Manifest
    from affectkit.artifacts.predictions import Predictions

PredictionsArg = Annotated[
    Path | None,
    typer.Argument(metavar="PREDICTIONS", help="Predictions: a CSV of any tool, or the run folder that holds predictions.csv."),
]
ModelDirOpt = Annotated[
    Path | None, typer.Option("--model-dir", help="Predict with this model instead; needs --manifest.")
]
JudgedSplitOpt = Annotated[
    str | None,
    typer.Option("--split", help="Judge the rows of this split: train, val or test  [default: test, else oof rows, else val]"),
]
SlicesOpt = Annotated[str | None, typer.Option("--slices", help="Columns to judge the parts of, such as sex,language.")]
IntervalOpt = Annotated[
    str,
    typer.Option(
        "--interval",
        help="How intervals are made; auto is the jackknife below 40 groups and the bootstrap from there.",
        metavar="auto|jackknife|bootstrap|none",
    ),
]
LevelOpt = Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="Level of the intervals.")]
ResamplesOpt = Annotated[int, typer.Option("--resamples", min=100, help="Resamples of the bootstrap.")]
TreatAsOpt = Annotated[
    str | None,
    typer.Option("--treat-as", help="The split that a CSV without a column `seen` stands for.", metavar="val|test"),
]


def evaluate(
    predictions: PredictionsArg = None,
    *,
    output_dir: OutputDirOpt,
    manifest: OptionalManifestOpt = None,
    model_dir: ModelDirOpt = None,
    split: JudgedSplitOpt = None,
    group: GroupOpt = None,
    slices: SlicesOpt = None,
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
    choice("--interval", interval, ("auto", "jackknife", "bootstrap", "none"))
    if treat_as is not None:
        choice("--treat-as", treat_as, ("val", "test"))
    source = _source(predictions, model_dir, manifest)
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.reports import read_report, write_report
    from affectkit.artifacts.runs import open_run
    from affectkit.evaluation.assess import assess
    from affectkit.reporting.figures import draw
    from affectkit.reporting.html import render
    from affectkit.reporting.text import key_lines

    with open_run("evaluate", options, inputs=[i for i in (source, manifest) if i]) as run:
        if run.finished:
            report = read_report(run.path)
        else:
            rows = read_manifest(manifest) if manifest else None
            ...
    console.result(run.path, {"split": report["split"], "n": report["n"], "metrics": report["metrics"]}, key_lines(report))


def _source(predictions: Path | None, model_dir: Path | None, manifest: Path | None) -> Path:
    """The predictions' CSV, or the model's folder."""
    if (predictions is None) == (model_dir is None):
        raise AffectkitError("usage", "evaluate takes predictions, or --model-dir with --manifest", remedy="name one of them")
    if model_dir is not None:
        if manifest is None:
            raise AffectkitError("usage", "--model-dir needs --manifest", remedy="name what to predict")
        return model_dir
    assert predictions is not None
    return predictions / "predictions.csv" if predictions.is_dir() else predictions
