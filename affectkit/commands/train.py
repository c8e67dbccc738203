"""`affectkit train`."""

from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

CvOpt = Annotated[
    bool,
    typer.Option(
        "--cv", help="Whether to cross-predict the train and val rows, by the manifest's folds or else by group."
    ),
]

ImportanceOpt = Annotated[
    bool | None,
    typer.Option(
        "--importance/--no-importance",
        help="Whether to tell what each named column is worth: how far UAR (or CCC) falls on held-out rows once its "
        "cells change places between groups (default: yes for tables, no for other features).",
    ),
]

ExportAttentionOpt = Annotated[
    bool,
    typer.Option(
        "--export-attention",
        help="Whether to write the attention of each head to each step, on the rows that judge the model: "
        "attention.csv, and all weights in attention/ (cross-attention).",
    ),
]


def train(
    manifest: opt.Manifest,
    output_dir: opt.OutputDir,
    features: opt.Features = None,
    model: opt.Model = "linear",
    target: opt.LearnedTargets = None,
    sequence: opt.OptionalSequence = None,
    time: opt.OptionalTime = None,
    truth: opt.OptionalTruth = None,
    normalize: opt.Normalize = "train",
    class_weight: opt.ClassWeight = "balanced",
    row_weights: opt.RowWeights = "",
    exclude: opt.Exclude = None,
    impute: opt.Impute = "median",
    select_features: opt.SelectFeatures = None,
    cv: CvOpt = False,
    group: opt.Group = None,
    missing: opt.Missing = "stop",
    importance: ImportanceOpt = None,
    separate: opt.Separate = False,
    export_attention: ExportAttentionOpt = False,
    num_workers: opt.NumWorkers = None,
    track: opt.Track = None,
    device: opt.Device = "auto",
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **plugin_options: Any,
) -> Outcome:
    """Train an estimator on features, and predict every row that may be judged.

    Hyper-parameters, and how many epochs a network is trained, are chosen by grouped cross-validation inside the fit
    rows. Test rows are never fitted. mlp takes pooled features, also of all layers of an encoder, which it learns to
    weigh; attention takes frames, or with --sequence the windows of a session, for which it gives one answer (affectkit
    aggregate puts answers of windows together instead); cross-attention takes two or more sets of either, which attend
    to each other. All three learn several targets together, by one network with a head of each (of ordered classes a
    cumulative link); a row may lack some of them. They run on --device, and a killed run goes on with --resume. Of a
    table, what kind each column is of is told by all of its cells, and printed; gaps are filled and categories encoded
    by the rows fitted on (boosted reads both as they are), and a column that may be the label in disguise is warned of
    by name.

    Example: affectkit train --manifest runs/manifest --features runs/egemaps --model linear --cv -o runs/linear
    """
    options = dict(locals())
    if not features:
        raise AffectkitError("usage", "train needs --features", remedy="extract some, or name a --protocol")
    from dataclasses import replace

    from affectkit.artifacts.columns import in_words
    from affectkit.artifacts.histories import HISTORY
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.table_features import files_of
    from affectkit.distributed import Ranks
    from affectkit.estimators._again import assemble
    from affectkit.estimators._estimator import TrainedInEpochs
    from affectkit.estimators._fit import build_estimator
    from affectkit.estimators._train import clean_up, workspace_of
    from affectkit.reporting import evaluated, terminal
    from affectkit.reporting.attended import ATTENTION
    from affectkit.reporting.separate import separate_lines
    from affectkit.reporting.trained import IMPORTANCE, write_training_page
    from affectkit.results.kinds import of_training
    from affectkit.results.save import save_result
    from affectkit.results.separate import SEPARATE
    from affectkit.training.journal import open_journal

    estimator = build_estimator(model, plugin_options)
    if track and not isinstance(estimator, TrainedInEpochs):
        message = f"--track: {model} is not trained epoch by epoch"
        raise AffectkitError("usage", message, remedy="leave it out, or use a network, such as --model mlp")
    with open_run("train", options, inputs=[manifest, *files_of(features)]) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        rows = read_manifest(manifest)
        training = assemble(rows, estimator, options)
        workspace = workspace_of(estimator, run.path, device, Ranks().workers(num_workers))
        names = [each.name for each in training.targets]
        journaled: dict[str, Any] = {"resumed": run.resumed, "options": options, "track": track, "targets": names}
        with console.progress("train") as progress, open_journal(run.path, "train", **journaled) as journal:
            how: dict[str, Any] = {"cv": cv, "importance": importance, "separate": separate}
            how |= {"attention_to": run.path} if export_attention else {}
            trained = training.run(**how, progress=progress, workspace=workspace)
            for fit in trained.model.fits:
                journal.tell_history(fit.history)
        result = of_training(trained, training.data.manifest)
        save_result(run.path, result)
        if {HISTORY, IMPORTANCE, SEPARATE, ATTENTION} & result.files.keys():
            write_training_page(run.path)
        clean_up(run.path)
        if workspace:
            run.note(device=str(workspace.accelerator.device))
    pages = {part: evaluated.page(report) for part, report in result.reports.items()}
    outcome = terminal.outcome(run.path, {"metrics": result.metrics}, pages)
    sequences = [training.data.sequences.in_words()] if training.data.sequences else []
    lines = [*in_words(training.data.columns), *sequences, *outcome.lines, *separate_lines(result.facts)]
    return replace(outcome, lines=lines)
