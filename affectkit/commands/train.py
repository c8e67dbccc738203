"""`affectkit train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from affectkit import console, registry
from affectkit.errors import AffectkitError
from affectkit.options import (
    ClassWeightOpt,
    DeviceOpt,
    GroupOpt,
    JsonOpt,
    ManifestOpt,
    MediaRootOpt,
    MissingOpt,
    NormalizeOpt,
    NumWorkersOpt,
    OutputDirOpt,
    OverwriteOpt,
    QuietOpt,
    ResumeOpt,
    SeedOpt,
)

ModelOpt = Annotated[str, typer.Option("--model", help=f"Estimator: {', '.join(registry.names('estimators'))}.")]
FeaturesOpt = Annotated[
    list[Path] | None,
    typer.Option("--features", help="Features folder, or CSV of named columns; repeat it to join several."),
]
ProtocolOpt = Annotated[
    str | None,
    typer.Option(
        "--protocol", help=f"Instead of a model: a published procedure, {', '.join(registry.names('protocols'))}."
    ),
]
PhaseOpt = Annotated[
    int | None,
    typer.Option("--phase", min=0, help="Phase of the protocol; alone it means --protocol scene-face."),
]
DryRunOpt = Annotated[bool, typer.Option("--dry-run", help="Of a phase: say what it will do, and stop.")]
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
    output_dir: OutputDirOpt,
    features: FeaturesOpt = None,
    model: ModelOpt = "linear",
    target: TargetOpt = None,
    normalize: NormalizeOpt = "train",
    class_weight: ClassWeightOpt = "balanced",
    cv: CvOpt = False,
    group: GroupOpt = None,
    missing: MissingOpt = "stop",
    num_workers: NumWorkersOpt = None,
    protocol: ProtocolOpt = None,
    phase: PhaseOpt = None,
    dry_run: DryRunOpt = False,
    media_root: MediaRootOpt = None,
    device: DeviceOpt = "auto",
    seed: SeedOpt = 0,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    quiet: QuietOpt = False,
    json_output: JsonOpt = False,
    **plugin_options: Any,
) -> None:
    """Train an estimator on features, and predict every row that may be judged; or carry out a phase of a protocol.

    Hyper-parameters, and how many epochs a network is trained, are chosen by grouped cross-validation inside the fit
    rows. Test rows are never fitted. mlp takes pooled features, also of all layers of an encoder, which it learns to
    weigh; attention takes frames. Both run on --device, and a killed run goes on with --resume.

    A phase says what it will do, and by which single commands, before it does it; -o is the folder of the whole study.

    Example: affectkit train --manifest runs/manifest --features runs/egemaps --model linear --cv -o runs/linear
    """
    options = dict(locals())
    if protocol is not None or phase is not None:
        _carry_out(options)
        return
    if not features:
        raise AffectkitError("usage", "train needs --features", remedy="extract some, or name a --protocol")
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.distributed import Ranks
    from affectkit.estimators._fit import Settings, build_estimator
    from affectkit.estimators._train import clean_up, load_dataset, place_of, train_model
    from affectkit.reporting.text import all_key_lines
    from affectkit.reporting.trained import write_trained

    estimator = build_estimator(model, plugin_options)
    with open_run("train", options, inputs=[manifest, *features]) as run:
        if run.finished:
            console.result(run.path, {})
            return
        rows = read_manifest(manifest)
        targets = rows.chosen_targets(target)
        data = load_dataset(rows, features, group=group, missing=missing, estimator=estimator)
        place = place_of(estimator, run.path, device, Ranks().workers(num_workers))
        settings = Settings(normalize, class_weight, seed)
        with console.progress("train") as progress:
            trained = train_model(data, estimator, targets, settings, cv=cv, progress=progress, place=place)
        reports = write_trained(run.path, trained, rows)
        clean_up(run.path)
        if place:
            run.note(device=str(place.accelerator.device))
    metrics = {part: report["metrics"] for part, report in reports.items()}
    console.result(run.path, {"metrics": metrics}, all_key_lines(reports))


_SHARED = ("group", "media_root", "device", "num_workers", "seed", "resume", "overwrite")


def _carry_out(options: dict[str, Any]) -> None:
    """A phase of a protocol. Raises "usage" for options of estimators, and for a phase that the protocol lacks."""
    from affectkit.distributed import ranks
    from affectkit.protocols._protocol import Study, announce, build_procedure, carry_out

    name, phase = options["protocol"] or "scene-face", options["phase"]
    for option in ("features", "cv", "target"):
        if options[option]:
            raise AffectkitError(
                "usage", f"--{option} is of estimators, not of --protocol {name}", remedy="leave it out"
            )
    procedure = build_procedure(name, phase, options["plugin_options"])
    here = ranks(cpu=options["device"] == "cpu")
    with console.progress(f"phase {phase}") as progress:
        study = Study(
            options["manifest"],
            options["output_dir"],
            progress=progress,
            **{key: options[key] for key in _SHARED},
        )
        steps = procedure.steps(phase, study)
        if here.is_main:
            for line in announce(phase, steps):
                console.say(line)
        if options["dry_run"]:
            return
        lines = carry_out(steps, study, here)
    if here.is_main:
        console.result(steps[-1].folder, {"steps": [str(step.folder) for step in steps]}, lines)
