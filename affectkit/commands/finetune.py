"""`affectkit finetune`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from affectkit import console
from affectkit.console import Outcome
from affectkit.options import (
    ClassWeightOpt,
    DeviceOpt,
    GroupOpt,
    JsonOpt,
    ManifestOpt,
    McDropoutOpt,
    MediaRootOpt,
    NumWorkersOpt,
    OnErrorOpt,
    OutputDirOpt,
    OverwriteOpt,
    QuietOpt,
    ResumeOpt,
    SeedOpt,
    TtaOpt,
)

_MODEL, _STAGES, _LOSS, _DATA, _RUN = "The network", "Stages", "Loss", "Data", "The run"

BaseModelOpt = Annotated[
    str,
    typer.Option(
        "--base-model",
        help="Hugging Face hub id or local folder, of a speech or an image network; open_clip:ViT-B-32/TAG or "
        "timm:resnet50 (or .../FILE); tiny-random:wav2vec2 or tiny-random:vit for a dry run.",
    ),
]
RevisionOpt = Annotated[
    str, typer.Option("--revision", help="Branch, tag or commit of a hub id.", rich_help_panel=_MODEL)
]
HeadOpt = Annotated[
    Literal["mean", "attentive", "weighted"],
    typer.Option(
        "--head",
        help="Of speech, how frames become one answer: their mean, attentive statistics pooling, or the mean of a "
        "learned weighted sum of layers. Plain transformers load mean and weighted.",
        rich_help_panel=_MODEL,
    ),
]
FreezeOpt = Annotated[
    bool,
    typer.Option(
        "--freeze-feature-encoder/--train-feature-encoder",
        help="Of speech: leave the convolutions over samples as they are.",
        rich_help_panel=_MODEL,
    ),
]
DropoutOpt = Annotated[
    float | None,
    typer.Option(
        "--dropout",
        min=0,
        max=0.9,
        help="Dropout: inside a speech network, before the head of an image network",
        show_default="the checkpoint's; images .1",
        rich_help_panel=_MODEL,
    ),
]
CropOpt = Annotated[
    Literal["none", "face", "person"],
    typer.Option(
        "--crop",
        help="Of images: cut out the box of this name, by the columns face_x, face_y, face_width, ...",
        rich_help_panel=_DATA,
    ),
]
FeaturesOpt = Annotated[
    Path | None,
    typer.Option(
        "--features",
        help="Of images: what extract-features made with the same network, for stages that train the head alone",
        show_default="computed once where they serve",
        rich_help_panel=_DATA,
    ),
]
TargetOpt = Annotated[
    str | None,
    typer.Option("--target", help="Targets, comma-separated", show_default="label, else all that the manifest has"),
]
StagesOpt = Annotated[
    str,
    typer.Option(
        "--stages",
        help="full (all at once), frozen (the head alone), freeze-unfreeze (the head at a found rate, then all), or "
        "stages in JSON: a file, or the text itself.",
        rich_help_panel=_STAGES,
    ),
]
EpochsOpt = Annotated[int, typer.Option("--epochs", min=1, help="Epochs, of all stages.", rich_help_panel=_STAGES)]
RateOpt = Annotated[
    str,
    typer.Option(
        "--learning-rate",
        help="A number, LOW..HIGH over depth, or find: the valley of a sweep.",
        rich_help_panel=_STAGES,
    ),
]
ScheduleOpt = Annotated[
    Literal["one-cycle", "linear", "cosine", "plateau", "constant"],
    typer.Option("--schedule", help="How the rate goes on.", rich_help_panel=_STAGES),
]
WarmupOpt = Annotated[
    float,
    typer.Option("--warmup", min=0, max=0.99, help="Share of the steps in which it rises.", rich_help_panel=_STAGES),
]
PatienceOpt = Annotated[
    int,
    typer.Option(
        "--early-stopping-patience",
        min=0,
        help="Epochs without improvement that end a stage; 0: never.",
        rich_help_panel=_STAGES,
    ),
]
MinDeltaOpt = Annotated[
    float,
    typer.Option("--early-stopping-min-delta", min=0, help="What counts as improvement.", rich_help_panel=_STAGES),
]
MonitorOpt = Annotated[
    str | None,
    typer.Option(
        "--monitor",
        help="Column of history.csv that decides, such as val_loss",
        show_default="val_uar, val_ccc of numbers",
        rich_help_panel=_STAGES,
    ),
]
FractionOpt = Annotated[
    float | None,
    typer.Option(
        "--early-stopping-fraction",
        min=0,
        max=0.5,
        help="Choose epochs by this share of the rows fitted on, whole groups, instead of val; 0: keep the last epoch",
        show_default="val rows; .15 with --cv",
        rich_help_panel=_STAGES,
    ),
]
LossOpt = Annotated[
    Literal["auto", "cross-entropy", "focal", "soft", "mse", "ccc", "ccc-mse"],
    typer.Option(
        "--loss",
        help="auto: cross-entropy of classes, CCC + MSE of numbers; soft: of the raters' votes.",
        rich_help_panel=_LOSS,
    ),
]
SmoothingOpt = Annotated[
    float,
    typer.Option("--label-smoothing", min=0, max=0.99, help="Share spread over the classes.", rich_help_panel=_LOSS),
]
GammaOpt = Annotated[float, typer.Option("--focal-gamma", min=0, help="Of --loss focal.", rich_help_panel=_LOSS)]
DecayOpt = Annotated[float, typer.Option("--weight-decay", min=0, help="AdamW's.", rich_help_panel=_LOSS)]
BatchSizeOpt = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Clips or images of a batch, over all processes",
        show_default="4 clips, 32 images",
        rich_help_panel=_DATA,
    ),
]
BatchSecondsOpt = Annotated[
    float | None,
    typer.Option(
        "--batch-seconds",
        min=0.1,
        help="Audio of a batch with its padding (s), instead of --batch-size.",
        rich_help_panel=_DATA,
    ),
]
AccumulationOpt = Annotated[
    int,
    typer.Option("--gradient-accumulation-steps", min=1, help="Batches of an update.", rich_help_panel=_DATA),
]
MaxSecondsOpt = Annotated[
    float,
    typer.Option(
        "--max-seconds",
        min=0.1,
        help="Longer clips (s) are cropped at random in training, and heard in pieces when predicted.",
        rich_help_panel=_DATA,
    ),
]
AugmentOpt = Annotated[
    str,
    typer.Option(
        "--augment",
        help="none, light, strong, or effects: of speech noise=10..30@.5,gain=6,speed=.9..1.1,shift=.1,mask=2x.1, of "
        "images flip=.5,crop=.8..1,colour=.2,rotate=10,grey=.1,blur=.2..1,erase=.1.",
        rich_help_panel=_DATA,
    ),
]
SpecAugmentOpt = Annotated[
    bool,
    typer.Option(
        "--specaugment/--no-specaugment", help="Mask spans of frames inside the network.", rich_help_panel=_DATA
    ),
]
PrecisionOpt = Annotated[
    Literal["no", "bf16", "fp16"],
    typer.Option("--mixed-precision", help="Arithmetic of the network.", rich_help_panel=_RUN),
]
GradNormOpt = Annotated[
    float, typer.Option("--max-grad-norm", min=0, help="Clip gradients to this; 0: never.", rich_help_panel=_RUN)
]
EmaOpt = Annotated[
    float,
    typer.Option(
        "--ema", min=0, max=0.99999, help="Decay of a moving average of the weights; 0: none.", rich_help_panel=_RUN
    ),
]
CvOpt = Annotated[
    bool,
    typer.Option("--cv", help="Cross-predict train and val rows: a fine-tuning per fold, and a final one."),
]
TrackOpt = Annotated[
    str | None,
    typer.Option("--track", help="Trackers, comma-separated: tensorboard, wandb, ...", rich_help_panel=_RUN),
]
CheckpointOpt = Annotated[
    int,
    typer.Option(
        "--checkpoint-steps",
        min=0,
        help="Steps between checkpoints, besides those of every epoch and every five minutes.",
        rich_help_panel=_RUN,
    ),
]


def finetune(
    manifest: ManifestOpt,
    base_model: BaseModelOpt,
    output_dir: OutputDirOpt,
    target: TargetOpt = None,
    cv: CvOpt = False,
    group: GroupOpt = None,
    head: HeadOpt = "mean",
    revision: RevisionOpt = "",
    freeze_feature_encoder: FreezeOpt = True,
    dropout: DropoutOpt = None,
    stages: StagesOpt = "full",
    epochs: EpochsOpt = 12,
    learning_rate: RateOpt = "1e-5",
    schedule: ScheduleOpt = "linear",
    warmup: WarmupOpt = 0.1,
    early_stopping_patience: PatienceOpt = 0,
    early_stopping_min_delta: MinDeltaOpt = 0.0,
    early_stopping_fraction: FractionOpt = None,
    monitor: MonitorOpt = None,
    loss: LossOpt = "auto",
    class_weight: ClassWeightOpt = "balanced",
    label_smoothing: SmoothingOpt = 0.0,
    focal_gamma: GammaOpt = 2.0,
    weight_decay: DecayOpt = 0.0,
    batch_size: BatchSizeOpt = None,
    batch_seconds: BatchSecondsOpt = None,
    gradient_accumulation_steps: AccumulationOpt = 1,
    max_seconds: MaxSecondsOpt = 20.0,
    crop: CropOpt = "none",
    features: FeaturesOpt = None,
    tta: TtaOpt = 1,
    mc_dropout: McDropoutOpt = 0,
    augment: AugmentOpt = "none",
    specaugment: SpecAugmentOpt = False,
    media_root: MediaRootOpt = None,
    on_error: OnErrorOpt = "stop",
    mixed_precision: PrecisionOpt = "no",
    max_grad_norm: GradNormOpt = 1.0,
    ema: EmaOpt = 0.0,
    track: TrackOpt = None,
    checkpoint_steps: CheckpointOpt = 0,
    num_workers: NumWorkersOpt = None,
    device: DeviceOpt = "auto",
    seed: SeedOpt = 0,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    quiet: QuietOpt = False,
    json_output: JsonOpt = False,
) -> Outcome:
    """Fine-tune a speech or image network end to end, and predict every row that may be judged.

    The best epoch over all stages is kept. A killed run goes on with --resume, to the same bits. Several processes or
    machines: accelerate launch -m affectkit finetune ... (with --multi_gpu also on CPUs).

    Example: affectkit finetune --manifest runs/manifest --base-model facebook/wav2vec2-base -o runs/ser
    """
    options = dict(locals())
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.distributed import ranks
    from affectkit.finetuning.choose import BATCH, choose_medium
    from affectkit.finetuning.finetune import clean_up
    from affectkit.finetuning.finetune import finetune as run_finetuning
    from affectkit.finetuning.medium import readable
    from affectkit.finetuning.passes import Passes
    from affectkit.finetuning.rows import Setup
    from affectkit.reporting.evaluated import all_key_lines
    from affectkit.reporting.finetuned import write_finetuned
    from affectkit.training.accelerating import open_accelerator
    from affectkit.training.fit import Settings
    from affectkit.training.stages import named_stages
    from affectkit.training.trackers import open_trackers

    here = ranks(cpu=device == "cpu")
    medium = choose_medium(base_model, options)
    setup = Setup(
        medium,
        named_stages(
            stages,
            epochs=epochs,
            learning_rate=learning_rate,
            schedule=schedule,
            warmup=warmup,
            patience=early_stopping_patience,
            min_delta=early_stopping_min_delta,
            monitor=monitor or "",
        ),
        Settings(
            batch_size=batch_size or BATCH[medium.reads],
            batch_seconds=batch_seconds,
            accumulation=gradient_accumulation_steps,
            clip=max_grad_norm,
            weight_decay=weight_decay,
            average=ema,
            seed=seed,
            num_workers=here.workers(num_workers),
            checkpoint_steps=checkpoint_steps,
        ),
        loss=loss,
        class_weight=class_weight,
        label_smoothing=label_smoothing,
        focal_gamma=focal_gamma,
        stopping_fraction=early_stopping_fraction,
        passes=Passes(tta or 1, mc_dropout or 0),
    )
    accelerator = open_accelerator(device, mixed_precision)
    inputs = [manifest, *([Path(base_model)] if Path(base_model).is_dir() else []), *([features] if features else [])]
    with open_run("finetune", options, inputs=inputs, is_main=here.is_main, barrier=here.barrier) as run:
        if run.finished:
            return Outcome(run.path, finished=True) if here.is_main else Outcome()
        rows = readable(
            read_manifest(manifest, media_root=media_root),
            medium,
            run.path,
            on_error=on_error,
            num_workers=here.workers(num_workers),
            is_main=here.is_main,
        )
        targets = rows.chosen_targets(target)
        with console.progress("finetune") as progress, open_trackers(track, run.path, options) as trackers:
            found = run_finetuning(
                rows,
                targets,
                setup,
                run.path,
                accelerator,
                group=group,
                cv=cv,
                features=features,
                progress=progress,
                log=trackers.log,
            )
        if here.is_main:
            reports = write_finetuned(run.path, found, rows)
            clean_up(run.path)
            run.note(device=str(accelerator.device), processes=here.world)
    if not here.is_main:
        return Outcome()
    metrics = {part: report["metrics"] for part, report in reports.items()}
    return Outcome(run.path, {"metrics": metrics}, all_key_lines(reports))
