"""`affectkit train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from affectkit import console
from affectkit.options import (
    ClassWeightOpt,
    GroupOpt,
    JsonOpt,
    ManifestOpt,
    MissingOpt,
    NormalizeOpt,
    OutputDirOpt,
    OverwriteOpt,
    QuietOpt,
    ResumeOpt,
    SeedOpt,
)

ModelOpt = Annotated[str, typer.Option("--model", help="Estimator: linear, svm or forest.")]
FeaturesOpt = Annotated[
    list[Path], typer.Option("--features", help="Features folder, or CSV of named columns; repeat it to join several.")
]
TargetOpt = Annotated[
    str | None,
    typer.Option("--target", help="Targets, comma-separated", show_default="label, else all that the manifest has"),
]
CvOpt = Annotated[
    bool,
    typer.Option("--cv", help="Cross-predict the train and val rows by the manifest's folds, else by group."),
]


def train(
    manifest: ManifestOpt,
    features: FeaturesOpt,
    output_dir: OutputDirOpt,
    model: ModelOpt = "linear",
    target: TargetOpt = None,
    normalize: NormalizeOpt = "train",
    class_weight: ClassWeightOpt = "balanced",
    cv: CvOpt = False,
    group: GroupOpt = None,
    missing: MissingOpt = "stop",
    seed: SeedOpt = 0,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    quiet: QuietOpt = False,
    json_output: JsonOpt = False,
    **estimator_options: Any,
) -> None:
    """Train an estimator on features, and predict every row that may be judged.

    Hyper-parameters are chosen by grouped cross-validation inside the fit rows. Test rows are never fitted.

    Example: affectkit train --manifest runs/manifest --features runs/egemaps --model linear --cv -o runs/linear
    """
    options = dict(locals())
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.estimators._fit import Settings, build_estimator
    from affectkit.estimators._train import load_dataset, train_model
    from affectkit.reporting.text import key_lines
    from affectkit.reporting.trained import write_trained

    estimator = build_estimator(model, estimator_options)
    with open_run("train", options, inputs=[manifest, *features]) as run:
        if run.finished:
            console.result(run.path, {})
            return
        rows = read_manifest(manifest)
        targets = rows.chosen_targets(target)
        data = load_dataset(rows, features, group=group, missing=missing)
        with console.progress("train") as progress:
            trained = train_model(
                data, estimator, targets, Settings(normalize, class_weight, seed), cv=cv, progress=progress
            )
        reports = write_trained(run.path, trained, rows)
    metrics = {part: report["metrics"] for part, report in reports.items()}
    console.result(run.path, {"metrics": metrics}, [line for report in reports.values() for line in key_lines(report)])
