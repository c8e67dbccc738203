"""`affectkit train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

ModelOpt = Annotated[str, typer.Option("--model", help=f"Estimator: {', '.join(registry.names('estimators'))}.")]
FeaturesOpt = Annotated[
    list[Path] | None,
    typer.Option("--features", help="Features: a folder or a CSV of named columns. Repeatable: several are joined."),
]
TargetOpt = Annotated[
    str | None,
    typer.Option("--target", help="Targets, comma-separated (default: label, else all that the manifest has)."),
]
CvOpt = Annotated[
    bool,
    typer.Option(
        "--cv", help="Whether to cross-predict the train and val rows, by the manifest's folds or else by group."
    ),
]


def train(
    manifest: opt.Manifest,
    output_dir: opt.OutputDir,
    features: FeaturesOpt = None,
    model: ModelOpt = "linear",
    target: TargetOpt = None,
    normalize: opt.Normalize = "train",
    class_weight: opt.ClassWeight = "balanced",
    row_weights: opt.RowWeights = "",
    cv: CvOpt = False,
    group: opt.Group = None,
    missing: opt.Missing = "stop",
    num_workers: opt.NumWorkers = None,
    device: opt.Device = "auto",
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **plugin_options: Any,
) -> Outcome:
    """Train an estimator on features, and predict every row that may be judged.

    Hyper-parameters, and how many epochs a network is trained, are chosen by grouped cross-validation inside the fit
    rows. Test rows are never fitted. mlp takes pooled features, also of all layers of an encoder, which it learns to
    weigh; attention takes frames. Both run on --device, and a killed run goes on with --resume.

    Example: affectkit train --manifest runs/manifest --features runs/egemaps --model linear --cv -o runs/linear
    """
    options = dict(locals())
    if not features:
        raise AffectkitError("usage", "train needs --features", remedy="extract some, or name a --protocol")
    from dataclasses import replace

    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.distributed import Ranks
    from affectkit.estimators._fit import FitSettings, build_estimator
    from affectkit.estimators._train import clean_up, load_dataset, train_model, workspace_of
    from affectkit.reporting import evaluated, terminal
    from affectkit.reporting.trained import HISTORY, write_training_page
    from affectkit.results.kinds import of_training
    from affectkit.results.save import save_result

    estimator = build_estimator(model, plugin_options)
    with open_run("train", options, inputs=[manifest, *features]) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        rows = read_manifest(manifest)
        targets = rows.chosen_targets(target)
        data = load_dataset(rows, features, group=group, missing=missing, estimator=estimator)
        data = replace(data, row_weights=row_weights)
        workspace = workspace_of(estimator, run.path, device, Ranks().workers(num_workers))
        settings = FitSettings(normalize, class_weight, seed)
        with console.progress("train") as progress:
            trained = train_model(data, estimator, targets, settings, cv=cv, progress=progress, workspace=workspace)
        result = of_training(trained, rows)
        save_result(run.path, result)
        if HISTORY in result.files:
            write_training_page(run.path)
        clean_up(run.path)
        if workspace:
            run.note(device=str(workspace.accelerator.device))
    pages = {part: evaluated.page(report) for part, report in result.reports.items()}
    return terminal.outcome(run.path, {"metrics": result.metrics}, pages)
