"""`affectkit finetune`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import affectkit.options as opt
from affectkit import console
from affectkit.console import Outcome
from affectkit.errors import AffectkitError
from affectkit.options import flat
from affectkit.training.settings import LossOptions, Settings
from affectkit.training.stages import StageOptions

BaseModelOpt = Annotated[
    str | None,
    typer.Option(
        "--base-model",
        help="Network to fine-tune, for speech, texts or images: a Hugging Face hub id or a local folder; "
        "open_clip:ViT-B-32/TAG or timm:resnet50 (or .../FILE); for a dry run tiny-random:wav2vec2, tiny-random:bert "
        "or tiny-random:vit (default: that of the run of --init).",
    ),
]
RevisionOpt = Annotated[str, typer.Option("--revision", help="Branch, tag or commit of a hub id.")]
TargetOpt = Annotated[
    str | None,
    typer.Option("--target", help="Targets, comma-separated (default: label, else all that the manifest has)."),
]
FractionOpt = Annotated[
    float | None,
    typer.Option(
        "--early-stopping-fraction",
        min=0,
        max=0.5,
        help="Choose epochs by this share of the rows fitted on, whole groups, instead of val; 0: keep the last epoch "
        "(default: val rows; .15 with --cv).",
        rich_help_panel="Stages",
    ),
]
PrecisionOpt = Annotated[
    Literal["no", "bf16", "fp16"],
    typer.Option("--mixed-precision", help="Arithmetic of the network: float32, or mixed with a shorter type."),
]
CvOpt = Annotated[
    bool,
    typer.Option("--cv", help="Cross-predict train and val rows: fine-tune once per fold, and a last time on all."),
]
InitOpt = Annotated[
    Path | None,
    typer.Option(
        "--init",
        help="Weights to start from: a run of finetune, with --cv one that kept its folds, each of which then starts "
        "from its own; or a file of weights (.safetensors, .pt, .pth).",
        rich_help_panel="Stages",
    ),
]
KeepFoldsOpt = Annotated[
    bool,
    typer.Option("--keep-folds", help="Whether to keep the network of each fold, for a later --init with --cv."),
]
BesideOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--beside",
        metavar="NAME=RUN",
        help="Model whose probabilities are mixed with the network's: a run folder, or a CSV of predictions that says "
        "'seen'. Repeat it for more. Rows that it was fitted on enter by its cross-fitted answers; with --cv a run of "
        "train is fitted again inside each fold.",
        rich_help_panel="Mixture",
    ),
]
MixOpt = Annotated[
    str | None,
    typer.Option(
        "--mix",
        help="How branches are mixed: a weight of each, in the order of --beside, the network's last, such as .7,.3; "
        "learn: weights that are trained; layer: a layer over probabilities and the network's features "
        "(default: equal weights).",
        rich_help_panel="Mixture",
    ),
]


def finetune(
    manifest: opt.Manifest,
    output_dir: opt.OutputDir,
    stage_options: Annotated[StageOptions, "Stages"],
    loss_options: Annotated[LossOptions, "Loss"],
    settings: Annotated[Settings, "Steps"],
    base_model: BaseModelOpt = None,
    init: InitOpt = None,
    beside: BesideOpt = None,
    mix: MixOpt = None,
    target: TargetOpt = None,
    cv: CvOpt = False,
    keep_folds: KeepFoldsOpt = False,
    separate: opt.Separate = False,
    group: opt.Group = None,
    revision: RevisionOpt = "",
    early_stopping_fraction: FractionOpt = None,
    examples: opt.Examples = 3,
    media_root: opt.MediaRoot = None,
    on_error: opt.OnError = "stop",
    mixed_precision: PrecisionOpt = "no",
    track: opt.Track = None,
    num_workers: opt.NumWorkers = None,
    device: opt.Device = "auto",
    bundle: opt.Bundle = False,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **medium_options: Any,
) -> Outcome:
    """Fine-tune a speech, text or image network end to end, and predict every row that may be judged.

    The best epoch over all stages is kept. A killed run goes on with --resume, to the same bits. Several processes or
    machines: accelerate launch -m affectkit finetune ... (with --multi_gpu also on CPUs).

    Where other models stand beside the network, the report says what each branch, and each stage, was worth.

    Example: affectkit finetune --manifest runs/manifest --base-model facebook/wav2vec2-base -o runs/ser
    """
    stage_options = stage_options.resolved
    options = flat(locals())
    _check(base_model, init, beside, mix, cv, keep_folds)
    from dataclasses import replace

    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import named_paths
    from affectkit.distributed import ranks
    from affectkit.finetuning.finetune import check_separate, clean_up, separately
    from affectkit.finetuning.finetune import finetune as run_finetuning
    from affectkit.finetuning.medium import readable
    from affectkit.finetuning.rows import Setup
    from affectkit.finetuning.start import medium_to_train, read_start
    from affectkit.inference.beside import read_beside
    from affectkit.reporting import evaluated, terminal
    from affectkit.reporting.separate import separate_lines
    from affectkit.reporting.trained import write_training_page
    from affectkit.reporting.worth import worth_lines
    from affectkit.results.kinds import of_finetuning
    from affectkit.results.save import save_result
    from affectkit.training.accelerating import open_accelerator
    from affectkit.training.journal import FINAL, open_journal
    from affectkit.training.judging import monitor_of

    here = ranks(cpu=device == "cpu")
    workers = here.workers(num_workers)
    start = read_start(init, cv=cv) if init else None
    medium = medium_to_train(start, base_model, revision, options.pop("medium_options"))
    options |= flat({"medium": medium})
    size, seconds = medium.batch_size, medium.batch_seconds
    settings = replace(settings, batch_size=size, batch_seconds=seconds, seed=seed, num_workers=workers)
    setup = Setup(medium, stage_options.read(), settings, loss_options, early_stopping_fraction, start)
    setup = replace(setup, keep_folds=keep_folds)
    accelerator = open_accelerator(device, mixed_precision)
    named = named_paths(beside or [], least=0)
    inputs = [manifest, *([Path(base_model)] if base_model and Path(base_model).is_dir() else []), init]
    inputs += [medium.features, *named.values()]
    with open_run("finetune", options, inputs=inputs, is_main=here.is_main, barrier=here.barrier) as run:
        if run.finished:
            return Outcome(run.path, finished=True) if here.is_main else Outcome()
        rows = read_manifest(manifest, media_root=media_root)
        rows = readable(rows, medium, run.path, on_error=on_error, num_workers=workers, is_main=here.is_main)
        targets = rows.chosen_targets(target)
        if named:
            how: dict[str, Any] = {"group": group, "cv": cv, "device": device, "num_workers": workers}
            setup = replace(setup, beside=read_beside(named, mix, rows, targets, **how))
        if separate:
            check_separate(targets, setup)
        start: dict[str, Any] = {"resumed": run.resumed, "options": options, "track": track, "curves": FINAL}
        start |= {"targets": [each.name for each in targets], "monitor": monitor_of(setup.stages, targets)}
        with (
            console.progress("finetune") as progress,
            open_journal(run.path, "finetune", **start, is_main=here.is_main),
        ):
            what = rows, targets, setup, run.path, accelerator
            finetuned = run_finetuning(*what, group=group, cv=cv, progress=progress)
            if separate:
                alone = separately(*what, group=group, cv=cv, progress=progress)
                finetuned = replace(finetuned, separate=alone)
        if here.is_main:
            result = of_finetuning(finetuned, rows, examples)
            save_result(run.path, result, bundle=bundle)
            write_training_page(run.path)
            clean_up(run.path)
            run.note(device=str(accelerator.device), processes=here.world)
    if not here.is_main:
        return Outcome()
    pages = {part: evaluated.page(report) for part, report in result.reports.items()}
    outcome = terminal.outcome(run.path, {"metrics": result.metrics}, pages)
    return replace(outcome, lines=[*outcome.lines, *worth_lines(result.facts), *separate_lines(result.facts)])


def _check(
    base_model: str | None, init: Path | None, beside: list[str] | None, mix: str | None, cv: bool, keep_folds: bool
) -> None:
    if base_model is None and (init is None or not init.is_dir()):
        remedy = "name a network, or a run of finetune with --init"
        raise AffectkitError("usage", "there is no --base-model to fine-tune", remedy=remedy)
    if mix and not beside:
        raise AffectkitError("usage", "--mix has nothing to mix", remedy="name a model with --beside NAME=RUN")
    if keep_folds and not cv:
        raise AffectkitError("usage", "--keep-folds keeps folds, and there are none", remedy="pass --cv")
